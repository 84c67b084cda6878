"""The engine's APIs that answer a prompt: where each is, how its answers are read, and what its last event is.

It opens no connection.

    async for event in upstream.stream(body, COMPLETIONS): ...
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from serve.answers.engine_answers import (
    read_answer,
    read_completion,
    read_completion_event,
    read_message,
    read_message_event,
    read_stream_event,
    read_token_count,
)

Reader = Callable[[str], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class EngineApi:
    """A path of the engine. A reader takes JSON and raises UpstreamBroken, or UpstreamRefused if it is an error.

    A stream ends with [DONE], or with an event of the type `last`.
    """

    path: str
    read_answer: Reader
    read_event: Reader
    last: str | None = None

    def is_last(self, event: dict[str, Any]) -> bool:
        """Whether the stream ends with this event."""
        return self.last is not None and event.get("type") == self.last


CHAT = EngineApi("/v1/chat/completions", read_answer, read_stream_event)
COMPLETIONS = EngineApi("/v1/completions", read_completion, read_completion_event)
MESSAGES = EngineApi("/v1/messages", read_message, read_message_event, last="message_stop")
TOKEN_COUNT = EngineApi("/v1/messages/count_tokens", read_token_count, read_message_event)
