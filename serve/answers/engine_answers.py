"""What an engine may answer: its models, a whole answer, an event of a stream.

This module alone refuses answers of any other shape. Unknown fields pass through; it fills in what rough but honest
engines omit or set to null. No HTTP.

    event = read_stream_event('{"choices": [{"delta": {"content": "Run"}}]}')
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serve.answers.engine_words import plain_refusal
from serve.errors import UpstreamBroken, UpstreamRefused
from serve.request_body import shorten
from serve.strict_json import read_json

MOST_VALUES = 2_000_000  # in an answer; 128 choices of 400 tokens with the 20 likeliest of each hold a million
MOST_MODELS = 1000
MOST_CHOICES = 128  # OpenAI's own limit of `n`
MOST_TEXTS = 16_384  # of /v1/completions: so many for each of 128 prompts

Text = str | None
Count = Annotated[int, Field(ge=0, le=10**12)] | None


class _Shape(BaseModel):
    """A part of an answer: each field that we read or clients build on has the right type, is missing, or is null."""

    model_config = ConfigDict(extra="allow", strict=True)


class Model(_Shape):
    """An entry of /v1/models."""

    id: str = Field(min_length=1, max_length=1000)
    max_model_len: Count = None
    created: int | float | None = None


class Models(_Shape):
    """/v1/models."""

    data: list[Model] = Field(min_length=1, max_length=MOST_MODELS, fail_fast=True)


class Usage(_Shape):
    """The token counts."""

    prompt_tokens: Count = None
    completion_tokens: Count = None
    total_tokens: Count = None


class Said(_Shape):
    """A model's words: the message of a whole answer, or the delta of an event."""

    role: Text = None
    content: Text = None
    refusal: Text = None
    reasoning: Text = None
    reasoning_content: Text = None
    tool_calls: list[dict[str, Any]] | None = Field(default=None, fail_fast=True)
    function_call: dict[str, Any] | None = None


class Choice(_Shape):
    """What whole answers and events have in a choice."""

    index: Annotated[int, Field(ge=0, lt=MOST_CHOICES)] | None = None
    finish_reason: Text = None
    logprobs: dict[str, Any] | None = None


class WholeChoice(Choice):
    """One answer of possibly several."""

    message: Said


class EventChoice(Choice):
    """A piece of one answer."""

    delta: Said | None = None


class Frame(_Shape):
    """What surrounds the choices."""

    id: Text = None
    object: Text = None
    model: Text = None
    created: int | float | None = None
    usage: Usage | None = None


class Whole(Frame):
    """A whole answer."""

    choices: list[WholeChoice] = Field(min_length=1, max_length=MOST_CHOICES, fail_fast=True)


class StreamEvent(Frame):
    """One event of a stream: OpenAI calls it a chunk."""

    choices: list[EventChoice] | None = Field(default=None, max_length=MOST_CHOICES, fail_fast=True)


class CompletionChoice(Choice):
    """One text of possibly several, whole or a piece of it, as /v1/completions gives them."""

    index: Annotated[int, Field(ge=0, lt=MOST_TEXTS)] | None = None
    text: Text = None


class Completion(Frame):
    """A whole answer of /v1/completions."""

    choices: list[CompletionChoice] = Field(min_length=1, max_length=MOST_TEXTS, fail_fast=True)


class CompletionEvent(Frame):
    """One event of its stream."""

    choices: list[CompletionChoice] | None = Field(default=None, max_length=MOST_TEXTS, fail_fast=True)


class MessageAnswer(_Shape):
    """A whole answer of Anthropic's /v1/messages."""

    content: list[dict[str, Any]] = Field(fail_fast=True)
    role: Text = None
    usage: dict[str, Any] | None = None


class MessageEvent(_Shape):
    """One event of its stream."""

    type: str = Field(min_length=1, max_length=100, pattern=r"^\w+$")


class TokenCount(_Shape):
    """What a message's prompt takes, in tokens."""

    input_tokens: int = Field(ge=0)


def read_models(text: str) -> list[dict[str, Any]]:
    """The models of /v1/models, each with its `id`; the first of two with one id. Raises UpstreamBroken."""
    models: dict[str, dict[str, Any]] = {}
    for model in _read(text, Models, "list of models")["data"]:
        models.setdefault(model["id"], model)
    return list(models.values())


def read_answer(text: str) -> dict[str, Any]:
    """A whole answer; every choice has its index.

    Raises:
        UpstreamBroken
        UpstreamRefused: it is an error.
    """
    answer = _read(text, Whole, "answer")
    for place, choice in enumerate(answer["choices"]):
        choice["index"] = place if choice.get("index") is None else choice["index"]
    return answer


def read_stream_event(text: str) -> dict[str, Any]:
    """An event of a stream; it has a list of choices, each with its index and delta.

    Raises:
        UpstreamBroken
        UpstreamRefused: it is an error.
    """
    event = _read(text, StreamEvent, "stream")
    event["choices"] = event.get("choices") or []
    for choice in event["choices"]:
        choice["index"] = choice.get("index") or 0
        choice["delta"] = choice.get("delta") or {}
    return event


def read_completion(text: str) -> dict[str, Any]:
    """A whole answer of /v1/completions.

    Raises:
        UpstreamBroken
        UpstreamRefused: it is an error.
    """
    return _read(text, Completion, "answer")


def read_completion_event(text: str) -> dict[str, Any]:
    """An event of its stream, with a list of choices.

    Raises:
        UpstreamBroken
        UpstreamRefused: it is an error.
    """
    event = _read(text, CompletionEvent, "stream")
    event["choices"] = event.get("choices") or []
    return event


def read_message(text: str) -> dict[str, Any]:
    """A whole answer of /v1/messages.

    Raises:
        UpstreamBroken
        UpstreamRefused: it is an error.
    """
    return _read(text, MessageAnswer, "answer")


def read_message_event(text: str) -> dict[str, Any]:
    """An event of its stream, with its type.

    Raises:
        UpstreamBroken
        UpstreamRefused: it is an error.
    """
    return _read(text, MessageEvent, "stream")


def read_token_count(text: str) -> dict[str, Any]:
    """The count of a message's tokens.

    Raises:
        UpstreamBroken
        UpstreamRefused: it is an error.
    """
    return _read(text, TokenCount, "answer")


def read_refusal(text: str) -> Any:
    """The error in a refusal's body, in OpenAI's envelope or vLLM's older form without one; None if unreadable."""
    try:
        data = read_json(text, MOST_VALUES, surrogates="replace")
    except ValueError:
        return None
    return plain_refusal(data.get("error", data)) if isinstance(data, dict) else None


def _read(text: str, shape: type[_Shape], what: str) -> dict[str, Any]:
    """The JSON object that the text holds, checked against its shape."""
    try:
        data = read_json(text, MOST_VALUES, surrogates="replace")
    except ValueError as error:
        raise UpstreamBroken(
            f"The model engine's {what} is not JSON ({str(error)[:80]}): is it a vLLM server?"
        ) from None

    if not isinstance(data, dict):
        raise UpstreamBroken(f"The model engine's {what} is {shorten(data)}, not a JSON object: is it a vLLM server?")
    if data.get("error"):
        raise UpstreamRefused(_status(data["error"], data), plain_refusal(data["error"]))

    try:
        shape.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        problem = "is missing" if first["type"] == "missing" else f"is {shorten(first['input'])} ({first['msg']})"
        raise UpstreamBroken(
            f"The model engine's {what} has a wrong shape, '{place}' {problem}: is it a vLLM server?"
        ) from None
    return data


def _status(error: Any, data: dict[str, Any]) -> int:
    """The status of an error that came with status 200: its own code if that says whose fault it is, else 502."""
    code = error.get("code") if isinstance(error, dict) else data.get("code")
    return code if isinstance(code, int) and 400 <= code < 500 else 502
