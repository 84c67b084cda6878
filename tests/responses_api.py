"""What tests of /v1/responses share: requests, streams as lists of events, and OpenAI's own types as the judge.

events = stream(url, {"input": "Which command fixes antenna violations?"})
response = judge(events[-1]["response"])
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

import httpx
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel

QUESTION = "Which command fixes antenna violations?"
FUNCTION: dict[str, Any] = {
    "type": "function",
    "name": "run_sta",
    "description": "Run static timing analysis.",
    "parameters": {"type": "object", "properties": {"corner": {"type": "string"}}, "required": ["corner"]},
    "strict": True,
}
# What the specification of Open Responses requires of a response, also where it is null
REQUIRED = (
    "id object created_at completed_at status incomplete_details model previous_response_id instructions output error "
    "tools tool_choice truncation parallel_tool_calls text top_p presence_penalty frequency_penalty top_logprobs "
    "temperature reasoning user usage max_output_tokens max_tool_calls store background service_tier metadata "
    "safety_identifier prompt_cache_key"
).split()
EVENTS: dict[str, type[BaseModel]] = {
    get_args(each.model_fields["type"].annotation)[0]: each for each in get_args(get_args(ResponseStreamEvent)[0])
}


def post(url: str, body: Mapping[str, Any], **more: Any) -> httpx.Response:
    return httpx.post(f"{url}/v1/responses", json=body, timeout=20, **more)


def ask(url: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """A whole response, judged."""
    answered = post(url, body)
    assert answered.status_code == 200, answered.text
    return judge(answered.json())


def refusal(url: str, body: Mapping[str, Any], status: int = 400) -> dict[str, Any]:
    """The error that a request gets."""
    answered = post(url, body)
    assert answered.status_code == status, answered.text
    error: dict[str, Any] = answered.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def stream(url: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The events of a stream, judged one by one and in their order."""
    answered = post(url, {**body, "stream": True})
    assert answered.headers["content-type"].startswith("text/event-stream"), answered.text
    *blocks, done = [block for block in answered.text.split("\n\n") if block]
    assert done == "data: [DONE]"
    events = []
    for block in blocks:
        name, data = block.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    judge_events(events)
    return events


def judge(response: dict[str, Any]) -> dict[str, Any]:
    """The response, which is one by OpenAI's types and by the specification."""
    Response.model_validate(response)
    assert set(REQUIRED) <= set(response)
    ids = [item["id"] for item in response["output"]]
    assert len(set(ids)) == len(ids)
    assert all(item["status"] for item in response["output"])
    return response


def judge_events(events: list[dict[str, Any]]) -> None:
    """Each event is one by OpenAI's types, they count from 0, and what they say adds up to the last response."""
    for number, event in enumerate(events):
        EVENTS[event["type"]].model_validate(event)
        assert event["sequence_number"] == number
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    final = judge(events[-1]["response"])
    assert events[0]["response"]["id"] == final["id"]
    assert events[0]["response"]["output"] == []
    if final["status"] != "failed":
        assert replay(events) == final["output"]


def replay(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The output as a client puts it together from the events alone, which come in an order that allows it."""
    items: dict[int, dict[str, Any]] = {}
    done: set[int] = set()
    for event in events:
        kind, place = event["type"].removeprefix("response."), event.get("output_index")
        if place is None:
            continue
        assert place not in done
        if kind == "output_item.added":
            assert place == len(items)
            assert event["item"]["status"] == "in_progress"
            items[place] = event["item"]
        elif kind == "output_item.done":
            done.add(place)
            assert_same(items[place], event["item"])
            items[place] = event["item"]
        elif kind.startswith("function_call_arguments"):
            add_arguments(items[place], event, kind)
        elif kind.startswith("content_part") or "content_index" in event:
            add_to_part(items[place], event, kind)
    assert done == set(items)
    return [items[place] for place in sorted(items)]


def add_arguments(item: dict[str, Any], event: Mapping[str, Any], kind: str) -> None:
    assert event["item_id"] == item["id"]
    if kind.endswith(".delta"):
        item["arguments"] += event["delta"]
    else:
        assert item["arguments"] == event["arguments"]


def add_to_part(item: dict[str, Any], event: Mapping[str, Any], kind: str) -> None:
    assert event["item_id"] == item["id"]
    if kind == "content_part.added":
        assert event["content_index"] == len(item["content"])
        item["content"].append(event["part"])
        return
    part = item["content"][event["content_index"]]
    text = "refusal" if part["type"] == "refusal" else "text"
    if kind.endswith(".delta"):
        part[text] += event["delta"]
        part.get("logprobs", []).extend(event.get("logprobs", []))
    elif kind == "output_text.annotation.added":
        assert event["annotation_index"] == len(part["annotations"])
        part["annotations"].append(event["annotation"])
    elif kind == "content_part.done":
        assert part == event["part"]
    else:
        assert part[text] == event[text]


def assert_same(built: dict[str, Any], told: dict[str, Any]) -> None:
    """What a client built is what the item says in the end, but for what comes with its end alone."""
    late = ("status", "verification", "queries", "results")
    assert {name: built[name] for name in built if name not in late} == {
        name: told[name] for name in told if name not in late
    }


def said(response: Mapping[str, Any]) -> str:
    """The words of an answer."""
    return "".join(part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"])


def kinds(response: Mapping[str, Any]) -> list[str]:
    return [item["type"] for item in response["output"]]
