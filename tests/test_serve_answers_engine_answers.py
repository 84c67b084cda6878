"""The shape of what engines answer: rough ones are understood, wrong ones refused with the place and the value."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serve.answers.engine_answers import read_answer, read_models, read_stream_event
from serve.errors import UpstreamBroken, UpstreamRefused
from tests.rows import for_each


@for_each(
    ("sent", "choices"),
    [
        ({"choices": None, "usage": None}, []),
        ({}, []),
        ({"choices": [{"delta": {"content": "x"}}]}, [{"index": 0, "delta": {"content": "x"}}]),
        (
            {"choices": [{"index": None, "delta": None, "finish_reason": "stop"}]},
            [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        ),
        ({"choices": [{"index": 3, "delta": {"x": [1]}, "seen": 2}]}, [{"index": 3, "delta": {"x": [1]}, "seen": 2}]),
    ],
)
def test_what_a_rough_engine_leaves_out_is_filled_in_and_the_rest_stays(
    sent: dict[str, Any], choices: list[Any]
) -> None:
    assert read_stream_event(json.dumps({**sent, "more": {"a": None}})) == {
        **sent,
        "choices": choices,
        "more": {"a": None},
    }


@for_each(
    ("text", "words"),
    [
        ('{"choices": 7}', "'choices' is 7"),
        ('{"choices": [{"index": -1}]}', "'choices.0.index' is -1"),
        ('{"choices": [{"index": 1000000000}]}', "'choices.0.index' is 1000000000"),
        ('{"choices": [{"delta": {"content": [1]}}]}', r"'choices.0.delta.content' is \[1\]"),
        ('{"usage": "much"}', "'usage' is 'much'"),
        ("[]", r"is \[\], not a JSON object"),
        ('{"choices": NaN}', "is not JSON"),
    ],
)
def test_a_wrong_chunk_is_refused_with_its_place_and_value(text: str, words: str) -> None:
    with pytest.raises(UpstreamBroken, match=words) as caught:
        read_stream_event(text)
    assert (caught.value.status, len(str(caught.value)) < 400) == (502, True)


def test_a_whole_answer_needs_a_message_and_its_choices_are_numbered() -> None:
    assert [
        choice["index"]
        for choice in read_answer('{"choices": [{"message": {}}, {"message": {"content": null}}]}')["choices"]
    ] == [0, 1]
    for text in ('{"choices": []}', "{}", '{"choices": [{}]}', '{"choices": [{"message": null}]}'):
        with pytest.raises(UpstreamBroken, match="wrong shape"):
            read_answer(text)


@for_each(
    ("text", "status"),
    [
        ('{"error": "worker died", "code": 500}', 502),
        ('{"error": {"message": "worker died", "code": 500}}', 502),
        ('{"error": {"message": "worker died", "code": 422}}', 422),
        ('{"error": ["worker died"]}', 502),
    ],
)
def test_an_error_that_comes_with_status_200_is_an_error(text: str, status: int) -> None:
    with pytest.raises(UpstreamRefused, match="worker died") as caught:
        read_stream_event(text)
    assert caught.value.status == status


def test_models_have_a_name_and_of_two_with_one_name_the_first_counts() -> None:
    listed = [{"id": "a", "max_model_len": 1}, {"id": "b"}, {"id": "a", "max_model_len": 2}]
    assert read_models(json.dumps({"data": listed})) == listed[:2]
    for models in (
        [],
        [{"id": ""}],
        [{"id": "x" * 2000}],
        [{"id": "a", "max_model_len": -1}],
        [{"id": "a", "max_model_len": "8k"}],
        [{"id": "a"}] * 2000,
    ):
        with pytest.raises(UpstreamBroken, match="list of models"):
            read_models(json.dumps({"data": models}))
