"""The gateway's HTTP routes. They read a request, call `chat`, `upstream` and the retriever, and write the answer.

They make no prompt and open no connection.

    Route("/v1/chat/completions", chat_completions, methods=["POST"])
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any, Protocol, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from rag.checking.code_checks import CodeChecker
from rag.documents import Hit
from rag.errors import IndexCorrupt, IndexUnusable
from rag.printable import printable
from serve.answers.chat import Counter, Grounded, Searcher, as_annotations, choose_mode, ground, retrieval_object
from serve.answers.guidance import GuidedEngine
from serve.answers.prose import AutoDraft, Draft, ModelDraft, edit_stream, edit_whole
from serve.answers.upstream import Upstream
from serve.answers.verification import Examiner, Store
from serve.errors import (
    BodyNotJson,
    BodyTooLarge,
    BodyTooSlow,
    EngineUnavailable,
    InternalError,
    ModelNotFound,
    PathNotFound,
    RequestError,
    RetrievalUnavailable,
    TooManyInFlight,
    UpstreamBroken,
    UpstreamTimeout,
)
from serve.gateway.admission import Admission
from serve.gateway.auth import check_api_key
from serve.gateway.metrics import Metrics
from serve.gateway.passage_page import PAGE_HEADERS, public_url, read_quotes, render
from serve.gateway.slots import Slots
from serve.gateway.visitors import Visitors
from serve.protocol import ChatRequest, completion, message_text, parse_chat_request, stream_events
from serve.settings import ServeSettings
from serve.sse import DONE, write_event

BODY_TIMEOUT_S = 30.0
MAX_BODY_BYTES = 8 * 1024 * 1024  # a context window of a million tokens is about 4 MB of text
# All that HTML forms cannot send
JSON_TYPE = re.compile(r"application/(?:json|[\w.+-]+\+json)\s*(?:;.*)?", re.IGNORECASE | re.ASCII)
MAX_BODIES_BYTES = 256 * 1024 * 1024  # of all requests together, while they arrive
# A request larger than this waits for the one place of long texts; a window of 8,000 tokens is about 30 KB
LONG_BODY_BYTES = 128 * 1024
UNKNOWN_WINDOW = 1_000_000  # tokens
QUOTED_WINDOW = 131_072  # tokens of a conversation answered with quotes, where no engine is asked for its window
LISTED = 20  # models that a refusal names
STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}  # proxies must not hold events back
log = logging.getLogger("chipalign.gateway")
T = TypeVar("T")


class PassageStore(Searcher, Store, Protocol):
    """What the routes need of a `rag.search.retriever.Retriever`."""

    @property
    def chunk_count(self) -> int:
        """Passages in the index."""

    def within(self, collections: Iterable[str]) -> PassageStore:
        """The same over the named collections alone. Raises `rag.errors.CollectionUnknown`."""


Newest = Callable[[], PassageStore]  # the index as it is now, and stays for who has it; raises rag.errors.IndexUnusable


@dataclass
class Gateway:
    """The state that all requests share: `create_app` hands it to the routes as `app.state.gateway`."""

    settings: ServeSettings
    newest: Newest
    counter: Counter
    upstream: Upstream
    metrics: Metrics = field(default_factory=Metrics)
    # Who words answers now: a calibration may finish while the gateway runs
    choose_answer: Callable[[], str] | None = None
    engine: GuidedEngine = field(init=False)
    admission: Admission = field(init=False)
    visitors: Visitors = field(init=False)
    body_bytes: int = 0  # of the bodies that are arriving now
    slots: Slots = field(default_factory=Slots)
    code_checker: CodeChecker = field(default_factory=CodeChecker)
    _windows: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.engine = GuidedEngine(self.upstream, self.settings)
        self.admission = Admission(self.settings.answers_in_flight)
        self.visitors = Visitors.of(self.settings)

    def follow_choice(self) -> None:
        """Update the choice of who words answers."""
        if self.choose_answer and (mode := self.choose_answer()) != self.settings.answer:
            log.info("answers are worded by: %s", mode)
            self.settings = replace(self.settings, answer=mode)

    async def max_model_len(self, model_id: str) -> int:
        """A model's context window in tokens, asked for once.

        If an engine does not say it (one that is not vLLM), its own refusal has to do.

        Raises ModelNotFound: the engine serves no such model.
        """
        if model_id not in self._windows:
            self._windows = {
                model["id"]: model.get("max_model_len") or UNKNOWN_WINDOW for model in await self.upstream.models()
            }
        if model_id not in self._windows:
            raise no_such_model(model_id, self._windows)
        return self._windows[model_id]

    def passages(self) -> PassageStore:
        """The index that answers one request: taken once, so that no answer mixes two builds.

        Raises RetrievalUnavailable: the index was replaced by one that cannot be searched.
        """
        try:
            return self.newest()
        except IndexUnusable as error:
            raise RetrievalUnavailable(f"{error}") from error

    def passage_url(self, hit: Hit) -> str:
        """The address of the passage for a person: the document's public page, else our own page of the passage."""
        return public_url(hit.chunk.url) or f"{self.settings.gateway_base_url}/sources/{hit.chunk.chunk_id}"


def gateway_of(request: Request) -> Gateway:
    """The gateway that received the request."""
    gateway: Gateway = request.app.state.gateway
    return gateway


async def chat_completions(request: Request) -> Response:
    """POST /v1/chat/completions: retrieve, ask the engine, answer with citations."""
    gateway, started = gateway_of(request), time.perf_counter()
    check_api_key(request.headers.get("authorization"), gateway.settings.api_key)
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


async def models(request: Request) -> Response:
    """GET /v1/models and /v1/models/{id}: the engine's models under OpenAI's fields."""
    gateway = gateway_of(request)
    check_api_key(request.headers.get("authorization"), gateway.settings.api_key)
    known = [
        {
            "id": model["id"],
            "object": "model",
            "created": model.get("created") or 0,
            "owned_by": "chipalign",
            "max_model_len": model.get("max_model_len"),
            "guidance": gateway.engine.abilities,
        }
        for model in await served_models(gateway)
    ]

    wanted = request.path_params.get("model_id")
    if wanted is None:
        return JSONResponse({"object": "list", "data": known})
    for model in known:
        if model["id"] == wanted:
            return JSONResponse(model)
    raise no_such_model(wanted, [model["id"] for model in known])


async def served_models(gateway: Gateway) -> list[dict[str, Any]]:
    """The engine's models; if it does not answer and the documents do by themselves, the settings' model."""
    try:
        return await gateway.upstream.models()
    except EngineUnavailable:
        if gateway.settings.answer == "model":
            raise
        return [{"id": gateway.settings.model_id}]


def no_such_model(model_id: str, known: Iterable[str]) -> ModelNotFound:
    """The refusal of a model that the engine does not serve."""
    return ModelNotFound(
        f"The model '{model_id}' does not exist; this gateway serves {', '.join(islice(known, LISTED))}.", "model"
    )


async def health(_: Request) -> Response:
    """GET /health: the process lives."""
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """GET /ready: the engine answers too, and the index can be searched; 503 if either is not so."""
    gateway = gateway_of(request)
    is_ready = await gateway.upstream.is_ready()
    try:
        index, is_searched = index_line(gateway.passages()), True
    except RetrievalUnavailable as error:
        log.warning("not ready: %s", error)  # anybody may ask here, and the reason may name a server
        index, is_searched = "cannot be searched now; the gateway's log says why", False
    body = {
        "status": "starting" if not is_ready else "ready" if is_searched else "degraded",
        "engine": "ready" if is_ready else "the model engine does not answer: it is starting or down",
        "index": index,
        "model": gateway.settings.model_id,
        "answers": gateway.settings.answer,  # quotes answer while the engine still starts
    }
    return JSONResponse(body, 200 if is_ready and is_searched else 503)


def index_line(passages: PassageStore) -> str:
    """The searched collections, in one line."""
    collections = ", ".join(passages.collections)
    return (
        f"{passages.chunk_count} passages from {collections}"
        if collections
        else "no passages: the last collection was removed"
    )


async def metrics(request: Request) -> Response:
    """GET /metrics: counters for Prometheus."""
    return Response(gateway_of(request).metrics.render(), media_type="text/plain; version=0.0.4")


async def passage_page(request: Request) -> Response:
    """GET /sources/{chunk_id}: one passage as a page, for citations of documents without a public page.

    It asks for no API key, since a browser that follows a link sends none: the id is a hash of the passage's content
    and place, so only someone who was shown the passage can name it.
    """
    try:
        chunk = gateway_of(request).passages().chunk(request.path_params["chunk_id"])
    except IndexCorrupt as error:
        raise RetrievalUnavailable(f"{error}") from error
    if chunk is None:
        raise PathNotFound(
            "There is no such passage in the index; it may have been rebuilt since. Ask the question again."
        )
    return HTMLResponse(render(chunk, read_quotes(request.query_params.getlist("quote"))), headers=PAGE_HEADERS)


async def read_body(request: Request) -> bytes:
    """The JSON body of a request, up to a limit.

    Clients must declare JSON: a browser asks before it sends that for a page of another origin, but sends a form
    without asking.

    Raises:
        BodyNotJson: the request declares another type, or none.
        BodyTooLarge: the body exceeds the limit.
        TooManyInFlight: the bodies of all requests together exceed their limit.
        BodyTooSlow: the body is not whole in time, so that a slow sender holds no connection for ever.
    """
    declared = request.headers.get("content-type", "")
    if not JSON_TYPE.fullmatch(declared.strip()):
        found = repr(declared[:100]) if declared else "nothing"
        raise BodyNotJson(
            f"The body must be declared as JSON, and Content-Type says {found}: send the header "
            "'Content-Type: application/json' (curl: -H 'Content-Type: application/json')."
        )

    gateway, body = gateway_of(request), bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for piece in request.stream():
                body += piece
                gateway.body_bytes += len(piece)
                if gateway.body_bytes > MAX_BODIES_BYTES:
                    raise TooManyInFlight(
                        "The gateway is reading as many requests as its memory is meant for: ask again in a few "
                        "seconds."
                    )
                if len(body) > MAX_BODY_BYTES:
                    raise BodyTooLarge(
                        f"The request body is larger than {MAX_BODY_BYTES // 1024 // 1024} MiB: shorten the "
                        "conversation."
                    )

    except TimeoutError:
        raise BodyTooSlow(f"The request body did not arrive within {BODY_TIMEOUT_S:.0f} s.") from None
    finally:
        gateway.body_bytes -= len(body)
    return bytes(body)


async def unless_client_leaves(request: Request, work: Awaitable[T]) -> T:
    """Await the work, but cancel it when the client hangs up, so that the engine stops computing."""

    async def left() -> None:
        """Return once the client has hung up."""
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task, watch = asyncio.ensure_future(work), asyncio.ensure_future(left())
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for each in (task, watch):
            each.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


def internal_error(request_id: str) -> InternalError:
    """The client's answer for a bug of ours."""
    return InternalError(f"The gateway failed on this request; its log tells why under request id {request_id}.")


Endpoint = Callable[[Request], Awaitable[Response]]
