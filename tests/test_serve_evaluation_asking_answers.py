"""serve.evaluation.asking.answers on real files: what is kept is found again, a file of something else is refused."""

from __future__ import annotations

import json
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.evaluation.asking.answers import AnswersFile, read_answers, read_rows
from serve.evaluation.errors import AnswersUnusable
from tests.rows import for_each

KIND = "answers of a test"
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
    ("change", "problem"),
    [
        ({"max_tokens": 9}, "of other settings (max_tokens was 5 and is 9): name another file with --answers"),
        (
            {"model": {"model_id": "other", "root": None}},
            "model was {'model_id': 'demo', 'root': None} and is {'model_id': 'other', 'root': None}",
        ),
        ({"temperature": 0, "max_tokens": 9}, "(max_tokens was 5 and is 9, temperature was None and is 0)"),
    ],
)
def test_answers_of_other_settings_are_refused_and_left_alone(
    tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    path = tmp_path / "a.jsonl"
    fill(path, 1)
    before = path.read_bytes()
    with pytest.raises(AnswersUnusable) as caught:
        open_file(path, SETTINGS | change)
    assert problem in str(caught.value)
    assert path.read_bytes() == before


@for_each("kind", ["", KIND])
@for_each(
    "content",
    [
        b"a note",
        b"a note\n",
        b'{"id": 1}\n',
        b'{"file": "other", "settings": {}}\n',
        b'{"file": "answers of a test", "settings": []}\n',
        b"[]\n",
        b"\xff\xfe\n",
        b"\n",
    ],
)
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path, content: bytes, kind: str) -> None:
    path = tmp_path / "note.txt"
    path.write_bytes(content)
    problem = r"note\.txt is not a file of answers .*: name another file with --answers"
    with pytest.raises(AnswersUnusable, match=problem):
        AnswersFile.open(path, SETTINGS, key="id", kind=kind)
    with pytest.raises(AnswersUnusable, match=problem):
        read_answers(path, key="id", kind=kind)
    assert path.read_bytes() == content


def test_a_file_of_one_kind_names_it_before_its_settings_and_is_none_of_another(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for text in ("first", "second"):
        with AnswersFile.open(path, SETTINGS, key="id", kind=KIND) as answers:
            answers.keep({"id": 1, "text": text})
    assert json.loads(path.read_text().splitlines()[0]) == {"file": KIND, "settings": SETTINGS}
    with pytest.raises(AnswersUnusable, match=r"max_tokens was 5 and is 9"):
        AnswersFile.open(path, SETTINGS | {"max_tokens": 9}, key="id", kind=KIND)
    with pytest.raises(AnswersUnusable, match="not a file of answers"):
        open_file(path)


def test_without_a_file_answers_are_held_for_the_run() -> None:
    with AnswersFile.open(None, SETTINGS, key="id") as answers:
        answers.keep({"id": 1})
        assert answers.rows == {1: {"id": 1}}


@pytest.mark.parametrize("kind", ["", KIND])
def test_another_run_reads_settings_and_whole_answers_of_which_the_last_count(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.jsonl"
    with AnswersFile.open(path, SETTINGS, key="id", kind=kind) as answers:
        for key, text in ((2, "a"), (1, "b"), (2, "c")):
            answers.keep({"id": key, "text": text})
    with path.open("ab") as file:
        file.write(b'{"id": 3, "te')
    assert read_answers(path, key="id", kind=kind) == (SETTINGS, [{"id": 2, "text": "c"}, {"id": 1, "text": "b"}])
    assert [row["text"] for row in read_rows(path)] == ["a", "b", "c"]
    with pytest.raises(AnswersUnusable, match="cannot be read"):
        read_answers(tmp_path / "none.jsonl", key="id")


@for_each("line", ["no json", "[]", "3", '{"text": "x"}', '{"id": [1]}'])
def test_a_damaged_line_is_reported_by_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.jsonl"
    fill(path, 1)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(AnswersUnusable, match="line 3, is not an answer"):
        open_file(path)
    with pytest.raises(AnswersUnusable, match="line 3, is not an answer"):
        read_answers(path, key="id")


def test_a_line_that_the_evaluation_takes_for_no_answer_is_reported_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    fill(path, 1, 2)
    with pytest.raises(AnswersUnusable, match="line 2, is not an answer"):
        AnswersFile.open(path, SETTINGS, key="id", check=itemgetter("text", "ms"))


def test_a_file_in_use_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with open_file(path), pytest.raises(AnswersUnusable, match="in use by another run"):
        open_file(path)
    open_file(path).__exit__(None, None, None)


def test_a_place_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
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
