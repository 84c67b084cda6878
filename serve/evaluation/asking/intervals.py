"""Means with their 95 % intervals. Pure mathematics: numbers in, numbers out.

It does not know what the numbers measure. Rows are the sampling units: questions, prompts, conversations. For the
interval of a share see `rag.search.metrics.estimate_share`.

    estimate_means(values)  # shape (rows, columns): one Estimate per column; of two systems give the differences
    estimate_ratios(followed, asked)  # both of shape (prompts, columns): sum(followed) / sum(asked) per column
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rag.search.metrics import Estimate

Values = NDArray[np.float64]
Counts = NDArray[np.int64]

RESAMPLES = 10_000
SEED = 20261124  # any fixed number: the same input has the same interval
LEVEL = 0.95
_SLAB = 1000  # resamples drawn at once: 8 MB for a thousand rows


def estimate_means(values: Values, resamples: int = RESAMPLES, seed: int = SEED) -> list[Estimate]:
    """The mean of each column of `values`, shape (rows, columns), with its 95 % percentile bootstrap interval."""
    return estimate_ratios(values, np.ones((len(values), 1)), resamples, seed)


def estimate_ratios(sums: Values, counts: Values, resamples: int = RESAMPLES, seed: int = SEED) -> list[Estimate]:
    """Per column sum(sums) / sum(counts) with its percentile bootstrap interval; both of shape (rows, columns).

    Rows are drawn whole, with all that belongs to them: several instructions of one prompt stand or fall together, and
    drawing them one by one would make the interval too narrow. Efron & Tibshirani, "An Introduction to the Bootstrap",
    1993, ch. 8 and 13. All columns, and all calls with as many rows, see the same draws, so that they compare (a paired
    bootstrap). If all rows agree the interval has no width, which overstates what a few rows can show.

    Raises ValueError: there is no row, or a row has a count of zero.
    """
    if len(sums) == 0 or np.any(counts <= 0):
        raise ValueError("there must be an item, and each must count")
    ratios = [(times @ sums) / (times @ counts) for times in _draw(len(sums), resamples, seed)]
    lows, highs = _cut_tails(np.concatenate(ratios))
    means = sums.sum(axis=0) / counts.sum(axis=0)
    return [Estimate(float(mean), float(low), float(high)) for mean, low, high in zip(means, lows, highs, strict=True)]


def estimate_ratio(sums: Values, counts: Values) -> Estimate:
    """sum(sums) / sum(counts) by the draws of `estimate_ratios`; both of shape (rows,), and a count may be <= 0.

    Draws without any count say nothing and are left out. For tables of hundreds of intervals: it keeps the draws.
    """
    times = _draw_all(len(sums))
    drawn = times @ counts
    low, high = _cut_tails((times @ sums)[drawn != 0] / drawn[drawn != 0])
    return Estimate(float(sums.sum() / counts.sum()), float(low), float(high))


def _draw(rows: int, resamples: int, seed: int) -> Iterator[Counts]:
    """How often each row is drawn in each resample; yields slabs of shape (resamples, rows)."""
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, _SLAB):
        # As many draws as there are rows, with replacement, are one multinomial draw
        yield rng.multinomial(rows, np.full(rows, 1.0 / rows), size=min(_SLAB, resamples - start))


@lru_cache(maxsize=8)  # a table has hundreds of intervals over a handful of numbers of rows
def _draw_all(rows: int) -> Values:
    """All draws at once, of shape (RESAMPLES, rows)."""
    return np.concatenate(list(_draw(rows, RESAMPLES, SEED))).astype(np.float64)


def _cut_tails(ratios: Values) -> Values:
    """The ends of the interval that holds LEVEL of the resamples, per column."""
    tail = (1.0 - LEVEL) / 2
    ends: Values = np.quantile(ratios, [tail, 1.0 - tail], axis=0)
    return ends
