"""A question that wants a word explained, from the search to the quotes, over passages that mostly use the word."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.answering.evidence import select_quotes
from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from tests.tiny_embedder import TinyEmbedder

USING = [
    f"# Step {number}\n\nWhat is skew there? The skew of step {number} is printed, skew by skew.\n"
    for number in range(12)
]
EXPLAINING = (
    "# Trees\n\nA tree takes the clock to each register. Skew is the difference of two arrivals. It costs time.\n"
)
COMMAND = """# Commands

## Set skew

Every skew of the steps is lowered.

### Set skew, in short

```tcl
set_skew [-step step]
```

#### Options

| Switch Name | Description |
| --- | --- |
| `-step` | The step whose skew is set. |
"""
HEADED = "# Notes\n\n## Wire spreading\n\nMoves nets apart after the router has ended.\n"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    folder, settings = tmp_path_factory.mktemp("index"), RagSettings(home=Path("unused"), min_relevance=0.99)
    pages = [
        parse_document("manual", f"{number}.md", f"Page {number}", text, None, "ISC")
        for number, text in enumerate([*USING, EXPLAINING, HEADED, COMMAND])
    ]
    build_index(pages, folder, settings, TinyEmbedder())
    return Retriever.open_with(TinyEmbedder(), folder, settings)


def test_the_passage_that_explains_a_word_comes_before_those_that_use_it(index: Retriever) -> None:
    def places(question: str) -> tuple[int, ...]:
        """Where the passage that explains comes, and the first one that uses the word."""
        texts = [hit.chunk.text for hit in index.rank(question)]
        return tuple(next(place for place, text in enumerate(texts) if word in text) for word in ("Skew is", "printed"))

    explaining, using = places("what is skew?")
    assert explaining < using
    explaining, using = places("skew of step 3")
    assert explaining > using


def test_the_sentence_that_explains_it_is_quoted(index: Retriever) -> None:
    hits = index.search("what is skew?", 8)
    assert any(
        quote.text == "Skew is the difference of two arrivals." for quote in select_quotes("what is skew?", hits, index)
    )


def test_a_heading_of_its_name_is_enough_for_an_answer(index: Retriever) -> None:
    assert index.search("what is wire spreading?")[0].chunk.heading_path == ("Wire spreading",)


def test_a_name_alone_leads_to_where_the_reference_describes_it(index: Retriever) -> None:
    [best, *_] = index.rank("set_skew")
    assert index.reference.describe("set_skew") is not None
    assert "set_skew [-step step]" in best.chunk.text
    assert index.search("set_skew")[0].chunk == best.chunk


@pytest.mark.parametrize("question", ["what is goulash?", "what is a skew goulash?", "how is skew lowered?"])
def test_what_is_not_explained_is_judged_as_ever(index: Retriever, question: str) -> None:
    assert index.search(question) == []
