"""rag.search.judging: when passages are read to know whether they answer, and how many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rag.documents import Chunk, Document
from rag.embedding.passage_reader import PassageReader, Reading
from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.search.judging import HITS_READ, READ_TOGETHER
from rag.search.missing import Missing
from rag.search.relevance import DOUBT, FEW_PASSAGES, relevance
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from tests.given_reading import GivenReading
from tests.rows import for_each
from tests.tiny_embedder import TinyEmbedder

QUESTION = "how many buffers does the router keep in the clock tree"


class GivenReader(PassageReader):
    """Says of the passages what it is given, in the order in which it reads them."""

    def __init__(self, odds: Sequence[float]) -> None:
        super().__init__(Path("none"))
        self.read_questions: list[str] = []
        self._odds = iter(odds)

    def read(self, question: str, chunks: Sequence[Chunk]) -> list[Reading]:
        self.read_questions += [question] * len(chunks)
        return [GivenReading(next(self._odds)) for _ in chunks]


@pytest.fixture(scope="module")
def index_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    build_index(_documents(FEW_PASSAGES), folder, RagSettings(home=folder), TinyEmbedder())
    return folder


def _documents(count: int) -> list[Document]:
    subjects = ["clock tree", "router", "scan chain", "power grid"]
    return [
        parse_document(
            "tool",
            f"{number}.md",
            f"Page {number}",
            f"# Page {number}\n\nThe {subjects[number % 4]} has buffers of kind {number}.\n",
            None,
            "ISC",
        )
        for number in range(count)
    ]


def retriever(index_dir: Path, odds: Sequence[float]) -> Retriever:
    """A retriever whose reader gives these odds."""
    return Retriever.open_with(TinyEmbedder(), index_dir, RagSettings(home=index_dir), GivenReader(odds))


def count_read(one: Retriever) -> int:
    assert isinstance(one.reader, GivenReader)
    return len(one.reader.read_questions)


@pytest.fixture
def always_doubtful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.search.relevance.DOUBT", (0.0, 1.0))


@pytest.mark.usefixtures("always_doubtful")
def test_reading_ends_at_a_passage_that_answers(index_dir: Path) -> None:
    one = retriever(index_dir, [-9, -9, 20, -9, 20, 20, 20, 20])
    assert one.relevance(QUESTION) > 0.9
    assert count_read(one) == 2 * READ_TOGETHER


@pytest.mark.usefixtures("always_doubtful")
def test_where_no_passage_answers_all_that_count_are_read_and_the_question_is_refused(index_dir: Path) -> None:
    one = retriever(index_dir, [-20] * HITS_READ)
    assert one.search(QUESTION) == []
    assert count_read(one) == HITS_READ


@pytest.mark.usefixtures("always_doubtful")
def test_the_better_a_passage_answers_the_more_relevant_the_index_is(index_dir: Path) -> None:
    found = [retriever(index_dir, [-20] * 5 + [odds] + [-20] * 2).relevance(QUESTION) for odds in (-9.0, 0.0, 9.0)]
    assert found == sorted(set(found))


@for_each("likely", [DOUBT[0] / 2, DOUBT[0], DOUBT[1], (1 + DOUBT[1]) / 2])
def test_what_is_not_doubtful_is_not_read(index_dir: Path, likely: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.search.judging.relevance", lambda evidence, *, by_token, of_few: likely)
    one = retriever(index_dir, [])
    assert one.relevance(QUESTION) == likely
    assert count_read(one) == 0


@pytest.mark.usefixtures("always_doubtful")
def test_an_index_of_few_passages_is_judged_by_the_cosine_and_by_reading(tmp_path: Path) -> None:
    build_index(_documents(FEW_PASSAGES - 1), tmp_path, RagSettings(home=tmp_path), TinyEmbedder())
    one = retriever(tmp_path, [-5.0] * HITS_READ)
    evidence = replace(one.evidence(QUESTION, by_token=False), reading=-5.0)
    assert one.relevance(QUESTION) == pytest.approx(relevance(evidence, by_token=False, of_few=True))
    assert count_read(one) >= READ_TOGETHER
    assert retriever(tmp_path, [20.0] * HITS_READ).search(QUESTION)
    assert not retriever(tmp_path, [-20.0] * HITS_READ).search(QUESTION)


def test_names_of_the_askers_own_and_of_messages_of_known_tools_are_not_missed(tmp_path: Path) -> None:
    texts = ["GRT-0118 means that routing is congested.", "`place_pins` takes `-min_distance`.", "Buffers repair slew."]
    documents = [parse_document("t", f"src/ppl/{n}.md", f"Page {n}", text, None, "ISC") for n, text in enumerate(texts)]
    build_index(documents, tmp_path, RagSettings(home=tmp_path), TinyEmbedder())
    one = Retriever.open_with(TinyEmbedder(), tmp_path, RagSettings(home=tmp_path))

    def lacks_a_name(question: str) -> bool:
        return one.evidence(question, by_token=False).unknown_name > 0

    assert lacks_a_name("what is IMPCCOPT-1361")
    assert lacks_a_name("place_pins -max_distance")
    assert not lacks_a_name("GRT-0232 routing is congested")  # a number of the same tool stands in a document
    assert not lacks_a_name("PPL-0024 too many pins")  # and its folder is named so
    assert not lacks_a_name("place_pins min_distance")
    assert not lacks_a_name("place_pins fails in uart_phy.v")


def test_passages_that_lack_the_kind_of_thing_that_is_asked_for_do_not_answer(tmp_path: Path) -> None:
    texts = [
        "`pll_calc` computes dividers.",
        "`pll_list`, new in release 2.1, lists dividers.",
        "It takes 20 ms to lock.",
    ]
    documents = [parse_document("t", f"{n}.md", f"Page {n}", text, None, "ISC") for n, text in enumerate(texts)]
    build_index(documents, tmp_path, RagSettings(home=tmp_path), TinyEmbedder())
    one = Retriever.open_with(TinyEmbedder(), tmp_path, RagSettings(home=tmp_path, min_relevance=0.0))

    assert one.search("since which release is there pll_calc") == []
    assert one.search("since which release is there pll_list")
    assert one.search("how many percent of the dividers does it list") == []

    missing = one.missing("since which release is there pll_calc")
    assert isinstance(missing, Missing)
    assert (missing.name, missing.words) == ("pll_calc", ("a release",))
