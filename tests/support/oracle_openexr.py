"""The OpenEXR wheel as an oracle; see `oracle.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import OpenEXR

from tests.support.oracle_values import (
    TYPED_NAMES,
    Document,
    DropTable,
    Entry,
    Refused,
    exact,
    is_dropped,
    is_unknown,
    to_base64,
    unsound_attributes,
    while_in_sync,
)

# ---- What the wheel is known to do otherwise ---------------------------------------------------------------

# The wheel raises for the whole file; part of its message: why.
REFUSALS = {
    "codec can't decode byte": "a name or a text that is not UTF-8: the binding decodes strictly",
    "Invalid key code": "a keycode field out of range: the class KeyCode checks what the format does not",
    "Fraction(": "a rational with the denominator 0 becomes a fractions.Fraction",
    "unsupported attribute type: deepImageState": "the binding has no conversion for deepImageState",
    "Unable to open": "the library's reason is lost: windows, aspect ratio, parts that do not share a display window",
    "Invalid or missing attribute": "a required attribute is missing, or its value (the channel list's too) is refused",
    "IDManifest": "a manifest that does not decode",
    "IDmanifest": "a manifest that does not decode",
    "Negative count": "a manifest that does not decode",
    "ID manifest contains multiple": "an id that stands twice in a group",
    "Invalid size field reading idmanifest": "a manifest without its size",
    "Cannot find or open": "not an OpenEXR file",
}

# Attributes that every header object has: with a default where the file has none.
INSERTS = {
    "compression": "zip",
    "dataWindow": "(0 0) to (63 63)",
    "displayWindow": "(0 0) to (63 63)",
    "lineOrder": "increasingY",
    "pixelAspectRatio": "1",
    "screenWindowCenter": "(0 0)",
    "screenWindowWidth": "1",
    "type": "computed from the version field; always there, whatever the file says",
    "version": "1, in deep parts",
}


def _has_unknown_mode(value: Entry) -> bool:
    return is_unknown(value["level_mode"]) or is_unknown(value["rounding_mode"])


def _has_refused_channel(channels: Sequence[Entry]) -> bool:
    names = [channel["name"] for channel in channels]
    is_refused = [is_unknown(each["type"]) or min(each["x_sampling"], each["y_sampling"]) < 1 for each in channels]
    return any(is_refused) or len(set(names)) < len(names)


# Values that are read over: the attribute is missing, what follows is sound. Type: (which values, why).
DROPS: DropTable = {
    "compression": (lambda entry: is_unknown(entry["value"]), "a code without a name"),
    "lineOrder": (lambda entry: is_unknown(entry["value"]), "a code without a name"),
    "envmap": (lambda entry: is_unknown(entry["value"]), "a code without a name"),
    "deepImageState": (lambda entry: is_unknown(entry["value"]), "a code without a name; one with a name is refused"),
    "tiledesc": (lambda entry: _has_unknown_mode(entry["value"]), "a mode without a name"),
    "preview": (lambda entry: not entry["value"]["width"] * entry["value"]["height"], "a preview without a pixel"),
    "chlist": (
        lambda entry: _has_refused_channel(entry["value"]),
        "a type without a name, a sampling < 1, a duplicate",
    ),
}
# The same, but the document's readable value does not tell; those in the header are compared.
MAY_DROP: DropTable = {
    "chlist": (lambda entry: "raw" in entry, "a pLinear above 1, a name of more than 255 bytes, a missing end"),
}

# Text that is not UTF-8 raises when it is asked for, not when the file is opened.
DECODES_LATE = {"bytes": "the type hint", "chlist": "the names", "idmanifest": "every text"}

# Parts of values that the binding does not give, so that they cannot be compared.
HIDES = {
    "chlist": "pixel types: Channel.type() needs pixels, so header_only raises IndexError; InputFile has them for "
    "the first part. The order: channels are sorted by name",
    "timecode": "time_and_flags: the method wants an enumeration that Python does not have; binary_groups: a property "
    "declared with an argument, so that it always raises TypeError",
    "rational": "numerator and denominator: fractions.Fraction reduces them",
    "idmanifest": "the string table, the id coding and the order of channels",
    "string": "attribute `type`: a Storage computed from the version field",
}


# ---- Reading -----------------------------------------------------------------------------------------------


class OpenExrPart(NamedTuple):
    """One part as the OpenEXR wheel has it. `raw` holds its own objects; `plain` makes one a document's value."""

    raw: dict[str, Any]
    pixel_types: dict[str, str] | None

    def plain(self, name: str, type_name: str) -> Any:
        """The attribute as the document shows a value of that type. Raises `TypeError` if it is of another."""
        value = self.raw[name]
        plain = PLAIN.get(type_name, _opaque)(value)
        if type_name == "chlist" and self.pixel_types is not None and name == "channels":
            plain = [{**channel, "type": self.pixel_types[channel["name"]]} for channel in plain]
        return plain


def read_with_openexr(path: str) -> list[OpenExrPart]:
    """Each part's header. Raises `Refused` with the wheel's message."""
    try:
        headers = [dict(part.header) for part in OpenEXR.File(path, header_only=True).parts]
        types = _pixel_types_of_first_part(path, headers)
        return [OpenExrPart(header, None if index else types) for index, header in enumerate(headers)]
    except (RuntimeError, ValueError, TypeError, ZeroDivisionError) as error:
        raise Refused(f"{type(error).__name__}: {error}", REFUSALS) from error


def _pixel_types_of_first_part(path: str, headers: Sequence[Mapping[str, Any]]) -> dict[str, str] | None:
    """From the wheel's older interface, the only one that tells them without pixels.

    It ends the process with a segmentation fault for a preview, and for names that are not UTF-8, of attributes
    (with those the newer interface has refused the file before) or of channels in any channel list.
    """
    try:
        if any(_ends_the_process(value) for header in headers for value in header.values()):
            return None
        channels = OpenEXR.InputFile(path).header()["channels"]
    except Exception:  # noqa: BLE001 - it does not open what the newer one opens, and says so in many ways
        return None
    return {name: str(channel.type).lower() for name, channel in channels.items()}


def _ends_the_process(value: Any) -> bool:
    if isinstance(value, list):
        value = [each.name for each in value if isinstance(each, OpenEXR.Channel)]  # or raises UnicodeDecodeError
    return isinstance(value, OpenEXR.PreviewImage)


def _require(condition: bool, value: Any) -> None:
    if not condition:
        raise TypeError(f"of another type: {value!r}")


def _array(dtype: str, *shape: int) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        _require(getattr(value, "dtype", None) == dtype and value.shape == shape, value)
        return value.tolist()

    return convert


def _vector(dtype: str, *names: str) -> Callable[[Any], dict[str, Any]]:
    to_list = _array(dtype, len(names))
    return lambda value: dict(zip(names, to_list(value), strict=True))


def _box(dtype: str) -> Callable[[Any], dict[str, Any]]:
    corner = _vector(dtype, "x", "y")

    def convert(value: Any) -> dict[str, Any]:
        _require(isinstance(value, tuple) and len(value) == 2, value)
        return {"min": corner(value[0]), "max": corner(value[1])}

    return convert


def _instance(kind: type) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        _require(type(value) is kind, value)
        return value

    return convert


def _list_of(kind: type) -> Callable[[Any], list[Any]]:
    def convert(value: Any) -> list[Any]:
        _require(isinstance(value, list) and all(type(each) is kind for each in value), value)
        return value

    return convert


def _enumeration(kind: Any, words: Mapping[str, str]) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        _require(isinstance(value, kind), value)
        return words[value.name]

    return convert


def _chromaticities(value: Any) -> dict[str, dict[str, float]]:
    _require(isinstance(value, tuple) and len(value) == 8, value)
    names = ("red", "green", "blue", "white")
    return {name: {"x": value[2 * index], "y": value[2 * index + 1]} for index, name in enumerate(names)}


def _channels(value: Any) -> list[dict[str, Any]]:
    _require(isinstance(value, list) and all(isinstance(each, OpenEXR.Channel) for each in value), value)
    return [
        {
            "name": channel.name,
            "p_linear": bool(channel.pLinear),
            "x_sampling": channel.xSampling,
            "y_sampling": channel.ySampling,
        }
        for channel in value
    ]


def _key_code(value: Any) -> dict[str, Any]:
    _require(isinstance(value, OpenEXR.KeyCode), value)
    fields = {
        "film_mfc_code": value.filmMfcCode,
        "film_type": value.filmType,
        "prefix": value.prefix,
        "count": value.count,
        "perf_offset": value.perfOffset,
        "perfs_per_frame": value.perfsPerFrame,
        "perfs_per_count": value.perfsPerCount,
    }
    return {"raw": list(fields.values()), **fields}


def _time_code(value: Any) -> dict[str, Any]:
    _require(isinstance(value, OpenEXR.TimeCode), value)
    return {
        "user_data": value.userData,
        "hours": value.hours,
        "minutes": value.minutes,
        "seconds": value.seconds,
        "frame": value.frame,
        "drop_frame": bool(value.dropFrame),
        "color_frame": bool(value.colorFrame),
        "field_phase": bool(value.fieldPhase),
        "bgf0": bool(value.bgf0),
        "bgf1": bool(value.bgf1),
        "bgf2": bool(value.bgf2),
    }


def _rational(value: Any) -> dict[str, int]:
    _require(isinstance(value, Fraction), value)
    return {"numerator": value.numerator, "denominator": value.denominator}


def _tile_description(value: Any) -> dict[str, Any]:
    _require(isinstance(value, OpenEXR.TileDescription), value)
    return {
        "x_size": value.xSize,
        "y_size": value.ySize,
        "level_mode": _LEVEL_MODES[value.mode.name],
        "rounding_mode": _ROUNDING_MODES[value.roundingMode.name],
    }


def _preview(value: Any) -> dict[str, Any]:
    _require(isinstance(value, OpenEXR.PreviewImage), value)
    height, width = value.pixels.shape
    return {"width": width, "height": height, "rgba": to_base64(value.pixels.tobytes())}


def _hinted_bytes(value: Any) -> dict[str, str]:
    _require(isinstance(value, OpenEXR.Bytes), value)
    return {"encoding": "base64", "data": to_base64(value.data), "type_hint": value.type_hint}


def _opaque(value: Any) -> dict[str, str]:
    _require(isinstance(value, OpenEXR.OpaqueAttribute), value)
    return {"encoding": "base64", "data": to_base64(value.data)}


def _id_manifest(value: Any) -> list[dict[str, Any]]:
    _require(isinstance(value, OpenEXR.IDManifest), value)
    return [_id_manifest_group(value[index]) for index in range(value.size())]


def _id_manifest_group(group: Any) -> dict[str, Any]:
    return {
        "channels": sorted(group.getChannels()),
        "components": list(group.getComponents()),
        "lifetime": group.getLifetime().name.removeprefix("LIFETIME_").lower(),
        "hash_scheme": group.getHashScheme(),
        "encoding_scheme": group.getEncodingScheme(),
        "ids": sorted((entry.id(), list(entry.text())) for entry in group),
    }


_COMPRESSIONS = {
    f"{word.upper()}_COMPRESSION": word
    for word in (
        "none", "rle", "zips", "zip", "piz", "pxr24", "b44", "b44a", "dwaa", "dwab",
        "htj2k256", "htj2k32", "lj2k", "zstd",
    )
}  # fmt: skip
_COMPRESSIONS["NO_COMPRESSION"] = _COMPRESSIONS.pop("NONE_COMPRESSION")
_LINE_ORDERS = {"INCREASING_Y": "increasingY", "DECREASING_Y": "decreasingY", "RANDOM_Y": "randomY"}
_ENVMAPS = {"ENVMAP_LATLONG": "latlong", "ENVMAP_CUBE": "cube"}
_LEVEL_MODES = {"ONE_LEVEL": "oneLevel", "MIPMAP_LEVELS": "mipmapLevels", "RIPMAP_LEVELS": "ripmapLevels"}
_ROUNDING_MODES = {"ROUND_DOWN": "roundDown", "ROUND_UP": "roundUp"}

# What the wheel returns for each type, as the document's value.
PLAIN: dict[str, Callable[[Any], Any]] = {
    "box2f": _box("float32"),
    "box2i": _box("int32"),
    "bytes": _hinted_bytes,
    "chlist": _channels,
    "chromaticities": _chromaticities,
    "compression": _enumeration(OpenEXR.Compression, _COMPRESSIONS),
    "double": lambda value: _array("float64", 1)(value)[0],  # an array of one, lest it be taken for a float
    "envmap": _enumeration(OpenEXR.Envmap, _ENVMAPS),
    "float": _instance(float),
    "floatvector": _list_of(float),
    "idmanifest": _id_manifest,
    "int": _instance(int),
    "keycode": _key_code,
    "lineOrder": _enumeration(OpenEXR.LineOrder, _LINE_ORDERS),
    "m33d": _array("float64", 3, 3),
    "m33f": _array("float32", 3, 3),
    "m44d": _array("float64", 4, 4),
    "m44f": _array("float32", 4, 4),
    "preview": _preview,
    "rational": _rational,
    "string": _instance(str),
    "stringvector": _list_of(str),
    "tiledesc": _tile_description,
    "timecode": _time_code,
    "v2d": _vector("float64", "x", "y"),
    "v2f": _vector("float32", "x", "y"),
    "v2i": _vector("int32", "x", "y"),
    "v3d": _vector("float64", "x", "y", "z"),
    "v3f": _vector("float32", "x", "y", "z"),
    "v3i": _vector("int32", "x", "y", "z"),
}


# ---- Comparing ---------------------------------------------------------------------------------------------


def assert_same_as_openexr(document: Document, path: str) -> int:
    """Compare every attribute of every part; return how many were compared.

    Raises `Refused` if the wheel does not give the header, and `AssertionError` for a difference that stands in
    no table.
    """
    theirs = read_with_openexr(path)
    lists = document["attributes"]["parts"]
    unsound = unsound_attributes(document)
    compared = 0
    for index, entries in enumerate(lists):
        assert index < len(theirs), f"part {index} is not in {len(theirs)} parts"
        in_sync = while_in_sync(index, entries, unsound)
        names = [entry["name"] for entry in entries]
        for entry in in_sync:
            if names.count(entry["name"]) == 1:
                compared += _compare(document, index, entry, theirs[index])
        if len(in_sync) < len(entries):
            return compared
        extra = set(theirs[index].raw) - set(names) - set(INSERTS)
        assert not extra, f"part {index}: only the wheel has {extra}"
    assert len(theirs) == len(lists), f"{len(lists)} parts here, {len(theirs)} there"
    return compared


def _compare(document: Document, index: int, entry: Entry, part: OpenExrPart) -> int:
    name, type_name, value = entry["name"], entry["type"], entry["value"]
    place = f"part {index}, {name} ({type_name})"
    if TYPED_NAMES.get(name, type_name) != type_name or is_dropped(DROPS, entry):
        assert name in INSERTS or name not in part.raw, f"{place}: the wheel was thought to drop it"
        return 0
    if name not in part.raw and is_dropped(MAY_DROP, entry):
        return 0
    assert name in part.raw, f"{place}: not in the wheel's header"
    if (name, type_name) == ("type", "string"):
        assert part.raw[name].name == document["parts"][index]["part_type"], place
        return 1
    ours = _as_the_wheel_shows(type_name, value, part, name)
    try:
        theirs = part.plain(name, type_name)
    except UnicodeDecodeError:
        assert type_name in DECODES_LATE, place
        return 0
    assert exact(type_name, ours) == exact(type_name, theirs), f"{place}: {ours!r} here, {theirs!r} there"
    return 1


def _as_the_wheel_shows(type_name: str, value: Any, part: OpenExrPart, name: str) -> Any:
    """Our value without what the binding hides (`HIDES`)."""
    if type_name == "rational":
        return _rational(Fraction(value["numerator"], value["denominator"]))
    if type_name == "timecode":
        return {key: each for key, each in value.items() if key not in {"time_and_flags", "binary_groups"}}
    if type_name == "idmanifest":
        return [_manifest_group_without_hidden(group) for group in value["groups"]]
    if type_name == "chlist":
        has_types = part.pixel_types is not None and name == "channels"
        channels = [{key: each[key] for key in each if key != "type" or has_types} for each in value]
        return sorted(channels, key=lambda channel: channel["name"].encode())
    return value


def _manifest_group_without_hidden(group: Entry) -> dict[str, Any]:
    shown = {key: group[key] for key in group if key != "id_coding"}
    ids = sorted((int(each["id"]), each["text"]) for each in group["ids"])
    return {**shown, "channels": sorted(group["channels"]), "ids": ids}
