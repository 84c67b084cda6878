"""The attack on the gateway's edge: mutated requests, foreign names and pages, slow clients; all on a real socket."""

from __future__ import annotations

import ipaddress
import json
import logging
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.attack import Attack
from tests.conftest import Gateway
from tests.fake_engine import EngineScript, FakeEngine

PATIENCE_S = 20.0  # distinguishes an answer from a hang, also on a busy machine
MODELS = b"GET /v1/models HTTP/1.1\r\n%s\r\n"
LEFT_OPEN = 100  # connections with unfinished requests, before they are looked at and closed
pytestmark = pytest.mark.attack


class Wire:
    """One raw keep-alive connection, opened again where the gateway closed it."""

    def __init__(self, url: str) -> None:
        self._port = int(url.rsplit(":", 1)[1])
        self._socket: socket.socket | None = None

    def open(self) -> socket.socket:
        """A connection of its own."""
        return socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE_S)

    def ask(self, request: bytes) -> int:
        """The status of the answer to a whole request; TimeoutError where none comes."""
        for attempt in range(2):
            self._socket = self._socket or self.open()
            try:
                self._socket.sendall(request)
                return self._read()
            except (ConnectionError, EOFError):  # closed after the last answer, as it may be
                self.close()
                if attempt:
                    raise
        raise AssertionError

    def _read(self) -> int:
        assert self._socket is not None
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._piece()
        head, _, body = received.partition(b"\r\n\r\n")
        fields = head.lower()
        if b"transfer-encoding: chunked" in fields:
            while not body.endswith(b"0\r\n\r\n"):
                body += self._piece()
        else:
            length = int(fields.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            while len(body) < length:
                body += self._piece()
        if b"connection: close" in fields:
            self.close()
        return int(head.split(b" ", 2)[1])

    def _piece(self) -> bytes:
        assert self._socket is not None
        piece = self._socket.recv(65_536)
        if not piece:
            raise EOFError
        return piece

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None


WireTo = Callable[[str], Wire]


@pytest.fixture
def wire_to() -> Iterator[WireTo]:
    """A connection to a gateway's URL; all of a test are closed at its end."""
    with ExitStack() as stack:
        yield lambda url: stack.enter_context(closing(Wire(url)))


# (a) Mutated requests

TOOL = {"type": "function", "function": {"name": "run_sta", "parameters": {"type": "object", "properties": {}}}}
SEEDS: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": "hello"}]},
    {
        "messages": [{"role": "user", "content": "Which command fixes antenna violations?"}],
        "retrieval": {"top_k": 2, "collections": ["notes"]},
    },
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}], "n": 2, "seed": 1, "stop": ["x"]},
    {"messages": [{"role": "user", "content": "x"}], "stream": True, "stream_options": {"include_usage": True}},
    {
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": None, "tool_calls": []},
            {"role": "tool", "content": "y"},
        ]
    },
    {
        "messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "y"}],
        "tools": [TOOL],
        "response_format": {"type": "json_object"},
    },
]
RESPONSES: list[dict[str, Any]] = [
    {"input": "hello", "instructions": "x", "metadata": {"a": "b"}, "max_output_tokens": 9, "truncation": "auto"},
    {"input": [{"role": "user", "content": [{"type": "input_text", "text": "hello"}]}], "stream": True, "store": False},
    {
        "input": [
            {"type": "message", "role": "user", "content": "x"},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "function_call", "call_id": "1", "name": "run_sta", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "1", "output": [{"type": "input_text", "text": "y"}]},
        ],
        "tools": [{"type": "function", "name": "run_sta", "parameters": {"type": "object"}}, {"type": "web_search"}],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "run_sta"}]},
    },
    {
        "input": "Which command fixes antenna violations?",
        "tools": [{"type": "file_search", "vector_store_ids": ["notes"], "max_num_results": 2, "filters": None}],
        "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}},
        "include": ["file_search_call.results"],
        "reasoning": {"effort": "low"},
        "previous_response_id": None,
    },
]
VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**31,
        10**400,
        1.5,
        1e308,
        float("nan"),
        float("-inf"),
        "",
        "x",
        "\x00",
        "\ud800",
        "\u202e",
        "𝒳" * 50,
    ),
    *(
        [],
        {},
        [[]],
        {"": {}},
        [None],
        "a b " * 500,
        {"type": "text"},
        {"role": "user"},
        [{"type": "image_url", "image_url": {"url": "data:,"}}],
    ),
]
METHODS = ["GET", "POST", "PUT", "HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "X" * 500, "PRI", "M-SEARCH", "("]
PATHS = [
    *(
        "/v1/chat/completions",
        "/v1/models",
        "/v1/models/x",
        "/sources/0",
        "/health",
        "/ready",
        "/metrics",
        "*",
        "http://evil.example/v1/models",
    ),
    *(
        "//",
        "/%00",
        "/%",
        "/%ff%fe",
        "/..;/",
        "/" + "a" * 3000,
        "/?" + "&" * 500,
        "/sources/%2e%2e%2f",
        "/v1/models/%0d%0aX:1",
        "evil:80",
        "/#",
    ),
]
FIELDS = [
    *(
        "Content-Length: 5",
        "Content-Length: -1",
        "Content-Length: 5, 6",
        "Content-Length: " + "9" * 30,
        "Content-Length: 0x5",
        "Content-Length:",
    ),
    *(
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding : chunked",
        "transfer-encoding: Chunked, identity",
    ),
    *(
        "Expect: 100-continue",
        "Expect: x",
        "Connection: close",
        "Connection: upgrade",
        "Upgrade: websocket",
        "Upgrade: h2c",
        "Cookie: \xff\xfe",
    ),
    *(
        "Authorization: Bearer",
        "Authorization: " + "x" * 999,
        "X-Request-Id: \x7f\x1b[2J",
        "Origin: null",
        "Host: evil",
        " folded: 1",
        "no colon",
    ),
    *(
        "Content-Type: application/json; charset=\xff",
        "Content-Encoding: gzip",
        "Range: bytes=0-",
        "X:" + " " * 5000,
        "Accept: */*",
        "\x00: 1",
    ),
]
CHUNKS = [
    b"2\r\n{}\r\n0\r\n\r\n",
    b"-1\r\n",
    b"ffffffffffffffffffff\r\n{}",
    b"2;x=y\r\n{}\r\n0\r\nT: 1\r\n\r\n",
    b"2\n{}\n0\n\n",
    b"zz\r\n",
    b"0\r\n" * 50,
]


NAMES = ["", "messages", "model", "max_tokens", "top_p", "\n", "retrieval", "input", "type", "previous_response_id"]


def mutate(value: Any, rng: random.Random) -> Any:
    """The same value with one place in it changed, left out or doubled."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        change = rng.random()
        if change < 0.1:
            return {name: each for name, each in value.items() if name != key}
        if change < 0.2:
            return {**value, rng.choice(NAMES): rng.choice(VALUES)}
        return {**value, key: mutate(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        if rng.random() < 0.15:
            return value[:place] + value[place + 1 :]
        if rng.random() < 0.15:
            return value[:place] + [value[place]] * rng.choice([2, 40]) + value[place:]
        return [*value[:place], mutate(value[place], rng), *value[place + 1 :]]
    return rng.choice(VALUES)


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """The same bytes with a few changed, left out or put in."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(len(changed) + 1)
        changed[place : place + rng.choice([0, 1, 1, 4])] = rng.choice(
            [b"", bytes([rng.randrange(256)]), b'"', b"{", b"]", b"\xed\xa0\x80", b"[" * 200]
        )
    return bytes(changed)


def post_bytes(body: bytes, path: str = "/v1/chat/completions") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


def mutated_post(rng: random.Random) -> bytes:
    """A request whose body of JSON is wrong somewhere, or is bytes that once were JSON.

    One in ten may be searched; the others need no passage.
    """
    is_chat = rng.random() < 0.6
    seed = rng.choice(SEEDS if is_chat else RESPONSES)
    if rng.random() < 0.9:
        seed = {**seed, "retrieval": {"enabled": False}}
    for _ in range(rng.randint(1, 3)):
        seed = mutate(seed, rng)
    body = json.dumps(seed, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    body = mutate_bytes(body, rng) if rng.random() < 0.35 else body
    return post_bytes(body, "/v1/chat/completions" if is_chat else "/v1/responses")


def mutated_head(rng: random.Random) -> bytes:
    """A request whose first line, headers or framing are wrong; whether it ends is left to chance."""
    line = f"{rng.choice(METHODS)} {rng.choice(PATHS)} HTTP/{rng.choice(['1.1', '1.1', '1.0', '2.0', '9'])}"
    fields = ["Host: localhost", "Content-Type: application/json", *rng.sample(FIELDS, rng.randint(0, 4))]
    rng.shuffle(fields)
    end = rng.choice(["\r\n\r\n", "\r\n\r\n", "\n\n", "\r\n"])
    request = (
        "\r\n".join([line, *fields]).encode("latin-1")
        + end.encode()
        + rng.choice([b"", b'{"messages": []}', rng.choice(CHUNKS)])
    )
    return mutate_bytes(request, rng) if rng.random() < 0.3 else request


def test_no_mutated_request_gets_a_5xx_a_traceback_or_a_hang(
    attack: Attack, gateway: str, engine: FakeEngine, wire_to: WireTo, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    rng, wire = random.Random(16), wire_to(gateway)
    tries, failures, answered = attack.times(2_000, full=20_000), [], 0
    left_open: list[tuple[bytes, socket.socket]] = []
    for _ in range(tries):
        if rng.random() < 0.75:
            posted = mutated_post(rng)
            try:
                status = wire.ask(posted)
            except (TimeoutError, EOFError) as error:
                status = 599
                wire.close()
                failures.append(f"{type(error).__name__}: {posted[:400]!r}")
            answered += status < 500
            if status in range(500, 599):
                failures.append(f"{status}: {posted[:400]!r}")
        else:
            request = mutated_head(rng)
            connection = wire.open()
            connection.sendall(request)
            left_open.append((request, connection))
        if len(left_open) >= LEFT_OPEN:
            failures += statuses_of(left_open)
            left_open.clear()
    failures += statuses_of(left_open)
    failures += [
        record.getMessage()[:300] for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR
    ]
    caplog.clear()
    assert answered > tries / 2
    assert httpx.get(f"{gateway}/health", timeout=PATIENCE_S).status_code == 200
    wait_until(lambda: "chipalign_requests_in_flight 0.0" in httpx.get(f"{gateway}/metrics").text)
    attack.report("mutated requests", tries, failures)


def statuses_of(left_open: list[tuple[bytes, socket.socket]]) -> list[str]:
    """Those of these requests that got a 5xx; all connections are closed."""
    failures = []
    for request, connection in left_open:
        connection.setblocking(False)
        try:
            answer = connection.recv(65_536)
        except (BlockingIOError, ConnectionError):
            answer = b""
        if answer[9:10] == b"5":
            failures.append(f"{answer[:80]!r} to {request[:300]!r}")
        connection.close()
    return failures


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# (b) Foreign names and pages

GOOD = [
    *(
        "127.0.0.1:PORT",
        "localhost:PORT",
        "127.0.0.1",
        "localhost",
        "LOCALHOST:PORT",
        "localhost.",
        "[::1]:PORT",
        "[::1]",
        "127.1.2.3:80",
        "a.localhost",
    ),
    *(
        "chat.example",
        "chat.example:443",
        "CHAT.example",
        "proxy.example",
        "proxy.example.:8",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]:PORT",
    ),
    *("localhost:", "x.y.localhost:PORT", "127.255.255.254"),
]
EVIL = [
    *(
        "evil.example",
        "rebind.evil.example:PORT",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example.",
        "notlocalhost",
        "localhostx",
    ),
    *(
        "chat.example.evil.example",
        "xchat.example",
        "chat-example",
        "chat.example@evil.example",
        "evil.example@localhost",
        "localhost@evil.example",
    ),
    *(
        "localhost evil.example",
        "localhost,evil.example",
        "localhost/evil.example",
        "evil.example/localhost",
        "localhost#x",
        "localhost?x",
        "localhost\\x",
    ),
    *"""
        10.0.0.1 192.168.1.1:PORT 169.254.169.254 8.8.8.8 0.0.0.0:PORT [::]:PORT [fe80::1] [::ffff:10.0.0.1] [::1 ::1
        []
        """.split(),
    *(
        "0x7f.1",
        "2130706433",
        "127.1",
        "0177.0.0.1",
        "127.0.0.1:PORT:PORT",
        "localhost:80x",
        "localhost:-1",
        "%6cocalhost",
        "lo\xe7alhost",
    ),
]
PAGES_GOOD = [
    "http://127.0.0.1:PORT",
    "http://localhost:PORT",
    "https://chat.example",
    "HTTPS://CHAT.EXAMPLE",
    "http://[::1]:PORT",
    "https://localhost:PORT",
]
PAGES_EVIL = [
    *(
        "null",
        "http://evil.example",
        "https://chat.example.evil.example",
        "http://localhost:1",
        "http://localhost",
        "https://chat.example:8443",
        "file://",
    ),
    *(
        "http://localhost:PORT.evil.example",
        "http://evil.example@localhost:PORT",
        "http://localhost:PORT/x",
        "ftp://localhost:PORT",
        "//localhost:PORT",
    ),
    *(
        "http://chat.example",
        "http://localhost:PORT http://evil.example",
        "http://evil.example:PORT",
        "chrome-extension://abc",
        "localhost:PORT",
        "x",
    ),
]


@pytest.fixture(scope="module")
def named_gateway(gateway_at: Gateway, shared_engine: FakeEngine) -> Iterator[str]:
    """A gateway with a public address and one more name."""
    with gateway_at(shared_engine.url, public_url="https://chat.example", allowed_hosts="proxy.example") as url:
        yield url


def test_foreign_names_and_pages_read_nothing_and_own_ones_do(
    attack: Attack, named_gateway: str, wire_to: WireTo
) -> None:
    wire, port, failures = wire_to(named_gateway), named_gateway.rsplit(":", 1)[1], []
    asked = [(f"Host: {each}", 200, 200) for each in GOOD] + [(f"Host: {each}", 400, 421) for each in EVIL]
    local = f"Host: 127.0.0.1:{port}\r\nOrigin: "
    asked += [(local + each, 200, 200) for each in PAGES_GOOD] + [(local + each, 403, 403) for each in PAGES_EVIL]
    for fields, *expected in asked:
        status = wire.ask(MODELS % (fields.replace("PORT", port) + "\r\n").encode("latin-1"))
        if status not in expected:
            failures.append(f"{status} to {fields!r}")
    attack.report("foreign and own names and pages", len(asked), failures)


def test_no_made_up_name_is_taken_for_one_of_ours(attack: Attack, named_gateway: str, wire_to: WireTo) -> None:
    rng, wire, failures = random.Random(421), wire_to(named_gateway), []
    parts = [
        *"abz019.-_:@[]#?/\\% ",
        "localhost",
        "127.0.0.1",
        "chat.example",
        "proxy.example",
        "evil.example",
        "::1",
        "0",
        "xn--",
    ]
    tries = attack.times(300, full=5_000)
    for _ in range(tries):
        host = "".join(rng.choices(parts, k=rng.randint(1, 4)))
        status = wire.ask(MODELS % f"Host: {host}\r\n".encode())
        if status not in (400, 421) and not (status == 200 and is_ours(host.strip(" "))):  # HTTP strips a field's ends
            failures.append(f"{status} to {host!r}")
    attack.report("made-up names", tries, failures)


def is_ours(host: str) -> bool:
    """Another reading of a Host: what a URL with it leads to."""
    if set(host) & set("@#?/\\% "):
        return False
    name = (urlsplit(f"http://{host}/").hostname or "").removesuffix(".")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name in ("localhost", "chat.example", "proxy.example") or name.endswith(".localhost")


# (c) Slow clients


@contextmanager
def slow_clients(wire: Wire, count: int) -> Iterator[list[socket.socket]]:
    """Connections that hold what they can: silent ones, unfinished heads, bodies that never come after an answer."""
    begun = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
    starts = [
        b"",
        b"G",
        begun,
        begun + b"X: " + b"a" * 30_000,
        begun + b"X: 1\r\n" * 4_000,
        begun + b"Content-Length: 99\r\n\r\n{",
    ]
    with ExitStack() as stack:
        connections = [stack.enter_context(wire.open()) for _ in range(count)]
        for number, connection in enumerate(connections):
            connection.sendall(starts[number % len(starts)])
        yield connections


def test_slow_clients_are_closed_in_time_while_others_are_answered(
    attack: Attack, gateway_at: Gateway, engine: FakeEngine, wire_to: WireTo
) -> None:
    count, failures = attack.times(120, full=1_500), []
    with gateway_at(engine.url, header_timeout_s=0.8, write_timeout_s=0.8, max_header_kb=32) as url:
        wire = wire_to(url)
        with slow_clients(wire, count) as connections:
            open_still, deadline = list(connections), time.monotonic() + PATIENCE_S
            while open_still and time.monotonic() < deadline:
                open_still = [each for each in open_still if not dripped_to_its_end(each)]
                if wire.ask(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n") != 200:
                    failures.append("/health was not answered")
            failures += ["a slow client was left open"] * len(open_still)
        answer = httpx.post(f"{url}/v1/chat/completions", json=SEEDS[0], timeout=PATIENCE_S)
        assert answer.status_code == 200
    attack.report("slow clients", count, failures)


def dripped_to_its_end(connection: socket.socket) -> bool:
    """Send one byte more and read what came; whether the gateway has closed the connection."""
    connection.setblocking(False)
    try:
        connection.send(b"x")
        while connection.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def test_clients_that_never_read_free_the_engine_and_keep_nobody_waiting(
    attack: Attack, gateway_at: Gateway, engine: FakeEngine, wire_to: WireTo
) -> None:
    count = attack.times(3, full=20)
    engine.script = EngineScript(answer=("word " * 20_000,) * 200)  # 20 MB each, more than all buffers hold
    body = json.dumps({**SEEDS[0], "stream": True, "stop": ["the end"]}).encode()  # with which no loop is cut
    with gateway_at(engine.url, write_timeout_s=0.5, answers_in_flight=count) as url, ExitStack() as stack:
        wire = wire_to(url)
        for _ in range(count):
            stack.enter_context(wire.open()).sendall(post_bytes(body))
        wait_until(lambda: f'limit="not read"}} {float(count)}' in httpx.get(f"{url}/metrics", timeout=PATIENCE_S).text)
        engine.script = EngineScript()
        statuses = [wire.ask(post_bytes(json.dumps(SEEDS[0]).encode())) for _ in range(count)]
    attack.report("clients that never read", count, [f"{status} after them" for status in statuses if status != 200])
