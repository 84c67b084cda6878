"""The core of every API that answers: it grounds a chat request, answers in chat's form, and writes in the API's.

It reads no body and knows no API's form; a `WireForm` does. Who calls it holds a place among the answers in flight.

    asked = await ask(gateway, chat, is_long=False)
    return await send(request, asked, form, held, started)
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from rag.printable import printable
from serve.answers.answer_limits import AnswerLimits
from serve.answers.chat import Grounded, choose_mode, ground
from serve.answers.model_names import choose_retrieval
from serve.answers.prose import AutoDraft, Draft, ModelDraft, edit_stream, edit_whole
from serve.answers.retrieval_object import AttributesOf, as_annotations, retrieval_object
from serve.answers.tool_turns import left_out_headers
from serve.answers.verification import Examiner
from serve.errors import (
    TOOL_PARSER_ADVICE,
    ContextLengthExceeded,
    EngineUnavailable,
    NothingFound,
    RequestError,
    ToolsUnsupported,
    UpstreamBroken,
    UpstreamTimeout,
)
from serve.gateway.bodies import unless_client_leaves
from serve.gateway.gateway import Gateway, PassageStore, gateway_of, internal_error
from serve.protocol import ChatRequest, completion, message_text, stream_events
from serve.settings import ServeSettings

QUOTED_WINDOW = 131_072  # tokens of a conversation answered with quotes, where no engine is asked for its window
STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}  # proxies must not hold events back
log = logging.getLogger("chipalign.gateway")


class WireForm(Protocol):
    """How an API writes one answer, which comes whole or as events, both in chat's form or in the engine's own."""

    async def whole(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The body of a whole answer."""

    async def feed(self, event: dict[str, Any]) -> list[bytes]:
        """What an event of a stream becomes on the wire. The first event carries `retrieval`."""

    async def end(self) -> list[bytes]:
        """What ends a stream."""

    async def fail(self, error: RequestError) -> list[bytes]:
        """What ends a stream that breaks off."""


@dataclass(frozen=True)
class Asked:
    """A grounded request, which waits for its answer.

    `model` is the model's name as asked, for the answer; `chat.model` is the engine's. `retrieval` is the field of that
    name, beside the answer.
    """

    gateway: Gateway
    chat: ChatRequest
    model: str
    examiner: Examiner
    retrieval: dict[str, Any]

    tools_dropped: bool = False  # the answer is one without the tools that the request offers

    @property
    def headers(self) -> dict[str, str]:
        """What the answer's headers say of it."""
        return left_out_headers(self.tools_dropped, self.chat.types_left_out)

    @property
    def grounded(self) -> Grounded:
        """The request with its passages."""
        return self.examiner.grounded


async def ask(gateway: Gateway, chat: ChatRequest, is_long: bool, retrieval_header: str | None = None) -> Asked:
    """Find the passages for a request, as far as it wants some; the header is that of `RETRIEVAL_HEADER`.

    Raises RequestError: what `ground`, `find_model` and the engine's list of models raise; NothingFound: the answer has
    to be JSON, and the documents hold nothing about the question.
    """
    gateway.follow_choice()
    passages, model = gateway.passages(), chat.model or gateway.settings.model_id
    named = await gateway.find_model(model, passages)
    chat.model, chat.retrieval = named.model_id, choose_retrieval(chat, named, retrieval_header)
    offered = bool(chat.tools)
    chat = await _with_possible_tools(gateway, chat)
    settings, max_model_len = await _window(gateway, chat)

    work = partial(_ground, gateway, chat, passages, settings, max_model_len)
    with gateway.metrics.retrieval_s.time():
        chat, grounded, describe = await gateway.slots.run(work, is_long)
    if grounded.query is not None:
        gateway.metrics.searches.labels(
            "none" if grounded.refused or not grounded.hits else "fallback" if grounded.fallback else "question"
        ).inc()
    if grounded.refused:
        gateway.metrics.nothing_found.inc()
        if chat.wants_json:
            raise NothingFound(grounded.answer or "")

    retrieval = retrieval_object(grounded, chat.options.enabled, gateway.passage_url, describe)
    examiner = Examiner(grounded, passages, gateway.code_checker, tuple(map(message_text, chat.messages)))
    return Asked(gateway, chat, model, examiner, retrieval, tools_dropped=offered and not chat.tools)


async def _with_possible_tools(gateway: Gateway, chat: ChatRequest) -> ChatRequest:
    """The request, without its tools if the engine cannot call any. Raises ToolsUnsupported: one must be called."""
    if not chat.may_call or await gateway.tool_probe.calls_tools(chat.model or gateway.settings.model_id):
        return chat
    if chat.must_call:
        raise ToolsUnsupported(TOOL_PARSER_ADVICE, "tool_choice")
    return chat.without_tools()


def _ground(
    gateway: Gateway, chat: ChatRequest, passages: PassageStore, settings: ServeSettings, max_model_len: int
) -> tuple[ChatRequest, Grounded, AttributesOf]:
    """The passages, or the gateway's own answer within the request's limits; the request that this answers.

    Tools that may be left alone are left out where they leave no room in the window.

    Raises what `ground` and `Gateway.narrow` raise.
    """
    part = gateway.narrow(passages, chat.options.collections, chat.options.filters)
    work = partial(ground, retriever=part.passages, counter=gateway.counter, names=part.names)
    limits = AnswerLimits.of(chat, gateway.counter)
    try:
        grounded = work(chat, settings=settings, max_model_len=max_model_len)
    except ContextLengthExceeded:
        if not chat.tools or chat.must_call:
            raise
        chat = chat.without_tools()
        grounded = work(chat, settings=settings, max_model_len=max_model_len)
    return chat, limits.hold(grounded), part.attached.of


async def send(
    request: Request, asked: Asked, form: WireForm, held: contextlib.AsyncExitStack, started: float
) -> Response:
    """The answer in an API's form; a stream takes over what is held. `started`: when the request came, in seconds.

    Raises RequestError.
    """
    gateway = asked.gateway
    if not asked.chat.stream:
        work = gateway.admission.unless_stopped(whole_answer(asked))
        body = await form.whole(await unless_client_leaves(request, work))
        return JSONResponse(body, headers=asked.headers)

    response = await send_events(request, answer_events(asked), form, held, started)
    response.headers.update(asked.headers)
    return response


async def send_events(
    request: Request,
    answer: AsyncGenerator[dict[str, Any], None],
    form: WireForm,
    held: contextlib.AsyncExitStack,
    started: float,
) -> Response:
    """A stream of an answer's events in an API's form, which takes over what is held.

    Raises RequestError: an engine that refuses at once does so with its own HTTP status.
    """
    gateway = gateway_of(request)
    events = await held.enter_async_context(contextlib.aclosing(answer))
    first = await unless_client_leaves(request, gateway.admission.unless_stopped(anext(events, None)))
    if first is None:
        raise UpstreamBroken("The model engine ended the stream before the answer began: ask again.")

    gateway.metrics.ttft_s.observe(time.perf_counter() - started)
    kept = held.pop_all()
    return EventStream(_on_the_wire(request, first, events, form, kept), kept)


class EventStream(StreamingResponse):
    """A stream that releases what it holds however it ends, also before its first event."""

    def __init__(self, events: AsyncIterator[bytes], held: contextlib.AsyncExitStack) -> None:
        super().__init__(events, media_type="text/event-stream", headers=STREAM_HEADERS)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await super().__call__(scope, receive, send)


async def _window(gateway: Gateway, chat: ChatRequest) -> tuple[ServeSettings, int]:
    """The settings for a request's answer, and its context window.

    In auto, if the engine does not answer, quotes do.
    """
    settings = gateway.settings
    mode, is_ours = choose_mode(chat, settings), chat.model == settings.model_id
    if mode == "quote" and is_ours and not chat.may_call:  # with tools the engine may be asked all the same
        return settings, QUOTED_WINDOW
    try:
        return settings, await gateway.max_model_len(chat.model or settings.model_id)
    except (EngineUnavailable, UpstreamTimeout, UpstreamBroken):
        if mode == "model" or not is_ours:
            raise
        return replace(settings, answer="quote"), QUOTED_WINDOW


async def whole_answer(asked: Asked) -> dict[str, Any]:
    """The engine's answer, edited and checked, or the gateway's own; with `retrieval`."""
    return {**await _whole_answer(asked), "model": asked.model, "retrieval": asked.retrieval}


async def _whole_answer(asked: Asked) -> dict[str, Any]:
    gateway, chat, grounded = asked.gateway, asked.chat, asked.grounded
    if grounded.answer is not None:
        checked = await gateway.slots.run(partial(_check_own, asked), False)
        return completion(chat, *_own_answer(asked, grounded.answer), checked, grounded.finish_reason)
    new_draft = partial(_new_draft, asked)
    try:
        with gateway.metrics.in_flight.track_inprogress():
            answer = await gateway.engine.complete(grounded.body, grounded.guidance)
    except RequestError as error:
        draft = new_draft()
        if not draft.survives(error):
            raise
        text, checked = await gateway.slots.run(partial(draft.end, "stop", stopped=True), False)
        return completion(chat, *_own_answer(asked, text), checked, "length" if draft.cut_off else "stop")
    return await gateway.slots.run(partial(edit_whole, answer, new_draft), False)


def _own_answer(asked: Asked, answer: str) -> tuple[str, int, int]:
    """The gateway's own words or quotes, with the token counts of prompt and answer."""
    return answer, asked.grounded.prompt_tokens, asked.gateway.counter.count_text(answer)


def _check_own(asked: Asked) -> dict[str, Any]:
    """The checks that accompany the gateway's own words or quotes."""
    grounded = asked.grounded
    citations = grounded.quoted.citations
    return {
        "annotations": as_annotations(citations, grounded.hits, asked.gateway.passage_url),
        "verification": asked.examiner.verify_quotes(grounded.answer or "", grounded.mode, citations),
    }


def _new_draft(asked: Asked) -> Draft:
    """The draft that edits one answer of the engine."""
    if asked.grounded.mode == "auto":
        limits = AnswerLimits.of(asked.chat, asked.gateway.counter)
        return AutoDraft(asked.examiner, asked.gateway.passage_url, limits)
    is_shaped = asked.chat.shapes_its_answer or bool(asked.chat.tools)
    return ModelDraft(asked.examiner, asked.gateway.passage_url, is_shaped)


async def answer_events(asked: Asked) -> AsyncGenerator[dict[str, Any], None]:
    """The same as the events of a stream, of which the first carries `retrieval`."""
    beside: dict[str, Any] = {"retrieval": asked.retrieval}
    async with contextlib.aclosing(_answer_events(asked)) as events:
        async for event in events:
            yield {**event, "model": asked.model, **beside}
            beside = {}


async def _answer_events(asked: Asked) -> AsyncGenerator[dict[str, Any], None]:
    """The events without `retrieval`. Quotes are there at once, so their checks follow them."""
    gateway, chat, grounded = asked.gateway, asked.chat, asked.grounded
    if grounded.answer is not None:
        checked: dict[str, Any] | None = None
        for event in stream_events(chat, *_own_answer(asked, grounded.answer), {}, grounded.finish_reason):
            for choice in event["choices"]:
                if choice["finish_reason"]:
                    checked = checked or await gateway.slots.run(partial(_check_own, asked), False)
                    choice["delta"].update(checked)
            yield event
        return
    new_draft, run = partial(_new_draft, asked), partial(gateway.slots.run, is_long=False)
    with gateway.metrics.in_flight.track_inprogress():
        async with contextlib.aclosing(gateway.engine.stream(grounded.body, grounded.guidance)) as events:
            async for event in edit_stream(events, new_draft, run, chat.model or "", chat.include_usage):
                yield event


async def _on_the_wire(
    request: Request,
    first: dict[str, Any],
    rest: AsyncGenerator[dict[str, Any], None],
    form: WireForm,
    held: contextlib.AsyncExitStack,
) -> AsyncIterator[bytes]:
    """The stream on the wire. After the first byte an error can only go inside it."""
    gateway, request_id, started = gateway_of(request), request.state.request_id, time.perf_counter()
    try:
        async with held:  # a client that hangs up ends the engine's work too
            event: dict[str, Any] | None = first
            while event is not None:
                for piece in await form.feed(event):
                    yield piece
                event = await gateway.admission.unless_stopped(anext(rest, None))
            for piece in await form.end():
                yield piece
    except RequestError as error:
        gateway.note_failure(error)
        gateway.metrics.broken_streams.inc()
        log.warning("request %s broke off: %s", request_id, printable(str(error)))
        for piece in await form.fail(error):
            yield piece
    except Exception:
        gateway.metrics.broken_streams.inc()
        log.exception("request %s failed mid-stream", request_id)
        for piece in await form.fail(internal_error(request_id)):
            yield piece
    finally:
        log.info("stream of request %s over after %.3f s", request_id, time.perf_counter() - started)
