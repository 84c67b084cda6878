"""rag.search.metrics against values worked out by hand, scikit-learn's measures and scipy's intervals."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score

from rag.search.metrics import (
    estimate_share,
    find_ranks,
    judge_decision,
    measure_question,
    ndcg_at,
    recall_at,
    reciprocal_rank,
    tabulate_reliability,
)
from tests.rows import for_each

DEPTH = 20
RANKS = st.lists(st.integers(1, DEPTH), min_size=1, max_size=8, unique=True)
LOST = st.integers(0, 3)  # wanted passages that were not found


def as_labels(ranks: Sequence[int]) -> tuple[list[list[int]], list[list[int]]]:
    """Ranks as scikit-learn wants them: relevance and score of each hit, in the order of the ranking."""
    return [[int(rank in ranks) for rank in range(1, DEPTH + 1)]], [list(range(DEPTH, 0, -1))]


def test_ranks_are_those_of_the_first_hit_that_stands_for_a_passage() -> None:
    assert find_ranks(["a", "b", "c", "d"], [{"c"}, {"d", "b"}, {"x"}]) == [3, 2, None]
    assert find_ranks([], [{"a"}]) == [None]


@for_each(("k", "recall"), [(1, 0.0), (2, 1 / 3), (6, 1 / 3), (7, 2 / 3), (20, 2 / 3)])
def test_recall_is_the_share_of_wanted_passages_that_were_found(k: int, recall: float) -> None:
    assert recall_at([2, None, 7], k) == pytest.approx(recall)


def test_the_reciprocal_rank_is_that_of_the_first_found() -> None:
    assert reciprocal_rank([7, None, 4]) == 0.25
    assert reciprocal_rank([None]) == 0.0


def test_ndcg_worked_out_by_hand() -> None:
    # Found at 2 and 5 of three wanted: (1/log2 3 + 1/log2 6) / (1/log2 2 + 1/log2 3 + 1/log2 4) = 1.017782 / 2.130930
    assert ndcg_at([5, None, 2], 5) == pytest.approx(0.4776233, abs=1e-6)
    assert ndcg_at([6, None], 5) == 0.0
    assert ndcg_at([1, 2, 3, 4, 5, 6, 7], 5) == 1.0  # five places hold no more than five


def test_one_hit_for_two_wanted_passages_counts_once_in_ndcg() -> None:
    assert ndcg_at([1, 1], 5) == pytest.approx(1 / (1 + 1 / math.log2(3)))


@given(ranks=RANKS)
def test_ndcg_is_that_of_scikit_learn(ranks: list[int]) -> None:
    assert ndcg_at(ranks, 5) == pytest.approx(float(ndcg_score(*as_labels(ranks), k=5)))


@given(rank=st.integers(1, DEPTH))
def test_the_reciprocal_rank_of_one_passage_is_scikit_learns_average_precision(rank: int) -> None:
    assert reciprocal_rank([rank]) == pytest.approx(float(label_ranking_average_precision_score(*as_labels([rank]))))


@given(ranks=RANKS, lost=LOST)
def test_recall_grows_with_k_up_to_the_share_that_was_found(ranks: list[int], lost: int) -> None:
    found: list[int | None] = [*ranks, *[None] * lost]
    recalls = [recall_at(found, k) for k in range(1, DEPTH + 1)]
    assert recalls == sorted(recalls)
    assert recalls[-1] == len(ranks) / len(found)


@given(ranks=RANKS, lost=LOST)
def test_every_measure_lies_between_0_and_1_and_is_1_for_all_wanted_in_front(ranks: list[int], lost: int) -> None:
    assert all(0 <= value <= 1 for value in measure_question([*ranks, *[None] * lost]).values())
    perfect = measure_question(list(range(1, len(ranks) + 1)), cutoffs=(len(ranks),))
    assert all(value == pytest.approx(1.0) for value in perfect.values())


def test_the_measures_have_the_names_of_the_field() -> None:
    assert list(measure_question([1])) == [
        "recall@1",
        "recall@3",
        "recall@5",
        "recall@10",
        "recall@15",
        "recall@20",
        "MRR",
        "nDCG@5",
    ]


@for_each(("successes", "total"), [(0, 4), (3, 4), (4, 4), (57, 60), (1, 1)])
def test_the_interval_of_a_share_is_wilsons(successes: int, total: int) -> None:
    theirs = binomtest(successes, total).proportion_ci(method="wilson")
    mine = estimate_share(successes, total)
    assert mine is not None
    assert (mine.mean, mine.low, mine.high) == pytest.approx((successes / total, theirs.low, theirs.high))


def test_a_share_of_nothing_is_none() -> None:
    assert estimate_share(0, 0) is None


def test_the_decision_counts_what_was_said_and_what_should_have_been() -> None:
    answerable = [True, True, True, False, False, False]
    answered = [True, True, False, False, False, True]
    decision = judge_decision(answerable, answered)
    assert (decision.said_rightly, decision.said_wrongly, decision.missed, decision.answered_rightly) == (2, 1, 1, 2)
    assert decision.precision is not None
    assert decision.recall is not None
    assert (decision.precision.mean, decision.recall.mean) == pytest.approx((2 / 3, 2 / 3))


def test_a_decision_that_was_never_made_has_no_precision() -> None:
    decision = judge_decision([True, False], [True, True])
    assert decision.precision is None
    assert decision.recall is not None
    assert decision.recall.mean == 0.0


def test_without_an_unanswerable_question_there_is_neither_precision_nor_recall() -> None:
    decision = judge_decision([True, True], [True, False])
    assert (decision.precision, decision.recall, decision.said_wrongly) == (None, None, 1)


def test_reliability_groups_questions_by_rising_score() -> None:
    scores = [0.9, 0.1, 0.5, 0.3, 0.7]
    low, high = tabulate_reliability(scores, [True, False, True, False, False], [True, False, True, True, True], bins=2)
    assert dataclasses.astuple(low) == pytest.approx((0.1, 0.5, 3, 1 / 3, 2 / 3))
    assert dataclasses.astuple(high) == (0.7, 0.9, 2, 0.5, 1.0)


def test_fewer_questions_than_bins_make_fewer_bins() -> None:
    assert [item.questions for item in tabulate_reliability([0.2, 0.1], [True, True], [True, True])] == [1, 1]
