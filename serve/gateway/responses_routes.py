"""/v1/responses: OpenAI's Responses API over the core that answers chat requests.

It translates nothing; the room `serve/responses` does.

    Endpoint("/v1/responses", "POST", create_response)
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve.answers.model_names import RETRIEVAL_HEADER
from serve.errors import ContextLengthExceeded, RequestError, ResponseNotFound
from serve.gateway.answering import Asked, ask, send
from serve.gateway.bodies import LONG_BODY_BYTES, read_body, unless_client_leaves
from serve.gateway.gateway import Gateway, gateway_of
from serve.protocol import ChatRequest, message_text, usage
from serve.request_body import shorten
from serve.responses.conversation import gather, is_stored, keep_answer
from serve.responses.events import Translator, as_event
from serve.responses.items import Item, kept
from serve.responses.request import RESULTS, ResponsesRequest, as_items, read_request
from serve.responses.resource import new_response
from serve.responses.translation import Translated, to_chat, without_oldest_turns
from serve.sse import DONE, write_event
from serve.store.responses import StoredResponse
from serve.uploads.pages import paginate, read_page


async def create_response(request: Request) -> Response:
    """POST /v1/responses: retrieve, ask the engine, answer with citations."""
    gateway, started = gateway_of(request), time.perf_counter()
    body = await read_body(request)
    is_long, wanted = len(body) > LONG_BODY_BYTES, read_request(body)
    del body  # up to 8 MiB, which the answer need not wait for
    async with contextlib.AsyncExitStack() as held:
        held.enter_context(gateway.admission.admit())
        items = as_items(wanted)
        earlier: list[Item] = []
        if is_stored(wanted, items):
            earlier, items = await run_in_threadpool(gather, gateway.database, wanted, items)
        translated = to_chat(wanted, earlier, items)
        is_long = is_long or sum(len(message_text(each)) for each in translated.chat.messages) > LONG_BODY_BYTES
        try:
            header = request.headers.get(RETRIEVAL_HEADER)
            work = _ask(gateway, translated.chat, is_long, header, wanted.truncation == "auto")
            asked = await unless_client_leaves(request, work)
            return await send(request, asked, ResponsesForm(asked, wanted, translated, items), held, started)
        except RequestError as error:
            error.param = translated.place(error.param)
            raise


async def _ask(gateway: Gateway, chat: ChatRequest, is_long: bool, header: str | None, may_truncate: bool) -> Asked:
    """The grounded request, perhaps without its oldest turns. Raises what `ask` raises."""
    messages = chat.messages
    while True:
        try:
            return await ask(gateway, chat.model_copy(update={"messages": messages}), is_long, header)
        except ContextLengthExceeded:
            shorter = without_oldest_turns(messages) if may_truncate else None
            if shorter is None:
                raise
            messages = shorter


class ResponsesForm:
    """A response on the wire. It is stored before its client hears that it is whole."""

    def __init__(self, asked: Asked, wanted: ResponsesRequest, translated: Translated, items: Sequence[Item]) -> None:
        temperature = asked.grounded.body.get("temperature")
        response = new_response(wanted, translated.kit, asked.model, temperature)
        self._translator = Translator(response, translated.kit, wanted.includes(RESULTS))
        self._asked = asked
        self._place = translated.place
        self._items = [*map(kept, items)]
        self._conversation_id = wanted.conversation

    async def whole(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The response object."""
        self._translator.feed(as_event(answer))
        await self._end()
        return self._translator.response

    async def feed(self, event: dict[str, Any]) -> list[bytes]:
        """The events that an event of chat becomes."""
        return [write_event(each, each["type"]) for each in self._translator.feed(event)]

    async def end(self) -> list[bytes]:
        """The events that close the response, and Open Responses' mark of a whole stream."""
        return [*(write_event(each, each["type"]) for each in await self._end()), write_event(DONE)]

    async def fail(self, error: RequestError) -> list[bytes]:
        """The error, and the response as failed."""
        error.param = self._place(error.param)
        events = self._translator.fail(error)
        return [*(write_event(each, each["type"]) for each in events), write_event(DONE)]

    async def _end(self) -> list[dict[str, Any]]:
        """The events that close the response, now that it is stored, and said in its conversation.

        An engine that died has counted no tokens: they are counted here.
        """
        translator, gateway = self._translator, self._asked.gateway
        if translator.response["usage"] is None:
            counted = usage(self._asked.grounded.prompt_tokens, gateway.counter.count_text(translator.text))
            translator.feed({"choices": [], "usage": counted})
        events = translator.end()
        if translator.response["store"] or self._conversation_id:
            previous_id = translator.response["previous_response_id"]
            stored = StoredResponse(translator.response["id"], previous_id, self._items, translator.response)
            await run_in_threadpool(keep_answer, gateway.database, stored, self._conversation_id)
        return events


async def get_response(request: Request) -> Response:
    """GET /v1/responses/{response_id}: a stored response."""
    if request.query_params.get("stream", "false").lower() == "true":
        raise RequestError("A stored response is not streamed again: leave 'stream' out.", "stream")
    return JSONResponse((await _stored(request)).response)


async def delete_response(request: Request) -> Response:
    """DELETE /v1/responses/{response_id}: forget a stored response."""
    response_id = request.path_params["response_id"]
    if not await run_in_threadpool(gateway_of(request).responses.delete, response_id):
        raise _not_found(response_id)
    return JSONResponse({"id": response_id, "object": "response", "deleted": True})


async def input_items(request: Request) -> Response:
    """GET /v1/responses/{response_id}/input_items: what a stored response was asked, newest first, in pages."""
    page = read_page(request.query_params)
    return JSONResponse(paginate((await _stored(request)).input, page))


async def _stored(request: Request) -> StoredResponse:
    """The stored response that the path names. Raises ResponseNotFound."""
    response_id = request.path_params["response_id"]
    stored = await run_in_threadpool(gateway_of(request).responses.find, response_id)
    if stored is None:
        raise _not_found(response_id)
    return stored


def _not_found(response_id: str) -> ResponseNotFound:
    return ResponseNotFound(
        f"There is no stored response {shorten(response_id)}: it was not stored, was deleted, or was too old.",
        "response_id",
    )
