"""The fields of a chat request that OpenAI defines, with their types and ranges, and OpenAI's errors about them.

It checks, and changes nothing: the engine gets what the client sent. Fields that only an engine knows pass.

    check_fields({"messages": [...], "stream": "yes"})  # RequestError: param "stream", code "invalid_type"
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from serve.errors import RequestError
from serve.request_body import check_shape, shorten

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
MOST_STOPS = 4
MOST_TOOLS = 1000


def check_stop(value: Any) -> Any:
    """OpenAI's `stop`: a string, or up to four of them; pydantic would report a fault in each of both forms."""
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise PydanticCustomError("invalid_type", "give a string or a list of strings")
    if len(value) > MOST_STOPS:
        raise PydanticCustomError("array_above_max_length", f"give at most {MOST_STOPS} strings")
    return value


def check_choice(value: Any) -> Any:
    """OpenAI's `tool_choice`: a word or an object."""
    if isinstance(value, str) and value not in ("none", "auto", "required"):
        raise PydanticCustomError("invalid_value", "give 'none', 'auto', 'required' or an object that names a tool")
    if not (value is None or isinstance(value, str | dict)):
        raise PydanticCustomError("invalid_type", "give a string or an object")
    return value


class _Fields(BaseModel):
    """Strict: "yes" is not a boolean, and "1" is not a number."""

    model_config = ConfigDict(strict=True)


class Function(_Fields):
    """What a tool does."""

    name: str = Field(min_length=1)
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(_Fields):
    """A tool that the model may call."""

    type: str
    function: Function


class Typed(_Fields):
    """An object with a type of its own."""

    type: str


class StreamOptions(_Fields):
    """What a stream ends with."""

    include_usage: bool | None = None


class ChatFields(_Fields):
    """OpenAI's fields of a chat request beside those that `serve.protocol.ChatRequest` reads."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    logit_bias: dict[str, Any] | None = None
    seed: int | None = None
    stop: Annotated[Any, AfterValidator(check_stop)] = None
    user: str | None = None
    response_format: Typed | None = None
    stream_options: StreamOptions | None = None
    parallel_tool_calls: bool | None = None
    tools: Annotated[list[Tool], Field(min_length=1, max_length=MOST_TOOLS, fail_fast=True)] | None = None
    tool_choice: Annotated[Any, AfterValidator(check_choice)] = None


def check_fields(data: Mapping[str, Any]) -> None:
    """Refuse a field of OpenAI's with a value that OpenAI would refuse. Raises RequestError."""
    check_shape(ChatFields, data)
    check_tool_choice(data)


def check_tool_choice(data: Mapping[str, Any]) -> None:
    """Refuse a choice of tools without tools, or of one that is not there; "none" always is. Raises RequestError."""
    choice, tools = data.get("tool_choice"), data.get("tools")
    if choice in (None, "none"):
        return
    if not tools:
        raise RequestError(
            f"'tool_choice' is {shorten(choice)}, which needs 'tools': send both or neither.", "tool_choice"
        )
    if isinstance(choice, dict) and choice.get("type") == "function":
        function = choice.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        known = [(tool.get("function") or {}).get("name") for tool in tools]
        if name not in known:
            listed = shorten([each for each in known if each])
            raise RequestError(
                f"'tool_choice' names {shorten(name)}, which is not one of the tools: {listed}.", "tool_choice"
            )
