"""serve.evaluation.asking.question_file: every bad line of a file is reported, by its number and with what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rag.errors import QuestionsUnusable
from serve.evaluation.asking.question_file import field_of, read_lines


def parse(row: dict[str, Any]) -> tuple[int | str, str]:
    return field_of(row, "id", int, str), field_of(row, "text", str)


def read(path: Path, content: str | bytes) -> dict[int | str, tuple[int | str, str]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_lines(path, parse, key=lambda item: item[0])


def test_items_come_by_key_in_the_order_of_the_file(tmp_path: Path) -> None:
    # A byte order mark, Windows' ends, a separator in a text
    content = '\ufeff{"id": 2, "text": "b\\u2028"}\r\n\n{"id": "one", "text": "ä\u2028"}'
    assert read(tmp_path / "q.jsonl", content) == {2: (2, "b\u2028"), "one": ("one", "ä\u2028")}


def test_every_bad_line_is_reported(tmp_path: Path) -> None:
    lines = ['{"id": 1, "text": "a"}', "{", "[1]", '{"id": 1, "text": "b"}', '{"id": true, "text": "c"}', '{"id": 3}']
    with pytest.raises(QuestionsUnusable) as caught:
        read(tmp_path / "q.jsonl", "\n".join(lines))
    first, *others = str(caught.value).split("; ")
    assert others == [
        "line 3: not a JSON object",
        "line 4: the key 1 stands in an earlier line too",
        'line 5: "id" is not a whole number or text',
        'line 6: "text" is missing',
    ]
    assert first.startswith(f"{tmp_path / 'q.jsonl'}: line 2: not JSON (")
    assert "\n" not in str(caught.value)


def test_many_bad_lines_are_counted(tmp_path: Path) -> None:
    with pytest.raises(QuestionsUnusable) as caught:
        read(tmp_path / "q.jsonl", "{\n" * 9)
    problems = str(caught.value).split("; ")
    assert len(problems) == 6
    assert problems[-1] == "and 4 more lines"


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_a_file_without_a_question_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(QuestionsUnusable, match="it holds no question"):
        read(tmp_path / "q.jsonl", content)


def test_half_a_character_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QuestionsUnusable, match="line 1: half a character"):
        read(tmp_path / "q.jsonl", '{"id": 1, "text": "\\ud800"}')


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QuestionsUnusable, match="cannot be read"):
        read(tmp_path / "q.jsonl", b"\xff\xfe")
    with pytest.raises(QuestionsUnusable, match="cannot be read \\(No such file"):
        read_lines(tmp_path / "absent", parse, key=lambda item: item[0])
