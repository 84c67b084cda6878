"""rag.search.fusion: the weighted mean of standard scores, by hand and by its properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.search.fusion import mix_scores, raise_scores

# Steps of a thousandth: differences of neighbouring floats would be rounding alone
SCORES = st.lists(st.integers(0, 10**6).map(lambda number: number / 1000), min_size=5, max_size=5)
WEIGHTS = st.floats(0.1, 10)


def test_each_part_counts_by_its_weight_and_in_standard_deviations() -> None:
    # Means 0.4 and 20; standard deviations sqrt(0.08 / 3) and 10 * sqrt(2 / 3)
    mixed = mix_scores([(1.0, [0.2, 0.4, 0.6]), (3.0, [30.0, 10.0, 20.0])])
    far = 1.5**0.5
    assert mixed.tolist() == pytest.approx([(-far + 3 * far) / 4, (0 - 3 * far) / 4, far / 4])


def test_a_part_that_says_nothing_has_no_weight() -> None:
    assert mix_scores([(1.0, [0.5, 1.0]), (9.0, [0.3, 0.3])]).tolist() == [-1.0, 1.0]
    assert mix_scores([(9.0, [0.7, 0.7])]).tolist() == [0.0, 0.0]


def test_a_part_of_weight_zero_changes_nothing() -> None:
    assert mix_scores([(1.0, [0.5, 1.0]), (0.0, [7.0, 1.0])]).tolist() == [-1.0, 1.0]


def test_without_passages_or_parts_there_is_nothing() -> None:
    assert mix_scores([(1.0, []), (1.0, [])]).shape == mix_scores([]).shape == (0,)


def test_a_small_lead_among_equals_counts_less_than_a_clear_one() -> None:
    """What dividing by the largest score gets wrong: there 0.80 beside 0.78 counts as much as 8 beside 2."""
    narrow, clear = [0.78, 0.80, 0.60, 0.61, 0.59], [8.0, 2.0, 2.1, 1.9, 2.0]
    mixed = mix_scores([(1.0, narrow), (1.0, clear)])
    assert mixed.argmax() == 0


@given(SCORES, WEIGHTS, st.floats(1e-2, 1e2), st.floats(-10, 10))
def test_unit_and_origin_of_a_score_do_not_matter(
    scores: list[float], weight: float, unit: float, origin: float
) -> None:
    other = [5.0, 4.0, 3.0, 2.0, 1.0]
    mixed = mix_scores([(weight, scores), (1.0, other)])
    moved = mix_scores([(weight, [score * unit + origin for score in scores]), (1.0, other)])
    np.testing.assert_allclose(moved, mixed, rtol=1e-6, atol=1e-6)


@given(SCORES, SCORES, WEIGHTS, WEIGHTS)
def test_mixed_scores_have_the_mean_zero(first: list[float], second: list[float], left: float, right: float) -> None:
    mixed = mix_scores([(left, first), (right, second)])
    assert mixed.shape == (5,)
    assert abs(mixed.mean()) < 1e-6


@given(SCORES, SCORES)
def test_a_passage_that_is_better_in_every_part_is_better(first: list[float], second: list[float]) -> None:
    mixed = mix_scores([(1.0, [*first, max(first) + 1]), (1.0, [*second, max(second) + 1])])
    assert mixed[5] == max(mixed)


def test_a_score_is_raised_by_a_share_and_never_lowered() -> None:
    assert raise_scores([0.2, 0.6], [[0.6, 0.2]], 0.5) == pytest.approx([0.4, 0.6])
    assert raise_scores([0.2, 0.6], [], 0.5) == [0.2, 0.6]
