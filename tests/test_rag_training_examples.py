"""rag.training.examples and training_state: questions as people write them down, and a training that is taken up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from rag.answering.units import cut_units
from rag.documents import Chunk
from rag.errors import QuestionsUnusable
from rag.training.examples import AnswerFinder, Example, is_answer, read_examples
from rag.training.training_pairs import read_answers
from rag.training.training_state import NOTES, new_state, read_notes, restore_moments
from tests.rows import for_each

KEY = ("openroad", "a.md")
TEXT = "Use repair_timing to fix hold.\n\n- `-hold` repairs hold violations alone\n- `-setup` repairs setup"


def chunk(text: str = TEXT, path: str = "a.md", collection: str = "openroad") -> Chunk:
    return Chunk(f"{path}:{text[:8]}", collection, path, "Repair", (), text, None, "ISC", 0)


def write(folder: Path, *rows: Any, name: str = "q.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n", encoding="utf-8")
    return path


def test_lines_hold_evidence_places_or_nothing_that_answers(tmp_path: Path) -> None:
    place = {"collection": "openroad", "path": "a.md", "begins": ["- `-hold`"]}
    path = write(
        tmp_path,
        {"question": "Which option?", "source": {"evidence": "`-hold` repairs"}},
        {
            "question": "Which one?",
            "references": [place, place],
            "also": [{**place, "path": "b.md"}],
            "answer": "-hold",
        },
        {"question": "Which bus?"},
    )
    literal, placed, none = read_examples(path)
    assert (literal.words, literal.is_literal, literal.is_answerable) == ("`-hold` repairs", True, True)
    assert placed.begins == {KEY: ("- `-hold`", "- `-hold`")}
    assert placed.also == {("openroad", "b.md"): ("- `-hold`",)}
    assert placed.answer == "-hold"
    assert not none.is_answerable


def test_signs_that_unicode_calls_line_ends_may_stand_in_a_question(tmp_path: Path) -> None:
    question = "Which\u2028option\x85of \x0crepair?"
    [example] = read_examples(write(tmp_path, {"question": question, "source": {"evidence": "x"}}))
    assert example.question == question
    rows = write(tmp_path, {"question": question, "answer": "a\u2029b"}, name="answers.jsonl")
    assert read_answers(rows)[0][:2] == (question, "a\u2029b")
    (tmp_path / "t.csv").write_text(f"question,answer\n{question},yes\n", encoding="utf-8")
    assert read_answers(tmp_path / "t.csv")[0][1] == "yes"


def test_a_table_has_questions_and_answers_in_own_words(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(
        'question,answer\n" Why? ","Because,\nso."\nodd\nWhy?,Other\n', encoding="utf-8-sig"
    )
    first, second = read_examples(tmp_path / "q.csv")
    assert (first.question, first.words, first.is_literal) == ("Why?", "Because,\nso.", False)
    assert second.words == "Other"


@for_each(
    "text",
    ["{", "[]", "5", '"text"', '{"question": 5, "source": 5}', '{"source": {"evidence": "x"}}', '{"references": [5]}'],
)
def test_lines_that_are_not_such_questions_are_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(text)
    with pytest.raises(QuestionsUnusable) as caught:
        read_examples(tmp_path / "q.jsonl")
    assert str(caught.value).startswith(f"{tmp_path}/q.jsonl holds no questions with what answers them")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(QuestionsUnusable, match=r"cannot be read .*name a file that is there"):
        read_examples(tmp_path / "none.jsonl")


def answering(example: Example, asked: frozenset[str] = frozenset(), **changes: str) -> list[bool]:
    found = chunk(**changes)
    return [is_answer(example, asked, found, unit) for unit in cut_units(found.text)]


def test_a_place_answers_where_a_unit_of_its_document_begins_so() -> None:
    example = Example("q", begins={KEY: ("- `-hold`",)}, also={("openroad", "b.md"): ("Use",)})
    assert answering(example) == [False, True, False]
    assert answering(example, path="b.md") == [True, False, False]
    assert answering(example, collection="other") == [False, False, False]


def test_evidence_answers_letter_by_letter_or_by_most_of_its_terms() -> None:
    assert answering(Example("q", "`-hold` repairs hold violations")) == [False, True, False]
    assert answering(Example("q", "repair_timing to   fix hold")) == [True, False, False]  # blanks do not count
    assert answering(Example("q", "repairs hold violations quickly")) == [False, False, False]


def test_an_answer_in_own_words_needs_terms_that_the_question_lacks() -> None:
    text = "Guides keep nets on chosen layers."
    words = "The nets stay upon chosen layers, as guides keep them."
    assert answering(Example("q", words, is_literal=False), text=text) == [True]
    asked = frozenset(("net", "layer", "chosen", "guid"))
    assert answering(Example("q", words, is_literal=False), asked, text=text) == [False]
    assert answering(Example("q", "Something else.", is_literal=False), text=text) == [False]


def test_rows_are_found_by_how_units_begin_here_and_elsewhere() -> None:
    chunks = [chunk("First. Second."), chunk("Second again."), chunk("First.", path="b.md"), chunk("Third.")]
    finder = AnswerFinder(chunks)
    example = Example("q", begins={KEY: ("Second", "Fourth")}, also={("openroad", "b.md"): ("First",)})
    assert finder.rows(example) == [0, 1, 2]
    assert finder.first_rows(example) == [0, None]
    assert finder.rows(Example("q")) == finder.first_rows(Example("q")) == []


def train(optimizer: torch.optim.Optimizer, weight: torch.Tensor, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        (weight**2).sum().backward()
        optimizer.step()


def begin() -> tuple[torch.Tensor, torch.optim.Optimizer]:
    weight = torch.tensor([1.0, -2.0], requires_grad=True)
    return weight, torch.optim.AdamW([weight], lr=0.1)


def test_a_training_that_is_taken_up_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    whole, optimizer = begin()
    train(optimizer, whole, 6)
    weight, optimizer = begin()
    train(optimizer, weight, 3)
    with new_state(tmp_path / "ours.training", optimizer, {"key": {"seed": 1}, "losses": [3, 2, 1]}):
        pass
    again = weight.detach().clone().requires_grad_()
    resumed = torch.optim.AdamW([again], lr=0.1)
    restore_moments(tmp_path / "ours.training", resumed)
    train(resumed, again, 3)
    assert torch.equal(again, whole)
    assert read_notes(tmp_path / "ours.training", {"seed": 1}) == {"losses": [3, 2, 1]}
    assert read_notes(tmp_path / "ours.training", {"seed": 2}) is None  # another training's


def test_a_state_that_was_not_written_whole_leaves_the_one_before(tmp_path: Path) -> None:
    state = tmp_path / "ours.training"
    weight, optimizer = begin()
    train(optimizer, weight, 1)
    with new_state(state, optimizer, {"key": {}, "step": 1}) as folder:
        (folder / "weights").write_text("1")

    def interrupt() -> None:
        with new_state(state, optimizer, {"key": {}, "step": 2}) as folder:
            (folder / "weights").write_text("2")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert read_notes(state, {}) == {"step": 1}
    assert (state / "weights").read_text() == "1"
    with new_state(state, optimizer, {"key": {}, "step": 3}) as folder:  # over what the interrupted one left
        (folder / "weights").write_text("3")
    assert read_notes(state, {}) == {"step": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["ours.training"]


@pytest.mark.parametrize("content", [None, "", "{", "5x", "[]", "5", "null"])
def test_notes_that_are_missing_or_damaged_are_none(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / NOTES).write_text(content)
    assert read_notes(tmp_path, {}) is None
