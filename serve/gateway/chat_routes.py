"""POST /v1/chat/completions: reads a request and writes its answer as the core gives it, in OpenAI's chat format.

It makes no prompt and opens no connection.

    Endpoint("POST", chat_completions)
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from serve.answers.model_names import RETRIEVAL_HEADER
from serve.answers.recent import LONGEST
from serve.errors import RequestError
from serve.gateway.answering import Asked, ask, send
from serve.gateway.bodies import LONG_BODY_BYTES, read_body, unless_client_leaves
from serve.gateway.gateway import gateway_of
from serve.protocol import message_text, parse_chat_request
from serve.sse import DONE, write_event


async def chat_completions(request: Request) -> Response:
    """POST /v1/chat/completions: retrieve, ask the engine, answer with citations."""
    gateway, started = gateway_of(request), time.perf_counter()
    body = await read_body(request)
    is_long, chat = len(body) > LONG_BODY_BYTES, parse_chat_request(body)
    del body  # up to 8 MiB, which the answer need not wait for
    # A place among the answers in flight, later the connection to the engine
    async with contextlib.AsyncExitStack() as held:
        held.enter_context(gateway.admission.admit())
        work = ask(gateway, chat, is_long, request.headers.get(RETRIEVAL_HEADER))
        asked = await unless_client_leaves(request, work)
        form = RememberedForm(asked) if gateway.settings.feedback == "words" else ChatForm()
        return await send(request, asked, form, held, started)


class ChatForm:
    """Chat's own form: answers and events go out as they are. No [DONE] follows an error."""

    async def whole(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The answer."""
        return answer

    async def feed(self, event: dict[str, Any]) -> list[bytes]:
        """The event."""
        return [write_event(event)]

    async def end(self) -> list[bytes]:
        """OpenAI's mark of a whole stream."""
        return [write_event(DONE)]

    async def fail(self, error: RequestError) -> list[bytes]:
        """The error's envelope."""
        return [write_event(error.envelope())]


class RememberedForm(ChatForm):
    """The same, and question and answer are remembered for a while, for feedback."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._answer_id, self._text = "", ""

    async def whole(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The answer."""
        self._read(answer, "message")
        self._remember()
        return answer

    async def feed(self, event: dict[str, Any]) -> list[bytes]:
        """The event."""
        self._read(event, "delta")
        return await super().feed(event)

    async def end(self) -> list[bytes]:
        """OpenAI's mark of a whole stream."""
        self._remember()
        return await super().end()

    def _read(self, event: dict[str, Any], field: str) -> None:
        """Take the id, and the text of the first choice."""
        self._answer_id = str(event.get("id", ""))
        for choice in event.get("choices") or ():
            if choice.get("index") == 0 and isinstance(said := choice[field].get("content"), str):
                self._text = (self._text + said)[:LONGEST]

    def _remember(self) -> None:
        asked = [message for message in self._asked.chat.messages if message["role"] == "user"]
        question = message_text(asked[-1]) if asked else ""
        self._asked.gateway.recent.note(self._answer_id, question, self._text)
