"""The fields of a chat request that OpenAI defines, with their types and ranges, and OpenAI's errors about them.

It checks, and changes nothing: the engine gets what the client sent. Fields that only an engine knows pass.

    check_fields({"messages": [...], "stream": "yes"})  # RequestError: param "stream", code "invalid_type"
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from serve.errors import RequestError, ToolsUnsupported
from serve.request_body import check_shape, shorten

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
MOST_STOPS = 4
MOST_TOOLS = 1000
FUNCTION, ALLOWED = "function", "allowed_tools"
OTHER_CHOICES = ("custom", ALLOWED)  # beside a function
TOOL_FIELDS = ("tools", "tool_choice", "parallel_tool_calls")


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
    """A tool that the model may call: a function, or one of another type, which is left out."""

    type: str
    function: Function | None = None


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
    for number, tool in enumerate(data.get("tools") or ()):
        if tool["type"] == FUNCTION and tool.get("function") is None:
            place = f"tools[{number}].function"
            raise RequestError(f"'{place}' is missing.", place, "missing_required_parameter")
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
    if not isinstance(choice, dict):
        return
    if choice.get("type") not in (FUNCTION, *OTHER_CHOICES):
        raise RequestError(
            f"'tool_choice.type' is {shorten(choice.get('type'))}: give one of "
            f"{', '.join((FUNCTION, *OTHER_CHOICES))}.",
            "tool_choice.type",
            "invalid_value",
        )
    known = [_name(tool) for tool in tools]
    for name in map(_name, _allowed(choice) if choice["type"] == ALLOWED else [choice]):
        if name is None or name not in known:
            listed = shorten([each for each in known if each])
            raise RequestError(
                f"'tool_choice' names {shorten(name)}, which is not one of the tools: {listed}.", "tool_choice"
            )


def functions_alone(data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields about tools of a checked request, as far as they are functions, which engines know, and may be called.

    Raises ToolsUnsupported: a tool of another type must be called.
    """
    tools, choice = data.get("tools") or (), data.get("tool_choice")
    functions = [tool for tool in tools if tool["type"] == FUNCTION]
    if isinstance(choice, dict) and choice["type"] == ALLOWED:
        names = [*map(_name, _allowed(choice))]
        functions = [tool for tool in functions if _name(tool) in names]
        choice = choice["allowed_tools"].get("mode", "auto")
    is_missing = choice == "required" and not functions
    if is_missing or (isinstance(choice, dict) and choice["type"] != FUNCTION):
        raise ToolsUnsupported(
            f"'tool_choice' asks for a tool that is not a function, and a model is offered functions alone here: give "
            f"one of type '{FUNCTION}'.",
            "tool_choice",
        )
    given = {"tools": functions, "tool_choice": choice, "parallel_tool_calls": data.get("parallel_tool_calls")}
    return {name: given[name] for name in TOOL_FIELDS if name in data} if functions else {}


def _allowed(choice: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tools that a choice allows. Raises RequestError: it is malformed."""
    given = choice.get(ALLOWED)
    given = given if isinstance(given, dict) else {}
    listed = given.get("tools")
    if not isinstance(listed, list) or not listed or not all(isinstance(each, dict) for each in listed):
        place = f"tool_choice.{ALLOWED}.tools"
        raise RequestError(f"'{place}' is {shorten(listed)}: give a list of tools.", place, "invalid_type")
    if (mode := given.get("mode", "auto")) not in ("auto", "required"):
        place = f"tool_choice.{ALLOWED}.mode"
        raise RequestError(f"'{place}' is {shorten(mode)}: give 'auto' or 'required'.", place, "invalid_value")
    return listed


def _name(tool: Mapping[str, Any]) -> Any:
    """The name of a tool, which stands in an object that is called as its type."""
    named = tool.get(str(tool.get("type")))
    return named.get("name") if isinstance(named, dict) else None
