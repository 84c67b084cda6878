"""rag.answering.option_list: who asks for all options of a command gets each of them, and nobody else does."""

from __future__ import annotations

from pathlib import Path

import pytest

import rag.answering.option_list
from rag.answering.option_list import list_options
from rag.answering.wording import word_quotes
from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from tests.rows import for_each
from tests.tiny_embedder import TinyEmbedder

OPTIONS = [f"-option_{letter}" for letter in "abcdefghijklmnopqrstuvwx"]
ROWS = "\n".join(
    f"| `{option}` | Turns the step {option[-1]} of the router on, which is off by default. |" for option in OPTIONS
)
SYNOPSIS = "\n".join(f"    [{option}]" for option in OPTIONS)
MANUAL = f"""# Router

## Route Nets

This command routes.

```tcl
route_nets
{SYNOPSIS}
```

### Options

| Switch Name | Description |
| --- | --- |
{ROWS}

## Report Nets

```tcl
report_nets
    [-file name]
```

| Switch Name | Description |
| --- | --- |
| `-file` | Where it is written. |
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    folder, settings = tmp_path_factory.mktemp("index"), RagSettings(home=Path("unused"))
    manual = parse_document("router", "manual.md", "Router", MANUAL, None, "ISC")
    build_index([manual], folder, settings, TinyEmbedder())
    return Retriever.open_with(TinyEmbedder(), folder, settings)


@for_each(
    "question",
    [
        "list all options of route_nets",
        "which options does route_nets have?",
        "route_nets syntax",
        "Show me every flag and its arguments of `route_nets`, please",
        "router: what are the parameters of route_nets?",
    ],
)
def test_every_option_is_quoted_once_with_its_synopsis(index: Retriever, question: str) -> None:
    listed = list_options(question, index)
    assert listed
    assert len(listed.hits) > 1  # the table is longer than a passage
    text = word_quotes(listed.quotes, listed.hits).text
    assert [text.count(f"| `{option}` |") for option in OPTIONS] == [1] * len(OPTIONS)
    assert [text.count(f"[{option}]") for option in OPTIONS] == [1] * len(OPTIONS)
    assert "This command routes" not in text
    for quote in listed.quotes:
        assert listed.hits[quote.number - 1].chunk.text[quote.start : quote.end] == quote.text


@for_each(
    "question",
    [
        "",
        "options",
        "which option of route_nets turns step c on",  # one of them
        "which options of route_nets are off by default",  # some
        "options of route_nets and report_nets",  # of two commands
        "options of other_nets",
        "what does route_nets do",
    ],
)
def test_nothing_else_is_a_list(index: Retriever, question: str) -> None:
    assert list_options(question, index) is None


def test_a_manual_is_no_list(index: Retriever, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rag.answering.option_list, "MOST_WORDS", 20)
    assert list_options("options of report_nets", index)
    assert list_options("options of route_nets", index) is None
