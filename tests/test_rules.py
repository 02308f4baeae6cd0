"""The rules: each is broken by one file and kept by its neighbour; the OpenEXR wheel says which are rejected."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import OpenEXR
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exr_inspector import inspect
from exr_inspector.errors import CODES, ExrError, Problem
from exr_inspector.exr.reader import parse_header
from exr_inspector.limits import DEFAULT_LIMITS, Limits
from exr_inspector.model import ExrHeader
from exr_inspector.rules.always import KINDS_BY_FLAGS, header_problems, is_plain
from exr_inspector.rules.records import LEVELS, Facts
from exr_inspector.rules.table import FIXED_RULES, RULES
from tests.support.exr_bytes import attribute, header, minimal_attributes, pack_channel, pack_chlist, pack_i32, start
from tests.support.rule_cases import CASES, FIXTURES, Case, deep, flat, part, parts, tiled, twice

MANIFEST = json.loads((FIXTURES / "manifest.json").read_text())["files"]
RULE_BY_ID = {rule.id: rule for rule in RULES}
IDS = [f"{number}-{case.rule}" for number, case in enumerate(CASES)]


def findings(data: bytes | str, integrity: str = "none", limits: Limits = DEFAULT_LIMITS) -> list[dict[str, Any]]:
    document = inspect(data, config={"validate": True, "integrity": integrity}, limits=limits)
    found = document["validation"]["findings"]
    failed = any(finding["severity"] == "error" for finding in found)
    assert document["validation"]["status"] == ("failed" if failed else "passed")
    return list(found)


# ---- Each rule ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_broken_rule_is_found_where_it_is_broken_and_no_other(case: Case) -> None:
    found = findings(case.bad, case.integrity, case.limits)
    of_rule = [finding for finding in found if finding["rule"] == case.rule]
    assert [(finding["part_index"], finding["attribute"]) for finding in of_rule] == list(case.places)
    assert {finding["rule"] for finding in found} == {case.rule} | case.also
    for finding in of_rule:
        rule = RULE_BY_ID[case.rule]
        assert (finding["severity"], finding["level"]) == (rule.severity, rule.level)
        if finding["attribute"] is not None and finding["offset"] is not None:
            assert f"byte {finding['offset']}: " in finding["message"]
            assert finding["offset"] < len(case.bad)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_its_neighbour_breaks_no_rule(case: Case) -> None:
    assert {finding["rule"] for finding in findings(case.good, case.integrity)} <= case.also


def test_every_rule_has_a_case() -> None:
    assert {case.rule for case in CASES} == set(RULE_BY_ID)


def test_ids_are_unique_and_rows_are_filled() -> None:
    assert len(RULE_BY_ID) == len(RULES)
    for rule in RULES:
        group, _, name = rule.id.partition(".")
        assert group.islower()
        assert name.replace("_", "").islower()
        assert rule.citation
        assert rule.meaning


def test_severity_follows_from_the_level() -> None:
    assert {rule.level for rule in RULES} == set(LEVELS) - {"P"}
    for rule in RULES:
        assert rule.severity == ("error" if rule.level in "RSI" else "warning"), rule.id


def test_all_findings_are_told() -> None:
    names = ("dataWindow", "compression", "lineOrder")
    found = findings(flat(dict.fromkeys(names)))
    assert sorted(finding["attribute"] for finding in found) == sorted(names)


def test_every_code_that_reading_can_give_belongs_to_rules() -> None:
    """No flaw that the reader or the integrity check tells is left out of the validation."""
    not_of_a_file = {"config_invalid", "feature_unavailable", "document_invalid", "policy_unreadable", "column_misfit"}
    # name_long is judged from the header itself, by level; channel lists' enumerations by channel.pixel_type.
    by_own_check = {"name_long"} | {rule.code for rule in RULES if rule.code}
    rooms = ("store_", "not_stored", "event_", "function_", "sink_", "setting_")
    of_other_rooms = {code for code in CODES if code.startswith(rooms)}
    for code in CODES.keys() - not_of_a_file - of_other_rooms - by_own_check:
        types = ("int", "floatvector", "stringvector", "chlist", "idmanifest", "timecode", "keycode", "compression")
        problems = tuple(Problem(code, "x", 0, "v", type_name, 1) for type_name in types)
        header_ = parse_header(flat())
        broken = {rule.id for rule in RULES for _ in rule.check(Facts(header_, True, problems))}
        assert broken, code


def test_a_cut_header_is_not_judged_by_what_it_lacks() -> None:
    data = flat()
    for size in range(8, len(data)):
        assert {finding["rule"] for finding in findings(data[:size])} == {"file.sizes"}


def test_findings_are_bounded_and_errors_come_first() -> None:
    many = [attribute(f"a{number}", "string", b"\xff") for number in range(50)]
    data = start() + header([*minimal_attributes().values(), *many, attribute("v", "int", b"")])
    document = inspect(data, config={"validate": True, "integrity": "none"}, limits=Limits(max_problems=60))
    assert document["validation"]["error_count"] == 1
    assert document["validation"]["warning_count"] == 50
    limits = Limits(max_problems=10)
    document = inspect(data, config={"validate": True, "integrity": "none"}, limits=limits)
    # What was not listed was not judged: no pass.
    assert document["validation"]["findings"][0]["rule"] == "file.limits"
    assert len(document["validation"]["findings"]) == 10
    assert document["validation"]["status"] == "failed"


def test_a_limit_leaves_out_warnings_before_errors() -> None:
    data = start() + header([
        *minimal_attributes(channels=[pack_channel("R"), pack_channel("A")]).values(),
        *2 * [attribute("owner", "string", b"")],
        *2 * [attribute("lineOrder", "lineOrder", b"\0")],
    ])  # fmt: skip
    document = inspect(data, config={"validate": True, "integrity": "none"}, limits=Limits(max_problems=1))
    assert [finding["rule"] for finding in document["validation"]["findings"]] == ["attribute.duplicate_required"]
    assert document["validation"]["warning_count"] == 2


def test_without_validation_the_document_has_none() -> None:
    assert inspect(flat({"channels": None}))["validation"] == {}


def test_a_missing_file_fails() -> None:
    document = inspect("/nowhere/at/all.exr", config={"validate": True})
    assert document["validation"]["status"] == "failed"
    assert [finding["rule"] for finding in document["validation"]["findings"]] == ["file.readable"]


# ---- What every file is held to ----------------------------------------------------------------------------


def by_table(header_: ExrHeader) -> tuple[Problem, ...]:
    facts = Facts(header_)
    return tuple(Problem(rule.code, *finding) for rule in RULES if rule.code for finding in rule.check(facts))


def errors(data: bytes) -> list[tuple[str, int | None, str | None]]:
    document = inspect(data, config={"integrity": "none"})
    return [(error["code"], error["part_index"], error["attribute"]) for error in document["errors"]]


@pytest.mark.parametrize("case", [case for case in CASES if RULE_BY_ID[case.rule].code], ids=lambda case: case.rule)
def test_findings_of_rules_with_a_code_are_among_the_errors(case: Case) -> None:
    code = RULE_BY_ID[case.rule].code
    places = [place for found, *place in errors(case.bad) if found == code]
    assert Counter(map(tuple, places)) >= Counter(case.places)
    assert not [found for found, *_ in errors(case.good) if found == code]


def test_one_entry_for_each_duplicated_name() -> None:
    data = start() + header([*minimal_attributes().values(), *3 * [attribute("b", "int", bytes(4))],
                             *2 * [attribute("a", "int", bytes(4))]])  # fmt: skip
    found = inspect(data, config={"integrity": "none"})["errors"]
    assert [(error["code"], error["attribute"]) for error in found] == [
        ("attribute_duplicate", "b"),
        ("attribute_duplicate", "a"),
    ]
    assert "stands 3 times" in found[0]["message"]
    # The place is that of the second one.
    assert found[0]["offset"] == data.index(b"b\0int", data.index(b"b\0int") + 1)


def test_one_entry_for_each_duplicated_channel() -> None:
    names = ("A", "B", "A", "C", "B", "A")
    data = flat({"channels": ("chlist", pack_chlist(*map(pack_channel, names)))})
    found = inspect(data, config={"integrity": "none"})["errors"]
    assert [error["code"] for error in found] == ["channel_duplicate", "channel_duplicate"]
    assert ["'A' stands 3 times" in found[0]["message"], "'B' stands 2 times" in found[1]["message"]] == [True, True]


def test_the_problems_of_a_header_are_bounded() -> None:
    data = parts(*(part({"compression": None}, name=str(number)) for number in range(20)))
    problems = header_problems(parse_header(data), Limits(max_problems=5))
    assert [problem.code for problem in problems] == 5 * ["attribute_missing"] + ["limit_problems"]
    assert "15 more problems" in problems[-1].message
    assert len(header_problems(parse_header(data), Limits(max_problems=20))) == 20


@pytest.mark.parametrize("entry", [entry for entry in MANIFEST if entry["path"].startswith("real/")],
                         ids=lambda entry: entry["path"])  # fmt: skip
def test_files_of_the_wheels_need_no_table(entry: dict[str, Any]) -> None:
    header_ = parse_header((FIXTURES / entry["path"]).read_bytes())
    assert all(is_plain(part_, KINDS_BY_FLAGS[header_.flags]) for part_ in header_.parts)
    assert header_problems(header_, DEFAULT_LIMITS) == ()


def test_both_readings_agree_on_all_fixtures_and_cases() -> None:
    data = [(FIXTURES / entry["path"]).read_bytes() for entry in MANIFEST]
    for each in [*data, *(case.bad for case in CASES), *(case.good for case in CASES)]:
        try:
            header_ = parse_header(each)
        except ExrError:
            continue
        most = DEFAULT_LIMITS.max_problems
        assert header_problems(header_, DEFAULT_LIMITS)[:most] == by_table(header_)[:most]


SEEDS = (
    flat(),
    tiled(part_type="tiledimage", name="n", chunk_count=1),
    deep(),
    parts(part(), part(name="b")),
    parts(part(part_type="deeptile", deep=True, tiles=bytes(9)), flags=0x800),
    twice("view", "string", b"left"),
)
TOKENS = (
    b"channels\0chlist\0", b"type\0string\0", b"tiles\0tiledesc\0", b"version\0int\0", b"view\0string\0",
    b"name\0string\0", b"chunkCount\0int\0", b"multiView\0stringvector\0", b"int\0", b"string\0",
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_both_readings_agree_on_changed_headers(seed: bytes, data: st.DataObject) -> None:
    """The fast reading never says that a part is plain where a rule of the table finds something."""
    changed = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(4, len(changed) - 1))
        if data.draw(st.booleans()):
            changed[at] = data.draw(st.integers(0, 255))
        else:
            token = data.draw(st.sampled_from(TOKENS))
            changed[at : at + len(token)] = token
    try:
        header_ = parse_header(bytes(changed))
    except ExrError:
        return
    assert header_problems(header_, DEFAULT_LIMITS) == by_table(header_)


# ---- Against the OpenEXR wheel -----------------------------------------------------------------------------

# Rules of level R that files break which the wheel opens all the same.
OPENS = {
    "file.sizes": "a bad size ends the attribute, the lenient reader goes on out of step (invents attributes)",
    "attribute.type_name": "the lenient reader drops the attribute",
    "attribute.name_length": "the lenient reader drops the attribute; a channel's name it rejects",
    "value.size": "the lenient reader drops the attribute, and takes a default for a required one",
    "value.float_vector": "the lenient reader drops the attribute",
    "value.string_vector": "the lenient reader drops the attribute",
    "value.preview": "the lenient reader drops the attribute",
    "value.channel_list": "terminator missing or bytes behind it: only a list cut inside a channel is rejected",
    "value.id_manifest": "bytes after the body are ignored",
    "tile.mode": "only where the part is tiled; elsewhere the attribute is dropped",
    "chunk.offset": "the header alone is read; the library finds out when it reads pixels",
    "chunk.table": "the header alone is read; the library finds out when it reads pixels",
}
# Files that break no rule of level R and that the wheel does not open.
REJECTED = {
    "damaged/idmanifest_size_2_63.exr": "the manifest is larger than our limit: not judged (file.limits)",
    "damaged/name_endless.exr": "the name is longer than our limit: not judged (file.readable)",
    "damaged/type_endless.exr": "the name is longer than our limit: not judged (file.readable)",
    "hand/deep_image_states.exr": "the binding has no conversion for deepImageState",
    "hand/latin1_names.exr": "the binding decodes strictly: value.text, N because the library itself does not",
    "hand/latin1_strings.exr": "the binding decodes strictly: value.text, N because the library itself does not",
    "hand/numbers_out_of_range.exr": "the class KeyCode raises, and Fraction for a denominator of 0",
}


@pytest.mark.parametrize("entry", MANIFEST, ids=lambda entry: entry["path"])
def test_the_wheel_rejects_what_readers_reject(entry: dict[str, Any]) -> None:
    found = {finding["rule"] for finding in findings(str(FIXTURES / entry["path"]), "chunks")}
    rejected = {rule for rule in found if RULE_BY_ID[rule].level == "R"}
    if entry["oracles"]["openexr"]["opens"]:
        assert rejected <= OPENS.keys()
    elif entry["path"] in REJECTED:
        assert not rejected
    else:
        assert rejected


def test_every_divergence_occurs() -> None:
    broken: set[str] = set()
    for entry in MANIFEST:
        if entry["oracles"]["openexr"]["opens"]:
            broken |= {finding["rule"] for finding in findings(str(FIXTURES / entry["path"]), "chunks")}
    assert OPENS.keys() <= broken
    assert REJECTED.keys() <= {entry["path"] for entry in MANIFEST if not entry["oracles"]["openexr"]["opens"]}


def opens(path: Path, data: bytes) -> bool:
    path.write_bytes(data)
    try:
        OpenEXR.File(str(path), header_only=True)
    except (RuntimeError, ValueError, TypeError, UnicodeDecodeError):
        return False
    return True


# The file of file.readable breaks only our limit; no file with a deepImageState opens at all.
WHEEL_CASES = [
    (name, case)
    for name, case in zip(IDS, CASES, strict=True)
    if case.rule != "file.readable" and b"deepImageState" not in case.bad
]


@pytest.mark.parametrize("case", [case for _, case in WHEEL_CASES], ids=[name for name, _ in WHEEL_CASES])
def test_the_wheel_agrees_with_the_cases(case: Case, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    is_rejected = RULE_BY_ID[case.rule].level == "R"
    was_opened = opens(tmp_path / "bad.exr", case.bad)
    assert opens(tmp_path / "good.exr", case.good)
    if is_rejected and case.rule not in OPENS:
        assert not was_opened
    elif not is_rejected and case.rule not in RAISES:
        assert was_opened


# Rules that are not of level R whose cases the wheel does not open.
RAISES = {
    "part.type": "level S in the core, which skips such parts; the C++ classes do not open the file",
    "value.text": "the binding decodes strictly",
    "value.key_code": "the class KeyCode raises",
}


# ---- Against the fixtures' facts ---------------------------------------------------------------------------

READABLE = [entry for entry in MANIFEST if entry["expect"].get("readable")]


@pytest.mark.parametrize("entry", READABLE, ids=lambda entry: entry["path"])
def test_errors_are_what_the_manifest_says(entry: dict[str, Any]) -> None:
    document = inspect(str(FIXTURES / entry["path"]))
    found = Counter((error["code"], error["attribute"]) for error in document["errors"])
    expect = entry["expect"]
    missing = {attribute_ for code, attribute_ in found if code == "attribute_missing"}
    assert set(expect.get("missing", missing)) == missing
    for name in expect.get("wrong_types", ()):
        assert found["attribute_type", name]
    assert bool(found["flags_illegal", None]) == ("illegal_flags" in expect)


@pytest.mark.parametrize("entry", MANIFEST, ids=lambda entry: entry["path"])
def test_unreadable_files_fail(entry: dict[str, Any]) -> None:
    if entry["expect"].get("readable") is False:
        found = {finding["rule"] for finding in findings(str(FIXTURES / entry["path"]))}
        assert found & FIXED_RULES


def test_the_wheels_own_files_pass() -> None:
    for entry in MANIFEST:
        if entry["path"].startswith("real/"):
            found = findings(str(FIXTURES / entry["path"]), "chunks")
            assert {finding["rule"] for finding in found} <= {"chunk.missing"}, entry["path"]


def test_an_integer_attribute_named_version_is_no_rule_of_flat_parts() -> None:
    assert not findings(flat({"version": ("int", pack_i32(7))}))
