"""An engine that answers nonsense, and what leaks when it fails: always a 502 or an error event, never a traceback,
never a secret.
"""

from __future__ import annotations

import gzip
import json
import logging
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.attack import Attack
from tests.conftest import Gateway
from tests.fake_engine import EngineScript, FakeEngine

pytestmark = pytest.mark.attack

HELLO: dict[str, Any] = {
    "messages": [{"role": "user", "content": "hello"}]
}  # searched for nothing, so that a try takes milliseconds
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "run_sta", "arguments": "{}"}}
SAID = {"role": "assistant", "content": "Run it.", "refusal": None, "reasoning_content": "hm", "tool_calls": [CALL]}
HEAD = {"id": "chatcmpl-1", "created": 1, "model": "chipalign-demo", "usage": USAGE}
WHOLE = {
    **HEAD,
    "object": "chat.completion",
    "choices": [{"index": 0, "message": SAID, "logprobs": None, "finish_reason": "stop"}],
}
CHUNK = {
    **HEAD,
    "object": "chat.completion.chunk",
    "choices": [{"index": 0, "delta": SAID, "logprobs": None, "finish_reason": "stop"}],
}
MODELS = {
    "object": "list",
    "data": [{"id": "chipalign-demo", "object": "model", "created": 1, "owned_by": "vllm", "max_model_len": 4096}],
}
WRONG = (  # JSON texts, some of which are not JSON
    *(
        "null",
        "7",
        "-1",
        "1.5",
        "1e999",
        "NaN",
        "-Infinity",
        "true",
        '""',
        '"x"',
        '"\\ud800"',
        "[]",
        "{}",
        "[[]]",
        "[null]",
        '[{"a": 1}]',
    ),
    *(
        '{"a": {"b": []}}',
        "9" * 5000,
        str(10**40),
        "[" * 500,
        "[" * 200 + "]" * 200,
        '"' + "x" * 200_000 + '"',
        "oops",
        "",
    ),
)
MISSING = object()
HTTP_200 = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
CLIENT = httpx.Client(timeout=30, trust_env=False)  # one for all: each new one reads the system's certificates


@pytest.fixture(scope="module", autouse=True)
def _close_client() -> Iterator[None]:
    yield
    CLIENT.close()


SECRETS = ("hunter2", "s3cret-engine-key")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a JSON value, its own first."""
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def spoil(valid: Any, chance: random.Random) -> str:
    """The JSON text of a valid answer in which one value, or two, or three are wrong or missing."""
    root = {"root": json.loads(json.dumps(valid))}
    marks: dict[str, str] = {}
    for number in range(chance.choice((1, 1, 1, 2, 3))):
        *way, last = chance.choice(list(places(root))[1:])
        holder = root
        for key in way:
            holder = holder[key]
        if chance.random() < 0.1 and way:
            del holder[last]
        else:
            marks[f'"@{number}@"'] = chance.choice(WRONG)
            holder[last] = f"@{number}@"
    text = json.dumps(root["root"])
    for mark, wrong in marks.items():
        text = text.replace(mark, wrong)
    return text


def strict(text: str) -> Any:
    """JSON as the standard has it."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


def problem_of(response: httpx.Response) -> str:
    """What is wrong with the gateway's answer; nothing where it is an answer or OpenAI's error."""
    try:
        if response.headers["content-type"].startswith("text/event-stream"):
            *events, last = [event.removeprefix("data: ") for event in response.text.split("\n\n") if event]
            error = {} if last == "[DONE]" else strict(last)["error"]
            any(map(strict, events))
        else:
            error = (
                strict(response.text).get("error", {})
                if response.status_code == 200
                else strict(response.text)["error"]
            )
    except (ValueError, KeyError) as broken:
        return f"{response.status_code} {broken!r}: {response.text[-200:]}"
    is_ours = response.status_code not in (500, 501) and error.get("code") != "internal_error"
    return (
        ""
        if is_ours and response.elapsed.total_seconds() < 15
        else f"{response.status_code} {error} after {response.elapsed}"
    )


def ask(url: str, streamed: bool, **more: Any) -> httpx.Response:
    return CLIENT.post(f"{url}/v1/chat/completions", json={**HELLO, "stream": streamed}, **more)


def test_answers_of_a_wrong_shape_are_502_or_an_error_event(
    gateway: str, engine: FakeEngine, attack: Attack, caplog: pytest.LogCaptureFixture
) -> None:
    ask(gateway, False)  # the window is known from here on
    chance, failures, tries = random.Random(16), [], attack.times(120, full=3000)
    for number in range(tries):
        kind = number % 3
        text = spoil((WHOLE, CHUNK, MODELS)[kind], chance)
        if kind == 1:
            first = f"data: {json.dumps(CHUNK)}\n\n" if chance.random() < 0.5 else ""
            engine.script = EngineScript(raw=[EVENTS, f"{first}data: {text}\n\ndata: [DONE]\n\n".encode()])
            response = ask(gateway, True)
        else:
            engine.script = EngineScript(raw=[HTTP_200 + b"\r\n", text.encode()])
            response = ask(gateway, False) if kind == 0 else CLIENT.get(f"{gateway}/v1/models")
        if problem := problem_of(response):
            failures.append(f"{text[:300]} -> {problem}")
    failures += [record.getMessage() for record in caplog.records if record.exc_info]
    attack.report("engine answers of a wrong shape", tries, failures)


def wire_nonsense(elsewhere: str) -> dict[str, list[bytes]]:
    """Answers that are wrong on the wire, by name; `elsewhere` is another server, which must hear nothing."""
    answer = json.dumps(WHOLE).encode()
    bomb = gzip.compress(gzip.compress(bytes(2**26)) + bytes(2**24))
    redirect = f"location: {elsewhere}/v1/chat/completions\r\n\r\n".encode()
    return {
        "no content": [b"HTTP/1.1 204 No Content\r\n\r\n"],
        "redirect": [b"HTTP/1.1 307 Temporary Redirect\r\n" + redirect],
        "redirect with an answer": [b"HTTP/1.1 302 Found\r\n" + redirect + answer],
        "gzip bomb": [HTTP_200 + b"content-encoding: gzip\r\n\r\n", bomb],
        "gzip that is none": [HTTP_200 + b"content-encoding: gzip\r\n\r\n", answer],
        "unknown encoding": [HTTP_200 + b"content-encoding: " + b"x" * 5000 + b"\r\n\r\n", answer],
        "too long a length": [HTTP_200 + b"content-length: 1000000\r\n\r\n", answer],
        "too short a length": [HTTP_200 + b"content-length: 10\r\n\r\n", answer],
        "negative length": [HTTP_200 + b"content-length: -1\r\n\r\n", answer],
        "two lengths": [HTTP_200 + b"content-length: 1\r\ncontent-length: 2\r\n\r\n", answer],
        "chunks that are none": [HTTP_200 + b"transfer-encoding: chunked\r\n\r\n", b"zz\r\n", answer],
        "a chunk cut off": [HTTP_200 + b"transfer-encoding: chunked\r\n\r\n", b"fffff\r\n", answer],
        "no header": [answer],
        "nothing": [b""],
        "half a header": [b"HTTP/1.1 200 OK\r\ncontent-ty"],
        "header of bytes": [b"HTTP/1.1 200 OK\r\n\xff\xfe\x00: \x01\r\n\r\n", answer],
        "header of 200 KB": [HTTP_200 + b"x: " + b"y" * 200_000 + b"\r\n\r\n", answer],
        "status 999": [b"HTTP/1.1 999 What\r\n\r\n", answer],
        "status 600": [b"HTTP/1.1 600 What\r\n\r\n", answer],
        "status 500": [b"HTTP/1.1 500 What\r\n\r\n", b'{"error": {"message": "worker died", "param": {"a": [1]}}}'],
        "error of lists": [b"HTTP/1.1 400 What\r\n\r\n", b'{"error": [[[]]]}'],
        "error of 3 MB": [b"HTTP/1.1 400 What\r\n\r\n", b'{"error": {"message": "' + b"x" * 3_000_000 + b'"}}'],
        "error in a 200": [HTTP_200 + b"\r\n", b'{"error": "worker died"}'],
        "only interim answers": [b"HTTP/1.1 100 Continue\r\n\r\n" * 50],
        "switching protocols": [b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"],
        "utf-16": [HTTP_200 + b"\r\n", json.dumps(WHOLE).encode("utf-16")],
        "bytes": [HTTP_200 + b"\r\n", bytes(range(256)) * 100],
        "deep": [HTTP_200 + b"\r\n", b'{"choices": ' + b"[" * 1_000_000],
        "wide": [HTTP_200 + b"\r\n", b'{"choices": [' + b"{}," * 1_000_000 + b"{}]}"],
        "an endless line": [EVENTS, b"data: ", *[b"x" * 2**16] * 160],
        "an endless event": [EVENTS, *[b"data: " + b"x" * 2**16 + b"\n"] * 160],
        "too large an answer": [HTTP_200 + b"\r\n", b'{"choices": "', *[b"x" * 2**20] * 70],
        "events without an answer": [EVENTS, b"data: [DONE]\n\n"],
        "an answer where events should be": [HTTP_200 + b"\r\n", answer],
    }


@pytest.mark.parametrize("streamed", [False, True])
def test_what_is_wrong_on_the_wire_is_502_and_no_redirect_is_followed(
    gateway: str, engine: FakeEngine, attack: Attack, caplog: pytest.LogCaptureFixture, streamed: bool
) -> None:
    ask(gateway, False)
    failures = []
    with FakeEngine() as elsewhere:
        kinds = wire_nonsense(elsewhere.url)
        for name, pieces in kinds.items():
            engine.script = EngineScript(raw=pieces)
            response = ask(gateway, streamed)
            if problem := problem_of(response) or (
                "" if len(response.content) < 10_000 else f"{len(response.content)} bytes"
            ):
                failures.append(f"{name}: {problem}")
        failures += [f"a redirect was followed: {body}" for body in elsewhere.bodies]
    failures += [record.getMessage() for record in caplog.records if record.exc_info]
    attack.report(f"engine answers broken on the wire{', streamed' if streamed else ''}", len(kinds), failures)


@dataclass
class Drip:
    """Bytes that come again and again for a minute, to each request anew, unless nobody listens."""

    first: bytes
    piece: bytes

    def __iter__(self) -> Iterator[bytes]:
        yield self.first
        for _ in range(1200):
            time.sleep(0.05)
            yield self.piece


@pytest.mark.parametrize(
    ("streamed", "first", "piece"),
    [
        (False, HTTP_200 + b"\r\n", b" "),
        (True, EVENTS, b": ping\n\n"),
        (True, EVENTS, b"x"),
        (True, EVENTS, f"data: {json.dumps({**CHUNK, 'choices': []})}\n\n".encode()),
        (True, b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
        (False, b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_a_drip_does_not_outlast_the_deadlines(
    gateway_at: Gateway, engine: FakeEngine, attack: Attack, streamed: bool, first: bytes, piece: bytes
) -> None:
    with gateway_at(engine.url, answer_timeout_s=1.0, read_timeout_s=0.6, stream_timeout_s=1.0) as url:
        assert any(ask(url, False).status_code == 200 for _ in range(20))  # the window is known from then on
        engine.script = EngineScript(raw=Drip(first, piece))
        started = time.monotonic()
        response = ask(url, streamed)
    elapsed_s = time.monotonic() - started
    late = "upstream_timeout" in response.text and elapsed_s < 15
    attack.report(
        "engine answers that drip",
        1,
        [] if late else [f"{response.status_code} after {elapsed_s:.1f} s: {response.text[-200:]}"],
    )


def test_no_failure_of_the_engine_reveals_its_password_or_its_key(
    gateway_at: Gateway, engine: FakeEngine, attack: Attack, caplog: pytest.LogCaptureFixture
) -> None:
    password, key = SECRETS
    scripts = [
        EngineScript(),
        EngineScript(healthy=False),
        EngineScript(garbage=True),
        EngineScript(refusal=(401, "who are you?")),
        EngineScript(refusal=(500, "worker died")),
        EngineScript(models=[]),
        EngineScript(cut_after=1),
        EngineScript(error_after=1),
        *(EngineScript(raw=pieces) for pieces in wire_nonsense("http://127.0.0.1:9").values()),
    ]
    host = engine.url.removeprefix("http://")
    said: list[str] = []
    caplog.set_level(logging.DEBUG)
    for address in (
        f"http://someone:{password}@{host}",
        f"http://someone:{password}@127.0.0.1:9",
        f"http://:{password}@no-such-host.invalid:80",
    ):
        for settings in ({"engine_key": key}, {}):
            with gateway_at(address, **settings) as url:
                for script in scripts if host in address and settings else scripts[:2]:
                    engine.script = script
                    answers = [
                        ask(url, False),
                        ask(url, True),
                        *(CLIENT.get(f"{url}{path}") for path in ("/ready", "/v1/models", "/metrics", "/nothing")),
                    ]
                    said += [f"{answer.headers} {answer.text}" for answer in answers]
    said += [
        f"{record.getMessage()} {record.exc_info}"
        for record in caplog.records
        if not record.name.startswith(("hpack", "asyncio"))
    ]
    leaks = [f"{secret}: {text[:300]}" for text in said for secret in SECRETS if secret in text]
    attack.report("secrets in bodies, headers and logs", len(said), leaks)
    assert f"Bearer {key}" in engine.keys  # it was sent
    assert any(sent and sent.startswith("Basic ") for sent in engine.keys)
