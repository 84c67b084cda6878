"""The wire forms of a fake engine's answers, one for each API: chat, completions, Anthropic's messages.

It opens no socket.

    api = APIS["/v1/completions"]; api.whole("Run it."); list(api.opening()); api.piece("Run "); list(api.closing(body))
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

ENGINE_MODEL = "chipalign-demo"
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
ERROR = {"message": "the worker died", "type": "InternalServerError", "param": None, "code": 500}


class WireApi(Protocol):
    """How vLLM writes answers on a path; a stream is the opening, pieces of text, and the closing."""

    def whole(self, text: str) -> dict[str, Any]: ...

    def opening(self) -> Iterator[bytes]: ...

    def piece(self, text: str) -> bytes: ...

    def closing(self, body: Mapping[str, Any]) -> Iterator[bytes]: ...

    def error(self) -> bytes: ...

    def refusal(self, status: int, message: str) -> dict[str, Any]: ...


def event(data: Mapping[str, Any] | str, name: str = "") -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


class Chat:
    """/v1/chat/completions."""

    def whole(self, text: str, finish_reason: str = "stop") -> dict[str, Any]:
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
        return {**_head("chat.completion", "chatcmpl-1"), "choices": [choice], "usage": USAGE}

    def chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": dict(delta), "logprobs": None, "finish_reason": finish_reason}
        return {**_head("chat.completion.chunk", "chatcmpl-1"), "choices": [choice]}

    def opening(self) -> Iterator[bytes]:
        yield event(self.chunk({"role": "assistant", "content": ""}))

    def piece(self, text: str) -> bytes:
        return event(self.chunk({"content": text}))

    def closing(self, body: Mapping[str, Any]) -> Iterator[bytes]:
        yield event(self.chunk({}, "stop"))
        if _wants_usage(body):
            yield event({**self.chunk({}), "choices": [], "usage": USAGE})
        yield event("[DONE]")

    def error(self) -> bytes:
        return event({"error": ERROR})

    def refusal(self, status: int, message: str) -> dict[str, Any]:
        return {"error": {"message": message, "type": "BadRequestError", "param": None, "code": status}}


class Completions(Chat):
    """/v1/completions."""

    def whole(self, text: str, finish_reason: str = "stop") -> dict[str, Any]:
        return {**self.chunk({"content": text}, finish_reason), "usage": USAGE, "kv_transfer_params": None}

    def chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        text = delta.get("content", "")
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}
        return {**_head("text_completion", "cmpl-1"), "choices": [choice]}

    def opening(self) -> Iterator[bytes]:
        yield from ()


class Messages:
    """/v1/messages."""

    usage: Mapping[str, int] = {"input_tokens": 9, "output_tokens": 3}

    def whole(self, text: str) -> dict[str, Any]:
        content = [{"type": "text", "text": text}]
        return {**self.message(), "content": content, "stop_reason": "end_turn", "usage": self.usage}

    def message(self) -> dict[str, Any]:
        head = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": ENGINE_MODEL}
        return {**head, "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 0}}

    def opening(self) -> Iterator[bytes]:
        yield self.named({"type": "message_start", "message": self.message()})
        yield self.named({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})

    def named(self, data: Mapping[str, Any]) -> bytes:
        return event(data, data["type"])

    def piece(self, text: str) -> bytes:
        delta = {"type": "text_delta", "text": text}
        return self.named({"type": "content_block_delta", "index": 0, "delta": delta})

    def closing(self, body: Mapping[str, Any]) -> Iterator[bytes]:
        yield self.named({"type": "content_block_stop", "index": 0})
        end = {"stop_reason": "end_turn", "stop_sequence": None}
        yield self.named({"type": "message_delta", "delta": end, "usage": {"output_tokens": 3}})
        yield self.named({"type": "message_stop"})

    def error(self) -> bytes:
        return self.named({"type": "error", "error": {"type": "internal_error", "message": ERROR["message"]}})

    def refusal(self, status: int, message: str) -> dict[str, Any]:
        return {"type": "error", "error": {"type": "BadRequestError", "message": message}}


class TokenCount(Messages):
    """/v1/messages/count_tokens."""

    def whole(self, text: str) -> dict[str, Any]:
        return {"input_tokens": 9, "context_management": {"original_input_tokens": 9}}


def _head(kind: str, name: str) -> dict[str, Any]:
    return {"id": name, "object": kind, "created": 1, "model": ENGINE_MODEL}


def _wants_usage(body: Mapping[str, Any]) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


CHAT = Chat()
APIS: Mapping[str, WireApi] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": Completions(),
    "/v1/messages": Messages(),
    "/v1/messages/count_tokens": TokenCount(),
}
