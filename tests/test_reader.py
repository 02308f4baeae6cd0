"""Framing: magic number, version field, names, sizes, terminators, limits, and where every problem lies.

Bytes come from `struct.pack`; offsets are counted by hand and stand in comments.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator
from itertools import combinations

import pytest

import exr_inspector
from exr_inspector.errors import (
    CODES,
    DocumentError,
    ExrError,
    FormatError,
    IncompleteDocument,
    LimitExceeded,
    NotExr,
    Problem,
    SourceError,
    TruncatedExr,
    UnsupportedExr,
)
from exr_inspector.exr import reader as reader_module
from exr_inspector.exr.compiled import Decoders, decoders
from exr_inspector.exr.reader import SIGNATURES, HeaderReader, looks_like, parse_header
from exr_inspector.limits import DEFAULT_LIMITS, FIRST_READ_BYTES, Limits
from exr_inspector.model import Attribute, ExrHeader, Flags, Opaque
from tests.support import fixture_files
from tests.support.counting import CountingFile, CountingStream, lines_run
from tests.support.exr_bytes import (
    DEEP,
    LONG_NAMES,
    MULTIPART,
    TILED,
    PartBytes,
    attribute,
    header,
    minimal_attributes,
    multipart,
    multipart_file,
    pack_channel,
    pack_chlist,
    pack_f32,
    pack_i32,
    pack_stringvector,
    scanline_file,
    scanline_part,
    single_part,
    start,
)
from tests.support.fixture_files import FixtureFile
from tests.support.id_manifest_bytes import payload as id_manifest_payload

ONE = attribute("a", "int", pack_i32(7))  # 14 bytes: a NUL int NUL, four of size, four of value


def raised(data: bytes, limits: Limits = DEFAULT_LIMITS) -> ExrError:
    with pytest.raises(ExrError) as caught:
        parse_header(data, limits=limits)
    return caught.value


def codes_of(data: bytes, limits: Limits = DEFAULT_LIMITS) -> list[str]:
    return [problem.code for problem in parse_header(data, limits=limits).problems]


def names_of(found: ExrHeader) -> list[list[str]]:
    return [[attribute.name for attribute in part.attributes] for part in found.parts]


# ---- Magic number and version field ------------------------------------------------------------------------


def test_the_smallest_header() -> None:
    data = start() + b"\0"
    found = parse_header(data)
    assert found == ExrHeader(2, Flags(False, False, False, False), found.parts, data, ())
    assert names_of(found) == [[]]
    assert found.size_bytes == 9


FLAG_BITS = (TILED, LONG_NAMES, DEEP, MULTIPART)
LEGAL = {0, TILED, DEEP, MULTIPART, DEEP | MULTIPART}
COMBINATIONS = sorted(sum(chosen) for count in range(5) for chosen in combinations(FLAG_BITS, count))


@pytest.mark.parametrize("flags", COMBINATIONS, ids=hex)
def test_every_combination_of_flags_is_walked(flags: int) -> None:
    end = b"\0" if flags & MULTIPART else b""
    data = start(flags) + header([ONE]) + end + b"what follows"
    found = parse_header(data)
    assert found.flags == (
        bool(flags & 0x200),  # tiled
        bool(flags & 0x400),  # long names
        bool(flags & 0x800),  # deep
        bool(flags & 0x1000),  # multipart
    )
    assert found.data == data[: 23 + len(end)]
    assert names_of(found) == [["a"]]
    codes = [entry["code"] for entry in exr_inspector.inspect(data)["errors"]]
    assert ("flags_illegal" in codes) is (flags & ~LONG_NAMES not in LEGAL)


UNKNOWN_BITS = [1 << bit for bit in range(8, 32) if 1 << bit not in FLAG_BITS]


@pytest.mark.parametrize("bit", UNKNOWN_BITS, ids=hex)
def test_an_unknown_bit_is_refused(bit: int) -> None:
    error = raised(start(bit | MULTIPART) + b"\0\0")
    assert isinstance(error, UnsupportedExr)
    assert (error.code, error.offset) == ("unsupported_flags", 4)
    assert f"{bit:#010x}" in str(error)


@pytest.mark.parametrize("version", [0, 1, 3, 4, 127, 128, 255])
def test_another_version_is_refused(version: int) -> None:
    error = raised(start(0x80000000, version) + b"\0")
    assert isinstance(error, UnsupportedExr)
    assert (error.code, error.offset) == ("unsupported_version", 4)
    assert f"version {version};" in str(error)


@pytest.mark.parametrize("length", range(1, 4))
def test_a_cut_magic_number_is_truncated_not_another_file(length: int) -> None:
    error = raised(start()[:length])
    assert isinstance(error, TruncatedExr)
    assert (error.missing_bytes, error.offset, error.part_index) == (8 - length, 0, None)
    assert "magic number" in str(error)


@pytest.mark.parametrize("length", range(4, 8))
def test_a_cut_version_field(length: int) -> None:
    error = raised(start()[:length])
    assert isinstance(error, TruncatedExr)
    assert (error.missing_bytes, error.part_index) == (8 - length, None)
    assert "version field" in str(error)


# ---- What else it may be -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("signature", "words"), SIGNATURES, ids=[repr(row[0]) for row in SIGNATURES])
def test_every_signature_is_recognised(signature: bytes, words: str) -> None:
    error = raised(signature + b" and what follows \xff\0")
    assert isinstance(error, NotExr)
    assert (error.code, error.offset) == ("not_exr", 0)
    assert str(error) == f"byte 0: not an OpenEXR file: this is {words}"


# The signatures themselves, from the formats' own definitions, so that the table is not its own witness.
STARTS = {
    "89504e470d0a1a0a": "a PNG",  # \x89 PNG CR LF SUB LF (PNG, section 5.2)
    "ffd8ffe000104a464946": "a JPEG",  # SOI, APP0
    "49492a0008000000": "a TIFF",  # II, 42
    "4d4d002a00000008": "a TIFF",  # MM, 42
    "53445058": "a DPX",  # SDPX (SMPTE 268M)
    "58504453": "a DPX",  # the other byte order
    "1f8b0800": "gzip data",  # RFC 1952
    "28b52ffd": "zstd data",  # RFC 8878
    "504b0304": "a zip archive",
    "255044462d": "a PDF",
    "01312f76": "an OpenEXR file with its bytes swapped",
    "00" * 64: "a run of zero bytes",
    "68656c6c6f0a": "text",  # hello LF
    "68656c6c6f07": "an unknown kind of file",  # hello BEL
    "68656c6c6fe9": "an unknown kind of file",  # hello, Latin-1 é
}


@pytest.mark.parametrize(("start_hex", "words"), STARTS.items())
def test_what_the_first_bytes_look_like(start_hex: str, words: str) -> None:
    assert looks_like(bytes.fromhex(start_hex)) == words


def test_only_the_first_64_bytes_decide() -> None:
    assert looks_like(bytes(64) + b"x") == "a run of zero bytes"
    assert looks_like(bytes(63) + b"x") == "an unknown kind of file"
    assert looks_like(b"x" * 64 + b"\0") == "text"


# ---- Names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [0, LONG_NAMES], ids=["short names", "long names"])
@pytest.mark.parametrize("length", [1, 30, 31, 32, 254, 255, 256, 4095, 4096])
@pytest.mark.parametrize("is_type", [False, True], ids=["name", "type"])
def test_names_up_to_the_limit_are_read(length: int, flags: int, is_type: bool) -> None:
    long = b"n" * length
    data = start(flags) + header([attribute("b", long, b"xy") if is_type else attribute(long, "b", b"xy"), ONE])
    found = parse_header(data)
    assert names_of(found) == [["b" if is_type else long.decode(), "a"]]
    first = found.parts[0].attributes[0]
    assert first.type_name == (long.decode() if is_type else "b")
    assert first.value == Opaque(b"xy")
    assert first.value_offset == 8 + length + 1 + 2 + 4
    assert found.data == data
    allowed = 255 if flags else 31
    assert [problem.code for problem in found.problems] == (["name_long"] if length > allowed else [])
    if found.problems:
        problem = found.problems[0]
        assert problem.offset == 8
        assert f"{length} bytes" in problem.message
        assert f"allow {allowed}" in problem.message


@pytest.mark.parametrize("is_type", [False, True], ids=["name", "type"])
def test_a_name_beyond_the_limit_ends_the_walk(is_type: bool) -> None:
    long = b"n" * 4097
    broken = attribute("b", long, b"") if is_type else attribute(long, "b", b"")
    error = raised(start() + header([ONE, broken]))
    assert isinstance(error, LimitExceeded)
    assert (error.code, error.offset, error.part_index) == ("limit_name_bytes", 22, 0)
    assert ("type name" in str(error)) is is_type
    assert "4096" in str(error)


def test_a_name_without_end_is_refused_before_the_file_ends() -> None:
    """4097 bytes without a NUL are enough: the reader asks for no more of them."""
    reader = HeaderReader()
    data = start() + b"n" * 5000
    assert reader.advance(data[: 8 + 4096]) > 8 + 4096
    with pytest.raises(LimitExceeded, match="longer than 4096"):
        reader.advance(data[: 8 + 4097])


def test_an_empty_type_name() -> None:
    data = start() + header([attribute("x", "", b"ab"), ONE])
    found = parse_header(data)
    assert found.parts[0].attributes[0] == Attribute("x", "", Opaque(b"ab"), 8, 8 + 2 + 1 + 4, 2)
    (problem,) = found.problems
    assert problem == Problem("type_empty", problem.message, 0, "x", "", 8)
    assert names_of(found) == [["x", "a"]]


def test_names_that_are_not_utf8() -> None:
    """Both names of a known type's attribute; the value is decoded all the same, its own flaw is told too."""
    data = start() + header([attribute(b"caf\xe9", "string", b"\xff!"), attribute("z", b"\xc3", b"q"), ONE])
    found = parse_header(data)
    first, second, _ = found.parts[0].attributes
    assert (first.name, first.type_name, first.value) == ("caf\ufffd", "string", "\ufffd!")
    assert (second.name, second.type_name, second.value) == ("z", "\ufffd", Opaque(b"q"))
    # caf\xe9 NUL string NUL, four of size: the value begins at 8 + 5 + 7 + 4 = 24 and ends at 26.
    assert [(each.code, each.offset) for each in found.problems] == [
        ("name_text", 8),
        ("value_text", 24),
        ("name_text", 26),
    ]


def test_a_known_type_with_a_bad_name_is_decoded() -> None:
    found = parse_header(start() + header([attribute(b"\xff", "int", pack_i32(-5))]))
    assert found.parts[0].attributes[0].value == -5


def test_names_hold_anything_but_nul() -> None:
    for name in ("ünï", "a b", "x/y:z", "\x01\x1b[0m", "\ufeffbom"):
        found = parse_header(start() + header([attribute(name, name, b"")]))
        assert found.parts[0].attributes[0][:2] == (name, name)
        assert found.problems == ()


# ---- Sizes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [-1, -2, -(2**31)])
def test_a_negative_size_ends_the_walk(size: int) -> None:
    data = start() + header([ONE, attribute("bad", "float", b"abcd", size=size)])
    error = raised(data)
    assert isinstance(error, FormatError)
    # The first attribute ends at 22; bad NUL float NUL is ten bytes, so the size stands at 32.
    problem = error.problem
    assert problem == Problem("attribute_size_negative", f"the size is {size}", 0, "bad", "float", 32)
    assert str(error) == f"part 0, attribute 'bad' ('float'), byte 32: the size is {size}"


def test_a_size_past_the_end() -> None:
    data = start() + attribute("a", "int", b"1234", size=1000)
    error = raised(data)
    assert isinstance(error, TruncatedExr)
    assert error.missing_bytes == 996
    assert (error.offset, error.part_index) == (8, 0)
    assert "the 1000 bytes of attribute 'a' ('int')" in str(error)
    assert "the file ends at byte 22" in str(error)


def test_a_size_beyond_the_limit_is_not_waited_for() -> None:
    error = raised(start() + attribute("a", "int", b"1234", size=2**31 - 1))
    assert isinstance(error, LimitExceeded)
    assert (error.code, error.offset) == ("limit_header_bytes", 8)


def test_a_value_of_size_zero() -> None:
    found = parse_header(start() + header([attribute("s", "string", b""), attribute("o", "mine", b""), ONE]))
    assert [each.value for each in found.parts[0].attributes] == ["", Opaque(b""), 7]
    assert found.problems == ()


# ---- Parts and terminators ---------------------------------------------------------------------------------


def test_the_header_ends_at_its_terminator() -> None:
    data = start() + header([ONE])
    assert parse_header(data + ONE).data == data


def test_a_multipart_header_ends_at_the_second_terminator() -> None:
    data = start(MULTIPART) + header([ONE]) + header([ONE, ONE]) + b"\0"
    found = parse_header(data + header([ONE]))
    assert names_of(found) == [["a"], ["a", "a"]]
    assert found.data == data


def test_a_multipart_file_without_parts() -> None:
    found = parse_header(start(MULTIPART) + b"\0")
    assert (found.parts, found.size_bytes) == ((), 9)


def test_a_multipart_file_of_one_part() -> None:
    assert names_of(parse_header(start(MULTIPART) + header([ONE]) + b"\0")) == [["a"]]


def test_attributes_carry_their_places() -> None:
    data = start(MULTIPART) + header([ONE]) + header([ONE, attribute("long", "string", b"text")]) + b"\0"
    found = parse_header(data)
    # 8 + 14 + NUL = 23: the second part; 23 + 14 = 37: its second attribute; long NUL string NUL size: 16 bytes.
    assert found.parts[0].attributes == (Attribute("a", "int", 7, 8, 18, 4),)
    assert found.parts[1].attributes == (
        Attribute("a", "int", 7, 23, 33, 4),
        Attribute("long", "string", "text", 37, 53, 4),
    )
    assert found.payload(found.parts[1].attributes[1]) == b"text"


def test_of_duplicates_all_stay_and_the_first_counts() -> None:
    found = parse_header(start() + header([attribute("a", "int", pack_i32(value)) for value in (3, 1, 2)]))
    assert [each.value for each in found.parts[0].attributes] == [3, 1, 2]
    assert found.parts[0].value("a", "int") == 3
    assert found.parts[0].value("a", "float") is None
    assert found.parts[0].value("b", "int") is None


# ---- Every prefix: how many bytes are missing --------------------------------------------------------------


def _many_names() -> bytes:
    attributes = [attribute("n" * length, "t" * (60 - length), b"v" * length) for length in range(1, 60)]
    return start(LONG_NAMES) + header(attributes)


def _fixture_header(name: str) -> bytes:
    data = fixture_files.data_of(name)
    return data[: parse_header(data).size_bytes]


WHOLE_HEADERS = {
    "scan lines": scanline_file().header_data,
    "three parts": multipart_file(3).header_data,
    "names": _many_names(),
    "no attributes": start() + b"\0",
    "no parts": start(MULTIPART) + b"\0",
    "empty type and values": start() + header([attribute("x", "", b""), attribute("y", "", b""), ONE]),
    "every type": _fixture_header("real/every_type.exr"),
    "two stereo parts": _fixture_header("real/stereo_parts.exr"),
}


@pytest.mark.parametrize("name", WHOLE_HEADERS)
def test_every_prefix_is_truncated_and_says_no_more_than_the_truth(name: str) -> None:
    whole = WHOLE_HEADERS[name]
    for length in range(1, len(whole)):
        error = raised(whole[:length])
        assert isinstance(error, TruncatedExr), length
        assert error.code == "truncated_header"
        # "At least": never more than what is really missing, never nothing.
        assert 0 < error.missing_bytes <= len(whole) - length
        assert f"ends at byte {length}," in str(error)


@pytest.mark.parametrize("name", WHOLE_HEADERS)
def test_the_bytes_that_are_asked_for_bring_the_reader_on(name: str) -> None:
    """Fed with exactly what it asks for, the reader gets to the end, and never asks for a byte past it."""
    whole = WHOLE_HEADERS[name]
    for first in range(1, len(whole), 1 + len(whole) // 500):
        reader, have = HeaderReader(), first
        while needed := reader.advance(whole[:have]):
            assert have < needed <= len(whole)
            have = needed
        assert have == len(whole)
        assert reader.is_done


def test_what_is_missing_is_said_exactly_where_it_is_known() -> None:
    """At each point of the attribute: the least that can still follow of it."""
    data = start() + ONE
    missing = {
        8: 1,  # nothing yet: perhaps only the terminator
        9: 6,  # "a": NUL, an empty type's NUL, four of size
        10: 5,  # "a" NUL: the type's NUL, four of size
        13: 5,  # "a" NUL "int"
        14: 4,  # the size
        15: 3,
        17: 1,
        18: 4,  # the value
        21: 1,
        22: 1,  # the terminator
    }
    for length, expected in missing.items():
        error = raised(data[:length])
        assert isinstance(error, TruncatedExr)
        assert error.missing_bytes == expected, length


@pytest.mark.parametrize(
    ("length", "words"),
    [(9, "an attribute's name"), (11, "an attribute's type name"), (15, "an attribute's size"), (20, "the 4 bytes of")],
)
def test_the_message_says_what_was_being_read(length: int, words: str) -> None:
    error = raised((start() + ONE)[:length])
    assert f"in {words}" in str(error)
    assert (error.offset, error.part_index) == (8, 0)


def test_a_truncated_second_part_is_named() -> None:
    data = start(MULTIPART) + header([ONE]) + ONE
    error = raised(data)
    assert (error.part_index, error.offset) == (1, 37)


def test_a_stream_and_a_file_miss_the_same_bytes() -> None:
    """The last bytes of a stream may end one attribute and begin the next; then that one's bytes are missing."""
    whole = start() + header([attribute(f"attribute{index}", "int", pack_i32(index)) for index in range(1200)])
    assert len(whole) > FIRST_READ_BYTES + 60
    for length in range(FIRST_READ_BYTES - 30, FIRST_READ_BYTES + 60):
        cut = whole[:length]
        documents = [exr_inspector.inspect(source) for source in (cut, CountingStream(cut), CountingStream(cut, 7))]
        missing = {document["integrity"]["missing_bytes"] for document in documents}
        messages = {document["errors"][-1]["message"] for document in documents}
        assert len(missing) == len(messages) == 1, length


# ---- Resuming ----------------------------------------------------------------------------------------------


def read_in_pieces(data: bytes, ends: Iterator[int], limits: Limits = DEFAULT_LIMITS) -> ExrHeader:
    """The header as a reader gives it that is handed more and more bytes."""
    reader, end = HeaderReader(limits), 0
    while reader.advance(data[:end]):
        assert end < len(data)
        end = min(next(ends), len(data))
    return reader.header(data)


RESUMED = fixture_files.params(lambda file: file.expect.get("readable") is True and file.path.stat().st_size < 3000)


@pytest.mark.parametrize("file", RESUMED)
def test_read_at_once_or_in_pieces_it_is_the_same_header(file: FixtureFile) -> None:
    data = file.data
    whole = parse_header(data)
    random_ends = random.Random(file.name)  # not for secrets

    def in_random_pieces() -> Iterator[int]:
        end = 0
        while True:
            end += random_ends.randrange(1, 60)
            yield end

    # As text: a NaN is not equal to itself.
    assert repr(read_in_pieces(data, iter(range(1, len(data) + 1)))) == repr(whole)
    assert repr(read_in_pieces(data, in_random_pieces())) == repr(whole)


def test_errors_are_the_same_in_pieces() -> None:
    for name in ("damaged/size_minus_one.exr", "damaged/name_endless.exr", "damaged/version_3.exr"):
        data = fixture_files.data_of(name)
        at_once = raised(data)
        with pytest.raises(type(at_once)) as caught:
            read_in_pieces(data, iter(range(1, len(data) + 1)))
        assert caught.value.problem == at_once.problem


def test_what_was_read_before_an_error_is_kept() -> None:
    data = start(MULTIPART) + header([ONE]) + ONE + attribute("bad", "int", b"", size=-1)
    reader = HeaderReader()
    with pytest.raises(FormatError):
        reader.advance(data)
    found = reader.header(data)
    assert names_of(found) == [["a"], ["a"]]
    assert (reader.is_done, found.data) == (False, data[:37])


# ---- Linear in the header's size ---------------------------------------------------------------------------


def _header_of(count: int) -> bytes:
    return start() + header([attribute(f"name{index:06}", "mine", bytes(20)) for index in range(count)])


def test_the_work_is_linear_in_the_number_of_attributes() -> None:
    def work(count: int) -> int:
        data = _header_of(count)
        decoders(DEFAULT_LIMITS).forget()
        return lines_run(lambda: parse_header(data), reader_module.__file__)

    small, large = work(500), work(2000)
    assert small > 500  # the counter counts
    assert large < 4.2 * small


def test_large_values_cost_no_more_lines_than_small_ones() -> None:
    def work(size: int) -> int:
        data = start() + header([attribute("text", "string", b"x" * size)])
        return lines_run(lambda: parse_header(data), reader_module.__file__)

    assert work(1 << 20) == work(5000)


@pytest.mark.parametrize("file_type", [CountingFile, CountingStream])
def test_reads_are_logarithmic_and_their_bytes_linear(file_type: Callable[[bytes], CountingFile]) -> None:
    for power in range(0, 12, 2):
        data = _header_of(40 << power)  # 1.4 KB to 1.4 MB
        file = file_type(data + bytes(4 << 20))
        exr_inspector.inspect(file, config={"integrity": "none"})
        assert len(file.reads) <= 2 + power
        assert [offset for offset, _ in file.reads] == sorted({offset for offset, _ in file.reads})
        assert len(data) <= file.bytes_read <= 2 * len(data) + 2 * FIRST_READ_BYTES


def test_one_large_value_is_asked_for_at_once() -> None:
    file = CountingFile(start() + header([attribute("text", "string", b"x" * (5 << 20))]))
    exr_inspector.inspect(file, config={"integrity": "none"})
    assert len(file.reads) == 3  # the first, and 5 MiB in pieces of 4


# ---- Limits ------------------------------------------------------------------------------------------------


def _channels(count: int) -> bytes:
    return start() + header(
        [attribute("channels", "chlist", pack_chlist(*[pack_channel(f"c{n}") for n in range(count)]))]
    )


def _floats(*counts: int) -> bytes:
    return start() + header([attribute(f"f{n}", "floatvector", bytes(4 * count)) for n, count in enumerate(counts)])


def _flaws(count: int) -> bytes:
    wrong = [attribute(f"x{n}", "", b"") for n in range(count)]
    return start() + header([*minimal_attributes().values(), *wrong])


def _manifest(texts: int) -> bytes:
    """A manifest whose body is version, a table of one string of that length, no runs, no groups."""
    body = pack_i32(0) + pack_i32(1) + bytes([texts]) + b"s" * texts + pack_i32(0) + pack_i32(0)
    return start() + header([attribute("m", "idmanifest", id_manifest_payload(body))])


# The limit, its value; a file that just meets it, one that is one more; the code that says so.
LIMITS: dict[str, tuple[int, bytes, bytes, str]] = {
    # 8 bytes of start, 14 of attribute, the terminator.
    "max_header_bytes": (23, start() + header([ONE]), start() + header([attribute("ab", "int", pack_i32(1))]),
                         "limit_header_bytes"),
    "max_parts": (2, multipart_file(2).data, multipart_file(3).data, "limit_parts"),
    "max_attributes": (3, start() + header([ONE] * 3), start() + header([ONE] * 4), "limit_attributes"),
    "max_name_bytes": (9, start() + header([attribute("n" * 9, "t" * 9, b"")]),
                       start() + header([attribute("n" * 10, "t", b"")]), "limit_name_bytes"),
    "max_channels": (3, _channels(3), _channels(4), "value_limit"),
    "max_elements": (40, _floats(40), _floats(41), "value_limit"),
    "max_header_elements": (60, _floats(40, 20), _floats(40, 21), "value_limit"),
    "max_chunks": (4, scanline_file(height=4).data, scanline_file(height=5).data, "limit_chunks"),
    # 4 version, 4 count, 1 length, the string, 4 runs, 4 groups.
    "max_id_manifest_bytes": (37, _manifest(20), _manifest(21), "value_limit"),
    "max_problems": (5, _flaws(5), _flaws(6), "limit_problems"),
}  # fmt: skip


def test_every_limit_is_tested() -> None:
    assert set(LIMITS) == set(Limits._fields)


@pytest.mark.parametrize("name", LIMITS)
def test_limits_met_and_passed(name: str) -> None:
    value, met, passed, code = LIMITS[name]
    limits = Limits()._replace(**{name: value})

    def codes(data: bytes, limits: Limits) -> list[str]:
        return [entry["code"] for entry in exr_inspector.inspect(data, limits=limits)["errors"]]

    assert code not in codes(met, limits)
    assert codes(passed, limits).count(code) == 1
    assert code not in codes(passed, Limits())


@pytest.mark.parametrize(
    ("name", "data"),
    [
        # The attribute ends at 22, within the limit; the terminator does not.
        ("max_header_bytes", start() + header([ONE])),
        ("max_header_bytes", start(MULTIPART) + header([ONE])[:-1] + b"\0\0"),
        ("max_attributes", start(MULTIPART) + header([ONE] * 22) + header([ONE]) + b"\0"),
    ],
)
def test_limits_hold_where_only_the_terminators_are_left(name: str, data: bytes) -> None:
    error = raised(data, Limits()._replace(**{name: 22}))
    assert isinstance(error, LimitExceeded)
    assert error.code == name.replace("max", "limit")


def test_the_attributes_of_all_parts_count_together() -> None:
    data = start(MULTIPART) + header([ONE, ONE]) + header([ONE, ONE]) + b"\0"
    assert len(parse_header(data, limits=Limits(max_attributes=4)).parts) == 2
    error = raised(data, Limits(max_attributes=3))
    # 8 + 28 + NUL = 37: the second part; 51: its second attribute, which is one too many.
    assert (error.code, error.part_index, error.offset) == ("limit_attributes", 1, 51)


def test_exactly_as_many_attributes_as_there_may_be_can_come_in_pieces() -> None:
    data = start(MULTIPART) + header([ONE, ONE]) + header([ONE]) + b"\0"
    limits = Limits(max_attributes=3)
    assert read_in_pieces(data, iter(range(1, len(data) + 1)), limits) == parse_header(data, limits=limits)


def test_a_part_too_many_is_told_once() -> None:
    reader = HeaderReader(Limits(max_parts=2))
    data = multipart_file(4).data
    with pytest.raises(LimitExceeded) as caught:
        reader.advance(data)
    assert (caught.value.code, caught.value.part_index) == ("limit_parts", 2)
    names = [part.value("name", "string") for part in reader.header(data).parts]
    assert names == ["part0", "part1", "part2"]


def test_a_header_larger_than_the_limit_is_not_read_to_its_end() -> None:
    limits = Limits(max_header_bytes=100_000)
    file = CountingFile(start() + b"n" * 50 + b"\0t\0" + pack_i32(2**30) + bytes(1 << 20))
    codes = [entry["code"] for entry in exr_inspector.inspect(file, limits=limits)["errors"]]
    assert codes == ["limit_header_bytes"]
    assert file.bytes_read <= FIRST_READ_BYTES


def test_what_lies_beyond_the_limit_is_not_read() -> None:
    """The second attribute ends at 36; its bytes are there, but not to be had."""
    reader, data = HeaderReader(Limits(max_header_bytes=30)), start() + header([ONE, ONE, ONE])
    with pytest.raises(LimitExceeded) as caught:
        reader.advance(data)
    assert (caught.value.code, caught.value.part_index, caught.value.offset) == ("limit_header_bytes", 0, 22)
    assert names_of(reader.header(data)) == [["a"]]


def test_a_name_that_goes_on_beyond_the_limit() -> None:
    error = raised(start() + ONE + b"n" * 20, Limits(max_header_bytes=30))
    assert (error.code, error.offset) == ("limit_header_bytes", 22)


def test_small_collections_are_not_counted_together() -> None:
    """64 bytes and less are bounded by the number of attributes."""
    data = _floats(*[16] * 10)
    assert codes_of(data, Limits(max_header_elements=20)) == []


def test_an_uncounted_collection_keeps_its_bytes_and_the_next_is_decoded() -> None:
    found = parse_header(_floats(30, 40, 20), limits=Limits(max_header_elements=50))
    values = [each.value for each in found.parts[0].attributes]
    assert values == [(0.0,) * 30, Opaque(bytes(160)), (0.0,) * 20]
    (problem,) = found.problems
    # f0 NUL floatvector NUL size: 19 bytes, 120 of value; then 19 again.
    assert (problem.code, problem.attribute, problem.offset) == ("value_limit", "f1", 8 + 19 + 120 + 19)


def test_problems_are_capped_and_the_rest_is_counted() -> None:
    found = parse_header(_flaws(25), limits=Limits(max_problems=10))
    assert [problem.code for problem in found.problems] == ["type_empty"] * 10 + ["limit_problems"]
    assert found.problems[-1].message.startswith("15 more")
    assert len(found.parts[0].attributes) == 8 + 25


# ---- Errors carry their places -----------------------------------------------------------------------------


def test_every_flaw_is_placed_in_its_own_part() -> None:
    bad = attribute("v", "float", b"abc")  # v NUL float NUL size: 12 bytes before the value
    data = start(MULTIPART) + header([bad]) + header([ONE, bad]) + b"\0"
    found = parse_header(data)
    # 8 + 12 = 20; the part ends at 23 and its NUL at 24; 24 + 14 + 12 = 50.
    assert [(each.code, each.part_index, each.attribute, each.type_name, each.offset) for each in found.problems] == [
        ("value_size", 0, "v", "float", 20),
        ("value_size", 1, "v", "float", 50),
    ]
    entry = found.problems[1].as_entry()
    assert entry == {
        "code": "value_size",
        "severity": "error",
        "retryable": False,
        "message": "part 1, attribute 'v' ('float'), byte 50: the size is 3, the type has 4 bytes",
        "part_index": 1,
        "attribute": "v",
        "offset": 50,
    }


def test_messages_are_one_printable_line() -> None:
    hostile = "\x1b[31m\n\u202e" + "x" * 300
    problem = Problem("value_size", "message", 0, hostile, hostile, 1)
    assert problem.full_message.replace("…", "").isascii()
    assert problem.full_message.isprintable()
    assert len(problem.full_message) < 400


ERRORS = [
    ExrError(Problem("value_size", "m")),
    SourceError(Problem("source_failed", "m")),
    FormatError(Problem("empty_file", "m", offset=0)),
    NotExr(Problem("not_exr", "m", offset=0)),
    UnsupportedExr(Problem("unsupported_flags", "m", offset=4)),
    TruncatedExr(Problem("truncated_header", "m", 1, "a", "int", 99), 17),
    LimitExceeded(Problem("limit_parts", "m", 3)),
    DocumentError("the field"),
    IncompleteDocument("the value"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling(error: ExrError) -> None:
    back = pickle.loads(pickle.dumps(error))  # noqa: S301  # its own bytes
    assert type(back) is type(error)
    assert (back.problem, str(back)) == (error.problem, str(error))
    assert getattr(back, "missing_bytes", None) == getattr(error, "missing_bytes", None)
    assert (back.code, back.part_index, back.attribute, back.offset, back.retryable) == (
        error.problem.code,
        error.problem.part_index,
        error.problem.attribute,
        error.problem.offset,
        CODES[error.problem.code].retryable,
    )


def test_the_exception_tree() -> None:
    assert all(isinstance(error, ExrError) for error in ERRORS)
    assert issubclass(IncompleteDocument, DocumentError)
    assert issubclass(DocumentError, ValueError)
    for kind in (NotExr, UnsupportedExr, TruncatedExr):
        assert issubclass(kind, FormatError)
    assert not issubclass(LimitExceeded, FormatError)


# ---- Remembered attributes ---------------------------------------------------------------------------------


def read_or_error(data: bytes) -> str:
    """As text: a NaN is not equal to itself."""
    try:
        return repr(parse_header(data))
    except ExrError as error:
        return repr((type(error), error.problem))


def test_memory_changes_nothing() -> None:
    """Each fixture cold, then all of them twice, warmed by each other in both directions."""
    memory = decoders(DEFAULT_LIMITS)
    cold = {}
    for file in fixture_files.FILES:
        memory.forget()
        cold[file.name] = read_or_error(file.data)
    for files in (fixture_files.FILES, reversed(fixture_files.FILES)):
        for file in files:
            assert read_or_error(file.data) == cold[file.name], file.name


def test_memory_is_used() -> None:
    memory = decoders(DEFAULT_LIMITS)
    memory.forget()
    data = scanline_file().data
    first = parse_header(data).parts[0].attributes
    again = parse_header(data).parts[0].attributes
    assert all(one.value is other.value for one, other in zip(first, again, strict=True))


def test_a_long_name_is_told_in_each_file_that_does_not_allow_it() -> None:
    attributes = header([attribute("n" * 40, "int", pack_i32(1))])
    decoders(DEFAULT_LIMITS).forget()
    for _ in range(2):
        assert codes_of(start(LONG_NAMES) + attributes) == []
        assert codes_of(start() + attributes) == ["name_long"]


FLAWED = [
    attribute("v", "int", b"abc"),
    attribute("v", "string", b"\xff"),
    attribute("v", "", b""),
    attribute(b"\xff", "int", pack_i32(1)),
    attribute("n" * 300, "int", pack_i32(1)),
    attribute("v", "compression", b"\x63"),
    attribute("v", "stringvector", pack_stringvector("a")[:-1]),
    attribute("v", "idmanifest", b"abc"),
]


@pytest.mark.parametrize("bad", FLAWED, ids=range(len(FLAWED)))
def test_flawed_attributes_are_told_each_time(bad: bytes) -> None:
    data = start(MULTIPART) + header([bad]) + header([ONE, bad]) + header([bad]) + b"\0"
    for _ in range(2):
        problems = parse_header(data).problems
        assert [each.part_index for each in problems] == [0, 1, 2]
        assert len({each.code for each in problems}) == 1
        first, second, third = (each.offset or 0 for each in problems)
        assert second - first == len(bad) + 1 + len(ONE)
        assert third - second == len(bad) + 1


def test_manifests_are_not_remembered() -> None:
    """Each takes what it builds out of the header's allowance."""
    manifest = attribute("m", "idmanifest", id_manifest_payload(pack_i32(0, 1) + b"\x14" + b"s" * 20 + pack_i32(0, 0)))
    limits = Limits(max_id_manifest_bytes=2 * 37)
    for count, expected in ((2, []), (3, ["value_limit"])):
        assert codes_of(start() + header([manifest] * count), limits) == expected


def test_memory_is_bounded() -> None:
    limits = Limits(max_problems=999)  # decoders of their own
    memory = decoders(limits)
    size = Decoders.LONGEST_REMEMBERED_BYTES
    largest = 0
    for index in range(600):  # more than twice what fits
        value = attribute("v", "string", f"{index}".encode().ljust(size - 13))
        parse_header(start() + header([value]), limits=limits)
        held = sum(map(len, memory.memory))
        assert held <= Decoders.MEMORY_BYTES
        largest = max(largest, held)
    assert largest == Decoders.MEMORY_BYTES  # the bound was met


def test_the_longest_that_is_remembered() -> None:
    memory = Decoders.LONGEST_REMEMBERED_BYTES
    held = decoders(DEFAULT_LIMITS)
    for length, is_remembered in ((memory, True), (memory + 1, False)):
        held.forget()
        whole = attribute("v", "string", b"x" * (length - 13))  # v NUL string NUL size: 13 bytes
        assert len(whole) == length
        parse_header(start() + header([whole]))
        assert (whole in held.memory) is is_remembered


def test_the_same_bytes_under_other_limits_are_read_anew() -> None:
    data = _channels(3)
    assert codes_of(data) == []
    assert codes_of(data, Limits(max_channels=2)) == ["value_limit"]
    assert codes_of(data) == []


# ---- The interface -----------------------------------------------------------------------------------------


def test_parse_header_may_be_handed_a_whole_file() -> None:
    built = multipart([scanline_part(name="a"), PartBytes(minimal_attributes(name="b", part_type="scanlineimage"))])
    assert parse_header(built.data).data == built.header_data
    assert single_part().header_data == parse_header(single_part().data).data


def test_values_are_of_the_model() -> None:
    found = parse_header(start() + header([attribute("f", "float", pack_f32(0.5))]))
    assert found.parts[0].value("f", "float") == 0.5
