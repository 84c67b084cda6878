"""rag.answering.unknown_options: an option that no document gives a command is denied, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.answering.unknown_options import OPTIONS_SHOWN, deny, find_unknown_option
from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from serve.evaluation.answers.answer_scores import is_refusal
from tests.rows import for_each
from tests.tiny_embedder import TinyEmbedder

MANUAL = """# Router

## Route Nets

```tcl
route_nets
    [-layers names]
    [-verbose]
```

| Switch Name | Description |
| --- | --- |
| `-layers` | Layers that may be used. |
| `-verbose` | Print each net. |

## Report Nets

```tcl
report_nets
    [-file name]
```

Before 2.0 `route_nets -quick` did half of it.
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    folder, settings = tmp_path_factory.mktemp("index"), RagSettings(home=Path("unused"))
    build_index(
        [parse_document("router", "manual.md", "Router", MANUAL, None, "ISC")], folder, settings, TinyEmbedder()
    )
    return Retriever.open_with(TinyEmbedder(), folder, settings)


@pytest.mark.parametrize(
    ("question", "command", "option"),
    [
        ("route_nets -timing_driven: which weight?", "route_nets", "-timing_driven"),
        ("does report_nets take --html?", "report_nets", "--html"),
        ("route_nets -layers M2 -shield vss", "route_nets", "-shield"),
    ],
)
def test_an_option_that_no_document_gives_the_command_is_found(
    index: Retriever, question: str, command: str, option: str
) -> None:
    unknown = find_unknown_option(question, index)
    assert unknown
    assert (unknown.command.name, unknown.option) == (command, option)
    assert command in unknown.hits[0].chunk.text


@for_each(
    "question",
    [
        "route_nets -layers M2",
        "report_nets, or route_nets -verbose?",
        "route_nets -quick, what replaces it?",  # no option of the synopsis, but named beside the command
        "place_nets -timing_driven",
        "what is -timing_driven?",
        "route_nets",
        "route_nets - and -5 or --",
        "",
    ],
)
def test_what_is_known_or_named_or_of_no_known_command_is_not_denied(index: Retriever, question: str) -> None:
    assert find_unknown_option(question, index) is None


def test_the_denial_names_the_option_that_is_spelled_like_it(index: Retriever) -> None:
    unknown = find_unknown_option("route_nets -layer M1", index)
    assert unknown
    assert "no option `-layer`; the nearest is `-layers`. The options" in deny(unknown).text


def test_the_denial_names_the_options_there_are_and_their_place(index: Retriever) -> None:
    unknown = find_unknown_option("route_nets -timing_driven", index)
    assert unknown
    answer = deny(unknown)
    said = (
        "The indexed documents give `route_nets` no option `-timing_driven`. The options that they give it: `-layers`, "
        "`-verbose`."
    )
    assert answer.text.startswith(said)
    assert answer.text.endswith("[1]")
    assert "router" in answer.text
    assert [(one.number, one.start, one.end) for one in answer.citations] == [(1, 0, len(answer.text))]
    assert is_refusal(answer.text)
    text = " ".join(hit.chunk.text for hit in unknown.hits)
    assert all(option.name in text for option in unknown.command.options)


def test_of_a_command_with_many_options_the_first_are_named(tmp_path: Path) -> None:
    options = "\n".join(f"    [-option_{number} value]" for number in range(OPTIONS_SHOWN + 7))
    manual = parse_document("tool", "m.md", "Tool", f"# Tool\n\n```tcl\nrun_it\n{options}\n```\n", None, "ISC")
    build_index([manual], tmp_path, RagSettings(home=Path("unused")), TinyEmbedder())
    unknown = find_unknown_option(
        "run_it -nonsense", Retriever.open_with(TinyEmbedder(), tmp_path, RagSettings(home=Path("unused")))
    )
    assert unknown
    assert "and 7 more." in deny(unknown).text


def test_a_question_that_names_what_is_described_is_not_refused(index: Retriever) -> None:
    wordy = "please could somebody kindly tell the weather, my shoe size and a good soup, and route_nets"
    assert index.relevance(wordy) < RagSettings(home=Path("unused")).min_relevance
    assert index.search(wordy)
    assert not index.search(wordy.replace("route_nets", "nets"))
    assert not index.search(f"{wordy} as in Innovus")
    assert not index.search(f"{wordy} plugh_nets")
