"""Means with their 95 % bootstrap intervals. Pure mathematics: numbers in, numbers out.

What the numbers measure is for others to know.

    estimate_ratios(followed, asked)  # shapes (prompts, columns): one Estimate per column
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

RESAMPLES = 10_000
SEED = 20261124  # any fixed number: the same input has the same interval
LEVEL = 0.95
_SLAB = 1000  # resamples drawn at once: 8 MB for a thousand items


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


def estimate_ratios(sums: Values, counts: Values, resamples: int = RESAMPLES, seed: int = SEED) -> list[Estimate]:
    """Per column sum(sums) / sum(counts) with its percentile bootstrap interval over the rows; both of shape (items,
    columns).

    Items are drawn whole, with all that belongs to them: several instructions of one prompt stand or fall together, and
    to draw them one by one would make the interval too narrow. Efron & Tibshirani, "An Introduction to the Bootstrap",
    1993, ch. 8 and 13. With counts of 1 it is the mean's interval. All columns, and all calls with as many items, see
    the same draws, so that they compare. Where all items agree the interval has no width, which overstates what a few
    items can tell.

    Raises ValueError where there is no item, or an item of a count of zero.
    """
    if len(sums) == 0 or np.any(counts <= 0):
        raise ValueError("there must be an item, and each must count")
    rng = np.random.default_rng(seed)
    ratios = []
    for start in range(0, resamples, _SLAB):
        # How often each item is drawn: a row of as many draws as there are items is one multinomial draw.
        times = rng.multinomial(len(sums), np.full(len(sums), 1.0 / len(sums)), size=min(_SLAB, resamples - start))
        ratios.append((times @ sums) / (times @ counts))
    tail = (1.0 - LEVEL) / 2
    lows, highs = np.quantile(np.concatenate(ratios), [tail, 1.0 - tail], axis=0)
    means = sums.sum(axis=0) / counts.sum(axis=0)
    return [Estimate(float(mean), float(low), float(high)) for mean, low, high in zip(means, lows, highs, strict=True)]
