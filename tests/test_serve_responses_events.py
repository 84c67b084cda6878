"""serve.responses.events, request: whatever an engine says is a stream that adds up; whatever a client sends is read or
refused.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.errors import RequestError, UpstreamTimeout
from serve.protocol import usage
from serve.responses.events import Translator, as_event, response_id_of
from serve.responses.items import kept
from serve.responses.request import ResponsesRequest, as_items, read_request
from serve.responses.resource import new_response
from serve.responses.tools import Kit
from serve.responses.translation import to_chat
from tests.responses_api import judge_events, said

HEAD = {"model": "m", "retrieval": None}
TEXTS = st.text(max_size=20)
CALLS = st.builds(
    lambda index, name, arguments: {"index": index, "function": {"name": name, "arguments": arguments}},
    st.integers(0, 2),
    st.sampled_from(["run_sta", None]),
    st.none() | TEXTS,
)
DELTAS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "role": st.just("assistant"),
            "content": st.none() | TEXTS,
            "reasoning": st.none() | TEXTS,
            "refusal": st.none() | TEXTS,
            "tool_calls": st.none() | st.lists(CALLS, max_size=3),
        },
    ),
    max_size=12,
)
REASONS = st.sampled_from(["stop", "length", "tool_calls", "content_filter", None])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 200) | st.floats(-3, 3) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def translator() -> Translator:
    return Translator(new_response(ResponsesRequest(), Kit(), "m", 0.0))


def event(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def told(deltas: list[dict[str, Any]], field: str) -> str:
    return "".join(delta.get(field) or "" for delta in deltas)


@given(DELTAS, REASONS)
def test_whatever_is_said_adds_up_to_the_response(deltas: list[dict[str, Any]], reason: str | None) -> None:
    writing = translator()
    events = [each for delta in deltas for each in writing.feed(event(delta))]
    events += writing.feed({**event({}, reason), "usage": usage(3, 4)})
    events += writing.end()

    judge_events(events)
    response = events[-1]["response"]
    assert response["status"] == ("incomplete" if reason in ("length", "content_filter") else "completed")
    assert {item["status"] for item in response["output"][:-1]} <= {"completed"}
    parts = [part for item in response["output"] for part in item.get("content", [])]
    for field, kind in (("content", "output_text"), ("reasoning", "reasoning_text"), ("refusal", "refusal")):
        written = [part.get("text", part.get("refusal")) for part in parts if part["type"] == kind]
        assert "".join(written) == told(deltas, field)
    assert writing.text == told(deltas, "content")


@given(DELTAS, st.booleans())
def test_an_answer_may_break_off_anywhere(deltas: list[dict[str, Any]], has_begun: bool) -> None:
    writing = translator()
    events = [each for delta in deltas for each in writing.feed(event(delta))]
    error = UpstreamTimeout("The engine is stuck.")
    ending = writing.fail(error)
    if events:
        judge_events([*events, *ending])
    assert [each["type"] for each in ending] == ["error", "response.failed"]
    failed = ending[-1]["response"]
    assert failed["error"]["message"] == str(error)
    assert {item["status"] for item in failed["output"]} <= {"completed", "incomplete"}


def test_a_whole_answer_is_one_event() -> None:
    message = {"role": "assistant", "content": "Run it.", "annotations": [], "verification": {"mode": "model"}}
    answer = {**HEAD, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    writing = translator()
    writing.feed(as_event(answer))
    writing.end()
    assert said(writing.response) == "Run it."
    assert writing.response["output"][0]["verification"] == {"mode": "model"}


def test_an_items_id_names_its_response() -> None:
    writing = translator()
    writing.feed(event({"content": "x", "reasoning": "y"}))
    assert {response_id_of(item["id"]) for item in writing.response["output"]} == {writing.response["id"]}


@pytest.mark.parametrize("index", [None, 0, "x", [0]])
def test_a_call_without_an_index_is_the_first(index: int | None) -> None:
    writing = translator()
    for function in ({"name": "run_sta", "arguments": "{"}, {"arguments": "}"}):
        writing.feed(event({"tool_calls": [{"index": index, "function": function}]}))
    writing.end()
    assert [item["arguments"] for item in writing.response["output"]] == ["{}"]


def test_arguments_and_logprobs_of_a_rough_engine_do_not_break_a_stream() -> None:
    writing = translator()
    call = {"function": {"name": "run_sta", "arguments": {"corner": "slow"}}}
    rough = event({"content": "x", "tool_calls": [call, {"function": None}]})
    rough["choices"][0]["logprobs"] = {"content": ["x", {"token": None}]}
    writing.feed(rough)
    writing.end()
    assert writing.response["output"][1]["arguments"] == '{"corner": "slow"}'


ITEMS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["message", "function_call", "function_call_output", "item_reference"]) | VALUES,
        "role": st.sampled_from(["user", "assistant", "developer"]) | VALUES,
        "content": st.lists(st.fixed_dictionaries({"type": st.just("input_text") | VALUES, "text": VALUES})) | VALUES,
        "call_id": VALUES,
        "name": VALUES,
        "arguments": VALUES,
        "output": VALUES,
        "id": VALUES,
    },
)
TOOLS = st.fixed_dictionaries(
    {"type": st.sampled_from(["function", "file_search", "namespace", "web_search"]) | VALUES},
    optional={
        "name": VALUES,
        "parameters": VALUES,
        "tools": VALUES,
        "vector_store_ids": st.lists(st.text(max_size=3)) | VALUES,
        "filters": st.fixed_dictionaries({"type": st.sampled_from(["eq", "and", "or"]) | VALUES, "key": VALUES})
        | VALUES,
        "ranking_options": VALUES,
        "max_num_results": VALUES,
    },
)
REQUESTS = st.fixed_dictionaries(
    {"input": st.just("hello") | st.lists(ITEMS, max_size=3) | VALUES},
    optional={
        "tools": st.lists(TOOLS, max_size=3) | VALUES,
        "tool_choice": st.fixed_dictionaries({"type": st.sampled_from(["function", "allowed_tools"]), "tools": VALUES})
        | VALUES,
        "text": st.fixed_dictionaries({"format": VALUES}) | VALUES,
        **dict.fromkeys(
            ("reasoning", "include", "metadata", "stream", "temperature", "instructions", "retrieval", "n"), VALUES
        ),
    },
)


def read_or_refuse(sent: dict[str, Any]) -> RequestError | None:
    """Read a request as the route does; the error if it is refused."""
    try:
        wanted = read_request(json.dumps(sent).encode())
        items = as_items(wanted)
        translated = to_chat(wanted, [], items)
    except RequestError as error:
        return error
    new_response(wanted, translated.kit, "m", None)
    for item in items:
        kept(item)
    return None


@settings(max_examples=400)
@given(REQUESTS)
def test_whatever_is_sent_is_read_or_refused(sent: dict[str, Any]) -> None:
    if error := read_or_refuse(sent):
        assert error.status == 400
        assert len(str(error)) < 500
