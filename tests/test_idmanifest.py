"""The `idmanifest` value: every field of it, every way to damage it, and what a hostile one may cost.

Cost is asserted as lines of the decoder that ran, not as seconds: the same on every machine.
"""

from __future__ import annotations

import json
import struct
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import OpenEXR
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exr_inspector.errors import ValueFlaw
from exr_inspector.exr import idmanifest
from exr_inspector.exr.idmanifest import Allowance, decode_id_manifest
from exr_inspector.limits import Limits
from exr_inspector.model import IdManifest, IdManifestEntry, IdManifestGroup
from tests.support.id_manifest_bytes import (
    IDS_U32,
    IDS_U64,
    IDS_VARIABLE,
    Group,
    Row,
    body,
    i32,
    payload,
    prefix_coded,
    variable,
)

LIMITS = Limits()
VERSION = bytes(4)


def decoded(inflated: bytes, limits: Limits = LIMITS) -> IdManifest:
    return decode_id_manifest(payload(inflated), limits)


def flaw_of(data: bytes, limits: Limits = LIMITS) -> ValueFlaw:
    with pytest.raises(ValueFlaw) as caught:
        decode_id_manifest(data, limits)
    return caught.value


def lines_run(call: Callable[[], Any]) -> int:
    """How many lines of `idmanifest.py` the call runs, whether it returns or raises `ValueFlaw`."""
    lines = 0

    def count(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal lines
        if frame.f_code.co_filename != idmanifest.__file__:
            return None
        lines += event == "line"
        return count

    tracer = sys.gettrace()
    sys.settrace(count)
    try:
        call()
    except ValueFlaw:
        pass
    finally:
        sys.settrace(tracer)
    return lines


def peak_bytes(call: Callable[[], Any]) -> int:
    """The most memory that the call held, whether it returns or raises `ValueFlaw`."""
    tracemalloc.start()
    try:
        call()
    except ValueFlaw:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


# ---- What a manifest holds ---------------------------------------------------------------------------------


def test_a_manifest_by_hand() -> None:
    """Every byte written out, so that decoder and encoder cannot share a mistake."""
    inflated = bytes.fromhex(
        "00000000"  # version 0
        "02000000 03 03 612f78 0279 7a"  # two strings: "a/x"; two bytes of it, then "yz"
        "01000000 00000000 01000000"  # one run: 0 to 1
        "01000000"  # one group
        "01000000 02 6964"  # channels: "id"
        "01000000 05 6d6f64656c"  # components: "model"
        "01"  # lifetime: shot
        "04000000 6e6f6e65 03000000 696432"  # hash scheme "none", encoding scheme "id2"
        "02 02000000"  # ids of variable length, two entries
        "ac02 01"  # id 300: text 1 of the map
        "01 00"  # id 301: text 0
    )
    group = IdManifestGroup(
        channels=("id",),
        components=("model",),
        lifetime=1,
        hash_scheme="none",
        encoding_scheme="id2",
        id_coding=2,
        entries=(IdManifestEntry(300, ("a/yz",)), IdManifestEntry(301, ("a/x",))),
    )
    assert decoded(inflated) == IdManifest(("a/x", "a/yz"), (group,))


def test_an_empty_manifest() -> None:
    assert decoded(body()) == IdManifest((), ())


def test_a_group_without_components_has_bare_ids() -> None:
    (group,) = decoded(body(groups=[Group([Row(7), Row(9)])])).groups
    assert group.entries == (IdManifestEntry(7, ()), IdManifestEntry(9, ()))


@pytest.mark.parametrize("coding", [IDS_U64, IDS_U32, IDS_VARIABLE, 3, 255])
def test_every_id_coding(coding: int) -> None:
    """0 and 1 are fixed sizes; whatever else is stored means variable length, as in the reference."""
    ids = [0, 1, 128, 2**31, 2**32 - 1]
    (group,) = decoded(body(groups=[Group([Row(number) for number in ids], coding=coding)])).groups
    assert [entry.id for entry in group.entries] == ids
    assert group.id_coding == coding


@pytest.mark.parametrize("coding", [IDS_U64, IDS_VARIABLE])
def test_ids_are_taken_modulo_2_to_the_64(coding: int) -> None:
    ids = [2**64 - 1, 5, 2**63, 0]
    (group,) = decoded(body(groups=[Group([Row(number) for number in ids], coding=coding)])).groups
    assert [entry.id for entry in group.entries] == ids


def test_distances_of_ids_start_anew_in_each_group() -> None:
    groups = decoded(body(groups=[Group([Row(10), Row(11)]), Group([Row(3)])])).groups
    assert [[entry.id for entry in group.entries] for group in groups] == [[10, 11], [3]]


def test_an_id_that_stands_twice_is_kept_twice() -> None:
    """The reference refuses the file; we show what is there."""
    (group,) = decoded(body(groups=[Group([Row(4), Row(4)])])).groups
    assert [entry.id for entry in group.entries] == [4, 4]


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([(0, 3)], "abcd"),
        ([(2, 3), (0, 1)], "cdab"),
        ([(1, 2), (0, 3)], "bcad"),  # overlapping: what is mapped keeps its place
        ([(0, 0), (0, 0), (3, 3)], "ad"),
        ([], ""),
    ],
)
def test_the_map(runs: list[tuple[int, int]], expected: str) -> None:
    rows = [Row(index, [index]) for index in range(len(expected))]
    stored = prefix_coded([b"a", b"b", b"c", b"d"])
    (group,) = decoded(body(stored, runs, [Group(rows, [b"letter"])])).groups
    assert "".join(entry.text[0] for entry in group.entries) == expected


@pytest.mark.parametrize("length", [255, 256, 257, 65535, 70000])
def test_two_prefix_bytes_follow_a_string_of_more_than_255(length: int) -> None:
    texts = [b"a" * length, b"a" * length + b"b", b"c"]
    assert decoded(body(prefix_coded(texts))).strings == tuple(text.decode() for text in texts)


def test_text_that_is_not_utf_8_is_replaced() -> None:
    manifest = decoded(body([b"\xe9t\xe9"], groups=[Group(channels=[b"\xff"], hash_scheme=b"\x80")]))
    assert manifest.strings == ("\ufffdt\ufffd",)
    assert manifest.groups[0].channels == ("\ufffd",)
    assert manifest.groups[0].hash_scheme == "\ufffd"


def test_a_prefix_may_end_inside_a_character() -> None:
    """Strings share bytes, not characters."""
    texts = ["é".encode(), "è".encode()]
    assert prefix_coded(texts)[1] == b"\x01\xa8"
    assert decoded(body(prefix_coded(texts))).strings == ("é", "è")


# ---- Round trip --------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
LONG_TEXT = st.builds(lambda text, count: text * count, TEXT, st.sampled_from([1, 1, 1, 30, 300]))
BYTES_OF = TEXT.map(str.encode)


@st.composite
def groups_of(draw: st.DrawFn, map_size: int) -> Group:
    components = draw(st.lists(BYTES_OF, max_size=3)) if map_size else []
    indices = st.lists(st.integers(0, max(map_size - 1, 0)), min_size=len(components), max_size=len(components))
    coding = draw(st.integers(0, 255))
    if coding == IDS_U32:
        ids = st.lists(st.integers(0, 2**32 - 1), max_size=6).map(sorted)
    else:
        ids = st.lists(st.integers(0, 2**64 - 1), max_size=6)
    return Group(
        rows=[Row(number, draw(indices)) for number in draw(ids)],
        components=components,
        channels=draw(st.lists(BYTES_OF, max_size=3)),
        coding=coding,
        lifetime=draw(st.integers(0, 255)),
        hash_scheme=draw(BYTES_OF),
        encoding_scheme=draw(BYTES_OF),
    )


@st.composite
def manifests(draw: st.DrawFn) -> tuple[list[str], list[tuple[int, int]], list[Group]]:
    texts = draw(st.lists(LONG_TEXT, max_size=8))
    last = len(texts) - 1
    pairs = st.tuples(st.integers(0, max(last, 0)), st.integers(0, max(last, 0)))
    runs = [(min(pair), max(pair)) for pair in draw(st.lists(pairs, max_size=6))] if texts else []
    groups = draw(st.lists(groups_of(len(naive_map(runs))), max_size=3))
    return texts, runs, groups


def naive_map(runs: list[tuple[int, int]]) -> list[int]:
    return list(dict.fromkeys(index for first, last in runs for index in range(first, last + 1)))


@settings(deadline=None)
@given(manifests())
def test_what_is_written_is_read(manifest: tuple[list[str], list[tuple[int, int]], list[Group]]) -> None:
    texts, runs, groups = manifest
    mapped = [texts[index] for index in naive_map(runs)]
    expected = tuple(
        IdManifestGroup(
            tuple(channel.decode() for channel in group.channels),
            tuple(component.decode() for component in group.components),
            group.lifetime,
            group.hash_scheme.decode(),
            group.encoding_scheme.decode(),
            group.coding,
            tuple(IdManifestEntry(row.id, tuple(mapped[index] for index in row.indices)) for row in group.rows),
        )
        for group in groups
    )
    stored = prefix_coded([text.encode() for text in texts])
    assert decoded(body(stored, runs, groups)) == IdManifest(tuple(texts), expected)


SAMPLE = body(
    prefix_coded([b"alpha", b"alphabet", b"z" * 300, b"zz"]),
    [(1, 2), (0, 3)],
    [Group([Row(5, [0, 1]), Row(900, [3, 2])], [b"model", b"material"]), Group([Row(1)], coding=IDS_U32)],
)


@settings(deadline=None)
@given(st.data())
def test_damage_gives_a_manifest_or_a_flaw(data: st.DataObject) -> None:
    """Any change of any bytes of the body, whole zlib stream around it."""
    damaged = bytearray(SAMPLE)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(SAMPLE) - 1))] = data.draw(st.integers(0, 255))
    limits = Limits(max_elements=1000, max_id_manifest_bytes=10_000)
    codes = {"value_corrupt", "value_missing_bytes", "value_trailing_bytes", "value_limit"}
    try:
        decode_id_manifest(payload(bytes(damaged)), limits)
    except ValueFlaw as flaw:
        assert flaw.code in codes


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_manifest_or_a_flaw(data: bytes) -> None:
    for inflated in (data, payload(data), payload(VERSION + data)):
        try:
            decode_id_manifest(inflated, LIMITS)
        except ValueFlaw:
            continue


@pytest.mark.parametrize("size", range(len(SAMPLE)))
def test_every_prefix_of_a_body_misses_bytes(size: int) -> None:
    assert flaw_of(payload(SAMPLE[:size])).code == "value_missing_bytes"


@pytest.mark.parametrize("cut", range(1, len(payload(SAMPLE))))
def test_every_prefix_of_a_payload_misses_bytes(cut: int) -> None:
    flaw = flaw_of(payload(SAMPLE)[:-cut])
    assert (flaw.code, flaw.value) == ("value_missing_bytes", None)


# ---- Flaws of the zlib stream ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(8))
def test_a_payload_without_its_size(size: int) -> None:
    assert flaw_of(bytes(size)).code == "value_missing_bytes"


@pytest.mark.parametrize("declared", [len(SAMPLE) - 1, len(SAMPLE) + 1, 0])
def test_the_declared_size_must_be_what_comes_out(declared: int) -> None:
    flaw = flaw_of(payload(SAMPLE, declared=declared))
    assert (flaw.code, flaw.value_offset) == ("value_corrupt", 8)
    assert str(declared) in flaw.message


def test_a_stream_that_is_not_zlib() -> None:
    flaw = flaw_of(struct.pack("<Q", 4) + b"not zlib at all")
    assert (flaw.code, flaw.value_offset) == ("value_corrupt", 8)


def test_a_wrong_checksum() -> None:
    data = payload(SAMPLE)
    assert flaw_of(data[:-1] + bytes([data[-1] ^ 1])).code == "value_corrupt"


def test_a_stream_that_needs_a_dictionary() -> None:
    compressor = zlib.compressobj(zdict=b"alphabet")
    stream = compressor.compress(SAMPLE) + compressor.flush()
    assert flaw_of(struct.pack("<Q", len(SAMPLE)) + stream).code == "value_corrupt"


def test_bytes_after_the_stream_are_told_and_the_manifest_is_kept() -> None:
    data = payload(SAMPLE)
    flaw = flaw_of(data + b"junk")
    assert (flaw.code, flaw.value_offset) == ("value_trailing_bytes", len(data))
    assert flaw.value == decode_id_manifest(data, LIMITS)


def test_bytes_after_the_groups_are_told_and_the_manifest_is_kept() -> None:
    flaw = flaw_of(payload(SAMPLE + b"junk"))
    assert (flaw.code, flaw.value_offset) == ("value_trailing_bytes", 8)
    assert flaw.value == decoded(SAMPLE)


# ---- Flaws of the body -------------------------------------------------------------------------------------

EMPTY_TABLE = VERSION + i32(0)
EMPTY_MAP = EMPTY_TABLE + i32(0)
GROUP_START = EMPTY_MAP + i32(1)
ONE = [b"a"]
ENDLESS = b"\xff" * 40

CORRUPT = {
    "unknown version": body(version=1),
    "negative count of strings": VERSION + i32(-1) + bytes(40),
    "negative count of runs": EMPTY_TABLE + i32(-1) + bytes(40),
    "negative count of groups": EMPTY_MAP + i32(-1) + bytes(40),
    "negative count of channels": GROUP_START + i32(-(2**31)) + bytes(40),
    "negative count of components": GROUP_START + i32(0, -1) + bytes(40),
    "negative count of entries": body(groups=[Group()])[:-4] + i32(-1) + bytes(40),
    "string without its prefix byte": body([b"a", b""]),
    "string without its second prefix byte": body([b"a" * 256, b"\0"]),
    "prefix longer than the string before": body([b"abc", b"\x04"]),
    "long prefix longer than the string before": body([b"a" * 256, b"\x01\x01"]),
    "run before the table": body(ONE, [(-1, 0)]),
    "run after the table": body(ONE, [(0, 1)]),
    "run of nothing": body([], [(0, 0)]),
    "run backwards": body(prefix_coded([b"a", b"b"]), [(1, 0)]),
    "text after the map": body(ONE, [(0, 0)], [Group([Row(1, [1])], [b"c"])]),
    "text in a string table that is not mapped": body(ONE, [], [Group([Row(1, [0])], [b"c"])]),
    "text far after the map": body(ONE, [(0, 0)], [Group([Row(1, [2**63])], [b"c"])]),
    "length of endless bytes": VERSION + i32(1) + ENDLESS,
    "length of ten bytes and more than 64 bits": VERSION + i32(1) + b"\xff" * 9 + b"\x02" + bytes(40),
    "id of endless bytes": body(groups=[Group()])[:-4] + i32(1) + ENDLESS,
    "text index of endless bytes": body(ONE, [(0, 0)], [Group([], [b"c"])])[:-4] + i32(1) + b"\0" + ENDLESS,
}


@pytest.mark.parametrize("inflated", CORRUPT.values(), ids=CORRUPT)
def test_corrupt_bodies(inflated: bytes) -> None:
    flaw = flaw_of(payload(inflated))
    assert (flaw.code, flaw.value, flaw.value_offset) == ("value_corrupt", None, 8)


HUGE = i32(2**31 - 1)
MISSING = {
    "count of strings": VERSION + HUGE + bytes(40),
    "length of a string": VERSION + i32(1) + variable(2**64 - 1) + bytes(40),
    "sum of the lengths": VERSION + i32(2) + variable(30) + variable(30) + bytes(40),
    "count of runs": EMPTY_TABLE + HUGE + bytes(40),
    "count of groups": EMPTY_MAP + HUGE + bytes(40),
    "count of channels": GROUP_START + HUGE + bytes(40),
    "length of the hash scheme": GROUP_START + i32(0, 0) + b"\0" + struct.pack("<I", 2**32 - 1) + bytes(40),
    "count of entries": body(groups=[Group()])[:-4] + HUGE + bytes(40),
    "entries times components": body(ONE, [(0, 0)], [Group([], [b"c"] * 10)])[:-4] + i32(4) + bytes(43),
    "entries of eight bytes": body(groups=[Group(coding=IDS_U64)])[:-4] + i32(6) + bytes(47),
    "entries of four bytes": body(groups=[Group(coding=IDS_U32)])[:-4] + i32(12) + bytes(47),
}


@pytest.mark.parametrize("inflated", MISSING.values(), ids=MISSING)
def test_counts_are_compared_with_what_remains(inflated: bytes) -> None:
    flaw = flaw_of(payload(inflated))
    assert (flaw.code, flaw.value) == ("value_missing_bytes", None)
    assert lines_run(lambda: decode_id_manifest(payload(inflated), LIMITS)) < 500


# ---- Limits ------------------------------------------------------------------------------------------------

FEW = Limits(max_elements=4, max_id_manifest_bytes=400)

TOO_MUCH = {
    "strings": body(prefix_coded([b""] * 5)),
    "strings in several lists": body([b"a"], groups=[Group(channels=[b"b"] * 2, components=[b"c"] * 2)]),
    "runs": body(ONE, [(0, 0)] * 5),
    "groups": body(groups=[Group(channels=[])] * 5),
    "entries": body(groups=[Group([Row(n) for n in range(5)])]),
    "entries of several groups": body(groups=[Group([Row(n) for n in range(3)], channels=[])] * 2),
    "texts": body(ONE, [(0, 0)], [Group([Row(n, [0, 0]) for n in range(3)], [b"c", b"c"], channels=[])]),
    "inflated bytes": bytes(401),
    "expanded strings": body([b"a" * 190, b"\xbe", b"\xbe"]),
    "text in entries": body([b"a" * 190], [(0, 0)], [Group([Row(n, [0]) for n in range(3)], [b"c"])]),
}


@pytest.mark.parametrize("inflated", TOO_MUCH.values(), ids=TOO_MUCH)
def test_limits(inflated: bytes) -> None:
    flaw = flaw_of(payload(inflated), FEW)
    assert (flaw.code, flaw.value) == ("value_limit", None)
    if inflated != bytes(401):
        decoded(inflated)


def test_what_just_fits_the_limits_is_decoded() -> None:
    stored = [b"a" * 200, b"\xc8"]
    entries = [Row(1, [0]), Row(2, [1])]
    fits = body(stored, [(0, 1)], [Group(entries, [b"c"], channels=[b"d"])])
    assert len(decoded(fits, FEW).groups[0].entries) == 2


def test_manifests_of_one_header_share_an_allowance() -> None:
    """Thousands of small manifests must not cost thousands of times the limits."""
    allowance = Allowance(LIMITS._replace(max_elements=10))
    data = payload(body(groups=[Group([Row(n) for n in range(6)])]))
    decode_id_manifest(data, LIMITS, allowance)
    with pytest.raises(ValueFlaw) as caught:
        decode_id_manifest(data, LIMITS, allowance)
    assert caught.value.code == "value_limit"


# ---- What hostile manifests cost ---------------------------------------------------------------------------


def test_a_bomb_is_not_inflated_beyond_what_it_declares() -> None:
    data = payload(bytes(1 << 24), declared=1000)
    assert flaw_of(data).code == "value_corrupt"
    assert peak_bytes(lambda: decode_id_manifest(data, LIMITS)) < 1 << 20


@pytest.mark.parametrize("declared", [LIMITS.max_id_manifest_bytes + 1, 2**63, 2**64 - 1])
def test_a_bomb_that_declares_its_size_is_not_inflated_at_all(declared: int) -> None:
    data = payload(bytes(1 << 24), declared=declared)
    assert flaw_of(data).code == "value_limit"
    assert peak_bytes(lambda: decode_id_manifest(data, LIMITS)) < 1 << 16


def test_strings_that_copy_each_other_do_not_grow_beyond_the_limit() -> None:
    """Each stored string has two bytes and stands for 60 000."""
    data = payload(body([b"a" * 60_000] + [(60_000).to_bytes(2, "big")] * 10_000))
    limits = LIMITS._replace(max_id_manifest_bytes=1 << 20)
    assert flaw_of(data, limits).code == "value_limit"
    assert peak_bytes(lambda: decode_id_manifest(data, limits)) < 8 << 20


def test_text_that_entries_repeat_is_not_copied() -> None:
    rows = [Row(n, [0, 0]) for n in range(200)]
    manifest = decoded(body([b"a" * 1000], [(0, 0)], [Group(rows, [b"c", b"d"])]))
    assert {id(text) for entry in manifest.groups[0].entries for text in entry.text} == {id(manifest.strings[0])}


def many_overlapping_runs(size: int) -> bytes:
    return body([b""] + [b"\0"] * (size - 1), [(0, size - 1)] * size)


def shrinking_runs(size: int) -> bytes:
    return body([b""] + [b"\0"] * (size - 1), [(first, size - 1) for first in reversed(range(size))])


def many_entries(size: int) -> bytes:
    return body([b"a"], [(0, 0)], [Group([Row(n * 1000, [0]) for n in range(size)], [b"c"])])


def wide_entries(size: int) -> bytes:
    return body([b"a"], [(0, 0)], [Group([Row(n, [0] * size) for n in range(3)], [b"c"] * size)])


def many_groups(size: int) -> bytes:
    return body(groups=[Group(channels=[])] * size)


def many_strings(size: int) -> bytes:
    return body(prefix_coded([str(n).encode() for n in range(size)]))


def many_long_lengths(size: int) -> bytes:
    return VERSION + i32(size) + b"\x80\x80\x80\0" * size + bytes(8)


def rising_cost(make: Callable[[int], bytes]) -> float:
    """How much more the decoder does for four times as much."""
    small, large = payload(make(100)), payload(make(400))
    limits = LIMITS
    cost_of_small = lines_run(lambda: decode_id_manifest(small, limits))
    return lines_run(lambda: decode_id_manifest(large, limits)) / cost_of_small


@pytest.mark.parametrize(
    "make",
    [
        many_overlapping_runs,
        shrinking_runs,
        many_entries,
        wide_entries,
        many_groups,
        many_strings,
        many_long_lengths,
    ],
)
def test_cost_is_linear(make: Callable[[int], bytes]) -> None:
    assert rising_cost(make) < 4.5


def test_the_cost_counter_counts() -> None:
    """Lest the tests above pass because nothing was traced."""
    data = payload(many_entries(100))
    assert lines_run(lambda: decode_id_manifest(data, LIMITS)) > 100 * 5


# ---- Against the reference, and the fixtures ---------------------------------------------------------------

FIXTURES = Path(__file__).parent.parent / "fixtures"


def test_the_bytes_of_the_reference(tmp_path: Path) -> None:
    """What the OpenEXR wheel writes and reads back is what we read."""
    manifest = OpenEXR.IDManifest()
    for channels, components, ids in (
        (
            ["id"],
            ["model", "material"],
            {5: ["a/x", "b"], 2**63 + 1: ["a/xy", ""], 7000: ["é" * 300, "é" * 300 + "z"]},
        ),
        (["id2", "z"], ["name"], {n * 977: [f"object{n % 50}"] for n in range(300)}),
        (["none"], [], {}),
    ):
        group = OpenEXR.ChannelGroupManifest()
        group.setChannels(channels)
        group.setComponents(components)
        group.setLifetime(OpenEXR.LIFETIME_SHOT)
        group.setHashScheme(OpenEXR.ID_MANIFEST_MURMURHASH3_32)
        group.setEncodingScheme(OpenEXR.ID_MANIFEST_ID2_SCHEME)
        for number, text in ids.items():
            group.insert(number, text)
        manifest.add(group)
    path = str(tmp_path / "manifest.exr")
    OpenEXR.File({"idManifest": manifest}, {"id": np.zeros((2, 2), "uint32")}).write(path)

    told = OpenEXR.File(path, header_only=True).header()["idManifest"]
    ours = decode_id_manifest(attribute_payload(Path(path).read_bytes()), LIMITS)
    assert [_reference_group(told[index]) for index in range(told.size())] == [
        (set(group.channels), list(group.components), group.lifetime, group.hash_scheme, group.encoding_scheme,
         [(entry.id, list(entry.text)) for entry in group.entries])
        for group in ours.groups
    ]  # fmt: skip


def _reference_group(group: Any) -> tuple[Any, ...]:
    return (
        set(group.getChannels()),
        list(group.getComponents()),
        group.getLifetime().value,
        group.getHashScheme(),
        group.getEncodingScheme(),
        [(entry.id(), list(entry.text())) for entry in group],
    )


def attribute_payload(data: bytes) -> bytes:
    """The value of the first `idmanifest` attribute of these bytes."""
    start = data.index(b"\0idmanifest\0") + len(b"\0idmanifest\0") + 4
    (size,) = struct.unpack_from("<i", data, start - 4)
    return data[start : start + size]


def fixtures_with_manifests() -> list[Any]:
    """(path, whether its value is sound) of each fixture that has an `idmanifest` attribute."""
    files = json.loads((FIXTURES / "manifest.json").read_text())["files"]
    return [
        pytest.param(FIXTURES / each["path"], not each["expect"].get("bad_values"), id=each["path"])
        for each in files
        if "manifest" in each["path"]
    ]


@pytest.mark.parametrize(("path", "is_sound"), fixtures_with_manifests())
def test_the_fixtures(path: Path, is_sound: bool) -> None:
    data = attribute_payload(path.read_bytes())
    if path.stem == "idmanifest_zlib_trailing":  # the reference refuses it; the manifest is whole all the same
        assert flaw_of(data).value is not None
    elif is_sound:
        decode_id_manifest(data, LIMITS)
    else:
        assert flaw_of(data).code in {"value_corrupt", "value_missing_bytes", "value_trailing_bytes", "value_limit"}


def test_variable_lengths() -> None:
    numbers = {0: "00", 127: "7f", 128: "8001", 300: "ac02", 2**64 - 1: "ff" * 9 + "01"}
    assert {number: variable(number).hex() for number in numbers} == numbers
