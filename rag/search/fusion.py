"""Several scores of the same passages as one. Pure mathematics.

Each score is taken relative to its best passage, so that a cosine and a BM25 score compare, then averaged with weights:
a convex combination, which loses less than ranks do (Bruch, Gai, Ingber, "An analysis of fusion functions for hybrid
retrieval", TOIS 2023).

    mix_scores([(0.2, cosines), (1.0, late), (0.5, bm25)])
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


def mix_scores(parts: Sequence[tuple[float, Sequence[float]]]) -> Scores:
    """The weighted mean of several scores, shape (passages,).

    Each part is a weight and a score of every passage, of which 0 means nothing. A part is divided by its largest
    score. A part without a score above 0 says nothing and has no weight; so the best possible mean is 1.
    """
    count = len(parts[0][1]) if parts else 0
    total, weights = np.zeros(count), 0.0
    for weight, scores in parts:
        largest = max(scores, default=0.0)
        if largest > 0:
            total += weight * np.asarray(scores, dtype=np.float64) / largest
            weights += weight
    return total / weights if weights else total


def raise_scores(own: Sequence[float], others: Sequence[Sequence[float]], share: float) -> list[float]:
    """Scores of the same passages, each raised by a share of what the best other score is above it.

    No score is lowered: another wording of a question finds more, and speaks against nothing.
    """
    scores = np.asarray(own, dtype=np.float64)
    for other in others:
        scores = np.maximum(scores, scores + share * (np.asarray(other, dtype=np.float64) - scores))
    return [float(score) for score in scores]
