"""serve.evaluation.asking.bootstrap against scipy's bootstrap, and what an interval must be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap

from serve.evaluation.asking.bootstrap import estimate_ratios

RNG = np.random.default_rng(5)


def test_a_mean_has_scipys_percentile_interval() -> None:
    values = (RNG.random((120, 1)) < 0.3).astype(np.float64)
    (ours,) = estimate_ratios(values, np.ones_like(values))
    theirs = bootstrap(
        (values[:, 0],), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.mean == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.low, abs=0.01)
    assert ours.high == pytest.approx(theirs.high, abs=0.01)


def test_a_ratio_of_sums_has_scipys_percentile_interval() -> None:
    counts = RNG.integers(1, 4, 150).astype(np.float64)
    sums = RNG.binomial(counts.astype(int), 0.4).astype(np.float64)
    (ours,) = estimate_ratios(sums[:, None], counts[:, None])

    def ratio(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(a.sum(axis=axis) / b.sum(axis=axis))

    theirs = bootstrap(
        (sums, counts), ratio, paired=True, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours.mean == pytest.approx(sums.sum() / counts.sum())
    assert ours.low == pytest.approx(theirs.low, abs=0.01)
    assert ours.high == pytest.approx(theirs.high, abs=0.01)


def test_items_are_drawn_whole_so_that_what_stands_together_widens_the_interval() -> None:
    together = np.repeat([[3.0], [0.0]], 40, axis=0)  # 80 prompts whose three instructions are all followed, or none
    alone = np.tile([[1.0], [0.0]], (120, 1))  # 240 prompts of one instruction
    (wide,) = estimate_ratios(together, np.full_like(together, 3.0))
    (narrow,) = estimate_ratios(alone, np.ones_like(alone))
    assert wide.mean == narrow.mean == 0.5
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)  # sqrt(3) in the limit


def test_the_same_input_has_the_same_interval_and_columns_see_the_same_draws() -> None:
    values = RNG.random((50, 1))
    first, second = estimate_ratios(np.hstack([values, values]), np.ones((50, 2)))
    (third,) = estimate_ratios(values, np.ones((50, 1)))
    assert first == second
    assert first.low == pytest.approx(third.low)


@pytest.mark.parametrize(
    ("sums", "counts"), [(np.zeros((0, 1)), np.zeros((0, 1))), (np.ones((2, 1)), np.array([[1.0], [0.0]]))]
)
def test_nothing_to_estimate_is_refused(sums: np.ndarray, counts: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be an item"):
        estimate_ratios(sums, counts)


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_an_interval_lies_between_the_least_and_the_greatest(flags: list[bool]) -> None:
    values = np.array(flags, dtype=np.float64)[:, None]
    (estimate,) = estimate_ratios(values, np.ones_like(values), resamples=200)
    assert values.min() <= estimate.low <= estimate.high <= values.max()
