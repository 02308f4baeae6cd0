"""The bench's OpenEXR files, from `struct.pack` alone: the same bytes in every run, on every machine.

Source: "OpenEXR File Layout" (openexr.com); all numbers are little-endian. Chunks have true leaders and offsets;
their data are zeros, which no side of the bench reads. Several frames of one sequence are made of each file, as
a render farm would write them: cameras, time codes and dates move, the rest repeats byte for byte.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from collections.abc import Iterable
from typing import NamedTuple

MAGIC, VERSION, MULTIPART = 20000630, 2, 0x1000
UINT, HALF, FLOAT = 0, 1, 2
NO_COMPRESSION, ZIP = 0, 3
LINES_PER_CHUNK = {NO_COMPRESSION: 1, ZIP: 16}
FIRST_FRAME = 1001
SIZE = (1920, 1080)
WIDE_SIZE = (4096, 2160)

Attributes = list[bytes]


class Chunks(NamedTuple):
    """One part's chunks: where each one's first line is, and the bytes of its data."""

    first_lines: range
    data_bytes: int


# ---- Attributes --------------------------------------------------------------------------------------------


def attribute(name: str, type_name: str, payload: bytes) -> bytes:
    return b"%s\0%s\0%s%s" % (name.encode(), type_name.encode(), struct.pack("<i", len(payload)), payload)


def numbers(name: str, type_name: str, letters: str, *values: float) -> bytes:
    return attribute(name, type_name, struct.pack("<" + letters, *values))


def string(name: str, text: str) -> bytes:
    return attribute(name, "string", text.encode())


def channels(names: Iterable[tuple[str, int]]) -> bytes:
    records = (name.encode() + b"\0" + struct.pack("<iB3xii", kind, 0, 1, 1) for name, kind in sorted(names))
    return attribute("channels", "chlist", b"".join(records) + b"\0")


def standard(names: Iterable[tuple[str, int]], size: tuple[int, int], compression: int) -> Attributes:
    """The eight attributes that every part must have."""
    window = (0, 0, size[0] - 1, size[1] - 1)
    return [
        channels(names),
        numbers("compression", "compression", "B", compression),
        numbers("dataWindow", "box2i", "4i", *window),
        numbers("displayWindow", "box2i", "4i", *window),
        numbers("lineOrder", "lineOrder", "B", 0),
        numbers("pixelAspectRatio", "float", "f", 1.0),
        numbers("screenWindowCenter", "v2f", "2f", 0.0, 0.0),
        numbers("screenWindowWidth", "float", "f", 1.0),
    ]


RGBA = [(name, HALF) for name in "RGBA"]
LAYERS = (
    "diffuse", "diffuse_direct", "diffuse_indirect", "specular", "specular_direct", "specular_indirect",
    "transmission", "sss", "coat", "sheen", "emission", "volume", "albedo", "shadow", "reflection",
)  # fmt: skip


def aov_channels() -> list[tuple[str, int]]:
    """80 channels: RGBA, fifteen colour layers, positions and normals, depth and three Cryptomatte ranks."""
    names = [*RGBA, *((f"{layer}.{each}", HALF) for layer in LAYERS for each in "RGB")]
    names += [(f"{layer}.{each}", FLOAT) for layer in ("P", "N", "Pref", "motionvector") for each in "XYZ"]
    names += [(f"CryptoObject0{rank}.{each}", FLOAT) for rank in range(3) for each in "RGBA"]
    names += [("Z", FLOAT), ("ZBack", FLOAT), ("ID", UINT), ("samples", UINT), ("opacity", HALF), ("AO", HALF),
              ("curvature", HALF)]  # fmt: skip
    return names


def camera(frame: int) -> tuple[float, ...]:
    """A world-to-camera matrix on its way around the set: digits as a renderer writes them."""
    angle = math.radians(frame * 0.7)
    sine, cosine = math.sin(angle), math.cos(angle)
    return (cosine, 0.0, -sine, 0.0, 0.0, 1.0, 0.0, 0.0, sine, 0.0, cosine, 0.0, 12.5 * sine, -1.7, 30 * cosine, 1.0)


def moving(frame: int) -> Attributes:
    """Ten attributes that differ from frame to frame."""
    world_to_camera = camera(frame)
    packed = frame % 24 // 10 << 4 | frame % 24 % 10 | 0x01000000
    return [
        string("capDate", f"2026:03:01 12:{frame // 60 % 60:02d}:{frame % 60:02d}"),
        numbers("frame", "int", "i", frame),
        numbers("timeCode", "timecode", "2I", packed, 0),
        numbers("worldToCamera", "m44f", "16f", *world_to_camera),
        numbers("worldToNDC", "m44f", "16f", *(each * 1.777 for each in world_to_camera)),
        numbers("camera/position", "v3f", "3f", *world_to_camera[12:15]),
        numbers("render/seconds", "double", "d", 1200 + math.sin(frame) * 300),
        string("render/host", f"node{zlib.crc32(b'%d' % frame) % 400:03d}"),
        string("exr/source", f"/shows/abc/sc010/sh0250/render/v014/beauty.{frame}.exr"),
        numbers("sampleRange", "box2f", "4f", 0.0, 0.0, math.cos(frame), math.sin(frame)),
    ]


def steady() -> Attributes:
    """Forty-two attributes of every type that the OpenEXR wheel reads, the same on each frame."""
    hint, preview = b"application/octet-stream", bytes(range(256)) * 9
    texts = {
        "owner": "Studio", "comments": "beauty, all lights", "software": "Arnold 7.3.4.1", "arnold/version": "7.3.4.1",
        "oiio:ColorSpace": "ACEScg", "colorInteropID": "lin_ap1_scene", "project": "abc", "sequence": "sc010",
        "shot": "sh0250", "version/name": "v014", "artist": "Zoë", "renderLayer": "beauty", "camera/name": "shotCam",
        "cryptomatte/3ae39a5/name": "CryptoObject", "cryptomatte/3ae39a5/hash": "MurmurHash3_32",
        "cryptomatte/3ae39a5/conversion": "uint32_to_float32",
        "cryptomatte/3ae39a5/manifest": manifest_text(600),
    }  # fmt: skip
    return [
        *(string(name, text) for name, text in texts.items()),
        attribute("multiView", "stringvector", b"".join(struct.pack("<i", len(v)) + v for v in (b"left", b"right"))),
        numbers("cropWindow", "box2i", "4i", 10, 20, 1909, 1059),
        numbers("safeArea", "box2f", "4f", 0.05, 0.05, 0.95, 0.95),
        numbers("chromaticities", "chromaticities", "8f", 0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767),
        numbers("envmap", "envmap", "B", 0),
        numbers("expTime", "float", "f", 0.0208),
        numbers("aperture", "float", "f", 2.8),
        numbers("isoSpeed", "float", "f", 800.0),
        numbers("utcOffset", "double", "d", -3600.0),
        numbers("samples/camera", "int", "i", 6),
        numbers("lens/distortion", "floatvector", "6f", 0.01, -0.02, 0.003, 0.1, 0.25, 0.7),
        numbers("keyCode", "keycode", "7i", 12, 34, 567890, 1234, 20, 4, 64),
        numbers("framesPerSecond", "rational", "iI", 24000, 1001),
        numbers("proxyTiles", "tiledesc", "IIB", 64, 64, 1),
        numbers("scale2", "m33f", "9f", 1.1, 0, 0, 0, 1.1, 0, 0, 0, 1),
        numbers("scale2d", "m33d", "9d", 1.1, 0, 0, 0, 1.1, 0, 0, 0, 1),
        numbers("screenToWorld", "m44d", "16d", *camera(1)),
        numbers("sensor/photosites", "v2i", "2i", 4448, 3096),
        numbers("sensor/size", "v2f", "2f", 36.7, 25.54),
        numbers("origin2d", "v2d", "2d", 0.25, 0.75),
        numbers("grid", "v3i", "3i", 8, 8, 2),
        numbers("up", "v3f", "3f", 0.0, 1.0, 0.0),
        numbers("sun", "v3d", "3d", 0.3, 0.9, 0.1),
        attribute("preview", "preview", struct.pack("<II", 32, 18) + preview[: 4 * 32 * 18]),
        attribute("sidecar", "bytes", struct.pack("<I", len(hint)) + hint + b"\x00\x01\x02\x03" * 8),
    ]


def manifest_text(size_bytes: int) -> str:
    """A Cryptomatte manifest, names → hashes in hex, of about that size: compact JSON of a forest of objects."""
    entries: dict[str, str] = {}
    size, number = 2, 0
    while size < size_bytes:
        name = f"/world/set/block_{number // 1000:03d}/building_{number % 1000:03d}/geo/window_{number:07d}Shape"
        entries[name] = f"{zlib.crc32(name.encode()):08x}"
        size += len(name) + 14
        number += 1
    return json.dumps(entries, separators=(",", ":"))


# ---- Files -------------------------------------------------------------------------------------------------


def write(path: str, parts: list[tuple[Attributes, Chunks]]) -> None:
    """A whole file: headers, offset tables, leaders. What no leader covers is a hole of zeros."""
    is_multipart = len(parts) > 1
    end_of_header = b"\0\0" if is_multipart else b"\0"
    head = struct.pack("<iI", MAGIC, VERSION | (MULTIPART if is_multipart else 0))
    head += b"\0".join(b"".join(attributes) for attributes, _ in parts) + end_of_header
    offset = len(head) + 8 * sum(len(chunks.first_lines) for _, chunks in parts)
    tables: list[int] = []
    leaders: list[tuple[int, bytes]] = []
    for index, (_, chunks) in enumerate(parts):
        number = struct.pack("<i", index) if is_multipart else b""
        for line in chunks.first_lines:
            leader = number + struct.pack("<ii", line, chunks.data_bytes)
            tables.append(offset)
            leaders.append((offset, leader))
            offset += len(leader) + chunks.data_bytes
    with open(path, "wb") as file:
        file.write(head + struct.pack(f"<{len(tables)}Q", *tables))
        for place, leader in leaders:
            file.seek(place)
            file.write(leader)
    os.truncate(path, offset)


def chunks_of(size: tuple[int, int], compression: int, data_bytes: int) -> Chunks:
    return Chunks(range(0, size[1], LINES_PER_CHUNK[compression]), data_bytes)


def minimal(path: str, frame: int) -> None:
    """RGBA and the eight attributes that must be there; the height tells the frames apart."""
    size = (SIZE[0], SIZE[1] - frame % 16)
    write(path, [(standard(RGBA, size, ZIP), chunks_of(size, ZIP, 64))])


def rich(path: str, frame: int) -> None:
    """60 attributes of every type, 80 channels in layers."""
    attributes = [*standard(aov_channels(), SIZE, ZIP), *moving(frame), *steady()]
    write(path, [(attributes, chunks_of(SIZE, ZIP, 64))])


def twenty_parts(path: str, frame: int) -> None:
    """20 parts, a layer each, with the metadata repeated in each part, as compositing programs write them."""
    chunks = chunks_of(SIZE, ZIP, 64)
    parts = []
    for index in range(20):
        layer = LAYERS[index % len(LAYERS)] + ("" if index < len(LAYERS) else "_2")
        own = [
            string("name", layer),
            string("type", "scanlineimage"),
            string("view", "left"),
            numbers("chunkCount", "int", "i", len(chunks.first_lines)),
        ]
        names = [(each, HALF) for each in "RGB"]
        parts.append(([*standard(names, SIZE, ZIP), *own, *moving(frame)], chunks))
    write(path, parts)


def manifest(path: str, size_bytes: int) -> str:
    """One Cryptomatte manifest of that size in one string attribute. Returns its text."""
    text = manifest_text(size_bytes)
    attributes = [*standard(RGBA, SIZE, ZIP), string("cryptomatte/3ae39a5/manifest", text)]
    write(path, [(attributes, chunks_of(SIZE, ZIP, 64))])
    return text


def wide(path: str) -> int:
    """4096×2160 uncompressed, one half channel: 2160 chunks. Returns the bytes of header, tables and leaders."""
    attributes = standard([("Y", HALF)], WIDE_SIZE, NO_COMPRESSION)
    chunks = chunks_of(WIDE_SIZE, NO_COMPRESSION, 2 * WIDE_SIZE[0])
    write(path, [(attributes, chunks)])
    return 8 + len(b"".join(attributes)) + 1 + (8 + 8) * len(chunks.first_lines)
