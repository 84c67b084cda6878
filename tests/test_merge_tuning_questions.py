"""The questions that a lam is chosen by: what a line may be, what is refused, and how they are halved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    assert "q.jsonl:3: is not JSON (Expecting property name" in str(caught.value)
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


@for_each(
    ("row", "answers", "right"),
    [
        ({"id": 1, "question": "a", "answer": "größe"}, (" größe",), 0),
        ({"id": 1, "question": "a", "answer": "b", "rejected": []}, (" b",), 0),
        ({"id": 1, "question": "a", "choices": ["x", "y", "z"], "answer": 2}, (" x", " y", " z"), 2),
        ({"id": 1, "messages": USER, "choices": ["x", "y"], "answer": 0}, ("x", "y"), 0),
        ({"id": None, "question": "a", "answer": "b", "choices": None}, (" b",), 0),
    ],
)
def test_answers_stand_in_their_order_after_a_blank_where_a_text_is_asked(
    row: dict[str, Any], answers: tuple[str, ...], right: int
) -> None:
    found = parse_question(row)
    assert (found.answers, found.right) == (answers, right)


@for_each(
    ("row", "problem"),
    [
        ({"id": 1, "goal": None, "question": "a", "answer": "b"}, "goal is None"),
        ({"id": 1, "goal": ["chip"], "question": "a", "answer": "b"}, "goal is"),
        ({"id": 1, "messages": "hello", "answer": "b"}, "messages is not a list of objects"),
        ({"id": 1, "messages": [{"role": "user", "content": "x"}, 5], "answer": "b"}, "messages is not a list"),
        ({"id": 1, "messages": [{"role": 5, "content": "x"}], "answer": "b"}, "role is 5, not a text"),
        ({"id": 1, "question": "a", "choices": "bc", "answer": 0}, "not the index"),
        ({"id": 1, "question": "a", "choices": ["b", "c"], "answer": -1}, "not the index"),
        ({"id": 1, "question": "a", "choices": ["b", "c"], "answer": 1.0}, "not the index"),
        ({"id": 1, "question": "a", "choices": ["b", " "], "answer": 0}, "not a list of texts"),
        ({"id": 1, "question": "a", "answer": "b", "rejected": [["c"]]}, "not a list of texts"),
        ({"id": 1, "question": "a", "answer": "b", "rejected": ["b"]}, "stands twice"),
        ({"id": 1, "question": "a", "answer": 5}, "answer is 5, not a text"),
        ("text", "is not an object with an id"),
        (None, "is not an object with an id"),
        ({"ID": 1}, "is not an object with an id"),
    ],
)
def test_values_of_other_types_are_named_and_never_read_as_something_else(row: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_question(row)


def test_what_messages_hold_beside_role_and_content_is_left_out() -> None:
    row = {"id": 1, "messages": [{"role": "user", "content": "x", "name": "n", "tool_calls": []}], "answer": "b"}
    assert parse_question(row).prompt == ({"role": "user", "content": "x"},)


def test_an_id_may_stand_once_in_all_files_whether_as_number_or_text(tmp_path: Path) -> None:
    one, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    one.write_text(json.dumps({"id": 1, "question": "a", "answer": "b"}))
    other.write_text(json.dumps({"id": "1", "question": "c", "answer": "d"}))
    with pytest.raises(QuestionsUnusable, match=r"b\.jsonl:1: the id '1' stands twice"):
        read_questions([one, other])


def test_line_ends_of_every_kind_within_texts_and_after_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    rows = [{"id": n, "question": f"a\u2028b\x85{n}", "answer": "c\nd"} for n in range(2)]
    path.write_bytes("\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode() + b"\r\n \n")
    found = read_questions([path])
    assert [question.key for question in found] == ["0", "1"]
    assert found[1].prompt == "Question: a\u2028b\x851\nAnswer:"
    assert read_questions([]) == []
    path.write_bytes(b"")
    assert read_questions([path]) == []


@for_each("raw", [b"\xff\xfe", b"{" * 100_000, b"[" * 100_000, b"NaN", b'"x"', b"5"])
def test_bytes_that_are_not_questions_are_one_printable_line(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "q.jsonl").write_bytes(raw)
    with pytest.raises(QuestionsUnusable) as caught:
        read_questions([tmp_path / "q.jsonl"])
    assert str(caught.value).isprintable()
    assert "q.jsonl" in str(caught.value)


@settings(max_examples=50)
@given(st.integers(10, 40), st.integers(10, 40), st.integers(0, 9))
def test_halves_share_nothing_lose_nothing_and_differ_by_one_at_most(chips: int, chats: int, seed: int) -> None:
    questions = [
        Question(f"{goal}{n}", goal, "p", ("a",))
        for goal, count in (("chip", chips), ("chat", chats))
        for n in range(count)
    ]
    parts = split_questions(questions, seed)
    keys = [[question.key for question in part] for part in parts]
    assert sorted(keys[0] + keys[1]) == sorted(question.key for question in questions)
    for goal in GOALS:
        counts = [sum(question.goal == goal for question in part) for part in parts]
        assert counts[0] - counts[1] in (0, 1)


def test_one_more_question_moves_at_most_one_other_to_the_other_half() -> None:
    questions = [Question(str(n), goal, "p", ("a",)) for goal in GOALS for n in range(20)]
    before, _ = split_questions(questions, seed=3)
    after, _ = split_questions([*questions, Question("new", "chip", "p", ("a",))], seed=3)
    moved = {question.key for question in before if question.goal == "chip"} ^ {
        question.key for question in after if question.goal == "chip" and question.key != "new"
    }
    assert len(moved) <= 1
    assert [q for q in before if q.goal == "chat"] == [q for q in after if q.goal == "chat"]
