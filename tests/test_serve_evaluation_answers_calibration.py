"""Who answers better, quotes or the model: the questions that decide it, and the file that keeps the result."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chipalign import main
from rag.index.opening import open_index
from serve.evaluation.answers.answer_scores import FACTS, FORBIDDEN, LOOPS, UNKNOWN_NAMES
from serve.evaluation.answers.calibration import (
    FILE,
    MOST_BYTES,
    Calibration,
    choose_questions,
    identify_checkpoint,
    identify_index,
    make_questions,
    read_calibration,
)
from serve.uploads.jobs import Addition, Job
from tests.conftest import Gateway
from tests.fake_engine import FakeEngine
from tests.rows import for_each
from tests.uploading import build_sources, builds_here

OURS = Path(__file__).parent.parent / "data" / "eval" / "answers.jsonl"
ONE = Calibration(
    0.75, 0.25, 30, "answers.jsonl", "2026-11-29T02:00:00+00:00", "c" * 64, "i" * 64, {"chipalign": "0.1"}
)


def verdicts(facts: float, bad: str = "") -> dict[str, Any]:
    """A row of an answer."""
    return {"measures": {FACTS: facts, FORBIDDEN: None, LOOPS: 0.0, UNKNOWN_NAMES: 0.0, **({bad: 1.0} if bad else {})}}


def test_a_model_that_is_not_worse_than_its_evidence_is_heard() -> None:
    even = [verdicts(1.0), verdicts(0.5)]
    made = Calibration.of(even, even, "ours", "c", "i", {})
    assert (made.quote, made.model, made.mode) == (0.75, 0.75, "auto")
    assert Calibration.of(even, [verdicts(1.0), verdicts(0.4)], "ours", "c", "i", {}).mode == "quote"


@for_each("bad", [FORBIDDEN, LOOPS, UNKNOWN_NAMES])
def test_an_answer_with_a_wrong_claim_a_loop_or_an_invented_name_is_worth_nothing(bad: str) -> None:
    assert Calibration.of([verdicts(1.0)], [verdicts(1.0, bad)], "ours", "c", "i", {}).model == 0


def test_what_is_kept_is_read_again_and_nothing_else_lies_there(tmp_path: Path) -> None:
    assert read_calibration(tmp_path) is None
    ONE.save(tmp_path)
    assert read_calibration(tmp_path) == ONE
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@for_each(
    "content",
    [
        "",
        "[]",
        "{" * 60_000,
        '{"quote": 1}',
        " " * (MOST_BYTES + 1),
        json.dumps({**json.loads("{}"), "quote": "1"}),
        *(
            json.dumps(
                {
                    "quote": 0.5,
                    "model": 0.5,
                    "questions": 3,
                    "source": "s",
                    "created": "d",
                    "checkpoint": "c",
                    "index": "i",
                    "versions": {},
                }
                | odd
            )
            for odd in (
                {"quote": 7.0},
                {"model": -1.0},
                {"questions": 0},
                {"source": "\x1b[2J"},
                {"created": "x" * 1000},
                {"more": 1},
            )
        ),
    ],
)
def test_a_file_of_another_shape_is_none_of_ours(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    assert read_calibration(tmp_path) is None


def test_a_checkpoint_is_known_by_pieces_of_its_weights(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(bytes(100_000))
    before = identify_checkpoint(tmp_path)
    ONE.save(tmp_path)
    assert identify_checkpoint(tmp_path) == before
    (tmp_path / "model.safetensors").write_bytes(bytes(99_000) + b"\x01" * 1000)
    assert identify_checkpoint(tmp_path) != before


def test_an_index_is_known_by_the_operators_documents_and_not_by_uploads(tmp_path: Path) -> None:
    index_dir, upload = tmp_path / "index", tmp_path / "pll.md"
    build_sources(index_dir, "router", "timer")
    before = identify_index(index_dir)
    upload.write_text("# PLL\n\nIt has 3 ps of jitter.\n")
    job = Job(str(index_dir), (Addition(f"vs_{'0' * 24}", "file-1", str(upload)),))
    assert builds_here(tmp_path)(job).built
    assert identify_index(index_dir) == before
    build_sources(index_dir, "router", "timer", edition=2)
    assert identify_index(index_dir) != before


def test_an_index_without_our_documents_is_asked_about_itself(small_index: Path) -> None:
    chunks = list(open_index(small_index).chunks)
    questions, source = choose_questions(chunks, OURS)
    assert source == "made of the index"
    assert questions == make_questions(chunks)
    assert questions
    assert all(one.facts and one.answerable and one.split == "open" for one in questions)


def test_ours_are_asked_where_their_documents_are_in_the_index(small_index: Path) -> None:
    chunk = open_index(small_index).chunks[0]
    sources = [source for line in OURS.read_text().splitlines() for source in json.loads(line).get("sources", [])]
    chunks = [replace(chunk, collection=source["collection"], path=source["path"]) for source in sources]
    questions, source = choose_questions(chunks, OURS)
    assert source == "answers.jsonl"
    assert 20 <= len(questions) <= 40
    assert all(one.split == "open" and one.answerable for one in questions)


def test_the_command_asks_for_both_and_keeps_what_came_of_it(
    gateway_at: Gateway,
    shared_engine: FakeEngine,
    small_index: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "model.safetensors").write_bytes(bytes(5000))
    with gateway_at(shared_engine.url) as url:
        folders = ["--index", str(small_index), "--checkpoint", str(tmp_path)]
        assert main(["eval", "answers", "--calibrate", "--url", url, *folders, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    kept = read_calibration(tmp_path)
    assert kept is not None
    assert result["mode"] == kept.mode == "quote"
    assert kept.quote > kept.model
    assert kept.checkpoint == identify_checkpoint(tmp_path)


def test_the_command_needs_to_know_what_it_measures(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["eval", "answers", "--calibrate", "--url", "http://127.0.0.1:1"])
    assert "--calibrate needs --index and --checkpoint" in capsys.readouterr().err
