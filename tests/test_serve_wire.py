"""What goes over the wire, byte by byte and by OpenAI's own types: answers, streams, tools, images, bodies, bugs of
ours.
"""

from __future__ import annotations

import http.client
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from rag.documents import Chunk, Hit
from rag.search.retriever import Retriever
from tests.conftest import Gateway
from tests.fake_engine import ENGINE_MODEL, EngineScript, FakeEngine

JSON = {"content-type": "application/json"}
QUESTION = "Which command fixes antenna violations?"
ANTENNA: dict[str, Any] = {"messages": [{"role": "user", "content": QUESTION}]}
NOTHING: dict[str, Any] = {"messages": [{"role": "user", "content": "What is the best recipe for tomato soup?"}]}
GREETING: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}
TOOLS = {
    "tools": [{"type": "function", "function": {"name": "run_sta", "parameters": {"type": "object", "properties": {}}}}]
}


def post(url: str, body: Mapping[str, Any], **more: Any) -> httpx.Response:
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=20, **more)


def stream(url: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The chunks of a stream that ends well."""
    text = post(url, {**body, "stream": True}).text
    *data, done = [event.removeprefix("data: ") for event in text.split("\n\n") if event]
    assert done == "[DONE]"
    return [json.loads(each) for each in data]


def chunk(delta: Mapping[str, Any], index: int = 0, finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": index, "delta": dict(delta), "logprobs": None, "finish_reason": finish_reason}
    return {
        "id": "chatcmpl-9",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": ENGINE_MODEL,
        "choices": [choice],
    }


# Answers


@pytest.mark.parametrize("more", [{}, {"n": 2}, {"retrieval": {"enabled": False}}, {"max_completion_tokens": 5}])
@pytest.mark.parametrize("body", [ANTENNA, NOTHING, GREETING], ids=["answered", "nothing-found", "greeting"])
def test_every_whole_answer_is_one_by_openais_types(gateway: str, body: dict[str, Any], more: dict[str, Any]) -> None:
    answer = post(gateway, {**body, **more}).json()
    parsed = ChatCompletion.model_validate(answer)
    assert parsed.choices[0].message.role == "assistant"
    assert parsed.usage is not None
    assert parsed.usage.total_tokens == parsed.usage.prompt_tokens + parsed.usage.completion_tokens
    assert set(answer["retrieval"]) == {
        *("enabled", "query", "not_searched", "fallback", "refused", "shortened", "hits", "quotes")
    }


@pytest.mark.parametrize("more", [{}, {"n": 2}, {"stream_options": {"include_usage": True}}])
@pytest.mark.parametrize("body", [ANTENNA, NOTHING, GREETING], ids=["answered", "nothing-found", "greeting"])
def test_every_chunk_of_a_stream_is_one_by_openais_types(
    gateway: str, body: dict[str, Any], more: dict[str, Any]
) -> None:
    chunks = [ChatCompletionChunk.model_validate(each) for each in stream(gateway, {**body, **more})]
    assert len({each.id for each in chunks}) == 1
    assert {each.object for each in chunks} == {"chat.completion.chunk"}
    assert (chunks[-1].usage is not None) == ("stream_options" in more)
    ends = [choice.index for each in chunks for choice in each.choices if choice.finish_reason]
    assert ends == sorted(set(ends))  # every choice ends once


@pytest.mark.parametrize("more", [{}, {"n": 3}])
def test_the_gateways_own_answer_says_the_same_whole_and_streamed(gateway: str, more: dict[str, Any]) -> None:
    whole = ChatCompletion.model_validate(post(gateway, {**NOTHING, **more}).json())
    said: dict[int, str] = {}
    for each in stream(gateway, {**NOTHING, **more, "stream_options": {"include_usage": True}}):
        for choice in each["choices"]:
            said[choice["index"]] = said.get(choice["index"], "") + (choice["delta"].get("content") or "")
        last = each
    assert said == {choice.index: choice.message.content for choice in whole.choices}
    assert whole.usage is not None
    assert last["usage"] == whole.usage.model_dump(exclude_unset=True)


def test_a_model_name_with_slashes_is_one_name(gateway_at: Gateway, engine: FakeEngine) -> None:
    engine.script = EngineScript(models=[{"id": "org/chip-7b", "max_model_len": 4096}])
    with gateway_at(engine.url) as url:
        assert httpx.get(f"{url}/v1/models/org/chip-7b").json()["id"] == "org/chip-7b"
        response = httpx.get(f"{url}/v1/models/org/other")
        assert response.status_code == 404
        assert (
            response.json()["error"]["message"]
            == "The model 'org/other' does not exist; this gateway serves org/chip-7b, org/chip-7b-plain, "
            "org/chip-7b@notes."
        )


def test_what_the_engine_says_of_the_text_comes_through_and_its_internals_do_not(
    gateway: str, engine: FakeEngine
) -> None:
    message = {"role": "assistant", "content": "x", "reasoning_content": "because", "tool_calls": []}
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": "stop",
        "stop_reason": 2,
        "logprobs": {"content": []},
    }
    engine.script = EngineScript(
        whole={
            "id": "1",
            "object": "chat.completion",
            "choices": [{**choice, "token_ids": [1, 2], "routed_experts": "AAAA"}],
            "prompt_logprobs": None,
            "kv_transfer_params": {"remote_host": "10.0.0.7"},
            "service_tier": "x",
        }
    )
    answer = post(gateway, GREETING).json()
    assert answer["choices"][0]["message"].pop("verification")["mode"] == "model"
    annotated = {**choice, "message": {**message, "annotations": []}}
    expected = {
        "id": "1",
        "object": "chat.completion",
        "choices": [annotated],
        "model": ENGINE_MODEL,
        "service_tier": "x",
    }
    assert {name: value for name, value in answer.items() if name != "retrieval"} == expected


# Streams


def test_a_stream_is_framed_as_server_sent_events_that_no_proxy_holds_back(gateway: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(answer=("line\n", "two\r\n\r\n", "data: [DONE]\u2028", "ü 你 🔧"))
    response = post(gateway, {**ANTENNA, "stream": True})
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"
    assert re.fullmatch(rb"(data: \{[^\r\n]*\}\n\n)+data: \[DONE\]\n\n", response.content)
    pieces = [each["choices"][0]["delta"].get("content") or "" for each in stream(gateway, ANTENNA)]
    assert "".join(pieces) == "".join(engine.script.answer)


def test_tool_calls_stream_through_unchanged(gateway: str, engine: FakeEngine) -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "run_sta", "arguments": ""}}
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"clock":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ' "core"}'}}]},
    ]
    engine.script = EngineScript(chunks=(*(chunk(delta) for delta in deltas), chunk({}, finish_reason="tool_calls")))
    chunks = stream(gateway, {**ANTENNA, **TOOLS})
    assert chunks[-1]["choices"][0]["delta"].pop("verification")["sentences"] == []
    assert [each["choices"][0]["delta"] for each in chunks] == [*deltas, {"annotations": []}]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_each_of_several_answers_gets_the_citations_of_its_own_text(gateway: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(
        chunks=(
            chunk({"content": "Fixed with `repair_antennas` "}, 0),
            chunk({"content": "`repair_antennas` [1] inserts diode cells"}, 1),
            chunk({"content": "[1]"}, 0),
            chunk({}, 1, "stop"),
            chunk({}, 0, "length"),
        )
    )
    ends = {
        each["choices"][0]["index"]: each["choices"][0]["delta"]["annotations"]
        for each in stream(gateway, {**ANTENNA, "n": 2})[-2:]
    }
    places = {
        index: [(a["url_citation"]["start_index"], a["url_citation"]["end_index"]) for a in found]
        for index, found in ends.items()
    }
    assert places == {0: [(29, 32)], 1: [(18, 21)]}


def test_a_stream_without_any_chunk_is_an_error_with_its_own_status(gateway: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(chunks=())
    response = post(gateway, {**ANTENNA, "stream": True})
    assert response.status_code == 502
    assert "before the answer began" in response.json()["error"]["message"]


def test_one_held_stream_holds_up_nobody_else_and_is_counted_while_it_lasts(gateway: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(hold_after=1)
    with httpx.stream("POST", f"{gateway}/v1/chat/completions", json={**ANTENNA, "stream": True}, timeout=20) as held:
        lines = held.iter_lines()
        assert "retrieval" in next(lines)
        engine.script = EngineScript()
        assert post(gateway, ANTENNA).status_code == 200
        assert "chipalign_requests_in_flight 1.0" in httpx.get(f"{gateway}/metrics").text
        engine.release()
        assert "data: [DONE]" in list(lines)
    assert "chipalign_requests_in_flight 0.0" in httpx.get(f"{gateway}/metrics").text


def test_the_time_to_the_first_token_is_counted_for_streams_alone(fresh_gateway: str) -> None:
    post(fresh_gateway, ANTENNA)
    stream(fresh_gateway, ANTENNA)
    text = httpx.get(f"{fresh_gateway}/metrics").text
    assert "chipalign_ttft_seconds_count 1.0" in text
    assert "chipalign_retrieval_seconds_count 2.0" in text


# Requests


def test_an_image_beside_the_question_stays_where_the_model_can_see_it(gateway: str, engine: FakeEngine) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    body: dict[str, Any] = {"messages": [{"role": "user", "content": [image, {"type": "text", "text": QUESTION}]}]}
    assert post(gateway, body).json()["retrieval"]["query"] == QUESTION
    text, kept = engine.bodies[-1]["messages"][-1]["content"]
    assert kept == image
    assert text["type"] == "text"
    assert "repair_antennas" in text["text"]


def test_a_developer_message_is_a_system_message_and_stays_one(gateway: str, engine: FakeEngine) -> None:
    post(gateway, {"messages": [{"role": "developer", "content": "Be brief."}, *ANTENNA["messages"]]})
    first, _ = engine.bodies[-1]["messages"]
    assert first["role"] == "developer"
    assert first["content"].endswith("Be brief.")
    assert first["content"] != "Be brief."


def test_a_body_may_come_in_pieces_without_a_length(gateway: str) -> None:
    body = json.dumps(ANTENNA).encode()
    pieces = iter([body[:7], body[7:30], body[30:]])
    assert httpx.post(f"{gateway}/v1/chat/completions", content=pieces, headers=JSON, timeout=20).status_code == 200


def test_several_requests_may_follow_each_other_on_one_connection(gateway: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(gateway.rsplit(":", 1)[1]), timeout=20)
    statuses = []
    bodies: tuple[dict[str, Any], ...] = (ANTENNA, {"messages": []}, NOTHING)
    for body in bodies:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), JSON)
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
    connection.close()
    assert statuses == [200, 400, 200]


def test_a_client_that_leaves_amid_its_body_is_noted_and_harms_nobody(fresh_gateway: str) -> None:
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length:"
        b" 500\r\n\r\n{"
    )
    with socket.create_connection(("127.0.0.1", int(fresh_gateway.rsplit(":", 1)[1]))) as connection:
        connection.sendall(head)
    counted = 'chipalign_requests_total{path="/v1/chat/completions",status="499"} 1.0'
    deadline = time.monotonic() + 10
    while counted not in httpx.get(f"{fresh_gateway}/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert post(fresh_gateway, ANTENNA).status_code == 200


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_refused_with_the_one_that_is_right(gateway: str, method: str) -> None:
    response = httpx.request(method, f"{gateway}/v1/chat/completions")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    if method != "HEAD":
        assert response.json()["error"]["message"] == f"/v1/chat/completions answers POST, not {method}."


@pytest.mark.parametrize(
    "path",
    ["/v1/chat/completionsx", "/V1/models", "/sources/", "/sources/a/b", "//v1/models", "/%2e%2e/etc/passwd", "/ü"],
)
def test_a_path_that_is_none_is_quoted_back_in_the_envelope_as_plain_json(gateway: str, path: str) -> None:
    response = httpx.get(httpx.URL(gateway + path))
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/json"
    assert response.json()["error"]["code"] == "not_found"


def test_every_answer_carries_a_request_id_and_no_two_the_same(gateway: str) -> None:
    bodies: tuple[dict[str, Any], ...] = (ANTENNA, {"messages": []}, NOTHING)
    ids = [post(gateway, body).headers["x-request-id"] for body in bodies]
    ids.append(httpx.get(f"{gateway}/nothing").headers["x-request-id"])
    assert len(set(ids)) == 4
    assert all(re.fullmatch(r"[0-9a-f]{32}", each) for each in ids)


@pytest.mark.parametrize("given", ["x" * 129, "a b", "é", "", "a\tb"])
def test_a_request_id_that_could_harm_logs_or_headers_is_replaced(gateway: str, given: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(gateway.rsplit(":", 1)[1]), timeout=20)
    connection.request("GET", "/health", headers={"x-request-id": given.encode("latin-1")})
    answered = connection.getresponse().headers["x-request-id"]
    connection.close()
    assert re.fullmatch(r"[0-9a-f]{32}", answered)


# What the engine should not do, and what we should not


@pytest.mark.parametrize("models", [[], [{}], ["name"], [{"id": None}], "none", {"id": "x"}])
def test_an_engine_that_lists_no_model_is_reported_as_such(
    gateway_at: Gateway, engine: FakeEngine, models: Any
) -> None:
    engine.script = EngineScript(models=models)
    with gateway_at(engine.url) as url:
        for response in (post(url, ANTENNA), httpx.get(f"{url}/v1/models")):
            assert response.status_code == 502
            said = response.json()["error"]["message"]
            assert said.startswith("The model engine's list of models has a wrong shape, 'data")
            assert said.endswith(": is it a vLLM server?")


def test_without_a_context_window_the_engines_own_refusal_has_to_do(gateway_at: Gateway, engine: FakeEngine) -> None:
    engine.script = EngineScript(
        models=[{"id": ENGINE_MODEL}], refusal=(400, "This model's maximum context length is 99 tokens.")
    )
    with gateway_at(engine.url) as url:
        response = post(url, ANTENNA)
    assert response.json()["error"]["code"] == "context_length_exceeded"


class BrokenStore:
    """An index that fails on every search, as one would whose file is damaged while it is open."""

    def __init__(self, retriever: Retriever) -> None:
        self.collections = retriever.collections
        self.chunk_count = retriever.chunk_count

    def search(self, query: str, top_k: int = 5) -> list[Hit]:
        raise RuntimeError(f"secret details of {query}")

    def chunk(self, chunk_id: str) -> Chunk | None:
        raise RuntimeError(f"secret details of {chunk_id}")


@pytest.mark.parametrize("streamed", [False, True])
def test_a_bug_of_ours_is_a_sentence_to_the_client_and_a_traceback_in_the_log(
    gateway_at: Gateway,
    engine: FakeEngine,
    small_retriever: Retriever,
    caplog: pytest.LogCaptureFixture,
    streamed: bool,
) -> None:
    with (
        gateway_at(engine.url, store=BrokenStore(small_retriever)) as url,
        caplog.at_level(logging.ERROR, "chipalign.gateway"),
    ):
        response = post(url, {**ANTENNA, "stream": streamed}, headers={"x-request-id": "ticket-7"})
        assert response.status_code == 500
        error = response.json()["error"]
        assert error["message"] == "The gateway failed on this request; its log says why under request id ticket-7."
        assert (error["type"], error["code"]) == ("server_error", "internal_error")
        assert "request ticket-7 failed" in caplog.text
        assert "RuntimeError: secret details" in caplog.text
        assert httpx.get(f"{url}/sources/abc").status_code == 500
        assert post(url, GREETING).status_code == 200  # what needs no search goes on


def test_a_chunk_that_we_cannot_read_ends_the_stream_with_an_error_event(
    fresh_gateway: str, engine: FakeEngine
) -> None:
    engine.script = EngineScript(chunks=(chunk({"content": "x"}), {"choices": [{"index": "x", "delta": {}}]}))
    response = post(fresh_gateway, {**ANTENNA, "stream": True})
    assert response.status_code == 200
    last = json.loads(response.text.strip().rsplit("data: ", 1)[1])
    assert last["error"]["code"] == "upstream_error"
    assert "'choices.0.index' is 'x'" in last["error"]["message"]
    assert "[DONE]" not in response.text
    assert "chipalign_broken_streams_total 1.0" in httpx.get(f"{fresh_gateway}/metrics").text


def test_the_key_is_asked_for_before_the_body_is_read_or_the_engine_asked(gateway_at: Gateway) -> None:
    with gateway_at("http://127.0.0.1:9", api_key="s3cret") as url:
        assert httpx.post(f"{url}/v1/chat/completions", content=b"{oops").status_code == 401
        right = {**JSON, "authorization": "Bearer s3cret"}
        assert httpx.post(f"{url}/v1/chat/completions", content=b"{oops", headers=right).status_code == 400
        assert post(url, ANTENNA, headers=right).status_code == 503


def test_streams_of_many_clients_do_not_mix(gateway: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(answer=tuple(f"w{number} " for number in range(50)))
    texts: list[str] = []

    def read() -> None:
        texts.append("".join(each["choices"][0]["delta"].get("content") or "" for each in stream(gateway, ANTENNA)))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == ["".join(engine.script.answer)] * 8
