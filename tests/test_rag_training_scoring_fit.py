"""Whether the best units of a question hold what answers it: counted in words, and by coefficients fitted to others."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.answering.evidence import MOST_WORDS
from rag.answering.scoring import Traits
from rag.training.relevance_fit import FOLDS
from rag.training.scoring_fit import READ, Judged, as_rows, cross_validate, is_found, is_whole
from tests.rows import for_each

WIDTH = len(Traits._fields)


def judged(words: list[int], answers: list[bool]) -> Judged:
    return Judged([(0.0,) * (WIDTH + READ) for _ in words], words, answers)


@for_each(
    ("scores", "words", "answers", "found", "whole"),
    [
        ([], [], [], False, True),
        ([1.0], [5], [True], True, True),
        ([1.0], [5], [False], False, True),
        ([2.0, 1.0], [MOST_WORDS, 1], [False, True], False, False),  # no word is left for the second
        ([2.0, 1.0], [MOST_WORDS - 1, 99], [False, True], True, True),  # one word is left, so it is taken
        ([1.0, 2.0], [MOST_WORDS, 1], [False, True], True, True),
        ([2.0, 1.0], [MOST_WORDS, 1], [True, True], True, False),
        ([1.0, 1.0], [MOST_WORDS, 1], [True, False], True, True),  # of equal scores the first comes first
        ([1.0, 1.0], [MOST_WORDS, 1], [False, True], False, False),
    ],
)
def test_the_best_units_are_taken_while_a_word_is_left(
    scores: list[float], words: list[int], answers: list[bool], found: bool, whole: bool
) -> None:
    assert is_found(scores, judged(words, answers)) is found
    assert is_whole(scores, judged(words, answers)) is whole


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(-9, 9), st.integers(0, 300), st.booleans()), min_size=1, max_size=6))
def test_all_answers_found_means_one_found_and_more_score_never_hurts(
    units: list[tuple[float, int, bool]],
) -> None:
    scores, words, answers = (list(column) for column in zip(*units, strict=True))
    one = judged(words, answers)
    if any(answers) and is_whole(scores, one):
        assert is_found(scores, one)
    best = [100.0 if answer else score for score, answer in zip(scores, answers, strict=True)]
    assert is_found(best, one) is any(answers)
    if is_whole(scores, one):
        assert is_whole(best, one) or sum(word for word, answer in zip(words, answers, strict=True) if answer) > 0


def test_rows_have_a_leading_one_and_what_was_read_only_where_it_is_asked_for() -> None:
    traits = [tuple(float(n) for n in range(WIDTH + READ)), tuple(float(-n) for n in range(WIDTH + READ))]
    one = Judged(traits, [1, 2], [True, False])
    features, answers = as_rows([one, one], is_read=False)
    assert features.shape == (4, WIDTH + 1)
    assert features[:, 0].tolist() == [1.0] * 4
    assert features[0, 1:].tolist() == list(traits[0][:WIDTH])
    assert answers.tolist() == [1.0, 0.0, 1.0, 0.0]
    features, _ = as_rows([one], is_read=True)
    assert features[0, -READ:].tolist() == list(traits[0][-READ:])


def questions(count: int, sign: float) -> list[Judged]:
    """Questions of ten long units, of which the one whose first trait is largest (or smallest) answers."""
    dice = random.Random(0)
    made = []
    for _ in range(count):
        values = [dice.random() for _ in range(10)]
        best = max(values, key=lambda value: sign * value)
        traits = [(value, *(0.0 for _ in range(WIDTH + READ - 1))) for value in values]
        made.append(Judged(traits, [MOST_WORDS] * 10, [value == best for value in values]))
    return made


@for_each("sign", [1.0, -1.0])
def test_what_decides_in_all_questions_is_learnt_from_the_others(sign: float) -> None:
    assert cross_validate(questions(40, sign), is_read=False) == {"found": 1.0, "whole": 1.0}


def test_a_question_is_judged_by_what_did_not_see_it() -> None:
    # One question against all others: its own fold learnt the opposite of what it would need
    against = [*questions(FOLDS * 6 - 1, 1.0), *questions(1, -1.0)]
    found = cross_validate(against, is_read=False)
    assert found["found"] == found["whole"] == (len(against) - 1) / len(against)


def test_what_is_validated_depends_on_the_seed_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    noisy = [
        Judged(
            [tuple(row) for row in rng.normal(size=(6, WIDTH + READ))], [MOST_WORDS] * 6, [n % 6 == k for k in range(6)]
        )
        for n in range(30)
    ]
    assert cross_validate(noisy, is_read=True, seed=1) == cross_validate(noisy, is_read=True, seed=1)
    assert len({str(cross_validate(noisy, is_read=False, seed=seed)) for seed in range(5)}) > 1
