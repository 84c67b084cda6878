"""What the bench computes from its measurements; the measuring itself is `make bench`."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from serve.bench import first_token_ms, free_ports, measure, quantiles, read_questions
from serve.errors import StepFailed
from serve.settings import ServeSettings
from serve.up import is_free
from tests.fake_engine import EngineScript, FakeEngine

STARTER = Path(__file__).parent.parent / "data" / "eval" / "starter.jsonl"


def test_quantiles_are_those_of_the_sorted_times() -> None:
    assert quantiles([float(ms) for ms in range(1, 102)]) == {"n": 101, "p50_ms": 51.0, "p95_ms": 96.0}


def test_only_answerable_questions_are_asked_and_always_in_the_same_order() -> None:
    rows = [json.loads(line) for line in STARTER.read_text(encoding="utf-8").splitlines() if line.strip()]
    answerable = {row["question"] for row in rows if row.get("answerable", True)}
    questions = read_questions(STARTER)
    assert set(questions) == answerable
    assert 0 < len(answerable) < len(rows)
    assert questions == read_questions(STARTER)


def test_the_ports_are_free_and_differ() -> None:
    ports = free_ports(3)
    assert len(set(ports)) == 3
    assert all(is_free("127.0.0.1", port) for port in ports)


def test_the_time_to_the_first_token_is_measured_and_an_answer_without_text_is_an_error() -> None:
    async def ask(url: str) -> float:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await first_token_ms(client, url, {"messages": [{"role": "user", "content": "q"}], "stream": True})

    with FakeEngine() as engine:
        assert asyncio.run(ask(engine.url)) > 0
        engine.script = EngineScript(answer=())
        with pytest.raises(StepFailed, match="an answer without text"):
            asyncio.run(ask(engine.url))


def test_a_command_is_measured_with_its_own_summary_and_a_failing_one_is_an_error(tmp_path: Path) -> None:
    env = ServeSettings(home=tmp_path).child_env()
    measured = measure(["corpus", "list"], env)
    assert measured["summary"]["corpora"]
    assert measured["wall_s"] > 0
    assert measured["peak_mb"] > 5
    with pytest.raises(StepFailed, match="`chipalign corpus fetch none-such` failed"):
        measure(["corpus", "fetch", "none-such"], env)
