"""The fake engine keeps its script, and what it says has the form in which vLLM says it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.fake_engine import ENGINE_MODEL, EngineScript, FakeEngine

BODY = {"messages": [{"role": "user", "content": "q"}]}


def stream(engine: FakeEngine, **more: Any) -> list[str]:
    with httpx.stream("POST", f"{engine.url}/v1/chat/completions", json={**BODY, "stream": True, **more}) as response:
        return [line[6:] for line in response.iter_lines() if line.startswith("data: ")]


def text_of(events: list[str]) -> str:
    chunks = [json.loads(event) for event in events if event != "[DONE]"]
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk.get("choices", ()))


def test_both_ways_give_the_same_answer_and_bodies_are_kept() -> None:
    with FakeEngine() as engine:
        whole = httpx.post(f"{engine.url}/v1/chat/completions", json=BODY).json()
        events = stream(engine, stream_options={"include_usage": True})
        assert whole["choices"][0]["message"]["content"] == text_of(events) == "Run `repair_antennas` [1]."
        assert events[-1] == "[DONE]"
        assert json.loads(events[-2])["usage"] == whole["usage"]
        assert [body.get("stream") for body in engine.bodies] == [None, True]
        assert httpx.get(f"{engine.url}/v1/models").json()["data"][0]["id"] == ENGINE_MODEL


@pytest.mark.parametrize("script", [EngineScript(cut_after=1), EngineScript(error_after=1)])
def test_a_broken_stream_has_no_end_mark(script: EngineScript) -> None:
    with FakeEngine(script) as engine:
        events = stream(engine)
        assert text_of(events[:2]) == "Run "
        assert "[DONE]" not in events
        assert ("error" in json.loads(events[-1])) == (script.error_after is not None)


def test_refusals_health_and_garbage() -> None:
    with FakeEngine(EngineScript(refusal=(404, "no such model"), healthy=False)) as engine:
        assert httpx.post(f"{engine.url}/v1/chat/completions", json=BODY).json()["error"]["message"] == "no such model"
        assert httpx.get(f"{engine.url}/health").status_code == 503
        engine.script = EngineScript(garbage=True)
        assert "html" in httpx.post(f"{engine.url}/v1/chat/completions", json=BODY).text
