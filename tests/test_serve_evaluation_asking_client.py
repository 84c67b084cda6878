"""serve.evaluation.asking.client on a real socket: which model, what is sent again, how much is in flight, what a chat
brings back, and each failure's sentence.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from serve.evaluation.asking.client import (
    TRIES,
    TRIES_WHEN_LOST,
    Endpoint,
    Model,
    Reply,
    Server,
    ask_all,
    ask_chats,
    choose_pause,
    explain_refusal,
    find_server,
)
from serve.evaluation.errors import ContextExceeded, EndpointRefused, EndpointUnreachable, ModelUnknown
from tests.conftest import free_port
from tests.fake_engine import ENGINE_MODEL, EngineScript, FakeEngine
from tests.fake_openai import FakeOpenAI, chat_answer
from tests.rows import for_each


def post(url: str, key: str = "") -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        async with Endpoint(url, key) as endpoint:
            return await endpoint.post("/v1/x", {"a": 1})

    return asyncio.run(ask())


def find(url: str, model_id: str | None = None) -> Model:
    async def ask() -> Model:
        async with Endpoint(url) as endpoint:
            return await endpoint.find_model(model_id)

    return asyncio.run(ask())


def asked(count: int) -> dict[int, list[dict[str, str]]]:
    return {number: [{"role": "user", "content": f"question {number}"}] for number in range(1, count + 1)}


def collect(server: Server, questions: dict[int, list[dict[str, str]]], concurrency: int = 4) -> dict[int, Reply]:
    replies: dict[int, Reply] = {}
    ask_chats(server, questions, 50, concurrency, replies.__setitem__)
    return replies


@for_each("tail", ["", "/", "/v1", "/v1/"])
def test_the_url_may_end_in_v1_or_not(tail: str) -> None:
    with FakeOpenAI(lambda path, body: (200, {"path": path})) as server:
        assert post(server.url + tail) == {"path": "/v1/x"}


def test_a_key_is_sent_and_none_without_one() -> None:
    with FakeOpenAI(lambda path, body: (200, {})) as server:
        post(server.url, "secret")
        post(server.url)
        assert server.keys == ["Bearer secret", None]


def test_the_first_model_is_found_or_the_one_that_is_named() -> None:
    models = [{"id": "a", "root": "/m/a", "max_model_len": 4096}, {"id": "b"}]
    with FakeOpenAI(lambda path, body: (200, {}), models=models) as server:
        assert find(server.url) == Model("a", "/m/a", 4096)
        assert find(server.url, "b") == Model("b", None, None)
        with pytest.raises(
            ModelUnknown, match=r"serves no model 'c': its models are a, b; name one of them with --model$"
        ):
            find(server.url, "c")


def test_the_gateways_other_names_of_its_model_leave_it_the_only_one() -> None:
    ours = {"owned_by": "chipalign"}
    models = [{"id": "chip", **ours}, *({"id": f"chip{end}", "parent": "chip", **ours} for end in ("-plain", "@sta"))]
    with FakeOpenAI(lambda path, body: (200, {}), models=models) as server:
        assert find_server(server.url, None, "").model.model_id == "chip"
        assert find_server(server.url, "chip@sta", "").model.model_id == "chip@sta"


def test_a_long_list_of_models_is_cut() -> None:
    models = [{"id": f"m{number}"} for number in range(100)]
    with (
        FakeOpenAI(lambda path, body: (200, {}), models=models) as server,
        pytest.raises(ModelUnknown, match=r"its models are m0, .*, m19 and 80 more; name one"),
    ):
        find(server.url, "gpt")


@for_each("models", [[], "text", [{"name": "x"}]])
def test_a_server_without_models_is_none_of_ours(models: Any) -> None:
    with (
        FakeOpenAI(lambda path, body: (200, {}), models=models) as server,
        pytest.raises(EndpointRefused, match="lists no model"),
    ):
        find(server.url)


@for_each("status", [429, 502, 503, 504])
def test_a_busy_server_is_asked_again(status: int) -> None:
    with FakeOpenAI(
        lambda path, body: (200, {"ok": 1}) if len(server.requests) == 3 else (status, {}), headers={"Retry-After": "0"}
    ) as server:
        assert post(server.url) == {"ok": 1}


def test_a_server_that_stays_busy_is_given_up() -> None:
    refusal = {"error": {"message": "overloaded"}}
    with (
        FakeOpenAI(lambda path, body: (503, refusal), headers={"Retry-After": "0"}) as server,
        pytest.raises(EndpointRefused) as caught,
    ):
        post(server.url)
    assert len(server.requests) == TRIES
    assert "stayed busy through 8 tries (HTTP 503, overloaded): ask less at once with --concurrency" in str(
        caught.value
    )


@contextmanager
def serve_after(broken: int) -> Iterator[tuple[str, list[bytes]]]:
    """A server that closes the first `broken` connections without an answer, and then gives `{"ok": 1}` to everybody;
    its URL, and the requests that came.
    """
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            """Take one connection after the other, until the socket is closed."""
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    asked.append(connection.recv(65536))
                    if len(asked) > broken:
                        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"ok": 1}')

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def test_a_request_whose_connection_breaks_is_sent_again() -> None:
    with serve_after(broken=1) as (url, asked):
        assert post(url) == {"ok": 1}
    assert len(asked) == 2


def test_a_connection_that_breaks_again_and_again_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.evaluation.asking.client.LONGEST_PAUSE_S", 0.0)
    with (
        serve_after(broken=100) as (url, asked),
        pytest.raises(EndpointUnreachable, match=rf"the connection to {url} broke \(.*: see that the server runs"),
    ):
        post(url)
    assert len(asked) == TRIES_WHEN_LOST


def test_an_answer_that_takes_too_long_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.evaluation.asking.client.ANSWER_TIMEOUT_S", 1)
    released = threading.Event()

    def hold(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        released.wait(20)
        return 200, b""

    with FakeOpenAI(hold) as server:
        with pytest.raises(EndpointUnreachable, match="gave no answer within 1 s: ask less at once"):
            post(server.url)
        assert len(server.requests) == 1
        released.set()


def test_any_other_refusal_is_final() -> None:
    with (
        FakeOpenAI(lambda path, body: (500, {"error": {"message": "boom"}})) as server,
        pytest.raises(EndpointRefused, match=r"HTTP 500\): boom"),
    ):
        post(server.url)
    assert len(server.requests) == 1


def test_pauses_are_the_servers_or_grow_and_have_a_bound() -> None:
    assert [choose_pause(attempt, None) for attempt in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert [choose_pause(1, text) for text in ("3", "0", "900", "soon", "Wed, 21 Oct 2026 07:28:00 GMT")] == [
        3,
        0,
        30,
        0.5,
        0.5,
    ]


@for_each(
    "data",
    [
        {
            "error": {
                "message": (
                    "max_tokens=9000 cannot be greater than max_model_len=8192. Please request fewer output tokens."
                ),
                "code": 400,
            }
        },
        {
            "error": {
                "message": "This model's maximum context length is 8192 tokens. However, your prompt contains 8193.",
                "code": 400,
            }
        },
        {"object": "error", "message": "This model's maximum context length is 8192 tokens.", "code": 400},
        {"error": {"message": "too long", "code": "context_length_exceeded"}},
    ],
)
def test_a_prompt_that_does_not_fit_is_reported_as_such(data: Any) -> None:
    assert isinstance(explain_refusal("http://x", 400, data), ContextExceeded)


@for_each("data", [None, [], {}, {"error": None}, {"error": "text"}, {"detail": "x"}])
def test_a_refusal_of_any_form_is_a_sentence(data: Any) -> None:
    error = explain_refusal("http://x", 400, data)
    assert type(error) is EndpointRefused
    assert str(error) == "http://x refuses the request (HTTP 400): no reason given"


def test_what_refuses_without_json_is_quoted_in_one_line() -> None:
    with (
        FakeOpenAI(lambda path, body: (404, b"<html>\n<h1>Not Found" + b"!" * 1000)) as server,
        pytest.raises(EndpointRefused, match=r"\(HTTP 404\): <html> <h1>Not Found!{200,300}$"),
    ):
        post(server.url)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_names_the_option_or_the_variable(status: int) -> None:
    with FakeOpenAI(lambda path, body: (status, {"error": "Unauthorized"})) as server:
        with pytest.raises(EndpointRefused, match=r"name the variable that holds it with --api-key-env$"):
            post(server.url)
        with pytest.raises(EndpointRefused, match=r"refuses the API key: set CHIPALIGN_API_KEY$"):
            collect(Server(server.url, Model("m")), asked(1))


def test_a_key_that_no_header_can_carry_is_refused() -> None:
    with pytest.raises(EndpointRefused, match=r"^the variable of --judge-api-key-env holds letters"):
        Endpoint("http://x", "schlüssel", option="--judge-url")
    with pytest.raises(EndpointRefused, match=r"^CHIPALIGN_API_KEY holds letters"):
        find_server("http://x", None, "schlüssel")


def test_a_missing_server_is_reported_with_its_address() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(EndpointUnreachable, match=f"no server answers at {url}: start one, or correct --url"):
        find(url)


@for_each("url", ["", "127.0.0.1:8001", "ftp://host", "http://", "http://[::1", "http://host:port"])
def test_what_is_not_an_address_is_refused(url: str) -> None:
    with pytest.raises(EndpointUnreachable, match="give one like"):
        Endpoint(url)


@for_each("content", [b"<html>", b"[1]", b"", b'"x"'])
def test_an_answer_that_is_not_a_json_object_is_refused(content: bytes) -> None:
    with (
        FakeOpenAI(lambda path, body: (200, content)) as server,
        pytest.raises(EndpointRefused, match="not a JSON object"),
    ):
        post(server.url)


def test_as_many_are_in_flight_as_allowed_and_all_are_kept() -> None:
    full = threading.Barrier(4, timeout=10)  # broken, and the test with it, unless four are asked at once

    def answer(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        full.wait()
        return 200, {"n": body["n"]}

    kept: dict[int, tuple[int, float]] = {}

    async def ask_for_all(url: str) -> None:
        async with Endpoint(url) as endpoint:
            await ask_all(
                range(12),
                lambda n: endpoint.post("/v1/x", {"n": n}),
                lambda n, reply, ms: kept.update({n: (reply["n"], ms)}),
                concurrency=4,
            )

    with FakeOpenAI(answer) as server:
        asyncio.run(ask_for_all(server.url))
        assert server.most_at_once == 4
    assert {n: reply for n, (reply, _) in kept.items()} == {n: n for n in range(12)}
    assert all(ms > 0 for _, ms in kept.values())


def test_the_first_error_ends_all_and_what_was_kept_stays() -> None:
    kept: list[int] = []

    async def ask(n: int) -> int:
        await asyncio.sleep(0 if n < 3 else 60)
        if n == 2:
            raise ModelUnknown("gone")
        return n

    started = time.monotonic()
    with pytest.raises(ModelUnknown, match=r"^gone$"):
        asyncio.run(ask_all(range(8), ask, lambda n, reply, ms: kept.append(n), concurrency=5))
    assert sorted(kept) == [0, 1]
    assert time.monotonic() - started < 50  # those that would sleep for a minute were ended


def test_nothing_to_ask_is_nothing_asked() -> None:
    async def ask(n: int) -> int:
        raise AssertionError("asked")

    asyncio.run(ask_all([], ask, lambda n, reply, ms: None, concurrency=3))


@for_each("url", ["http://someone:hunter2@127.0.0.1:9/v1", "ftp://someone:hunter2@gpu", "http://someone:hunter2/@gpu"])
def test_the_password_in_an_address_is_shown_by_no_error(url: str) -> None:
    async def ask() -> None:
        async with Endpoint(url) as endpoint:
            await endpoint.find_model(None)

    for find in (lambda: asyncio.run(ask()), lambda: find_server(url, None, "")):
        with pytest.raises(EndpointUnreachable) as caught:
            find()
        assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(Server(url, Model("m")))


def test_the_login_in_an_address_is_sent_unless_there_is_a_key() -> None:
    with FakeOpenAI(lambda path, body: (200, {})) as server:
        url = server.url.replace("//", "//someone:p%40ss@")
        post(url)
        post(url, "secret")
        basic = httpx.BasicAuth("someone", "p@ss")
        assert server.keys == [basic._auth_header, "Bearer secret"]


def test_every_question_gets_its_reply_at_temperature_0_and_nothing_else_is_sent(engine: FakeEngine) -> None:
    server = find_server(f"{engine.url}/v1/", None, "")
    assert (server.url, server.model) == (engine.url, Model(ENGINE_MODEL, "/models/x", 4096))
    replies = collect(server, asked(9))
    assert set(replies) == set(range(1, 10))
    assert (replies[3].text, replies[3].finish_reason) == ("Run `repair_antennas` [1].", "stop")
    assert (replies[3].prompt_tokens, replies[3].completion_tokens) == (9, 3)
    assert replies[3].latency_ms > 0
    bodies = sorted(engine.bodies, key=lambda body: int(body["messages"][0]["content"].split()[1]))
    assert bodies == [
        {"model": ENGINE_MODEL, "messages": messages, "temperature": 0, "max_tokens": 50}
        for messages in asked(9).values()
    ]


def test_the_gateway_is_asked_to_leave_its_retrieval_out(gateway: str, engine: FakeEngine) -> None:
    server = find_server(gateway, None, "")
    assert server.model.is_gateway
    question = [{"role": "user", "content": "Which command repairs antenna violations?"}]
    assert collect(server, {1: question})[1].text == "Run `repair_antennas` [1]."
    (body,) = engine.bodies
    assert body["messages"] == question  # with retrieval the gateway would have put its passages here
    assert (body["temperature"], body["max_tokens"]) == (0, 50)


def test_chats_are_in_flight_at_once_and_no_reply_goes_to_another_question() -> None:
    together = threading.Barrier(4, timeout=20)  # broken, and the test with it, unless four are asked at once

    def reverse(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        together.wait()
        answer = chat_answer(body["messages"][0]["content"][::-1])
        return 200, {"choices": answer["choices"]}  # a server that counts no tokens

    with FakeOpenAI(reverse) as server:
        replies = collect(Server(server.url, Model("m"), "s3cret"), asked(8), concurrency=4)
        assert set(server.keys) == {"Bearer s3cret"}
    assert {number: reply.text for number, reply in replies.items()} == {n: f"question {n}"[::-1] for n in range(1, 9)}
    assert (replies[1].prompt_tokens, replies[1].completion_tokens, replies[1].retrieval) == (None, None, None)


def test_a_refusal_ends_the_run_with_the_servers_own_words(engine: FakeEngine) -> None:
    server = find_server(engine.url, ENGINE_MODEL, "")
    engine.script = EngineScript(refusal=(400, "maximum context length is 4096"))
    with pytest.raises(ContextExceeded, match=r"window is too small: maximum context length is 4096$"):
        collect(server, asked(3))


@pytest.mark.parametrize(
    "whole",
    [{"choices": []}, {"choices": [{"message": None}]}, {"choices": [{"message": {"content": 3}}]}, {"error": "x"}],
)
def test_an_answer_in_another_format_is_refused(engine: FakeEngine, whole: dict[str, Any]) -> None:
    server = find_server(engine.url, None, "")
    engine.script = EngineScript(whole=whole)
    with pytest.raises(EndpointRefused, match="does not answer in OpenAI's format, it gives no chat completion"):
        collect(server, asked(1))


def test_an_answer_without_text_is_an_empty_answer(engine: FakeEngine) -> None:
    server = find_server(engine.url, None, "")
    engine.script = EngineScript(whole={"choices": [{"message": {"content": None}, "finish_reason": "length"}]})
    assert collect(server, asked(1))[1].text == ""


def test_half_an_emoji_at_the_end_of_an_answer_can_be_written(engine: FakeEngine) -> None:
    server = find_server(engine.url, None, "")
    engine.script = EngineScript(whole={"choices": [{"message": {"content": "done \ud83d"}}]})
    assert collect(server, asked(1))[1].text == "done ?"


def test_a_server_of_several_models_wants_a_name_and_lists_them(engine: FakeEngine) -> None:
    engine.script = EngineScript(models=[{"id": "chat"}, {"id": "chip"}])
    with pytest.raises(ModelUnknown, match="serves chat, chip: name one with --model"):
        find_server(engine.url, None, "")
    with pytest.raises(ModelUnknown, match="no model 'merged': its models are chat, chip"):
        find_server(engine.url, "merged", "")
    assert find_server(engine.url, "chip", "").model.max_model_len is None


def test_what_is_not_a_model_server_is_named(engine: FakeEngine) -> None:
    engine.script = EngineScript(garbage=True)
    with pytest.raises(EndpointRefused, match="does not answer in OpenAI's format"):
        find_server(engine.url, None, "")
    engine.script = EngineScript(models="none")
    with pytest.raises(EndpointRefused, match="does not answer in OpenAI's format"):
        find_server(engine.url, None, "")
    with pytest.raises(EndpointUnreachable, match="no server answers at"):
        find_server(f"http://127.0.0.1:{free_port()}", None, "")
    for url in ("127.0.0.1:8001", "http://", "http://[::", "ftp://host"):
        with pytest.raises(EndpointUnreachable, match=r"is not an? (URL|HTTP address): give one like"):
            find_server(url, None, "")
