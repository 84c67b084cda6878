"""The engine's client by itself: each way in which an engine fails has its own error; leaving a stream closes it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from serve.answers.upstream import Upstream
from serve.errors import EngineUnavailable, RequestError, UpstreamBroken, UpstreamRefused, UpstreamTimeout
from serve.settings import ServeSettings
from tests.fake_engine import EngineScript, FakeEngine
from tests.rows import for_each

BODY = {"model": "chipalign-demo", "messages": [{"role": "user", "content": "q"}]}


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with FakeEngine() as fake:
        yield fake


def complete(url: str, body: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        async with Upstream(ServeSettings(engine_url=url, **changes)) as upstream:
            return await upstream.complete(body or BODY)

    return asyncio.run(run())


def stream(url: str, take: int = 1000, **changes: Any) -> list[dict[str, Any]]:
    async def run() -> list[dict[str, Any]]:
        async with Upstream(ServeSettings(engine_url=url, **changes)) as upstream:
            chunks: list[dict[str, Any]] = []
            generator = upstream.stream({**BODY, "stream": True})
            async for chunk in generator:
                chunks.append(chunk)
                if len(chunks) == take:
                    await generator.aclose()
                    break
            return chunks

    return asyncio.run(run())


def text_of(chunks: list[dict[str, Any]]) -> str:
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])


def test_a_whole_and_a_streamed_answer_say_the_same(engine: FakeEngine) -> None:
    assert (
        complete(engine.url)["choices"][0]["message"]["content"]
        == text_of(stream(engine.url))
        == "Run `repair_antennas` [1]."
    )


def test_leaving_a_stream_closes_the_connection_to_the_engine(engine: FakeEngine) -> None:
    engine.script = EngineScript(hold_after=1)
    assert text_of(stream(engine.url, take=2)) == "Run "
    assert engine.hung_up.wait(10)


def test_an_engine_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(EngineUnavailable, match=r"http://127.0.0.1:9 does not answer"):
        complete("http://127.0.0.1:9")
    with pytest.raises(EngineUnavailable):
        stream("http://127.0.0.1:9")


def test_silence_is_a_timeout_that_names_the_settings(engine: FakeEngine) -> None:
    engine.script = EngineScript(hold_after=0)
    with pytest.raises(UpstreamTimeout, match="CHIPALIGN_ANSWER_TIMEOUT_S"):
        complete(engine.url, answer_timeout_s=0.5)


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        (EngineScript(cut_after=1), UpstreamBroken, "before the answer ended"),
        (EngineScript(error_after=1), UpstreamRefused, "the worker died"),
        (EngineScript(refusal=(503, "no worker is free")), UpstreamRefused, "no worker is free"),
    ],
)
def test_a_stream_that_fails_says_how(
    engine: FakeEngine, script: EngineScript, error: type[Exception], words: str
) -> None:
    engine.script = script
    with pytest.raises(error, match=words):
        stream(engine.url)


def test_a_refusal_keeps_its_status_and_another_program_is_recognised(engine: FakeEngine) -> None:
    engine.script = EngineScript(refusal=(422, "n is too large"))
    with pytest.raises(UpstreamRefused, match="n is too large") as caught:
        complete(engine.url)
    assert (caught.value.status, caught.value.type) == (422, "invalid_request_error")
    engine.script = EngineScript(garbage=True)
    with pytest.raises(UpstreamBroken, match="is it a vLLM server"):
        complete(engine.url)


def test_what_is_not_json_never_leaves_the_gateway(engine: FakeEngine) -> None:
    with pytest.raises(RequestError, match="cannot be sent on as JSON") as caught:
        complete(engine.url, {**BODY, "temperature": float("nan")})
    assert caught.value.status == 400
    assert engine.bodies == []


def test_models_and_readiness_come_from_the_engine(engine: FakeEngine) -> None:
    async def run(url: str) -> tuple[bool, list[dict[str, Any]]]:
        async with Upstream(ServeSettings(engine_url=url)) as upstream:
            ready = await upstream.is_ready()
            return ready, await upstream.models() if ready else []

    ready, models = asyncio.run(run(engine.url))
    assert ready
    assert models[0]["max_model_len"] == 4096
    engine.script = EngineScript(healthy=False)
    assert asyncio.run(run(engine.url)) == (False, [])
    assert asyncio.run(run("http://127.0.0.1:9")) == (False, [])


@for_each(
    ("url", "here"),
    [
        ("http://127.0.0.1:8001", True),
        ("http://localhost:8001", True),
        ("http://[::1]:8001", True),
        ("http://10.1.2.3:8001", False),
        ("https://gpu.example", False),
    ],
)
def test_the_proxies_of_a_company_are_asked_only_for_other_machines(url: str, here: bool) -> None:
    assert Upstream(ServeSettings(engine_url=url))._client.trust_env is not here
