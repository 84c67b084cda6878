"""serve.responses.request and resource: what is asked for, read strictly, and how a response echoes it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serve.errors import EngineUnavailable, RequestError, TooManyInFlight, UpstreamRefused
from serve.protocol import MOST_MESSAGES
from serve.responses.request import ResponsesRequest, as_items, read_request
from serve.responses.resource import close_response, fail_response, new_response, response_usage
from serve.responses.tools import Kit
from tests.rows import for_each


def read(**fields: Any) -> ResponsesRequest:
    return read_request(json.dumps(fields).encode())


def refusal_of(**fields: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        as_items(read(**fields))
    return caught.value


@for_each(
    ("body", "says"),
    [
        (b"[]", "must be a JSON object, not list"),
        (b'"hold?"', "must be a JSON object, not str"),
        (b"null", "must be a JSON object, not NoneType"),
        (b"{", "is not JSON that can be read"),
        (b'{"input": NaN}', "NaN is not a JSON value"),
        (b'{"input": "\\ud83d"}', "half of a character"),
        (b"\xff\xfe", "is not JSON that can be read"),
        (b'{"input": ' + b"[" * 100 + b"]" * 100 + b"}", "nested too deeply"),
    ],
)
def test_a_body_that_is_not_an_object_says_what_it_is(body: bytes, says: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_request(body)
    assert says in str(caught.value)


@for_each("body", [b"", b"  \r\n", b"\xef\xbb\xbf{}", b"{}"])
def test_a_request_without_input_is_told_to_give_one(body: bytes) -> None:
    with pytest.raises(RequestError, match=r"'input' is missing: give a string or a list of items\.") as caught:
        as_items(read_request(body))
    assert caught.value.param == "input"


@for_each(
    ("fields", "param", "says"),
    [
        ({"input": ""}, "input", "is empty: ask a question."),
        ({"input": " \n\t\u00a0"}, "input", "is empty: ask a question."),
        ({"input": []}, "input", "is empty: give at least one item."),
        ({"input": {}}, "input", "is {}: give a string or a list of items."),
        ({"input": 0}, "input", "is 0: give a string or a list of items."),
        ({"input": False}, "input", "is False: give a string"),
        ({"input": [{}, "hold?"]}, "input[1]", "is 'hold?': give an object."),
        ({"input": [None]}, "input[0]", "is None: give an object."),
        ({"input": [{}] * (MOST_MESSAGES + 1)}, "input", f"give at most {MOST_MESSAGES:,}."),
        ({"input": "", "conversation": "conv_1"}, "input", "is empty: ask a question."),
        ({"input": "a", "conversation": {}}, "conversation", "give the id of a conversation"),
        ({"input": "a", "conversation": {"id": ""}}, "conversation", "or an object with its 'id'"),
        ({"input": "a", "conversation": ["conv_1"]}, "conversation", "give the id of a conversation"),
        ({"input": "a", "conversation": ""}, "conversation", "give the id of a conversation"),
        ({"input": "a", "conversation": "c", "previous_response_id": "r"}, "conversation", "go on from one of them"),
        ({"input": "a", "max_output_tokens": 0}, "max_output_tokens", "greater than or equal to 1"),
        ({"input": "a", "temperature": 2.5}, "temperature", "less than or equal to 2"),
        ({"input": "a", "store": "no"}, "store", "give a valid boolean"),
        ({"input": "a", "text": {"verbosity": "loud"}}, "text.verbosity", "'low', 'medium' or 'high'"),
        ({"input": "a", "reasoning": {"effort": 5}}, "reasoning.effort", "give a valid string"),
        ({"input": "a", "truncation": "some"}, "truncation", "'auto' or 'disabled'"),
        ({"input": "a", "include": ["x"] * 101}, "include", "give at most 100"),
        ({"input": "a", "metadata": {"k": 5}}, "metadata.k", "give a valid string"),
        ({"input": "a", "user": "u" * 1001}, "user", "give at most 1000 characters"),
        ({"input": "a", "messages": []}, "messages", "the Responses API has it as input."),
        ({"input": "a", "response_format": {}}, "response_format", "has it as text.format."),
        ({"input": "a", "background": True}, "background", "leave it out, or use 'stream'"),
        ({"input": "a", "n": 2}, "n", "a response is one answer"),
        ({"input": "a", "prompt": {"id": "p"}}, "prompt", "send 'instructions' and 'input'"),
    ],
)
def test_a_wrong_field_is_named_with_what_to_give(fields: dict[str, Any], param: str, says: str) -> None:
    refused = refusal_of(**fields)
    assert refused.param == param
    assert says in str(refused)
    assert len(str(refused)) < 300


@for_each("off", [{"background": False}, {"n": None}, {"prompt": None}, {"moderation": {}}])
def test_what_is_not_done_here_may_be_switched_off_and_reaches_no_engine(off: dict[str, Any]) -> None:
    assert read(input="hold?", **off).engine_fields() == {}


def test_a_string_is_one_item_as_it_was_typed() -> None:
    typed = "  hold?\r\n\U0001f600 "
    assert as_items(read(input=typed)) == [{"type": "message", "role": "user", "content": typed}]


@for_each(
    "fields", [{"conversation": "conv_1"}, {"conversation": {"id": "conv_1"}}, {"previous_response_id": "resp_1"}]
)
def test_what_goes_on_may_ask_nothing_new(fields: dict[str, Any]) -> None:
    assert as_items(read(**fields)) == []
    assert as_items(read(input=[], **fields)) == []
    assert read(**fields).is_continued


def test_a_conversation_is_known_by_its_id_in_either_form() -> None:
    assert read(conversation="conv_1").conversation == read(conversation={"id": "conv_1", "x": 1}).conversation
    assert read(input="a", conversation=None).conversation is None
    assert not read(input="a").is_continued


def test_a_request_is_stored_unless_it_says_no() -> None:
    assert [read(input="a", **each).is_stored for each in ({}, {"store": None}, {"store": True}, {"store": False})] == [
        *(True, True, True),
        False,
    ]


def test_sampling_options_go_to_the_engine_and_what_has_no_effect_does_not() -> None:
    wanted = read(input="a", seed=7, repetition_penalty=1.1, client_metadata={"a": "b"}, image={}, top_p=0.5)
    assert wanted.engine_fields() == {"seed": 7, "repetition_penalty": 1.1}
    assert read(input="a", include=["x"]).includes("x")
    assert not read(input="a").includes("x")


def begun(temperature: float | None = None, **fields: Any) -> dict[str, Any]:
    wanted = read(input="a", **fields)
    return new_response(wanted, Kit(), "demo", temperature)


def test_a_response_begins_with_openais_defaults() -> None:
    response = begun()
    assert (response["status"], response["error"], response["output"], response["usage"]) == (
        "in_progress",
        None,
        [],
        None,
    )
    assert (response["temperature"], response["top_p"], response["tool_choice"]) == (1.0, 1.0, "auto")
    assert (response["truncation"], response["store"], response["parallel_tool_calls"]) == ("disabled", True, True)
    assert response["text"] == {"format": {"type": "text"}, "verbosity": "medium"}
    assert response["reasoning"] == {"effort": None, "summary": None}
    assert response["id"].startswith("resp_")
    assert begun()["id"] != response["id"]


def test_a_response_echoes_what_was_asked_zeros_and_noes_too() -> None:
    response = begun(
        temperature=0.0,
        top_p=0.0,
        store=False,
        parallel_tool_calls=False,
        presence_penalty=1,
        frequency_penalty="high",
        metadata={"k": "v"},
        conversation={"id": "conv_1"},
        text={"verbosity": "low"},
    )
    assert (response["temperature"], response["top_p"], response["store"]) == (0.0, 0.0, False)
    assert response["parallel_tool_calls"] is False
    assert (response["presence_penalty"], response["frequency_penalty"]) == (1.0, 0.0)
    assert (response["metadata"], response["conversation"]) == ({"k": "v"}, {"id": "conv_1"})
    assert response["text"] == {"format": {"type": "text"}, "verbosity": "low"}


@for_each(
    ("counts", "expected"),
    [
        ({}, (0, 0, 0, 0, 0)),
        ({"prompt_tokens": None, "completion_tokens": None}, (0, 0, 0, 0, 0)),
        ({"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 99}, (5, 0, 7, 0, 12)),
        ({"prompt_tokens": 5, "prompt_tokens_details": None}, (5, 0, 0, 0, 5)),
        (
            {
                "prompt_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens": 3,
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
            (5, 4, 3, 2, 8),
        ),
    ],
)
def test_token_counts_are_those_of_the_chat(counts: dict[str, Any], expected: tuple[int, ...]) -> None:
    usage = response_usage(counts)
    assert expected == (
        usage["input_tokens"],
        usage["input_tokens_details"]["cached_tokens"],
        usage["output_tokens"],
        usage["output_tokens_details"]["reasoning_tokens"],
        usage["total_tokens"],
    )


@for_each(
    ("reason", "status", "why"),
    [
        ("stop", "completed", None),
        (None, "completed", None),
        ("", "completed", None),
        ("tool_calls", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
    ],
)
def test_a_response_ends_whole_or_says_why_not(reason: str | None, status: str, why: dict[str, str] | None) -> None:
    response = begun()
    close_response(response, reason)
    assert (response["status"], response["incomplete_details"]) == (status, why)
    assert (response["completed_at"] is not None) == (status == "completed")


@for_each(
    ("error", "code"),
    [
        (RequestError("too long"), "invalid_prompt"),
        (TooManyInFlight("busy"), "rate_limit_exceeded"),
        (EngineUnavailable("down"), "server_error"),
        (UpstreamRefused(500, "boom"), "server_error"),
        (UpstreamRefused(404, "no such model"), "server_error"),
    ],
)
def test_a_failed_response_has_one_of_openais_codes_and_the_sentence(error: RequestError, code: str) -> None:
    response = begun()
    fail_response(response, error)
    assert response["status"] == "failed"
    assert response["error"] == {"code": code, "message": str(error), "type": error.type}
