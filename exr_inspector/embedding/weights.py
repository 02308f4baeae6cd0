"""The frozen tables behind the vectors. Changing any line of this module needs a new `EMBEDDING_VERSION`.

A vector is made of blocks. Inside a block every token weighs what `KINDS` says; each block is scaled to length one
and multiplied by its weight of `BLOCKS`, so that a file with two hundred channels says no more about channels than
one with four. The weights were fitted on the corpus of `bench/retrieval.py` with the seeds 1 to 3; the table in
`docs/VECTOR_STRATEGY.md` is measured with others.
"""

from __future__ import annotations

from typing import NamedTuple

EMBEDDING_VERSION = "1"

METADATA_DIM = 384
FINGERPRINT_DIM = 128

# Weights of whole blocks. What two unrelated blocks contribute to a cosine goes with the weights' squares.
BLOCKS: dict[str, int] = {
    "channels": 32,  # layers, channels, pixel types
    "size": 18,  # how many layers
    "attributes": 20,  # the attribute vocabulary
    "windows": 18,  # windows, overscan, pixel aspect
    "storage": 18,  # compression, part type, tiling, line order
    "parts": 8,  # part names, views
    "origin": 12,  # the renderer's family, colour, frame rate
    "bias": 2,  # the constant that keeps the vector of an empty document from being zero
}


class Kind(NamedTuple):
    """One kind of token: its block and its weight there.

    `is_counted`: a second occurrence says more than one. `is_ladder`: the tokens are the rungs 1, 2, 3… up to a
    number; they lie side by side in the vector, so that the rungs of one ladder never collide.
    """

    block: str
    weight: int
    is_counted: bool = False
    is_ladder: bool = False


# The word before a token's colon is its kind.
KINDS: dict[str, Kind] = {
    "bias": Kind("bias", 1),
    # ---- channels: counted, because light1 and light2 fold to the same word
    "layer": Kind("channels", 6, is_counted=True),
    "channel": Kind("channels", 3, is_counted=True),
    "channel_type": Kind("channels", 2, is_counted=True),
    "channel_sampling": Kind("channels", 2, is_counted=True),
    "pixel_type": Kind("channels", 2),
    # ---- size: the more layers are missing, the farther, whatever collides elsewhere
    "layers": Kind("size", 1, is_ladder=True),
    # ---- attributes
    "attribute": Kind("attributes", 4),
    "attribute_type": Kind("attributes", 1),
    "attribute_group": Kind("attributes", 6),
    # ---- windows
    "display_width": Kind("windows", 4),
    "display_height": Kind("windows", 4),
    "display_width_near": Kind("windows", 2),
    "display_height_near": Kind("windows", 2),
    "data_width_near": Kind("windows", 1),
    "data_height_near": Kind("windows", 1),
    "overscan": Kind("windows", 4),
    "overscan_near": Kind("windows", 2),
    "pixel_aspect": Kind("windows", 3),
    "pixel_aspect_near": Kind("windows", 1),
    # ---- storage
    "compression": Kind("storage", 8),
    "compression_loss": Kind("storage", 3),
    "part_type": Kind("storage", 3),
    "flag": Kind("storage", 2),
    "line_order": Kind("storage", 1),
    "tile": Kind("storage", 3),
    "tile_near": Kind("storage", 1),
    "level_mode": Kind("storage", 2),
    "rounding_mode": Kind("storage", 1),
    # ---- parts
    "part": Kind("parts", 4, is_counted=True),
    "parts": Kind("parts", 2, is_ladder=True),
    "view": Kind("parts", 4),
    # ---- origin
    "renderer": Kind("origin", 6),
    "software": Kind("origin", 3),
    "color_space": Kind("origin", 4),
    "setting": Kind("origin", 3),
}

# Attributes that every file has, or that other blocks already speak for: no word of the vocabulary.
STRUCTURAL_ATTRIBUTES = frozenset(
    (
        "channels", "compression", "dataWindow", "displayWindow", "lineOrder", "pixelAspectRatio",
        "screenWindowCenter", "screenWindowWidth", "tiles", "name", "type", "version", "chunkCount", "view",
        "multiView",
    )
)  # fmt: skip

# The only attributes whose values count. All others may name paths, hosts, dates or frames.
SETTING_ATTRIBUTES = frozenset(
    (
        "framesPerSecond", "chromaticities", "adoptedNeutral", "whiteLuminance", "envmap", "deepImageState",
        "wrapmodes", "acesImageContainerFlag", "dwaCompressionLevel",
    )
)  # fmt: skip

# Attribute names that begin like this, or software that is named like this, tell the renderer's family.
RENDERER_PREFIXES: tuple[tuple[str, str], ...] = (
    ("arnold/", "arnold"),
    ("vrayInfo/", "v-ray"),
    ("cycles.", "cycles"),
    ("rs/", "redshift"),
    ("renderMan", "renderman"),
    ("rman", "renderman"),
    ("karma", "karma"),
    ("moonray", "moonray"),
    ("resumeHistory", "moonray"),
    ("nuke/", "nuke"),
    ("com.arri.", "arri"),
    ("katana:", "katana"),
)
# The first word of a software's name, in lower case, where it is not yet the family's.
RENDERER_WORDS: dict[str, str] = {
    "arnold": "arnold",
    "blender": "cycles",
    "cycles": "cycles",
    "htoa": "arnold",
    "karma": "karma",
    "moonray": "moonray",
    "mtoa": "arnold",
    "nuke": "nuke",
    "prman": "renderman",
    "redshift": "redshift",
    "renderman": "renderman",
    "v-ray": "v-ray",
    "vray": "v-ray",
}

# OpenEXR's compressions that lose something. An unknown word tells nothing.
LOSSY_COMPRESSIONS = frozenset(("pxr24", "b44", "b44a", "dwaa", "dwab"))
LOSSLESS_COMPRESSIONS = frozenset(("none", "rle", "zips", "zip", "piz", "htj2k256", "htj2k32", "zstd"))

# The bias is the same in every vector: it must not make strangers look alike, hence its small weight.
BIAS_TOKEN = "bias:1"  # noqa: S105 - a word, no password

# ---- Bounds ------------------------------------------------------------------------------------------------
# A text or a list beyond these bounds is left out, whole. They keep every value that counts well below the 64 KiB
# at which `tables` cuts stored values, so a stored document gives the vector of the file's own.
MAX_TEXT_CHARACTERS = 512
MAX_VIEWS = 16
MAX_SETTING_FIELDS = 4
MAX_SETTING_DEPTH = 2
# Of equal tokens (after folding) at most so many count: bounds what a hostile channel list costs.
MAX_OCCURRENCES = 256
# A ladder has a rung for each number up to 32, then eight an octave, and no more than this.
MAX_RUNG = 64
# An integer beyond this tells nothing: no header field is that large.
MAX_NUMBER = 1 << 64
