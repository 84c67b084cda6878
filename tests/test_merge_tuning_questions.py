"""The questions that a lam is chosen by: what a line may be, what is refused, and how they are halved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from merge.errors import QuestionsUnusable
from merge.tuning.questions import GOALS, Question, parse_question, read_questions, split_questions
from tests.rows import for_each

ROOT = Path(__file__).parent.parent
USER = [{"role": "user", "content": "say it"}]


@for_each(
    ("row", "question"),
    [
        (
            {"id": 1, "question": " what? ", "choices": ["a", "b"], "answer": 1, "domain": "any"},
            Question("1", "chip", "Question: what?\nAnswer:", (" a", " b"), 1),
        ),
        (
            {"id": "x", "goal": "chat", "messages": USER, "answer": "it", "rejected": ["no"]},
            Question("x", "chat", tuple(USER), ("it", "no"), 0),
        ),
        ({"id": "y", "messages": USER, "answer": "it"}, Question("y", "chip", tuple(USER), ("it",), 0)),
    ],
)
def test_a_line_is_a_question(row: dict[str, Any], question: Question) -> None:
    assert parse_question(row) == question


@for_each(
    ("row", "problem"),
    [
        ([], "is not an object with an id"),
        ({"id": 1, "goal": "both"}, "goal is 'both'"),
        ({"id": 1}, "either a question or messages"),
        ({"id": 1, "question": "a", "messages": USER}, "either a question or messages"),
        ({"id": 1, "question": " "}, "question is ' ', not a text"),
        ({"id": 1, "messages": []}, "messages is not a list"),
        ({"id": 1, "messages": [{"role": "user"}]}, "content is None"),
        ({"id": 1, "question": "a", "choices": ["b"], "answer": 0}, "not the index of one of two or more"),
        ({"id": 1, "question": "a", "choices": ["b", "c"], "answer": 2}, "not the index"),
        ({"id": 1, "question": "a", "choices": ["b", "c"], "answer": True}, "not the index"),
        ({"id": 1, "question": "a", "choices": ["b", "b"], "answer": 0}, "stands twice"),
        ({"id": 1, "question": "a", "choices": ["b", 3], "answer": 0}, "not a list of texts"),
        ({"id": 1, "question": "a"}, "answer is None, not a text"),
        ({"id": 1, "question": "a", "answer": "b", "rejected": "c"}, "not a list of texts"),
    ],
)
def test_a_line_that_is_none_says_why(row: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_question(row)


def test_all_wrong_lines_are_named(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    good = json.dumps({"id": 1, "question": "a", "answer": "b"})
    path.write_text(f"{good}\n\n{{\n{good}\n[]\n")
    with pytest.raises(QuestionsUnusable) as caught:
        read_questions([path])
    assert [f"q.jsonl:{n}: " in str(caught.value) for n in (1, 3, 4, 5)] == [False, True, True, True]
    with pytest.raises(QuestionsUnusable, match="cannot be read"):
        read_questions([tmp_path / "no.jsonl"])


def test_each_goal_is_halved_by_its_ids_and_the_seed_alone() -> None:
    questions = [
        Question(str(n), goal, "p", ("a",)) for goal, count in (("chip", 13), ("chat", 10)) for n in range(count)
    ]
    chosen_by, held_out = split_questions(questions, seed=1)
    assert [sum(q.goal == goal for q in part) for part in (chosen_by, held_out) for goal in ("chip", "chat")] == [
        7,
        5,
        6,
        5,
    ]
    assert sorted(map(repr, [*chosen_by, *held_out])) == sorted(map(repr, questions))
    assert split_questions(questions[::-1], seed=1) == (chosen_by, held_out)
    assert split_questions(questions, seed=2) != (chosen_by, held_out)
    with pytest.raises(QuestionsUnusable, match="the goal chat has 9 questions, and at least 10"):
        split_questions(questions[:-1], seed=1)


def test_the_questions_that_ship_are_whole_and_none_is_measured_with() -> None:
    questions = read_questions([ROOT / "data/training/lam.jsonl"])
    assert [sum(question.goal == goal for question in questions) for goal in GOALS] == [120, 80]
    asked = {
        message["content"] for question in questions for message in question.prompt if not isinstance(message, str)
    }
    rows = (ROOT / "data/training/questions.jsonl").read_text(encoding="utf-8").splitlines()
    chip = {json.loads(row)["question"] for row in rows} & asked
    assert len(chip) == 120  # they are questions of our own that training holds out, and so stand clear of the measured
    assert all(len(question.answers) > 1 for question in questions if question.goal == "chat")
