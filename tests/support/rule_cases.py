"""Files that break one rule each, and their neighbours that do not. Bytes from `exr_bytes` and fixtures/."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from exr_inspector.limits import DEFAULT_LIMITS, Limits
from tests.support.exr_bytes import (
    DEEP,
    LONG_NAMES,
    MULTIPART,
    TILED,
    Attributes,
    PartBytes,
    attribute,
    header,
    minimal_attributes,
    multipart,
    pack_channel,
    pack_f32,
    pack_i32,
    pack_preview,
    pack_tiledesc,
    pack_u32,
    single_part,
    start,
)

FIXTURES = Path(__file__).parent.parent.parent / "fixtures"

# ---- Bytes -------------------------------------------------------------------------------------------------

Change = tuple[str, bytes] | None


def changed(attributes: Attributes, changes: dict[str, Change]) -> Attributes:
    """The attributes with some replaced, added or (None) dropped."""
    values = dict(attributes)
    for name, change in changes.items():
        if change is None:
            del values[name]
        else:
            values[name] = attribute(name, *change)
    return values


def flat(changes: dict[str, Change] | None = None, flags: int = 0, **settings: Any) -> bytes:
    return single_part(changed(minimal_attributes(**settings), changes or {}), [], flags).data


def tiled(x_size: int = 4, y_size: int = 4, mode: int = 0, **settings: Any) -> bytes:
    return flat(flags=TILED, tiles=pack_tiledesc(x_size, y_size, mode & 15, mode >> 4), **settings)


def deep(changes: dict[str, Change] | None = None, **settings: Any) -> bytes:
    values = {"deep": True, "part_type": "deepscanline", "chunk_count": 4, **settings}
    return flat(changes, DEEP, **values)


def part(changes: dict[str, Change] | None = None, **settings: Any) -> PartBytes:
    values = {"name": "a", "part_type": "scanlineimage", "chunk_count": 4, **settings}
    return PartBytes(changed(minimal_attributes(**values), changes or {}))


def parts(*each: PartBytes, flags: int = 0) -> bytes:
    return multipart(each, flags).data


def twice(name: str, type_name: str, payload: bytes) -> bytes:
    return start() + header([*minimal_attributes().values(), *2 * [attribute(name, type_name, payload)]])


def again(name: str) -> bytes:
    attributes = minimal_attributes()
    return start() + header([*attributes.values(), attributes[name]])


def box(*corners: int) -> Change:
    return "box2i", pack_i32(*corners)


def channels(*records: bytes, end: bytes = b"\0") -> dict[str, Change]:
    return {"channels": ("chlist", b"".join(records) + end)}


def value(type_name: str, payload: bytes) -> bytes:
    return flat({"v": (type_name, payload)})


def chromaticities(number: float) -> Change:
    return "chromaticities", pack_f32(*[number] * 8)


def fixture(name: str) -> bytes:
    return (FIXTURES / f"{name}.exr").read_bytes()


# ---- One row for each rule: broken, kept -------------------------------------------------------------------


class Case(NamedTuple):
    """`bad` breaks `rule` in `places` (part, attribute), and beside it the rules in `also`; `good` keeps all others.

    `limits` are those for `bad`.
    """

    rule: str
    bad: bytes
    good: bytes
    places: tuple[tuple[int | None, str | None], ...] = ((0, None),)
    also: frozenset[str] = frozenset()
    integrity: str = "none"
    limits: Limits = DEFAULT_LIMITS


def on(name: str | None, part_index: int | None = 0) -> tuple[tuple[int | None, str | None], ...]:
    return ((part_index, name),)


B = 2**30 - 1
IN_FILE = on(None, None)
HALF = pack_channel("R")
NAME_31, NAME_32, NAME_255, NAME_256 = ("n" * size for size in (31, 32, 255, 256))
EVERY_ATTRIBUTE = tuple(minimal_attributes())
NOT_DEFAULTED = {
    "channels": (flat({"channels": None}), flat()),
    "tiles": (flat(flags=TILED), tiled()),
    "name": (parts(part(), part({"name": None})), parts(part(), part(name="b"))),
    "type": (parts(part(), part({"type": None}, name="b")), parts(part(), part(name="b"))),
}

CASES: tuple[Case, ...] = (
    # ---- The file
    Case("file.kind", b"", flat(), IN_FILE),
    Case("file.kind", b"\x89PNG\r\n\x1a\n", flat(), IN_FILE),
    Case("file.kind", start(version=3), flat(), IN_FILE),
    Case("file.kind", start(0x2000) + flat()[8:], flat(), IN_FILE),
    Case("file.sizes", flat()[:-1], flat()),
    Case("file.sizes", start() + attribute("v", "int", b"", size=-1), flat({"v": ("int", bytes(4))}), on("v")),
    Case("file.readable", flat(), flat(), limits=Limits(max_attributes=7)),
    Case("file.limits", value("floatvector", bytes(8)), flat(), on("v"), limits=Limits(max_elements=1)),
    *(
        Case("file.flags", start(flags) + flat()[8:], flat(), IN_FILE, also=frozenset(also))
        for flags, also in (
            (TILED | DEEP, ("attribute.required", "attribute.required_strict")),
            (TILED | DEEP | LONG_NAMES, ("attribute.required", "attribute.required_strict")),
        )
    ),
    Case("file.flags", start(TILED | MULTIPART) + parts(part())[8:], parts(part()), IN_FILE),
    Case("file.parts", start(MULTIPART) + b"\0", parts(part()), IN_FILE),
    # ---- Attributes
    *(
        Case("attribute.required", bad, good, on(name, 1 if name in ("name", "type") else 0))
        for name, (bad, good) in NOT_DEFAULTED.items()
    ),
    Case("attribute.required", deep({"type": None}), deep(), on("type")),
    *(
        Case("attribute.required_strict", flat({name: None}), flat(), on(name))
        for name in EVERY_ATTRIBUTE
        if name != "channels"
    ),
    Case("attribute.required_strict", parts(part(), part({"chunkCount": None}, name="b")), parts(part()),
         on("chunkCount", 1)),
    Case("attribute.required_strict", deep({"chunkCount": None}), deep(), on("chunkCount")),
    Case("attribute.required_strict", deep({"version": None}), deep(), on("version")),
    Case("attribute.required_strict", parts(part({"version": None}, part_type="deepscanline", deep=True), flags=DEEP),
         parts(part(part_type="deepscanline", deep=True), flags=DEEP), on("version")),
    Case("attribute.type", flat({"channels": ("string", b"R")}), flat(), on("channels")),
    Case("attribute.type", flat({"tiles": ("int", bytes(4))}, TILED), tiled(), on("tiles")),
    Case("attribute.type", parts(part({"name": ("int", bytes(4))})), parts(part()), on("name")),
    Case("attribute.type", parts(part({"type": ("int", bytes(4))})), parts(part()), on("type")),
    *(
        Case("attribute.type_strict", flat({name: (type_name, bytes(size))}), flat(), on(name))
        for name, type_name, size in (
            ("compression", "int", 4), ("dataWindow", "box2f", 16), ("displayWindow", "v2i", 8),
            ("lineOrder", "compression", 1), ("pixelAspectRatio", "double", 8), ("screenWindowCenter", "v2i", 8),
            ("screenWindowWidth", "int", 4), ("tiles", "int", 4), ("name", "int", 4), ("type", "int", 4),
            ("version", "float", 4), ("chunkCount", "float", 4), ("view", "int", 4), ("multiView", "string", 4),
        )
    ),
    *(
        Case("attribute.duplicate_required", again(name), flat(), on(name))
        for name in EVERY_ATTRIBUTE
    ),
    *(
        Case("attribute.duplicate_required", twice(name, type_name, payload), flat(), on(name))
        for name, type_name, payload in (
            ("name", "string", b"n"), ("type", "string", b"scanlineimage"), ("chunkCount", "int", pack_i32(4)),
            ("version", "int", pack_i32(1)), ("tiles", "tiledesc", pack_tiledesc(4, 4)),
        )
    ),
    Case("attribute.duplicate", twice("v", "int", bytes(4)), value("int", bytes(4)), on("v")),
    Case("attribute.duplicate", twice("view", "string", b"left") + bytes(64), flat(), on("view")),
    Case("attribute.type_name", value("", b"abcd"), value("x", b"abcd"), on("v")),
    Case("attribute.name_length", flat({NAME_256: ("int", bytes(4))}, LONG_NAMES),
         flat({NAME_255: ("int", bytes(4))}, LONG_NAMES), on(NAME_256)),
    Case("attribute.name_length", flat({"v": (NAME_256, b"")}), flat({"v": (NAME_255, b"")}, LONG_NAMES), on("v")),
    Case("attribute.name_length", flat(channels(pack_channel(NAME_256)), LONG_NAMES),
         flat(channels(pack_channel(NAME_255)), LONG_NAMES), on("channels")),
    Case("attribute.name_length_strict", flat({NAME_32: ("int", bytes(4))}), flat({NAME_31: ("int", bytes(4))}),
         on(NAME_32)),
    Case("attribute.name_length_strict", flat({NAME_32: ("", b"")}), flat(), on(NAME_32),
         frozenset(["attribute.type_name"])),
    Case("attribute.name_length_strict", flat({"v": (NAME_32, b"")}), flat({"v": (NAME_31, b"")}), on("v")),
    Case("attribute.name_length_strict", flat({NAME_255: ("int", bytes(4))}),
         flat({NAME_255: ("int", bytes(4))}, LONG_NAMES), on(NAME_255)),
    Case("attribute.name_length_strict", flat(channels(HALF, pack_channel(NAME_32))),
         flat(channels(HALF, pack_channel(NAME_31))), on("channels")),
    # ---- Values
    Case("value.size", value("int", bytes(3)), value("int", bytes(4)), on("v")),
    Case("value.size", value("m44d", bytes(129)), value("m44d", bytes(128)), on("v")),
    Case("value.size", value("bytes", pack_u32(9)), value("bytes", pack_u32(0)), on("v")),
    Case("value.float_vector", value("floatvector", bytes(7)), value("floatvector", bytes(8)), on("v")),
    Case("value.string_vector", value("stringvector", pack_i32(2) + b"a"), value("stringvector", pack_i32(1) + b"a"),
         on("v")),
    Case("value.string_vector", value("stringvector", pack_i32(-1)), value("stringvector", b""), on("v")),
    *(
        Case("value.preview", flat({"preview": ("preview", bad)}), flat({"preview": ("preview", pack_preview(1, 1))}),
             on("preview"))
        for bad in (b"", pack_preview(0, 0), pack_preview(0, 1), pack_preview(1, 0), pack_preview(2, 1, bytes(4)),
                    pack_preview(1, 1, bytes(8)))
    ),
    Case("value.channel_list", flat(channels(HALF, end=b"")), flat(channels(HALF)), on("channels")),
    Case("value.channel_list", flat(channels(HALF, end=b"\0x")), flat(channels(HALF)), on("channels")),
    Case("value.channel_list", flat(channels(HALF, HALF[:-1], end=b"")), flat(channels(HALF)), on("channels")),
    Case("value.id_manifest", fixture("damaged/idmanifest_not_zlib"), fixture("hand/idmanifest_all_codings"),
         on("idManifest")),
    Case("value.id_manifest", fixture("damaged/idmanifest_body_trailing"), fixture("hand/idmanifest_empty"),
         on("idManifest")),
    Case("value.id_manifest", fixture("damaged/idmanifest_blob_cut"), fixture("hand/idmanifest_unordered"),
         on("idManifest")),
    *(
        Case("value.enumeration", flat({name: (type_name, bytes([most + 1]))}),
             flat({name: (type_name, bytes([most]))}), on(name))
        for name, type_name, most in (("compression", "compression", 13), ("envmap", "envmap", 1),
                                      ("deepImageState", "deepImageState", 3))
    ),
    Case("value.enumeration", flat({"lineOrder": ("lineOrder", b"\3")}), flat({"lineOrder": ("lineOrder", b"\1")}),
         on("lineOrder")),
    *(
        Case("value.time_code", value("timecode", pack_u32(bad, 0)),
             value("timecode", pack_u32(0x23595959, 0)), on("v"))
        for bad in (0x0000000A, 0x00600000, 0x24000000, 0x00000A00)
    ),
    *(
        Case("value.key_code", value("keycode", pack_i32(*bad)),
             value("keycode", pack_i32(99, 99, 999999, 9999, 119, 15, 120)), on("v"))
        for bad in ((100, 0, 0, 0, 0, 1, 20), (0, 100, 0, 0, 0, 1, 20), (0, 0, 1000000, 0, 0, 1, 20),
                    (0, 0, 0, 10000, 0, 1, 20), (0, 0, 0, 0, 120, 1, 20), (0, 0, 0, 0, 0, 0, 20),
                    (0, 0, 0, 0, 0, 16, 20), (0, 0, 0, 0, 0, 1, 19), (0, 0, 0, 0, 0, 1, 121), (-1, 0, 0, 0, 0, 1, 20))
    ),
    Case("value.text", value("string", b"\xff"), value("string", "ÿ".encode()), on("v")),
    Case("value.text", start() + header([*minimal_attributes().values(), attribute(b"\xff", "int", bytes(4))]), flat(),
         on("\ufffd")),
    # ---- Windows and the screen
    *(
        Case(rule, flat({name: box(*bad)}), flat({name: box(*good)}), on(name))
        for name in ("dataWindow", "displayWindow")
        for rule, bad, good in (
            ("window.inverted", (4, 0, 3, 3), (4, 0, 4, 3)),
            ("window.inverted", (0, 4, 3, 3), (0, 4, 3, 4)),
            ("window.range", (-B, 0, 0, 0), (1 - B, 0, 0, 0)),
            ("window.range", (0, -B, 0, 0), (0, 1 - B, 0, 0)),
            ("window.range", (0, 0, B, 0), (0, 0, B - 1, 0)),
            ("window.range", (0, 0, 0, B), (0, 0, 0, B - 1)),
        )
    ),
    *(
        Case("screen.pixel_aspect_ratio", flat({"pixelAspectRatio": ("float", pack_f32(bad))}),
             flat({"pixelAspectRatio": ("float", pack_f32(good))}), on("pixelAspectRatio"))
        for bad, good in ((9.9e-7, 1e-6), (1.1e6, 1e6), (0.0, 1.0), (-1.0, 1.0), (float("nan"), 2.0),
                          (float("inf"), 0.5))
    ),
    *(
        Case("screen.width", flat({"screenWindowWidth": ("float", pack_f32(bad))}),
             flat({"screenWindowWidth": ("float", pack_f32(good))}), on("screenWindowWidth"))
        for bad, good in ((-1e-9, 0.0), (float("-inf"), float("inf")), (-1.0, float("nan")))
    ),
    # ---- Channels
    Case("channel.present", flat(channels()), flat(channels(HALF)), on("channels")),
    Case("channel.duplicate", flat(channels(pack_channel("G"), HALF, HALF)), flat(channels(pack_channel("G"), HALF)),
         on("channels")),
    *(
        Case("channel.pixel_type", flat(channels(pack_channel("R", bad))), flat(channels(pack_channel("R", good))),
             on("channels"))
        for bad, good in ((3, 2), (-1, 0))
    ),
    Case("channel.p_linear", flat(channels(pack_channel("R", p_linear=2))),
         flat(channels(pack_channel("R", p_linear=1))), on("channels")),
    *(
        Case("channel.sampling", flat(channels(pack_channel("R", x_sampling=x, y_sampling=y))), flat(), on("channels"))
        for x, y in ((0, 1), (1, 0), (-1, 1), (1, -2147483648))
    ),
    *(
        Case("channel.sampling", tiled(channels=[pack_channel("R", x_sampling=x, y_sampling=y)]), tiled(),
             on("channels"))
        for x, y in ((0, 1), (1, 0), (-1, 1), (1, -1))
    ),
    *(
        Case("channel.sampling_one", bad, good, on("channels"))
        for x, y in ((2, 1), (1, 2))
        for bad, good in (
            (tiled(channels=[pack_channel("R", x_sampling=x, y_sampling=y)]), tiled()),
            (deep(channels=[pack_channel("R", x_sampling=x, y_sampling=y)]), deep()),
        )
    ),
    *(
        Case("channel.sampling_window", flat(channels(pack_channel("R", x_sampling=x, y_sampling=y)), origin=bad),
             flat(channels(pack_channel("R", x_sampling=2, y_sampling=2)), origin=(-2, 4)), on("channels"))
        for x, y, bad in ((3, 1, (0, 0)), (1, 3, (0, 0)), (2, 1, (1, 0)), (1, 2, (0, -1)))
    ),
    Case("channel.order", flat(channels(HALF, pack_channel("G"))), flat(channels(pack_channel("G"), HALF)),
         on("channels")),
    # ---- Parts
    Case("part.type", parts(part(part_type="futureimage")), parts(part()), on("type")),
    Case("part.type", deep(part_type="futureimage"), deep(), on("type")),
    Case("part.type_flags", flat(part_type="tiledimage"), flat(part_type="scanlineimage"), on("type")),
    Case("part.type_flags", flat(part_type="deepscanline"), flat(), on("type")),
    Case("part.type_flags", flat(flags=TILED, tiles=pack_tiledesc(4, 4), part_type="scanlineimage"),
         tiled(part_type="tiledimage"), on("type")),
    Case("part.type_flags", deep(part_type="scanlineimage"), deep(), on("type")),
    Case("part.type_flags", parts(part(part_type="deepscanline", deep=True)),
         parts(part(part_type="deepscanline", deep=True), flags=DEEP), on("type")),
    Case("part.type_flags", parts(part(), flags=DEEP),
         parts(part(), part(name="b", part_type="deepscanline", deep=True), flags=DEEP), IN_FILE),
    Case("part.name_unique", parts(part(), part(name="b"), part()), parts(part(), part(name="A")), on("name", 2)),
    *(
        Case("part.shared", parts(part(first), part(second, name="b")), parts(part(first), part(first, name="b")),
             on(name, 1))
        for name, first, second in (
            ("displayWindow", {}, {"displayWindow": box(0, 0, 9, 9)}),
            ("pixelAspectRatio", {}, {"pixelAspectRatio": ("float", pack_f32(2))}),
            ("chromaticities", {"chromaticities": chromaticities(0.1)}, {"chromaticities": chromaticities(0.2)}),
            ("chromaticities", {}, {"chromaticities": chromaticities(0.2)}),
            ("timecode", {"timecode": ("timecode", pack_u32(1, 0))}, {"timecode": ("timecode", pack_u32(2, 0))}),
        )
    ),
    Case("part.shared_time_code",
         parts(part({"timeCode": ("timecode", pack_u32(1, 0))}),
               part({"timeCode": ("timecode", pack_u32(2, 0))}, name="b")),
         parts(part({"timeCode": ("timecode", pack_u32(1, 0))}), part(name="b")), on("timeCode", 1)),
    Case("part.random_y", flat({"lineOrder": ("lineOrder", b"\2")}),
         flat({"lineOrder": ("lineOrder", b"\2")}, TILED, tiles=pack_tiledesc(4, 4)), on("lineOrder")),
    # ---- Tiles and deep data
    *(
        Case("tile.size", tiled(*bad), tiled(*good), on("tiles"))
        for bad, good in (
            ((0, 4), (1, 4)), ((4, 0), (4, 1)), ((2**29, 4), (2**29 - 1, 4)), ((4, 2**29), (4, 2**29 - 1)),
            ((2**32 - 1, 4), (4, 4)),
        )
    ),
    *(
        Case("tile.mode", tiled(mode=bad), tiled(mode=good), on("tiles"))
        for bad, good in ((3, 2), (0x20, 0x12), (0xF0, 0x10))
    ),
    Case("deep.version", deep({"version": ("int", pack_i32(2))}), deep(), on("version")),
    *(
        Case("deep.compression", deep(compression=bad), deep(compression=good), on("compression"))
        for bad, good in zip((3, 4, 5, 6, 7, 8, 9, 10, 11, 12), (0, 1, 2, 13, 0, 0, 0, 0, 0, 0), strict=True)
    ),
    # ---- Chunks
    Case("chunk.table", flat(height=2**20 + 1), flat(height=2**20), on(None), frozenset(["chunk.offset"]), "table"),
    *(
        Case("chunk.offset", fixture(f"damaged/{name}"), fixture("hand/minimal"), (place,), integrity="chunks")
        for name, place in (
            ("truncated_last_byte", (None, None)), ("offset_into_header", (0, None)), ("leader_first_y", (0, None)),
            ("truncated_in_offset_table", (None, None)),
        )
    ),
    Case("chunk.missing", fixture("damaged/gap_middle"), fixture("hand/minimal"), on(None), integrity="table"),
    Case("chunk.trailing", fixture("damaged/trailing_one_byte"), fixture("hand/minimal"), IN_FILE, integrity="table"),
    Case("chunk.count", fixture("damaged/chunk_count_too_small"), fixture("hand/chunk_count_right"), on("chunkCount"),
         integrity="table"),
    Case("chunk.countable", fixture("damaged/empty_dataWindow"), fixture("hand/minimal"), on(None),
         frozenset(["value.size"]), "table"),
)  # fmt: skip
