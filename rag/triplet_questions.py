"""Drafts of questions that we wrote and answered ourselves, each with the chunks that hold what its answer stands on.

It builds no prompt.

    drafts = drafts_of_questions(read_examples(Path("data/training/questions.jsonl")), chunks)
"""

from collections.abc import Iterable, Sequence

from rag.answering.examples import Example
from rag.answering.units import cut_units
from rag.documents import Chunk
from rag.triplet_templates import Draft

ORIGIN = "chipalign"


def drafts_of_questions(examples: Iterable[Example], chunks: Sequence[Chunk]) -> list[Draft]:
    """The drafts of those questions that have an answer, and of whose evidence every unit stands in a chunk."""
    documents: dict[tuple[str, str], list[Chunk]] = {}
    for chunk in chunks:
        documents.setdefault((chunk.collection, chunk.path), []).append(chunk)
    drafts = []
    for example in examples:
        golden = [
            _find(begins, documents.get(document, ()))
            for document, beginnings in example.begins.items()
            for begins in beginnings
        ]
        chunks_of_all = [chunk for chunk in golden if chunk]
        if example.answer and golden and len(chunks_of_all) == len(golden):
            own = tuple({chunk.chunk_id: chunk for chunk in chunks_of_all}.values())
            drafts.append(Draft(example.question, example.answer, own, ORIGIN))
    return drafts


def _find(begins: str, chunks: Sequence[Chunk]) -> Chunk | None:
    """The first chunk with a unit that begins so."""
    for chunk in chunks:
        units = (" ".join(chunk.text[unit.start : unit.end].split()) for unit in cut_units(chunk.text))
        if any(unit.startswith(begins) for unit in units):
            return chunk
    return None
