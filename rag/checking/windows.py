"""Passages as evidence: windows in which a sentence may find support, with clauses, facts and tokens. Judges nothing.

A window is a unit that a person would quote with what introduces it, two sentences that follow each other, or a short
paragraph.

    [source] = read_sources(hits[:1], retriever)
    source.windows[0].pieces[0].facts.names
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rag.answering.units import cut_units
from rag.checking.facts import Facts, find_facts, words_of
from rag.documents import Chunk, Hit, describe_place
from rag.index.bm25 import tokenize
from rag.passages import Span
from rag.search.retriever import Tokens

PARAGRAPH = 6  # sentences at most of a paragraph that is a window as a whole

_CLAUSE_END = re.compile(r"[;:.!?](?=\s)|,\s|\s(?:and|but|while|whereas|although)\s|\n")
_SENTENCE_END = re.compile(r"[;.!?](?=\s)")
_LINE_END = re.compile(r"\n")
_ENDS = {
    "sentence": _CLAUSE_END,
    "item": _SENTENCE_END,
    "definition": _SENTENCE_END,
    "row": _LINE_END,
    "code": _LINE_END,
}
_WORD = re.compile(r"[^\W\d_]+")
_PLAIN = re.compile(r"-{0,2}[\w$]+(?:[.:/'-]\w+)*|[%<>=!]+")


class TokenReader(Protocol):
    """What the check needs of a `rag.search.retriever.Retriever`."""

    def tokens_of(self, chunk: Chunk) -> Tokens:
        """A passage's tokens as the index keeps them."""

    def read_tokens(self, text: str) -> Tokens:
        """A text's tokens.

        Raises EmbedderUnavailable.
        """


@dataclass(frozen=True, slots=True)
class Piece:
    """A clause: terms, words in lower case, facts, words as code may write them, and its tokens' rows."""

    terms: frozenset[str]
    words: frozenset[str]
    facts: Facts
    literals: frozenset[str]
    rows: NDArray[np.int64]

    def held(self, anchors: frozenset[str]) -> frozenset[str]:
        """Which of the names and numbers stand in it."""
        return anchors & (self.facts.names | self.facts.numbers | self.literals)


@dataclass(frozen=True, slots=True)
class Window:
    """`text[start:end]` of a passage in clauses, and what introduces it: headings, a lead-in, the header of a table."""

    start: int
    end: int
    pieces: tuple[Piece, ...]
    context: Piece
    plain: str

    def says(self, text: str) -> bool:
        """Whether the very words of a text stand in it, one after the other."""
        return plain_words(text) in self.plain


@dataclass(frozen=True)
class Source:
    """A passage that an answer may stand on, `number` as in `[number]`."""

    number: int
    text: str
    place: str
    tokens: Tokens

    @cached_property
    def facts(self) -> Facts:
        """What the passage and its place hold."""
        return find_facts(f"{self.place}\n{self.text}")

    @cached_property
    def literals(self) -> frozenset[str]:
        """Its words as they may stand in code signs."""
        return words_of(f"{self.place}\n{self.text}")

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """What of it may support a sentence."""
        return tuple(_cut_windows(self))

    def holds(self, facts: Facts) -> bool:
        """Whether all names and numbers of a sentence stand in it, and its units."""
        own = self.facts
        return (
            facts.names <= own.names
            and facts.literals <= self.literals
            and facts.numbers <= own.numbers
            and facts.units <= own.units
        )


def read_sources(hits: Sequence[Hit], reader: TokenReader) -> list[Source]:
    """The passages as evidence, numbered from 1."""
    return [
        Source(
            number, hit.chunk.text, describe_place(hit.chunk.title, hit.chunk.heading_path), reader.tokens_of(hit.chunk)
        )
        for number, hit in enumerate(hits, start=1)
    ]


def plain_words(text: str) -> str:
    """The words, names and numbers of a text in lower case with a blank on either side.

    Code signs, emphasis and stops are left out.
    """
    return f" {' '.join(_PLAIN.findall(text.lower()))} "


def words_in(text: str) -> frozenset[str]:
    """The words of a text in small letters, without names and numbers."""
    return frozenset(word.lower() for word in _WORD.findall(text))


def _cut_windows(source: Source) -> Iterator[Window]:
    units = cut_units(source.text)
    for unit in units:
        yield _window(source, unit.start, unit.end, unit.context, _ENDS[unit.kind])

    for _, group in groupby((unit for unit in units if unit.kind == "sentence"), key=lambda unit: unit.block):
        sentences = list(group)
        if len(sentences) > 2:
            for one, other in pairwise(sentences):
                yield _window(source, one.start, other.end, one.context, _CLAUSE_END)
        if 2 <= len(sentences) <= PARAGRAPH:
            yield _window(source, sentences[0].start, sentences[-1].end, sentences[0].context, _CLAUSE_END)


def _window(source: Source, start: int, end: int, context: Sequence[Span], ends: re.Pattern[str]) -> Window:
    cuts = [start, *(found.end() for found in ends.finditer(source.text, start, end)), end]
    pieces = [_piece(source, [span]) for span in pairwise(cuts) if source.text[slice(*span)].strip()]
    return Window(start, end, tuple(pieces), _piece(source, context, source.place), plain_words(source.text[start:end]))


def _piece(source: Source, spans: Sequence[Span], place: str = "") -> Piece:
    """What stands in some spans of the text, and in the passage's place where that is given."""
    places = source.tokens.places
    inside = places[:, 0] < (0 if place else -len(source.place) - 2)
    for start, end in spans:
        inside = inside | ((places[:, 0] >= start) & (places[:, 1] <= end))
    text = "\n".join([place, *(source.text[start:end] for start, end in spans)])
    return Piece(frozenset(tokenize(text)), words_in(text), find_facts(text), words_of(text), np.flatnonzero(inside))
