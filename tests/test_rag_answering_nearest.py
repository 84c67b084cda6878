"""rag.answering.nearest: a refusal shows what comes near an answer, and stays one."""

from __future__ import annotations

from pathlib import Path

from rag.answering.nearest import refuse_question
from rag.answering.refusal import NOTHING_FOUND, refuse
from rag.search.retriever import Retriever
from rag.settings import RagSettings


def test_it_quotes_what_comes_nearest(small_index: Path) -> None:
    strict = Retriever.open(small_index, RagSettings(home=small_index.parent, min_relevance=0.999))
    question = "Which command fixes violations of antennas?"
    refusal = refuse_question(question, strict, ["notes"])
    text = refusal.answer.text

    assert text.startswith(f"{NOTHING_FOUND} (notes), so I do not answer from memory. What comes nearest may help, ")
    assert "> " in text
    assert refusal.hits[0].chunk.title == "Antenna repair"
    for number, citation in enumerate(refusal.answer.citations, start=1):
        assert citation.number == number
        assert f"[{number}]" in text[citation.start : citation.end].split("\n")[0]

    assert refuse_question(question, strict, ["notes"], top_k=0) == refuse(["notes"])
    assert refuse_question("What is the capital of Peru?", strict, ["notes"]) == refuse(["notes"])
