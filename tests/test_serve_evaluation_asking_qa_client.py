"""serve.evaluation.asking.qa_client before a real HTTP server that answers, refuses and breaks as an engine does."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rag.errors import EngineRefused, EngineUnavailable
from serve.evaluation.asking.qa_client import Reply, Server, ask_all, find_server
from tests.conftest import free_port
from tests.fake_engine import ENGINE_MODEL, EngineScript, FakeEngine


def asked(count: int) -> dict[int, list[dict[str, str]]]:
    return {number: [{"role": "user", "content": f"question {number}"}] for number in range(1, count + 1)}


def collect(server: Server, questions: dict[int, list[dict[str, str]]], concurrency: int = 4) -> dict[int, Reply]:
    replies: dict[int, Reply] = {}
    ask_all(server, questions, 50, concurrency, replies.__setitem__)
    return replies


def test_every_question_gets_its_reply_at_temperature_0_with_nothing_else_in_the_request(engine: FakeEngine) -> None:
    server = find_server(f"{engine.url}/v1/", None, "")
    assert (server.url, server.model_id, server.is_gateway, server.root, server.max_model_len) == (
        engine.url,
        ENGINE_MODEL,
        False,
        "/models/x",
        4096,
    )
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


def test_the_gateway_is_told_to_leave_its_retrieval_out(gateway: str, engine: FakeEngine) -> None:
    server = find_server(gateway, None, "")
    assert server.is_gateway
    question = [{"role": "user", "content": "Which command repairs antenna violations?"}]
    assert collect(server, {1: question})[1].text == "Run `repair_antennas` [1]."
    (body,) = engine.bodies
    assert body["messages"] == question  # with retrieval the gateway would have put its passages here
    assert (body["temperature"], body["max_tokens"]) == (0, 50)


class _Gathering(BaseHTTPRequestHandler):
    """Answers only once `together` requests are there at the same time; the first `refusals` requests get a 503."""

    together: threading.Barrier
    refusals: list[int]
    keys: list[str | None]

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.keys.append(self.headers["Authorization"])
        if self.refusals:
            self._send(self.refusals.pop(), {"error": {"message": "loading"}})
            return
        self.together.wait(20)
        content = body["messages"][0]["content"]
        self._send(
            200, {"choices": [{"message": {"role": "assistant", "content": content[::-1]}, "finish_reason": "stop"}]}
        )

    def _send(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def gathering() -> Iterator[tuple[str, type[_Gathering]]]:
    Handler = type("Handler", (_Gathering,), {"together": threading.Barrier(4), "refusals": [], "keys": []})  # noqa: N806 - a class
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", Handler
    server.shutdown()
    server.server_close()


def test_many_requests_are_in_flight_at_once_and_no_reply_goes_to_another_question(
    gathering: tuple[str, type[_Gathering]],
) -> None:
    replies = collect(Server(gathering[0], "m", False, None, None, api_key="s3cret"), asked(8), concurrency=4)
    assert {number: reply.text for number, reply in replies.items()} == {n: f"question {n}"[::-1] for n in range(1, 9)}
    assert replies[1].prompt_tokens is None  # a server that counts no tokens
    assert set(gathering[1].keys) == {"Bearer s3cret"}


def test_an_overloaded_server_is_asked_again(gathering: tuple[str, type[_Gathering]]) -> None:
    url, handler = gathering
    handler.refusals = [503]
    assert len(collect(Server(url, "m", False, None, None), asked(4))) == 4
    assert len(handler.keys) == 5


def test_a_refusal_ends_the_run_with_the_servers_own_words(engine: FakeEngine) -> None:
    server = find_server(engine.url, ENGINE_MODEL, "")
    engine.script = EngineScript(refusal=(400, "maximum context length is 4096"))
    with pytest.raises(EngineRefused, match="refuses with status 400: maximum context length is 4096"):
        collect(server, asked(3))


@pytest.mark.parametrize("whole", [{"choices": []}, {"choices": [{"message": None}]}, {"error": "x"}])
def test_an_answer_in_another_format_is_refused(engine: FakeEngine, whole: dict[str, Any]) -> None:
    server = find_server(engine.url, None, "")
    engine.script = EngineScript(whole=whole)
    with pytest.raises(EngineRefused, match="does not answer in OpenAI's format"):
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
    with pytest.raises(EngineRefused, match="serves chat, chip: name one with --model"):
        find_server(engine.url, None, "")
    with pytest.raises(EngineRefused, match="no model 'merged', but chat, chip"):
        find_server(engine.url, "merged", "")
    assert find_server(engine.url, "chip", "").max_model_len is None


def test_what_is_no_model_server_is_named(engine: FakeEngine) -> None:
    engine.script = EngineScript(garbage=True)
    with pytest.raises(EngineRefused, match="does not answer in OpenAI's format"):
        find_server(engine.url, None, "")
    engine.script = EngineScript(models="none")
    with pytest.raises(EngineRefused, match="does not answer in OpenAI's format"):
        find_server(engine.url, None, "")
    with pytest.raises(EngineUnavailable, match="does not answer"):
        find_server(f"http://127.0.0.1:{free_port()}", None, "")
    for url in ("127.0.0.1:8001", "http://", "http://[::", "ftp://host"):
        with pytest.raises(EngineUnavailable, match="is no URL of a server"):
            find_server(url, None, "")
    with pytest.raises(EngineRefused, match="CHIPALIGN_API_KEY"):
        find_server(engine.url, None, "schlüssel")
