"""serve.request_body, openai_fields and request_ids: what is wrong with a request is one sentence and its field."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from serve.errors import RequestError
from serve.openai_fields import MOST_STOPS, MOST_TOOLS, check_fields
from serve.request_body import Words, check_shape, param_of, read_object, shorten
from serve.request_ids import begin_request, current_request_id
from tests.rows import for_each

TOOL = {"type": "function", "function": {"name": "report_slack"}}


class Inner(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    name: Words = ""


class Shape(BaseModel):
    model_config = ConfigDict(strict=True)

    count: Annotated[int, Field(ge=1, le=5)]
    share: Annotated[float, Field(ge=0)] = 0.5
    words: list[Words] = Field(default=[], max_length=2)
    inner: list[Inner] = []


@for_each(
    ("body", "said"),
    [
        (b"\xff\xfe", "is not JSON that can be read"),
        (b"{'a': 1}", "is not JSON that can be read"),
        (b"[1]", "must be a JSON object, not list"),
        (b"null", "must be a JSON object, not NoneType"),
        (b'"text"', "must be a JSON object, not str"),
        (b"[" * 100_000, "is not JSON that can be read"),
    ],
)
def test_a_body_that_is_not_an_object_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        read_object(body)


def test_a_byte_order_mark_before_the_object_is_skipped() -> None:
    assert read_object(b'\xef\xbb\xbf{"a": "\xc2\xb5"}') == {"a": "\u00b5"}


@for_each(
    ("data", "param", "code", "said"),
    [
        ({}, "count", "missing_required_parameter", "'count' is missing."),
        ({"count": "3"}, "count", "invalid_type", "'count' is '3': give a valid integer."),
        ({"count": True}, "count", "invalid_type", "'count' is True"),
        ({"count": 0}, "count", "integer_below_min_value", "greater than or equal to 1"),
        ({"count": 6}, "count", "integer_above_max_value", "less than or equal to 5"),
        ({"count": 1, "share": -0.5}, "share", "decimal_below_min_value", "'share' is -0.5"),
        ({"count": 1, "words": ["a", "b", "c"]}, "words", "array_above_max_length", "give at most 2"),
        ({"count": 1, "words": ["a", 2]}, "words[1]", "invalid_type", "'words[1]' is 2"),
        ({"count": 1, "words": ["a\0"]}, "words[0]", "invalid_value", "a character that is not text"),
        ({"count": 1, "inner": [{}, {"odd": 1}]}, "inner[1].odd", "unknown_parameter", "'inner[1].odd' is 1"),
        ({"count": 1, "inner": [5]}, "inner[0]", "invalid_type", "give an object"),
    ],
)
def test_the_first_fault_has_its_place_its_value_and_a_code(
    data: dict[str, Any], param: str, code: str, said: str
) -> None:
    with pytest.raises(RequestError) as caught:
        check_shape(Shape, data)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert said in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_place_is_written_as_openai_writes_it() -> None:
    assert param_of(["messages", 0, "content", 1, "text"]) == "messages[0].content[1].text"
    assert param_of(["model"]) == "model"
    assert param_of([]) == ""


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_a_value_in_a_message_is_at_most_a_line(value: Any) -> None:
    assert len(shorten(value)) <= 80
    assert "\n" not in shorten(value)
    if len(repr(value)) <= 80:
        assert shorten(value) == repr(value)


@for_each(
    ("fields", "param", "code"),
    [
        ({"temperature": 2.5}, "temperature", "decimal_above_max_value"),
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"logprobs": 1}, "logprobs", "invalid_type"),
        ({"top_logprobs": 21}, "top_logprobs", "integer_above_max_value"),
        ({"stop": 5}, "stop", "invalid_type"),
        ({"stop": ["a", 5]}, "stop", "invalid_type"),
        ({"stop": ["a"] * (MOST_STOPS + 1)}, "stop", "array_above_max_length"),
        ({"tools": []}, "tools", "empty_array"),
        ({"tools": [TOOL] * (MOST_TOOLS + 1)}, "tools", "array_above_max_length"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "missing_required_parameter"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name", "string_too_short"),
        ({"tool_choice": "sometimes"}, "tool_choice", "invalid_value"),
        ({"tool_choice": 3}, "tool_choice", "invalid_type"),
        ({"tool_choice": "required"}, "tool_choice", None),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice", None),
        ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice", None),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": 3}}, "tool_choice", None),
        ({"response_format": {}}, "response_format.type", "missing_required_parameter"),
        ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage", "invalid_type"),
    ],
)
def test_a_field_of_openais_with_a_wrong_value_is_refused(fields: dict[str, Any], param: str, code: str | None) -> None:
    with pytest.raises(RequestError) as caught:
        check_fields(fields)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert len(str(caught.value)) < 300


@for_each(
    "fields",
    [
        {},
        {"stop": "x", "temperature": 0, "top_p": 1, "seed": -1, "logit_bias": {"5": -100}},
        {"stop": ["a"] * MOST_STOPS},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "report_slack"}}},
        {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False},
        {"tool_choice": "none"},  # without tools, too
        {"tool_choice": None, "tools": None},
        {"guided_json": {"type": "object"}, "min_p": 0.1},  # an engine's own
    ],
)
def test_what_openai_accepts_and_what_only_an_engine_knows_passes(fields: dict[str, Any]) -> None:
    check_fields(fields)


@for_each(
    ("given", "is_kept"),
    [
        ("abc-1.2:3_X", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("", False),
        ("a b", False),
        ("a\r\nSet-Cookie: x", False),
        ("\u00e4", False),
    ],
)
def test_a_clients_id_is_kept_where_it_is_harmless(given: str, is_kept: bool) -> None:
    request_id = begin_request(given)
    assert (request_id == given) is is_kept
    assert is_kept or len(request_id) == 32


def test_each_task_has_the_id_of_its_own_request() -> None:
    async def answer(request_id: str) -> str | None:
        begin_request(request_id)
        await asyncio.sleep(0)
        return current_request_id()

    async def body() -> list[str | None]:
        tasks = [asyncio.create_task(answer(name)) for name in ("one", "two")]
        return [*await asyncio.gather(*tasks)]

    assert asyncio.run(body()) == ["one", "two"]
