"""rag.search.fusion: the weighted mean of scores relative to their best, by hand and by its properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.search.fusion import mix_scores, raise_scores

# Numbers below the least normal one have fewer digits than the comparisons ask for.
SCORES = st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=5, max_size=5)
WEIGHTS = st.floats(0.1, 10)


def test_each_part_counts_relative_to_its_best_and_by_its_weight() -> None:
    mixed = mix_scores([(1.0, [0.2, 0.4, 0.0]), (3.0, [30.0, 10.0, 0.0])])
    assert mixed.tolist() == pytest.approx([(1 * 0.5 + 3 * 1.0) / 4, (1 * 1.0 + 3 / 3) / 4, 0.0])


def test_a_part_that_says_nothing_has_no_weight() -> None:
    assert mix_scores([(1.0, [0.5, 1.0]), (9.0, [0.0, 0.0])]).tolist() == [0.5, 1.0]
    assert mix_scores([(9.0, [-1.0, 0.0])]).tolist() == [0.0, 0.0]


def test_a_part_of_weight_zero_changes_nothing() -> None:
    assert mix_scores([(1.0, [0.5, 1.0]), (0.0, [7.0, 1.0])]).tolist() == [0.5, 1.0]


def test_without_passages_or_parts_there_is_nothing() -> None:
    assert mix_scores([(1.0, []), (1.0, [])]).shape == mix_scores([]).shape == (0,)


def test_a_cosine_below_zero_counts_against_a_passage() -> None:
    assert mix_scores([(1.0, [0.5, -0.5]), (1.0, [1.0, 1.0])]).tolist() == [1.0, 0.0]


@given(SCORES, SCORES, WEIGHTS, WEIGHTS)
def test_mixed_scores_lie_between_nothing_and_one(
    first: list[float], second: list[float], left: float, right: float
) -> None:
    mixed = mix_scores([(left, first), (right, second)])
    assert mixed.shape == (5,)
    assert np.all(mixed >= 0)
    assert np.all(mixed <= 1 + 1e-9)


@given(SCORES, WEIGHTS, st.floats(1e-3, 1e3))
def test_the_unit_of_a_score_does_not_matter(scores: list[float], weight: float, unit: float) -> None:
    other = [5.0, 4.0, 3.0, 2.0, 1.0]
    mixed = mix_scores([(weight, scores), (1.0, other)])
    np.testing.assert_allclose(
        mix_scores([(weight, [score * unit for score in scores]), (1.0, other)]), mixed, rtol=1e-9, atol=1e-12
    )


@given(SCORES, SCORES)
def test_a_passage_that_is_better_in_every_part_is_better(first: list[float], second: list[float]) -> None:
    mixed = mix_scores([(1.0, [*first, max(first) + 1]), (1.0, [*second, max(second) + 1])])
    assert mixed[5] == max(mixed)


def test_a_score_is_raised_by_a_share_and_never_lowered() -> None:
    assert raise_scores([0.2, 0.6], [[0.6, 0.2]], 0.5) == pytest.approx([0.4, 0.6])
    assert raise_scores([0.2, 0.6], [], 0.5) == [0.2, 0.6]
