"""rag.training.triplet_questions: which of our own questions become drafts, and with which chunks."""

from __future__ import annotations

from rag.documents import Chunk, Document, make_chunk
from rag.training.examples import Example
from rag.training.triplet_questions import ORIGIN, drafts_of_questions


def chunk(path: str, position: int, text: str) -> Chunk:
    return make_chunk(Document("notes", path, "Timing", "", None, "ISC"), (), text, position)


CHUNKS = [
    chunk("a.md", 0, "Buffers fix hold. They cost area."),
    chunk("a.md", 1, "Skew is the difference of arrivals. Buffers fix hold."),
    chunk("b.md", 0, "Macros come first."),
]
BOTH = {("notes", "a.md"): ("Buffers fix", "Skew is"), ("notes", "b.md"): ("Macros come",)}


def test_a_draft_has_the_first_chunk_of_each_unit_once() -> None:
    [draft] = drafts_of_questions(
        [Example("What fixes hold, and what is skew?", begins=BOTH, answer="Buffers.")], CHUNKS
    )
    assert draft.golden == tuple(CHUNKS)
    assert (draft.question, draft.answer, draft.origin) == ("What fixes hold, and what is skew?", "Buffers.", ORIGIN)


def test_what_has_no_answer_or_lacks_a_chunk_is_left_out() -> None:
    lost = {("notes", "a.md"): ("Buffers fix", "Nobody says")}
    examples = [Example("a?", begins=BOTH), Example("b?", begins=lost, answer="No."), Example("c?", answer="None.")]
    assert drafts_of_questions(examples, CHUNKS) == []
