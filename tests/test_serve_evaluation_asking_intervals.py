"""serve.evaluation.asking.intervals against scipy's bootstrap, and what an interval must be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap

from serve.evaluation.asking.intervals import estimate_means, estimate_ratio, estimate_ratios

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


def test_the_bootstrap_interval_is_scipys_within_its_noise() -> None:
    values = np.random.default_rng(7).beta(2, 1, size=(60, 1))
    (mine,) = estimate_means(values)
    theirs = bootstrap(
        (values[:, 0],), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert mine.mean == pytest.approx(values.mean())
    # A quantile of 10,000 resamples has a standard error of about 0.003 here for a width of 0.12.
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=0.006)


def test_equal_values_have_an_interval_of_no_width_and_equal_input_equal_intervals() -> None:
    (constant,) = estimate_means(np.full((5, 1), 0.25))
    assert (constant.mean, constant.low, constant.high) == (0.25, 0.25, 0.25)
    values = np.random.default_rng(3).random((20, 2))
    assert estimate_means(values) == estimate_means(values)
    assert estimate_means(values, seed=1) != estimate_means(values, seed=2)


def test_columns_see_the_same_draws_so_that_a_constant_difference_has_no_width() -> None:
    before = np.random.default_rng(5).random(30)
    (left, right, difference) = estimate_means(np.stack([before + 0.1, before, np.full(30, 0.1)], axis=1))
    assert left.low - right.low == pytest.approx(0.1)
    assert (difference.low, difference.high) == pytest.approx((0.1, 0.1))


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30))
def test_with_one_answer_each_a_ratio_has_the_interval_of_a_mean(numbers: list[float]) -> None:
    values = np.array(numbers, dtype=np.float64)
    (expected,) = estimate_means(values[:, np.newaxis])
    found = estimate_ratio(values, np.ones_like(values))
    assert (found.mean, found.low, found.high) == pytest.approx((expected.mean, expected.low, expected.high), abs=1e-12)


def test_an_interval_is_that_of_all_possible_draws() -> None:
    totals, counts = np.array([0.0, 1.0, 2.0, 3.0]), np.array([2.0, 1.0, 2.0, 5.0])
    draws = [list(draw) for draw in itertools.product(range(4), repeat=4)]
    ratios = np.array([totals[draw].sum() / counts[draw].sum() for draw in draws])
    found = estimate_ratio(totals, counts)
    assert found.mean == 0.6
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(ratios, [0.025, 0.975])), abs=0.03)


def test_the_same_input_has_the_published_interval_whichever_function_is_asked() -> None:
    values = np.array([0.0, 1.0, 0.5, 0.25, 1.0, 0.0, 0.75])
    (mean,) = estimate_means(values[:, np.newaxis])
    (ratio,) = estimate_ratios(values[:, np.newaxis], np.ones((7, 1)))
    assert mean == ratio == estimate_ratio(values, np.ones(7))
    assert (mean.mean, mean.low, mean.high) == (0.5, 0.21428571428571427, 0.7857142857142857)


def test_draws_without_any_count_are_left_out() -> None:
    found = estimate_ratio(np.array([1.0, 0.0, 1.0]), np.array([1.0, 0.0, 1.0]))
    assert (found.mean, found.low, found.high) == (1.0, 1.0, 1.0)
