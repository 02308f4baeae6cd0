"""Measures the reader against other programs, as ratios in one run: `python bench/reader.py`.

    --quick          a few rounds and small files: does the bench run, do the sides agree?
    --only NAME      one group of rows (may be given again)
    --json FILE      everything, with environment and agreement, as JSON (`-`: standard output)
    --markdown       the table as Markdown; --write puts it into bench/README.md
    --seconds S      how long each comparison runs at least (default 3)

What is measured and how stands in bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from typing import Any, NamedTuple

import exr_files
from measure import (
    BYTES_READ,
    FIRST_INSPECT_SECONDS,
    FIRST_READ_SECONDS,
    IMPORT_SECONDS,
    LOADED_MODULES,
    PEAK_OF_COMMAND,
    PEAK_OF_INSPECT,
    ROOT,
    TRACED_PEAK_OF_INSPECT,
    Comparison,
    Side,
    alternate,
    child,
    over,
    process,
    timed_child,
)

sys.path.insert(0, ROOT)

import sides

import exr_inspector  # this checkout's, installed or not

MB = 1_000_000
HEAVY_MODULES = ("numpy", "pyarrow", "duckdb", "vastdb", "obstore", "construct")
TABLE_START, TABLE_END = "<!-- table: python bench/reader.py --write -->", "<!-- end of table -->"


class Settings(NamedTuple):
    """How much is done."""

    folder: str
    seconds: float
    rounds: int
    process_rounds: int
    frames: int
    manifest_mb: tuple[float, ...]
    is_quick: bool


class Row(NamedTuple):
    """One line of the table. `ours` and `theirs` in `unit`; `low` and `high` are the quartiles of the ratio."""

    group: str
    what: str
    ours: float | None
    theirs: float | None
    unit: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    target: float | None = None
    stretch: float | None = None
    of: str = "ratio"  # what the target bounds: ratio or ours
    note: str = ""

    @property
    def met(self) -> bool | None:
        measured = self.ratio if self.of == "ratio" else self.ours
        return None if self.target is None or measured is None else measured <= self.target


class Bench:
    """The files of one run, its rows, and what the sides agreed on."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.agreement: dict[str, Any] = {}
        self._made: dict[str, list[str]] = {}

    def frames(self, kind: str) -> list[str]:
        """The paths of one kind of file: frames of a sequence."""
        if kind not in self._made:
            make = {"minimal": exr_files.minimal, "rich": exr_files.rich, "20 parts": exr_files.twenty_parts}[kind]
            numbers = range(exr_files.FIRST_FRAME, exr_files.FIRST_FRAME + self.settings.frames)
            self._made[kind] = [self.path(f"{kind.replace(' ', '_')}.{number}.exr") for number in numbers]
            for path, number in zip(self._made[kind], numbers, strict=True):
                make(path, number)
        return self._made[kind]

    def path(self, name: str) -> str:
        return os.path.join(self.settings.folder, name)

    def compare(self, ours: Side, theirs: Side) -> Comparison:
        return alternate(ours, theirs, seconds=self.settings.seconds, rounds=self.settings.rounds)

    def compare_processes(self, ours: Side, theirs: Side) -> Comparison:
        return alternate(ours, theirs, seconds=self.settings.seconds, rounds=self.settings.process_rounds)


def compared(
    group: str, what: str, measured: Comparison, *, target: float | None = None, stretch: float | None = None
) -> Row:
    times = (measured.ours * 1000, measured.theirs * 1000)
    return Row(group, what, *times, "ms", measured.ratio, measured.low, measured.high, target, stretch)


def absent(group: str, what: str, note: str) -> Row:
    return Row(group, what, None, None, "", note=note)


# ---- Groups of rows ----------------------------------------------------------------------------------------

FIRST_SIGHT = "each file as if it were the first"
SEQUENCE = "frames of a sequence"


def rows_of_read_header(bench: Bench) -> Iterator[Row]:
    group = "read_header / OpenEXR wheel"
    try:
        read = sides.openexr_reader()
    except ImportError as error:
        yield absent(group, "all files", f"skipped: {error}")
        return
    for kind, target, stretch in (("minimal", 1.5, 1.2), ("rich", 1.2, 1.0), ("20 parts", 1.2, 1.0)):
        paths = bench.frames(kind)
        bench.agreement[kind] = sides.agreement(sides.read_with_ours(paths[0]), read(paths[0]))
        for how, prepare in ((FIRST_SIGHT, sides.forget), (SEQUENCE, None)):
            measured = bench.compare(over(paths, sides.read_with_ours, prepare), over(paths, read, prepare))
            yield compared(group, f"{kind}, {how}", measured, target=target, stretch=stretch)


def rows_of_inspect(bench: Bench) -> Iterator[Row]:
    group = "inspect / OpenImageIO wheel"
    try:
        read = sides.oiio_reader()
    except ImportError as error:
        yield absent(group, "all files", f"skipped: {error}")
        return
    for kind, target, stretch in (("minimal", None, None), ("rich", 1.5, 1.0), ("20 parts", 1.5, 1.0)):
        paths = bench.frames(kind)
        document, theirs = sides.inspect(paths[0]), read(paths[0])
        bench.agreement[f"{kind}, OpenImageIO"] = {
            "parts": [len(document["parts"]), len(theirs)],
            "channels": [len(document["channels"]), sum(len(channels) for _, channels in theirs)],
            "integrity": document["integrity"]["status"],
        }
        for how, prepare in ((FIRST_SIGHT, sides.forget), (SEQUENCE, None)):
            measured = bench.compare(over(paths, sides.inspect, prepare), over(paths, read, prepare))
            yield compared(group, f"{kind}, {how}", measured, target=target, stretch=stretch)


def rows_of_interpreted(bench: Bench) -> Iterator[Row]:
    for kind in ("minimal", "rich", "20 parts"):
        paths = bench.frames(kind)[:2]
        ours, theirs = sides.read_with_ours(paths[0]), sides.read_interpreted(paths[0])
        bench.agreement[f"{kind}, interpreted"] = {"is_equal": ours == theirs, "attributes": sum(map(len, ours))}
        prepare = sides.forget
        measured = bench.compare(over(paths, sides.read_with_ours, prepare), over(paths, sides.read_interpreted))
        yield compared("read_header / interpreted construct", f"{kind}, {FIRST_SIGHT}", measured)


def rows_of_process(bench: Bench) -> Iterator[Row]:
    group = "whole process"
    path = bench.frames("rich")[0]
    ours = process(sys.executable, "-m", "exr_inspector", path)
    others: tuple[tuple[tuple[str, ...], float | None], ...] = (
        (("exiftool", "-j", "-ee", path), 1.0),
        (("iinfo", "-v", path), None),
        (("exrheader", path), None),
        ((sys.executable, "-c", "pass"), None),
    )
    for command, target in others:
        words = " ".join(("python", *command[1:]) if command[0] == sys.executable else command[:-1])
        what = f"python -m exr_inspector rich.exr / {words}"
        if shutil.which(command[0]) is None:
            yield absent(group, what, f"skipped: {command[0]} is not installed")
            continue
        yield compared(group, what, bench.compare_processes(ours, process(*command)), target=target)


def rows_of_manifest(bench: Bench) -> Iterator[Row]:
    group = "Cryptomatte manifest"
    sizes = bench.settings.manifest_mb
    paths = [bench.path(f"manifest_{size}.exr") for size in sizes]
    texts = [exr_files.manifest(path, int(size * MB)) for path, size in zip(paths, sizes, strict=True)]
    for path, text, size in zip(paths, texts, sizes, strict=True):
        measured = bench.compare(over([path], exr_inspector.inspect), over([text], json.dumps))
        target = 3.0 if size == sizes[-1] else None
        yield compared(group, f"{size:g} MB: inspect / json.dumps(text)", measured, target=target)
    small, big = bench.frames("minimal")[0], paths[-1]
    sides_of_two = (timed_child(FIRST_INSPECT_SECONDS, small, path) for path in (big, paths[-2]))
    measured = bench.compare_processes(*sides_of_two)
    what = f"inspect {sizes[-1]:g} MB / inspect {sizes[-2]:g} MB, each in a fresh process"
    yield compared(group, what, measured, target=5.0)
    header = len(texts[-1]) / MB
    for what, script, target in (
        ("inspect, growth of the resident peak / header", PEAK_OF_INSPECT, 5.0),
        ("inspect, peak of Python's allocations / header", TRACED_PEAK_OF_INSPECT, 5.0),
        ("the command, growth of the resident peak / header", PEAK_OF_COMMAND, None),
    ):
        peak = int(child(script, small, big)) / MB
        yield Row(group, f"{sizes[-1]:g} MB: {what}", peak, header, "MB", peak / header, target=target)


def rows_of_chunks(bench: Bench) -> Iterator[Row]:
    group = 'integrity="chunks", 2160 chunks'
    path = bench.path("wide.exr")
    least = exr_files.wide(path)
    bench.agreement["wide"] = json.loads(child(BYTES_READ, path, "chunks"))

    def walk(walked: str) -> object:
        return exr_inspector.inspect(walked, config={"integrity": "chunks"})

    def bare(walked: str) -> None:
        descriptor = os.open(walked, os.O_RDONLY)
        for offset in range(least, least + 2160 * 8200, 8200):
            os.pread(descriptor, 8, offset)
        os.close(descriptor)

    if hasattr(os, "pread"):
        measured = bench.compare(over([path], walk), over([path], bare))
        row = compared(group, "inspect / 2160 calls of os.pread and nothing else", measured)
        yield row._replace(target=5.0, of="ours")
    yield compared(
        group, "inspect, chunks / table", bench.compare(over([path], walk), over([path], exr_inspector.inspect))
    )
    for mode in ("chunks", "table"):
        read = json.loads(child(BYTES_READ, path, mode))["bytes"]
        target = 1.0 if mode == "chunks" else None
        yield Row(
            group, f"{mode}: bytes read / header, table and leaders", read, least, "bytes", read / least, target=target
        )


def rows_of_import(bench: Bench) -> Iterator[Row]:
    group = "import exr_inspector"
    rounds = 3 if bench.settings.is_quick else 15
    path = bench.frames("rich")[0]
    milliseconds = min(float(child(IMPORT_SECONDS)) for _ in range(rounds)) * 1000
    yield Row(group, "the shortest of some fresh processes", milliseconds, None, "ms", target=10.0, of="ours")
    milliseconds = min(float(child(FIRST_READ_SECONDS, path)) for _ in range(rounds)) * 1000
    yield Row(group, "and the first read_header, construct included", milliseconds, None, "ms")
    loaded = child(LOADED_MODULES).split()
    heavy = sorted({name.partition(".")[0] for name in loaded} & set(HEAVY_MODULES))
    what = f"loads {', '.join(heavy) or 'none'} of {', '.join(HEAVY_MODULES)}"
    note = f"{len(loaded)} modules: {' '.join(loaded)}"
    yield Row(group, what, len(heavy), None, "modules", target=0.0, of="ours", note=note)


GROUPS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "read_header": rows_of_read_header,
    "inspect": rows_of_inspect,
    "interpreted": rows_of_interpreted,
    "process": rows_of_process,
    "manifest": rows_of_manifest,
    "chunks": rows_of_chunks,
    "import": rows_of_import,
}


# ---- What is shown -----------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """The versions that matter, and how busy the machine is."""
    versions = {}
    for name in ("OpenEXR", "OpenImageIO", "construct", "numpy"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    load = f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return {"python": python, "cpus": os.cpu_count(), "load": load, "versions": versions}


def environment_line(facts: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return f"{facts['python']}; {versions}; {facts['cpus']} CPUs, load {facts['load']} at the start"


HEADINGS = ("what", "ours", "theirs", "ratio", "quartiles", "target", "met?")


def cells(row: Row) -> tuple[str, ...]:
    def amount(value: float | None) -> str:
        if value is None:
            return ""
        return f"{value:,.0f} {row.unit}" if row.unit in ("bytes", "modules") else f"{value:.3g} {row.unit}"

    target = ""
    if row.target is not None:
        target = f"≤ {row.target:g}" + (f" {row.unit}" if row.of == "ours" else "")
        target += f" ({row.stretch:g})" if row.stretch is not None else ""
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    quartiles = "" if row.low is None else f"{row.low:.2f} – {row.high:.2f}"
    met = {None: "", True: "yes", False: "no"}[row.met]
    if row.ratio is None and row.ours is None:
        met = row.note
    return row.what, amount(row.ours), amount(row.theirs), ratio, quartiles, target, met


def grouped(rows: Sequence[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    return groups


def as_text(rows: Sequence[Row]) -> str:
    """The table for a terminal."""
    table = [HEADINGS, *map(cells, rows)]
    widths = [max(map(len, column)) for column in list(zip(*table, strict=True))[:-1]]

    def line(row: Sequence[str]) -> str:
        first, *middle = (text.ljust(width) for text, width in zip(row, widths, strict=False))
        return "  ".join((first, *(text.strip().rjust(len(text)) for text in middle), row[-1])).rstrip()

    lines = [line(HEADINGS)]
    for group, members in grouped(rows).items():
        lines += ["", group, *(line(cells(row)) for row in members)]
    return "\n".join(lines)


def as_markdown(rows: Sequence[Row], facts: dict[str, Any]) -> str:
    """The table for bench/README.md."""
    lines = [environment_line(facts), "", "| " + " | ".join(HEADINGS) + " |", "|---|--:|--:|--:|--:|--:|---|"]
    for group, members in grouped(rows).items():
        lines.append(f"| **{group}** |" + " |" * (len(HEADINGS) - 1))
        lines += ["| " + " | ".join(cells(row)) + " |" for row in members]
    return "\n".join(lines)


def write_readme(table: str) -> None:
    """Puts the table between the two marks of bench/README.md."""
    path = os.path.join(ROOT, "bench", "README.md")
    with open(path, encoding="utf-8") as file:
        before, _, rest = file.read().partition(TABLE_START)
    _, _, after = rest.partition(TABLE_END)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}{TABLE_START}\n\n{table}\n\n{TABLE_END}{after}")


# ---- The command -------------------------------------------------------------------------------------------


def arguments_of(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures the reader against other programs, as ratios in one run.")
    parser.add_argument("--quick", action="store_true", help="few rounds, small files: figures mean nothing")
    parser.add_argument("--only", action="append", choices=GROUPS, help="one group of rows; may be given again")
    parser.add_argument("--json", metavar="FILE", help="everything as JSON; - is standard output")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each comparison runs at least")
    parser.add_argument("--files", metavar="DIR", help="make the files here and keep them")
    return parser.parse_args(words)


def settings_of(arguments: argparse.Namespace, folder: str) -> Settings:
    if arguments.quick:
        return Settings(folder, 0.0, 2, 2, 2, (0.25, 0.5, 1), is_quick=True)
    return Settings(folder, arguments.seconds, 20, 10, 16, (1, 5, 20), is_quick=False)


def measure(settings: Settings, names: Sequence[str]) -> tuple[list[Row], dict[str, Any]]:
    """All rows of the groups, and what the sides agreed on. Says on standard error what is going on."""
    bench, rows = Bench(settings), []
    start = time.monotonic()
    for name in names:
        for row in GROUPS[name](bench):
            rows.append(row)
            print(f"[{time.monotonic() - start:5.1f} s] {row.group}: {row.what}", file=sys.stderr)
    return rows, bench.agreement


def keep_bytecode(folder: str) -> None:
    """Children compile a module once, as an installed program does, whatever this shell says about bytecode."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = folder


def main(words: Sequence[str] | None = None) -> int:
    arguments = arguments_of(words)
    facts = machine()
    with tempfile.TemporaryDirectory(prefix="exr-bench-") as temporary:
        folder = arguments.files or temporary
        os.makedirs(folder, exist_ok=True)
        keep_bytecode(os.path.join(temporary, "bytecode"))
        rows, agreement = measure(settings_of(arguments, folder), arguments.only or list(GROUPS))
    facts["quick"] = arguments.quick
    report = {"environment": facts, "agreement": agreement, "rows": [{**row._asdict(), "met": row.met} for row in rows]}
    if arguments.json == "-":
        print(json.dumps(report, indent=2))
        return 0
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=2)
    if arguments.write:
        write_readme(as_markdown(rows, facts))
    print(as_markdown(rows, facts) if arguments.markdown else f"{environment_line(facts)}\n\n{as_text(rows)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
