"""Policies: what each kind requires, how rules can be made to count, and files that are no policy."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exr_inspector import inspect
from exr_inspector.limits import MAX_MATCHED_TEXT, MAX_POLICY_BYTES
from exr_inspector.rules.fields import PolicyError, as_globs, is_same
from exr_inspector.rules.policy import parse_policy, read_policy
from exr_inspector.rules.requirements import KINDS, MEASURES
from exr_inspector.rules.table import FIXED_RULES, RULES
from tests.support.exr_bytes import (
    HALF,
    TILED,
    PartBytes,
    attribute,
    build,
    minimal_attributes,
    pack_channel,
    pack_f32,
    pack_i32,
    pack_rational,
    pack_tiledesc,
    scanline_file,
    scanline_part,
)
from tests.support.rule_cases import box, channels, deep, fixture, flat, part, parts

EXAMPLE = Path(__file__).parent.parent / "fixtures" / "policies" / "delivery.json"


def policy_text(**settings_: Any) -> str:
    return json.dumps({"policy_version": 1, "name": "test", **settings_})


def validated(source: Any, folder: Path, integrity: str = "none", **settings_: Any) -> dict[str, Any]:
    path = folder / "policy.json"
    path.write_text(policy_text(**settings_))
    config = {"validate": True, "policy": str(path), "integrity": integrity}
    document = inspect(source, config=config)
    assert not [error for error in document["errors"] if error["code"] == "policy_unreadable"]
    return dict(document["validation"])


def places(validation: dict[str, Any]) -> list[tuple[int | None, str | None]]:
    return [
        (finding["part_index"], finding["attribute"])
        for finding in validation["findings"]
        if finding["rule"].startswith("policy.")
    ]


# ---- Each kind: files that do not meet it, and files that do -----------------------------------------------


class Case(NamedTuple):
    """A requirement, and files; `bad` lists the places of the findings, and good files have none."""

    requirement: dict[str, Any]
    bad: tuple[tuple[bytes, list[tuple[int | None, str | None]]], ...]
    good: tuple[bytes, ...]
    integrity: str = "none"


def named(*names: str) -> dict[str, Any]:
    return channels(*map(pack_channel, names))


def text(value: str) -> tuple[str, bytes]:
    return "string", value.encode()


IN_0, IN_1 = (0, None), (1, None)
OWNER_0, OWNER_1, CHANNELS_0, CHANNELS_1 = (0, "owner"), (1, "owner"), (0, "channels"), (1, "channels")
TWO = parts(part({"owner": text("me")}), part(name="b"))
RATE = {"kind": "attribute", "name": "framesPerSecond", "values": [{"numerator": 24, "denominator": 1}]}
NUMBER = {"kind": "attribute", "name": "n", "values": [1, 2.2, "Infinity", [[1.0, 0]], True]}

CASES: tuple[Case, ...] = (
    # ---- attribute
    Case({"kind": "attribute", "name": "owner"}, ((flat(), [OWNER_0]), (TWO, [OWNER_1])), (flat({"owner": text("")}),)),
    Case({"kind": "attribute", "name": "owner", "in": "any"}, ((flat(), [OWNER_0]),), (TWO,)),
    Case({"kind": "attribute", "name": "owner", "parts": ["a"]}, ((parts(part()), [OWNER_0]),), (TWO,)),
    Case({"kind": "attribute", "name": "owner", "parts": ["x*", "y"]}, ((TWO, [(None, None)]),),
         (parts(part({"owner": text("")}, name="xx"), part(name="b")), parts(part({"owner": text("")}, name="y")))),
    Case({"kind": "attribute", "name": "owner", "parts": ["*"]}, ((flat(), [OWNER_0]),),
         (flat({"owner": text("")}),)),
    Case({"kind": "attribute", "name": "owner", "type": "string"}, ((flat({"owner": ("int", bytes(4))}), [OWNER_0]),),
         (flat({"owner": text("me")}),)),
    Case({"kind": "attribute", "name": "owner", "values": ["a*", "me"]},
         ((flat({"owner": text("ME")}), [OWNER_0]), (flat({"owner": text("ba")}), [OWNER_0]),
          (flat({"owner": ("int", bytes(4))}), [OWNER_0]), (flat({"owner": ("unknown", b"me")}), [OWNER_0]),
          (flat({"owner": text("a" * (MAX_MATCHED_TEXT + 1))}), [OWNER_0])),
         (flat({"owner": text("me")}), flat({"owner": text("a")}), flat({"owner": text("a\nb")}),
          flat({"owner": text("a" * MAX_MATCHED_TEXT)}))),
    Case(RATE, ((flat({"framesPerSecond": ("rational", pack_rational(25, 1))}), [(0, "framesPerSecond")]),
                (flat({"framesPerSecond": ("rational", b"")}), [(0, "framesPerSecond")])),
         (flat({"framesPerSecond": ("rational", pack_rational(24, 1))}),)),
    Case(NUMBER, ((flat({"n": ("int", pack_i32(3))}), [(0, "n")]), (flat({"n": ("v2i", pack_i32(1, 1))}), [(0, "n")])),
         (flat({"n": ("int", pack_i32(1))}), flat({"n": ("float", pack_f32(2.2))}),
          flat({"n": ("float", pack_f32(float("inf")))}))),
    Case({"kind": "attribute", "name": "v", "values": [None]}, ((flat({"v": ("unknown", b"")}), [(0, "v")]),), ()),
    Case({"kind": "attribute", "name": "compression", "values": ["zip"]}, ((flat(), [(0, "compression")]),),
         (flat(compression=3),)),
    # ---- forbidden_attribute
    Case({"kind": "forbidden_attribute", "names": ["nuke/*", "own?r"]},
         ((flat({"nuke/": text("")}), [(0, "nuke/")]), (flat({"owner": text("")}), [OWNER_0]), (TWO, [OWNER_0])),
         (flat({"Nuke/": text("")}), flat({"owners": text("")}), flat())),
    Case({"kind": "forbidden_attribute", "names": ["owner"], "parts": ["b"]},
         ((parts(part(), part({"owner": text("")}, name="b")), [OWNER_1]),), (TWO, flat({"owner": text("")}))),
    # ---- parts
    Case({"kind": "compression", "allowed": ["zip", "none"]},
         ((flat(compression=4), [(0, "compression")]), (flat({"compression": None}), [(0, "compression")]),
          (flat(compression=99), [(0, "compression")])), (flat(), flat(compression=3))),
    Case({"kind": "part_type", "allowed": ["scanlineimage", "deepscanline"]},
         ((flat(flags=TILED, tiles=pack_tiledesc(4, 4)), [IN_0]),
          (parts(part(), part(name="b", part_type="tiledimage", tiles=pack_tiledesc(4, 4))), [IN_1])),
         (flat(), flat(part_type="tiledimage"), deep())),
    Case({"kind": "display_window", "sizes": [[4, 4], [2, 3]]},
         ((flat({"displayWindow": box(0, 0, 3, 2)}), [(0, "displayWindow")]),
          (flat({"displayWindow": box(0, 0, 2, 1)}), [(0, "displayWindow")]),
          (flat({"displayWindow": None}), [(0, "displayWindow")]),
          (flat({"displayWindow": box(4, 0, 3, 3)}), [(0, "displayWindow")])),
         (flat(), flat({"displayWindow": box(9, 9, 10, 11)}))),
    Case({"kind": "overscan", "pixels": 2},
         (*((flat({"dataWindow": box(*window)}), [(0, "dataWindow")])
            for window in ((-3, 0, 3, 3), (0, -3, 3, 3), (0, 0, 6, 3), (0, 0, 3, 6))),
          (flat({"dataWindow": None}), [(0, "dataWindow")]), (flat({"displayWindow": None}), [(0, "dataWindow")])),
         (flat(), flat({"dataWindow": box(-2, -2, 5, 5)}), flat({"dataWindow": box(1, 1, 1, 1)}))),
    # ---- channels and layers
    Case({"kind": "channel_type", "allowed": ["half"]},
         ((flat(channels(pack_channel("A", HALF), pack_channel("Z", 2))), [CHANNELS_0]),
          (flat(channels(pack_channel("A", 0), pack_channel("Z", 2))), [CHANNELS_0] * 2)), (flat(),)),
    Case({"kind": "channel_type", "channels": ["Z", "*.Z"], "allowed": ["float", "uint"]},
         ((flat(channels(pack_channel("A"), pack_channel("x.Z"))), [CHANNELS_0]),),
         (flat(channels(pack_channel("A"), pack_channel("Z", 2), pack_channel("x.Z", 0))),)),
    Case({"kind": "channels", "names": ["R", "dif*.R"]},
         ((flat(named("R")), [CHANNELS_0]), (flat(named("G")), [CHANNELS_0] * 2),
          (flat({"channels": None}), [CHANNELS_0] * 2)),
         (flat(named("R", "diffuse.R")),)),
    Case({"kind": "channels", "names": ["R", "A"], "in": "any"},
         ((parts(part(named("R")), part(named("A"), name="b")), [CHANNELS_0, CHANNELS_1]),),
         (parts(part(named("Z")), part(named("A", "R"), name="b")),)),
    Case({"kind": "layers", "names": ["diffuse", "a.b"]},
         ((flat(named("a.b.R", "diffuse")), [CHANNELS_0]), (flat(named("R")), [CHANNELS_0] * 2)),
         (flat(named("a.b.R", "diffuse.R")),)),
    Case({"kind": "layers", "names": ["*"]}, ((flat(named("R")), [CHANNELS_0]),), (flat(named("x.R")),)),
    Case({"kind": "layers", "names": ["x", "y"], "in": "any"},
         ((parts(part(named("x.R")), part(named("y.R"), name="b")), [CHANNELS_0, CHANNELS_1]),),
         (parts(part(named("x.R", "y.R")), part(name="b")),)),
    # ---- the file
    Case({"kind": "maximum", "of": "parts", "value": 1}, ((TWO, [(None, None)]),), (flat(),)),
    Case({"kind": "maximum", "of": "channels", "value": 3},
         ((flat(named(*"ABCD")), [(None, None)]), (TWO, [(None, None)])), (flat(),)),
    Case({"kind": "maximum", "of": "attributes", "value": 8},
         ((flat({"owner": text("")}), [(None, None)]),), (flat(),)),
    Case({"kind": "maximum", "of": "header_bytes", "value": len(flat())},
         ((flat({"a": text("")}), [(None, None)]),), (flat(), flat() + bytes(9))),
    Case({"kind": "maximum", "of": "file_bytes", "value": len(flat())},
         ((flat() + b"\0", [(None, None)]),), (flat(),)),
    Case({"kind": "integrity", "allowed": ["complete", "trailing"]},
         ((fixture("damaged/gap_middle"), [(None, None)]),
          (fixture("damaged/truncated_last_byte"), [(None, None)])),
         (scanline_file().data, scanline_file().data + b"x"), "table"),
    Case({"kind": "integrity", "allowed": ["complete"]}, ((scanline_file().data, [(None, None)]),), ()),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: json.dumps(case.requirement))
def test_a_requirement_is_missed_where_it_is_missed(case: Case, tmp_path: Path) -> None:
    for data, expected in case.bad:
        validation = validated(data, tmp_path, case.integrity, requirements=[case.requirement])
        assert places(validation) == expected
        assert validation["status"] == "failed"
        for finding in validation["findings"]:
            if finding["rule"].startswith("policy."):
                assert (finding["rule"], finding["level"]) == (f"policy.{case.requirement['kind']}", "P")
                assert "the policy" in finding["message"]
    for data in case.good:
        assert places(validated(data, tmp_path, case.integrity, requirements=[case.requirement])) == []


FILE_CASES: tuple[tuple[dict[str, Any], str, bool], ...] = (
    ({"kind": "path", "patterns": ["a_v[0-9].exr", "b?.exr"]}, "a_v1.exr", True),
    ({"kind": "path", "patterns": ["a_v[0-9].exr", "b?.exr"]}, "b1.exr", True),
    ({"kind": "path", "patterns": ["a_v[0-9].exr"]}, "a_vx.exr", False),
    ({"kind": "path", "patterns": ["a"]}, "a.exr", False),
    ({"kind": "path", "patterns": ["*/shots/*.exr"], "of": "path"}, "shots/a.exr", True),
    ({"kind": "path", "patterns": ["*/shots/*.exr"]}, "shots/a.exr", False),
    ({"kind": "path", "patterns": ["shots/a.exr"], "of": "path"}, "shots/a.exr", False),
    ({"kind": "frame_number"}, "a.1001.exr", True),
    ({"kind": "frame_number"}, "a.exr", False),
    ({"kind": "frame_number", "minimum": 1001}, "a.1001.exr", True),
    ({"kind": "frame_number", "minimum": 1002}, "a.1001.exr", False),
    ({"kind": "frame_number", "maximum": 1001}, "a.1001.exr", True),
    ({"kind": "frame_number", "maximum": 1000}, "a.1001.exr", False),
    ({"kind": "frame_number", "minimum": 0}, "a.-1.exr", False),
)


@pytest.mark.parametrize(("requirement", "name", "is_met"), FILE_CASES)
def test_requirements_of_paths(requirement: dict[str, Any], name: str, is_met: bool, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(flat())
    validation = validated(str(path), tmp_path, requirements=[requirement])
    assert places(validation) == ([] if is_met else [(None, None)])


def test_bytes_have_no_path(tmp_path: Path) -> None:
    for requirement in ({"kind": "path", "patterns": ["*"]}, {"kind": "frame_number"}):
        assert places(validated(flat(), tmp_path, requirements=[requirement])) == [(None, None)]


class Unseekable(io.RawIOBase):
    """A stream whose length nobody knows."""

    def __init__(self, data: bytes) -> None:
        self._rest = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._rest.read(size)

    def readable(self) -> bool:
        return True


def test_what_is_not_known_is_not_within_a_maximum(tmp_path: Path) -> None:
    requirement = {"kind": "maximum", "of": "file_bytes", "value": 1 << 40}
    (finding,) = validated(Unseekable(flat()), tmp_path, requirements=[requirement])["findings"]
    assert finding["message"] == f"file_bytes is not known; the policy allows {1 << 40}"


def test_every_kind_and_measure_has_a_case() -> None:
    requirements = [case.requirement for case in CASES] + [requirement for requirement, _, _ in FILE_CASES]
    assert {requirement["kind"] for requirement in requirements} == KINDS.keys()
    assert {requirement.get("of") for requirement in requirements} >= MEASURES.keys()
    given_fields = {(each["kind"], field) for each in requirements for field in each}
    assert given_fields >= {(kind, field) for kind, row in KINDS.items() for field in row.fields if field != "parts"}


def test_severity_and_id_of_a_requirement(tmp_path: Path) -> None:
    requirement = {"kind": "frame_number", "severity": "warning", "id": "studio.frames"}
    validation = validated(flat(), tmp_path, requirements=[requirement])
    assert validation["status"] == "passed"
    assert (validation["error_count"], validation["warning_count"]) == (0, 1)
    (finding,) = validation["findings"]
    assert (finding["rule"], finding["severity"]) == ("studio.frames", "warning")


def test_a_header_that_was_not_read_meets_no_requirement_and_misses_none(tmp_path: Path) -> None:
    requirement = {"kind": "channels", "names": ["Z"]}
    for source in (flat()[:-1], b"", str(tmp_path / "missing.exr")):
        validation = validated(source, tmp_path, requirements=[requirement])
        assert validation["status"] == "failed"
        assert places(validation) == []


# ---- How rules count ---------------------------------------------------------------------------------------

WARNED = flat({"lineOrder": ("lineOrder", b"\2"), **named("R", "A")})  # part.random_y (W), channel.order (N)


@pytest.mark.parametrize(
    ("settings_", "expected"),
    [
        ({}, {"part.random_y": "warning", "channel.order": "warning"}),
        ({"levels": {"W": "error"}}, {"part.random_y": "error", "channel.order": "warning"}),
        ({"levels": {"N": "off"}}, {"part.random_y": "warning"}),
        ({"levels": {"N": "off"}, "rules": {"channel.order": "error"}},
         {"part.random_y": "warning", "channel.order": "error"}),
        ({"levels": {"W": "error"}, "rules": {"part.random_y": "off"}}, {"channel.order": "warning"}),
        ({"rules": {"channel.order": "warning", "part.random_y": "off"}}, {"channel.order": "warning"}),
    ],
)  # fmt: skip
def test_rules_count_as_the_policy_says(settings_: Any, expected: dict[str, str], tmp_path: Path) -> None:
    validation = validated(WARNED, tmp_path, **settings_)
    assert {finding["rule"]: finding["severity"] for finding in validation["findings"]} == expected
    assert validation["status"] == ("failed" if "error" in expected.values() else "passed")
    assert validation["policy"] == {"name": "test", "description": None}


def test_an_error_can_be_a_warning(tmp_path: Path) -> None:
    data = flat({"lineOrder": None})
    assert validated(data, tmp_path)["status"] == "failed"
    assert validated(data, tmp_path, rules={"attribute.required_strict": "warning"})["status"] == "passed"
    assert validated(data, tmp_path, levels={"S": "off"})["findings"] == []


def test_a_policy_never_changes_the_errors(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(policy_text(levels=dict.fromkeys("RSWN", "off")))
    data = flat({"lineOrder": None})
    assert inspect(data, config={"validate": True, "policy": str(path)})["errors"] == inspect(data)["errors"]


def test_a_policy_alone_validates_nothing() -> None:
    assert inspect(flat(), config={"policy": str(EXAMPLE)})["validation"] == {}


# ---- Files that are no policy ------------------------------------------------------------------------------


def requirement_text(**requirement: Any) -> str:
    return policy_text(requirements=[requirement])


WRONG: tuple[tuple[str, str], ...] = (
    ("", "not JSON: Expecting value in line 1, column 1"),
    ('{"policy_version": 1,\n}', "in line 2, column 1"),
    ("[]", "the policy: wanted an object, got a list"),
    ("{}", "policy_version: this field is missing"),
    ('{"policy_version": 2}', "policy_version: wanted 1, got the number 2"),
    ('{"policy_version": true}', "policy_version: wanted 1, got true or false"),
    ('{"policy_version": "1"}', "policy_version: wanted 1, got the text '1'"),
    ('{"policy_version": 1}', "name: this field is missing"),
    ('{"policy_version": 1, "name": ""}', "name: wanted text of 1 to 256 characters"),
    ('{"policy_version": 1, "name": null}', "name: wanted text of 1 to 256 characters, got null"),
    (policy_text(name="n" * 257), "name: wanted text"),
    ('{"policy_version": 1, "name": "\\ud800"}', "name: wanted text without half a surrogate pair"),
    ('{"policy_version": 1, "name": "a", "name": "b"}', "the field 'name' stands twice"),
    (policy_text(colour="red"), "'colour': no such field; there are policy_version, name"),
    (policy_text(levels=[]), "levels: wanted an object, got a list"),
    (policy_text(levels={"X": "off"}), "levels: there is no 'X'; there are N, R, S, W"),
    (policy_text(levels={"I": "off"}), "levels: there is no 'I'"),
    (policy_text(levels={"N": "maybe"}), "levels.N: wanted one of error, warning, off, got the text 'maybe'"),
    (policy_text(rules={"channel.odor": "off"}), "rules: there is no 'channel.odor'"),
    (policy_text(rules={"channel.order": True}), "rules.channel.order: wanted one of error, warning, off"),
    *((policy_text(rules={rule: "off"}), f"rules.{rule}: a file that cannot be read") for rule in sorted(FIXED_RULES)),
    (policy_text(requirements={}), "requirements: wanted a list with an entry, got an object"),
    (policy_text(requirements=[]), "requirements: wanted a list with an entry, got a list"),
    (policy_text(requirements=[1]), "requirements[0]: wanted an object, got the number 1"),
    (policy_text(requirements=[{"kind": "frame_number"}] * 257), "requirements: 257 entries are more than 256"),
    (requirement_text(name="x"), "requirements[0].kind: this field is missing"),
    (requirement_text(kind="colour"), "requirements[0].kind: wanted one of attribute, "),
    (requirement_text(kind=["attribute"]), "requirements[0].kind: wanted one of attribute, "),
    (policy_text(requirements=[{"kind": "frame_number"}, {"kind": "attribute"}]),
     "requirements[1].name: this field is missing"),
    (requirement_text(kind="attribute", name=7), "requirements[0].name: wanted text of 1 to 256 characters, got"),
    (requirement_text(kind="attribute", name="a", values=[]), "requirements[0].values: wanted a list with an entry"),
    (requirement_text(kind="attribute", name="a", values=["a", ""]), "requirements[0].values[1]: wanted text"),
    (requirement_text(kind="attribute", name="a", regex="(a+)+"), "requirements[0].'regex': no such field"),
    (requirement_text(kind="attribute", name="a", severity="fatal"), "requirements[0].severity: wanted one of error"),
    (requirement_text(kind="attribute", name="a", **{"in": "some"}), "requirements[0].in: wanted one of every, any"),
    (requirement_text(kind="compression", allowed=["zip", "gzip"]), "requirements[0].allowed[1]: wanted one of"),
    (requirement_text(kind="maximum", of="pixels", value=1), "requirements[0].of: wanted one of parts"),
    (requirement_text(kind="maximum", of="parts", value=-1), "requirements[0].value: wanted 0 or more, got the num"),
    (requirement_text(kind="maximum", of="parts", value=1.5), "requirements[0].value: wanted a whole number, got"),
    (requirement_text(kind="maximum", of="parts", value=True), "requirements[0].value: wanted a whole number"),
    (requirement_text(kind="maximum", of="parts", value=2**53 + 1), "requirements[0].value: wanted a whole number"),
    (requirement_text(kind="display_window", sizes=[[1, 2, 3]]), "requirements[0].sizes[0]: wanted [width, height]"),
    (requirement_text(kind="display_window", sizes=[[1, "2"]]), "requirements[0].sizes[0][1]: wanted a whole number"),
    (requirement_text(kind="path", patterns="*"), "requirements[0].patterns: wanted a list with an entry"),
    (requirement_text(kind="path", patterns=["*" * 257]), "requirements[0].patterns[0]: wanted text"),
    (requirement_text(kind="frame_number", minimum=7).replace("7", "9" * 5000), "a number of 5000 digits"),
    (requirement_text(kind="frame_number", minimum=7).replace("7", "NaN"), "NaN is not JSON"),
    ("[" * 200_000, "nested too deeply"),
)  # fmt: skip


@pytest.mark.parametrize(("data", "message"), WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_what_is_no_policy_says_which_field(data: str, message: str) -> None:
    with pytest.raises(PolicyError) as raised:
        parse_policy(data.encode())
    assert message in str(raised.value)
    assert len(str(raised.value)) < 1000


def test_text_that_is_not_utf_8_is_no_policy() -> None:
    with pytest.raises(PolicyError, match=r"not UTF-8: .* at byte 1"):
        parse_policy(b'"\xff"')


def test_a_byte_order_mark_is_no_obstacle() -> None:
    assert parse_policy(b"\xef\xbb\xbf" + policy_text().encode()).name == "test"


def test_policies_that_cannot_be_read_let_no_file_pass(tmp_path: Path) -> None:
    fifo, large, wrong = tmp_path / "fifo-secret", tmp_path / "large-secret", tmp_path / "wrong-secret"
    os.mkfifo(fifo)
    large.write_bytes(policy_text().encode().ljust(MAX_POLICY_BYTES + 1))
    wrong.write_text("{}")
    for path in (tmp_path / "missing-secret", tmp_path, fifo, Path("/dev/zero"), large, wrong):
        document = inspect(scanline_file().data, config={"validate": True, "policy": str(path)})
        assert [error["code"] for error in document["errors"]] == ["policy_unreadable"]
        validation = document["validation"]
        assert (validation["status"], validation["policy"], validation["error_count"]) == ("failed", None, 1)
        (finding,) = validation["findings"]
        assert (finding["rule"], finding["severity"], finding["level"]) == ("policy.readable", "error", "P")
        assert "secret" not in json.dumps(document)
        assert str(tmp_path) not in json.dumps(document)


def test_the_largest_policy_is_read(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_bytes(policy_text().encode().ljust(MAX_POLICY_BYTES))
    assert read_policy(str(path)).name == "test"


def test_a_changed_policy_counts_at_once(tmp_path: Path) -> None:
    assert validated(WARNED, tmp_path)["status"] == "passed"
    assert validated(WARNED, tmp_path, levels={"W": "error"})["status"] == "failed"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
WORDS = st.sampled_from(["*", "?", "[", "]", "[!a]", "[a-", "[z-a]", "[[]", "a", "--", "&&", "zip", "half", "\\"])
FIELD_VALUES = (
    JSON_VALUES
    | st.lists(st.lists(WORDS, min_size=1, max_size=6).map("".join), min_size=1, max_size=3)
    | st.sampled_from(["any", "parts", "name", 7, [[4, 4]]])
)


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(sorted(KINDS)), data=st.data())
def test_any_requirement_is_read_or_refused(kind: str, data: st.DataObject) -> None:
    requirement = {"kind": kind}
    for field in KINDS[kind].fields:
        if data.draw(st.integers(0, 3)):
            requirement[field] = data.draw(FIELD_VALUES)
    try:
        policy = parse_policy(policy_text(requirements=[requirement]).encode())
    except PolicyError:
        return
    assert len(policy.requirements) == 1


@settings(max_examples=200, deadline=None)
@given(JSON_VALUES | st.dictionaries(st.sampled_from(["policy_version", "name", "levels", "rules"]), JSON_VALUES))
def test_any_json_is_a_policy_or_refused(value: Any) -> None:
    with pytest.raises(PolicyError):
        parse_policy(json.dumps([value]).encode())
    try:
        parse_policy(json.dumps(value).encode())
    except PolicyError:
        return


# ---- Patterns ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("*", ("", "a", "a/b\n"), ()),
        ("a?c", ("abc",), ("ac", "abbc", "ABC")),
        ("[0-9]", ("5",), ("a", "55")),
        ("[!0-9]", ("a",), ("5",)),
        ("a.c", ("a.c",), ("abc",)),
        ("*.exr", (".exr", "a.exr"), ("a.exr.bak",)),
        ("(a+)+", ("(a+)+",), ("aa",)),
    ],
)
def test_patterns(pattern: str, matching: tuple[str, ...], other: tuple[str, ...]) -> None:
    globs = as_globs((pattern,))
    assert all(map(globs.matches, matching))
    assert not any(map(globs.matches, other))


@pytest.mark.parametrize("pattern", ["*a" * 120 + "b", "*?" * 120 + "b", "*[a]*" * 50 + "b", "*" * 250 + "b"])
def test_patterns_do_not_explode(pattern: str) -> None:
    started = time.perf_counter()
    assert not as_globs((pattern,)).matches("a" * MAX_MATCHED_TEXT)
    assert time.perf_counter() - started < 5


def test_equality_is_that_of_json() -> None:
    assert is_same(1, 1.0)
    assert is_same({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]})
    for wanted, value in (
        (1, True),
        (True, 1),
        (0, False),
        ([1], [True]),
        ([1], [1, 2]),
        ({"a": 1}, {"b": 1}),
        ({}, []),
    ):
        assert not is_same(wanted, value)


# ---- The example, and the page -----------------------------------------------------------------------------


def delivery(**changes: Any) -> bytes:
    """A file that meets the example policy, but for the changes to its attributes."""
    made = scanline_part(3840, 2160, compression=3, chunk_bytes=8)
    attributes = minimal_attributes(
        width=3840, height=2160, compression=3, channels=[pack_channel(name) for name in "ABGR"]
    )
    values = {
        "colorInteropID": ("string", b"lin_ap1_scene"),
        "framesPerSecond": ("rational", pack_rational(24, 1)),
        **changes,
    }
    for name, value in values.items():
        attributes[name] = attribute(name, *value)
    return build(0, [PartBytes(attributes, made.chunks)]).data


def test_the_example_policy_passes_what_it_is_for(tmp_path: Path) -> None:
    good = tmp_path / "shot_v001.1001.exr"
    good.write_bytes(delivery())
    config = {"validate": True, "policy": str(EXAMPLE)}
    validation = inspect(str(good), config=config)["validation"]
    assert validation["findings"] == []
    assert validation["status"] == "passed"
    assert validation["policy"]["name"] == "comp-delivery"


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("shot.1001.exr", delivery(), {"policy.path"}),
        ("shot_v001.1000.exr", delivery(), {"policy.frame_number"}),
        ("shot_v001.1001.exr", delivery()[:-1], {"policy.integrity", "chunk.offset"}),
        ("shot_v001.1001.exr", delivery() + b"x", {"policy.integrity", "chunk.trailing"}),
        ("shot_v001.1001.exr", delivery(dataWindow=("box2i", pack_i32(-65, 0, 3774, 2159))), {"policy.overscan"}),
        ("shot_v001.1001.exr", delivery(colorInteropID=("string", b"srgb")), {"policy.attribute"}),
        ("shot_v001.1001.exr", delivery(framesPerSecond=("rational", pack_rational(25, 1))), {"delivery.frame_rate"}),
        ("shot_v001.1001.exr", delivery(**{"nuke/version": ("string", b"")}), {"policy.forbidden_attribute"}),
    ],
)
def test_the_example_policy_finds_what_it_is_for(name: str, data: bytes, expected: set[str], tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    found = inspect(str(path), config={"validate": True, "policy": str(EXAMPLE)})["validation"]["findings"]
    assert {finding["rule"] for finding in found} == expected


def test_the_page_shows_the_tables() -> None:
    text_ = (Path(__file__).parent.parent / "docs" / "rules.md").read_text(encoding="utf-8")
    assert all(f"| `{rule.id}` | {rule.severity} | {rule.level} |" in text_ for rule in RULES)
