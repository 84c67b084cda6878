"""Engines whose streams are rough, as gateways met them: the text arrives letter by letter, or OpenAI's error does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import OpenAIAt
from tests.fake_engine import EngineScript, FakeEngine

TEXT = "Run `repair_antennas` [1]. µ 🚀 宽度 \u2028 \x85"
DONE = b"data: [DONE]\n\n"
BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "Which command fixes antenna violations?"}]}


def chunk(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "rough", "choices": [choice], **more}


def event(data: Any, end: bytes = b"\n\n") -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + end


ROLE = event(chunk({"role": "assistant", "content": ""}))
SAID = event(chunk({"content": TEXT}))
STOP = event(chunk({}, "stop"))
USAGE = event({"id": "c", "model": "rough", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 9}})
NO_INDEX = chunk({"content": TEXT})
del NO_INDEX["choices"][0]["index"]
HALF = len(TEXT) // 2
ONE_BY_ONE = tuple(bytes([each]) for each in ROLE + SAID + STOP + DONE)

WHOLE = {  # habits after which the text must be exact
    "plain": (ROLE, SAID, STOP, USAGE, DONE),
    "a byte at a time": ONE_BY_ONE,
    "all at once": (ROLE + SAID + STOP + DONE,),
    "no choices": (ROLE, event({"choices": None, "usage": None}), event({}), SAID, STOP, DONE),
    "null fields": (
        event(chunk({"content": None, "role": None, "tool_calls": None})),
        event(chunk(None)),
        SAID,
        STOP,
        DONE,
    ),
    "no index": (ROLE, event(NO_INDEX), STOP, DONE),
    "comments": (b": keep-alive\n\n", ROLE, b":\n\n: x\n", SAID, b": y\n\n", STOP, DONE),
    "carriage returns": (ROLE.replace(b"\n", b"\r\n"), SAID.replace(b"\n", b"\r\n"), STOP, b"data:[DONE]\r\n\r\n"),
    "other fields": (b"event: message\r\nid: 7\r\nretry: 10\r\n" + SAID, b"id\n" + STOP, DONE),
    "no role": (SAID, STOP, DONE),
    "two finishes": (ROLE, event(chunk({"content": TEXT}, "stop")), event(chunk({"content": ""}, "stop")), DONE),
    "text after the finish": (ROLE, event(chunk({"content": TEXT}, "stop")), event(chunk({"content": "more"})), DONE),
    "two pieces": (event(chunk({"content": TEXT[:HALF]})), event(chunk({"content": TEXT[HALF:]})), STOP, DONE),
    "usage in every event": (event(chunk({"content": TEXT}, usage={"prompt_tokens": 1})), STOP, DONE),
}
BROKEN = {  # habits that end in OpenAI's error, with the words that it holds
    "cut off": ((ROLE, SAID), "closed the stream"),
    "cut inside an event": ((ROLE, SAID, STOP[:30]), "closed the stream"),
    "an error that is a text": ((ROLE, SAID, event({"error": "worker died", "code": 500}), DONE), "worker died"),
    "an error that is an object": ((ROLE, SAID, event({"error": {"message": "worker died"}}), DONE), "worker died"),
    "an error event": ((ROLE, SAID, b"event: error\n" + event({"error": {"message": "no slot"}})), "no slot"),
    "not json": ((ROLE, SAID, b"data: oops\n\n", DONE), "is not JSON"),
    "half a json": ((ROLE, SAID, b'data: {"choices": [{"delta": {"con\n\n', DONE), "is not JSON"),
    "a list": ((ROLE, b"data: []\n\n", SAID, STOP, DONE), "not a JSON object"),
    "a wrong index": ((ROLE, event({"choices": [{"index": -1, "delta": {}}]}), DONE), "choices.0.index"),
}


def read(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    for part in answer.text.split("\n\n"):
        if part and part != "data: [DONE]":
            yield json.loads(part.removeprefix("data: "))


@pytest.mark.parametrize("habit", WHOLE)
def test_the_text_of_a_rough_stream_is_exact_and_ends_once(gateway: str, engine: FakeEngine, habit: str) -> None:
    engine.script = EngineScript(wire=WHOLE[habit])
    answer = httpx.post(f"{gateway}/v1/chat/completions", json={**BODY, "stream": True}, timeout=20)
    choices = [choice for each in read(answer) for choice in each["choices"]]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == TEXT
    assert [choice["finish_reason"] for choice in choices if choice.get("finish_reason")] == ["stop"]
    assert [note["number"] for choice in choices for note in choice["delta"].get("annotations") or ()] == [1]
    assert answer.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("habit", BROKEN)
def test_a_stream_that_breaks_ends_in_one_error_of_openais_form(gateway: str, engine: FakeEngine, habit: str) -> None:
    wire, words = BROKEN[habit]
    engine.script = EngineScript(wire=wire)
    answer = httpx.post(f"{gateway}/v1/chat/completions", json={**BODY, "stream": True}, timeout=20)
    *before, last = read(answer)
    assert not any("error" in each for each in before)
    assert set(last["error"]) == {"message", "type", "param", "code"}
    assert words in last["error"]["message"]
    assert "[DONE]" not in answer.text


def test_openais_client_reads_what_the_gateway_makes_of_a_rough_stream(
    gateway: str, engine: FakeEngine, openai_at: OpenAIAt
) -> None:
    engine.script = EngineScript(wire=WHOLE["null fields"])
    chunks = openai_at(gateway).chat.completions.create(model="chipalign-demo", stream=True, **BODY)
    assert "".join(each.choices[0].delta.content or "" for each in chunks if each.choices) == TEXT


def test_thoughts_and_text_in_one_event_both_arrive(gateway: str, engine: FakeEngine) -> None:
    both = event(chunk({"reasoning_content": "I look at [1].", "content": TEXT}))
    engine.script = EngineScript(wire=(ROLE, both, STOP, DONE))
    answer = httpx.post(f"{gateway}/v1/chat/completions", json={**BODY, "stream": True}, timeout=20)
    deltas = [choice["delta"] for each in read(answer) for choice in each["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == TEXT
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == "I look at [1]."
    assert [note["number"] for delta in deltas for note in delta.get("annotations") or ()] == [1]


@pytest.mark.parametrize("stream", [False, True])
def test_what_stands_in_thoughts_is_neither_cited_nor_checked(gateway: str, engine: FakeEngine, stream: bool) -> None:
    thought = "<think>`repair_antennas` fixes antenna violations [1], maybe [2].\n```tcl\nset {\n```\n</think>"
    pieces = [thought[:5], thought[5:40], thought[40:], TEXT]
    said = thought + TEXT
    engine.script = EngineScript(
        wire=(ROLE, *(event(chunk({"content": piece})) for piece in pieces), STOP, DONE), answer=(said,)
    )
    answer = httpx.post(f"{gateway}/v1/chat/completions", json={**BODY, "stream": stream}, timeout=20)
    if stream:
        message = [choice["delta"] for each in read(answer) for choice in each["choices"]][-1]
    else:
        message = answer.json()["choices"][0]["message"]
    assert [note["url_citation"]["start_index"] for note in message["annotations"]] == [said.rindex("[1]")]
    assert all(sentence["start"] >= len(thought) for sentence in message["verification"]["sentences"])
    assert message["verification"]["code"] == []
