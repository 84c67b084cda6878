"""OpenAI's chat completion format, as far as the gateway must understand it; other fields pass through untouched.

It does no I/O. The engine checks the fields that only it uses.

    request = parse_chat_request(await request.body())
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve.errors import RequestError
from serve.filters import WantedFilter
from serve.openai_fields import FUNCTION, ROLES, TOOL_FIELDS, check_fields, functions_alone
from serve.request_body import check_shape, read_object, shorten

MOST_MESSAGES = 10_000
# Fields of OpenAI's and vLLM's requests that hand the text of an answer to another program.
SHAPING = (
    "logprobs",
    "top_logprobs",
    "stop",
    "functions",
    "echo",
    "structured_outputs",
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
)
Message = dict[str, Any]  # role, content and whatever else OpenAI or vLLM know


class RetrievalOptions(BaseModel):
    """Our one addition to OpenAI's request."""

    model_config = ConfigDict(extra="forbid", strict=True)

    enabled: bool = True
    top_k: int | None = Field(default=None, ge=1, le=50)
    collections: list[str] = Field(default=[], max_length=100, fail_fast=True)  # search only these; empty: all
    filters: WantedFilter = None  # search only documents with such attributes
    score_threshold: float = Field(default=0.0, ge=0, le=1)  # the least cosine of a passage and what is searched for
    answer: Literal["auto", "quote", "model"] | None = None  # who words the answer; None: the gateway's setting
    grammar: bool | None = None  # names are only copied; None: if retrieval is on

    @property
    def is_forced(self) -> bool:
        """Whether the request wants a search whatever it asks: it says so, and does not leave it to us."""
        return self.enabled and "enabled" in self.model_fields_set


class ChatRequest(BaseModel):
    """A chat completion request: the fields that the gateway reads; `model_extra` holds the rest."""

    model_config = ConfigDict(extra="allow", strict=True)

    messages: list[Message] = Field(min_length=1, max_length=MOST_MESSAGES, fail_fast=True)
    model: str | None = Field(default=None, max_length=1000)
    stream: bool | None = False
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    retrieval: RetrievalOptions | None = None
    n: int | None = Field(default=None, ge=1, le=128)
    _types_left_out: tuple[str, ...] = ()

    @property
    def options(self) -> RetrievalOptions:
        """The request's retrieval options, or our defaults."""
        return self.retrieval or RetrievalOptions()

    @property
    def wants_json(self) -> bool:
        """Whether the answer must be JSON, which a sentence of ours is not."""
        wanted = (self.model_extra or {}).get("response_format")
        return isinstance(wanted, dict) and wanted.get("type") in ("json_object", "json_schema")

    @property
    def shapes_its_answer(self) -> bool:
        """Whether the request sets the form of the answer's text or builds on its exact tokens.

        We check such text and never change it.
        """
        extra = self.model_extra or {}
        form = extra.get("response_format")
        is_formed = isinstance(form, dict) and form.get("type", "text") != "text"
        return bool(is_formed or (self.n or 1) > 1 or any(extra.get(name) for name in SHAPING))

    @property
    def answer_tokens(self) -> int | None:
        """The maximum length of the answer in the request, under either of OpenAI's names."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def tools(self) -> list[Any] | None:
        """The tools that the model may call."""
        tools = (self.model_extra or {}).get("tools")
        return tools if isinstance(tools, list) and tools else None

    @property
    def tool_names(self) -> list[str]:
        """The names of the tools."""
        functions = [tool.get("function") for tool in self.tools or () if isinstance(tool, dict)]
        return [str(each["name"]) for each in functions if isinstance(each, dict) and each.get("name")]

    @property
    def may_call(self) -> bool:
        """Whether the answer may be a call of a tool."""
        return bool(self.tools) and (self.model_extra or {}).get("tool_choice") != "none"

    @property
    def must_call(self) -> bool:
        """Whether the answer must be a call: of any tool, or of the one that is named."""
        choice = (self.model_extra or {}).get("tool_choice")
        return self.may_call and (choice == "required" or isinstance(choice, dict))

    @property
    def types_left_out(self) -> tuple[str, ...]:
        """The types of tools that the client offers and no engine knows."""
        return self._types_left_out

    def without_types(self, types: Iterable[str]) -> ChatRequest:
        """The request, whose tools of these types were left out."""
        told = self.model_copy()
        told._types_left_out = tuple(types)
        return told

    def without_tools(self) -> ChatRequest:
        """The request as a client without tools would send it."""
        return self.with_tools({})

    def with_tools(self, fields: Mapping[str, Any]) -> ChatRequest:
        """The request with these fields in the place of those that it has about tools."""
        changed = self.model_copy()
        kept = {name: value for name, value in (self.model_extra or {}).items() if name not in TOOL_FIELDS}
        object.__setattr__(changed, "__pydantic_extra__", {**kept, **fields})
        return changed

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with token counts."""
        options = (self.model_extra or {}).get("stream_options")
        return isinstance(options, dict) and bool(options.get("include_usage"))

    def upstream_body(self) -> dict[str, Any]:
        """The request for the engine: the client's, without our own field."""
        return self.model_dump(exclude_unset=True, exclude={"retrieval"})


def parse_chat_request(body: bytes) -> ChatRequest:
    """Read a request body.

    Raises RequestError: the body is not a JSON object, or a field is wrong; names the field, its value and what we
    expect.
    """
    data = read_object(body)
    request = check_shape(ChatRequest, data)
    for number, message in enumerate(request.messages):
        check_message(message, f"messages[{number}]")
    check_fields(data)
    if data.get("tools") is None:
        return request
    left_out = dict.fromkeys(tool["type"] for tool in data["tools"] if tool["type"] != FUNCTION)
    return request.with_tools(functions_alone(data)).without_types(left_out)


def check_message(message: Message, param: str) -> None:
    """Refuse a message that retrieval could not read.

    Raises RequestError: it has no role, or content that is neither text nor a list of parts.
    """
    role = message.get("role")
    if role not in ROLES:
        code = "invalid_value" if "role" in message else "missing_required_parameter"
        raise RequestError(f"'{param}.role' is {shorten(role)}: give one of {', '.join(ROLES)}.", f"{param}.role", code)
    content = message.get("content")
    parts = isinstance(content, list) and all(
        isinstance(part, dict) and isinstance(part.get("text", ""), str) for part in content
    )
    if not (content is None or isinstance(content, str) or parts):
        raise RequestError(
            f"'{param}.content' is {shorten(content)}: give a string or a list of parts.",
            f"{param}.content",
            "invalid_type",
        )
    calls = message.get("tool_calls")
    if not (calls is None or (isinstance(calls, list) and all(isinstance(call, dict) for call in calls))):
        raise RequestError(
            f"'{param}.tool_calls' is {shorten(calls)}: give a list of objects.", f"{param}.tool_calls", "invalid_type"
        )
    if role == "user" and not message_text(message).strip() and not (parts and content):
        raise RequestError(f"'{param}.content' is empty: ask a question.", f"{param}.content")


def message_text(message: Message) -> str:
    """The text of a message, whether its content is a string or a list of parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if part.get("type") == "text")
    return content or ""


def with_text(message: Message, text: str) -> Message:
    """The message with its text replaced; parts that are not text (images) stay."""
    content = message.get("content")
    if not isinstance(content, list):
        return {**message, "content": text}
    return {
        **message,
        "content": [{"type": "text", "text": text}, *(part for part in content if part.get("type") != "text")],
    }


def holds_more_than_text(message: Message) -> bool:
    """Whether a message has images or other parts that a search cannot read."""
    content = message.get("content")
    return isinstance(content, list) and any(part.get("type") != "text" for part in content)


NOTHING_CHECKED: Mapping[str, Any] = {"annotations": []}


def completion(
    request: ChatRequest,
    text: str,
    prompt_tokens: int,
    completion_tokens: int,
    checked: Mapping[str, Any] = NOTHING_CHECKED,
    finish_reason: str = "stop",
) -> dict[str, Any]:
    """A whole answer that the gateway gives by itself, in OpenAI's form; `checked` goes into the message."""
    message = {"role": "assistant", "content": text, "refusal": None, **checked}
    choices = [
        {"index": index, "message": dict(message), "logprobs": None, "finish_reason": finish_reason}
        for index in range(request.n or 1)
    ]
    return {
        **_head("chat.completion", request.model or ""),
        "choices": choices,
        "usage": usage(prompt_tokens, completion_tokens * len(choices)),
    }


def stream_events(
    request: ChatRequest,
    text: str,
    prompt_tokens: int,
    completion_tokens: int,
    checked: Mapping[str, Any] = NOTHING_CHECKED,
    finish_reason: str = "stop",
) -> list[dict[str, Any]]:
    """The same answer as the events of a stream; the last delta of each choice carries the checks."""
    head = stream_head(request.model or "")
    end = dict(checked)
    deltas: Sequence[tuple[dict[str, Any], str | None]] = (
        ({"role": "assistant", "content": ""}, None),
        ({"content": text}, None),
        (end, finish_reason),
    )
    events = [
        {**head, "choices": [{"index": index, "delta": dict(delta), "logprobs": None, "finish_reason": reason}]}
        for index in range(request.n or 1)
        for delta, reason in deltas
    ]
    if request.include_usage:
        events.append({**head, "choices": [], "usage": usage(prompt_tokens, completion_tokens * (request.n or 1))})
    return events


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """OpenAI's token counts."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def stream_head(model: str) -> dict[str, Any]:
    """The fields around the choices of each event of a stream."""
    return _head("chat.completion.chunk", model)


def _head(kind: str, model: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}
