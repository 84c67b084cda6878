"""The items of a response's input as the messages of a chat.

Thoughts and the gateway's own searches of earlier turns are left out: the passages come anew with each question. Kinds
of items that chat lacks are refused. It reads no store.

    messages = to_messages([("input[0]", {"role": "user", "content": "Which command repairs antennas?"})], {})
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from serve.errors import RequestError
from serve.protocol import Message, message_text
from serve.request_body import shorten

Item = dict[str, Any]
Placed = tuple[str, Item]  # an item, and where it stands in the request
Names = Mapping[tuple[str, str], str]  # what a function of a namespace is called in a chat

# Chat templates know no developer, and many ignore roles that they do not know
ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
LEFT_OUT = ("reasoning", "file_search_call", "web_search_call")
PREFIXES = {"message": "msg", "function_call": "fc", "function_call_output": "fco", "reasoning": "rs"}
TEXTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
BESIDE: Mapping[Any, Mapping[str, Any]] = {  # what OpenAI's types have in parts that clients may leave out
    "output_text": {"annotations": []},
    "input_image": {"detail": "auto"},
}
KINDS = "message, function_call, function_call_output, item_reference or reasoning"


def to_messages(items: Iterable[Placed], names: Names) -> list[Message]:
    """The messages that the items say. Calls of one turn stand in one message, with the words before them.

    Raises RequestError: an item of another kind, or one with a wrong field; says where.
    """
    messages: list[Message] = []
    calls: set[str] = set()
    for place, item in items:
        kind = _kind(item)
        if kind in LEFT_OUT:
            continue
        if kind == "message":
            messages.append(_message(place, item))
        elif kind == "function_call":
            call = _call(place, item, names)
            calls.add(call["id"])
            _add_call(messages, call)
        elif kind == "function_call_output":
            messages.append(_call_output(place, item, calls))
        else:
            raise RequestError(
                f"'{place}.type' is {shorten(kind)}, which this gateway does not read: give {KINDS}.", f"{place}.type"
            )
    return messages


def lead_with_system(instructions: str | None, messages: Sequence[Message]) -> list[Message]:
    """One system message first, of the instructions and of the system messages that the conversation begins with.

    Templates of several models accept one only, and only there.
    """
    count = next((number for number, each in enumerate(messages) if each["role"] != "system"), len(messages))
    leading = [instructions or "", *map(message_text, messages[:count])]
    text = "\n\n".join(part for part in leading if part)
    return [*([{"role": "system", "content": text}] if text else []), *messages[count:]]


def kept(item: Item) -> Item:
    """An input item as a store keeps it: with an id, its type and, for a message, a list of parts; without nulls."""
    kind, given = _kind(item), item.get("id")
    item_id = given if isinstance(given, str) and given else new_item_id(kind)
    whole = {"status": "completed", **_without_nulls(item), "type": kind, "id": item_id}
    if kind == "reasoning":
        whole.setdefault("summary", [])
    if kind == "message":
        content = item.get("content")
        if isinstance(content, str):
            content = [{"type": "output_text" if item.get("role") == "assistant" else "input_text", "text": content}]
        whole["content"] = [{**BESIDE.get(part.get("type"), {}), **_without_nulls(part)} for part in content or ()]
    return whole


def new_item_id(kind: str) -> str:
    """An id that no item has."""
    return f"{PREFIXES.get(kind, 'item')}_{uuid.uuid4().hex}"


def _kind(item: Item) -> Any:
    """The type of an item; OpenAI's clients leave out a message's, or send null."""
    kind = item.get("type")
    return "message" if kind is None else kind


def _without_nulls(given: Item) -> Item:
    """The fields that say something: to OpenAI's clients null is a field that is left out."""
    return {name: value for name, value in given.items() if value is not None}


def _message(place: str, item: Item) -> Message:
    """A message. Raises RequestError: no role that is known, or wrong or empty content."""
    role = item.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise RequestError(f"'{place}.role' is {shorten(role)}: give one of {', '.join(ROLES)}.", f"{place}.role")
    content = _content(f"{place}.content", item.get("content"))
    if role == "user" and isinstance(content, str) and not content.strip():
        raise RequestError(f"'{place}.content' is empty: ask a question.", f"{place}.content")
    return {"role": ROLES[role], "content": content}


def _content(place: str, content: Any) -> str | list[dict[str, Any]]:
    """A text, or chat's parts where there are images too. Raises RequestError: neither text nor a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise RequestError(f"'{place}' is {shorten(content)}: give a string or a list of parts.", place)
    parts = [_part(f"{place}[{number}]", part) for number, part in enumerate(content)]
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _part(place: str, part: Any) -> dict[str, Any]:
    """One part of a message in chat's form. Raises RequestError."""
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(kind, str) and kind in TEXTS:
        text = part.get(TEXTS[kind])
        if not isinstance(text, str):
            raise RequestError(f"'{place}.{TEXTS[kind]}' is {shorten(text)}: give a string.", f"{place}.{TEXTS[kind]}")
        return {"type": "text", "text": text}
    if kind == "input_image":
        return _image(place, part)
    if kind == "input_file":
        raise RequestError(
            f"'{place}' is a file, which this gateway does not read in a request: give its text as input_text, or "
            "index it and search it.",
            place,
        )
    shown = kind if kind is not None else part
    raise RequestError(
        f"'{place}.type' is {shorten(shown)}: give input_text, input_image or output_text.", f"{place}.type"
    )


def _image(place: str, part: Item) -> dict[str, Any]:
    """An image in chat's form; who looks at it is the model. Raises RequestError: it has no address."""
    url, detail = part.get("image_url"), part.get("detail")
    if not isinstance(url, str) or not url:
        found = "a file_id" if part.get("file_id") else shorten(url)
        raise RequestError(
            f"'{place}.image_url' is {found}: give a URL, or the image as a data: URL.", f"{place}.image_url"
        )
    details = {"detail": "high" if detail == "original" else detail} if isinstance(detail, str) else {}
    return {"type": "image_url", "image_url": {"url": url, **details}}


def _call(place: str, item: Item, names: Names) -> dict[str, Any]:
    """A call of a function in chat's form. Raises RequestError: a field is missing."""
    call_id, name, arguments = (_text(place, item, field) for field in ("call_id", "name", "arguments"))
    called = names.get((str(item.get("namespace")), name), name)
    return {"id": call_id, "type": "function", "function": {"name": called, "arguments": arguments}}


def _add_call(messages: list[Message], call: dict[str, Any]) -> None:
    """Put a call into the assistant's message that stands last, or into one of its own."""
    if messages and messages[-1]["role"] == "assistant":
        messages[-1].setdefault("tool_calls", []).append(call)
    else:
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})


def _call_output(place: str, item: Item, calls: set[str]) -> Message:
    """What a function returned. Raises RequestError: it was not called, or the output is neither text nor parts."""
    call_id = _text(place, item, "call_id")
    if call_id not in calls:
        raise RequestError(
            f"'{place}.call_id' is {shorten(call_id)}, and no function_call before it has this id: send the call too, "
            "or the 'previous_response_id' of the response that has it.",
            f"{place}.call_id",
        )
    return {"role": "tool", "tool_call_id": call_id, "content": _content(f"{place}.output", item.get("output"))}


def _text(place: str, item: Item, field: str) -> str:
    """A field that must be a string. Raises RequestError."""
    text = item.get(field)
    if not isinstance(text, str):
        problem = "is missing" if text is None else f"is {shorten(text)}: give a string"
        raise RequestError(f"'{place}.{field}' {problem}.", f"{place}.{field}")
    return text
