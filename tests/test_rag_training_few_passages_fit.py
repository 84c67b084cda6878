"""Small parts of an index, with the documents that a question asks for; and what is weighed of them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.search.relevance import FEW_PASSAGES, Evidence
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from rag.sources.questions import Question, WantedPassage
from rag.training.few_passages_fit import SIZES, Judged, Parts, describe_fit, judge_parts, weigh_rows
from tests.test_rag_search_judging import GivenReader
from tests.tiny_embedder import TinyEmbedder

DOCUMENTS = 30  # of each collection; the first one of "clocks" has too many passages for a part


@pytest.fixture(scope="module")
def index_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    texts = {
        (name, number): f"# Page {number}\n\nThe {name} have buffers of kind {number}.\n"
        for name in ("clocks", "routes")
        for number in range(DOCUMENTS)
    }
    texts["clocks", 0] = "".join(f"## Part {n}\n\n{'The clocks tick. ' * 60}\n\n" for n in range(FEW_PASSAGES + 20))
    documents = [
        parse_document(name, f"{number}.md", f"Page {number}", text, None, "ISC")
        for (name, number), text in texts.items()
    ]
    build_index(documents, folder, RagSettings(home=folder), TinyEmbedder())
    return folder


def open_index(index_dir: Path) -> Retriever:
    return Retriever.open_with(TinyEmbedder(), index_dir, RagSettings(home=index_dir), GivenReader([0.0] * 10_000))


def question(text: str, *places: tuple[str, str]) -> Question:
    wanted = tuple((WantedPassage(collection, path),) for collection, path in places)
    return Question("q", text, "name", bool(places), wanted)


def test_a_part_holds_the_documents_of_its_question_and_no_more_passages_than_asked_for(index_dir: Path) -> None:
    parts = Parts(open_index(index_dir), random.Random(0))
    asked = question("buffers of kind 3", ("routes", "3.md"), ("routes", "4.md"))
    for most in SIZES:
        drawn = parts.draw(asked, most)
        assert drawn
        part, collections = drawn
        assert collections == {"routes"}
        assert 2 <= part.chunk_count <= min(most, DOCUMENTS)
        assert {hit.chunk.path for hit in part.rank("buffers of kind 3")} >= {"3.md", "4.md"}
        assert {hit.chunk.collection for hit in part.rank("clocks")} == {"routes"}


def test_no_part_is_drawn_of_a_long_document_or_one_that_is_not_there(index_dir: Path) -> None:
    parts = Parts(open_index(index_dir), random.Random(0))
    assert parts.draw(question("ticks", ("clocks", "0.md")), 95) is None
    assert parts.draw(question("ticks", ("clocks", "none.md")), 95) is None
    assert parts.draw(question("ticks"), 1) is None


def test_each_part_is_asked_its_question_and_one_of_another_collection(index_dir: Path) -> None:
    questions = [question("buffers of kind 3", ("routes", "3.md")), question("kind 5", ("clocks", "5.md"))]
    judged = list(judge_parts(open_index(index_dir), questions))
    own = [each for each in judged if not each.is_foreign]
    assert len(own) == len(questions) * len(SIZES)
    assert all(each.is_answered and each.evidence.reading == 0.0 for each in own)
    foreign = [each for each in judged if each.is_foreign]
    assert 0 < len(foreign) < len(own)
    assert not any(each.is_answered for each in foreign)


def test_both_kinds_of_unanswered_questions_count_alike() -> None:
    evidence = Evidence(0.5, 0.5, 0.0, 3, reading=0.0)
    judged = [Judged(evidence, True, False)] * 10 + [Judged(evidence, False, False)] * 2
    weights = weigh_rows([*judged, *[Judged(evidence, False, True)] * 5])
    assert weights[:10].tolist() == [1.0] * 10
    assert weights[10:12].sum() == pytest.approx(weights[12:].sum()) == pytest.approx(3.5)


def test_what_is_refused_is_told_by_kind() -> None:
    dice = np.random.default_rng(0)
    judged = [
        Judged(Evidence(0.5, 0.5, 0.0, 3, reading=float(dice.normal(4 if is_answered else -4))), is_answered, foreign)
        for is_answered, foreign in [(True, False), (False, False), (False, True)] * 40
    ]
    described = describe_fit(judged, 0.35)
    assert len(described["coefficients"]) == len(judged[0].evidence.features())
    assert {name: share["questions"] for name, share in described["refused"].items()} == {
        "wrongly": 40,
        "own": 40,
        "foreign": 40,
    }
    assert described["refused"]["wrongly"]["share"] < 0.1 < 0.9 < described["refused"]["own"]["share"]
