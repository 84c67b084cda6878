"""A quote: a literal piece of a found passage with its place.

It imports no search, so that whoever words or counts quotes needs none.

    Quote(1, "sentence", chunk.text[0:40], 0, 40)
    quotes, hits = show_passages(quotes, hits, [3, 1])  # the third passage is number 1 now
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rag.answering.units import UnitKind
from rag.documents import Hit
from rag.passages import Span


@dataclass(frozen=True, slots=True)
class Quote:
    """`text[start:end]` of the passage of hit `number`, counted from 1.

    `context` is what a reader needs to understand it.
    """

    number: int
    kind: UnitKind
    text: str
    start: int
    end: int
    context: tuple[Span, ...] = ()


def show_passages(
    quotes: Sequence[Quote], hits: Sequence[Hit], numbers: Sequence[int]
) -> tuple[tuple[Quote, ...], tuple[Hit, ...]]:
    """The quotes, and the passages with these numbers, which include all quoted ones: numbered from 1 as they stand."""
    renumbered = tuple(replace(quote, number=numbers.index(quote.number) + 1) for quote in quotes)
    return renumbered, tuple(hits[number - 1] for number in numbers)
