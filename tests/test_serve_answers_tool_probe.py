"""serve.answers.tool_probe: an engine is asked once whether it calls tools, and again where its answer may change."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest

import serve.answers.tool_probe
from serve.answers.tool_probe import AGAIN_S, HOLDS_S, ToolProbe
from serve.answers.upstream import Upstream
from serve.settings import ServeSettings
from tests.conftest import free_port
from tests.fake_engine import EngineScript, FakeEngine


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with FakeEngine() as fake:
        yield fake


class Clock:
    """The time as a test sets it, in the place of the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(serve.answers.tool_probe, "time", clock)
    return clock


def refusing(status: int, message: str) -> EngineScript:
    """An engine that answers every request so."""
    body = json.dumps({"error": {"message": message, "type": "Error", "code": status}}).encode()
    head = f"HTTP/1.1 {status} No\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return EngineScript(raw=(f"{head}Connection: close\r\n\r\n".encode(), body))  # as the fake does after raw bytes


def ask(url: str, *models: str) -> list[bool]:
    """What one probe finds for each model, in order."""

    async def run() -> list[bool]:
        async with Upstream(ServeSettings(engine_url=url, connect_timeout_s=1)) as upstream:
            probe = ToolProbe(upstream)
            return [await probe.calls_tools(model) for model in models]

    return asyncio.run(run())


def asked(engine: FakeEngine) -> int:
    return len(engine.probes)


def test_an_engine_with_a_parser_calls_tools_and_is_asked_once_for_each_model(engine: FakeEngine) -> None:
    assert ask(engine.url, "a", "a", "b") == [True, True, True]
    assert [probe["model"] for probe in engine.probes] == ["a", "b"]
    assert engine.probes[0]["max_tokens"] == 1


def test_an_engine_without_a_parser_calls_none_which_the_log_says(
    engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.script = EngineScript(tool_parser=False)
    with caplog.at_level(logging.INFO, "chipalign.gateway"):
        assert ask(engine.url, "a", "a") == [False, False]
    assert asked(engine) == 1
    [line] = caplog.messages
    assert line.startswith("the engine cannot call tools: ")
    assert "--tool-call-parser" in line


def test_an_engine_that_refuses_for_another_reason_or_is_not_there_is_taken_to_be_able(engine: FakeEngine) -> None:
    engine.script = refusing(404, "The model `a` does not exist.")
    assert ask(engine.url, "a") == [True]
    assert ask(f"http://127.0.0.1:{free_port()}", "a") == [True]


def test_a_finding_holds_for_a_while_and_silence_for_a_shorter_one(engine: FakeEngine, clock: Clock) -> None:
    async def run() -> list[bool]:
        async with Upstream(ServeSettings(engine_url=engine.url)) as upstream:
            probe = ToolProbe(upstream)
            found = [await probe.calls_tools("a")]
            engine.script = EngineScript(tool_parser=False)  # another engine took its place
            for passed in (HOLDS_S - 1, 2):
                clock.now += passed
                found.append(await probe.calls_tools("a"))
            engine.script = refusing(503, "The engine is starting.")
            clock.now += HOLDS_S + 1
            found.append(await probe.calls_tools("a"))
            engine.script = EngineScript(tool_parser=False)
            for passed in (AGAIN_S - 1, 2):
                clock.now += passed
                found.append(await probe.calls_tools("a"))
            return found

    assert asyncio.run(run()) == [True, True, False, True, True, False]
