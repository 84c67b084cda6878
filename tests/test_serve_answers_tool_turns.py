"""Tools and documents: which of them a request leaves the answer to, by its messages and fields alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serve.answers.tool_turns import asked_turn, model_leads
from serve.protocol import parse_chat_request

ASK = {"role": "user", "content": "Which command repairs antenna violations?"}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "run_sta", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "wns -0.3"}
TOOL = {"type": "function", "function": {"name": "run_sta", "parameters": {"type": "object", "properties": {}}}}
SEARCH = {"type": "function", "function": {"name": "search"}}
NAMED = {"type": "function", "function": {"name": "run_sta"}}


@pytest.mark.parametrize(
    ("messages", "place"),
    [
        ([ASK], 0),
        ([{"role": "system", "content": "x"}, ASK], 1),
        ([ASK, CALL, RESULT], 0),
        ([ASK, {"role": "assistant", "content": "By diodes."}, ASK, CALL, RESULT, RESULT], 2),
        ([ASK, CALL, RESULT, CALL, RESULT], 0),
        ([ASK, CALL, RESULT, {"role": "assistant", "content": "So"}], None),
        ([ASK, CALL], None),
        ([RESULT], None),
        ([{"role": "system", "content": "x"}, RESULT], None),
        ([{"role": "system", "content": "x"}], None),
        ([ASK, {"role": "function", "name": "run_sta", "content": "1"}], 0),
    ],
)
def test_the_turn_that_is_answered_is_the_last_of_the_user_whatever_tools_returned(
    messages: list[dict[str, Any]], place: int | None
) -> None:
    assert asked_turn(messages) == place


@pytest.mark.parametrize(
    ("messages", "fields", "leads"),
    [
        ([ASK], {}, False),
        ([ASK], {"tools": [TOOL]}, False),
        ([ASK], {"tools": [TOOL], "tool_choice": "auto"}, False),
        ([ASK], {"tools": [TOOL], "tool_choice": "none"}, False),
        ([ASK], {"tools": [TOOL], "tool_choice": "required"}, True),
        ([ASK], {"tools": [TOOL], "tool_choice": NAMED}, True),
        ([ASK, CALL, RESULT], {"tools": [TOOL]}, True),
        ([ASK, CALL, RESULT], {}, True),
        ([ASK, CALL, RESULT, {"role": "assistant", "content": "-0.3"}, ASK], {"tools": [TOOL]}, False),
        ([{"role": "system", "content": "Use `run_sta` for numbers."}, ASK], {"tools": [TOOL]}, True),
        ([{"role": "developer", "content": "You have run_sta."}, ASK], {"tools": [TOOL]}, True),
        ([{"role": "system", "content": "Use run_sta2, not re-run_sta."}, ASK], {"tools": [TOOL]}, False),
        ([{"role": "system", "content": "Use run_sta."}, ASK], {"tools": [TOOL], "tool_choice": "none"}, False),
        ([{"role": "system", "content": "Use run_sta."}, ASK], {}, False),
        ([{"role": "system", "content": "Search well."}, ASK], {"tools": [SEARCH]}, False),
        ([{"role": "system", "content": "Please search the documents."}, ASK], {"tools": [SEARCH]}, False),
        ([{"role": "system", "content": "Call `search` or search(query) first."}, ASK], {"tools": [SEARCH]}, True),
        ([{"role": "system", "content": "Be brief."}, ASK], {"tools": [TOOL]}, False),
        ([{"role": "user", "content": "What does run_sta do?"}], {"tools": [TOOL]}, False),
    ],
)
def test_the_model_leads_where_a_tool_is_wanted_and_not_where_one_is_only_offered(
    messages: list[dict[str, Any]], fields: dict[str, Any], leads: bool
) -> None:
    assert model_leads(parse_chat_request(json.dumps({"messages": messages, **fields}).encode())) is leads


def test_without_tools_a_request_is_as_if_none_had_been_sent() -> None:
    sent = {"messages": [ASK], "model": "m", "seed": 7, "max_tokens": 9, "retrieval": {"top_k": 2}}
    tools = {"tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": True}
    request = parse_chat_request(json.dumps({**sent, **tools}).encode())
    bare = request.without_tools()
    assert bare.upstream_body() == {name: value for name, value in sent.items() if name != "retrieval"}
    assert (bare.tools, bare.may_call, bare.options.top_k) == (None, False, 2)
    assert request.upstream_body()["tools"] == [TOOL]
    assert request.tool_names == ["run_sta"]
