"""serve.openai_fields: what OpenAI would refuse is refused by its name; what engines get is functions alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from serve.errors import RequestError, ToolsUnsupported
from serve.openai_fields import MOST_TOOLS, TOOL_FIELDS, check_fields, functions_alone
from tests.rows import for_each

STA: dict[str, Any] = {"type": "function", "function": {"name": "run_sta"}}
LINT: dict[str, Any] = {"type": "function", "function": {"name": "lint", "parameters": {}}}
OTHER: dict[str, Any] = {"type": "custom", "custom": {"name": "shell"}}
NAMES = some.sampled_from(["run_sta", "shell", "", "function", "custom"])
ANYTHING = some.recursive(
    some.none() | some.booleans() | some.integers(0, 3) | NAMES,
    lambda inner: some.lists(inner, max_size=2) | some.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)
TOOLS = some.sampled_from([STA, LINT, OTHER]) | ANYTHING
ALLOWED = some.fixed_dictionaries(
    {"type": some.just("allowed_tools")},
    optional={
        "allowed_tools": some.fixed_dictionaries(
            {},
            optional={
                "mode": some.sampled_from(["auto", "required"]) | ANYTHING,
                "tools": some.lists(TOOLS, max_size=2),
            },
        )
        | ANYTHING
    },
)
CHOICES = some.sampled_from(["none", "auto", "required", STA, OTHER]) | ALLOWED | ANYTHING


def choose(*names: str, mode: str = "auto") -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


def refusal_of(data: dict[str, Any]) -> RequestError | None:
    try:
        check_fields(data)
    except RequestError as error:
        return error
    return None


@settings(max_examples=50)
@given(
    some.fixed_dictionaries({}, optional={"tools": some.lists(TOOLS, max_size=3) | ANYTHING, "tool_choice": CHOICES})
)
def test_any_tools_and_choice_are_refused_by_name_or_reach_the_engine_as_functions(data: dict[str, Any]) -> None:
    before = json.dumps(data)
    if refused := refusal_of(data):
        assert (refused.param or "").startswith("tool")
        assert f"'{refused.param}'" in str(refused)
        return
    try:
        sent = functions_alone(data)
    except ToolsUnsupported:
        return
    assert json.dumps(data) == before
    assert set(sent) <= set(TOOL_FIELDS)
    assert all(tool["type"] == "function" and tool in data["tools"] for tool in sent.get("tools", ()))


@for_each(
    ("fields", "param", "code"),
    [
        ({"temperature": 2.1}, "temperature", "decimal_above_max_value"),
        ({"temperature": -1}, "temperature", "integer_below_min_value"),
        ({"temperature": "1"}, "temperature", "invalid_type"),
        ({"temperature": True}, "temperature", "invalid_type"),
        ({"top_p": 1.01}, "top_p", "decimal_above_max_value"),
        ({"presence_penalty": -2.5}, "presence_penalty", "decimal_below_min_value"),
        ({"frequency_penalty": 3}, "frequency_penalty", "integer_above_max_value"),
        ({"top_logprobs": 21}, "top_logprobs", "integer_above_max_value"),
        ({"top_logprobs": 1.5}, "top_logprobs", "invalid_type"),
        ({"logprobs": 1}, "logprobs", "invalid_type"),
        ({"seed": "7"}, "seed", "invalid_type"),
        ({"user": 5}, "user", "invalid_type"),
        ({"stop": 5}, "stop", "invalid_type"),
        ({"stop": ["a", None]}, "stop", "invalid_type"),
        ({"stop": list("abcde")}, "stop", "array_above_max_length"),
        ({"logit_bias": []}, "logit_bias", "invalid_type"),
        ({"response_format": "json"}, "response_format", "invalid_type"),
        ({"response_format": {}}, "response_format.type", "missing_required_parameter"),
        ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage", "invalid_type"),
        ({"parallel_tool_calls": 0}, "parallel_tool_calls", "invalid_type"),
        ({"tools": []}, "tools", "empty_array"),
        ({"tools": [STA] * (MOST_TOOLS + 1)}, "tools", "array_above_max_length"),
        ({"tools": [STA, {}]}, "tools[1].type", "missing_required_parameter"),
        ({"tools": [STA, {"type": "function"}]}, "tools[1].function", "missing_required_parameter"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name", "missing_required_parameter"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name", "string_too_short"),
        ({"tools": [STA], "tool_choice": "always"}, "tool_choice", "invalid_value"),
        ({"tools": [STA], "tool_choice": 1}, "tool_choice", "invalid_type"),
        ({"tools": [STA], "tool_choice": {}}, "tool_choice.type", "invalid_value"),
        ({"tools": [STA], "tool_choice": LINT}, "tool_choice", None),
        ({"tools": [STA], "tool_choice": {"type": "function"}}, "tool_choice", None),
        ({"tools": [STA], "tool_choice": choose()}, "tool_choice.allowed_tools.tools", "invalid_type"),
        ({"tools": [STA], "tool_choice": choose("lint")}, "tool_choice", None),
        (
            {"tools": [STA], "tool_choice": choose("run_sta", mode="none")},
            "tool_choice.allowed_tools.mode",
            "invalid_value",
        ),
        ({"tool_choice": "required"}, "tool_choice", None),
        ({"tool_choice": STA}, "tool_choice", None),
    ],
)
def test_a_field_that_openai_would_refuse_is_refused_in_its_terms(
    fields: dict[str, Any], param: str, code: str | None
) -> None:
    refused = refusal_of({"messages": [], **fields})
    assert refused
    assert (refused.status, refused.param, refused.code) == (400, param, code)
    assert f"'{param}" in str(refused)


@for_each(
    "fields",
    [
        {},
        {"temperature": 0, "top_p": 1, "presence_penalty": -2, "frequency_penalty": 2.0, "top_logprobs": 20},
        {"temperature": None, "stop": None, "tools": None, "tool_choice": None, "response_format": None},
        {"stop": []},
        {"stop": ["a", "", "\n", "\U0001f600"]},
        {"stop": ""},
        {"seed": -(2**63)},
        {"logit_bias": {"50256": -100}},
        {"repetition_penalty": "whatever an engine knows", "guided_json": {}},
        {"tools": [STA] * MOST_TOOLS},
        {"tools": [OTHER]},
        {"tools": [STA, OTHER], "tool_choice": {"type": "custom", "custom": {"name": "shell"}}},
        {"tools": [STA, LINT], "tool_choice": choose("lint", "run_sta", mode="required")},
        {"tool_choice": "none"},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
    ],
)
def test_what_openai_takes_passes_and_so_does_what_only_an_engine_knows(fields: dict[str, Any]) -> None:
    assert refusal_of({"messages": [], **fields}) is None


@for_each(
    ("data", "sent"),
    [
        ({}, {}),
        ({"tools": None, "tool_choice": None}, {}),
        ({"tools": [STA]}, {"tools": [STA]}),
        ({"tools": [STA], "tool_choice": None}, {"tools": [STA], "tool_choice": None}),
        ({"tools": [STA, OTHER], "tool_choice": "auto"}, {"tools": [STA], "tool_choice": "auto"}),
        ({"tools": [OTHER], "tool_choice": "auto", "parallel_tool_calls": True}, {}),
        ({"tools": [STA], "tool_choice": STA}, {"tools": [STA], "tool_choice": STA}),
        ({"tools": [STA, LINT], "tool_choice": choose("lint")}, {"tools": [LINT], "tool_choice": "auto"}),
        (
            {"tools": [STA, LINT], "tool_choice": choose("lint", mode="required"), "parallel_tool_calls": False},
            {"tools": [LINT], "tool_choice": "required", "parallel_tool_calls": False},
        ),
        ({"parallel_tool_calls": True}, {}),
    ],
)
def test_an_engine_gets_functions_that_may_be_called_and_only_fields_that_came(
    data: dict[str, Any], sent: dict[str, Any]
) -> None:
    check_fields(data)
    assert functions_alone(data) == sent


@for_each(
    "data",
    [
        {"tools": [OTHER], "tool_choice": "required"},
        {"tools": [STA, OTHER], "tool_choice": OTHER},
        {
            "tools": [STA, OTHER],
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [OTHER]}},
        },
    ],
)
def test_a_tool_that_must_be_called_and_is_not_a_function_is_refused(data: dict[str, Any]) -> None:
    check_fields(data)
    with pytest.raises(ToolsUnsupported, match="give one of type 'function'") as caught:
        functions_alone(data)
    assert (caught.value.param, caught.value.code) == ("tool_choice", "tools_unsupported")


def test_a_choice_that_names_no_tool_lists_those_that_there_are() -> None:
    refused = refusal_of({"tools": [STA, LINT], "tool_choice": {"type": "function", "function": {"name": "drc"}}})
    assert str(refused) == "'tool_choice' names 'drc', which is not one of the tools: ['run_sta', 'lint']."
    many = [{"type": "function", "function": {"name": f"tool_{number}"}} for number in range(MOST_TOOLS)]
    assert len(str(refusal_of({"tools": many, "tool_choice": STA}))) < 200
