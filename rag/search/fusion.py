"""Several scores of the same passages as one. Pure mathematics.

Each score becomes a standard score: how many standard deviations a passage lies above the mean of all. So a cosine and
a BM25 score compare, and a score counts by how clearly it separates passages, not by its largest value. They are
averaged with weights: a convex combination, which loses less than ranks do (Bruch, Gai, Ingber, "An analysis of fusion
functions for hybrid retrieval", TOIS 2023, who compare normalisations too).

    mix_scores([(0.2, cosines), (1.0, late), (0.25, bm25)])
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
FLAT = 1e-9  # a spread, relative to the largest score, that is rounding alone


def mix_scores(parts: Sequence[tuple[float, Sequence[float]]]) -> Scores:
    """The weighted mean of several scores in standard deviations, shape (passages,); 0 is an average passage.

    Each part is a weight and a score of every passage. A part whose scores are all equal says nothing and has no
    weight.
    """
    count = len(parts[0][1]) if parts else 0
    total, weights = np.zeros(count), 0.0
    for weight, scores in parts:
        values = np.asarray(scores, dtype=np.float64)
        if count and (spread := float(values.std())) > FLAT * float(np.abs(values).max()):
            total += weight * (values - values.mean()) / spread
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
