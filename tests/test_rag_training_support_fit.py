"""The fit of the check of sentences: the weakest clause decides, in its best window; and its figures are right."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.checking.support import Traits
from rag.training.support_fit import Labelled, cross_validate, describe, fit, judge, standardise
from tests.rows import for_each

WIDTH = len(Traits._fields) + 1
Rows = NDArray[np.float64]


def windows(*odds: float) -> Rows:
    """Windows that have these odds by ONE."""
    rows = np.zeros((len(odds), WIDTH))
    rows[:, 0] = 1.0
    rows[:, 1] = odds
    return rows


ONE = np.eye(WIDTH)[1]


@for_each(
    ("clauses", "odds"),
    [
        ([[1.0]], 1.0),
        ([[1.0, 3.0, 2.0]], 3.0),
        ([[1.0, 3.0], [2.0]], 2.0),
        ([[-1.0], [-5.0, -4.0]], -4.0),
        ([[2.0], [2.0]], 2.0),
    ],
)
def test_a_sentence_is_as_strong_as_its_weakest_clause_in_its_best_window(
    clauses: list[list[float]], odds: float
) -> None:
    found = judge([windows(*each) for each in clauses], ONE)
    assert found is not None
    assert found[0] == odds
    assert found[1][1] == odds


def test_a_sentence_without_clauses_or_windows_has_no_odds() -> None:
    assert judge([], ONE) is None
    assert judge([windows(1.0), windows()], ONE) is None


def test_features_get_mean_zero_and_spread_one_and_the_leading_one_stays() -> None:
    rng = np.random.default_rng(0)
    raw = [[np.column_stack([np.ones(4), rng.normal(3, 2, (4, WIDTH - 1))]) for _ in range(2)] for _ in range(3)]
    for clauses in raw:
        for each in clauses:
            each[:, 5] = 7.0  # the same everywhere
    scaled, mean, spread = standardise(raw)
    everything = np.concatenate([each for clauses in scaled for each in clauses])
    assert everything[:, 0].tolist() == [1.0] * 24
    assert everything[:, 1:].mean(axis=0) == pytest.approx(np.zeros(WIDTH - 1), abs=1e-12)
    others = np.delete(everything, [0, 5], axis=1)
    assert others.std(axis=0) == pytest.approx(np.ones(WIDTH - 2))
    assert everything[:, 5].tolist() == [0.0] * 24
    assert (mean[0], spread[0], mean[5], spread[5]) == (0.0, 1.0, 7.0, 1.0)
    assert scaled[1][0] * spread + mean == pytest.approx(raw[1][0])


def labelled(count: int) -> tuple[list[Labelled], list[list[Rows]]]:
    """Sentences, two a line, of which the right ones have larger odds."""
    rng = np.random.default_rng(0)
    sentences, features = [], []
    for number in range(count):
        is_right = number % 2 == 0
        sentences.append(Labelled(number // 2, f"s{number}", "kind", is_right, ()))
        features.append([windows(*rng.normal(1.0 if is_right else -1.0, 0.3, 3))])
    return sentences, features


def test_what_separates_right_from_wrong_is_learnt_and_holds_for_unseen_lines() -> None:
    sentences, features = labelled(60)
    is_right = np.array([float(one.is_right) for one in sentences])
    assert fit(features, is_right)[1] > 0.5
    probabilities = cross_validate(features, sentences, seed=0)
    assert [bool(value > 0.5) for value in probabilities] == [one.is_right for one in sentences]
    assert np.array_equal(probabilities, cross_validate(features, sentences, seed=0))


def test_a_sentence_that_nothing_holds_is_not_supported() -> None:
    sentences, features = labelled(40)
    features[0] = []
    features[1] = [windows()]
    assert cross_validate(features, sentences, seed=1)[:2].tolist() == [0.0, 0.0]


def test_precision_and_recall_are_those_that_are_counted_by_hand() -> None:
    truth = [True, True, True, False, False, True]
    says = [0.9, 0.5, 0.1, 0.6, 0.2, 0.8]
    sentences = [Labelled(number, "s", "k", right, ()) for number, right in enumerate(truth)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some draws hold right sentences alone
        report = describe(np.array(says), sentences, 0.5)
    assert report["threshold"] == 0.5
    assert [report[key][0] for key in report if key != "threshold"] == [0.75, 0.75, 0.5, 0.5]
    for key, (mean, low, high) in ((key, value) for key, value in report.items() if key != "threshold"):
        assert low <= mean <= high, key


def test_lines_are_drawn_whole_so_that_sentences_of_one_line_count_together() -> None:
    sentences = [Labelled(number % 2, "s", "k", number < 4, ()) for number in range(8)]
    perfect = np.array([1.0 if one.is_right else 0.0 for one in sentences])
    report = describe(perfect, sentences, 0.5)
    assert [report[key] for key in report if key != "threshold"] == [[1.0, 1.0, 1.0]] * 4
