"""The coverage-guided fuzz target: any bytes give a document and, where the framing can be walked, the bytes back.

    python tests/fuzz/fuzz_inspect.py -max_total_time=60 [CORPUS]

Needs atheris. Without a corpus it starts from the fixtures.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["exr_inspector"]):
    import exr_inspector
    from exr_inspector import app, normalizer, rules  # noqa: F401  (instrumented, though they load lazily)

FIXTURES = Path(__file__).parents[2] / "fixtures"

# Small, so that a run finds what the limits let through rather than waiting for large allocations.
LIMITS = exr_inspector.Limits(max_header_bytes=1 << 20, max_id_manifest_bytes=1 << 16, max_elements=1 << 12)
MODES = ("none", "table", "chunks")


def check(data: bytes) -> None:
    """The fuzz contract for one input."""
    mode = MODES[len(data) % len(MODES)]
    config = {"integrity": mode, "enable_validate": True}
    document = exr_inspector.inspect(data, config=config, limits=LIMITS)
    text = json.dumps(document, allow_nan=False)
    if document["file"]["header_hash"] is not None:
        header = exr_inspector.rebuild_header(json.loads(text))
        if header != data[: len(header)]:
            raise AssertionError("the header does not come back")
    elif not any(error["severity"] == "fatal" for error in document["errors"]):
        raise AssertionError("unreadable, and no fatal error says why")


def seed_corpus(folder: Path) -> None:
    """Copies the fixtures into one flat folder."""
    for path in FIXTURES.glob("*/*.exr"):
        (folder / f"{path.parent.name}-{path.name}").write_bytes(path.read_bytes())


def main() -> None:
    """Runs the fuzzer until its own arguments end it."""
    arguments = list(sys.argv)
    with tempfile.TemporaryDirectory() as folder:
        if all(argument.startswith("-") for argument in arguments[1:]):
            seed_corpus(Path(folder))
            arguments.append(folder)
        atheris.Setup(arguments, check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
