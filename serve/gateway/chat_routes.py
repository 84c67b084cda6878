"""POST /v1/chat/completions: reads a request, calls `chat`, `upstream` and the retriever, and writes the answer.

It makes no prompt and opens no connection.

    Endpoint("POST", chat_completions)
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from rag.printable import printable
from serve.answers.chat import Grounded, as_annotations, choose_mode, ground, retrieval_object
from serve.answers.prose import AutoDraft, Draft, ModelDraft, edit_stream, edit_whole
from serve.answers.verification import Examiner
from serve.errors import EngineUnavailable, RequestError, UpstreamBroken, UpstreamTimeout
from serve.gateway.bodies import LONG_BODY_BYTES, read_body, unless_client_leaves
from serve.gateway.gateway import Gateway, gateway_of, internal_error
from serve.protocol import ChatRequest, completion, message_text, parse_chat_request, stream_events
from serve.settings import ServeSettings
from serve.sse import DONE, write_event

QUOTED_WINDOW = 131_072  # tokens of a conversation answered with quotes, where no engine is asked for its window
STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}  # proxies must not hold events back
log = logging.getLogger("chipalign.gateway")


async def chat_completions(request: Request) -> Response:
    """POST /v1/chat/completions: retrieve, ask the engine, answer with citations."""
    gateway, started = gateway_of(request), time.perf_counter()
    body = await read_body(request)
    is_long, chat = len(body) > LONG_BODY_BYTES, parse_chat_request(body)
    del body  # up to 8 MiB, which the answer need not wait for
    # A place among the answers in flight, later the connection to the engine
    async with contextlib.AsyncExitStack() as held:
        held.enter_context(gateway.admission.admit())
        return await _answer(request, chat, is_long, held, started)


async def _answer(
    request: Request, chat: ChatRequest, is_long: bool, held: contextlib.AsyncExitStack, started: float
) -> Response:
    """The answer to an admitted chat request; a stream takes over what is held."""
    gateway = gateway_of(request)
    gateway.follow_choice()
    chat.model = chat.model or gateway.settings.model_id
    settings, max_model_len = await _window(gateway, chat)
    passages = gateway.passages()

    work = partial(ground, chat, passages, gateway.counter, settings, max_model_len)
    with gateway.metrics.retrieval_s.time():
        grounded = await unless_client_leaves(request, gateway.slots.run(work, is_long))
    if grounded.query is not None:
        gateway.metrics.searches.labels(
            "none" if not grounded.hits else "fallback" if grounded.fallback else "question"
        ).inc()
    if grounded.refused:
        gateway.metrics.nothing_found.inc()

    retrieval = retrieval_object(grounded, chat.options.enabled, gateway.passage_url)
    examiner = Examiner(grounded, passages, gateway.code_checker, tuple(map(message_text, chat.messages)))
    if not chat.stream:
        answer = await unless_client_leaves(
            request, gateway.admission.unless_stopped(_whole_answer(gateway, chat, examiner))
        )
        return JSONResponse({**answer, "retrieval": retrieval})

    events = await held.enter_async_context(contextlib.aclosing(_answer_events(gateway, chat, examiner)))
    begun = gateway.admission.unless_stopped(anext(events, None))
    first = await unless_client_leaves(request, begun)  # an engine that refuses does so with its own HTTP status
    if first is None:
        raise UpstreamBroken("The model engine ended the stream before the answer began: ask again.")

    gateway.metrics.ttft_s.observe(time.perf_counter() - started)
    kept = held.pop_all()
    return EventStream(
        _events(gateway, {**first, "retrieval": retrieval}, events, request.state.request_id, kept), kept
    )


async def _window(gateway: Gateway, chat: ChatRequest) -> tuple[ServeSettings, int]:
    """The settings for a request's answer, and its context window.

    In auto, if the engine does not answer, quotes do.
    """
    settings = gateway.settings
    mode, is_ours = choose_mode(chat, settings), chat.model == settings.model_id
    if mode == "quote" and is_ours:
        return settings, QUOTED_WINDOW
    try:
        return settings, await gateway.max_model_len(chat.model or settings.model_id)
    except (EngineUnavailable, UpstreamTimeout, UpstreamBroken):
        if mode != "auto" or not is_ours:
            raise
        return replace(settings, answer="quote"), QUOTED_WINDOW


class EventStream(StreamingResponse):
    """A stream that releases what it holds however it ends, also before its first event."""

    def __init__(self, events: AsyncIterator[bytes], held: contextlib.AsyncExitStack) -> None:
        super().__init__(events, media_type="text/event-stream", headers=STREAM_HEADERS)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await super().__call__(scope, receive, send)


async def _whole_answer(gateway: Gateway, chat: ChatRequest, examiner: Examiner) -> dict[str, Any]:
    """The engine's answer, edited and checked, or the gateway's own."""
    grounded = examiner.grounded
    if grounded.answer is not None:
        checked = await gateway.slots.run(partial(_check_own, gateway, examiner), False)
        return completion(chat, *_own_answer(gateway, grounded, grounded.answer), checked)
    new_draft = partial(_new_draft, gateway, chat, examiner)
    try:
        with gateway.metrics.in_flight.track_inprogress():
            answer = await gateway.engine.complete(grounded.body, grounded.guidance)
    except RequestError as error:
        if not new_draft().survives(error):
            raise
        text, checked = await gateway.slots.run(partial(new_draft().end, "stop", stopped=True), False)
        return completion(chat, *_own_answer(gateway, grounded, text), checked)
    return await gateway.slots.run(partial(edit_whole, answer, new_draft), False)


def _own_answer(gateway: Gateway, grounded: Grounded, answer: str) -> tuple[str, int, int]:
    """The gateway's own words or quotes, with the token counts of prompt and answer."""
    return answer, grounded.prompt_tokens, gateway.counter.count_text(answer)


def _check_own(gateway: Gateway, examiner: Examiner) -> dict[str, Any]:
    """The checks that accompany the gateway's own words or quotes."""
    grounded = examiner.grounded
    citations = grounded.quoted.citations
    return {
        "annotations": as_annotations(citations, grounded.hits, gateway.passage_url),
        "verification": examiner.verify_quotes(grounded.answer or "", grounded.mode, citations),
    }


def _new_draft(gateway: Gateway, chat: ChatRequest, examiner: Examiner) -> Draft:
    """The draft that edits one answer of the engine."""
    if examiner.grounded.mode == "auto":
        return AutoDraft(examiner, gateway.passage_url)
    return ModelDraft(examiner, gateway.passage_url, chat.shapes_its_answer)


async def _answer_events(
    gateway: Gateway, chat: ChatRequest, examiner: Examiner
) -> AsyncGenerator[dict[str, Any], None]:
    """The same as the events of a stream.

    Quotes are there at once, so their checks follow them.
    """
    grounded = examiner.grounded
    if grounded.answer is not None:
        checked: dict[str, Any] | None = None
        for event in stream_events(chat, *_own_answer(gateway, grounded, grounded.answer), {}):
            for choice in event["choices"]:
                if choice["finish_reason"]:
                    checked = checked or await gateway.slots.run(partial(_check_own, gateway, examiner), False)
                    choice["delta"].update(checked)
            yield event
        return
    new_draft, run = partial(_new_draft, gateway, chat, examiner), partial(gateway.slots.run, is_long=False)
    with gateway.metrics.in_flight.track_inprogress():
        async with contextlib.aclosing(gateway.engine.stream(grounded.body, grounded.guidance)) as events:
            async for event in edit_stream(events, new_draft, run, chat.model or "", chat.include_usage):
                yield event


async def _events(
    gateway: Gateway,
    first: dict[str, Any],
    rest: AsyncGenerator[dict[str, Any], None],
    request_id: str,
    held: contextlib.AsyncExitStack,
) -> AsyncIterator[bytes]:
    """The stream on the wire. After the first byte an error can only go inside it, and then no [DONE] follows."""
    started = time.perf_counter()
    try:
        async with held:  # a client that hangs up ends the engine's work too
            yield write_event(first)
            while (event := await gateway.admission.unless_stopped(anext(rest, None))) is not None:
                yield write_event(event)
            yield write_event(DONE)
    except RequestError as error:
        gateway.metrics.broken_streams.inc()
        log.warning("request %s broke off: %s", request_id, printable(str(error)))
        yield write_event(error.envelope())
    except Exception:
        gateway.metrics.broken_streams.inc()
        log.exception("request %s failed mid-stream", request_id)
        yield write_event(internal_error(request_id).envelope())
    finally:
        log.info("stream of request %s over after %.3f s", request_id, time.perf_counter() - started)
