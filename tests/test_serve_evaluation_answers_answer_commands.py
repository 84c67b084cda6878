"""serve.evaluation.answers.answer_commands:

`chipalign eval answers` as a user calls it, before the real gateway on real sockets.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import chipalign
from rag.command_line import write_jsonl
from tests.conftest import free_port
from tests.fake_engine import ENGINE_MODEL, EngineScript, FakeEngine
from tests.fake_openai import FakeOpenAI, chat_answer

QUESTIONS: list[dict[str, Any]] = [
    {
        "id": "a-1",
        "question": "Which command repairs antenna violations?",
        "kind": "look-up",
        "answerable": True,
        "facts": [["repair_antennas"]],
        "forbidden": ["repair_design"],
    },
    {
        "id": "a-2",
        "question": "How are hold violations repaired?",
        "kind": "how-to",
        "answerable": True,
        "facts": [[r"repair_timing\s+-hold"], ["delay buffers"]],
        "forbidden": [r"repair_timing\s+-setup"],
    },
    {
        "id": "a-3",
        "question": "and which cells does it insert?",
        "kind": "follow-up",
        "answerable": True,
        "facts": [["diode"]],
        "forbidden": ["decap"],
        "messages": [
            {"role": "user", "content": "Which command repairs antenna violations?"},
            {"role": "assistant", "content": "repair_antennas"},
        ],
    },
    {"id": "a-4", "question": "Who won the football match yesterday?", "kind": "unanswerable", "answerable": False},
    {
        "id": "a-5",
        "question": "What does pdngen add?",
        "kind": "look-up",
        "split": "closed",
        "answerable": True,
        "facts": [["straps"]],
        "forbidden": ["diodes"],
    },
]

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "questions.jsonl"
    write_jsonl(path, QUESTIONS)
    return path


def evaluate(*arguments: str | Path | int) -> int:
    """`chipalign eval answers` as it is run."""
    return chipalign.main(["eval", "answers", *map(str, arguments)])


def test_json_holds_figures_and_every_answer_with_its_verdicts(
    questions: Path, gateway: str, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.script = EngineScript(answer=("Run `repair_antennas`, ", "or magic_wand_now."))
    assert evaluate("--questions", questions, "--url", gateway, "--json") == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert "ask: 4 of 4" in captured.err
    assert result["settings"] == {
        "model": ENGINE_MODEL,
        "answer": None,
        "split": "open",
        "every": 1,
        "concurrency": 16,
        "temperature": 0,
    }
    assert (result["asked"]["questions"], result["asked"]["answerable"]) == (4, 3)
    assert result["counts"] == {"questions": 4, "refused": 1, "without_passages": 1, "cut": 0, "empty": 0}
    overall = result["measures"]["overall"]
    assert (overall["complete"]["mean"], overall["complete"]["questions"]) == (pytest.approx(1 / 3), 3)
    assert (overall["rightly_refused"]["mean"], overall["wrongly_refused"]["mean"], overall["loops"]["mean"]) == (
        1.0,
        0.0,
        0.0,
    )
    assert overall["unknown_names"]["mean"] == 0.75  # the gateway's own sentence invents nothing
    assert list(result["measures"]) == ["overall", "follow-up", "how-to", "look-up", "unanswerable"]
    assert set(result["latency_ms"]) == {"p50", "p95"}
    first = result["questions"][0]
    assert (first["id"], first["answer"], first["refused"]) == (
        "a-1",
        "Run `repair_antennas`, or magic_wand_now.",
        False,
    )
    assert first["unknown_names"] == ["magic_wand_now"]
    assert first["passages"][0] == "antenna-repair.md"
    assert result["questions"][1]["missing_facts"] == [[r"repair_timing\s+-hold"], ["delay buffers"]]


def test_the_gateway_searches_and_a_follow_up_brings_its_turns(
    questions: Path, gateway: str, engine: FakeEngine
) -> None:
    assert evaluate("--questions", questions, "--url", gateway, "--concurrency", 1, "--json") == 0
    assert len(engine.bodies) == 3  # the gateway answers the fourth by itself
    assert all("Context:" in body["messages"][-1]["content"] for body in engine.bodies)
    assert [message["role"] for message in engine.bodies[2]["messages"]] == ["system", "user", "assistant", "user"]
    assert engine.bodies[0]["temperature"] == 0


def test_the_way_of_answering_is_sent_only_where_it_is_named(
    questions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hit = {"path": "a.md", "title": "A", "heading_path": ["A"], "text": "repair_antennas inserts diode cells"}
    answer = {**chat_answer("repair_antennas"), "retrieval": {"query": "q", "hits": [hit]}}
    models = [{"id": "m", "owned_by": "chipalign"}]
    with FakeOpenAI(lambda path, body: (200, answer), models=models) as server:
        assert evaluate("--questions", questions, "--url", server.url, "--every", 4, "--answer", "quote", "--json") == 0
        assert evaluate("--questions", questions, "--url", server.url, "--split", "closed", "--json") == 0
    (_, quoted), (_, plain) = server.requests
    asked = [{"role": "user", "content": QUESTIONS[0]["question"]}]
    assert quoted == {"model": "m", "messages": asked, "temperature": 0, "retrieval": {"answer": "quote"}}
    assert plain == {
        "model": "m",
        "messages": [{"role": "user", "content": QUESTIONS[4]["question"]}],
        "temperature": 0,
    }
    assert '"answer": "quote"' in capsys.readouterr().out


def test_another_result_is_compared_question_by_question(
    questions: Path, gateway: str, engine: FakeEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.script = EngineScript(answer=("Run repair_design.",))
    assert evaluate("--questions", questions, "--url", gateway, "--json") == 0
    before = tmp_path / "before.json"
    before.write_text(capsys.readouterr().out)
    engine.script = EngineScript(answer=("Run repair_antennas for diode cells.",))
    assert evaluate("--questions", questions, "--url", gateway, "--compare", before) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"model     {ENGINE_MODEL} at {gateway}, answers: as the gateway chooses"
    assert lines[1].endswith("split open; 3 of them answerable")
    assert any(line.startswith("complete         0.667 [0.000, 1.000]") for line in lines)
    start = lines.index(f"difference from {before}, paired")
    assert any(line.startswith("complete         +0.667 [+0.000, +1.000]") for line in lines[start:])
    assert any(line.startswith("forbidden        -0.333 [-1.000, +0.000]") for line in lines[start:])


def test_a_server_that_is_not_a_gateway_is_refused(
    questions: Path, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("--questions", questions, "--url", engine.url) == 2
    assert "is not a ChipAlign gateway" in capsys.readouterr().err
    assert engine.bodies == []


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"evaluation": "retrieval", "questions": []}', '{"evaluation": "answers", "questions": [{"id": 1}]}'],
)
def test_a_file_to_compare_with_must_be_a_result_of_this_evaluation(
    questions: Path, gateway: str, engine: FakeEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    other = tmp_path / "other.json"
    other.write_text(content)
    assert evaluate("--questions", questions, "--url", gateway, "--compare", other) == 2
    assert str(other) in capsys.readouterr().err
    assert engine.bodies == []


def test_a_missing_file_and_a_server_that_is_down_are_reported_in_one_line(
    questions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("--questions", questions.with_name("none.jsonl"), "--url", "http://127.0.0.1:9") == 2
    assert "none.jsonl cannot be read" in capsys.readouterr().err
    assert evaluate("--questions", questions, "--url", f"http://127.0.0.1:{free_port()}") == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
