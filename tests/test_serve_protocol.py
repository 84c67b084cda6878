"""Reading OpenAI's chat request: what passes through, what is refused and with which words."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.errors import RequestError, UpstreamRefused
from serve.protocol import completion, message_text, parse_chat_request, stream_events, with_text
from serve.request_body import shorten
from tests.rows import for_each

QUESTION = {"role": "user", "content": "What is hold slack?"}


def parse(**fields: Any) -> Any:
    return parse_chat_request(json.dumps({"messages": [QUESTION], **fields}).encode())


def test_fields_that_we_do_not_know_reach_the_engine_and_our_own_does_not() -> None:
    body = parse(model="m", top_logprobs=3, chat_template_kwargs={"a": 1}, retrieval={"enabled": False}).upstream_body()
    assert body == {"model": "m", "messages": [QUESTION], "top_logprobs": 3, "chat_template_kwargs": {"a": 1}}


def test_nothing_is_added_to_what_the_client_sent() -> None:
    assert parse().upstream_body() == {"messages": [QUESTION]}


def test_both_names_of_the_answer_length_are_understood() -> None:
    assert parse(max_tokens=5).answer_tokens == 5
    assert parse(max_completion_tokens=6).answer_tokens == 6
    assert parse().answer_tokens is None


@for_each(
    ("body", "param", "words"),
    [
        (b"{not json", None, "not JSON"),
        (b"\xff\xfe", None, "not JSON"),
        (b'{"messages": [], "temperature": NaN}', None, "NaN is not a JSON value"),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', None, "not JSON"),
        (b'{"a": ' + b"[" * 200_000, None, "nested too deeply"),
        (b"[1, 2]", None, "must be a JSON object, not list"),
        (b"{}", "messages", "'messages' is missing"),
        (b'{"messages": []}', "messages", "'messages' is []"),
        (b'{"messages": "hi"}', "messages", "'messages' is 'hi'"),
        (b'{"messages": [{"content": "hi"}]}', "messages[0].role", "'messages[0].role' is None"),
        (b'{"messages": [{"role": "user", "content": 7}]}', "messages[0].content", "is 7"),
        (b'{"messages": [{"role": "user", "content": "  "}]}', "messages[0].content", "is empty: ask a question"),
        (b'{"messages": [{"role": "user"}]}', "messages[0].content", "is empty"),
        (b'{"messages": [{"role": "user", "content": []}]}', "messages[0].content", "is empty"),
        (
            b'{"messages": [{"role": "user", "content": "q"}], "retrieval": {"enabel": true}}',
            "retrieval.enabel",
            "'retrieval.enabel'",
        ),
        (
            b'{"messages": [{"role": "user", "content": "q"}], "retrieval": {"top_k": 0}}',
            "retrieval.top_k",
            "'retrieval.top_k' is 0",
        ),
        (
            b'{"messages": [{"role": "user", "content": "q"}], "retrieval": {"collections": 7}}',
            "retrieval.collections",
            "'retrieval.collections' is 7",
        ),
        (b'{"messages": [{"role": "user", "content": "q"}], "max_tokens": -1}', "max_tokens", "'max_tokens' is -1"),
        (b'{"messages": [{"role": "user", "content": "q"}], "stream": "perhaps"}', "stream", "'stream' is 'perhaps'"),
        (b'{"messages": [{"role": "assistant", "tool_calls": 7}]}', "messages[0].tool_calls", "give a list of objects"),
    ],
)
def test_a_wrong_body_is_refused_with_the_field_and_its_value(body: bytes, param: str | None, words: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_chat_request(body)
    assert words in str(caught.value)
    assert caught.value.param == param
    assert caught.value.envelope()["error"]["type"] == "invalid_request_error"


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.booleans() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c))
)
def test_any_body_is_read_or_refused_and_never_breaks(body: Any) -> None:
    raw = body if isinstance(body, bytes) else json.dumps({"messages": body}).encode()
    with contextlib.suppress(RequestError):
        assert parse_chat_request(raw).messages


def test_text_is_read_from_parts_and_replaced_beside_an_image() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    message = {
        "role": "user",
        "content": [{"type": "text", "text": "what is"}, image, {"type": "text", "text": "this?"}],
    }
    assert message_text(message) == "what is\nthis?"
    assert with_text(message, "new")["content"] == [{"type": "text", "text": "new"}, image]


def test_our_own_answer_has_the_form_of_openai_in_both_ways() -> None:
    request = parse(model="m", stream_options={"include_usage": True})
    whole = completion(request, "Nothing found.", 10, 3)
    chunks = stream_events(request, "Nothing found.", 10, 3)
    assert whole["choices"][0]["message"]["content"] == "Nothing found."
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1]) == "Nothing found."
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None, None, "stop"]
    assert whole["usage"] == chunks[-1]["usage"] == {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_the_refusal_of_vllm_gets_the_code_words_of_openai() -> None:
    too_long = UpstreamRefused(
        400, {"message": "This model's maximum context length is 8192 tokens.", "code": 400, "param": "input_tokens"}
    )
    assert too_long.envelope()["error"]["code"] == "context_length_exceeded"
    assert UpstreamRefused(404, {"message": "The model `x` does not exist."}).code == "model_not_found"
    assert str(UpstreamRefused(500, {})) == "the engine answered with status 500"


def test_our_own_answer_gives_as_many_choices_as_asked() -> None:
    whole = completion(parse(model="m", n=2), "Nothing found.", 10, 3)
    assert [choice["index"] for choice in whole["choices"]] == [0, 1]
    assert {choice["message"]["content"] for choice in whole["choices"]} == {"Nothing found."}
    assert parse(retrieval=None).options.enabled


PARTS = st.lists(
    st.one_of(
        st.builds(lambda text: {"type": "text", "text": text}, st.text(max_size=10)),
        st.just({"type": "image_url", "image_url": {"url": "data:,"}}),
    ),
    max_size=4,
)


@given(st.one_of(st.text(max_size=20), PARTS), st.text(max_size=20))
def test_a_replaced_text_is_read_back_and_nothing_else_of_the_message_changes(content: Any, text: str) -> None:
    message = {"role": "user", "content": content, "name": "eda"}
    replaced = with_text(message, text)
    assert message_text(replaced) == text
    assert {name: value for name, value in replaced.items() if name != "content"} == {"role": "user", "name": "eda"}
    images = [part for part in content if part["type"] != "text"] if isinstance(content, list) else []
    assert [part for part in replaced["content"] if isinstance(part, dict) and part["type"] != "text"] == images


@given(
    st.recursive(
        st.one_of(st.none(), st.integers(), st.text()), lambda inner: st.lists(inner, max_size=5), max_leaves=30
    )
)
def test_a_value_in_a_message_is_never_longer_than_a_line(value: Any) -> None:
    text = shorten(value)
    assert len(text) <= 80
    assert "\n" not in text
    assert text == repr(value) or text.endswith("...")


@for_each(
    ("fields", "tokens"),
    [
        ({}, None),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
        ({"max_tokens": None}, None),
    ],
)
def test_the_newer_name_of_the_answer_length_wins(fields: dict[str, Any], tokens: int | None) -> None:
    request = parse_chat_request(json.dumps({"messages": [{"role": "user", "content": "q"}], **fields}).encode())
    assert request.answer_tokens == tokens
    assert {name: request.upstream_body()[name] for name in fields} == fields  # the engine gets what was sent


TOOL = {"type": "function", "function": {"name": "run_sta", "parameters": {"type": "object", "properties": {}}}}
OTHER = {"type": "function", "function": {"name": "report_power"}}
CUSTOM = {"type": "custom", "custom": {"name": "shell", "description": "Runs a line."}}
NAMED = {"type": "function", "function": {"name": "run_lvs"}}


def allowed(mode: str, *tools: dict[str, Any]) -> dict[str, Any]:
    """A choice among some of the tools."""
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(tools)}}


@for_each(
    ("fields", "param", "code"),
    [  # the codes of OpenAI's own API
        ({"messages": [{"role": "wizard", "content": "hello"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [QUESTION, {"content": "hello"}]}, "messages[1].role", "missing_required_parameter"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content", "invalid_type"),
        ({"messages": ["hello"]}, "messages[0]", "invalid_type"),
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": None}, "messages", "invalid_type"),
        ({"model": 7}, "model", "invalid_type"),
        ({"model": "m" * 1001}, "model", "string_above_max_length"),
        *[({"stream": value}, "stream", "invalid_type") for value in ("yes", "true", 1, 0, "")],
        *[({"max_tokens": value}, "max_tokens", "invalid_type") for value in ("3", 3.5, True)],
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"max_completion_tokens": -1}, "max_completion_tokens", "integer_below_min_value"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"n": 129}, "n", "integer_above_max_value"),
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"temperature": 2.5}, "temperature", "decimal_above_max_value"),
        ({"temperature": True}, "temperature", "invalid_type"),
        ({"top_p": -0.1}, "top_p", "decimal_below_min_value"),
        ({"presence_penalty": 3.5}, "presence_penalty", "decimal_above_max_value"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "array_above_max_length"),
        ({"stop": 7}, "stop", "invalid_type"),
        ({"stop": ["a", 7]}, "stop", "invalid_type"),
        ({"logprobs": 5}, "logprobs", "invalid_type"),
        ({"top_logprobs": 21}, "top_logprobs", "integer_above_max_value"),
        ({"seed": "x"}, "seed", "invalid_type"),
        ({"user": 7}, "user", "invalid_type"),
        ({"response_format": "json"}, "response_format", "invalid_type"),
        ({"response_format": {}}, "response_format.type", "missing_required_parameter"),
        ({"stream_options": []}, "stream_options", "invalid_type"),
        ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage", "invalid_type"),
        ({"tools": []}, "tools", "empty_array"),
        ({"tools": "run_sta"}, "tools", "invalid_type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "missing_required_parameter"),
        (
            {"tools": [TOOL, {"type": "function", "function": {}}]},
            "tools[1].function.name",
            "missing_required_parameter",
        ),
        ({"tools": [TOOL], "tool_choice": "sometimes"}, "tool_choice", "invalid_value"),
        ({"tools": [TOOL], "tool_choice": 7}, "tool_choice", "invalid_type"),
        ({"tools": [TOOL], "tool_choice": NAMED}, "tool_choice", None),
        ({"tools": [TOOL], "tool_choice": {"type": "banana"}}, "tool_choice.type", "invalid_value"),
        ({"tools": [TOOL], "tool_choice": CUSTOM}, "tool_choice", None),
        ({"tools": [TOOL, CUSTOM], "tool_choice": CUSTOM}, "tool_choice", "tools_unsupported"),
        ({"tools": [CUSTOM], "tool_choice": "required"}, "tool_choice", "tools_unsupported"),
        ({"tools": [TOOL], "tool_choice": allowed("auto")}, "tool_choice.allowed_tools.tools", "invalid_type"),
        ({"tools": [TOOL], "tool_choice": allowed("all", TOOL)}, "tool_choice.allowed_tools.mode", "invalid_value"),
        ({"tools": [TOOL], "tool_choice": allowed("auto", CUSTOM)}, "tool_choice", None),
        ({"tool_choice": "auto"}, "tool_choice", None),
        ({"tool_choice": "required"}, "tool_choice", None),
        ({"tool_choice": {"type": "function", "function": {"name": "run_sta"}}}, "tool_choice", None),
        ({"retrieval": {"enabled": "no"}}, "retrieval.enabled", "invalid_type"),
        ({"retrieval": {"answer": "poem"}}, "retrieval.answer", "invalid_value"),
        ({"retrieval": {"enabel": True}}, "retrieval.enabel", "unknown_parameter"),
    ],
)
def test_a_wrong_field_is_refused_with_the_param_and_the_code_of_openai(
    fields: dict[str, Any], param: str, code: str | None
) -> None:
    with pytest.raises(RequestError) as caught:
        parse(**fields)
    error = caught.value.envelope()["error"]
    assert (error["param"], error["code"], caught.value.status) == (param, code, 400)
    assert re.fullmatch(rf"'{re.escape(param)}' [^\n]*\.", str(caught.value))
    assert "Typed" not in str(caught.value)


@for_each(
    ("fields", "tools", "choice", "left_out"),
    [
        ({"tools": [TOOL, CUSTOM]}, [TOOL], None, ("custom",)),
        ({"tools": [CUSTOM], "tool_choice": "auto", "parallel_tool_calls": True}, None, None, ("custom",)),
        ({"tools": [TOOL, CUSTOM], "tool_choice": "required"}, [TOOL], "required", ("custom",)),
        ({"tools": [TOOL, OTHER], "tool_choice": allowed("auto", TOOL)}, [TOOL], "auto", ()),
        ({"tools": [TOOL, OTHER], "tool_choice": allowed("required", OTHER, TOOL)}, [TOOL, OTHER], "required", ()),
        ({"tools": [TOOL, CUSTOM], "tool_choice": allowed("auto", CUSTOM)}, None, None, ("custom",)),
    ],
)
def test_an_engine_gets_functions_and_of_them_those_that_may_be_called(
    fields: dict[str, Any], tools: Any, choice: Any, left_out: tuple[str, ...]
) -> None:
    request = parse(**fields)
    body = request.upstream_body()
    assert (body.get("tools"), body.get("tool_choice"), request.types_left_out) == (tools, choice, left_out)
    assert request.must_call == (choice == "required")
    assert ("parallel_tool_calls" in body) == bool(tools and "parallel_tool_calls" in fields)


@for_each(
    "fields",
    [
        {"stop": "x", "temperature": 1, "top_p": 0.5, "logprobs": True, "top_logprobs": 0, "seed": -1, "user": "u"},
        dict.fromkeys(("stream", "max_tokens", "n", "temperature", "stop", "tools", "tool_choice", "stream_options")),
        {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False},
        {"tools": [TOOL], "tool_choice": TOOL},
        {"tool_choice": "none"},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}},
        {"top_k": 7, "min_p": 0.1, "guided_json": {}, "chat_template_kwargs": {"enable_thinking": False}},
        {"logit_bias": {"50256": -100}, "stream_options": {"include_usage": True, "include_obfuscation": False}},
        {
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "function", "name": "f", "content": "1"},
            ]
        },
    ],
)
def test_what_openai_and_vllm_accept_reaches_the_engine_as_it_was_sent(fields: dict[str, Any]) -> None:
    assert parse(**fields).upstream_body() == {"messages": [QUESTION], **fields}
