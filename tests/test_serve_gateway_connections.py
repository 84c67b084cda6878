"""What one client, or many, can hold of the gateway: every limit acts, says so in one line, and harms nobody else."""

from __future__ import annotations

import json
import logging
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from serve.gateway import bodies
from serve.gateway.connections import OTHER_FILES, connections_that_fit, make_server
from serve.settings import ServeSettings
from tests.conftest import Gateway
from tests.fake_engine import EngineScript, FakeEngine

PATIENCE_S = 10.0
CHAT = {"messages": [{"role": "user", "content": "hello"}]}
HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"


@contextmanager
def connected(url: str, sent: bytes = b"") -> Iterator[socket.socket]:
    """A raw connection to the gateway, with something sent."""
    with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=PATIENCE_S) as connection:
        connection.sendall(sent)
        yield connection


def read_to_end(connection: socket.socket) -> bytes:
    """Everything until the gateway closes; fails where it does not."""
    received = b""
    while piece := connection.recv(65_536):
        received += piece
    return received


def wait_for(caplog: pytest.LogCaptureFixture, words: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while words not in caplog.text:
        assert time.monotonic() < deadline, f"no {words!r} in {caplog.text}"
        time.sleep(0.02)


def chat_request(stream: bool, **fields: Any) -> bytes:
    body = json.dumps({**CHAT, "stream": stream, **fields}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
        f"{len(body)}\r\n\r\n"
    )
    return head.encode() + body


def test_silent_and_half_said_requests_are_closed_and_counted_in_one_line(
    gateway_at: Gateway, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    with gateway_at(engine.url, header_timeout_s=0.3) as url:
        with connected(url) as silent, connected(url, HEAD) as half, connected(url, HEAD + b"\r\n" + HEAD) as second:
            assert read_to_end(silent) == b""
            assert read_to_end(half) == b""
            assert read_to_end(second).startswith(b"HTTP/1.1 200")
        wait_for(caplog, "no request within 0.3 s (CHIPALIGN_HEADER_TIMEOUT_S)")
        assert 'chipalign_connections_cut_off_total{limit="headers late"}' in httpx.get(f"{url}/metrics").text
    assert sum("HEADER_TIMEOUT" in line for line in caplog.text.splitlines()) <= 3


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(gateway_at: Gateway, engine: FakeEngine) -> None:
    engine.script = EngineScript(hold_after=1)
    with (
        gateway_at(engine.url, idle_timeout_s=0.2, header_timeout_s=0.3) as url,
        connected(url, chat_request(stream=True)) as busy,
        connected(url, HEAD + b"\r\n") as idle,
    ):
        assert read_to_end(idle).startswith(b"HTTP/1.1 200")
        time.sleep(0.8)  # longer than both limits
        engine.release()
        received = b""
        while b"data: [DONE]" not in received:
            received += busy.recv(65_536)


@pytest.mark.parametrize("head", [b"x: " + b"a" * 40_000, b"x: 1\r\n" * 9_000, b"a" * 40_000])
def test_headers_without_an_end_are_refused_in_words(
    gateway_at: Gateway, engine: FakeEngine, caplog: pytest.LogCaptureFixture, head: bytes
) -> None:
    with gateway_at(engine.url) as url:
        with connected(url, HEAD + head) as connection:
            answer = read_to_end(connection)
        assert answer.startswith(b"HTTP/1.1 431")
        assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["code"] == "headers_too_large"
        wait_for(caplog, "CHIPALIGN_MAX_HEADER_KB")


@pytest.mark.parametrize("headers", [{"x": "a" * 5000}, {f"x-{number}": "1" for number in range(30)}])
def test_whole_headers_beyond_a_limit_are_refused_in_words(
    gateway_at: Gateway, engine: FakeEngine, headers: dict[str, str]
) -> None:
    with gateway_at(engine.url, max_headers=20, max_header_kb=4) as url:
        response = httpx.get(f"{url}/health", headers=headers)
        assert (response.status_code, response.json()["error"]["code"]) == (431, "headers_too_large")
        assert httpx.get(f"{url}/health").status_code == 200


def test_a_client_that_never_reads_is_cut_off_and_frees_the_engine(
    gateway_at: Gateway, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.script = EngineScript(answer=("word " * 20_000,) * 1000)  # 100 MB: a socket may take 33 MB, unread
    with gateway_at(engine.url, write_timeout_s=0.5, drain_timeout_s=0.2) as url:
        with connected(url, chat_request(stream=True, stop=["the end"])):  # with which no loop is cut
            assert engine.hung_up.wait(PATIENCE_S)
        wait_for(caplog, "nothing was read for 0.5 s (CHIPALIGN_WRITE_TIMEOUT_S)")
        assert "Traceback" not in caplog.text


def test_beyond_the_most_connections_one_is_refused_and_health_is_answered(
    gateway_at: Gateway, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    with gateway_at(engine.url, max_connections=2) as url:
        with connected(url, HEAD), connected(url, HEAD):
            refused = httpx.get(f"{url}/v1/models")
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "too_many_connections")
            assert refused.headers["retry-after"] == "5"
            assert httpx.get(f"{url}/health").status_code == 200
            wait_for(caplog, "2 are open (CHIPALIGN_MAX_CONNECTIONS)")
        assert httpx.get(f"{url}/v1/models").status_code == 200


def test_a_request_sent_ahead_is_dropped_and_a_client_that_leaves_is_still_seen(
    gateway: str, engine: FakeEngine
) -> None:
    engine.script = EngineScript(hold_after=1)
    with connected(gateway, chat_request(stream=False) * 3):
        deadline = time.monotonic() + PATIENCE_S
        while not engine.bodies and time.monotonic() < deadline:
            time.sleep(0.02)
    assert engine.hung_up.wait(PATIENCE_S)
    assert len(engine.bodies) == 1


@pytest.mark.parametrize(
    "rubbish",
    [
        HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
        b"\r\n\x16\x03\x01\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"\xff" * 99 + b"\r\n\r\n",
    ],
)
def test_what_is_not_http_gets_the_envelope(gateway: str, rubbish: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with connected(gateway, rubbish) as connection:
        answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 400")
    assert set(json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]) == {"message", "type", "param", "code"}
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("key", ["", "s3cret"])
def test_a_body_that_turns_into_rubbish_ends_the_connection_and_nothing_else(
    gateway_at: Gateway, engine: FakeEngine, caplog: pytest.LogCaptureFixture, key: str
) -> None:
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding:"
        b" chunked\r\n\r\n2\r\n{}\r\n"
    )
    with gateway_at(engine.url, api_key=key) as url:
        with connected(url, head) as connection:
            time.sleep(0.1)  # where a key is asked for, the answer is out before the rubbish comes
            connection.sendall(b"zz\r\n")
            assert read_to_end(connection).startswith(b"HTTP/1.1 401" if key else b"HTTP/1.1 400")
        assert httpx.get(f"{url}/health").status_code == 200
    assert "Traceback" not in caplog.text


def test_two_lengths_of_one_body_are_refused(gateway: str) -> None:
    head = HEAD.replace(b"GET", b"POST") + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    with connected(gateway, head.replace(b"/health", b"/v1/models")) as connection:
        assert connection.recv(65_536).startswith(b"HTTP/1.1 400")


def test_a_client_that_offers_http2_with_its_body_is_answered(gateway: str) -> None:
    request = chat_request(stream=False).replace(
        b"Host:", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nHost:", 1
    )
    with connected(gateway, request) as connection:
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


def test_steering_characters_of_a_path_do_not_reach_the_log(gateway: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "chipalign.gateway"):
        httpx.get(f"{gateway}/v1/x%0aERROR%20all%20is%20lost%1b%5b2J%E2%80%AE" + "y" * 5000)
        httpx.request("X" * 3000, f"{gateway}/z")
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("chipalign")]
    assert any("ERROR all is lost" in line for line in lines)
    assert all(line.isprintable() and len(line) < 600 for line in lines)


def test_stopping_waits_a_while_and_then_ends_a_stream_with_an_error_event(
    gateway_at: Gateway, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "chipalign.connections")
    engine.script = EngineScript(hold_after=1)
    received: list[bytes] = []
    with gateway_at(engine.url, drain_timeout_s=0.5) as url:
        connection = socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=PATIENCE_S)
        connection.sendall(chat_request(stream=True))
        received.append(connection.recv(65_536))
        reader = threading.Thread(target=lambda: received.append(read_to_end(connection)))
        reader.start()
    reader.join(PATIENCE_S)
    connection.close()
    text = b"".join(received).decode()
    assert '"code":"gateway_stopping"' in text.replace(": ", ":")
    assert "[DONE]" not in text
    assert "answers in flight: 1; they have 0.5 s" in caplog.text
    assert "not over after 0.5 s: 1" in caplog.text
    assert engine.hung_up.wait(PATIENCE_S)
    assert "Traceback" not in caplog.text


def test_no_more_connections_are_taken_than_there_are_files_for(caplog: pytest.LogCaptureFixture) -> None:
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert connections_that_fit(10) == 10
    assert connections_that_fit(10**6) == (open_files - OTHER_FILES) // 2
    assert f"this process may open {open_files} files" in caplog.text


def test_the_server_listens_where_the_settings_say_and_names_no_software() -> None:
    from starlette.applications import Starlette

    server = make_server(Starlette(), ServeSettings(host="127.0.0.9", gateway_port=8123))
    assert (server.config.host, server.config.port) == ("127.0.0.9", 8123)
    assert (server.config.server_header, server.config.proxy_headers) == (False, False)


def test_many_large_bodies_at_once_are_refused_before_they_fill_the_memory(
    gateway_at: Gateway, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "MAX_BODIES_BYTES", 300_000)
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
        "900000\r\n\r\n"
    )
    half = head.encode() + b" " * 200_000
    with gateway_at(engine.url) as url:
        with connected(url, half), connected(url, half) as second:
            assert second.recv(65_536).startswith(b"HTTP/1.1 429")
        deadline = time.monotonic() + PATIENCE_S
        while (
            httpx.post(
                f"{url}/v1/chat/completions", json={**CHAT, "pad": " " * 200_000}, timeout=PATIENCE_S
            ).status_code
            == 429
        ):
            assert time.monotonic() < deadline
