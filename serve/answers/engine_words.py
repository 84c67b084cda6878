"""Keeps an engine's internals out of what clients get: fields of its answers, and the words of its refusals.

It works on what `engine_answers` has read, and knows vLLM's names; an engine without these fields is left alone.

    answer = without_internals(answer, asked=body)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

from serve.request_body import shorten

# vLLM's fields that are neither OpenAI's nor part of the text, with the field of a request that asks for them
INTERNAL = {
    "kv_transfer_params": None,
    "ec_transfer_params": None,
    "routed_experts": None,
    "prompt_routed_experts": None,
    "metrics": None,
    "token_ids": "return_token_ids",
    "prompt_token_ids": "return_token_ids",
    "prompt_text": "return_prompt_text",
    "prompt_logprobs": "prompt_logprobs",
}
_VALIDATION = re.compile(r"\d+ validation errors?:?\s+(\{.*\})")
_INDEX = re.compile(r"\.(\d+)")


def without_internals(answer: dict[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """A whole answer or an event without the fields that the request `asked` did not ask for."""
    unwanted = [name for name, wish in INTERNAL.items() if wish is None or not asked.get(wish)]
    for part in _parts(answer):
        for name in unwanted:
            part.pop(name, None)
    return answer


def _parts(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The objects that an engine puts fields of its own into."""
    yield answer
    for choice in answer.get("choices") or ():
        yield choice
        for name in ("message", "delta"):
            if isinstance(choice.get(name), dict):
                yield choice[name]


def plain_refusal(error: Any) -> Any:
    """An engine's error with OpenAI's form of `param`, and a sentence where vLLM shows how it validates."""
    if not isinstance(error, Mapping):
        return error
    param = error.get("param")
    plain = {**error, "param": openai_param(param) if isinstance(param, str) else None}
    found = _VALIDATION.match(str(error.get("message")))
    return {**plain, **_first_fault(found[1])} if found else plain


def openai_param(place: str) -> str:
    """A field's place as OpenAI writes it: messages[0].role for body.messages.0.role."""
    return _INDEX.sub(r"[\1]", place.removeprefix("body."))


def _first_fault(listed: str) -> dict[str, str | None]:
    """The first of pydantic's faults, each of which vLLM prints as a line of Python."""
    try:
        fault = ast.literal_eval(listed)
        place = fault["loc"]  # a path in older versions
        param = openai_param(place if isinstance(place, str) else ".".join(map(str, place)))
        said = str(fault["msg"])
    except (ValueError, SyntaxError, TypeError, KeyError, AttributeError, MemoryError, RecursionError):
        return {"message": "The engine refuses a field of the request: check the types of its values."}
    return {"message": f"'{param}' is {shorten(fault.get('input'))}: {said[:1].lower()}{said[1:]}.", "param": param}
