"""What is an engine's own business stays inside: fields of its answers, and the way in which it validates."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage
from openai.types.chat.chat_completion import Choice
from openai.types.chat.chat_completion_chunk import Choice as ChunkChoice
from openai.types.chat.chat_completion_chunk import ChoiceDelta

from serve.answers.engine_words import INTERNAL, openai_param, plain_refusal, without_internals
from tests.python_trees import tree_of
from tests.rows import for_each

OF_THE_TEXT = {"reasoning", "stop_reason"}  # vLLM's own, about what the model wrote
# vLLM 0.32.0's message for {"stop": 7}
TWO_FAULTS = (
    "2 validation errors:\n  {'type': 'string_type', 'loc': 'body.stop', 'msg': 'Input should be a valid string', "
    "'input': '7'}\n  {'type': 'list_type', 'loc': 'body.stop', 'msg': 'Input should be a valid list', 'input': '7'}"
)


def answer(**more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop", "stop_reason": 2}
    return {"id": "1", "choices": [choice], **more}


def test_internals_leave_neither_an_answer_nor_an_event() -> None:
    inside = dict.fromkeys(INTERNAL, "secret")
    sent = answer(**inside)
    sent["choices"][0].update(inside)
    sent["choices"][0]["message"].update(inside)
    assert without_internals(sent, {}) == answer()
    event = {"choices": [{"index": 0, "delta": {"content": "x", **inside}, **inside}], **inside}
    assert without_internals(event, {}) == {"choices": [{"index": 0, "delta": {"content": "x"}}]}


def test_what_a_request_asks_for_by_its_field_stays() -> None:
    kept = without_internals(answer(prompt_token_ids=[1], prompt_logprobs=[None]), {"return_token_ids": True})
    assert kept == answer(prompt_token_ids=[1])
    assert without_internals(answer(prompt_logprobs=[None]), {"prompt_logprobs": 0}) == answer()
    assert "prompt_logprobs" in without_internals(answer(prompt_logprobs=[None]), {"prompt_logprobs": 1})


def fields_of_the_engine() -> Iterator[str]:
    """The fields of the installed vLLM's chat answers, read from its source without importing it."""
    found = importlib.util.find_spec("vllm")
    if found is None or found.origin is None:
        pytest.skip("vLLM is not installed")
    places = Path(found.origin).parent.joinpath("entrypoints").rglob("protocol.py")
    wanted = {"ChatCompletionResponse", "ChatCompletionResponseChoice", "ChatMessage", "DeltaMessage"}
    wanted |= {"ChatCompletionStreamResponse", "ChatCompletionResponseStreamChoice"}
    for path in places:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef) and node.name in wanted:
                names = (each.target for each in node.body if isinstance(each, ast.AnnAssign))
                yield from (name.id for name in names if isinstance(name, ast.Name))


def test_every_field_of_the_installed_engine_is_openais_or_of_the_text_or_internal() -> None:
    found = set(fields_of_the_engine())
    kinds = (ChatCompletion, Choice, ChatCompletionMessage, ChatCompletionChunk, ChunkChoice, ChoiceDelta)
    of_openai = {name for kind in kinds for name in kind.model_fields}
    assert {"choices", "token_ids", "kv_transfer_params"} <= found
    assert found <= of_openai | OF_THE_TEXT | set(INTERNAL)


@for_each(
    ("place", "param"),
    [
        ("body.stop", "stop"),
        ("stop", "stop"),
        ("body.messages.0.content.12.type", "messages[0].content[12].type"),
        ("top_k", "top_k"),
    ],
)
def test_a_place_in_the_engines_words_is_one_in_openais(place: str, param: str) -> None:
    assert openai_param(place) == param


@for_each(
    ("message", "said", "param"),
    [
        (TWO_FAULTS, "'stop' is '7': input should be a valid string.", "stop"),
        (
            "1 validation error:\n  {'type': 'int_parsing', 'loc': ('body', 'top_k'), 'msg': 'Input should be a valid "
            "integer', 'input': 'x'}",
            "'top_k' is 'x': input should be a valid integer.",
            "top_k",
        ),
        (
            "1 validation error:\n  {'type': Broken, 'loc'}",
            "The engine refuses a field of the request: check the types of its values.",
            "stop",
        ),
        ("temperature must be non-negative", "temperature must be non-negative", "stop"),
    ],
)
def test_how_the_engine_validates_becomes_one_sentence(message: str, said: str, param: str) -> None:
    refusal = plain_refusal({"message": message, "param": "body.stop", "code": 400})
    assert (refusal["message"], refusal["param"]) == (said, param)


@for_each("error", ["worker died", ["x"], None, 7, {}, {"message": 7, "param": 7}])
def test_an_error_of_any_other_form_stays_readable(error: Any) -> None:
    plain = plain_refusal(error)
    assert plain == (error if not isinstance(error, dict) else {**error, "param": None})
