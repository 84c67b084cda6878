"""Selects the quotes that answer a question: literal pieces of the found passages with their places.

It writes no answer and asks no model for words. It scores units of all hits against the question, with what a reader
says of them where there is one (rag.answering.scoring), and takes them, best first, until some 220 words are quoted. A
sentence brings the code beside it, and code the words before it. Code and table rows stay whole; a text that several
passages hold is quoted once.

    hits = retriever.search(question, HITS_READ)
    quotes = select_quotes(question, hits, retriever)
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from rag.answering.quotes import Quote
from rag.answering.scoring import COEFFICIENTS, FEW_WORDS, READ_COEFFICIENTS, Passage, add_reading, log_odds, observe
from rag.answering.spelled_names import asks_for_name, holds_spelled_name
from rag.answering.units import Unit, cut_units
from rag.documents import Hit
from rag.embedding.passage_reader import Reading
from rag.index.bm25 import content_terms
from rag.reference.cards import Card, Reference
from rag.search.clauses import split_clauses
from rag.search.retriever import Comparison
from rag.words.definitions import Subject, find_subject

# Of all quotes together, unless one block is longer. Fewer words answer fewer questions whole, more are read less:
# docs/measurements/answers.md. The passage of the best quote comes first, so that the answer stands near the top.
MOST_WORDS = 220
OVERRUN = 1.15  # factor by which the last quote may exceed that
LONGEST_WORDS = 250  # of one unit: a longer block of code is a file, not a quote
SHORT_BLOCK = 60  # words of code that comes along with the words beside it, and of a table or list that stays whole
_STEP = re.compile(r"\s*(?:\d+|#)[.)]\s")  # of a numbered list: its steps are quoted from the first to the last
_DIAGRAM = re.compile(r"\s*(?:`{3,}|~{3,})\s*(?:mermaid|dot|graphviz|plantuml|wavedrom)\b")  # code of a picture
DEFINES = 4.0  # in log odds: what a unit gains that says what the question wants explained
SPELLED = 2.0  # the same for a unit with a name that is asked for and spelled in words
FAR_BEHIND = 4.0  # in log odds, behind the best unit: a unit so much less likely is not quoted


class Comparer(Protocol):
    """What a selection needs of a `rag.search.retriever.Retriever`."""

    @property
    def reference(self) -> Reference:
        """What the documents say of commands, variables and messages."""

    def compare(self, queries: Sequence[str], hits: Sequence[Hit]) -> list[list[Comparison]]:
        """Each question beside each passage, token by token."""

    def idf(self, terms: Iterable[str]) -> dict[str, float]:
        """What each term weighs."""

    def read(self, query: str, hits: Sequence[Hit]) -> list[Reading]:
        """The question read with each passage; none where there is no reader."""


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
        """What two units that say the same have in common: their letters, without blanks."""
        return " ".join(self.text.split()).lower()


def select_quotes(question: str, hits: Sequence[Hit], comparer: Comparer, most_words: int = MOST_WORDS) -> list[Quote]:
    """The quotes that answer the question; where no passage is read with it, also those for each of its clauses.

    The passage of the best quote comes first, and so on; within a passage they have the order of its text. `most_words`
    are those of all quotes together, unless one block is longer.

    Raises EmptyQuery.
    """
    candidates = [one for number, hit in enumerate(hits, start=1) for one in _candidates(number, hit)]
    readings = comparer.read(question, hits)
    questions = [question] if readings else [question, *split_clauses(question)]
    compared = comparer.compare(questions, hits)
    spelled = [_find_spelled(asked, candidates) for asked in questions]
    rankings = [
        _rank(*asked, candidates, hits, comparer, readings) for asked in zip(questions, compared, spelled, strict=True)
    ]

    subject = find_subject(question)
    card = comparer.reference.describe(subject.name) if subject and subject.is_exact else None
    first = _find_described(card, candidates, hits) if card else []
    chosen = _choose(candidates, rankings, first, spelled[0], most_words)
    places = {number: place for place, number in enumerate(dict.fromkeys(one.number for one in chosen))}
    chosen.sort(key=lambda one: (places[one.number], one.unit.start))
    return [
        Quote(one.number, one.unit.kind, one.text, one.unit.start, one.unit.end, one.unit.context) for one in chosen
    ]


def _candidates(number: int, hit: Hit) -> Iterator[_Candidate]:
    """What can be quoted of a hit: not a file of code or of a picture, and no lead-in without what it introduces."""
    for unit in cut_units(hit.chunk.text):
        one = _Candidate(number, unit, hit.chunk.text[unit.start : unit.end])
        if one.words <= LONGEST_WORDS and not one.text.rstrip().endswith(":") and not _DIAGRAM.match(one.text):
            yield one


def _rank(
    question: str,
    compared: Sequence[Comparison],
    spelled: Collection[int],
    candidates: Sequence[_Candidate],
    hits: Sequence[Hit],
    comparer: Comparer,
    readings: Sequence[Reading],
) -> list[tuple[float, int]]:
    """(score, row of the candidate), best first, for the question or one of its clauses."""
    idf = comparer.idf(content_terms(question))
    coefficients = READ_COEFFICIENTS if readings else COEFFICIENTS
    subject = find_subject(question)
    scored: list[tuple[float, int]] = []
    for number, (hit, comparison) in enumerate(zip(hits, compared, strict=True), start=1):
        rows = [row for row, one in enumerate(candidates) if one.number == number]
        units = [candidates[row].unit for row in rows]
        traits: list[tuple[float, ...]] = [*observe(idf, Passage(hit, number, comparison), units)]
        if readings:
            traits = add_reading(traits, readings[number - 1], units)
        gained = [
            DEFINES * bool(subject and _defines(subject, hit, candidates[row].unit)) + SPELLED * (row in spelled)
            for row in rows
        ]
        scored += [
            (log_odds(seen, coefficients) + more, row) for seen, more, row in zip(traits, gained, rows, strict=True)
        ]
    return sorted(scored, key=lambda pair: (-pair[0], pair[1]))


def _defines(subject: Subject, hit: Hit, unit: Unit) -> bool:
    """Whether a unit, with the header of its table, says what a subject is."""
    spans = (*((unit.header,) if unit.header else ()), (unit.start, unit.end))
    return subject.is_defined_in("\n".join(hit.chunk.text[start:end] for start, end in spans))


def _find_described(card: Card, candidates: Sequence[_Candidate], hits: Sequence[Hit]) -> list[int]:
    """The units of a card's description, then those of its place, a synopsis or a row."""
    said = " ".join(card.description.split()).lower()
    described = [row for row, one in enumerate(candidates) if one.words >= FEW_WORDS and one.key in said]
    ids = [hits[one.number - 1].chunk.chunk_id for one in candidates]
    start, end = card.place.start, card.place.end
    placed = [row for row, one in enumerate(candidates) if one.unit.start < end and one.unit.end > start]
    return described + [row for row in placed if ids[row] == card.place.chunk_id]


def _find_spelled(question: str, candidates: Sequence[_Candidate]) -> frozenset[int]:
    """The units with a name that the question asks for and spells in words."""
    rows = range(len(candidates)) if asks_for_name(question) else ()
    return frozenset(row for row in rows if holds_spelled_name(question, candidates[row].text))


def _choose(
    candidates: Sequence[_Candidate],
    rankings: Sequence[list[tuple[float, int]]],
    first: Sequence[int],
    spelled: Collection[int],
    most_words: int,
) -> list[_Candidate]:
    """`first`, the best unit of the whole question and of each clause, then the next best, while there is room.

    Those far behind are left out, except units with a name that is spelled in the question.

    Each comes with what belongs to it; what stands beside them in their paragraph fills the room that is left.
    """
    whole, *clauses = rankings
    best = whole[0][0] if whole else 0.0
    order = [*first, *(ranking[0][1] for ranking in (whole, *clauses) if ranking)]
    order += [row for value, row in whole if best - value <= FAR_BEHIND or row in spelled]

    selection = _Selection(candidates, most_words)
    for row in order:
        if selection.take(row):
            for other in _companions(candidates, row):
                selection.take(other)
    for row in list(selection.rows):
        for other in (row + 1, row - 1):
            if 0 <= other < len(candidates) and _share_block(candidates[row], candidates[other]):
                selection.take(other)
    return [candidates[row] for row in selection.rows]


class _Selection:
    """Units that are taken while there is room, no text twice."""

    def __init__(self, candidates: Sequence[_Candidate], most_words: int) -> None:
        self.rows: list[int] = []
        self._candidates = candidates
        self._most_words = most_words
        self._keys: set[str] = set()
        self._words = 0

    def take(self, row: int) -> bool:
        """Take a unit; returns whether it is new and there was room."""
        one = self._candidates[row]
        is_too_much = bool(self.rows) and self._words + one.words > self._most_words * OVERRUN
        if one.key in self._keys or is_too_much or self._words >= self._most_words:
            return False
        self.rows.append(row)
        self._keys.add(one.key)
        self._words += one.words
        return True


def _companions(candidates: Sequence[_Candidate], row: int) -> Iterator[int]:
    """What belongs to a unit.

    Code brings the last sentence above it; words bring the short blocks of code right below and above; a row or an item
    brings the rest of its table or list, if that is short.
    """
    one = candidates[row]
    beside = [other for other, unit in enumerate(candidates) if _share_section(one, unit)]
    if one.unit.kind == "code":
        above = [other for other in beside if candidates[other].unit.block == one.unit.block - 1]
        yield from (other for other in above[-1:] if candidates[other].unit.kind == "sentence")
        return
    if one.unit.kind in ("row", "item"):
        block = [other for other in beside if candidates[other].unit.block == one.unit.block]
        most = MOST_WORDS if _STEP.match(one.text) else SHORT_BLOCK
        if sum(candidates[other].words for other in block) <= most:
            yield from block
    for number in (one.unit.block + 1, one.unit.block - 1):
        for other in beside:
            unit = candidates[other]
            if unit.unit.block == number and unit.unit.kind == "code" and unit.words <= SHORT_BLOCK:
                yield other


def _share_section(one: _Candidate, other: _Candidate) -> bool:
    """Whether two units stand under one heading of one passage."""
    return one.number == other.number and one.unit.heading == other.unit.heading


def _share_block(one: _Candidate, other: _Candidate) -> bool:
    """Whether two units stand in one paragraph, list, table or fence."""
    return _share_section(one, other) and one.unit.block == other.unit.block
