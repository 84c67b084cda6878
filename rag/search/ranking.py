"""Ranks the passages of an index for a question and its clauses: by vectors, token by token, and by BM25.

It ranks whatever it finds. Whether the index answers the question at all is `judging`'s matter.

    ranker = Ranker(index, embedder, settings)
    best, *others = ranker.rank("repair antenna violations")
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice, starmap
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rag.documents import Chunk
from rag.embedding.embedder import Embedded, TextEmbedder
from rag.errors import IndexCorrupt
from rag.index.bm25 import best_rows, content_terms, find_names, find_tokens, tokenize
from rag.index.generation import Index
from rag.index.glossary import expand_abbreviations
from rag.search.clauses import split_clauses
from rag.search.fusion import mix_scores, raise_scores
from rag.settings import RagSettings
from rag.words.definitions import find_subject
from rag.words.widening import Widening

# Standard deviations that a passage of a source with `rank_lower` loses: an equally good one comes before it, a clearly
# better one does not.
RANK_LOWER = 0.5
# What a passage gains that holds the exact names of a question, and what it gains under a heading that is one of them;
# the latter is shared with what else is asked: "what is --binary" wants its section, a long question what answers it.
NAMED = 0.25
HEADED = 0.5
MOST_HEADINGS = 16  # of the best passages with a name, whose headings are looked at
# What a passage gains that says what the question wants explained, and what it gains under a heading that is its name
DEFINES, HEADS = 3.0, 1.0
MOST_DEFINING = 200  # passages with the words to be explained, which are looked at
SAID_AT_LEAST = 60  # characters of a description, by which its passage is known
RECENT = 32  # questions and clauses whose vectors are kept, 10 to 400 kB each


class Ranked(NamedTuple):
    """A passage and its scores, before its text is read.

    `defines`: what it gained by explaining what the question wants explained.
    """

    row: int
    score: float
    dense: float
    bm25: float
    late: float
    defines: float = 0.0


class _Asked(NamedTuple):
    """A question, or a clause of it, as typed and perhaps in a manual's words, and what was found for it.

    Cosines by row for each wording, BM25 scores of all rows.
    """

    wordings: list[Embedded]
    rows: list[int]
    cosines: list[dict[int, float]]
    bm25: NDArray[np.float32]


class _Scores(NamedTuple):
    """Scores of the same passages, mixed and by part."""

    mixed: NDArray[np.float64]
    dense: list[float]
    bm25: list[float]
    late: list[float]


class Ranker:
    """Ranks the passages of one index. One serves many threads."""

    def __init__(self, index: Index, embedder: TextEmbedder, settings: RagSettings) -> None:
        """Raises LexiconUnusable."""
        self._index = index
        self._embedder = embedder
        self._settings = settings
        self._lowered = [entry.rows for entry in index.manifest.collections.values() if entry.ranks_lower]
        self._widening = Widening.of(settings, index.bm25)
        self._recent: dict[str, Embedded] = {}  # replaced as a whole, never changed: many threads read it

    @property
    def is_by_token(self) -> bool:
        """Whether questions are compared token by token."""
        return bool(self._settings.late_weight) and self._index.late.has_tokens

    def rank(self, query: str) -> list[Ranked]:
        """All passages that the dense vectors or BM25 find for the question or a clause of it, best first.

        They are ordered by their score for the whole question, averaged with that for their best clause: a passage that
        answers one of two things asked says nothing of the other. Those with exact names of the question are raised,
        which vectors hardly know. The parts of the score are those for the whole question.
        """
        if not self._index.chunk_count:
            return []
        share = self._settings.clause_share
        texts = [query, *(split_clauses(query) if share else [])]
        worded = [self._widening.wordings(text) for text in texts]
        embedded = iter(self.embed(list(chain.from_iterable(worded))))
        asked = [self._find(text, list(islice(embedded, len(own)))) for text, own in zip(texts, worded, strict=True)]
        defining = self._find_defining(query)
        rows = list(dict.fromkeys(chain(chain.from_iterable(part.rows for part in asked), defining)))
        questions = [wording for part in asked for wording in part.wordings]
        late = iter(
            self._index.late.score(questions, rows) if self.is_by_token else [[0.0] * len(rows)] * len(questions)
        )
        whole, *clauses = (self._score(part, rows, list(islice(late, len(part.wordings)))) for part in asked)
        scores = whole.mixed
        if clauses:
            scores = (1 - share) * scores + share * np.max([clause.mixed for clause in clauses], axis=0)
        scores = scores - RANK_LOWER * np.array([self._ranks_lower(row) for row in rows], dtype=np.float64)
        scores = scores + self._raise_named(query, rows, scores)
        defines = [defining.get(row, 0.0) for row in rows]
        scores = scores + np.array(defines, dtype=np.float64)
        parts = (rows, map(float, scores), whole.dense, whole.bm25, whole.late, defines)
        ranking = list(starmap(Ranked, zip(*parts, strict=True)))
        return sorted(ranking, key=lambda ranked: (-ranked.score, ranked.row))

    def embed(self, queries: Sequence[str]) -> list[Embedded]:
        """Questions, abbreviations with their expansions.

        Whoever compares what a search has found asks the same again, so the last ones are kept.
        """
        texts = [expand_abbreviations(query, self._index.glossary) for query in queries]
        known = {text: one for text in texts if (one := self._recent.get(text))}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        known |= {new[one.row]: one for one in self._embedder.embed_tokens(new)} if new else {}
        self._recent = dict(islice({**known, **self._recent}.items(), RECENT))
        return [known[text] for text in texts]

    def _ranks_lower(self, row: int) -> bool:
        """Whether the passage's source comes after others."""
        return any(start <= row < stop for start, stop in self._lowered)

    def _raise_named(self, query: str, rows: Sequence[int], scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """What each passage gains by the exact names of the question that documents know, weighted by idf."""
        bm25 = self._index.bm25
        holding = {name: held for name in find_names(query) if (held := bm25.rows_with(name))}
        raised = np.zeros(len(rows), dtype=np.float64)
        if not holding:
            return raised

        total = sum(map(bm25.idf, holding))
        for name, held in holding.items():
            raised += NAMED * bm25.idf(name) / total * np.array([row in held for row in rows], dtype=np.float64)

        others = content_terms(query).difference(*map(tokenize, holding))
        headed = HEADED / (1 + len(others)) / total
        best = [place for place in np.argsort(-scores, kind="stable") if raised[place]][:MOST_HEADINGS]
        for place in best:
            heading = {token.lower() for token in find_tokens(_last_heading(self._index.chunks[rows[place]]))}
            raised[place] += headed * sum(bm25.idf(name) for name in holding if name in heading)
        return raised

    def _find_defining(self, query: str) -> dict[int, float]:
        """The passages that explain what the question wants explained, and what each gains; none for other ones."""
        subject = find_subject(query)
        bm25 = self._index.bm25
        holding = frozenset(map(int, bm25.rows_with_all(subject.terms))) if subject else frozenset()
        if not subject or not holding:
            return {}
        found = dict.fromkeys(self._find_described(subject.name) if subject.is_exact else (), DEFINES + HEADS)
        for row in best_rows(bm25.scores(subject.name), MOST_DEFINING):
            chunk = self._index.chunks[row]
            gained = HEADS * subject.share_of(_last_heading(chunk))
            gained += DEFINES if subject.is_defined_in(chunk.text) else 0.0
            if gained and row in holding:
                found[row] = max(gained, found.get(row, 0.0))
        return found

    def _find_described(self, name: str) -> Iterator[int]:
        """The passage at which the reference describes a name, and the one before it that says what it is."""
        card = self._index.reference.describe(name)
        row = self._index.chunks.find(card.place.chunk_id) if card else None
        if card is None or row is None:
            return
        yield row
        said = card.description[:SAID_AT_LEAST]
        before = self._index.chunks[row - 1] if row and said else None
        if before and before.path == card.place.path and said in " ".join(before.text.split()):
            yield row - 1

    def _find(self, text: str, wordings: list[Embedded]) -> _Asked:
        """The candidates for a question or a clause."""
        count = self._settings.candidates
        cosines = [dict(zip(*self._index.dense.search(one.vector, count), strict=True)) for one in wordings]
        bm25 = self._widening.scores(text)
        rows = list(dict.fromkeys([*chain.from_iterable(cosines), *best_rows(bm25, count)]))
        return _Asked(wordings, rows, cosines, bm25)

    def _score(self, asked: _Asked, rows: Sequence[int], lates: list[list[float]]) -> _Scores:
        """The scores of passages for a question or a clause; `lates` are those by token for each wording."""
        share = self._widening.share
        cosines = [self._cosines(*one, rows) for one in zip(asked.wordings, asked.cosines, strict=True)]
        dense, late = (raise_scores(one[0], one[1:], share) for one in (cosines, lates))
        bm25 = [float(asked.bm25[row]) for row in rows]
        if not np.isfinite([dense, bm25, late]).all():
            raise IndexCorrupt(
                "the index holds numbers that are none, so that passages cannot be compared: build it again"
            )
        weights = (self._settings.dense_weight, self._settings.late_weight, self._settings.bm25_weight)
        return _Scores(mix_scores(list(zip(weights, (dense, late, bm25), strict=True))), dense, bm25, late)

    def _cosines(self, wording: Embedded, known: dict[int, float], rows: Sequence[int]) -> list[float]:
        """The cosine of each row, of which some are known."""
        others = [row for row in rows if row not in known]
        cosines = known | dict(zip(others, self._index.dense.scores(wording.vector, others), strict=True))
        return [cosines[row] for row in rows]


def _last_heading(chunk: Chunk) -> str:
    """The heading right above a passage; without one the title of its document."""
    return chunk.heading_path[-1] if chunk.heading_path else chunk.title
