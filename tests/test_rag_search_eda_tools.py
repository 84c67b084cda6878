"""rag.search.eda_tools: the tools that a question names, and what follows where no document is about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.search.eda_tools import NAMES_FILE, named_eda_tools
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from tests.rows import for_each
from tests.tiny_embedder import TinyEmbedder

SETTINGS = RagSettings(home=Path("unused"))


@for_each(
    ("text", "first_names"),
    [
        ("how do I set the halo in Innovus?", ["innovus"]),
        ("spyglass CDC, then IC Compiler or ICC2", ["spyglass", "ic compiler"]),
        ("questa cdc waiver", ["questa cdc"]),
        ("vcs-like switches", []),
        ("the design compiles", []),
        ("", []),
    ],
)
def test_names_are_found_as_words_of_their_own_the_longest_first(text: str, first_names: list[str]) -> None:
    assert [names[0] for names in named_eda_tools(text)] == first_names


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    """Documents about Genus by their title and about Tempus by their words; of Innovus they only speak."""
    folder = tmp_path_factory.mktemp("index")
    notes = [f"Step {number}: after tempus has read the netlist, look at report {number}." for number in range(4)]
    texts = {"Synthesis with Genus": "Read the libraries, then elaborate.", "Floorplan": "Innovus can read this file."}
    documents = [
        parse_document("notes", f"{title}.md", title, f"# {title}\n\n{text}\n", None, "ISC")
        for title, text in [*texts.items(), *((f"Sign-off {number}", note) for number, note in enumerate(notes))]
    ]
    build_index(documents, folder, SETTINGS, TinyEmbedder())
    return Retriever.open_with(TinyEmbedder(), folder, SETTINGS)


@for_each(
    ("question", "is_foreign"),
    [
        ("halo of a macro in innovus", True),
        ("read libraries in genus", False),
        ("tempus: where is the report", False),
        ("from genus to innovus", False),
        ("halo of a macro", False),
    ],
)
def test_a_tool_is_foreign_where_no_document_is_about_it(retriever: Retriever, question: str, is_foreign: bool) -> None:
    assert retriever.evidence(question, by_token=False).foreign_tool == is_foreign


def test_every_name_stands_once_and_in_lower_case() -> None:
    lines = [line for line in NAMES_FILE.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    names = [name.strip() for line in lines for name in line.split(",")]
    assert len(names) == len(set(names))
    assert names == [name.lower() for name in names]
    assert all(names)
