"""Made-up documents of made-up shows, for the benches: realistic, varied, the same for the same seed.

A corpus has `shows` shows of six passes of `frames` frames. Three shows each come from one studio (its pipeline's
attributes), two each use one renderer. Noise, for each frame: a layer beyond the first two is dropped with
`DROP_LAYER`, an attribute of the pipeline with `DROP_ATTRIBUTE`. Beside them stand hard negatives, foreign to every
show and pass: a pass of a show with one layer replaced, or another compression, or another overscan, and with
dropped layers like the others. Path, date, host, render time, frame number and size differ in every document.
"""

from __future__ import annotations

import copy
import hashlib
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

Document = dict[str, Any]

DROP_LAYER = 0.04
DROP_ATTRIBUTE = 0.02
PASSES = ("beauty", "character", "environment", "effects", "utility", "matte")
HARD_NEGATIVES = ("layer", "compression", "overscan")

_RENDERERS: dict[str, dict[str, Any]] = {
    "arnold": {
        "software": "Arnold 7.{}.1",
        "attributes": [
            ("arnold/version", "string"), ("arnold/host/name", "string"), ("arnold/host/os", "string"),
            ("arnold/stats/ram", "float"), ("AA_samples", "int"), ("GI_diffuse_samples", "int"),
            ("worldToCamera", "m44f"), ("worldToNDC", "m44f"), ("stats/total_time", "float"),
        ],
        "layers": [
            "diffuse_direct", "diffuse_indirect", "specular_direct", "specular_indirect", "coat", "sheen",
            "transmission_direct", "transmission_indirect", "sss_direct", "sss_indirect", "volume_direct",
            "volume_Z", "emission", "albedo", "N", "P", "Pref", "motionvector", "shadow_matte", "opacity",
            "RGBA_key", "RGBA_fill", "RGBA_rim", "RGBA_env", "crypto_object00", "crypto_object01",
            "crypto_material00", "crypto_asset00", "AO", "uv", "background", "direct", "indirect", "ID",
        ],
    },
    "v-ray": {
        "software": "V-Ray 6.{}",
        "attributes": [
            ("vrayInfo/camera", "string"), ("vrayInfo/computername", "string"), ("vrayInfo/date", "string"),
            ("vrayInfo/filename", "string"), ("vrayInfo/frame", "string"), ("vrayInfo/rendertime", "string"),
            ("vrayInfo/scenename", "string"), ("vrayInfo/vrayversion", "string"), ("cameraFov", "float"),
        ],
        "layers": [
            "VRayLighting", "VRayGlobalIllumination", "VRayReflection", "VRayRefraction", "VRaySpecular",
            "VRaySSS2", "VRaySelfIllumination", "VRayAtmosphere", "VRayBackground", "VRayDiffuseFilter",
            "VRayRawLighting", "VRayRawGI", "VRayRawReflection", "VRayNormals", "VRayVelocity", "VRayZDepth",
            "VRayObjectID", "VRayMtlID", "VRayExtraTex_AO", "VRayExtraTex_uv", "VRaySheen", "VRayCoat",
            "VRayCaustics", "VRayShadows", "VRayMatteShadow", "VRayLightSelect1", "VRayLightSelect2",
            "VRayLightSelect3", "cryptomatte00", "cryptomatte01", "VRayWorldPosition", "VRayFresnel",
        ],
    },
    "cycles": {
        "software": "Blender 4.{}.0",
        "attributes": [
            ("Camera", "string"), ("Date", "string"), ("File", "string"), ("Frame", "string"),
            ("RenderTime", "string"), ("Scene", "string"), ("Time", "string"),
            ("cycles.ViewLayer.samples", "string"), ("cycles.ViewLayer.render_time", "string"),
        ],
        "layers": [
            f"ViewLayer.{name}"
            for name in (
                "Combined", "Depth", "Mist", "Position", "Normal", "Vector", "UV", "DiffDir", "DiffInd", "DiffCol",
                "GlossDir", "GlossInd", "GlossCol", "TransDir", "TransInd", "TransCol", "VolumeDir", "VolumeInd",
                "Emit", "Env", "AO", "Shadow Catcher", "CryptoObject00", "CryptoObject01", "CryptoMaterial00",
                "CryptoAsset00", "IndexOB", "IndexMA", "Denoising Normal", "Denoising Albedo",
            )
        ],
    },
    "redshift": {
        "software": "Redshift 3.5.{}",
        "attributes": [
            ("rs/version", "string"), ("rs/hostname", "string"), ("rs/camera/fov", "float"),
            ("rs/camera/near", "float"), ("rs/camera/far", "float"), ("rs/rendertime", "string"),
        ],
        "layers": [
            "DiffuseLighting", "DiffuseFilter", "DiffuseLightingRaw", "SpecularLighting", "Reflections",
            "ReflectionsFilter", "Refractions", "RefractionsRaw", "SubsurfaceScatter", "Emission", "GI", "GIRaw",
            "Caustics", "Background", "AmbientOcclusion", "Shadows", "VolumeLighting", "VolumeFogTint", "Normals",
            "BumpNormals", "Z", "P", "MotionVectors", "ObjectID", "PuzzleMatte1", "PuzzleMatte2", "PuzzleMatte3",
            "Cryptomatte00", "Cryptomatte01", "Matte", "WorldPosition", "TotalTranslucency",
        ],
    },
    "renderman": {
        "software": "RenderMan 26.{}",
        "attributes": [
            ("renderManVersion", "string"), ("rmanHost", "string"), ("rmanRenderTime", "float"),
            ("worldToCamera", "m44f"), ("PixelFilterName", "string"), ("PixelFilterWidth", "v2f"),
            ("statistics", "string"),
        ],
        "layers": [
            "directDiffuse", "indirectDiffuse", "directSpecular", "indirectSpecular", "subsurface", "transmissive",
            "emissive", "albedo", "normal", "depth", "position", "motionFore", "motionBack", "shadow",
            "occluded", "unoccluded", "LPE_key", "LPE_fill", "LPE_rim", "LPE_dome", "volume", "hair", "clearcoat",
            "iridescence", "glass", "st", "id_object", "id_material", "crypto_name00", "crypto_name01", "variance",
        ],
    },
    "moonray": {
        "software": "MoonRay 1.{}",
        "attributes": [
            ("resumeHistory", "string"), ("moonrayHost", "string"), ("renderTime", "float"),
            ("worldToCamera", "m44f"), ("sceneFile", "string"),
        ],
        "layers": [
            "diffuse", "diffuse_indirect", "specular", "specular_indirect", "sss", "transmission", "emission",
            "albedo", "normal", "depth", "position", "motion", "lpe_key", "lpe_fill", "lpe_bounce", "lpe_sky",
            "hair_R", "hair_TT", "hair_TRT", "fuzz", "wireframe", "variance", "heatmap", "st", "shadow",
            "visibility", "crypto00", "crypto01", "id", "beauty_aux", "weight", "alpha_aux",
        ],
    },
}  # fmt: skip

_PIPELINE = [
    ("owner", "string"), ("comments", "string"), ("capDate", "string"), ("utcOffset", "float"), ("reelName", "string"),
    ("pipe/show", "string"), ("pipe/sequence", "string"), ("pipe/shot", "string"), ("pipe/task", "string"),
    ("pipe/artist", "string"), ("pipe/version", "int"), ("pipe/publish_id", "string"), ("pipe/department", "string"),
    ("asset:name", "string"), ("asset:variant", "string"), ("asset:lod", "int"), ("farm/job", "string"),
    ("farm/task", "string"), ("farm/pool", "string"), ("farm/attempt", "int"), ("cameraName", "string"),
    ("focalLength", "float"), ("focus", "float"), ("aperture", "float"), ("shutterAngle", "float"),
    ("lensModel", "string"), ("lensMake", "string"), ("cameraModel", "string"), ("timeCode", "timecode"),
    ("keyCode", "keycode"), ("imageCounter", "int"), ("captureRate", "rational"), ("usd:stage", "string"),
    ("usd:purpose", "string"), ("scene/units", "string"), ("scene/up", "string"), ("ocio/config", "string"),
    ("ocio/display", "string"), ("render/layer", "string"), ("render/quality", "string"), ("stereo/ipd", "float"),
    ("review/status", "string"), ("dept:lighting", "string"), ("geo/count", "int"), ("memory/peak", "float"),
]  # fmt: skip
_RESOLUTIONS = [(1920, 1080), (2048, 858), (2048, 1152), (3840, 2160), (4096, 1716), (4096, 2160), (4448, 3096),
                (2880, 1620), (1828, 1556), (5120, 2700)]  # fmt: skip
_COMPRESSIONS = ["zip", "zips", "piz", "dwaa", "dwab", "rle", "none", "b44a"]
_COLOR_SPACES = ["ACEScg", "scene_linear", "lin_rec709", "ACES2065-1", "lin_p3d65"]
_OVERSCANS = [0, 16, 32, 48, 64, 96, 128]
_FPS = [(24, 1), (25, 1), (24000, 1001), (30000, 1001), (30, 1), (48, 1)]


class File(NamedTuple):
    """A document and what it is; a hard negative has show and pass of its own kind."""

    show: str
    pass_name: str
    kind: str  # "frame", or one of HARD_NEGATIVES
    document: Document


class _Pass(NamedTuple):
    layers: tuple[str, ...]
    compression: str
    overscan: int


class _Show(NamedTuple):
    name: str
    renderer: str
    version: int
    resolution: tuple[int, int]
    color_space: str
    fps: tuple[int, int]
    tile: int | None
    pipeline: tuple[tuple[str, str], ...]
    passes: dict[str, _Pass]


def corpus(seed: int, shows: int = 12, frames: int = 12) -> Iterator[File]:
    """The files of a corpus: `shows` * 6 * `frames` frames, and three hard negatives for each pass of each show."""
    rng = random.Random(seed)  # noqa: S311 - noise, no secrets
    studios = [tuple(rng.sample(_PIPELINE, 14)) for _ in range((shows + 2) // 3)]
    for number in range(shows):
        show = _show(rng, number, studios[number // 3])
        for pass_name, pass_ in show.passes.items():
            for frame in range(frames):
                document = _frame(rng, show, pass_name, pass_, 1001 + frame)
                yield File(show.name, pass_name, "frame", document)
            for kind in HARD_NEGATIVES:
                document = _frame(rng, show, pass_name, _changed(rng, show, pass_, kind), 1001 + frames)
                yield File(f"{show.name}/{kind}", f"{pass_name}/{kind}", kind, document)


def _show(rng: random.Random, number: int, pipeline: tuple[tuple[str, str], ...]) -> _Show:
    renderer = list(_RENDERERS)[number % len(_RENDERERS)]
    compression, overscan = rng.choice(_COMPRESSIONS), rng.choice(_OVERSCANS)
    own = [attribute for attribute in _PIPELINE if attribute not in pipeline]
    return _Show(
        name=f"show{number:02d}",
        renderer=renderer,
        version=rng.randrange(9),
        resolution=rng.choice(_RESOLUTIONS),
        color_space=rng.choice(_COLOR_SPACES),
        fps=rng.choice(_FPS),
        tile=rng.choice([None, None, 32, 64]),
        pipeline=(*pipeline, *rng.sample(own, 3)),
        passes={name: _pass(rng, renderer, name, compression, overscan) for name in PASSES},
    )


_PASS_SIZES = {"beauty": 20, "character": 14, "environment": 12, "effects": 9, "utility": 10, "matte": 8}


def _pass(rng: random.Random, renderer: str, name: str, compression: str, overscan: int) -> _Pass:
    vocabulary = _RENDERERS[renderer]["layers"]
    layers = tuple(sorted(rng.sample(vocabulary, _PASS_SIZES[name] + rng.randrange(3))))
    return _Pass(layers, "zips" if name == "matte" and compression.startswith("dwa") else compression, overscan)


def _changed(rng: random.Random, show: _Show, pass_: _Pass, kind: str) -> _Pass:
    if kind == "compression":
        return pass_._replace(compression=rng.choice([word for word in _COMPRESSIONS if word != pass_.compression]))
    if kind == "overscan":
        return pass_._replace(overscan=rng.choice([pixels for pixels in _OVERSCANS if pixels != pass_.overscan]))
    others = [name for name in _RENDERERS[show.renderer]["layers"] if name not in pass_.layers]
    layers = list(pass_.layers)
    layers[rng.randrange(len(layers))] = rng.choice(others)
    return pass_._replace(layers=tuple(sorted(layers)))


# ---- Documents ---------------------------------------------------------------------------------------------


def _frame(rng: random.Random, show: _Show, pass_name: str, pass_: _Pass, frame: int) -> Document:
    kept = [name for index, name in enumerate(pass_.layers) if index < 2 or rng.random() >= DROP_LAYER]
    attributes = [each for each in show.pipeline if rng.random() >= DROP_ATTRIBUTE]
    attributes += _RENDERERS[show.renderer]["attributes"]
    return document(
        path=f"/mnt/{show.name}/sq{rng.randrange(90):03d}/{pass_name}/{pass_name}.{frame}.exr",
        frame=frame,
        layers=kept,
        attributes=[(name, type_name, _value(rng, type_name)) for name, type_name in attributes],
        resolution=show.resolution,
        overscan=pass_.overscan,
        compression=pass_.compression,
        software=_RENDERERS[show.renderer]["software"].format(show.version),
        color_space=show.color_space,
        fps=show.fps,
        tile=show.tile,
        noise=rng,
    )


def rich_document(seed: int, layers: int = 19, attributes: int = 60) -> Document:
    """A document of `attributes` attributes and 4 channels for each layer and the four of the picture."""
    rng = random.Random(seed)  # noqa: S311 - noise, no secrets
    renderer = rng.choice(list(_RENDERERS))
    vocabulary = _RENDERERS[renderer]["layers"]
    pool = [*_PIPELINE, *_RENDERERS[renderer]["attributes"]]
    chosen = rng.sample(pool, min(len(pool), attributes - 10))
    chosen += [
        (f"custom{rng.randrange(2000)}/key{number}", "string") for number in range(attributes - 10 - len(chosen))
    ]
    return document(
        path=f"/mnt/rich/{seed}/beauty.{1001 + seed % 200}.exr",
        frame=1001 + seed % 200,
        layers=sorted(rng.sample(vocabulary, layers)),
        attributes=[(name, type_name, _value(rng, type_name)) for name, type_name in chosen],
        resolution=rng.choice(_RESOLUTIONS),
        overscan=rng.choice(_OVERSCANS),
        compression=rng.choice(_COMPRESSIONS),
        software=_RENDERERS[renderer]["software"].format(rng.randrange(9)),
        color_space=rng.choice(_COLOR_SPACES),
        fps=rng.choice(_FPS),
        tile=rng.choice([None, 64]),
        noise=rng,
        rgba_layers=True,
    )


def document(  # noqa: PLR0913 - one argument for each thing that varies
    *,
    path: str,
    frame: int,
    layers: list[str],
    attributes: list[tuple[str, str, Any]],
    resolution: tuple[int, int],
    overscan: int,
    compression: str,
    software: str,
    color_space: str,
    fps: tuple[int, int],
    tile: int | None,
    noise: random.Random,
    rgba_layers: bool = False,
) -> Document:
    """One document of schema version 1, of a single part."""
    width, height = resolution
    data = _box(-overscan, -overscan, width + overscan - 1, height + overscan - 1)
    display = _box(0, 0, width - 1, height - 1)
    channels = [_channel(name, "half") for name in "RGBA"]
    channels += [_channel(*each) for layer in layers for each in _layer_channels(layer, rgba=rgba_layers)]
    channels.sort(key=lambda channel: str(channel["name"]))
    part_type = "scanlineimage" if tile is None else "tiledimage"
    entries = _standard_entries(channels, compression, data, display, part_type, tile)
    entries += [_entry("framesPerSecond", "rational", {"numerator": fps[0], "denominator": fps[1]})]
    entries += [_entry("colorInteropID", "string", color_space), _entry("software", "string", software)]
    entries += [_entry(*each) for each in attributes]
    entries.sort(key=lambda entry: str(entry["name"]))
    return {
        "schema_version": 1,
        "file": _file(path, frame, tile, noise),
        "parts": [_part(data, display, compression, software, color_space, part_type, tile)],
        "channels": channels,
        "attributes": {"parts": [entries]},
        "integrity": {"status": "complete", "checked": ["table", "end"]},
        "stats": {},
        "validation": {},
        "errors": [],
    }


def without_layers(document: Document, layers: set[str]) -> Document:
    """The document without the channels of these layers."""
    smaller = copy.copy(document)
    smaller["channels"] = [channel for channel in document["channels"] if channel["layer_name"] not in layers]
    return smaller


_VALUES: dict[str, Callable[[random.Random], Any]] = {
    "int": lambda rng: rng.randrange(1000),
    "float": lambda rng: rng.randrange(1 << 20) / 1024,
    "m44f": lambda rng: [[rng.randrange(1 << 16) / 256 for _ in range(4)] for _ in range(4)],
    "v2f": lambda rng: {"x": rng.randrange(9) / 2, "y": 2.0},
    "rational": lambda rng: {"numerator": rng.randrange(1, 99), "denominator": 1},
    "timecode": lambda rng: _time_code(*(rng.randrange(24) for _ in range(4))),
    "keycode": lambda rng: {"raw": [1, 2, 3, rng.randrange(9999), 0, 4, 64]},
    "string": lambda rng: f"{rng.getrandbits(64):016x} on node{rng.randrange(400)} at 2026:03:{rng.randrange(1, 29)}",
}


def _value(rng: random.Random, type_name: str) -> Any:
    return _VALUES[type_name](rng)


def _time_code(hours: int, minutes: int, seconds: int, frame: int) -> dict[str, Any]:
    return {"hours": hours, "minutes": minutes, "seconds": seconds, "frame": frame, "drop_frame": False}


def _box(x_min: int, y_min: int, x_max: int, y_max: int) -> dict[str, Any]:
    return {"min": {"x": x_min, "y": y_min}, "max": {"x": x_max, "y": y_max}}


def _layer_channels(layer: str, *, rgba: bool) -> list[tuple[str, str]]:
    lower = layer.lower()
    if rgba or "crypto" in lower:
        return [(f"{layer}.{component}", "float" if "crypto" in lower else "half") for component in "RGBA"]
    if any(word in lower for word in ("depth", "mist", "volume_z", "index")) or layer in ("Z", "ID", "id", "AO"):
        return [(f"{layer}.Z", "float")]
    if any(word in lower for word in ("position", "normal", "vector", "motion", "velocity")) or layer in ("N", "P"):
        return [(f"{layer}.{component}", "float") for component in "XYZ"]
    return [(f"{layer}.{component}", "half") for component in "RGB"]


def _channel(name: str, pixel_type: str) -> dict[str, Any]:
    layer, dot, component = name.rpartition(".")
    return {
        "part_index": 0,
        "name": name,
        "layer_name": layer if dot else None,
        "component_name": component,
        "type": pixel_type,
        "x_sampling": 1,
        "y_sampling": 1,
        "p_linear": False,
    }


def _entry(name: str, type_name: str, value: Any) -> dict[str, Any]:
    return {"name": name, "type": type_name, "value": value}


def _standard_entries(
    channels: list[dict[str, Any]], compression: str, data: Any, display: Any, part_type: str, tile: int | None
) -> list[dict[str, Any]]:
    fields = ("name", "type", "p_linear", "x_sampling", "y_sampling")
    entries = [
        _entry("channels", "chlist", [{field: channel[field] for field in fields} for channel in channels]),
        _entry("compression", "compression", compression),
        _entry("dataWindow", "box2i", data),
        _entry("displayWindow", "box2i", display),
        _entry("lineOrder", "lineOrder", "increasingY"),
        _entry("pixelAspectRatio", "float", 1.0),
        _entry("screenWindowCenter", "v2f", {"x": 0.0, "y": 0.0}),
        _entry("screenWindowWidth", "float", 1.0),
        _entry("type", "string", part_type),
    ]
    if tile is not None:
        value = {"x_size": tile, "y_size": tile, "level_mode": "oneLevel", "rounding_mode": "roundDown"}
        entries.append(_entry("tiles", "tiledesc", value))
    return entries


def _file(path: str, frame: int, tile: int | None, noise: random.Random) -> dict[str, Any]:
    return {
        "path": path,
        "size_bytes": noise.randrange(1 << 20, 1 << 27),
        "mtime": f"2026-03-{noise.randrange(1, 29):02d}T{noise.randrange(24):02d}:00:00.000000Z",
        "multipart_count": 1,
        "is_deep": False,
        "is_tiled": tile is not None,
        "exr_version": 2,
        "flags": {"tiled": tile is not None, "long_names": False, "deep": False, "multipart": False},
        "header_bytes": 4096,
        "header_hash": hashlib.sha256(f"{path} {noise.random()}".encode()).hexdigest(),
        "frame_number": frame,
    }


def _part(
    data: Any, display: Any, compression: str, software: str, color_space: str, part_type: str, tile: int | None
) -> dict[str, Any]:
    width, height = (data["max"][axis] - data["min"][axis] + 1 for axis in "xy")
    display_width, display_height = (display["max"][axis] - display["min"][axis] + 1 for axis in "xy")
    return {
        "part_index": 0,
        "part_name": None,
        "part_type": part_type,
        "view_name": None,
        "multi_view": None,
        "data_window": data,
        "display_window": display,
        "width": width,
        "height": height,
        "display_width": display_width,
        "display_height": display_height,
        "data_x_offset": data["min"]["x"] - display["min"]["x"],
        "data_y_offset": data["min"]["y"] - display["min"]["y"],
        "pixel_aspect_ratio": 1.0,
        "line_order": "increasingY",
        "compression": compression,
        "color_space": color_space,
        "render_software": software,
        "is_tiled": tile is not None,
        "tile_width": tile,
        "tile_height": tile,
        "tile_depth": None if tile is None else 1,
        "level_mode": None if tile is None else "oneLevel",
        "rounding_mode": None if tile is None else "roundDown",
        "is_deep": False,
        "chunk_count": None,
    }
