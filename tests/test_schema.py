"""The JSON Schema: all documents are of it, and what is not a document is not.

Every rule of the schema that the documents alone would not miss is tried with a document that breaks it.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from exr_inspector import inspect, model
from exr_inspector.cli.inspect import STATUSES
from exr_inspector.cut import cut_document
from exr_inspector.errors import CODES
from exr_inspector.normalizer import ENUMERATED_TYPES
from exr_inspector.schema import document_schema_text
from exr_inspector.values import CODECS

FIXTURES = Path(__file__).parent.parent / "fixtures"
FILES = sorted(path.relative_to(FIXTURES).as_posix() for path in FIXTURES.glob("*/*.exr"))
SCHEMA = json.loads(document_schema_text())
VALIDATOR = Draft202012Validator(SCHEMA)

# Some fixtures have thousands of attributes, all alike; checking a few hundred of them tells as much.
MOST_ATTRIBUTES = 200

Document = dict[str, Any]


def document_of(fixture: str, **config: Any) -> Document:
    """A fixture's document as it comes out of JSON."""
    document: Document = json.loads(json.dumps(inspect(FIXTURES / fixture, config=config), allow_nan=False))
    return document


def thinned(document: Document) -> Document:
    attributes = document.get("attributes")
    if attributes is not None:
        parts = attributes["parts"]
        attributes["parts"] = [part[: MOST_ATTRIBUTES // len(parts) + 10] for part in parts[:MOST_ATTRIBUTES]]
    return document


def flaws(document: Document) -> list[str]:
    """What the schema has against a document."""
    return [f"{error.json_path}: {error.message[:200]}" for error in VALIDATOR.iter_errors(document)]


# ---- Documents are of the schema ---------------------------------------------------------------------------


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("fixture", FILES)
def test_every_fixture(fixture: str) -> None:
    assert flaws(thinned(document_of(fixture, integrity="chunks"))) == []


@pytest.mark.parametrize("fixture", ["real/every_type.exr", "hand/latin1_names.exr", "damaged/fixed_types_empty.exr"])
@pytest.mark.parametrize("limit", [0, 1, 20, 1000])
def test_cut_documents(fixture: str, limit: int) -> None:
    assert flaws(cut_document(document_of(fixture), limit)) == []


@pytest.mark.parametrize("config", [{"meta": False}, {"integrity": "none"}, {"stats": True}, {"integrity": "?"}])
def test_other_settings(config: dict[str, Any]) -> None:
    assert flaws(document_of("real/minimal_rgba.exr", **config)) == []


@pytest.mark.parametrize("source", [b"", b"bytes", "missing.exr", ".", "nul\0.exr", "s3://bucket/key", "b\udcff.exr"])
def test_what_cannot_be_read(source: bytes | str) -> None:
    assert flaws(json.loads(json.dumps(inspect(source)))) == []


# ---- The schema says what the code says --------------------------------------------------------------------


def definition(name: str) -> dict[str, Any]:
    found: dict[str, Any] = SCHEMA["$defs"][name]
    return found


def test_the_error_codes_are_those_of_the_table() -> None:
    assert definition("error")["properties"]["code"]["enum"] == list(CODES)
    severities = {row.severity for row in CODES.values()}
    assert set(definition("error")["properties"]["severity"]["enum"]) == severities


def test_every_attribute_type_has_its_shape() -> None:
    listed: list[str] = []
    for row in definition("attribute")["allOf"]:
        kind = row["if"].get("properties", {}).get("type", {})
        if row["if"].keys() == {"properties"} and "then" in row and row["if"]["properties"].keys() == {"type"}:
            listed += kind.get("enum", [kind.get("const")])
    assert sorted(listed) == sorted(CODECS)


def test_types_without_a_shape_are_bytes() -> None:
    (row,) = [row for row in definition("attribute")["allOf"] if "else" in row]
    assert sorted(row["if"]["properties"]["type"]["enum"]) == sorted(CODECS)


def test_enumerated_types() -> None:
    rows = [row for row in definition("attribute")["allOf"] if row.get("then") == {"required": ["code"]}]
    assert [sorted(row["if"]["properties"]["type"]["enum"]) for row in rows] == [sorted(ENUMERATED_TYPES)]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("compression", model.COMPRESSION_NAMES),
        ("lineOrder", model.LINE_ORDER_NAMES),
        ("envmap", model.ENVMAP_NAMES),
        ("deepImageState", model.DEEP_IMAGE_STATE_NAMES),
        ("level_mode", model.LEVEL_MODE_NAMES),
        ("rounding_mode", model.ROUNDING_MODE_NAMES),
        ("pixel_type", model.PIXEL_TYPE_NAMES),
    ],
)
def test_the_words_of_enumerations(name: str, words: tuple[str, ...]) -> None:
    pattern = re.compile(definition(name)["pattern"])
    assert all(pattern.search(word) for word in (*words, "unknown(99)"))
    assert not any(pattern.search(word) for word in ("", "unknown", "unknown()", f"{words[0]}s", f" {words[0]}", "99"))
    alternatives = definition(name)["pattern"].removeprefix("^(?:").split("|")
    assert tuple(alternatives[:-1]) == words


def test_the_verdicts_are_those_of_the_command_line() -> None:
    assert definition("integrity")["properties"]["status"]["enum"] == list(STATUSES)


def objects(node: Any) -> list[dict[str, Any]]:
    """Every schema of an object that names its properties."""
    if isinstance(node, list):
        return [found for each in node for found in objects(each)]
    if not isinstance(node, dict):
        return []
    here = [node] if node.get("type") == "object" and "properties" in node else []
    return here + [found for each in node.values() for found in objects(each)]


def test_every_object_is_closed() -> None:
    assert len(objects(SCHEMA)) > 20
    assert all(each["additionalProperties"] is False and "required" in each for each in objects(SCHEMA))


# ---- What is not a document is not of the schema -----------------------------------------------------------


def first(document: Document, type_name: str) -> dict[str, Any]:
    """The first attribute of a type."""
    return next(each for each in document["attributes"]["parts"][0] if each["type"] == type_name)


def value_of(type_name: str, value: Any) -> Callable[[Document], object]:
    return lambda document: first(document, type_name).update(value=value)


BREAKS: dict[str, Callable[[Document], object]] = {
    "another version": lambda document: document.update(schema_version=2),
    "no file": lambda document: document.pop("file"),
    "an unknown field": lambda document: document.update(extra=1),
    "an unknown field of file": lambda document: document["file"].update(owner="x"),
    "a missing field of file": lambda document: document["file"].pop("header_hash"),
    "a missing field of a part": lambda document: document["parts"][0].pop("width"),
    "a short hash": lambda document: document["file"].update(header_hash="abc"),
    "a local time": lambda document: document["file"].update(mtime="2024-01-01T00:00:00.000000"),
    "a time without microseconds": lambda document: document["file"].update(mtime="2024-01-01T00:00:00Z"),
    "a negative size": lambda document: document["file"].update(size_bytes=-1),
    "a width of 0": lambda document: document["parts"][0].update(width=0),
    "a name for a code": lambda document: document["parts"][0].update(compression=3),
    "an unknown word": lambda document: document["parts"][0].update(compression="Zip"),
    "a channel without its part": lambda document: document["channels"][0].pop("part_index"),
    "a channel of a type": lambda document: document["channels"][0].update(type="double"),
    "an attribute without a type": lambda document: first(document, "int").pop("type"),
    "an attribute with a field more": lambda document: first(document, "int").update(size=4),
    "an int of 33 bits": value_of("int", 2**31),
    "an int as text": value_of("int", "1"),
    "an int with a fraction": value_of("int", 0.5),
    "a float as another word": value_of("float", "nan"),
    "a float as null": value_of("float", None),
    "a vector of three for two": value_of("v2i", {"x": 1, "y": 2, "z": 3}),
    "a vector with a fraction": value_of("v2i", {"x": 1, "y": 0.5}),
    "a matrix of two rows": value_of("m33f", [[1, 0, 0], [0, 1, 0]]),
    "a matrix with a short row": value_of("m33f", [[1, 0, 0], [0, 1], [0, 0, 1]]),
    "a box without a corner": value_of("box2i", {"min": {"x": 0, "y": 0}}),
    "a string as a number": value_of("string", 1),
    "a list for text": value_of("string", ["x"]),
    "strings with a number": value_of("stringvector", ["x", 1]),
    "a negative denominator": value_of("rational", {"numerator": 1, "denominator": -1}),
    "a key code of six": value_of("keycode", {"raw": [1, 2, 3, 4, 5, 6]}),
    "base64 that is none": value_of("fixtureType", {"encoding": "base64", "data": "!"}),
    "base64 cut": value_of("fixtureType", {"encoding": "base64", "data": "QUJ"}),
    "another encoding": value_of("fixtureType", {"encoding": "hex", "data": "4142"}),
    "an unknown type as text": value_of("fixtureType", "AB"),
    "a cut value without its hash": value_of("string", {"cut_bytes": 1, "start": ""}),
    "a cut value with more": value_of("string", {"cut_bytes": 1, "sha256": "0" * 64, "start": "", "end": ""}),
    "bytes with raw beside them": lambda document: first(document, "fixtureType").update(raw="QUI="),
    "raw that is no base64": lambda document: first(document, "string").update(raw="!"),
    "an enumeration without its code": lambda document: first(document, "compression").pop("code"),
    "a code of 9 bits": lambda document: first(document, "compression").update(code=256),
    "a code for a number": lambda document: first(document, "int").update(code=1),
    "a manifest without raw": lambda document: first(document, "idmanifest").pop("raw"),
    "a manifest's id as a small text": lambda document: first(document, "idmanifest")["value"]["groups"][0]["ids"][
        0
    ].update(id="12"),
    "another verdict": lambda document: document["integrity"].update(status="fine"),
    "another check": lambda document: document["integrity"].update(checked=["pixels"]),
    "a check twice": lambda document: document["integrity"].update(checked=["table", "table"]),
    "nothing missing as 0": lambda document: document["integrity"].update(missing_bytes=0),
    "statistics": lambda document: document.update(stats={"mean": 0}),
    "a validation without findings": lambda document: document.update(validation={"status": "passed", "policy": "x"}),
    "another code": lambda document: document["errors"].append(
        {
            "code": "oops",
            "severity": "error",
            "retryable": False,
            "message": "",
            "part_index": None,
            "attribute": None,
            "offset": None,
        }
    ),
    "errors as text": lambda document: document["errors"].append("oops"),
}


@pytest.fixture(scope="module")
def whole() -> Document:
    """A document with every type of attribute."""
    return document_of("real/every_type.exr")


@pytest.mark.parametrize("name", BREAKS)
def test_it_is_strict(name: str, whole: Document) -> None:
    broken = copy.deepcopy(whole)
    BREAKS[name](broken)
    assert broken != whole
    assert flaws(broken) != []


def test_large_ids_are_text() -> None:
    document = document_of("real/every_type.exr")
    manifest = first(document, "idmanifest")["value"]
    manifest["groups"][0]["ids"][0]["id"] = str(2**64 - 1)
    assert flaws(document) == []
