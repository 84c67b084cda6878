"""/v1/completions and /v1/messages on a real socket: what OpenAI's and Anthropic's own clients get of the engine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.conftest import Gateway, OpenAIAt, free_port
from tests.fake_engine import ENGINE_MODEL, EngineScript, FakeEngine

SAID = "Run `repair_antennas` [1]."
ASKED = "Which command fixes antenna violations?"
PROMPT: dict[str, Any] = {"prompt": ASKED, "max_tokens": 9}
MESSAGE: dict[str, Any] = {"max_tokens": 9, "messages": [{"role": "user", "content": ASKED}]}
PATHS = {"/v1/completions": PROMPT, "/v1/messages": MESSAGE, "/v1/messages/count_tokens": MESSAGE}


@pytest.fixture
def claude(gateway: str) -> Iterator[Any]:
    """Anthropic's own client."""
    with anthropic.Anthropic(base_url=gateway, api_key="none", max_retries=0, timeout=20) as client:
        yield client


def post(url: str, path: str, **more: Any) -> httpx.Response:
    return httpx.post(f"{url}{path}", json={**PATHS[path], **more}, timeout=20)


def events(url: str, path: str) -> list[str]:
    with httpx.stream("POST", f"{url}{path}", json={**PATHS[path], "stream": True}, timeout=20) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache"
        return [line for line in response.iter_lines() if line]


def test_openais_client_completes_a_text_whole_and_as_a_stream(
    gateway: str, engine: FakeEngine, openai_at: OpenAIAt
) -> None:
    client = openai_at(gateway)
    whole = client.completions.create(model=ENGINE_MODEL, **PROMPT, logprobs=1)
    assert (whole.choices[0].text, whole.object, whole.usage.total_tokens) == (SAID, "text_completion", 12)
    stream = client.completions.create(
        model=ENGINE_MODEL, **PROMPT, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == SAID
    assert chunks[-1].usage.total_tokens == 12
    # Nothing was searched, and nothing was added
    assert engine.bodies[0] == {**PROMPT, "model": ENGINE_MODEL, "logprobs": 1}


def test_anthropics_client_gets_a_message_whole_and_as_a_stream(claude: Any, engine: FakeEngine) -> None:
    whole = claude.messages.create(model=ENGINE_MODEL, **MESSAGE, system="Be brief.")
    assert (whole.content[0].text, whole.stop_reason, whole.usage.output_tokens) == (SAID, "end_turn", 3)
    with claude.messages.stream(model=ENGINE_MODEL, **MESSAGE) as stream:
        assert "".join(stream.text_stream) == SAID
        assert stream.get_final_message().stop_reason == "end_turn"
    assert claude.messages.count_tokens(model=ENGINE_MODEL, messages=MESSAGE["messages"]).input_tokens == 9
    assert engine.bodies[0] == {**MESSAGE, "model": ENGINE_MODEL, "system": "Be brief."}


@pytest.mark.parametrize("path", PATHS)
def test_without_a_model_the_gateways_own_is_meant(gateway: str, engine: FakeEngine, path: str) -> None:
    assert post(gateway, path).status_code == 200
    assert engine.bodies[-1]["model"] == ENGINE_MODEL


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/messages"])
def test_each_piece_of_a_stream_arrives_before_the_next_is_said(gateway: str, engine: FakeEngine, path: str) -> None:
    engine.script = EngineScript(hold_after=1)
    body = {**PATHS[path], "stream": True}
    with httpx.stream("POST", f"{gateway}{path}", json=body, timeout=20) as response:
        lines = response.iter_lines()
        while '"Run "' not in next(lines):
            pass
        engine.release()
        assert any("[1]." in line for line in lines)


def test_the_events_of_a_message_have_their_names(gateway: str) -> None:
    lines = events(gateway, "/v1/messages")
    names = [line.removeprefix("event: ") for line in lines[::2]]
    assert names == [json.loads(line.removeprefix("data: "))["type"] for line in lines[1::2]]
    assert (names[0], names[-1]) == ("message_start", "message_stop")


@pytest.mark.parametrize(
    ("script", "said"),
    [(EngineScript(error_after=1), "the worker died"), (EngineScript(cut_after=1), "closed the stream before")],
)
def test_a_broken_stream_ends_in_the_error_of_its_api(
    gateway: str, engine: FakeEngine, script: EngineScript, said: str, openai_at: OpenAIAt, claude: Any
) -> None:
    engine.script = script
    with pytest.raises(openai.APIError, match=said):
        list(openai_at(gateway).completions.create(model=ENGINE_MODEL, **PROMPT, stream=True))
    assert not any("[DONE]" in line for line in events(gateway, "/v1/completions"))
    with pytest.raises(anthropic.APIError, match=said):
        list(claude.messages.create(model=ENGINE_MODEL, **MESSAGE, stream=True))


def test_refusals_of_the_engine_become_the_clients_own_errors(
    gateway: str, engine: FakeEngine, openai_at: OpenAIAt, claude: Any
) -> None:
    engine.script = EngineScript(refusal=(400, "This model's maximum context length is 4096 tokens."))
    with pytest.raises(openai.BadRequestError) as from_openai:
        openai_at(gateway).completions.create(model=ENGINE_MODEL, **PROMPT)
    assert from_openai.value.code == "context_length_exceeded"
    for stream in (False, True):
        with pytest.raises(anthropic.BadRequestError, match="maximum context length") as from_anthropic:
            claude.messages.create(model=ENGINE_MODEL, **MESSAGE, stream=stream)
        body: Any = from_anthropic.value.body
        assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")


@pytest.mark.parametrize(("path", "kind"), [("/v1/messages", "overloaded_error"), ("/v1/completions", "server_error")])
def test_an_engine_that_is_down_is_503(gateway_at: Gateway, path: str, kind: str) -> None:
    with gateway_at(f"http://127.0.0.1:{free_port()}") as url:
        response = post(url, path)
    assert (response.status_code, response.json()["error"]["type"]) == (503, kind)
    assert response.headers["retry-after"]


@pytest.mark.parametrize("path", PATHS)
def test_an_engine_that_answers_nonsense_is_502(gateway: str, engine: FakeEngine, path: str) -> None:
    engine.script = EngineScript(whole={"choices": "none", "content": 7, "input_tokens": "many"})
    response = post(gateway, path)
    assert response.status_code == 502
    assert "is it a vLLM server?" in response.json()["error"]["message"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("more", "status"), [({"model": "claude-4"}, 404), ({"model": 7}, 400), ({"stream": "yes"}, 400)]
)
def test_a_wrong_request_never_reaches_the_engine(
    gateway: str, engine: FakeEngine, path: str, more: dict[str, Any], status: int
) -> None:
    response = post(gateway, path, **more)
    assert response.status_code == status
    assert (response.json().get("type") == "error") == (path != "/v1/completions")
    assert engine.bodies == []


def test_a_key_is_asked_for_and_refused_in_anthropics_words(gateway_at: Gateway, engine: FakeEngine) -> None:
    with gateway_at(engine.url, api_key="sk-right") as url:
        wrong = anthropic.Anthropic(base_url=url, api_key="sk-wrong", max_retries=0)
        with wrong, pytest.raises(anthropic.AuthenticationError):
            wrong.messages.create(model=ENGINE_MODEL, **MESSAGE)
        with anthropic.Anthropic(base_url=url, auth_token="sk-right", max_retries=0) as right:
            assert right.messages.create(model=ENGINE_MODEL, **MESSAGE).content
        error = post(url, "/v1/messages").json()
    assert (error["type"], error["error"]["type"]) == ("error", "authentication_error")


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/messages"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_ends_the_engines_work(
    gateway: str, engine: FakeEngine, path: str, stream: bool
) -> None:
    engine.script = EngineScript(hold_after=0)
    body = {**PATHS[path], "stream": stream}
    with pytest.raises(httpx.ReadTimeout), closing(httpx.Client(timeout=0.5)) as client:
        client.post(f"{gateway}{path}", json=body)
    assert engine.hung_up.wait(10)


def test_answers_in_flight_are_limited_together_with_chats(gateway_at: Gateway, engine: FakeEngine) -> None:
    engine.script = EngineScript(hold_after=0)
    with gateway_at(engine.url, answers_in_flight=1) as url:
        first = threading.Thread(target=post, args=(url, "/v1/completions"))
        first.start()
        while not engine.bodies:
            threading.Event().wait(0.02)
        refused = post(url, "/v1/messages")
        engine.release()
        first.join(20)
    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "rate_limit_error")
