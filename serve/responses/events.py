"""The events of a chat's answer as the items and events of a response, one after the other.

A whole answer is one event with all of it (`as_event`), so that both ways say the same. An item stays open until the
answer ends, because citations and checks come last; thoughts close before the words. It knows no wire.

    translator = Translator(response)
    events = [*translator.feed(event), *translator.end()]
    translator.response["output"]
"""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from serve.errors import RequestError
from serve.responses.file_search import file_citation, flat_citation, search_call
from serve.responses.resource import close_response, fail_response, response_usage
from serve.responses.tools import Kit

Event = dict[str, Any]
Status = Literal["completed", "incomplete"]
# What a delta of chat says, with the type of the part that it becomes and that part's field
PARTS = {
    "content": ("output_text", "text"),
    "refusal": ("refusal", "refusal"),
    "reasoning": ("reasoning_text", "text"),
}
ENDINGS = {"completed": "response.completed", "incomplete": "response.incomplete"}


def as_event(answer: Mapping[str, Any]) -> dict[str, Any]:
    """A whole answer of chat as the only event of a stream."""
    choices = [{**choice, "delta": choice["message"]} for choice in answer["choices"]]
    return {**answer, "choices": choices}


@dataclass
class Part:
    """A part of an item's content while it is written. `said` are its pieces."""

    kind: str
    index: int
    said: list[str] = field(default_factory=list)
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What it says so far."""
        return "".join(self.said)

    def fields(self) -> dict[str, Any]:
        """The part as it stands in its item."""
        kind, name = PARTS[self.kind]
        beside = {"annotations": list(self.annotations), "logprobs": list(self.logprobs)}
        return {"type": kind, name: self.text, **(beside if self.kind == "content" else {})}


@dataclass
class Item:
    """An output item while it is written: a message or thoughts with parts, or a call with arguments."""

    index: int
    fields: dict[str, Any]
    parts: list[Part] = field(default_factory=list)
    said: list[str] = field(default_factory=list)  # arguments of a call

    @property
    def place(self) -> dict[str, Any]:
        """How events name it."""
        return {"item_id": self.fields["id"], "output_index": self.index}

    def snapshot(self) -> dict[str, Any]:
        """The item as it stands."""
        if self.fields["type"] == "function_call":
            return {**self.fields, "arguments": "".join(self.said)}
        return {**self.fields, "content": [part.fields() for part in self.parts]}


class Translator:
    """One answer on its way from chat to a response. `response` is the response as it stands."""

    def __init__(self, response: dict[str, Any], kit: Kit | None = None, with_results: bool = False) -> None:
        self.response = response
        self._kit = kit or Kit()
        self._with_results = with_results
        self._number = 0  # of the next event
        self._begun = False
        self._items: list[Item] = []  # without the file search, which is closed at once
        self._calls: dict[int, Item] = {}
        self._annotations: Sequence[Mapping[str, Any]] = ()
        self._verification: Any = None
        self._reason: str | None = None

    @property
    def text(self) -> str:
        """The words of the answer so far."""
        return "".join(part.text for item in self._items for part in item.parts if part.kind == "content")

    def feed(self, event: Mapping[str, Any]) -> list[Event]:
        """What one event of chat becomes."""
        events = [] if self._begun else self._begin(event)
        if event.get("usage"):
            self.response["usage"] = response_usage(event["usage"])
        for choice in event["choices"]:
            if choice["index"] == 0:
                events += self._read(choice)
        return events

    def end(self) -> list[Event]:
        """What closes the answer: its items, then the response."""
        events: list[Event] = []
        if not self._items:
            events += self._write("content", "", [])  # the model said nothing
        close_response(self.response, self._reason)
        for item in self._items:
            is_last = item is self._items[-1]
            events += self._close(item, self.response["status"] if is_last else "completed")
        return [*events, self._event(ENDINGS[self.response["status"]], response=self._snapshot())]

    def fail(self, error: RequestError) -> list[Event]:
        """What says that the answer broke off. The response keeps what was said."""
        for item in self._items:
            if item.fields["status"] == "in_progress":
                item.fields["status"] = "incomplete"
                self.response["output"][item.index] = item.snapshot()
        fail_response(self.response, error)
        envelope = error.envelope()["error"]
        flat = {name: envelope[name] for name in ("code", "message", "param")}
        return [
            self._event("error", **flat, error=envelope),
            self._event("response.failed", response=self._snapshot()),
        ]

    def _begin(self, event: Mapping[str, Any]) -> list[Event]:
        """The first events: the response, and the search if the request has the tool for it."""
        self._begun = True
        retrieval = event.get("retrieval")
        self.response["retrieval"] = retrieval
        begun = self._snapshot()
        events = [self._event(f"response.{name}", response=begun) for name in ("created", "in_progress")]
        if self._kit.search and retrieval and retrieval["query"] is not None:
            events += self._search(retrieval)
        return events

    def _search(self, retrieval: Mapping[str, Any]) -> list[Event]:
        """The item of the search and its events: it is over when the answer begins."""
        index = len(self.response["output"])
        call = search_call(self._new_id("fs", index), retrieval, self._with_results)
        self.response["output"].append(call)

        begun = {**call, "status": "in_progress", "queries": [], "results": None}
        events = [self._event("response.output_item.added", output_index=index, item=begun)]
        for step in ("in_progress", "searching", "completed"):
            events.append(self._event(f"response.file_search_call.{step}", item_id=call["id"], output_index=index))
        return [*events, self._event("response.output_item.done", output_index=index, item=call)]

    def _read(self, choice: Mapping[str, Any]) -> list[Event]:
        """What a piece of the answer becomes."""
        delta = choice["delta"]
        tokens = (choice.get("logprobs") or {}).get("content") or ()
        logprobs = [_logprob(token) for token in tokens if isinstance(token, Mapping)]
        events: list[Event] = []
        if thought := delta.get("reasoning_content") or delta.get("reasoning"):
            events += self._write("reasoning", thought, [])
        if delta.get("content") or logprobs:
            events += self._write("content", delta.get("content") or "", logprobs)
        if delta.get("refusal"):
            events += self._write("refusal", delta["refusal"], [])
        for position, call in enumerate(delta.get("tool_calls") or ()):
            events += self._call(call, position)
        self._annotations = delta.get("annotations") or self._annotations
        self._verification = delta.get("verification") or self._verification
        self._reason = choice.get("finish_reason") or self._reason
        return events

    def _write(self, kind: str, text: str, logprobs: list[dict[str, Any]]) -> list[Event]:
        """The events of more text of a kind, which may open an item and a part of it."""
        item, events = self._item_for("reasoning" if kind == "reasoning" else "message")
        part = next((each for each in item.parts if each.kind == kind), None)
        if part is None:
            part = Part(kind, len(item.parts))
            item.parts.append(part)
            events.append(self._part_event("response.content_part.added", item, part, part=part.fields()))
        part.said.append(text)
        part.logprobs += logprobs
        if text or logprobs:
            beside = {"logprobs": logprobs} if kind == "content" else {}
            events.append(self._part_event(f"response.{PARTS[kind][0]}.delta", item, part, delta=text, **beside))
        return events

    def _item_for(self, kind: str) -> tuple[Item, list[Event]]:
        """The open item of a kind, with the events that open it if there is none."""
        for item in reversed(self._items):
            if item.fields["type"] == kind and item.fields["status"] == "in_progress":
                return item, []
        if kind == "reasoning":
            return self._open("rs", {"type": kind, "summary": [], "encrypted_content": None})
        return self._open("msg", {"type": kind, "role": "assistant"})

    def _call(self, call: Mapping[str, Any], position: int) -> list[Event]:
        """The events of a piece of a function's call. A call whose name never comes is dropped."""
        function = call.get("function") or {}
        given = call.get("index")
        index = given if isinstance(given, int) else position
        item = self._calls.get(index)
        events: list[Event] = []
        if item is None:
            called = function.get("name")
            if not isinstance(called, str):
                return []
            namespace, name = self._kit.origin(called)
            fields = {"type": "function_call", "call_id": call.get("id") or f"call_{uuid.uuid4().hex}", "name": name}
            item, events = self._open("fc", {**fields, **({"namespace": namespace} if namespace else {})})
            self._calls[index] = item
        if arguments := function.get("arguments"):
            arguments = arguments if isinstance(arguments, str) else json.dumps(arguments)
            item.said.append(arguments)
            events.append(self._event("response.function_call_arguments.delta", **item.place, delta=arguments))
        return events

    def _open(self, prefix: str, fields: dict[str, Any]) -> tuple[Item, list[Event]]:
        """A new item and the events that open it. Thoughts before it are over."""
        thoughts = [item for item in self._items if item.fields["type"] == "reasoning"]
        events = [event for item in thoughts for event in self._close(item, "completed")]
        index = len(self.response["output"])
        item = Item(index, {"id": self._new_id(prefix, index), "status": "in_progress", **fields})
        self._items.append(item)
        self.response["output"].append(item.snapshot())
        events.append(self._event("response.output_item.added", output_index=index, item=item.snapshot()))
        return item, events

    def _close(self, item: Item, status: Status) -> list[Event]:
        """The events that close an item, if it is open."""
        if item.fields["status"] != "in_progress":
            return []
        events: list[Event] = []
        for part in item.parts:
            events += self._close_part(item, part)
        item.fields["status"] = status
        if item.fields["type"] == "message" and self._verification is not None:
            item.fields["verification"] = self._verification

        snapshot = self.response["output"][item.index] = item.snapshot()
        if item.fields["type"] == "function_call":
            said = {name: snapshot[name] for name in ("name", "arguments")}
            events.append(self._event("response.function_call_arguments.done", **item.place, **said))
        return [*events, self._event("response.output_item.done", output_index=item.index, item=snapshot)]

    def _close_part(self, item: Item, part: Part) -> list[Event]:
        """The events that close a part: its citations, its whole text, itself."""
        events: list[Event] = []
        kind, name = PARTS[part.kind]
        if part.kind == "content":
            part.annotations = [self._citation(each) for each in self._annotations]
        for number, annotation in enumerate(part.annotations):
            said = {"annotation_index": number, "annotation": annotation}
            events.append(self._part_event("response.output_text.annotation.added", item, part, **said))
        beside = {"logprobs": part.logprobs} if part.kind == "content" else {}
        events.append(self._part_event(f"response.{kind}.done", item, part, **{name: part.text}, **beside))
        return [*events, self._part_event("response.content_part.done", item, part, part=part.fields())]

    def _citation(self, annotation: Mapping[str, Any]) -> dict[str, Any]:
        """A citation in the form of the tool that found it."""
        if self._kit.search:
            return file_citation(annotation, self.response["retrieval"]["hits"])
        return flat_citation(annotation)

    def _part_event(self, kind: str, item: Item, at: Part, **fields: Any) -> Event:
        return self._event(kind, **item.place, content_index=at.index, **fields)

    def _event(self, kind: str, **fields: Any) -> Event:
        """An event with the next number."""
        event = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return event

    def _snapshot(self) -> dict[str, Any]:
        """The response as it stands, which later events do not change."""
        return {**self.response, "output": copy.deepcopy(self.response["output"])}

    def _new_id(self, prefix: str, index: int) -> str:
        """An item's id, which names its response (`response_id_of`)."""
        return f"{prefix}_{self.response['id'].removeprefix('resp_')}{index:04x}"


def response_id_of(item_id: str) -> str:
    """The response whose output has an item with this id."""
    return f"resp_{item_id.partition('_')[2][:-4]}"


def _logprob(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A token with its logarithmic probability, in the form of responses."""
    token = str(entry.get("token") or "")
    likeliest = [_logprob(each) for each in entry.get("top_logprobs") or ()]
    alone = {"token": token, "logprob": entry.get("logprob") or 0.0, "bytes": entry.get("bytes") or [*token.encode()]}
    return {**alone, "top_logprobs": likeliest} if "top_logprobs" in entry else alone
