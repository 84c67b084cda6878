"""serve.evaluation.answers.answer_questions: files of questions with facts, read and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rag.errors import QuestionsUnusable
from serve.evaluation.answers.answer_questions import read_answer_questions, select_questions

ROW: dict[str, Any] = {
    "id": "a-1",
    "question": "which command?",
    "kind": "look-up",
    "split": "open",
    "answerable": True,
    "facts": [["repair_antennas", "ripup"], [r"\bdiodes?\b"]],
    "forbidden": ["repair_design"],
    "sources": [{"collection": "notes", "path": "a.md", "evidence": "repair_antennas inserts diodes"}],
}
NOTHING: dict[str, Any] = {
    "id": "none-1",
    "question": "in another tool?",
    "kind": "unanswerable",
    "split": "closed",
    "answerable": False,
}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n\n" for row in rows))
    return path


def test_a_question_has_its_conversation_facts_and_claims(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "antennas?"}, {"role": "assistant", "content": "Yes."}]
    first, last = read_answer_questions(write(tmp_path / "q.jsonl", {**ROW, "messages": turns}, NOTHING))
    assert first.messages == [*turns, {"role": "user", "content": "which command?"}]
    assert first.asked == "antennas?\nYes.\nwhich command?"
    assert [len(alternatives) for alternatives in first.facts] == [2, 1]
    assert first.facts[1][0].search("One DIODE per gate")
    assert (last.answerable, last.facts, last.forbidden, last.split) == (False, (), (), "closed")


def test_every_bad_line_is_reported(tmp_path: Path) -> None:
    rows = [
        [],
        {**ROW, "id": ""},
        {**ROW, "split": "dev"},
        {**ROW, "facts": []},
        {**ROW, "answerable": False},
        {**ROW, "facts": ["plain"]},
        {**ROW, "facts": [["("]]},
        {**ROW, "forbidden": "no"},
        {**ROW, "messages": [{"role": "system", "content": "x"}]},
        ROW,
        ROW,
    ]
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{\n")
    with pytest.raises(QuestionsUnusable) as caught:
        read_answer_questions(path)
    message = str(caught.value)
    assert "line 1 is not a JSON object; " in message
    assert 'line 2 has no "id"; ' in message
    assert "line 3 has the split 'dev'" in message
    assert "line 4 is answerable, but has no facts; line 5 is not answerable, but has facts; " in message
    assert 'line 6 has "facts" whose items are not lists of patterns; ' in message
    assert 'line 7 has "facts" with a pattern that is none' in message
    assert 'line 8 has "forbidden" that is not a list; line 9 has "messages"' in message
    assert "line 12 is not JSON" in message
    assert message.endswith("the id 'a-1' is given twice: mend or remove these lines")


def test_a_file_that_is_missing_binary_or_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "empty").write_text("\n")
    for name in ("missing", "binary", "empty"):
        with pytest.raises(QuestionsUnusable):
            read_answer_questions(tmp_path / name)


def test_a_split_and_every_nth_of_it_are_selected(tmp_path: Path) -> None:
    rows = [{**ROW, "id": f"a-{number}"} for number in range(5)]
    questions = read_answer_questions(write(tmp_path / "q.jsonl", *rows, NOTHING))
    assert [question.id for question in select_questions(questions, "open", every=2)] == ["a-0", "a-2", "a-4"]
    assert [question.id for question in select_questions(questions, "closed")] == ["none-1"]
    assert len(select_questions(questions, "all")) == 6
    with pytest.raises(QuestionsUnusable, match="no question of the split 'closed'"):
        select_questions(questions[:5], "closed")
