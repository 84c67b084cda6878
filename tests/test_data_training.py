"""data/training: questions of our own to fit and to train with are well-formed, and none nearly asks one that is
measured with.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rag.sources.questions import read_questions
from rag.training.exclusion import NearQuestions

ROOT = Path(__file__).parent.parent
OF_CHIP_DESIGN = ("evidence", "questions")
FILES = (*OF_CHIP_DESIGN, "general")  # the last one asks about data/training/packages.toml as well
PACKAGES = ROOT / "data/training/packages.toml"
KINDS = {"look-up", "how-to", "log", "concept", "two-part", "unanswerable"}
MEASURED = sorted(path for folder in ("", "leftout") for path in (ROOT / "data/eval" / folder).glob("*.jsonl"))


def read(name: str) -> list[dict[str, Any]]:
    path = ROOT / f"data/training/{name}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


ROWS = {name: read(name) for name in FILES}


def begins(row: dict[str, Any]) -> list[str]:
    """How all the units begin that answer a question."""
    return [begin for place in (*row["references"], *row.get("also", ())) for begin in place["begins"]]


@pytest.mark.parametrize("name", FILES)
def test_every_question_stands_once_with_where_its_answer_begins(name: str) -> None:
    rows = ROWS[name]
    assert (
        len({row["question"] for row in rows}) == len(rows) == len(read_questions(ROOT / f"data/training/{name}.jsonl"))
    )
    for row in rows:
        assert row["kind"] in KINDS
        assert row["answerable"] == bool(row["references"]) == (row["kind"] != "unanswerable")
        assert all(begins(row))


def test_what_is_fitted_with_is_not_what_is_trained_with() -> None:
    trained = {row["question"].lower() for row in ROWS["questions"]}
    assert not [row["question"] for row in ROWS["evidence"] if row["question"].lower() in trained]


@pytest.mark.parametrize(
    ("name", "least", "of_each", "unanswerable"),
    [
        ("evidence", 600, 60, 100),
        ("questions", 9000, 400, 1500),
        ("general", 9000, 140, 4000),
    ],
)
def test_there_are_enough_of_each_kind_and_of_what_nothing_answers(
    name: str, least: int, of_each: int, unanswerable: int
) -> None:
    counts = Counter(row["kind"] for row in ROWS[name])
    assert len(ROWS[name]) >= least
    assert min(counts.values()) >= of_each
    assert counts["unanswerable"] >= unanswerable


@pytest.mark.parametrize("name", FILES)
def test_no_question_nearly_asks_one_that_is_measured_with(name: str) -> None:
    paths = (
        MEASURED if name != "evidence" else [ROOT / "data/eval/answers.jsonl"]
    )  # the rest of data/eval is fitted with as well
    measured = [
        json.loads(line).get("question", "") for path in paths for line in path.read_text(encoding="utf-8").splitlines()
    ]
    asks_nearly = NearQuestions(question for question in measured if question)
    assert [row["question"] for row in ROWS[name] if asks_nearly(row["question"])] == []


@pytest.mark.parametrize("name", FILES)
def test_what_begins_an_answer_is_not_a_sentence_of_a_document(name: str) -> None:
    assert max(len(begin.split()) for row in ROWS[name] for begin in begins(row)) <= 8


def test_what_can_be_answered_has_an_answer_of_ours_in_few_words() -> None:
    for row in ROWS["questions"]:
        assert row["answerable"] == bool(row.get("answer"))
        assert len(row.get("answer", "").split()) <= 95


@pytest.mark.parametrize("name", OF_CHIP_DESIGN)
def test_the_handbooks_articles_are_there(name: str) -> None:
    paths = {place["path"] for row in ROWS[name] for place in row["references"] if place["collection"] == "handbook"}
    assert len(paths) > 50
    assert all((ROOT / "data/handbook" / path).is_file() for path in paths)


@pytest.mark.parametrize("name", FILES)
def test_what_is_trained_with_is_about_documents_that_may_be_trained_on(name: str) -> None:
    collections = {place["collection"] for row in ROWS[name] for place in row["references"]}
    ours, packages = {"handbook", "openroad", "orfs", "yosys"}, tomllib.loads(PACKAGES.read_text(encoding="utf-8"))
    assert collections <= (ours | packages.keys() if name == "general" else ours)
