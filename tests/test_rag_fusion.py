"""rag.fusion: reciprocal rank fusion by hand and by its properties."""

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.fusion import fuse_ranks

RANKINGS = st.lists(st.lists(st.integers(0, 30), unique=True, max_size=15), max_size=4)


def test_two_lists_by_hand() -> None:
    fused = fuse_ranks([[7, 3, 5], [3, 9]], k=60)
    assert [row for row, _ in fused] == [3, 7, 9, 5]
    assert fused[0][1] == pytest.approx(1 / 62 + 1 / 61)
    assert fused[3][1] == pytest.approx(1 / 63)


def test_nothing_fuses_to_nothing() -> None:
    assert fuse_ranks([]) == fuse_ranks([[], []]) == []


def test_a_repeated_row_counts_once_at_its_best_rank() -> None:
    assert fuse_ranks([[4, 4, 4, 2]]) == fuse_ranks([[4, 2]])


@given(RANKINGS)
def test_every_row_comes_once_and_scores_fall(rankings: list[list[int]]) -> None:
    fused = fuse_ranks(rankings)
    assert sorted(row for row, _ in fused) == sorted({row for ranking in rankings for row in ranking})
    assert all(left >= right for (_, left), (_, right) in pairwise(fused))


@given(st.lists(st.integers(0, 30), unique=True, max_size=15), st.integers(1, 100))
def test_one_list_keeps_its_order(ranking: list[int], k: int) -> None:
    assert [row for row, _ in fuse_ranks([ranking], k)] == ranking


@given(RANKINGS)
def test_the_order_of_the_lists_does_not_matter(rankings: list[list[int]]) -> None:
    forward, backward = dict(fuse_ranks(rankings)), dict(fuse_ranks(rankings[::-1]))
    assert forward.keys() == backward.keys()
    assert all(math.isclose(forward[row], backward[row]) for row in forward)


@given(st.lists(st.lists(st.integers(0, 9), unique=True, max_size=6), max_size=4), st.integers(1, 100))
def test_scores_are_those_of_the_paper(rankings: list[list[int]], k: int) -> None:
    """Cormack et al. 2009, in exact fractions."""
    rows = {row for ranking in rankings for row in ranking}
    exact = {row: sum((Fraction(1, k + ranking.index(row) + 1) for ranking in rankings if row in ranking), Fraction()) for row in rows}
    fused = fuse_ranks(rankings, k)
    assert {row for row, _ in fused} == set(exact)
    assert all(score == pytest.approx(float(exact[row]), rel=1e-12) for row, score in fused)


@given(st.lists(st.integers(0, 9), unique=True, min_size=2, max_size=6), st.integers(0, 4))
def test_a_row_that_rises_in_one_list_never_falls_in_the_fusion(ranking: list[int], place: int) -> None:
    place = min(place, len(ranking) - 2)
    risen = [*ranking[:place], ranking[place + 1], ranking[place], *ranking[place + 2 :]]
    row = ranking[place + 1]
    before, after = ([each for each, _ in fuse_ranks([lists, ranking])] for lists in (ranking, risen))
    assert after.index(row) <= before.index(row)
