"""The corpus of the bench: does it reach its targets, and is the page's table what the bench measures?"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest

from exr_inspector.embedding import embed_documents
from exr_inspector.schema import document_schema_text

ROOT = Path(__file__).parent.parent
SEED = 11
TOLERANCE = 0.002  # ties are broken by the last bits of a matrix product, which are the library's


@pytest.fixture(scope="module")
def bench() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "bench"))
        import corpus  # noqa: PLC0415
        import retrieval  # noqa: PLC0415

        yield corpus, retrieval


@pytest.fixture(scope="module")
def files(bench: tuple[ModuleType, ModuleType]) -> list[Any]:
    return list(bench[0].corpus(SEED))


def test_the_corpus_is_as_large_as_it_says_and_the_same_each_time(bench: Any, files: list[Any]) -> None:
    kinds = [file.kind for file in files]
    assert kinds.count("frame") == 12 * 6 * 12
    assert [kinds.count(kind) for kind in ("layer", "compression", "overscan")] == [72] * 3
    again = list(bench[0].corpus(SEED))
    assert json.dumps([file.document for file in again]) == json.dumps([file.document for file in files])


def test_a_hard_negative_differs_in_one_thing(bench: Any) -> None:
    corpus = bench[0]
    corpus.DROP_LAYER, corpus.DROP_ATTRIBUTE, before = 0, 0, (corpus.DROP_LAYER, corpus.DROP_ATTRIBUTE)
    files = list(corpus.corpus(5, shows=2, frames=1))
    corpus.DROP_LAYER, corpus.DROP_ATTRIBUTE = before
    frames = {(file.show, file.pass_name): file.document for file in files if file.kind == "frame"}
    for file in files:
        if file.kind == "frame":
            continue
        own = frames[file.show.partition("/")[0], file.pass_name.partition("/")[0]]
        part, other = own["parts"][0], file.document["parts"][0]
        differing = {field for field in part if part[field] != other[field]}
        layers, others = ({each["layer_name"] for each in document["channels"]} for document in (own, file.document))
        if file.kind == "layer":
            assert (differing, len(layers - others), len(others - layers)) == (set(), 1, 1)
        else:
            assert layers == others
            windows = {"data_window", "width", "height", "data_x_offset", "data_y_offset"}
            assert differing == (windows if file.kind == "overscan" else {"compression"})


def test_the_frames_of_a_render_are_one_vector(bench: Any) -> None:
    corpus = bench[0]
    corpus.DROP_LAYER, corpus.DROP_ATTRIBUTE, before = 0, 0, (corpus.DROP_LAYER, corpus.DROP_ATTRIBUTE)
    files = [file for file in corpus.corpus(6, shows=2, frames=4) if file.kind == "frame"]
    corpus.DROP_LAYER, corpus.DROP_ATTRIBUTE = before
    vectors = embed_documents(file.document for file in files)
    for start in range(0, len(files), 4):
        assert len({file.document["file"]["path"] for file in files[start : start + 4]}) == 4
        assert len({row.tobytes() for row in vectors[start : start + 4]}) == 1
    assert len({row.tobytes() for row in vectors}) == 12


def test_the_corpus_is_of_the_schema(bench: Any, files: list[Any]) -> None:
    schema = json.loads(document_schema_text())
    validator = jsonschema.Draft202012Validator({**schema["properties"]["parts"], "$defs": schema["$defs"]})
    for document in [files[0].document, bench[0].rich_document(1)]:
        validator.validate(document["parts"])
    rich = bench[0].rich_document(1)
    assert len(rich["channels"]) == 80
    assert len(rich["attributes"]["parts"][0]) >= 60


def test_retrieval_reaches_its_targets_and_the_page_tells_the_figures(bench: Any, files: list[Any]) -> None:
    retrieval = bench[1]
    page = (ROOT / "docs" / "VECTOR_STRATEGY.md").read_text(encoding="utf-8")
    table = page[page.index(f"| {SEED} | feature hashing") :]
    for name, contender in retrieval.CONTENDERS.items():
        figures = retrieval.retrieval(files, contender(files), SEED)
        shown = re.search(rf"\| {re.escape(name)} \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|", table)
        assert shown is not None
        assert figures == pytest.approx([float(each) for each in shown.groups()], abs=TOLERANCE)
        if name == "feature hashing":
            assert figures[0] >= 0.97
            assert figures[1] >= 0.97
            assert figures[2] >= 0.75


def test_the_cosine_falls_with_each_layer_that_is_removed(bench: Any, files: list[Any]) -> None:
    corpus, retrieval = bench
    for documents in ([file.document for file in files[::9]], [corpus.rich_document(number) for number in range(40)]):
        rng = random.Random(SEED)
        runs = [retrieval.removal_steps(document, rng) for document in documents]
        fallen, count = map(sum, zip(*map(retrieval.falls, runs), strict=True))
        assert count > 700
        assert fallen / count >= 0.99
        steps = [step for run in runs[:40] for step in run]
        starts = [sum(map(len, runs[:index])) for index in range(len(runs[:40]))]
        pairs = [(start, start + n) for start, run in zip(starts, runs, strict=False) for n in range(1, len(run))]
        assert retrieval.jaccard_correlation(steps, pairs) >= 0.9


def test_close_and_far_pairs_are_ranked_as_exact_jaccard_ranks_them(bench: Any, files: list[Any]) -> None:
    retrieval = bench[1]
    rng = random.Random(SEED)
    pairs = retrieval.mixed_pairs(files, rng, count=800)
    assert retrieval.jaccard_correlation([file.document for file in files], pairs) >= 0.9
