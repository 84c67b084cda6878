"""`chipalign eval prompts`: lines for people, one document for programs, and one line where a file is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import chipalign

TASK = {
    "id": "title-1",
    "kind": "title",
    "split": "closed",
    "client": "a page",
    "is_question": True,  # wrongly: so that there is a miss
    "messages": [{"role": "user", "content": "Translate to German: The meeting is at ten."}],
}


def test_our_own_prompts_are_the_default_and_the_open_half_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert chipalign.main(["eval", "prompts", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["evaluation"], result["asked"]["split"]) == ("prompts", "open")
    assert result["counts"]["prompts"] == result["counts"]["questions"] + result["counts"]["tasks"] >= 150


def test_lines_show_the_shares_and_each_miss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps(TASK))
    assert chipalign.main(["eval", "prompts", "--prompts", str(path), "--split", "closed"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "prompts     1: 1 questions, 0 tasks"
    assert lines[2:4] == ["precision   of nothing", "recall      0.000 [0.000, 0.793]"]
    assert lines[-1] == "  title-1 (a page): task; Translate to German: The meeting is at ten."


def test_a_file_that_is_none_ends_with_one_line_and_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert chipalign.main(["eval", "prompts", "--prompts", str(tmp_path / "none.jsonl")]) == 2
    assert "none.jsonl: it cannot be read" in capsys.readouterr().err
