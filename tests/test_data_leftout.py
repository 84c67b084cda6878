"""data/eval/leftout: the questions about documents that are left out of everything are well-formed, enough and mixed.

The documents are not in the repository: `chipalign eval leftout` holds the answers against them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from rag.sources.corpus import load_sources
from rag.sources.packages import load_packages
from rag.sources.questions import read_questions
from rag.training.exclusion import NearQuestions

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "data/eval/leftout"
ROWS: list[dict[str, Any]] = [
    json.loads(line) for line in (FOLDER / "questions.jsonl").read_text(encoding="utf-8").splitlines()
]
OBLIQUE: list[dict[str, Any]] = [
    json.loads(line) for line in (FOLDER / "oblique.jsonl").read_text(encoding="utf-8").splitlines()
]
PACKAGES = load_packages(FOLDER / "sets.toml")
ANSWERABLE = [row for row in ROWS if row["answerable"]]
UNANSWERABLE = [row for row in ROWS if not row["answerable"]]


def test_every_question_can_be_read_and_stands_once() -> None:
    assert len(read_questions(FOLDER / "questions.jsonl")) == len(ROWS)
    assert len({row["id"] for row in ROWS}) == len({row["question"].lower() for row in ROWS}) == len(ROWS)


def test_an_answerable_question_names_documents_of_a_set_and_their_words() -> None:
    for row in ANSWERABLE:
        assert row["kind"] in ("name", "meaning")
        assert row["answers"]
        assert row.get("any_of", False) == (len(row["references"]) > 1)
        for reference in row["references"]:
            package = PACKAGES[reference["collection"]]
            assert package.selects(reference["path"]), f"{row['id']}: {reference['path']}"


def test_no_question_holds_the_words_that_answer_it() -> None:
    for row in ANSWERABLE:
        assert all(answer.lower() not in row["question"].lower() for answer in row["answers"])


def test_what_nothing_answers_is_far_near_or_an_absent_aspect_of_a_known_name() -> None:
    counts = Counter(row["kind"] for row in UNANSWERABLE)
    assert counts.keys() == {"far", "near", "absent aspect"}
    assert min(counts.values()) >= 30
    assert not any("references" in row or "answers" in row for row in UNANSWERABLE)
    for row in UNANSWERABLE:
        if row["kind"] == "absent aspect":
            assert row["collection"] in PACKAGES
            assert any(word in row["question"] for word in row["name"].split())


def test_an_oblique_question_asks_for_what_one_by_meaning_asks_for() -> None:
    assert len(read_questions(FOLDER / "oblique.jsonl")) == len(OBLIQUE)
    by_meaning = {row["id"]: row for row in ANSWERABLE if row["kind"] == "meaning"}
    assert len(OBLIQUE) == len(by_meaning)
    for row in OBLIQUE:
        same = by_meaning[row["id"].removeprefix("oblique-")]
        assert (row["references"], row["answers"]) == (same["references"], same["answers"])
        assert row["question"] != same["question"]


def test_there_are_enough_of_each_kind_and_set() -> None:
    kinds = Counter(row["kind"] for row in ANSWERABLE)
    assert min(kinds.values()) >= 80
    assert abs(kinds["name"] - kinds["meaning"]) <= len(ANSWERABLE) // 10
    sets = Counter(row["references"][0]["collection"] for row in ANSWERABLE)
    assert sets.keys() == PACKAGES.keys()
    assert min(sets.values()) >= 5


def test_no_set_is_a_corpus_that_something_was_chosen_with() -> None:
    names = {package.package.lower() for package in PACKAGES.values()} | {name.lower() for name in PACKAGES}
    assert names.isdisjoint({*load_sources(), "handbook"})


def test_no_question_nearly_asks_another_one_that_is_measured_with() -> None:
    others = [
        json.loads(line).get("question", "")
        for path in (ROOT / "data/eval").glob("*.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    asks_nearly = NearQuestions(question for question in others if question)
    assert [row["question"] for row in [*ROWS, *OBLIQUE] if row["kind"] != "far" and asks_nearly(row["question"])] == []


def test_a_question_by_meaning_names_no_option_or_variable() -> None:
    name = re.compile(r"(?<!\w)--?[a-z]{2,}|\w_\w|\w::\w|\$\w")
    asked = [row["question"] for row in [*ANSWERABLE, *OBLIQUE] if row["kind"] != "name"]
    assert [question for question in asked if name.search(question)] == []
