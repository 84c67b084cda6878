"""serve.evaluation.asking.qa_answers: real files that are torn, foreign, locked or of other settings."""

import json
from pathlib import Path

import pytest

from rag.errors import AnswersUnusable
from serve.evaluation.asking.qa_answers import Answer, AnswersFile, read_answers

SETTINGS = {"model": "m", "top_k": None, "max_tokens": 400}


def an_answer(number: int, text: str = "Größe: `set_wire_rc`\n🙂") -> Answer:
    return Answer(
        number,
        f"q{number}",
        "kind",
        "question?",
        "reference",
        text,
        "abc",
        ("Title > Heading",),
        1,
        True,
        "stop",
        9,
        3,
        12.5,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "answers.jsonl"
    with AnswersFile.open(path, SETTINGS) as file:
        assert file.kept == {}
        for number in (2, 1, 3):
            file.keep(an_answer(number))
    return path


def test_what_was_kept_is_read_back(path: Path) -> None:
    with AnswersFile.open(path, SETTINGS) as file:
        assert file.kept == {number: an_answer(number) for number in (1, 2, 3)}
    settings, answers = read_answers(path)
    assert settings == SETTINGS
    assert answers == [an_answer(2), an_answer(1), an_answer(3)]  # as they came
    assert [json.loads(line).get("number") for line in path.read_text().split("\n") if line] == [None, 2, 1, 3]


def test_without_a_file_answers_are_held_for_the_run() -> None:
    with AnswersFile.open(None, SETTINGS) as file:
        file.keep(an_answer(1))
        assert file.kept == {1: an_answer(1)}


def test_wherever_a_kill_cuts_the_file_off_whole_answers_are_kept_and_the_rest_is_written_anew(path: Path) -> None:
    whole = path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]
    for cut in [*range(0, len(whole), 7), *ends, ends[-1] - 5]:  # also amid a letter of several bytes
        path.write_bytes(whole[:cut])
        with AnswersFile.open(path, SETTINGS) as file:
            assert len(file.kept) == max(sum(end <= cut for end in ends) - 1, 0), cut
            for number in (2, 1, 3):
                if number not in file.kept:
                    file.keep(an_answer(number))
        assert path.read_bytes() == whole, cut


def test_a_file_of_other_settings_is_refused_with_both_values_and_stays_as_it_is(path: Path) -> None:
    before = path.read_bytes()
    with (
        pytest.raises(AnswersUnusable, match=r"other settings \(model was 'm' and is 'n', seed was None and is 1\)"),
        AnswersFile.open(path, {**SETTINGS, "model": "n", "seed": 1}),
    ):
        pass
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", ["notes", "notes\n", '{"a": 1}\n', '{"file": "other", "settings": {}}\n', "[]\n", "\xff\n"]
)
def test_a_file_that_is_no_file_of_answers_is_not_touched(tmp_path: Path, content: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(AnswersUnusable, match=r"notes\.txt is no file of answers"), AnswersFile.open(path, SETTINGS):
        pass
    with pytest.raises(AnswersUnusable, match="no file of answers"):
        read_answers(path)
    assert path.read_bytes() == content.encode("latin-1")


def test_two_runs_do_not_write_one_file(path: Path) -> None:
    with (
        AnswersFile.open(path, SETTINGS),
        pytest.raises(AnswersUnusable, match="another run is writing"),
        AnswersFile.open(path, SETTINGS),
    ):
        pass


def test_a_file_that_cannot_be_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(AnswersUnusable, match="cannot be written"),
        AnswersFile.open(tmp_path / "no" / "a.jsonl", SETTINGS),
    ):
        pass
    with pytest.raises(AnswersUnusable, match="cannot be read"):
        read_answers(tmp_path / "none.jsonl")
