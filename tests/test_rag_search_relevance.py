"""rag.search.relevance and rag.training.relevance_fit: a probability that follows its evidence, and coefficients that
are found again.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.search.relevance import (
    BY_COSINE,
    BY_TOKEN,
    READ_BY_COSINE,
    READ_BY_TOKEN,
    READ_OF_FEW,
    Evidence,
    relevance,
    weigh_unknown,
)
from rag.training.relevance_fit import cross_validate, describe, fit, predict
from tests.rows import for_each

SHARES = st.floats(0, 1)
EVIDENCE = st.builds(Evidence, SHARES, SHARES, SHARES, st.integers(0, 40), SHARES, SHARES, SHARES, SHARES, SHARES)
# Each field, and whether more of it speaks for an answer
SIGNS = [
    ("similarity", True),
    ("coverage", True),
    ("terms", True),
    ("beside_name", True),
    ("unknown", False),
    ("unknown_name", False),
    ("foreign_tool", False),
    ("named", False),
    ("spread", False),
    ("unmet", False),
]


@pytest.mark.parametrize(("by_token", "coefficients"), [(True, BY_TOKEN), (False, BY_COSINE)])
def test_relevance_is_the_logistic_function_of_the_weighted_evidence(
    by_token: bool, coefficients: tuple[float, ...]
) -> None:
    evidence = Evidence(0.6, 0.7, 0.1, 4, 1.0, 1.0, 1.0, 0.2, 0.05, 0.3)
    values = (1, 0.6, 0.7, 0.1, math.log(5), 1, 1, 1, 0.2, 0.05, 0.3)
    logit = sum(value * coefficient for value, coefficient in zip(values, coefficients, strict=True))
    assert relevance(evidence, by_token=by_token) == pytest.approx(1 / (1 + math.exp(-logit)))


@for_each(
    ("by_token", "of_few", "coefficients"),
    [(True, False, READ_BY_TOKEN), (False, False, READ_BY_COSINE), (False, True, READ_OF_FEW)],
)
def test_what_was_read_counts_with_coefficients_of_its_own(
    by_token: bool, of_few: bool, coefficients: tuple[float, ...]
) -> None:
    evidence = Evidence(0.6, 0.7, 0.1, 4, 1.0, 1.0, 1.0, 0.2, 0.05, 0.3, 1.5)
    values = (1, 0.6, 0.7, 0.1, math.log(5), 1, 1, 1, 0.2, 0.05, 0.3, 1.5)
    logit = sum(value * coefficient for value, coefficient in zip(values, coefficients, strict=True))
    assert relevance(evidence, by_token=by_token, of_few=of_few) == pytest.approx(1 / (1 + math.exp(-logit)))


@for_each(("name", "is_for"), SIGNS)
@given(evidence=EVIDENCE, by_token=st.booleans(), more=st.floats(0.01, 0.5))
def test_what_speaks_for_an_answer_and_what_against(
    evidence: Evidence, by_token: bool, more: float, name: str, is_for: bool
) -> None:
    before = relevance(evidence, by_token=by_token)
    step = 1 if name == "terms" else more
    after = relevance(replace(evidence, **{name: getattr(evidence, name) + step}), by_token=by_token)
    assert before <= after <= 1 if is_for else 0 <= after <= before


def test_what_few_passages_lack_says_little() -> None:
    assert [weigh_unknown(passages) for passages in (0, 100, 300)] == [0.0, 0.5, 0.75]
    assert weigh_unknown(10_000) > 0.98


def questions_of(coefficients: list[float], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Random features, and answers drawn with the probabilities that the coefficients give them."""
    random = np.random.default_rng(0)
    features = np.column_stack([np.ones(count), random.normal(size=(count, len(coefficients) - 1))])
    return features, (random.random(count) < predict(features, np.array(coefficients))).astype(np.float64)


def test_coefficients_that_made_the_answers_are_found_again() -> None:
    features, answerable = questions_of([0.5, 2.0, -1.0], 20_000)
    assert fit(features, answerable) == pytest.approx([0.5, 2.0, -1.0], abs=0.1)


def test_a_weight_counts_as_so_many_questions() -> None:
    features, answerable = questions_of([0.5, 2.0, -1.0], 500)
    weights = (np.arange(500) % 3 + 1).astype(np.float64)
    repeated = np.repeat(np.arange(500), weights.astype(int))
    assert fit(features, answerable, weights) == pytest.approx(fit(features[repeated], answerable[repeated]))


def test_at_the_best_coefficients_the_mean_probability_is_the_share_of_answers() -> None:
    features, answerable = questions_of([1.0, -2.0], 500)
    assert predict(features, fit(features, answerable)).mean() == pytest.approx(answerable.mean(), abs=1e-3)


def test_questions_that_can_be_separated_leave_coefficients_finite() -> None:
    features = np.array([[1.0, value] for value in (-2.0, -1.0, 1.0, 2.0)])
    coefficients = fit(features, np.array([0.0, 0.0, 1.0, 1.0]))
    assert np.all(np.isfinite(coefficients))
    assert coefficients[1] > 1


def test_a_question_is_judged_by_coefficients_that_did_not_see_it() -> None:
    # Answers that are drawn without any look at the features: what was seen is fitted better than chance, what was not
    # seen is not.
    random = np.random.default_rng(1)
    features = np.column_stack([np.ones(60), random.normal(size=(60, 20))])
    answerable = (random.random(60) < 0.5).astype(np.float64)
    seen = np.mean((predict(features, fit(features, answerable)) >= 0.5) == answerable)
    unseen = np.mean((cross_validate(features, answerable) >= 0.5) == answerable)
    assert seen > 0.7
    assert unseen < 0.65


def test_the_description_has_coefficients_and_what_they_are_worth() -> None:
    evidence = [Evidence(similarity / 40, 0.5, 0.1, 3) for similarity in range(40)]
    described = describe(evidence, [each.similarity > 0.5 for each in evidence], 0.5)
    assert len(described["coefficients"]) == len(BY_TOKEN)
    assert described["coefficients"][1] > 0
    assert described["decision"]["precision"]["mean"] > 0.8
    assert 0 < described["log_loss"] < 0.7
