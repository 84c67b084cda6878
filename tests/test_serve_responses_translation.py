"""serve.responses.translation, items, tools, request: what a request becomes in a chat, and what is refused where."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from serve.errors import RequestError
from serve.responses.items import kept
from serve.responses.request import MOVED, REFUSED, as_items, read_request
from serve.responses.translation import Translated, to_chat, without_oldest_turns
from tests.rows import for_each

FUNCTION: dict[str, Any] = {"type": "function", "name": "run_sta", "parameters": {"type": "object"}}
SEARCH: dict[str, Any] = {"type": "file_search", "vector_store_ids": ["openroad"]}
CALL: dict[str, Any] = {"type": "function_call", "call_id": "call_1", "name": "run_sta", "arguments": "{}"}
OUTPUT: dict[str, Any] = {"type": "function_call_output", "call_id": "call_1", "output": "slack 0.1"}
ASSISTANT: dict[str, Any] = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
}


def translate(**fields: Any) -> Translated:
    wanted = read_request(json.dumps({"input": "hello", **fields}).encode())
    return to_chat(wanted, [], as_items(wanted))


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def messages(*items: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    return translate(input=[*items], **fields).chat.messages


def body(**fields: Any) -> dict[str, Any]:
    """What the engine gets beside the messages."""
    sent = translate(**fields).chat.upstream_body()
    del sent["messages"]
    return sent


# Items


def test_a_string_is_a_users_message() -> None:
    assert translate(input="hello").chat.messages == [user("hello")]
    assert messages({"role": "user", "content": [{"type": "input_text", "text": "hello"}]}) == [user("hello")]


def test_instructions_and_what_developers_say_first_are_one_system_message() -> None:
    leading = [{"role": "developer", "content": "Answer in German."}, {"role": "system", "content": "Cite."}]
    asked = messages(
        *leading, user("hello"), {"role": "developer", "content": "Now English."}, instructions="Be short."
    )
    assert asked == [
        {"role": "system", "content": "Be short.\n\nAnswer in German.\n\nCite."},
        user("hello"),
        {"role": "system", "content": "Now English."},
    ]


def test_calls_stand_in_the_message_before_them_and_outputs_behind() -> None:
    second = {**CALL, "call_id": "call_2"}
    asked = messages(user("hello"), ASSISTANT, CALL, second, OUTPUT, {**OUTPUT, "call_id": "call_2"}, user("and now?"))
    assert [each["role"] for each in asked] == ["user", "assistant", "tool", "tool", "user"]
    assert asked[1]["content"] == "I look."
    assert [call["id"] for call in asked[1]["tool_calls"]] == ["call_1", "call_2"]
    assert asked[2] == {"role": "tool", "tool_call_id": "call_1", "content": "slack 0.1"}


def test_an_output_of_parts_is_their_text() -> None:
    parts = [{"type": "input_text", "text": text} for text in ("slack", "0.1")]
    assert messages(user("hello"), CALL, {**OUTPUT, "output": parts})[-1]["content"] == "slack\n0.1"


def test_thoughts_and_searches_of_earlier_turns_are_left_out() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "xyz"}
    found = {"type": "file_search_call", "id": "fs_1", "queries": ["x"], "status": "completed"}
    assert messages(user("hello"), thought, found, ASSISTANT, user("thanks"))[1]["content"] == "I look."


def test_a_refusal_of_an_earlier_turn_is_what_was_said() -> None:
    refused = {**ASSISTANT, "content": [{"type": "refusal", "refusal": "No."}]}
    assert messages(user("hello"), refused, user("why?"))[1] == {"role": "assistant", "content": "No."}


@for_each(
    ("items", "param"),
    [
        ([user(5)], "input[0].content"),
        ([user("")], "input[0].content"),
        ([user([])], "input[0].content"),
        ([{"role": "user"}], "input[0].content"),
        ([user("a"), {"content": "b"}], "input[1].role"),
        ([{"role": ["user"], "content": "b"}], "input[0].role"),
        ([{"role": "robot", "content": "b"}], "input[0].role"),
        ([user(["text"])], "input[0].content[0].type"),
        ([user([{"type": "input_audio"}])], "input[0].content[0].type"),
        ([user([{"type": ["input_text"]}])], "input[0].content[0].type"),
        ([user([{"type": "input_text", "text": 5}])], "input[0].content[0].text"),
        ([user([{"type": "input_image", "file_id": "file-1"}])], "input[0].content[0].image_url"),
        ([user([{"type": "input_file", "file_id": "file-1"}])], "input[0].content[0]"),
        ([user("a"), OUTPUT], "input[1].call_id"),
        ([user("a"), CALL, {**OUTPUT, "output": 5}], "input[2].output"),
        ([user("a"), {**CALL, "arguments": {}}], "input[1].arguments"),
        ([user("a"), {"type": "function_call", "name": "run_sta", "arguments": ""}], "input[1].call_id"),
        ([{"type": "computer_call"}], "input[0].type"),
        ([{"type": ["message"]}], "input[0].type"),
        (["hello"], "input[0]"),
        ([], "input"),
        ([ASSISTANT, None], "input[1]"),
        ([{"type": "reasoning", "summary": []}], "input"),
        ({"role": "user"}, "input"),
        (5, "input"),
        (None, "input"),
        (" ", "input"),
    ],
)
def test_a_wrong_item_is_refused_where_it_stands(items: Any, param: str) -> None:
    with pytest.raises(RequestError) as refused:
        translate(input=items)
    assert refused.value.param == param
    assert len(str(refused.value)) < 400


def test_an_item_is_kept_with_an_id_a_type_and_parts() -> None:
    item = kept(user("hello"))
    assert item["id"].startswith("msg_")
    assert (item["type"], item["content"]) == ("message", [{"type": "input_text", "text": "hello"}])
    assert kept(ASSISTANT) == ASSISTANT
    assert kept(CALL)["id"].startswith("fc_")


# Fields


def test_options_become_those_of_a_chat() -> None:
    form = {"type": "json_schema", "name": "command", "schema": {"type": "object"}, "strict": True}
    sent = body(
        model="m",
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=7,
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": form, "verbosity": "low"},
        seed=1,
    )
    assert sent == {
        "model": "m",
        "temperature": 0.5,
        "top_p": 0.9,
        "max_completion_tokens": 7,
        "reasoning_effort": "low",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "command", "schema": {"type": "object"}, "strict": True},
        },
        "seed": 1,
    }


def test_what_only_openai_reads_does_not_reach_the_engine() -> None:
    accepted = {
        "metadata": {"team": "cad"},
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "service_tier": "auto",
        "truncation": "auto",
        "include": ["reasoning.encrypted_content", "a.new.one"],
        "parallel_tool_calls": True,
        "max_tool_calls": 3,
        "store": True,
        "background": False,
        "client_metadata": {"x": 1},
        "stream": None,
        "text": {"format": {"type": "text"}},
        "reasoning": None,
    }
    assert body(**accepted) == {}


def test_a_stream_is_asked_to_count_its_tokens() -> None:
    assert body(stream=True) == {"stream": True, "stream_options": {"include_usage": True}}


@for_each(("name", "place"), MOVED.items())
def test_a_field_of_chat_is_refused_with_its_place_here(name: str, place: str) -> None:
    with pytest.raises(RequestError, match=re.escape(place)) as refused:
        translate(**{name: 1})
    assert refused.value.param == name


@for_each("name", REFUSED)
def test_what_this_gateway_does_not_do_is_refused_by_name(name: str) -> None:
    with pytest.raises(RequestError, match=f"^'{name}' is ") as refused:
        translate(**{name: True})
    assert refused.value.param == name
    assert translate(**{name: None}).chat.upstream_body() == {"messages": [user("hello")]}


@for_each(
    ("fields", "param"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": True}, "max_output_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"store": 1}, "store"),
        ({"instructions": ["a"]}, "instructions"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"truncation": "some"}, "truncation"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {str(number): "x" for number in range(17)}}, "metadata"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
        ({"text": {"format": {"type": "json_schema", "name": "a", "schema": []}}}, "text.format.schema"),
        ({"text": {"verbosity": "loud"}}, "text.verbosity"),
        ({"reasoning": {"effort": 5}}, "reasoning.effort"),
        ({"tools": {}}, "tools"),
        ({"retrieval": {"top_k": 0}}, "retrieval.top_k"),
    ],
)
def test_a_wrong_field_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refused:
        translate(**fields)
    assert refused.value.param == param


@for_each(
    ("param", "place"),
    [
        ("messages", "input"),
        ("messages[3].content", "input"),
        ("max_tokens", "max_output_tokens"),
        ("retrieval.collections", "tools[0].vector_store_ids"),
        ("tools[1].function.name", "tools[1].name"),
        ("model", "model"),
        (None, None),
    ],
)
def test_an_error_of_chat_names_the_field_of_responses(param: str | None, place: str | None) -> None:
    assert translate(tools=[SEARCH]).place(param) == place


# Tools


@for_each(
    ("choice", "chosen"),
    [
        (None, "auto"),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "name": "run_sta"}, {"type": "function", "function": {"name": "run_sta"}}),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "run_sta"}]}, "required"),
        ({"type": "file_search"}, "auto"),
    ],
)
def test_the_choice_of_tools_becomes_that_of_a_chat(choice: Any, chosen: Any) -> None:
    sent = body(tools=[FUNCTION, SEARCH], tool_choice=choice, parallel_tool_calls=False)
    assert sent["tool_choice"] == chosen
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["run_sta"]
    assert sent["parallel_tool_calls"] is False


def test_only_tools_that_are_allowed_reach_the_model() -> None:
    other = {**FUNCTION, "name": "write_db"}
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "write_db"}]}
    translated = translate(tools=[FUNCTION, other, SEARCH], tool_choice=allowed)
    assert [tool["function"]["name"] for tool in translated.chat.tools or []] == ["write_db"]
    assert not translated.chat.options.enabled  # file_search is not allowed
    assert len(translated.kit.said) == 3


def test_a_search_alone_leaves_the_chat_without_tools() -> None:
    for choice in ("auto", "required", {"type": "file_search"}):
        translated = translate(
            tools=[{**SEARCH, "max_num_results": 4}], tool_choice=choice, retrieval={"answer": "quote"}
        )
        options = translated.chat.options
        assert translated.chat.upstream_body().keys() == {"messages"}
        assert (options.enabled, options.collections, options.top_k) == (True, ["openroad"], 4)
        assert options.answer == "quote"


def test_without_a_search_the_request_leaves_open_what_is_searched() -> None:
    assert not translate(tools=[FUNCTION]).chat.options.model_fields_set


@for_each(
    ("fields", "param"),
    [
        ({"tools": [{}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "function", "function": {"name": "x"}}]}, "tools[0].name"),
        ({"tools": [{**FUNCTION, "parameters": "x"}]}, "tools[0].parameters"),
        ({"tools": [FUNCTION, {"type": "namespace", "tools": []}]}, "tools[1].name"),
        ({"tools": [{"type": "namespace", "name": "a", "tools": [5]}]}, "tools[0].tools"),
        ({"tools": [{"type": "namespace", "name": "a", "tools": [{"type": "function"}]}]}, "tools[0].tools[0].name"),
        ({"tools": [SEARCH, SEARCH]}, "tools[1]"),
        ({"tools": [{"type": "code_interpreter"}]}, "tools"),
        ({"tools": [FUNCTION, {"type": "mcp"}], "tool_choice": {"type": "mcp"}}, "tool_choice"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "y"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "function", "name": "y"}}, "tool_choice.name"),
        ({"tools": [FUNCTION], "tool_choice": "any"}, "tool_choice"),
        ({"tools": [FUNCTION], "tool_choice": ["auto"]}, "tool_choice"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "file_search"}}, "tool_choice"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools", "mode": "x"}}, "tool_choice.mode"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools", "tools": "x"}}, "tool_choice.tools"),
        (
            {"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools", "tools": [{"type": "function"}]}},
            "tool_choice.tools[0].name",
        ),
    ],
)
def test_a_wrong_tool_is_refused_where_it_stands(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refused:
        translate(**fields)
    assert refused.value.param == param


def test_a_refused_tool_is_named() -> None:
    with pytest.raises(RequestError, match="lacks the tool web_search and code_interpreter: it has 'function'"):
        translate(tools=[{"type": "web_search"}, {"type": "code_interpreter"}])


# Windows


def test_old_turns_go_whole_and_the_head_stays() -> None:
    head = {"role": "system", "content": "s"}
    asked = messages(user("1"), CALL, OUTPUT, user("2"), ASSISTANT, user("3"), instructions="s")
    assert without_oldest_turns(asked) == [head, user("2"), {"role": "assistant", "content": "I look."}, user("3")]
    assert without_oldest_turns([head, user("3")]) is None
