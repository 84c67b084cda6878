"""serve.evaluation.asking.answers on real files: what is kept is found again, and a file that is not this evaluation's is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merge.errors import AnswersUnusable
from serve.evaluation.asking.answers import AnswersFile

SETTINGS = {"evaluation": "mcq", "model": {"model_id": "demo", "root": None}, "max_tokens": 5}


def open_file(path: Path, settings: dict[str, Any] = SETTINGS) -> AnswersFile:
    return AnswersFile.open(path, settings, key="id")


def fill(path: Path, *keys: int | str) -> None:
    with open_file(path) as answers:
        for key in keys:
            answers.keep({"id": key, "text": f"answer {key}"})


def test_what_was_kept_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.jsonl"
    fill(path, 1, "two")
    with open_file(path) as answers:
        assert answers.rows == {1: {"id": 1, "text": "answer 1"}, "two": {"id": "two", "text": "answer two"}}
        answers.keep({"id": 3})
        assert list(answers.rows) == [1, "two", 3]
    assert json.loads(path.read_text().splitlines()[0]) == SETTINGS
    assert len(path.read_text().splitlines()) == 4


def test_every_answer_is_in_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with open_file(path) as answers:
        answers.keep({"id": 1})
        assert path.read_text().endswith('{"id": 1}\n')


def test_a_file_cut_at_any_byte_loses_one_answer_at_most(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jsonl"
    fill(whole, 1, 2, 3)
    content = whole.read_bytes()
    for length in range(len(content)):
        path = tmp_path / "cut.jsonl"
        path.write_bytes(content[:length])
        with open_file(path) as answers:
            complete = max(content[:length].count(b"\n") - 1, 0)
            assert list(answers.rows) == [1, 2, 3][:complete]
            answers.keep({"id": "new"})
        assert [json.loads(line).get("id") for line in path.read_text().splitlines()] == [
            None,
            *[1, 2, 3][:complete],
            "new",
        ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"max_tokens": 9}, "max_tokens 5, now 9"),
        (
            {"model": {"model_id": "other", "root": None}},
            "model {'model_id': 'demo', 'root': None}, now {'model_id': 'other', 'root': None}",
        ),
        ({"temperature": 0}, "temperature None, now 0"),
    ],
)
def test_answers_of_other_settings_are_refused_and_left_alone(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    path = tmp_path / "a.jsonl"
    fill(path, 1)
    before = path.read_bytes()
    with pytest.raises(AnswersUnusable) as caught:
        open_file(path, SETTINGS | change)
    assert told in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"a note", b"a note\n", b'{"id": 1}\n', b"[]\n", b"\xff\xfe\n", b"\n"])
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "note.txt"
    path.write_bytes(content)
    with pytest.raises(AnswersUnusable, match="name another"):
        open_file(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("line", ["no json", "[]", "3", '{"text": "x"}', '{"id": [1]}'])
def test_a_damaged_line_is_told_by_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.jsonl"
    fill(path, 1)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(AnswersUnusable, match="line 3, is no answer"):
        open_file(path)


def test_a_file_in_use_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with open_file(path), pytest.raises(AnswersUnusable, match="in use by another run"):
        open_file(path)
    open_file(path).__exit__(None, None, None)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "a.jsonl"):
        with pytest.raises(AnswersUnusable, match="cannot be written"):
            open_file(path)


@given(text=st.text(st.characters(exclude_categories=()), max_size=30))
def test_any_text_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("texts") / "a.jsonl"
    with open_file(path) as answers:
        answers.keep({"id": 1, "text": text})
    with open_file(path) as answers:
        assert answers.rows == {1: {"id": 1, "text": text}}
