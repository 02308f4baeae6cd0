"""The OpenEXR file format as `construct` declarations, top to bottom like the file-layout page.

Source: "OpenEXR File Layout" (openexr.com) and, where page and library differ, the library's own code. All
numbers are little-endian. Nothing here computes: what a value means stands in `attributes.py`, how it is read
fast in `compiled.py`, which derives its code from these declarations.
"""

from construct import (
    Array,
    Bytes,
    Const,
    Float32l,
    Float64l,
    GreedyBytes,
    GreedyRange,
    Int8ul,
    Int32sl,
    Int32ul,
    Int64ul,
    NoneOf,
    NullTerminated,
    Prefixed,
    Struct,
    this,
)

# ---- Magic number and version field ------------------------------------------------------------------------

MAGIC_BYTES = b"\x76\x2f\x31\x01"  # i32 20000630

FileStart = Struct(
    "magic" / Const(MAGIC_BYTES),
    "version_field" / Int32ul,  # low byte: version, 2; the other bits: flags
)

VERSION_MASK = 0x000000FF
TILED_FLAG = 0x00000200  # single part, tiles
LONG_NAMES_FLAG = 0x00000400  # names up to 255 bytes, else 31
DEEP_FLAG = 0x00000800  # at least one part is not a flat image
MULTIPART_FLAG = 0x00001000  # a list of headers, each chunk with a part number

# ---- Attributes --------------------------------------------------------------------------------------------
# A header is a sequence of attributes, ended by one NUL (an empty name). A multipart file is a sequence of
# headers, ended by one more NUL (an empty header).

Name = NullTerminated(GreedyBytes)
NonEmptyName = NoneOf(Name, [b""])

Attribute = Struct(
    "name" / NonEmptyName,
    "type_name" / Name,
    "size" / Int32sl,
    "value" / Bytes(this.size),
)

# ---- Chunks ------------------------------------------------------------------------------------------------
# After the headers: one table of u64 file offsets for each part, then the chunks. In multipart files each chunk
# begins with its part's number (i32; the page says u64, the library reads 4 bytes).

ChunkOffset = Int64ul
ChunkPartNumber = Int32sl

ScanlineLeader = Struct("y" / Int32sl, "packed_size" / Int32sl)

TileLeader = Struct(
    "tile_x" / Int32sl,
    "tile_y" / Int32sl,
    "level_x" / Int32sl,
    "level_y" / Int32sl,
    "packed_size" / Int32sl,
)

DeepScanlineLeader = Struct(
    "y" / Int32sl,
    "packed_table_size" / Int64ul,
    "packed_size" / Int64ul,
    "unpacked_size" / Int64ul,
)

DeepTileLeader = Struct(
    "tile_x" / Int32sl,
    "tile_y" / Int32sl,
    "level_x" / Int32sl,
    "level_y" / Int32sl,
    "packed_table_size" / Int64ul,
    "packed_size" / Int64ul,
    "unpacked_size" / Int64ul,
)

# ---- Attribute values: scalars -----------------------------------------------------------------------------

Int = Int32sl
Float = Float32l
Double = Float64l
Byte = Int8ul  # compression, lineOrder, envmap, deepImageState

# ---- Attribute values: vectors, boxes, matrices ------------------------------------------------------------

V2i = Struct("x" / Int32sl, "y" / Int32sl)
V2f = Struct("x" / Float32l, "y" / Float32l)
V2d = Struct("x" / Float64l, "y" / Float64l)
V3i = Struct("x" / Int32sl, "y" / Int32sl, "z" / Int32sl)
V3f = Struct("x" / Float32l, "y" / Float32l, "z" / Float32l)
V3d = Struct("x" / Float64l, "y" / Float64l, "z" / Float64l)

Box2i = Struct("min" / V2i, "max" / V2i)
Box2f = Struct("min" / V2f, "max" / V2f)

# Row-major.
M33f = Struct("rows" / Array(3, Array(3, Float32l)))
M33d = Struct("rows" / Array(3, Array(3, Float64l)))
M44f = Struct("rows" / Array(4, Array(4, Float32l)))
M44d = Struct("rows" / Array(4, Array(4, Float64l)))

# ---- Attribute values: records -----------------------------------------------------------------------------

Chromaticities = Struct("red" / V2f, "green" / V2f, "blue" / V2f, "white" / V2f)

Rational = Struct("numerator" / Int32sl, "denominator" / Int32ul)

KeyCode = Struct(
    "film_mfc_code" / Int32sl,
    "film_type" / Int32sl,
    "prefix" / Int32sl,
    "count" / Int32sl,
    "perf_offset" / Int32sl,
    "perfs_per_frame" / Int32sl,
    "perfs_per_count" / Int32sl,
)

TimeCode = Struct("time_and_flags" / Int32ul, "user_data" / Int32ul)

TileDescription = Struct(
    "x_size" / Int32ul,
    "y_size" / Int32ul,
    "mode" / Int8ul,  # level mode in the low nibble, rounding mode in the high one
)

# ---- Attribute values: lists -------------------------------------------------------------------------------
# Each list runs to the end of the value. What a list leaves over is a field of its own, so that no byte of a
# damaged value is dropped in silence.

FloatVector = Struct("elements" / GreedyRange(Float32l), "rest" / GreedyBytes)  # rest: b""

StringVector = Struct("elements" / GreedyRange(Prefixed(Int32sl, GreedyBytes)), "rest" / GreedyBytes)  # rest: b""

Channel = Struct(
    "name" / NonEmptyName,
    "pixel_type" / Int32sl,
    "p_linear" / Int8ul,
    "reserved" / Bytes(3),
    "x_sampling" / Int32sl,
    "y_sampling" / Int32sl,
)

ChannelList = Struct("elements" / GreedyRange(Channel), "rest" / GreedyBytes)  # rest: one NUL

# ---- Attribute values: blobs -------------------------------------------------------------------------------

String = GreedyBytes  # the attribute's size is the text's length; no length inside, no NUL

Preview = Struct("width" / Int32ul, "height" / Int32ul, "rgba" / GreedyBytes)  # rgba: 4 · width · height

HintedBytes = Struct("type_hint" / Prefixed(Int32ul, GreedyBytes), "data" / GreedyBytes)  # OpenEXR 3.4 `bytes`

IdManifest = GreedyBytes  # u64 uncompressed size and a zlib stream; the body is read by `idmanifest.py`
