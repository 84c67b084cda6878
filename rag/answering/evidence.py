"""The quotes that answer a question: literal pieces of the found passages with their places. It writes no answer and asks no model.

Units of all hits are scored against the question (rag.answering.scoring) and taken, best first, until some hundred words are quoted.
Code and table rows stay whole; a text that several passages hold is quoted once.

    hits = list(islice(retriever.rank(question), HITS_READ))
    quotes = select_quotes(question, hits, retriever)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from rag.answering.scoring import Passage, observe, score
from rag.answering.units import Unit, UnitKind, cut_units
from rag.bm25 import content_terms
from rag.clauses import split_clauses
from rag.documents import Hit
from rag.passages import Span
from rag.retriever import Comparison

HITS_READ = 8  # passages that a selection reads; a prompt holds three, and what answers stands among the next five in every tenth case
MOST_WORDS = 120  # of all quotes together, unless one block is longer; with 90 a twentieth fewer of our questions are answered whole
OVERRUN = 1.15  # by which the last quote may pass that
LONGEST_WORDS = 250  # of one unit: a longer block of code is a file, not a quote
FAR_BEHIND = 3.0  # in the logarithm of odds, behind the best unit: what is so much less likely is not quoted


class Comparer(Protocol):
    """What a selection needs of a `rag.retriever.Retriever`."""

    def compare(self, queries: Sequence[str], hits: Sequence[Hit]) -> list[list[Comparison]]:
        """Each question beside each passage, token by token."""

    def idf(self, terms: Iterable[str]) -> dict[str, float]:
        """What each term weighs."""


@dataclass(frozen=True, slots=True)
class Quote:
    """`text[start:end]` of the passage of hit `number`, counted from 1. `context` is what a reader needs to understand it."""

    number: int
    kind: UnitKind
    text: str
    start: int
    end: int
    context: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A unit of one hit."""

    number: int
    unit: Unit
    text: str

    @property
    def words(self) -> int:
        """How many words it has."""
        return len(self.text.split())

    @property
    def key(self) -> str:
        """What two units have in common that say the same, letter by letter but for blanks."""
        return " ".join(self.text.split()).lower()


def select_quotes(question: str, hits: Sequence[Hit], comparer: Comparer) -> list[Quote]:
    """The quotes that answer the question and each of its clauses, in the order of the hits and of their texts. Raises EmptyQuery."""
    candidates = [one for number, hit in enumerate(hits, start=1) for one in _candidates(number, hit)]
    questions = [question, *split_clauses(question)]
    compared = comparer.compare(questions, hits)
    rankings = [_rank(*asked, candidates, hits, comparer) for asked in zip(questions, compared, strict=True)]

    chosen = sorted(_choose(candidates, rankings), key=lambda one: (one.number, one.unit.start))
    return [
        Quote(one.number, one.unit.kind, one.text, one.unit.start, one.unit.end, one.unit.context) for one in chosen
    ]


def _candidates(number: int, hit: Hit) -> Iterator[_Candidate]:
    """What of a hit can be quoted: not a file of code, and no lead-in without what it leads to."""
    for unit in cut_units(hit.chunk.text):
        one = _Candidate(number, unit, hit.chunk.text[unit.start : unit.end])
        if one.words <= LONGEST_WORDS and not one.text.rstrip().endswith(":"):
            yield one


def _rank(
    question: str,
    compared: Sequence[Comparison],
    candidates: Sequence[_Candidate],
    hits: Sequence[Hit],
    comparer: Comparer,
) -> list[tuple[float, int]]:
    """(score, row of the candidate), best first, for the question or one of its clauses."""
    idf = comparer.idf(content_terms(question))
    scored: list[tuple[float, int]] = []
    for number, (hit, comparison) in enumerate(zip(hits, compared, strict=True), start=1):
        rows = [row for row, one in enumerate(candidates) if one.number == number]
        traits = observe(idf, Passage(hit, number, comparison), [candidates[row].unit for row in rows])
        scored += [(score(seen), row) for seen, row in zip(traits, rows, strict=True)]
    return sorted(scored, key=lambda pair: (-pair[0], pair[1]))


def _choose(candidates: Sequence[_Candidate], rankings: Sequence[list[tuple[float, int]]]) -> list[_Candidate]:
    """The best unit of the whole question and of each clause, then the next best of the whole, as far as there is room."""
    whole, *clauses = rankings
    best = whole[0][0] if whole else 0.0
    order = [ranking[0] for ranking in (whole, *clauses) if ranking]
    order += [(value, row) for value, row in whole if best - value <= FAR_BEHIND]

    chosen: dict[str, _Candidate] = {}
    words = 0
    for _, row in order:
        one = candidates[row]
        if one.key in chosen or (chosen and words + one.words > MOST_WORDS * OVERRUN):
            continue
        chosen[one.key] = one
        words += one.words
        if words >= MOST_WORDS:
            break
    return list(chosen.values())
