"""serve.evaluation.qa.qa_answer: real files of answers, cut off, of before, and of something else."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from serve.evaluation.errors import AnswersUnusable
from serve.evaluation.qa.qa_answer import Answer, open_answers, read_others

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
    with open_answers(path, SETTINGS) as file:
        assert file.rows == {}
        for number in (2, 1, 3):
            file.keep(asdict(an_answer(number)))
    return path


def test_what_was_kept_is_read_back(path: Path) -> None:
    with open_answers(path, SETTINGS) as file:
        assert {number: Answer.of(row) for number, row in file.rows.items()} == {n: an_answer(n) for n in (1, 2, 3)}
    assert read_others(path) == [an_answer(2), an_answer(1), an_answer(3)]  # as they came
    first, *rows = map(json.loads, path.read_text().splitlines())
    assert first == {"file": "qa answers", "settings": SETTINGS}
    assert [row["number"] for row in rows] == [2, 1, 3]


def test_wherever_a_kill_cuts_the_file_whole_answers_are_kept_and_the_rest_redone(path: Path) -> None:
    whole = path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]
    for cut in [*range(0, len(whole), 7), *ends, ends[-1] - 5]:  # also amid a letter of several bytes
        path.write_bytes(whole[:cut])
        with open_answers(path, SETTINGS) as file:
            assert len(file.rows) == max(sum(end <= cut for end in ends) - 1, 0), cut
            for number in (2, 1, 3):
                if number not in file.rows:
                    file.keep(asdict(an_answer(number)))
        assert path.read_bytes() == whole, cut


def test_an_answer_of_before_lacks_only_what_has_a_default(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    old = {name: value for name, value in asdict(an_answer(4)).items() if name != "latency_ms"}
    path.write_text("".join([*lines, json.dumps(old) + "\n"]))
    assert read_others(path)[3].latency_ms is None


@pytest.mark.parametrize("change", [{"passages": 5}, {"passages": None}, {"colour": "red"}])
def test_a_row_of_another_form_is_not_an_answer(path: Path, change: dict[str, object]) -> None:
    row = asdict(an_answer(4)) | change
    path.write_text(path.read_text() + json.dumps(row) + "\n")
    with pytest.raises(AnswersUnusable, match="line 5, is not an answer"):
        open_answers(path, SETTINGS)
    with pytest.raises(AnswersUnusable, match="line 5, is not an answer"):
        read_others(path)
