"""The gateway over a real socket, before an engine that can be made to fail: what a client sees on every route and in
every mishap.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

import httpx
import openai
import pytest

from tests.conftest import Gateway, OpenAIAt
from tests.fake_engine import ENGINE_MODEL, EngineScript, FakeEngine

JSON = {"content-type": "application/json"}
ANTENNA = {"messages": [{"role": "user", "content": "Which command fixes antenna violations?"}]}
NOTHING = {"messages": [{"role": "user", "content": "What is the best recipe for tomato soup?"}]}
FOLLOW_UP = "Who adds the cells?"  # finds nothing by itself, and does not lean on the turn before by its words


def post(url: str, body: Any, **more: Any) -> httpx.Response:
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=20, **more)


def events(url: str, body: dict[str, Any]) -> list[str]:
    with httpx.stream("POST", f"{url}/v1/chat/completions", json={**body, "stream": True}, timeout=20) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        return [line[6:] for line in response.iter_lines() if line.startswith("data: ")]


def assert_envelope(response: httpx.Response, status: int, code: str | None) -> str:
    assert response.status_code == status
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code
    return str(error["message"])


def test_openais_client_gets_a_whole_answer_with_citations_and_passages(gateway: str, openai_at: OpenAIAt) -> None:
    answer = openai_at(gateway).chat.completions.create(model="chipalign-demo", messages=ANTENNA["messages"])
    message = answer.choices[0].message
    assert message.content == "Run `repair_antennas` [1]."
    assert message.annotations is not None
    where = message.annotations[0].url_citation
    assert message.content[where.start_index : where.end_index] == "[1]"
    assert where.title == "Antenna repair"
    retrieval: Any = answer.model_extra["retrieval"] if answer.model_extra else None
    assert retrieval["hits"][0]["url"] == where.url
    assert "repair_antennas" in httpx.get(where.url).text


def test_openais_client_gets_a_stream_with_passages_first_and_citations_last(gateway: str, openai_at: OpenAIAt) -> None:
    stream = openai_at(gateway).chat.completions.create(
        model="chipalign-demo",
        messages=ANTENNA["messages"],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks: list[Any] = list(stream)
    assert chunks[0].retrieval["hits"][0]["title"] == "Antenna repair"
    assert not any("retrieval" in (chunk.model_extra or {}) for chunk in chunks[1:])
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        == "Run `repair_antennas` [1]."
    )
    (last,) = [chunk.choices[0] for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
    assert last.delta.annotations[0]["url_citation"]["title"] == "Antenna repair"
    assert chunks[-1].usage.total_tokens == 12


def test_the_passages_arrive_before_the_engine_has_said_a_word(gateway: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(hold_after=0)
    with httpx.stream(
        "POST", f"{gateway}/v1/chat/completions", json={**ANTENNA, "stream": True}, timeout=20
    ) as response:
        lines = response.iter_lines()
        first = json.loads(next(lines)[6:])
        assert first["retrieval"]["hits"]
        engine.release()
        assert "data: [DONE]" in list(lines)


def test_unknown_fields_reach_the_engine_and_the_prompt_holds_the_passages(gateway: str, engine: FakeEngine) -> None:
    assert post(gateway, {**ANTENNA, "top_k": 5, "seed": 7, "chat_template_kwargs": {"x": 1}}).status_code == 200
    body = engine.bodies[-1]
    assert (body["top_k"], body["seed"], body["chat_template_kwargs"]) == (5, 7, {"x": 1})
    assert "retrieval" not in body
    assert body["model"] == "chipalign-demo"
    assert "repair_antennas" in body["messages"][-1]["content"]


def test_retrieval_can_be_turned_off(gateway: str, engine: FakeEngine) -> None:
    answer = post(gateway, {**ANTENNA, "retrieval": {"enabled": False}}).json()
    assert answer["retrieval"] == {
        "enabled": False,
        "query": None,
        "not_searched": "off",
        "fallback": False,
        "refused": False,
        "shortened": None,
        "hits": [],
        "quotes": [],
    }
    assert answer["choices"][0]["message"]["annotations"] == []
    assert engine.bodies[-1]["messages"] == ANTENNA["messages"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_question_that_nothing_answers_gets_a_sentence_and_costs_no_engine_time(
    gateway: str, engine: FakeEngine, stream: bool
) -> None:
    if stream:
        chunks = [json.loads(data) for data in events(gateway, NOTHING)[:-1]]
        text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        retrieval = chunks[0]["retrieval"]
    else:
        answer = post(gateway, NOTHING).json()
        text, retrieval = answer["choices"][0]["message"]["content"], answer["retrieval"]
        assert answer["usage"]["total_tokens"] > 0
    assert "notes" in text
    assert (retrieval["hits"], retrieval["refused"]) == ([], True)
    assert engine.bodies == []


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("POST", "/v1/moderations", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("POST", "/v1/chat/completions/", 404, "not_found"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/models/unknown", 404, "model_not_found"),
        ("GET", "/sources/0000", 404, "not_found"),
    ],
)
def test_a_wrong_path_or_method_gets_the_envelope(gateway: str, method: str, path: str, status: int, code: str) -> None:
    message = assert_envelope(httpx.request(method, gateway + path), status, code)
    assert message.endswith(".")


def test_a_path_without_its_beginning_is_offered_the_near_ones(gateway: str) -> None:
    message = assert_envelope(httpx.post(f"{gateway}/chat/completions", json=NOTHING), 404, "not_found")
    assert message.startswith("There is no POST /chat/completions here; near to it are /v1/chat/completions")
    assert message.endswith(", and GET /docs shows all paths.")
    assert len(message) < 250


def test_a_body_without_fields_lacks_what_it_must_have(gateway: str) -> None:
    response = httpx.post(f"{gateway}/v1/chat/completions", content=b"", headers=JSON)
    assert assert_envelope(response, 400, "missing_required_parameter") == "'messages' is missing."


def test_a_body_that_is_not_json_gets_the_envelope(gateway: str) -> None:
    response = httpx.post(f"{gateway}/v1/chat/completions", content=b"{oops", headers=JSON)
    assert "not JSON" in assert_envelope(response, 400, None)


def test_an_empty_question_gets_the_envelope(gateway: str) -> None:
    message = assert_envelope(post(gateway, {"messages": [{"role": "user", "content": ""}]}), 400, None)
    assert "empty: ask a question" in message


def test_a_question_longer_than_the_window_gets_openais_code(gateway: str, openai_at: OpenAIAt) -> None:
    body = {"messages": [{"role": "user", "content": "clock " * 5000}]}
    assert "4096" in assert_envelope(post(gateway, body), 400, "context_length_exceeded")
    with pytest.raises(openai.BadRequestError) as caught:
        openai_at(gateway).chat.completions.create(model=ENGINE_MODEL, messages=body["messages"], stream=True)
    assert caught.value.code == "context_length_exceeded"


def test_a_body_beyond_the_limit_is_refused_without_being_read_whole(gateway: str) -> None:
    body = {"messages": [{"role": "user", "content": "x" * 9_000_000}]}
    assert "8 MiB" in assert_envelope(post(gateway, body), 413, "body_too_large")


def test_an_engine_that_is_down_is_said_with_503_and_when_to_retry(gateway_at: Gateway) -> None:
    with gateway_at("http://127.0.0.1:9") as url:
        response = post(url, ANTENNA)
        assert "starting or down" in assert_envelope(response, 503, "engine_unavailable")
        assert response.headers["retry-after"] == "10"
        assert httpx.get(f"{url}/health").status_code == 200
        ready = httpx.get(f"{url}/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "starting")
        assert_envelope(httpx.get(f"{url}/v1/models"), 503, "engine_unavailable")


def test_an_engine_that_keeps_silent_is_given_up(gateway_at: Gateway, engine: FakeEngine) -> None:
    with gateway_at(engine.url, answer_timeout_s=2.0) as url:
        assert post(url, ANTENNA).status_code == 200
        engine.script = EngineScript(hold_after=0)
        assert "CHIPALIGN_READ_TIMEOUT_S" in assert_envelope(post(url, ANTENNA), 504, "upstream_timeout")


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_engine_refuses_keeps_its_status_and_words(gateway: str, engine: FakeEngine, stream: bool) -> None:
    engine.script = EngineScript(refusal=(400, "temperature must be non-negative"))
    assert (
        assert_envelope(post(gateway, {**ANTENNA, "stream": stream}), 400, None) == "temperature must be non-negative"
    )


@pytest.mark.parametrize(
    "said",
    [  # the two refusals of vllm/renderers/online_renderer.py
        '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        'tool_choice="required" requires --tool-call-parser to be set',
    ],
)
def test_tools_without_a_tool_parser_are_refused_with_the_setting_that_gives_one(
    gateway: str, engine: FakeEngine, said: str, openai_at: OpenAIAt
) -> None:
    engine.script = EngineScript(refusal=(400, said))
    tools = [{"type": "function", "function": {"name": "run_sta", "parameters": {"type": "object", "properties": {}}}}]
    with pytest.raises(openai.BadRequestError) as caught:
        openai_at(gateway).chat.completions.create(model=ENGINE_MODEL, messages=ANTENNA["messages"], tools=tools)
    assert "CHIPALIGN_TOOL_PARSER=NAME" in caught.value.message
    assert engine.bodies[-1]["tools"] == tools


def test_a_follow_up_that_finds_nothing_by_itself_is_searched_with_the_turn_before(
    fresh_gateway: str, engine: FakeEngine
) -> None:
    turns = [
        *ANTENNA["messages"],
        {"role": "assistant", "content": "repair_antennas."},
        {"role": "user", "content": FOLLOW_UP},
    ]
    answer = post(fresh_gateway, {"messages": turns}).json()
    assert answer["retrieval"]["query"] == f"{ANTENNA['messages'][0]['content']} repair_antennas {FOLLOW_UP}"
    assert answer["retrieval"]["fallback"] is True
    assert answer["retrieval"]["hits"][0]["title"] == "Antenna repair"
    assert "diode" in engine.bodies[-1]["messages"][-1]["content"]
    assert 'chipalign_searches_total{found_by="fallback"} 1.0' in httpx.get(f"{fresh_gateway}/metrics").text


def test_another_program_at_the_engines_port_is_recognised(gateway: str, engine: FakeEngine) -> None:
    engine.script = EngineScript(garbage=True)
    assert "is it a vLLM server?" in assert_envelope(post(gateway, ANTENNA), 502, "upstream_error")


@pytest.mark.parametrize("script", [EngineScript(cut_after=2), EngineScript(error_after=2)])
def test_a_stream_that_breaks_ends_with_an_error_event_and_no_done(
    gateway: str, engine: FakeEngine, script: EngineScript, openai_at: OpenAIAt
) -> None:
    engine.script = script
    data = events(gateway, ANTENNA)
    error = json.loads(data[-1])["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "server_error"
    assert "[DONE]" not in data
    with pytest.raises(openai.APIError):
        list(openai_at(gateway).chat.completions.create(model=ENGINE_MODEL, messages=ANTENNA["messages"], stream=True))


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_stops_the_engine(gateway: str, engine: FakeEngine, stream: bool) -> None:
    engine.script = EngineScript(hold_after=1)
    port = int(gateway.rsplit(":", 1)[1])
    body = json.dumps({**ANTENNA, "stream": stream}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
        f"{len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head.encode() + body)
        deadline = time.monotonic() + 10
        while not engine.bodies and time.monotonic() < deadline:
            time.sleep(0.02)
    assert engine.hung_up.wait(10)


def test_the_api_key_is_asked_for_on_v1_alone(gateway_at: Gateway, engine: FakeEngine, openai_at: OpenAIAt) -> None:
    with gateway_at(engine.url, api_key="s3cret") as url:
        assert_envelope(post(url, ANTENNA), 401, "invalid_api_key")
        assert_envelope(httpx.get(f"{url}/v1/models"), 401, "invalid_api_key")
        assert openai_at(url, "s3cret").models.list().data[0].id == "chipalign-demo"
        assert httpx.get(f"{url}/health").status_code == 200
        with pytest.raises(openai.AuthenticationError):
            openai_at(url, "guess").chat.completions.create(model=ENGINE_MODEL, messages=ANTENNA["messages"])


def test_models_are_listed_and_found_by_name(gateway: str, openai_at: OpenAIAt) -> None:
    assert openai_at(gateway).models.list().data[0].id == "chipalign-demo"
    assert openai_at(gateway).models.retrieve("chipalign-demo").owned_by == "chipalign"
    assert "/models/x" not in httpx.get(f"{gateway}/v1/models").text  # the engine's path on disk stays inside


def test_a_model_that_is_not_served_is_refused_before_anything_is_done(gateway: str, engine: FakeEngine) -> None:
    message = assert_envelope(post(gateway, {**NOTHING, "model": "gpt-4o"}), 404, "model_not_found")
    assert "this gateway serves chipalign-demo" in message
    assert engine.bodies == []


def test_ready_reports_what_is_served(gateway: str) -> None:
    ready = httpx.get(f"{gateway}/ready").json()
    said = {"status": "ready", "engine": "ready", "index": "6 passages from notes"}
    assert ready == {**said, "model": "chipalign-demo", "answers": "model"}


def test_metrics_count_requests_and_broken_streams(fresh_gateway: str, engine: FakeEngine) -> None:
    post(fresh_gateway, ANTENNA)
    post(fresh_gateway, NOTHING)
    engine.script = EngineScript(cut_after=1)
    events(fresh_gateway, ANTENNA)
    text = httpx.get(f"{fresh_gateway}/metrics").text
    assert 'chipalign_requests_total{path="/v1/chat/completions",status="200"} 3.0' in text
    assert "chipalign_nothing_found_total 1.0" in text
    assert 'chipalign_searches_total{found_by="question"} 2.0' in text
    assert 'chipalign_searches_total{found_by="none"} 1.0' in text
    assert "chipalign_broken_streams_total 1.0" in text
    assert "chipalign_requests_in_flight 0.0" in text


def test_a_missing_key_and_a_wrong_method_say_in_headers_what_would_be_right(
    gateway_at: Gateway, engine: FakeEngine
) -> None:
    with gateway_at(engine.url, api_key="s3cret") as url:
        refused = httpx.get(f"{url}/v1/models")
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Bearer realm="chipalign"')
        for name in ("x-api-key", "api-key"):
            assert httpx.get(f"{url}/v1/models", headers={name: "s3cret"}).status_code == 200
            assert httpx.get(f"{url}/v1/models", headers={name: "guess"}).status_code == 401
        assert httpx.post(f"{url}/v1/models/x").headers["allow"] == "GET, HEAD"


def test_the_engine_gets_the_id_of_the_request_and_its_probe_has_none(gateway: str, engine: FakeEngine) -> None:
    assert post(gateway, ANTENNA, headers={"x-request-id": "build-78"}).headers["x-request-id"] == "build-78"
    events(gateway, ANTENNA)
    assert engine.request_ids[0] == "build-78"
    assert len(set(engine.request_ids)) == 2


@pytest.mark.parametrize("how", ["refused", "down", "later"])
def test_an_engine_that_restarted_with_another_window_is_noticed(
    gateway_at: Gateway, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    long = {"messages": [{"role": "user", "content": "hello " * 600}], "retrieval": {"enabled": False}}
    with gateway_at(engine.url) as url:
        assert post(url, long).status_code == 200
        engine.script = EngineScript(max_model_len=512)
        if how == "later":
            monkeypatch.setattr("serve.gateway.gateway.WINDOW_HOLDS_S", 0.0)
        else:
            refusal = (400, "This model's maximum context length is 512 tokens.") if how == "refused" else (503, "no")
            engine.script = EngineScript(max_model_len=512, refusal=refusal)
            assert post(url, long).status_code == refusal[0]
        asked = len(engine.bodies)
        assert "512 tokens; the conversation takes" in assert_envelope(post(url, long), 400, "context_length_exceeded")
        assert len(engine.bodies) == asked


def test_a_request_keeps_its_id_when_that_is_harmless(gateway: str) -> None:
    assert httpx.get(f"{gateway}/health", headers={"x-request-id": "build-77"}).headers["x-request-id"] == "build-77"
    assert httpx.get(f"{gateway}/health", headers={"x-request-id": "a b;c"}).headers["x-request-id"] != "a b;c"


def test_many_clients_at_once_get_their_own_answers(gateway: str) -> None:
    answers: list[str] = []

    def ask() -> None:
        answers.append(post(gateway, ANTENNA).json()["choices"][0]["message"]["content"])

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["Run `repair_antennas` [1]."] * 16


def test_a_passage_is_shown_as_text_and_never_as_html(gateway: str) -> None:
    scan = {"messages": [{"role": "user", "content": "How are scan chains inserted?"}]}
    page = httpx.get(post(gateway, scan).json()["retrieval"]["hits"][0]["url"])
    assert page.headers["content-type"].startswith("text/html")
    assert "<h1>Scan chains</h1>" in page.text
    assert "si&lt;wire&gt;" in page.text
