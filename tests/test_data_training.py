"""data/training/evidence.jsonl: questions of our own to fit with are well-formed, and none nearly asks one that is measured with."""

import json
from collections import Counter
from pathlib import Path

from rag.exclusion import NearQuestions
from rag.questions import read_questions

ROOT = Path(__file__).parent.parent
PATH = ROOT / "data/training/evidence.jsonl"
ROWS = [json.loads(line) for line in PATH.read_text(encoding="utf-8").splitlines()]
KINDS = {"look-up", "how-to", "log", "concept", "two-part", "unanswerable"}


def test_every_question_stands_once_with_where_its_answer_begins() -> None:
    assert len({row["question"] for row in ROWS}) == len(ROWS) == len(read_questions(PATH))
    for row in ROWS:
        assert row["kind"] in KINDS
        assert row["answerable"] == bool(row["references"]) == (row["kind"] != "unanswerable")
        assert all(place["begins"] and all(place["begins"]) for place in row["references"])


def test_there_are_enough_of_each_kind_and_of_what_nothing_answers() -> None:
    counts = Counter(row["kind"] for row in ROWS)
    assert len(ROWS) >= 600
    assert min(counts.values()) >= 60
    assert counts["unanswerable"] >= 100


def test_no_question_nearly_asks_one_that_answers_are_measured_with() -> None:
    measured = [json.loads(line)["question"] for line in (ROOT / "data/eval/answers.jsonl").read_text(encoding="utf-8").splitlines()]
    asks_nearly = NearQuestions(measured)
    assert [row["question"] for row in ROWS if asks_nearly(row["question"])] == []


def test_what_begins_an_answer_is_no_sentence_of_a_document() -> None:
    assert max(len(begin.split()) for row in ROWS for place in row["references"] for begin in place["begins"]) <= 8


def test_the_handbooks_articles_are_there() -> None:
    paths = {place["path"] for row in ROWS for place in row["references"] if place["collection"] == "handbook"}
    assert len(paths) > 50
    assert all((ROOT / "data/handbook" / path).is_file() for path in paths)
