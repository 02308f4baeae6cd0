"""Vectors: what moves them, what must not, and that every platform gives the same bytes."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import random
import shutil
import struct
import subprocess
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from exr_inspector import embedding
from exr_inspector.embedding import vectors, weights, words
from exr_inspector.errors import ExrError
from tests.support.documents import MINIMAL, channel, entry, hand_document, payloads

ROOT = Path(__file__).parent.parent
Change = Callable[[dict[str, Any]], object]


def packed(vector: list[float]) -> bytes:
    """The vector's bytes; fails if a number is not of single precision."""
    data = struct.pack(f"<{len(vector)}f", *vector)
    assert list(struct.unpack(f"<{len(vector)}f", data)) == vector
    return data


def cosine(a: dict[str, Any], b: dict[str, Any]) -> float:
    left, right = embedding.embed_documents([a, b]).astype(np.float64)
    return float(left @ right)


# ---- The contract's minimal payloads and errors ------------------------------------------------------------


def test_a_minimal_payload_has_a_unit_vector() -> None:
    vector = embedding.compute_metadata_embedding(MINIMAL)
    assert len(vector) == 384
    assert all(type(number) is float for number in vector)
    assert math.fsum(number * number for number in vector) == pytest.approx(1, abs=1e-6)
    assert sorted(map(abs, vector))[-2:] == [0.0, 1.0] or math.hypot(*vector) == pytest.approx(1, abs=1e-6)


def test_no_channels_have_a_unit_fingerprint() -> None:
    vector = embedding.compute_channel_fingerprint([])
    assert len(vector) == 128
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("missing", ["channels", "parts", "attributes"])
def test_what_is_missing_counts_as_empty(missing: str) -> None:
    empty = {**MINIMAL, "attributes": {}}
    less = {key: value for key, value in empty.items() if key != missing}
    assert embedding.compute_metadata_embedding(less) == embedding.compute_metadata_embedding(empty)


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "file"),
        ({"channels": [], "parts": []}, "file"),
        ({"file": None}, "file"),
        ({"file": "a.exr"}, "file"),
        ([], "payload"),
        (None, "payload"),
        ({"file": {}, "channels": {"R": "half"}}, "channels"),
        ({"file": {}, "channels": "RGB"}, "channels"),
        ({"file": {}, "channels": ["R"]}, r"channels\[0\]"),
        ({"file": {}, "channels": [{"name": "R", "type": "half"}, {"name": "G"}]}, r"channels\[1\] missing type"),
        ({"file": {}, "channels": [{"name": "R", "type": None}]}, r"channels\[0\] missing type"),
        ({"file": {}, "channels": [{"name": "R", "type": ["half"]}]}, r"channels\[0\] missing type"),
        ({"file": {}, "channels": [{"type": "half"}]}, r"channels\[0\] missing name"),
        ({"file": {}, "channels": [{"name": "R", "type": "half", "x_sampling": [1]}]}, r"channels\[0\]"),
        ({"file": {}, "channels": [{"name": "R", "type": "half", "part_index": {}}]}, r"channels\[0\]"),
        ({"file": {}, "parts": "one"}, "parts"),
        ({"file": {}, "parts": [None]}, r"parts\[0\]"),
        ({"file": {}, "attributes": ["owner"]}, "attributes"),
        ({"file": {}, "attributes": {"parts": [["owner"]]}}, r"attributes\[0\]"),
    ],
)
def test_what_cannot_be_embedded_names_the_field(payload: Any, field: str) -> None:
    with pytest.raises(embedding.VectorEmbeddingError, match=field) as caught:
        embedding.compute_metadata_embedding(payload)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, ExrError)


def test_a_channel_without_a_type_has_no_fingerprint() -> None:
    with pytest.raises(embedding.VectorEmbeddingError, match="type"):
        embedding.compute_channel_fingerprint([{"name": "R"}])


@pytest.mark.parametrize("dim", [0, -1, 4097, 1.5, "384", None, True])
def test_a_dimension_must_be_a_size(dim: Any) -> None:
    with pytest.raises(embedding.VectorEmbeddingError, match="embedding_dim"):
        embedding.compute_metadata_embedding(MINIMAL, dim)


@pytest.mark.parametrize("dim", [1, 2, 7, 384, 4096])
def test_every_dimension_gives_a_unit_vector(dim: int) -> None:
    vector = embedding.compute_metadata_embedding(hand_document(), embedding_dim=dim)
    assert len(vector) == dim
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-6)


def test_flat_attributes_are_part_of_the_vocabulary() -> None:
    assert "attribute:owner" in embedding.document_tokens({"file": {}, "attributes": {"owner": "x"}})
    assert "setting:envmap cube" in embedding.document_tokens({"file": {}, "attributes": {"envmap": "cube"}})


# ---- What must not move a vector ---------------------------------------------------------------------------


def attribute(document: dict[str, Any], name: str, value: Any) -> None:
    (found,) = (each for each in document["attributes"]["parts"][0] if each["name"] == name)
    found["value"] = value


NUISANCES: dict[str, Change] = {
    "path": lambda d: d["file"].update(path="s3://other/place/x.0007.exr"),
    "frame number": lambda d: d["file"].update(frame_number=-7),
    "modification time": lambda d: d["file"].update(mtime="1999-12-31T23:59:59.000000Z"),
    "size": lambda d: d["file"].update(size_bytes=1),
    "header hash and size": lambda d: d["file"].update(header_hash="cd" * 32, header_bytes=5),
    "object": lambda d: d["file"].update(s3_bucket="b", s3_key="k", etag="e", s3_version_id="v"),
    "host": lambda d: attribute(d, "arnold/host/name", "node002.farm.example"),
    "date": lambda d: attribute(d, "capDate", "1999:12:31 23:59:59"),
    "part's trailing number": lambda d: d["parts"][0].update(part_name="beauty.7"),
    "renderer's version": lambda d: d["parts"][0].update(render_software="Arnold 8.0 on /mnt/node9"),
    "Cryptomatte's id": lambda d: d["attributes"]["parts"][0][2].update(name="cryptomatte/ffff000/name"),
    "chunk count": lambda d: d["parts"][0].update(chunk_count=None),
    "errors": lambda d: d["errors"].append({"code": "x", "severity": "error", "message": "byte 77"}),
    "integrity": lambda d: d.update(integrity={"status": "truncated"}),
    "statistics and validation": lambda d: d.update(stats={"a": 1}, validation={"status": "failed"}),
    "the attribute's raw bytes": lambda d: d["attributes"]["parts"][0][1].update(raw="AAAA"),
    "channels' order": lambda d: d["channels"].reverse(),
    "attributes' order": lambda d: d["attributes"]["parts"][0].reverse(),
    "number of the light": lambda d: d["channels"][2].update(name="key.light9.R"),
    "how a number is written": lambda d: d["parts"][0].update(width=1936.0, pixel_aspect_ratio=2),
    "how a sampling is written": lambda d: d["channels"][4].update(x_sampling=2.0),
}


@pytest.mark.parametrize("name", NUISANCES)
def test_nuisances_do_not_move_the_vector(name: str) -> None:
    document, other = hand_document(), hand_document()
    NUISANCES[name](other)
    assert json.dumps(other) != json.dumps(document)
    assert packed(embedding.compute_metadata_embedding(other)) == packed(embedding.compute_metadata_embedding(document))


# ---- What must ---------------------------------------------------------------------------------------------

STRUCTURE: dict[str, Change] = {
    "a channel less": lambda d: d["channels"].pop(),
    "another layer": lambda d: d["channels"][2].update(name="fill.light1.R"),
    "the same light twice": lambda d: d["channels"].append(channel("key.light3.R")),
    "pixel type": lambda d: d["channels"][0].update(type="float"),
    "sampling": lambda d: d["channels"][4].update(y_sampling=1),
    "compression": lambda d: d["parts"][0].update(compression="zip"),
    "unknown compression": lambda d: d["parts"][0].update(compression="unknown(99)"),
    "resolution": lambda d: d["parts"][0].update(display_width=2048),
    "overscan": lambda d: d["parts"][0].update(data_x_offset=-16, width=1952),
    "pixel aspect": lambda d: d["parts"][0].update(pixel_aspect_ratio=1.0),
    "tiles": lambda d: d["parts"][0].update(tile_width=32),
    "levels": lambda d: d["parts"][0].update(level_mode="mipmapLevels"),
    "line order": lambda d: d["parts"][0].update(line_order="decreasingY"),
    "part type": lambda d: d["parts"][0].update(part_type="deeptile"),
    "deep": lambda d: d["file"].update(is_deep=True),
    "a view": lambda d: d["parts"][0].update(multi_view=["left"]),
    "a part's name": lambda d: d["parts"][0].update(part_name="shadow"),
    "a part more": lambda d: d["parts"].append(copy.deepcopy(d["parts"][0])),
    "the renderer": lambda d: d["parts"][0].update(render_software="V-Ray 6"),
    "colour": lambda d: d["parts"][0].update(color_space="lin_rec709"),
    "frame rate": lambda d: attribute(d, "framesPerSecond", {"numerator": 25, "denominator": 1}),
    "vocabulary": lambda d: d["attributes"]["parts"][0].append(entry("reelName", "string", "x")),
    "an attribute's type": lambda d: d["attributes"]["parts"][0][3].update(type="int"),
}


@pytest.mark.parametrize("name", STRUCTURE)
def test_structure_moves_the_vector(name: str) -> None:
    other = hand_document()
    STRUCTURE[name](other)
    assert cosine(hand_document(), other) < 1 - 1e-6


def test_close_numbers_are_closer_than_far_ones() -> None:
    def wide(pixels: int) -> dict[str, Any]:
        document = hand_document()
        document["parts"][0].update(display_width=pixels, width=pixels + 16)
        return document

    near, far = cosine(wide(2048), wide(2100)), cosine(wide(2048), wide(4096))
    assert far < near < 1


# ---- Tokens ------------------------------------------------------------------------------------------------

# By hand from the tables of `weights` and the document of `tests.support.documents`. 1920 = 1.875 * 2^10 lies in bucket
# 10 * 8 + 7; 1080 = 1.0546 * 2^10 in 80; 1936 in 87; 8 = 2^3 in 24; 2.0 in 8; 64 in 48.
HAND_TOKENS = {
    "bias:1": 1,
    "parts:1": 2,
    "flag:is_tiled": 2,
    "display_width:1920": 4,
    "display_width_near:~86": 2,
    "display_width_near:~87": 2,
    "display_width_near:~88": 2,
    "display_height:1080": 4,
    "display_height_near:~79": 2,
    "display_height_near:~80": 2,
    "display_height_near:~81": 2,
    "data_width_near:~86": 1,
    "data_width_near:~87": 1,
    "data_width_near:~88": 1,
    "data_height_near:~79": 1,
    "data_height_near:~80": 1,
    "data_height_near:~81": 1,
    "overscan:left 8": 4,
    "overscan_near:left ~23": 2,
    "overscan_near:left ~24": 2,
    "overscan_near:left ~25": 2,
    "overscan:right 8": 4,
    "overscan_near:right ~23": 2,
    "overscan_near:right ~24": 2,
    "overscan_near:right ~25": 2,
    "overscan:top 0": 4,
    "overscan_near:top 0": 2,
    "overscan:bottom 0": 4,
    "overscan_near:bottom 0": 2,
    "pixel_aspect:2": 3,
    "pixel_aspect_near:~7": 1,
    "pixel_aspect_near:~8": 1,
    "pixel_aspect_near:~9": 1,
    "compression:dwaa": 8,
    "compression_loss:lossy": 3,
    "part_type:tiledimage": 3,
    "line_order:increasingY": 1,
    "level_mode:oneLevel": 2,
    "rounding_mode:roundDown": 1,
    "tile:64x32": 3,
    "tile_near:~47": 1,
    "tile_near:~48": 1,
    "tile_near:~49": 1,
    "part:beauty.#": 4,
    "view:left": 4,
    "view:right": 4,
    "software:arnold": 3,
    "renderer:arnold": 6,
    "color_space:ACEScg": 4,
    "attribute:arnold/host/name": 4,
    "attribute_type:arnold/host/name string": 1,
    "attribute_group:arnold/*": 6,
    "attribute:cryptomatte/#/name": 4,
    "attribute_type:cryptomatte/#/name string": 1,
    "attribute_group:cryptomatte/*": 6,
    "attribute:capDate": 4,
    "attribute_type:capDate string": 1,
    "attribute:framesPerSecond": 4,
    "attribute_type:framesPerSecond rational": 1,
    "setting:framesPerSecond denominator 1 numerator 24": 3,
    "channel:R": 3,
    "channel_type:R half": 2,
    "channel:Z": 3,
    "channel_type:Z float": 2,
    "channel:key.light#.R": 3,
    "channel:key.light#.R\x012": 3,
    "channel_type:key.light#.R half": 2,
    "channel_type:key.light#.R half\x012": 2,
    "channel:BY": 3,
    "channel_type:BY half": 2,
    "channel_sampling:BY 2x2": 2,
    "pixel_type:half": 2,
    "pixel_type:float": 2,
    "layer:": 6,
    "layer:key": 6,
    "layer:key.light#": 6,
    "layer:key.light#\x012": 6,
    "layers:1": 1,
    "layers:2": 1,
    "layers:3": 1,
}


def test_the_tokens_of_a_document() -> None:
    assert embedding.document_tokens(hand_document()) == HAND_TOKENS


def test_the_tokens_of_channels_are_the_documents_of_these_blocks() -> None:
    blocks = {"bias", "channels", "size"}
    expected = {t: w for t, w in HAND_TOKENS.items() if weights.KINDS[t.partition(":")[0]].block in blocks}
    assert embedding.channel_tokens(hand_document()["channels"]) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 0),
        (1.124, 0),
        (1.125, 1),
        (1.5, 4),
        (1.999, 7),
        (2, 8),
        (3, 12),
        (0.5, -8),
        (0.75, -4),
        (1920, 87),
        (1 << 64, 512),
    ],
)
def test_buckets(value: float, expected: int) -> None:
    assert words.bucket(value) == expected


@given(st.floats(min_value=5e-324, allow_infinity=False) | st.integers(1, 1 << 64))
def test_a_bucket_holds_its_number(value: float) -> None:
    octave, eighth = divmod(words.bucket(value), 8)
    unit = Fraction(2) ** octave
    assert unit * (8 + eighth) / 8 <= Fraction(value) < unit * (9 + eighth) / 8


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("R", "R"),
        ("crypto_object00", "crypto_object#"),
        ("light12.diffuse3.R", "light#.diffuse#.R"),
        ("aovs/17/filter", "aovs/#/filter"),
        ("12", "#"),
        ("4K_left", "4K_left"),
        ("v2_final", "v2_final"),
        ("x١٢", "x١٢"),  # digits, but not ASCII: they would depend on Python's Unicode tables
        ("", ""),
    ],
)
def test_trailing_digits_are_folded(name: str, expected: str) -> None:
    assert words.fold(name) == expected


@pytest.mark.parametrize(
    ("software", "words"),
    [
        ("Arnold 7.2", {"software:arnold", "renderer:arnold"}),
        ("Blender", {"software:blender", "renderer:cycles"}),
        ("V-Ray 6.1", {"software:v-ray", "renderer:v-ray"}),
        ("HouseRenderer 3", {"software:houserenderer"}),
        ("/mnt/node12/render.sh", set()),
        ("node12 arnold", set()),
        ("host.example.org", set()),
        ("C:\\renders\\a.exr", set()),
        ("2026-03-04 Arnold", set()),
        ("", set()),
    ],
)
def test_software_is_its_first_word(software: str, words: set[str]) -> None:
    payload = {"file": {}, "parts": [{"render_software": software}]}
    plain = embedding.document_tokens({"file": {}, "parts": [{}]})
    assert set(embedding.document_tokens(payload)) - set(plain) == words


def test_a_crop_is_no_overscan() -> None:
    cropped = hand_document()
    cropped["parts"][0].update(data_x_offset=8, width=1904)
    found = set(embedding.document_tokens(cropped)) - HAND_TOKENS.keys()
    sides = {f"overscan_near:{side} -~{near}" for side in ("left", "right") for near in (23, 24, 25)}
    assert {token for token in found if token.startswith("overscan")} == {
        "overscan:left -8",
        "overscan:right -8",
    } | sides


def test_a_sampling_of_one_axis_is_a_sampling() -> None:
    for x, y, expected in ((1, 2, "1x2"), (2, 1, "2x1"), (0, 0, "0x0"), (-1, 1, "-1x1")):
        found = embedding.channel_tokens([channel("RY", x_sampling=x, y_sampling=y)])
        assert f"channel_sampling:RY {expected}" in found
    for x, y in ((1, 1), (1.0, True), (None, 2), ("2", 2), (math.nan, 2)):
        found = embedding.channel_tokens([channel("RY", x_sampling=x, y_sampling=y)])
        assert not [token for token in found if token.startswith("channel_sampling")]


@pytest.mark.parametrize(
    "value",
    [
        {"cut_bytes": 900, "sha256": "ab", "start": "latlong"},
        {"a": {"b": {"c": 1}}},
        {"a": 1, "b": None},
        dict.fromkeys("abcde", 1),
        {},
        [1],
        "",
        math.nan,
    ],
)
def test_a_setting_counts_as_a_whole_or_not_at_all(value: Any) -> None:
    found = embedding.document_tokens({"file": {}, "attributes": {"envmap": value}})
    assert not [token for token in found if token.startswith("setting")]


def test_a_setting_is_one_word() -> None:
    white = {"white": {"y": 0.5, "x": 0.25}, "red": {"x": 1, "y": 0.0}}
    found = embedding.document_tokens({"file": {}, "attributes": {"chromaticities": white}})
    assert "setting:chromaticities red x 1 y 0 white x 1/4 y 1/2" in found


@pytest.mark.parametrize("field", ["name", "type"])
def test_a_channel_with_an_endless_name_does_not_count(field: str) -> None:
    usual = [channel("R"), channel("G")]
    odd = {**channel("B"), field: "x" * 513}
    assert embedding.channel_tokens([*usual, odd]) == embedding.channel_tokens(usual)
    assert embedding.channel_tokens([*usual, {**odd, field: "x" * 512}]) != embedding.channel_tokens(usual)


@pytest.mark.parametrize("name", ["R\0channel:G", "R\x012", "\0", "\x01"])
def test_names_cannot_forge_tokens(name: str) -> None:
    found = embedding.document_tokens(
        {
            "file": {},
            "channels": [channel(name)],
            "parts": [{"color_space": name}],
            "attributes": {name.replace(":", ""): 1},
        }
    )
    plain = embedding.document_tokens(
        {"file": {}, "channels": [channel("R")], "parts": [{"color_space": "x"}], "attributes": {"y": 1}}
    )
    assert len(found) == len(plain)
    assert not [token for token in found if token in ("channel:G", "channel:R") or "\0" in token or "\x01" in token]


def test_views_are_taken_up_to_a_bound() -> None:
    for count, expected in ((16, 16), (17, 0)):
        views = [f"view{number}" for number in range(count)]
        found = embedding.document_tokens({"file": {}, "parts": [{"multi_view": views}]})
        assert sum(token.startswith("view:") for token in found) == expected


def test_attribute_prefixes_name_the_renderer() -> None:
    for prefix, family in weights.RENDERER_PREFIXES:
        found = embedding.document_tokens({"file": {}, "attributes": {f"{prefix}x": 1}})
        assert f"renderer:{family}" in found


def test_occurrences_are_counted_up_to_a_bound() -> None:
    many = [channel(f"light{number}.R") for number in range(1000)]
    found = embedding.channel_tokens(many)
    assert sum(token.startswith("channel:light#.R") for token in found) == weights.MAX_OCCURRENCES
    assert f"channel:light#.R\1{weights.MAX_OCCURRENCES}" in found
    assert "layers:64" in found
    assert "layers:65" not in found


def test_rungs_are_single_up_to_32_then_eight_an_octave() -> None:
    def top(layers: int) -> int:
        found = embedding.channel_tokens([channel(f"l{number}x.R") for number in range(layers)])
        rungs = {int(token.partition(":")[2]) for token in found if token.startswith("layers:")}
        assert rungs == set(range(1, len(rungs) + 1))
        return len(rungs)

    assert [top(layers) for layers in (0, 1, 2, 31, 32, 35, 36, 63, 64, 128)] == [0, 1, 2, 31, 32, 32, 33, 39, 40, 48]


# ---- Arithmetic: an independent reference ------------------------------------------------------------------

# Only what `docs/decisions/0020-integer-vectors.md` says: whole numbers, one quotient.
REFERENCE_BLOCKS = {
    "channels": 32, "size": 18, "attributes": 20, "windows": 18, "storage": 18, "parts": 8, "origin": 12, "bias": 2,
}  # fmt: skip
LADDERS = {"layers", "parts"}


def places(token: str, dim: int) -> list[tuple[int, int]]:
    kind, _, word = token.partition(":")
    text, step = (kind, int(word)) if kind in LADDERS else (token, 0)
    key = b"exr-inspector embedding 1"
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, key=key).digest()
    found = []
    for half in (digest[:8], digest[8:]):
        low_bits = int.from_bytes(half[:7] + bytes([half[7] & 0x7F]), "little")
        found.append(((low_bits + step) % dim, 1 if half[7] & 0x80 else -1))
    return found


def block_sums(token_weights: dict[str, int], dim: int) -> dict[str, list[int]]:
    sums: dict[str, list[int]] = defaultdict(lambda: [0] * dim)
    for token, weight in token_weights.items():
        for index, sign in places(token, dim):
            sums[weights.KINDS[token.partition(":")[0]].block][index] += sign * weight
    return sums


def reference(token_weights: dict[str, int], dim: int) -> bytes:
    total = [0] * dim
    for block, sums in block_sums(token_weights, dim).items():
        square = sum(number * number for number in sums)
        if square:
            factor = math.isqrt(REFERENCE_BLOCKS[block] ** 2 * 4**46 // square)
            total = [all_ + ((number * factor) >> 24) for all_, number in zip(total, sums, strict=True)]
    norm = math.isqrt(sum(number * number for number in total) * 4**20)
    # Dividing two of Python's integers rounds correctly to a double, packing it correctly to a single float.
    return struct.pack(f"<{dim}f", *(number * 2**20 / norm for number in total))


def true_vector(token_weights: dict[str, int], dim: int) -> list[Decimal]:
    """The same in 50 digits: what the integers stand for."""
    with localcontext() as context:
        context.prec = 50
        total = [Decimal(0)] * dim
        for block, sums in block_sums(token_weights, dim).items():
            length = Decimal(sum(number * number for number in sums)).sqrt()
            if length:
                scale = REFERENCE_BLOCKS[block] / length
                total = [all_ + number * scale for all_, number in zip(total, sums, strict=True)]
        norm = sum((number * number for number in total), Decimal(0)).sqrt()
        return [number / norm for number in total]


def wide_document(count: int) -> dict[str, Any]:
    document = hand_document()
    document["channels"] = [
        channel(f"layer{number % 40}x{number // 40}.{c}") for number in range(count) for c in "RGBA"
    ]
    return document


@pytest.mark.parametrize("document", [MINIMAL, hand_document(), wide_document(20), wide_document(300)])
@pytest.mark.parametrize("dim", [384, 128, 5])
def test_vectors_are_the_references_bytes(document: dict[str, Any], dim: int) -> None:
    found = packed(embedding.compute_metadata_embedding(document, dim))
    assert found == reference(embedding.document_tokens(document), dim)


@pytest.mark.parametrize("document", [MINIMAL, hand_document(), wide_document(20)])
def test_fingerprints_are_the_references_bytes(document: dict[str, Any]) -> None:
    found = packed(embedding.compute_channel_fingerprint(document["channels"]))
    assert found == reference(embedding.channel_tokens(document["channels"]), 128)


@pytest.mark.parametrize("document", [MINIMAL, hand_document(), wide_document(300)])
def test_integers_stand_for_the_true_vector(document: dict[str, Any]) -> None:
    exact = true_vector(embedding.document_tokens(document), 384)
    found = embedding.compute_metadata_embedding(document)
    assert max(abs(Decimal(a) - b) for a, b in zip(found, exact, strict=True)) < Decimal("5e-7")


# Frozen with version "1". If this fails, vectors in catalogs no longer compare with new ones: either undo the change,
# or give the vectors a new version.
FROZEN = "f34106563aa919cd37d51d262e59d5b333fda20efbe842d4b3c7d2999bf46b80"


def frozen_documents() -> list[dict[str, Any]]:
    return [MINIMAL, hand_document(), wide_document(20), {"file": {}, "attributes": {"owner": "x"}}]


def digest_of(documents: list[dict[str, Any]]) -> str:
    digest = hashlib.sha256(embedding.embed_documents(documents).astype("<f4").tobytes())
    digest.update(embedding.fingerprint_channels(d.get("channels", []) for d in documents).astype("<f4").tobytes())
    return digest.hexdigest()


def test_vectors_are_frozen() -> None:
    assert embedding.EMBEDDING_VERSION == "1"
    assert digest_of(frozen_documents()) == FROZEN


_IN_ANOTHER_PYTHON = """
import hashlib, json, sys
from exr_inspector import embedding
documents = json.load(sys.stdin)
digest = hashlib.sha256(embedding.embed_documents(documents).astype("<f4").tobytes())
digest.update(embedding.fingerprint_channels(d.get("channels", []) for d in documents).astype("<f4").tobytes())
print(digest.hexdigest())
"""
_PYTHONS = os.environ.get("EXR_INSPECTOR_TEST_PYTHONS", "python3.10 python3.11 python3.12 python3.13").split()


@pytest.mark.parametrize("python", _PYTHONS)
def test_other_pythons_give_the_same_bytes(python: str) -> None:
    if shutil.which(python) is None:
        pytest.skip(f"{python} is not installed")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    probe = subprocess.run([python, "-c", "import numpy"], env=environment, capture_output=True, check=False)
    if probe.returncode:
        pytest.skip(f"{python} has no numpy")
    given_ = json.dumps(frozen_documents())
    command = [python, "-c", _IN_ANOTHER_PYTHON]
    done = subprocess.run(command, env=environment, input=given_, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() == FROZEN


# ---- Batches -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 63, 64, 65, 130])
def test_a_batch_is_its_documents_vectors(count: int) -> None:
    documents = [wide_document(number % 7) for number in range(count)]
    found = embedding.embed_documents(iter(documents))
    assert found.shape == (count, 384)
    assert found.dtype == np.float32
    for row, document in zip(found, documents, strict=True):
        assert row.tolist() == embedding.compute_metadata_embedding(document)


def test_a_batch_of_fingerprints_is_its_channel_lists() -> None:
    lists = [wide_document(number)["channels"] for number in range(70)]
    found = embedding.fingerprint_channels(lists)
    assert found.shape == (70, 128)
    assert [row.tolist() for row in found] == [embedding.compute_channel_fingerprint(each) for each in lists]


def test_an_empty_batch_has_the_shape() -> None:
    assert embedding.embed_documents([]).shape == (0, 384)
    assert embedding.fingerprint_channels([]).shape == (0, 128)
    assert embedding.embed_documents([], 7).dtype == np.float32


def test_a_batch_names_the_document_that_fails() -> None:
    documents = [MINIMAL] * 70 + [{"file": {}, "channels": [{"name": "R"}]}]
    with pytest.raises(embedding.VectorEmbeddingError, match=r"document 70: channels\[0\] missing type"):
        embedding.embed_documents(documents)


def test_the_memory_of_tokens_is_bounded_and_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [wide_document(number) for number in range(1, 30)]
    expected = embedding.embed_documents(documents)
    monkeypatch.setattr(vectors._Slots, "SIZE", 50)
    slots = vectors._Slots(384)
    monkeypatch.setattr(vectors, "_slots_of", lambda _dim: slots)
    assert (embedding.embed_documents(documents) == expected).all()
    assert len(slots) <= 50
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(embedding.embed_documents, [documents] * 8):
            assert (found == expected).all()


def test_blocks_that_cancel_out_leave_the_bias() -> None:
    alone = vectors._vectors([{}], 384)
    assert (alone == vectors._vectors([{"bias:1": 1}], 384)).all()
    assert float((alone.astype(np.float64) ** 2).sum()) == pytest.approx(1)


# ---- Stored documents --------------------------------------------------------------------------------------


def test_json_and_back_gives_the_same_vector() -> None:
    document = hand_document()
    again = json.loads(json.dumps(document, sort_keys=True))
    assert embedding.compute_metadata_embedding(again) == embedding.compute_metadata_embedding(document)


@pytest.mark.parametrize(
    "value",
    ["x" * 70_000, ["left"] * 40_000, {"x": "y" * 70_000, "z": 1}, {"k" * 70_000: 1}, {str(n): 1 for n in range(9000)}],
)
@pytest.mark.parametrize("name", ["envmap", "chromaticities", "comments"])
def test_values_beyond_the_tables_cut_do_not_matter(name: str, value: Any) -> None:
    tables_values = pytest.importorskip("exr_inspector.tables.values")
    document = hand_document()
    document["attributes"]["parts"][0].append(entry(name, "string", value))
    cut = tables_values.cut_document(document)
    assert "cut_bytes" in json.dumps(cut)
    assert embedding.compute_metadata_embedding(cut) == embedding.compute_metadata_embedding(document)


# ---- Properties --------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(payloads)
def test_every_payload_has_a_unit_vector_or_a_reason(payload: dict[str, Any]) -> None:
    vector = embedding.compute_metadata_embedding(payload)
    assert packed(vector) == reference(embedding.document_tokens(payload), 384)
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(payloads, st.randoms(use_true_random=False))
def test_order_does_not_matter(payload: dict[str, Any], rng: random.Random) -> None:
    assume(payload.get("channels"))
    shuffled = copy.deepcopy(payload)
    for field in ("parts", "channels"):
        rng.shuffle(shuffled.get(field, []))
    assert embedding.compute_metadata_embedding(shuffled) == embedding.compute_metadata_embedding(payload)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 24), st.randoms(use_true_random=False))
def test_a_removed_layer_is_farther(layers: int, rng: random.Random) -> None:
    names = [f"layer{chr(97 + number)}" for number in range(layers)]
    rng.shuffle(names)
    whole = {"file": {}, "channels": [channel(f"{name}.{c}") for name in names for c in "RGB"]}
    less = {"file": {}, "channels": whole["channels"][3:]}
    none = {"file": {}, "channels": []}
    assert cosine(whole, none) < cosine(whole, less) < 1


def test_hostile_payloads_stay_bounded() -> None:
    payload = {
        "file": {},
        "channels": [channel("R", "half", part_index=number) for number in range(20_000)],
        "parts": [
            {"width": 10**400, "height": float("inf"), "display_width": -(1 << 63), "pixel_aspect_ratio": math.nan}
        ],
        "attributes": {"parts": [[{"name": ["x"], "type": {}, "value": 1}, {"name": None}, {"type": "int"}]]},
    }
    vector = embedding.compute_metadata_embedding(payload)
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-6)
    assert len(embedding.document_tokens(payload)) < 2000
