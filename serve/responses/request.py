"""A request of OpenAI's Responses API: the fields that this gateway translates, reads or echoes.

It checks types and ranges, and says where a wrong value stands (`input[0].content`). It translates nothing; items and
tools are checked by who translates them.

    wanted = read_request(await request.body())
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from serve.errors import RequestError
from serve.protocol import MOST_MESSAGES, RetrievalOptions
from serve.request_body import check_shape, read_object, shorten

MOST_TOOLS = 1000
# Fields of chat requests, and where the Responses API has them
MOVED = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "logprobs": "include: ['message.output_text.logprobs']",
    "functions": "tools",
    "function_call": "tool_choice",
}
# What OpenAI does and this gateway does not, with what to do instead
REFUSED = {
    "background": "this gateway answers while its client waits: leave it out, or use 'stream'",
    "prompt": "this gateway keeps no prompts: send 'instructions' and 'input'",
    "moderation": "this gateway moderates nothing: leave it out",
    "context_management": "this gateway compacts nothing: leave it out, or set 'truncation' to 'auto'",
    "n": "a response is one answer: leave it out",
}
WITHOUT_EFFECT = ("client_metadata", "prompt_cache_options", "prompt_cache_retention", "image", "access_programs")
LOGPROBS = "message.output_text.logprobs"
RESULTS = "file_search_call.results"
Short = Annotated[str, Field(max_length=1000)]


def read_conversation(value: Any) -> str | None:
    """The id of the conversation that a request names; pydantic would report a fault in each of both forms."""
    found = value.get("id") if isinstance(value, dict) else value
    if value is not None and not (isinstance(found, str) and found):
        raise PydanticCustomError("invalid_type", "give the id of a conversation, or an object with its 'id'")
    return found


class _Fields(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class TextOptions(_Fields):
    """`text`: the form of the answer. `verbosity` has no effect."""

    format: dict[str, Any] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningOptions(_Fields):
    """`reasoning`: the effort goes to the engine; `summary` has no effect, since thoughts come whole."""

    effort: Short | None = None
    summary: Short | None = None


class ResponsesRequest(_Fields):
    """The fields that are known here; `model_extra` holds those that only the engine may know."""

    input: Any = None  # a string or a list of items
    model: Short | None = None
    instructions: str | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    store: bool | None = None
    previous_response_id: Short | None = None
    conversation: Annotated[Any, AfterValidator(read_conversation)] = None  # its id, in either form

    max_output_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    truncation: Literal["auto", "disabled"] | None = None

    tools: list[dict[str, Any]] | None = Field(default=None, max_length=MOST_TOOLS, fail_fast=True)
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | None = Field(default=None, ge=1)  # a response searches once
    include: list[Short] | None = Field(default=None, max_length=100, fail_fast=True)

    metadata: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] | None = Field(
        default=None, max_length=16
    )
    user: Short | None = None
    safety_identifier: Short | None = None
    prompt_cache_key: Short | None = None
    service_tier: Short | None = None
    retrieval: RetrievalOptions | None = None  # ours, as in a chat request

    @property
    def is_stored(self) -> bool:
        """Whether the response can be fetched and continued later, as it can unless the request says no."""
        return self.store is not False

    @property
    def is_continued(self) -> bool:
        """Whether it goes on from a stored response or in a kept conversation."""
        return bool(self.previous_response_id or self.conversation)

    def includes(self, what: str) -> bool:
        """Whether `include` asks for it."""
        return what in (self.include or [])

    def engine_fields(self) -> dict[str, Any]:
        """The fields that are not of this API: sampling options that an engine may know."""
        return {name: value for name, value in (self.model_extra or {}).items() if name not in WITHOUT_EFFECT}


def read_request(body: bytes) -> ResponsesRequest:
    """Read a request body.

    Raises RequestError: the body is not a JSON object, a field is wrong, belongs to chat requests, or asks for what
    this gateway does not do; names the field, its value and what to do.
    """
    data = read_object(body)
    for name, place in MOVED.items():
        if data.get(name) is not None:
            raise RequestError(f"'{name}' is a field of chat completions; the Responses API has it as {place}.", name)
    for name, advice in REFUSED.items():
        if data.get(name):
            raise RequestError(f"'{name}' is {shorten(data[name])}: {advice}.", name)
    wanted = check_shape(ResponsesRequest, {name: each for name, each in data.items() if name not in REFUSED})
    if wanted.previous_response_id and wanted.conversation:
        raise RequestError(
            "'previous_response_id' and 'conversation' are both given: go on from one of them.", "conversation"
        )
    return wanted


def as_items(wanted: ResponsesRequest) -> list[dict[str, Any]]:
    """The input as items; a string is a user's message.

    Raises RequestError: it is missing, empty, or neither a string nor a list of objects.
    """
    given = wanted.input
    if given is None and not wanted.is_continued:
        raise RequestError("'input' is missing: give a string or a list of items.", "input")
    if isinstance(given, str) and given.strip():
        return [{"type": "message", "role": "user", "content": given}]
    if isinstance(given, str):
        raise RequestError("'input' is empty: ask a question.", "input")
    if not isinstance(given, list | None):
        raise RequestError(f"'input' is {shorten(given)}: give a string or a list of items.", "input")

    items = given or []
    if not items and not wanted.is_continued:
        raise RequestError("'input' is empty: give at least one item.", "input")
    if len(items) > MOST_MESSAGES:
        raise RequestError(f"'input' has {len(items):,} items: give at most {MOST_MESSAGES:,}.", "input")
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            raise RequestError(f"'input[{number}]' is {shorten(item)}: give an object.", f"input[{number}]")
    return items
