"""POST /v1/completions, /v1/messages and /v1/messages/count_tokens: the engine's own APIs, within the gateway's limits.

Nothing is searched and nothing is added: who continues a text, or speaks Anthropic's API, gets what the model says.
Errors have the form of the API, in OpenAI's envelope or in Anthropic's.

    Endpoint("/v1/messages", "POST", messages, write_error=anthropic_error)
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rag.search.live import NoIndex
from serve.answers.engine_apis import COMPLETIONS, MESSAGES, TOKEN_COUNT, EngineApi
from serve.errors import RequestError
from serve.gateway.answering import WireForm, send_events
from serve.gateway.bodies import read_body, unless_client_leaves
from serve.gateway.chat_routes import ChatForm
from serve.gateway.gateway import Gateway, gateway_of
from serve.request_body import check_shape, read_object
from serve.sse import write_event

# Anthropic's words for a status; any other of 400 and above is the request's fault, of 500 and above ours
ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class _Passed(BaseModel):
    """The fields that the gateway reads of what it passes on; the engine checks the others."""

    model_config = ConfigDict(strict=True)

    model: str | None = Field(default=None, max_length=1000)
    stream: bool | None = None


async def completions(request: Request) -> Response:
    """POST /v1/completions: OpenAI's, for those who continue a text."""
    return await _pass_on(request, COMPLETIONS, ChatForm())


async def messages(request: Request) -> Response:
    """POST /v1/messages: Anthropic's."""
    return await _pass_on(request, MESSAGES, MessageForm())


async def count_tokens(request: Request) -> Response:
    """POST /v1/messages/count_tokens: Anthropic's."""
    return await _pass_on(request, TOKEN_COUNT, None)


async def _pass_on(request: Request, api: EngineApi, form: WireForm | None) -> Response:
    """What the engine answers; as a stream if the request asks for it and there is a form of one.

    Of a model's names those with a collection are unknown here: nothing is searched.
    """
    gateway, started = gateway_of(request), time.perf_counter()
    body = read_object(await read_body(request))
    passed = check_shape(_Passed, body)
    model = passed.model or gateway.settings.model_id
    async with contextlib.AsyncExitStack() as held:
        held.enter_context(gateway.admission.admit())
        named = await unless_client_leaves(request, gateway.find_model(model, NoIndex()))
        body["model"] = named.model_id
        if passed.stream and form:
            return await send_events(request, _events(gateway, body, api), form, held, started)
        return JSONResponse(await unless_client_leaves(request, _whole(gateway, body, api)))


async def _whole(gateway: Gateway, body: dict[str, Any], api: EngineApi) -> dict[str, Any]:
    with gateway.metrics.in_flight.track_inprogress():
        return await gateway.admission.unless_stopped(gateway.upstream.complete(body, api))


async def _events(gateway: Gateway, body: dict[str, Any], api: EngineApi) -> AsyncGenerator[dict[str, Any], None]:
    with gateway.metrics.in_flight.track_inprogress():
        async with contextlib.aclosing(gateway.upstream.stream(body, api)) as events:
            async for event in events:
                yield event


class MessageForm:
    """Anthropic's form: each event has its type as its name, and the last is one of the engine's."""

    async def whole(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The answer."""
        return answer

    async def feed(self, event: dict[str, Any]) -> list[bytes]:
        """The event under its name."""
        return [write_event(event, event["type"])]

    async def end(self) -> list[bytes]:
        """Nothing: the stream has ended with message_stop."""
        return []

    async def fail(self, error: RequestError) -> list[bytes]:
        """The error as an event."""
        return [write_event(anthropic_error(error), "error")]


def anthropic_error(error: RequestError) -> dict[str, Any]:
    """An error in Anthropic's form."""
    kind = ERROR_TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": str(error)}}
