"""data/eval/starter.jsonl: the questions that the relevance threshold was chosen with are well-formed and enough."""

from __future__ import annotations

import json
from pathlib import Path

from rag.sources.corpus import load_sources

ROOT = Path(__file__).parent.parent
ROWS = [json.loads(line) for line in (ROOT / "data" / "eval" / "starter.jsonl").read_text().splitlines()]


def test_there_are_enough_questions_of_both_kinds() -> None:
    assert sum(row["answerable"] for row in ROWS) >= 60
    assert sum(not row["answerable"] for row in ROWS) >= 30
    assert len({row["question"] for row in ROWS}) == len(ROWS)


def test_every_answerable_question_names_documents_of_known_collections() -> None:
    known = {"handbook", *load_sources()}
    for row in ROWS:
        expected = row.get("expected", [])
        assert bool(expected) is row["answerable"]
        assert {collection for collection, _ in expected} <= known


def test_expected_handbook_articles_exist() -> None:
    paths = {path for row in ROWS for collection, path in row.get("expected", []) if collection == "handbook"}
    assert [path for path in sorted(paths) if not (ROOT / "data" / "handbook" / path).is_file()] == []
