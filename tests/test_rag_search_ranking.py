"""rag.search.ranking: what exact names of a question do to the order of passages."""

from __future__ import annotations

import pytest

from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.search.ranking import HEADED, NAMED
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from tests.tiny_embedder import TinyEmbedder

TEXTS = {
    "--build-all": "Compiles what was translated with `--write-main`, and links the program that it makes.",
    "--write-main": "Writes a main function. It needs no driver of your own, and ends with the simulation.",
    "Numbers": "The main function of a counter reads binary numbers and writes decimal ones.",
}


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    folder = tmp_path_factory.mktemp("index")
    settings = RagSettings(home=folder)
    documents = [
        parse_document("tool", f"{number}.md", title, f"# {title}\n\n{text}\n", None, "ISC")
        for number, (title, text) in enumerate(TEXTS.items())
    ]
    build_index(documents, folder, settings, TinyEmbedder())
    return Retriever.open_with(TinyEmbedder(), folder, settings)


def scores(retriever: Retriever, query: str) -> dict[str, float]:
    """The score of each passage by its title."""
    return {hit.chunk.title: hit.score for hit in retriever.rank(query)}


def gains(retriever: Retriever, query: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What each passage gains by the exact names of the query."""
    with_names = scores(retriever, query)
    with monkeypatch.context() as patch:
        patch.setattr("rag.search.ranking.find_names", lambda text: [])
        without = scores(retriever, query)
    return {title: score - without[title] for title, score in with_names.items() if score != without[title]}


def test_a_passage_with_an_exact_name_gains_and_more_under_a_heading_that_is_it(
    retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    gained = gains(retriever, "what is --write-main", monkeypatch)
    assert gained == {"--build-all": pytest.approx(NAMED), "--write-main": pytest.approx(NAMED + HEADED)}
    assert next(retriever.rank("what is --write-main")).chunk.title == "--write-main"


def test_the_more_else_is_asked_the_less_a_heading_gives(retriever: Retriever, monkeypatch: pytest.MonkeyPatch) -> None:
    gained = gains(retriever, "does --write-main link the program", monkeypatch)
    assert gained["--write-main"] == pytest.approx(NAMED + HEADED / 3)  # beside it: link, program


def test_of_several_names_each_gives_its_share_and_unknown_ones_nothing(
    retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    gained = gains(retriever, "--write-main --build-all", monkeypatch)
    share = gained["--write-main"] / (NAMED + HEADED)  # of this name, by idf: it stands in two passages
    assert 0 < share < 1 / 2
    assert gained["--build-all"] == pytest.approx(NAMED + (1 - share) * HEADED)  # which has both, and one as its title
    assert gains(retriever, "what is --plugh-mode", monkeypatch) == {}


def test_words_of_the_language_are_not_names(retriever: Retriever, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gains(retriever, "binary numbers of the main function", monkeypatch) == {}


def test_a_collection_is_ranked_by_the_same_names(retriever: Retriever) -> None:
    within = retriever.within(["tool"])
    assert scores(within, "what is --build-all") == scores(retriever, "what is --build-all")
