"""A reading that says of a passage and its pieces what a test gives it; no model is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rag.embedding.passage_reader import Head, Reading

_HEAD = Head(np.zeros((1, 1), np.float32), np.zeros(1, np.float32), np.zeros(1, np.float32), 0.0)
_NO_STATES = np.zeros((0, 1), np.float32)


class GivenReading(Reading):
    """A passage with these odds, whose pieces have the odds that `piece` gives for their first character."""

    _piece: Callable[[int], float]

    def __init__(self, passage: float, piece: Callable[[int], float] = lambda start: 0.0) -> None:
        super().__init__(passage, _HEAD, _NO_STATES, _NO_STATES, np.zeros(0, np.int64))
        object.__setattr__(self, "_piece", piece)

    def pieces(self, spans: Sequence[tuple[int, int]]) -> list[float]:
        return [self._piece(start) for start, _ in spans]
