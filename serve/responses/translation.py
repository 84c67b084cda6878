"""A request of the Responses API as a chat request, and chat's errors in the words of the Responses API.

It reads no store: the items of earlier responses are handed in.

    translated = to_chat(wanted, earlier=[], items=as_items(wanted))
    answer(translated.chat)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serve.errors import RequestError
from serve.protocol import MOST_MESSAGES, ChatRequest, Message, RetrievalOptions
from serve.request_body import shorten
from serve.responses.items import Item, lead_with_system, to_messages
from serve.responses.request import LOGPROBS, ResponsesRequest
from serve.responses.tools import Kit, read_tools

# Where the Responses API has what an error of chat or of an engine names
PLACES = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "logprobs": "include",
}


@dataclass(frozen=True)
class Translated:
    """A request as a chat request, with the tools that it has."""

    chat: ChatRequest
    kit: Kit

    def place(self, param: str | None) -> str | None:
        """The field of this API that an error of chat names."""
        if param is None:
            return None
        if param == "retrieval.collections" and self.kit.search:
            return f"{self.kit.search.place}.vector_store_ids"
        head = param.replace("[", ".").partition(".")[0]
        return PLACES.get(head, param.replace("].function", "]"))


def to_chat(wanted: ResponsesRequest, earlier: Sequence[Item], items: Sequence[Item]) -> Translated:
    """The chat request. `earlier`: the items of the responses that this one continues; `items`: its own.

    Raises RequestError: an item, a tool or the text's format cannot be translated; or nothing is asked.
    """
    kit = read_tools(wanted.tools, wanted.tool_choice)
    placed = [("previous_response_id", item) for item in earlier]
    placed += [(f"input[{number}]", item) for number, item in enumerate(items)]
    messages = lead_with_system(wanted.instructions, to_messages(placed, kit.names))
    if not any(message["role"] != "system" for message in messages):
        raise RequestError("'input' has no message: ask a question.", "input")
    if len(messages) > MOST_MESSAGES:
        raise RequestError(
            f"The conversation has {len(messages):,} messages, more than {MOST_MESSAGES:,}: begin a new one.", "input"
        )

    body = {"messages": messages, "retrieval": _retrieval(wanted, kit), **_options(wanted, kit)}
    chat = ChatRequest.model_validate({**wanted.engine_fields(), **body}).without_types(kit.missing)
    return Translated(chat, kit)


def without_oldest_turns(messages: Sequence[Message]) -> list[Message] | None:
    """The messages without the older half of their turns, for a window that they exceed; None if one turn is left.

    A turn begins with a user's message, so that no call loses what it returned. System messages at the head stay.
    """
    head = [each for each in messages[:1] if each["role"] == "system"]
    turns = [number for number, each in enumerate(messages) if each["role"] == "user"]
    if len(turns) < 2:
        return None
    return [*head, *messages[turns[len(turns) // 2] :]]


def _options(wanted: ResponsesRequest, kit: Kit) -> dict[str, Any]:
    """The fields of the chat request beside its messages; those that are not set are left out."""
    wants_logprobs = wanted.includes(LOGPROBS) or bool(wanted.top_logprobs)
    options = {
        "model": wanted.model,
        "temperature": wanted.temperature,
        "top_p": wanted.top_p,
        "max_completion_tokens": wanted.max_output_tokens,
        "response_format": _response_format(wanted),
        "reasoning_effort": wanted.reasoning.effort if wanted.reasoning else None,
        "tools": list(kit.functions) or None,
        "tool_choice": kit.choice,
        "parallel_tool_calls": wanted.parallel_tool_calls if kit.functions else None,
        "logprobs": True if wants_logprobs else None,
        "top_logprobs": wanted.top_logprobs or None,
        "stream": True if wanted.stream else None,
        "stream_options": {"include_usage": True} if wanted.stream else None,
    }
    return {name: value for name, value in options.items() if value is not None}


def _retrieval(wanted: ResponsesRequest, kit: Kit) -> RetrievalOptions:
    """The request's retrieval options. A file_search that the choice of tools rules out turns the search off."""
    given = wanted.retrieval or RetrievalOptions()
    if kit.search:
        return kit.search.options(given)
    is_ruled_out = any(tool["type"] == "file_search" for tool in kit.said)
    return given.model_copy(update={"enabled": False}) if is_ruled_out else given


def _response_format(wanted: ResponsesRequest) -> dict[str, Any] | None:
    """`text.format` as chat's `response_format`; None for plain text. Raises RequestError: it is malformed."""
    form: Mapping[str, Any] = (wanted.text.format if wanted.text else None) or {"type": "text"}
    kind = form.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": "json_object"}
    if kind != "json_schema":
        raise RequestError(
            f"'text.format.type' is {shorten(kind)}: give 'text', 'json_object' or 'json_schema'.", "text.format.type"
        )
    for name, type_, what in (("name", str, "a name"), ("schema", dict, "a JSON schema")):
        if not isinstance(form.get(name), type_) or not form[name]:
            raise RequestError(
                f"'text.format.{name}' is {shorten(form.get(name))}: give {what}.", f"text.format.{name}"
            )
    given = {name: form[name] for name in ("name", "schema", "strict", "description") if form.get(name) is not None}
    return {"type": "json_schema", "json_schema": given}
