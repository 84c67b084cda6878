"""data/eval/answers.jsonl: the questions are well-formed, and their facts stand in the documents that they name.

The handbook is always read. The pinned corpora are not in the repository: their sentences are checked where
CHIPALIGN_MIRROR names a folder with their archives, and only the form of the references elsewhere.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from rag.blocks import Parsed
from rag.formats.parser import format_of, parse
from rag.sources.corpus import corpus_dir, fetch_corpus, load_sources
from rag.training.exclusion import NearQuestions
from serve.evaluation.answers.answer_questions import AnswerQuestion, read_answer_questions
from serve.evaluation.answers.answer_scores import is_refusal, measure
from tests.rows import for_each

ROOT = Path(__file__).parent.parent
FILE = ROOT / "data" / "eval" / "answers.jsonl"
LATER = {
    ROOT / "data" / "eval" / name: counts
    for name, counts in (
        ("answers_2.jsonl", {True: 88, False: 31}),
        ("answers_3.jsonl", {True: 79, False: 28}),
        ("answers_4.jsonl", {True: 86, False: 24}),
        ("answers_5.jsonl", {True: 90, False: 24}),
        ("answers_6.jsonl", {True: 100, False: 20}),
        ("answers_7.jsonl", {True: 63, False: 16}),
    )
}  # asked when a piece of work ends
HANDBOOK = ROOT / "data" / "handbook"
MIRROR = os.environ.get("CHIPALIGN_MIRROR")  # read before the fixtures hide this machine's settings
KINDS = {"look-up", "how-to", "log", "concept", "two-part", "follow-up", "unanswerable"}
MOST_EVIDENCE_WORDS = 27  # a sentence as proof; more would be a copy of the document
SAME_QUESTION = 0.7  # share of common words

ROWS: list[dict[str, Any]] = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
QUESTIONS = {question.id: question for question in read_answer_questions(FILE)}
ANSWERABLE = [row for row in ROWS if row["answerable"]]
SOURCES = [source for row in ROWS for source in row["sources"]]
OF_HANDBOOK = [source for source in SOURCES if source["collection"] == "handbook"]
OF_CORPORA = [source for source in SOURCES if source["collection"] != "handbook"]


@cache
def read(path: Path) -> tuple[str, Parsed]:
    """A document's text with single blanks, and the document as the real parser sees it."""
    text = path.read_text(encoding="utf-8")
    return one_line(text), parse(path.name, text)


def one_line(text: str) -> str:
    return " ".join(text.split())


def evidence(row: dict[str, Any]) -> str:
    """All that a question's sources say."""
    return "\n".join(source["evidence"] for source in row["sources"])


def problem_of(source: dict[str, Any], path: Path) -> str:
    """Why a document does not hold a source's heading or evidence; "" where it does."""
    text, parsed = read(path)
    headings = {parsed.title, *(heading for block in parsed.blocks for heading in block.heading_path)}
    if one_line(source["evidence"]) not in text:
        return f"{source['path']} does not say: {source['evidence']}"
    return (
        ""
        if source.get("heading", parsed.title) in headings
        else f"{source['path']} has no heading {source['heading']}"
    )


def test_rows_have_exactly_the_keys_in_order() -> None:
    for row in ROWS:
        keys = ["id", "question", "kind", "split", "answerable", "facts", "forbidden", "sources"]
        assert [key for key in row if key != "messages"] == keys, row["id"]
        assert ("messages" in row) == (
            row["kind"] == "follow-up" or (row["kind"] == "unanswerable" and "messages" in row)
        )
        assert row["kind"] in KINDS
        assert row["answerable"] == (row["kind"] != "unanswerable") == bool(row["sources"]) == bool(row["forbidden"]), (
            row["id"]
        )


def test_there_are_enough_questions_of_every_kind_and_collection() -> None:
    kinds = Counter(row["kind"] for row in ROWS)
    assert len(ROWS) >= 160
    assert kinds["unanswerable"] >= 30
    assert min(kinds.values()) >= 15
    collections = Counter(row["sources"][0]["collection"] for row in ANSWERABLE)
    assert set(collections) == {"handbook", *load_sources()}
    assert 0.28 <= collections["handbook"] / len(ANSWERABLE) <= 0.38
    assert 0.2 <= collections["openroad"] / len(ANSWERABLE) <= 0.3


def test_a_third_of_each_kind_is_closed() -> None:
    for kind in KINDS:
        splits = [row["split"] for row in ROWS if row["kind"] == kind]
        assert 0.3 <= splits.count("closed") / len(splits) <= 0.36, kind


def test_pasted_logs_have_several_lines_and_other_questions_one() -> None:
    for row in ROWS:
        lines = row["question"].splitlines()
        assert row["question"] == row["question"].strip()
        assert 5 <= len(lines) <= 45 if row["kind"] == "log" else len(lines) == 1 or row["kind"] == "unanswerable", row[
            "id"
        ]


def test_follow_ups_come_after_whole_turns() -> None:
    for row in (row for row in ROWS if "messages" in row):
        roles = [message["role"] for message in row["messages"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2), row["id"]


def test_no_question_is_asked_twice() -> None:
    words = {
        question.id: frozenset(re.findall(r"[a-z0-9_]+", question.asked.lower())) for question in QUESTIONS.values()
    }
    twice = [
        (a, b)
        for a, b in combinations(words, 2)
        if len(words[a] & words[b]) / len(words[a] | words[b]) >= SAME_QUESTION
    ]
    assert twice == []


def test_the_evidence_is_short_and_names_documents_of_the_corpora() -> None:
    sources = load_sources()
    for source in SOURCES:
        assert len(source["evidence"].split()) <= MOST_EVIDENCE_WORDS, source
        assert format_of(source["path"])
        assert source["collection"] == "handbook" or sources[source["collection"]].selects(source["path"]), source


@for_each(("path", "counts"), LATER.items())
def test_a_later_set_is_well_formed_and_asks_nothing_of_the_others(path: Path, counts: dict[bool, int]) -> None:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert {row["split"] for row in rows} == {"closed"}
    assert Counter(row["answerable"] for row in rows) == counts
    assert [row["id"] for row in rows if row["answerable"] != bool(row["facts"])] == []

    others = [json.loads(line) for other in LATER if other != path for line in other.read_text("utf-8").splitlines()]
    asked = NearQuestions(row["question"] for row in [*ROWS, *others])
    assert [row["question"] for row in rows if asked(row["question"])] == []
    sources = [source for row in rows for source in row["sources"] if source["collection"] == "handbook"]
    assert [problem for source in sources if (problem := problem_of(source, HANDBOOK / source["path"]))] == []


def test_the_handbook_says_what_the_sources_quote() -> None:
    assert [problem for source in OF_HANDBOOK if (problem := problem_of(source, HANDBOOK / source["path"]))] == []


@pytest.mark.skipif(not MIRROR, reason="CHIPALIGN_MIRROR names no folder with the corpora")
def test_the_corpora_say_what_the_sources_quote(tmp_path: Path) -> None:
    for source in load_sources().values():
        fetch_corpus(source, tmp_path, mirror=Path(str(MIRROR)), host="http://127.0.0.1:9")
    places = [(source, corpus_dir(tmp_path, source["collection"]) / source["path"]) for source in OF_CORPORA]
    assert [problem for source, path in places if (problem := problem_of(source, path))] == []


@for_each("row", ANSWERABLE)
def test_the_evidence_as_an_answer_gets_full_marks(row: dict[str, Any]) -> None:
    verdict = measure(QUESTIONS[row["id"]], evidence(row), [evidence(row)], "stop")
    assert (verdict["missing_facts"], verdict["forbidden_claims"], verdict["refused"], verdict["unknown_names"]) == (
        [],
        [],
        False,
        [],
    )
    assert verdict["measures"]["complete"] == 1.0


def test_a_question_said_back_is_never_a_whole_answer() -> None:
    parroted = [
        question.id for question in QUESTIONS.values() if question.answerable and not missing(question, question.asked)
    ]
    assert parroted == []


def missing(question: AnswerQuestion, answer: str) -> Any:
    return measure(question, answer, [], "stop")["missing_facts"]


def test_no_handbook_article_that_answers_a_question_makes_a_forbidden_claim() -> None:
    for row in ANSWERABLE:
        for source in (source for source in row["sources"] if source["collection"] == "handbook"):
            text = (HANDBOOK / source["path"]).read_text(encoding="utf-8")
            assert measure(QUESTIONS[row["id"]], text, [], "stop")["forbidden_claims"] == [], (
                row["id"],
                source["path"],
            )


@for_each(
    ("asked", "claim"),
    [
        ("yosys clock gate inference", "Run clockgate -liberty cells.lib -min_instances 4."),
        ("in my shell has no effect", "Environment variables always override config.mk."),
        ("toggle coverage leaves my wide buses out", "--coverage-max-width <width>: defaults to 1024."),
        ("scene or mode", "A scene is just another name for a mode."),
    ],
)
def test_a_swapped_option_or_another_default_is_a_forbidden_claim(asked: str, claim: str) -> None:
    (question,) = [question for question in QUESTIONS.values() if asked in question.text]
    verdict = measure(question, claim, [], "stop")
    assert (verdict["measures"]["forbidden"], verdict["measures"]["complete"]) == (1.0, 0.0)


def test_no_evidence_reads_like_a_refusal() -> None:
    assert [row["id"] for row in ANSWERABLE if is_refusal(evidence(row))] == []
