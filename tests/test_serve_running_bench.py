"""What the bench computes from its measurements; the measuring itself is `make bench`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from rag.search.retriever import Retriever
from serve.errors import StepFailed
from serve.running.bench import first_token_ms, free_ports, measure, quantiles, read_questions, time_answers
from serve.running.load_bench import LOAD_OPTIONS, time_load
from serve.running.up import is_free
from serve.settings import ServeSettings
from tests.conftest import Gateway
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


def test_the_time_to_the_first_token_is_measured_and_an_empty_answer_is_an_error() -> None:
    async def ask(url: str) -> float:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await first_token_ms(client, url, {"messages": [{"role": "user", "content": "q"}], "stream": True})

    with FakeEngine() as engine:
        assert asyncio.run(ask(engine.url)) > 0
        engine.script = EngineScript(answer=())
        with pytest.raises(StepFailed, match="an answer without text"):
            asyncio.run(ask(engine.url))


ANTENNA, HOLD = "Which command fixes antenna violations?", "Which command repairs hold violations?"


def time_answers_at(url: str, retriever: Retriever) -> dict[str, Any]:
    """What the bench measures of answers at a gateway."""
    settings = ServeSettings(gateway_port=int(url.rpartition(":")[2]))

    async def measure_answers() -> dict[str, Any]:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await time_answers(client, settings, retriever, [ANTENNA, HOLD])

    return asyncio.run(measure_answers())


def test_quotes_and_auto_are_measured_beside_a_search(
    gateway_at: Gateway, engine: FakeEngine, small_retriever: Retriever
) -> None:
    with gateway_at(engine.url, answer="auto") as url:
        measured = time_answers_at(url, small_retriever)
    assert [measured[name]["n"] for name in ("search", "quotes", "auto_first_token")] == [2, 2, 2]
    ratio = measured["quotes"]["p50_ms"] / measured["search"]["p50_ms"]
    assert measured["quotes_to_search_p50"] == pytest.approx(ratio, abs=0.01)
    assert len(engine.bodies) == 3  # auto alone asks the engine: once to warm up, and once for each question


def test_under_load_the_gateway_is_measured_beside_its_engine(
    gateway_at: Gateway, engine: FakeEngine, small_retriever: Retriever
) -> None:
    messages = [{"role": "user", "content": ANTENNA}]
    with gateway_at(engine.url) as url:
        port = int(url.rpartition(":")[2])
        settings = ServeSettings(gateway_port=port, engine_url=engine.url)

        async def measure_load() -> dict[str, Any]:
            body = {"messages": messages, **LOAD_OPTIONS}
            async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
                return await time_load(client, settings, [(body, body)] * 6, in_flight=3)

        measured = asyncio.run(measure_load())
    assert [measured[way]["asked"] for way in ("gateway", "engine")] == [12, 12]
    assert measured["retrieval_ms_mean"] > 0
    firsts = [measured[way]["first_ms_mean"] for way in ("gateway", "engine")]
    beyond = firsts[0] - firsts[1] - measured["retrieval_ms_mean"]
    assert measured["first_token_beyond_retrieval_ms"] == pytest.approx(beyond, abs=0.2)
    assert len(engine.bodies) == 28  # two of each to warm up


def test_a_gateway_that_does_not_answer_in_auto_is_not_measured(
    gateway_at: Gateway, engine: FakeEngine, small_retriever: Retriever
) -> None:
    with gateway_at(engine.url, answer="model") as url, pytest.raises(StepFailed, match="answers in mode model"):
        time_answers_at(url, small_retriever)


def test_a_command_is_measured_with_its_own_summary_and_a_failing_one_is_an_error(tmp_path: Path) -> None:
    env = ServeSettings(home=tmp_path).child_env()
    measured = measure(["corpus", "list"], env)
    assert measured["summary"]["corpora"]
    assert measured["wall_s"] > 0
    assert measured["peak_mb"] > 5
    with pytest.raises(StepFailed, match="`chipalign corpus fetch none-such` failed"):
        measure(["corpus", "fetch", "none-such"], env)
