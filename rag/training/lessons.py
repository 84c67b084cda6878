"""Questions with what answers them, as a reader learns them: with answering passages and others that the search finds.

It trains nothing.

    lesson = LessonMaker(retriever, chunks, Pairing(base_folder)).make(example)
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np

from rag.answering.units import cut_units
from rag.documents import Chunk
from rag.embedding.passage_reader import Pairing
from rag.errors import EmptyQuery
from rag.index.bm25 import content_terms
from rag.search.judging import HITS_READ
from rag.search.retriever import Retriever
from rag.training.examples import AnswerFinder, Example, is_answer
from rag.training.reader_training import Candidate, Lesson


class LessonMaker:
    """Makes lessons of the documents of one index."""

    def __init__(self, retriever: Retriever, chunks: Sequence[Chunk], pairing: Pairing) -> None:
        self._retriever = retriever
        self._pairing = pairing
        self._chunks = chunks
        self._finder = AnswerFinder(chunks)

    def make(self, example: Example) -> Lesson | None:
        """The lesson of a question; None where it has an answer and no passage of the index holds it."""
        try:
            found = [hit.chunk for hit in islice(self._retriever.rank(example.question), HITS_READ)]
        except EmptyQuery:
            return None
        answering = [self._chunks[row] for row in self._finder.rows(example)]
        read = {chunk.chunk_id: chunk for chunk in (*found, *answering)}
        candidates = [self._candidate(example, chunk) for chunk in read.values()]
        if example.is_answerable and not any(any(one.answers) for one in candidates):
            return None
        return Lesson(example.question, tuple(candidates), is_sure=not example.is_answerable)

    def _candidate(self, example: Example, chunk: Chunk) -> Candidate:
        pair = self._pairing.pair(example.question, chunk)
        units = cut_units(chunk.text)
        asked = content_terms(example.question)
        unit_of = np.full(len(pair.ids), -1, dtype=np.int64)
        own = unit_of[pair.begins : pair.begins + len(pair.starts)]
        for number, unit in enumerate(units):
            own[(pair.starts >= unit.start) & (pair.starts < unit.end)] = number
        return Candidate(
            pair, unit_of, tuple(example.is_answerable and is_answer(example, asked, chunk, unit) for unit in units)
        )
