"""Scores of answers from their likelihoods, and a writer whose tensors are a model's memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merge.arithmetic.dtypes import BFLOAT16, FLOAT16, FLOAT32, DType
from merge.errors import SearchImpossible
from merge.training.training_data import Example
from merge.tuning.likelihood import InPlace, score_answers
from merge.tuning.questions import Question
from tests.rows import for_each


def question(answers: int, right: int = 0) -> Question:
    return Question("q", "chip", "p", tuple(map(str, range(answers))), right)


def score(question: Question, likelihoods: list[float], learnt: int = 1) -> float:
    (found,) = score_answers([question], [Example((1, 2), learnt) for _ in likelihoods], likelihoods)
    return found


@for_each(
    ("answers", "right", "likelihoods", "expected"),
    [
        (2, 0, [-1.0, -1.0], math.log(1 / 2)),
        (4, 3, [-7.0] * 4, math.log(1 / 4)),
        (2, 0, [0.0, -1000.0], 0.0),
        (2, 1, [0.0, -1000.0], -1000.0),
        (2, 0, [-5000.0, -5001.0], -math.log(1 + math.exp(-1))),  # far below what exp can hold
        (3, 1, [math.log(0.2), math.log(0.5), math.log(0.3)], math.log(0.5)),
        (2, 0, [-1.0, -math.inf], 0.0),  # a wrong answer may be impossible
    ],
)
def test_of_several_answers_the_right_ones_share_counts(
    answers: int, right: int, likelihoods: list[float], expected: float
) -> None:
    assert score(question(answers, right), likelihoods) == pytest.approx(expected)


@for_each(("learnt", "expected"), [(1, -6.0), (2, -3.0), (6, -1.0)])
def test_one_answer_alone_counts_by_token(learnt: int, expected: float) -> None:
    assert score(question(1), [-6.0], learnt) == expected


@for_each(
    ("right", "likelihoods"),
    [(0, [-math.inf, -1.0]), (0, [math.nan, -1.0]), (1, [math.nan, -1.0]), (0, [-math.inf, -math.inf])],
)
def test_an_answer_that_is_impossible_stops_the_search(right: int, likelihoods: list[float]) -> None:
    with pytest.raises(SearchImpossible, match=r"its logits are not finite\. Look at the parents"):
        score(question(2, right), likelihoods)


@settings(max_examples=50)
@given(st.lists(st.floats(-500, 0), min_size=2, max_size=6), st.floats(-200, 0))
def test_shares_of_all_answers_add_up_to_one_and_a_common_factor_does_not_count(
    likelihoods: list[float], factor: float
) -> None:
    count = len(likelihoods)
    scores = [score(question(count, right), likelihoods) for right in range(count)]
    assert math.fsum(map(math.exp, scores)) == pytest.approx(1)
    assert max(scores) <= 1e-9
    moved = [score(question(count, right), [value + factor for value in likelihoods]) for right in range(count)]
    assert moved == pytest.approx(scores, abs=1e-9)


def test_each_question_takes_its_own_answers_in_turn() -> None:
    questions = [question(2), question(1), question(3, 2)]
    examples = [Example((1,), 2)] * 6
    found = score_answers(questions, examples, [-1.0, -2.0, -8.0, -3.0, -3.0, -3.0])
    assert found == pytest.approx([-math.log(1 + math.exp(-1)), -4.0, math.log(1 / 3)])
    assert score_answers([], [], []) == []
    with pytest.raises(ValueError, match="argument"):
        score_answers(questions, examples, [-1.0])


@for_each(
    ("dtype", "memory"),
    [
        (BFLOAT16, torch.bfloat16),
        (FLOAT16, torch.float16),
        (FLOAT32, torch.float32),
        (BFLOAT16, torch.float32),
    ],
)
def test_pieces_are_put_where_they_belong_in_a_models_memory(dtype: DType, memory: torch.dtype) -> None:
    weight = torch.zeros(3, 4, dtype=memory)
    values = np.arange(12, dtype=np.float32).astype(dtype)
    writer = InPlace({"w": weight})
    for start in (8, 0, 4):
        raw = writer.write("w", start, values[start : start + 4].copy())
        assert bytes(raw) == values[start : start + 4].tobytes()
    assert weight.float().tolist() == np.arange(12.0).reshape(3, 4).tolist()


def test_a_piece_changes_nothing_beside_itself() -> None:
    weight = torch.full((6,), 9.0)
    InPlace({"w": weight}).write("w", 2, np.zeros(2, FLOAT32))
    InPlace({"w": weight}).write("w", 5, np.empty(0, FLOAT32))
    assert weight.tolist() == [9, 9, 0, 0, 9, 9]
    with pytest.raises(KeyError):
        InPlace({"w": weight}).write("other", 0, np.zeros(1, FLOAT32))
