"""Drafts of questions that we wrote and answered ourselves, each with the chunks that hold what its answer stands on.

It builds no prompt.

    drafts = drafts_of_questions(read_examples(Path("data/training/questions.jsonl")), chunks)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rag.documents import Chunk
from rag.training.examples import AnswerFinder, Example
from rag.training.triplet_templates import Draft

ORIGIN = "chipalign"


def drafts_of_questions(examples: Iterable[Example], chunks: Sequence[Chunk]) -> list[Draft]:
    """The drafts of those questions that have an answer and whose every unit of evidence stands in a chunk."""
    finder = AnswerFinder(chunks)
    drafts = []
    for example in examples:
        rows = finder.first_rows(example) if example.answer else []
        golden = [chunks[row] for row in dict.fromkeys(rows) if row is not None]
        if golden and None not in rows:
            drafts.append(Draft(example.question, example.answer, tuple(golden), ORIGIN))
    return drafts
