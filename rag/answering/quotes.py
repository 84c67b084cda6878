"""A quote: a literal piece of a found passage with its place.

It imports no search, so that whoever words or counts quotes needs none.

    Quote(1, "sentence", chunk.text[0:40], 0, 40)
"""

from __future__ import annotations

from dataclasses import dataclass

from rag.answering.units import UnitKind
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
