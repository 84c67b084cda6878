"""The gateway as an ASGI application: routes, request ids, error envelopes, the engine's client for as long as it runs.

It reads no environment and builds nothing at import; the caller hands in everything.

    app = create_app(settings, live_retriever.current, counter)
"""

from __future__ import annotations

import contextlib
import difflib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, compile_path

from rag.printable import printable
from serve.answers.chat import Counter
from serve.answers.upstream import Upstream
from serve.errors import HeadersTooLarge, MethodNotAllowed, PathNotFound, RequestError
from serve.gateway.chat_routes import chat_completions
from serve.gateway.conversation_routes import (
    add_items,
    create_conversation,
    delete_conversation,
    delete_item,
    list_items,
    show_conversation,
    show_item,
    update_conversation,
)
from serve.gateway.document_routes import docs, openapi_json
from serve.gateway.embeddings_routes import embeddings
from serve.gateway.engine_routes import anthropic_error, completions, count_tokens, messages
from serve.gateway.feedback_routes import give_feedback
from serve.gateway.gateway import Gateway, Newest, gateway_of, internal_error
from serve.gateway.mcp_routes import mcp, serve_mcp
from serve.gateway.model_routes import models
from serve.gateway.reference_routes import reference_card, reference_names
from serve.gateway.responses_routes import create_response, delete_response, get_response, input_items
from serve.gateway.search_routes import search
from serve.gateway.source_routes import passage_page
from serve.gateway.status_routes import health, metrics, ready
from serve.gateway.upload_routes import (
    attach_file,
    cancel_batch,
    create_batch,
    create_store,
    delete_file,
    delete_store,
    detach_file,
    list_attached,
    list_batch,
    list_files,
    list_stores,
    read_file,
    search_store,
    show_attached,
    show_batch,
    show_file,
    show_store,
    show_text,
    update_attached,
    update_store,
    upload_file,
)
from serve.limits.auth import check_api_key
from serve.request_ids import HEADER, begin_request
from serve.settings import ServeSettings
from serve.uploads.jobs import Build
from serve.uploads.shelf import open_shelf

log = logging.getLogger("chipalign.gateway")

SHOWN = 200  # characters of a path in a log line and in an error
# Load balancers probe it under any address that they know; it says only that the process lives
FOR_ANYBODY = "/health"
WARNED = (403, 421)  # refusals that a setting would lift: the log shows the operator which
SECURE = {"x-content-type-options": "nosniff"}  # on every answer
POLLED = ("/health", "/ready", "/metrics")  # asked every few seconds by pages and monitors: no log line each


@dataclass(frozen=True)
class Endpoint:
    """What answers a method of a path. All but those for monitors and links ask for the API key, if there is one.

    `write_error` puts an error into the form of the path's API.
    """

    path: str
    method: str
    answer: Callable[[Request], Awaitable[Response]]
    needs_key: bool = True
    write_error: Callable[[RequestError], dict[str, Any]] = RequestError.envelope


CONVERSATION = "/v1/conversations/{conversation_id}"
STORE = "/v1/vector_stores/{store_id}"
ENDPOINTS = (
    Endpoint("/v1/chat/completions", "POST", chat_completions),
    Endpoint("/v1/completions", "POST", completions),
    Endpoint("/v1/messages", "POST", messages, write_error=anthropic_error),
    Endpoint("/v1/messages/count_tokens", "POST", count_tokens, write_error=anthropic_error),
    Endpoint("/v1/responses", "POST", create_response),
    Endpoint("/v1/responses/{response_id}", "GET", get_response),
    Endpoint("/v1/responses/{response_id}", "DELETE", delete_response),
    Endpoint("/v1/responses/{response_id}/input_items", "GET", input_items),
    Endpoint("/v1/conversations", "POST", create_conversation),
    Endpoint(CONVERSATION, "GET", show_conversation),
    Endpoint(CONVERSATION, "POST", update_conversation),
    Endpoint(CONVERSATION, "DELETE", delete_conversation),
    Endpoint(f"{CONVERSATION}/items", "GET", list_items),
    Endpoint(f"{CONVERSATION}/items", "POST", add_items),
    Endpoint(f"{CONVERSATION}/items/{{item_id}}", "GET", show_item),
    Endpoint(f"{CONVERSATION}/items/{{item_id}}", "DELETE", delete_item),
    Endpoint("/v1/embeddings", "POST", embeddings),
    Endpoint("/v1/models", "GET", models),
    Endpoint("/v1/models/{model_id:path}", "GET", models),
    Endpoint("/v1/search", "GET", search),
    Endpoint("/v1/files", "POST", upload_file),
    Endpoint("/v1/files", "GET", list_files),
    Endpoint("/v1/files/{file_id}", "GET", show_file),
    Endpoint("/v1/files/{file_id}", "DELETE", delete_file),
    Endpoint("/v1/files/{file_id}/content", "GET", read_file),
    Endpoint("/v1/vector_stores", "GET", list_stores),
    Endpoint("/v1/vector_stores", "POST", create_store),
    Endpoint(STORE, "GET", show_store),
    Endpoint(STORE, "POST", update_store),
    Endpoint(STORE, "DELETE", delete_store),
    Endpoint(f"{STORE}/search", "POST", search_store),
    Endpoint(f"{STORE}/files", "GET", list_attached),
    Endpoint(f"{STORE}/files", "POST", attach_file),
    Endpoint(f"{STORE}/files/{{file_id}}", "GET", show_attached),
    Endpoint(f"{STORE}/files/{{file_id}}", "POST", update_attached),
    Endpoint(f"{STORE}/files/{{file_id}}", "DELETE", detach_file),
    Endpoint(f"{STORE}/files/{{file_id}}/content", "GET", show_text),
    Endpoint(f"{STORE}/file_batches", "POST", create_batch),
    Endpoint(f"{STORE}/file_batches/{{batch_id}}", "GET", show_batch),
    Endpoint(f"{STORE}/file_batches/{{batch_id}}/files", "GET", list_batch),
    Endpoint(f"{STORE}/file_batches/{{batch_id}}/cancel", "POST", cancel_batch),
    Endpoint("/v1/feedback", "POST", give_feedback),
    Endpoint("/v1/reference", "GET", reference_names),
    Endpoint("/v1/reference/{name:path}", "GET", reference_card),
    Endpoint("/mcp", "POST", mcp),
    Endpoint("/sources/{chunk_id}", "GET", passage_page, needs_key=False),
    Endpoint("/health", "GET", health, needs_key=False),
    Endpoint("/ready", "GET", ready, needs_key=False),
    Endpoint("/metrics", "GET", metrics, needs_key=False),
    Endpoint("/openapi.json", "GET", openapi_json, needs_key=False),
    Endpoint("/docs", "GET", docs, needs_key=False),
)


def create_app(
    settings: ServeSettings,
    newest: Newest,
    counter: Counter,
    transport: httpx.AsyncBaseTransport | None = None,
    choose_answer: Callable[[], str] | None = None,
    reopen: Callable[[], None] | None = None,
    build: Build | None = None,
) -> Starlette:
    """The gateway.

    Each request searches the index that `newest` gives when it begins, and `choose_answer` then says how to answer it,
    else the settings do. `reopen` has `newest` give what was built just now; without it clients upload nothing.
    `transport` replaces the network to the engine in tests, and `build` the processes that build.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        """The client to the engine lives as long as the application."""
        async with Upstream(settings, transport) as upstream:
            gateway = Gateway(settings, newest, counter, upstream, choose_answer=choose_answer)
            app.state.gateway = gateway
            with contextlib.closing(gateway.database):
                async with (
                    contextlib.aclosing(gateway.engine),
                    open_shelf(settings, gateway.database, newest, reopen, build) as gateway.shelf,
                    serve_mcp(gateway) as app.state.mcp,
                ):
                    yield

    answer_unknown = observed(Endpoint("unknown", "", refuse_unknown, needs_key=False))

    async def unknown(request: Request, _: Exception) -> Response:
        """Starlette's 404 and 405, in our envelope and counted."""
        return await answer_unknown(request)

    app = Starlette(
        routes=[Route(each.path, observed(each), methods=[each.method]) for each in ENDPOINTS],
        exception_handlers={HTTPException: unknown},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # OpenAI answers 404, and a redirect would lose a POST's body in some clients
    return app


def observed(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """The outermost layer around an endpoint: request id, limits of the head, key, error envelope, count and log."""
    path = endpoint.path

    async def handle(request: Request) -> Response:
        """Answer, whatever happens."""
        gateway, started = gateway_of(request), time.perf_counter()
        request.state.request_id = request_id = begin_request(request.headers.get(HEADER, ""))

        try:
            check_head(request, path)
            if endpoint.needs_key:
                check_api_key(request.headers, gateway.settings.api_key)
            response = await endpoint.answer(request)
        except RequestError as error:
            gateway.note_failure(error)
            if error.status >= 500 or error.status in WARNED:
                log.warning("request %s: %s", request_id, printable(str(error)))
            response = error_response(error, endpoint.write_error)
        except ClientDisconnect:
            response = Response(status_code=499)  # nginx's number for a client that hung up; nobody reads it
        except Exception:
            log.exception("request %s failed", request_id)
            response = error_response(internal_error(request_id), endpoint.write_error)

        response.headers[HEADER] = request_id
        response.headers.update(SECURE)
        response.headers.update(gateway.cross_origin.headers(request.headers, request.scope["path"]))
        gateway.metrics.requests.labels(path, str(response.status_code)).inc()

        level = logging.DEBUG if path in POLLED else logging.INFO
        elapsed_s = time.perf_counter() - started
        log.log(
            level,
            "%.20s %r %d %.3f s %s",
            request.method,
            request.scope["path"][:SHOWN],
            response.status_code,
            elapsed_s,
            request_id,
        )
        return response

    return handle


def check_head(request: Request, path: str) -> None:
    """Refuse excessive or ambiguous headers, a Host that is not ours, and pages that may not ask.

    Raises HeadersTooLarge, MisdirectedRequest, OriginNotAllowed, RequestError.
    """
    gateway = gateway_of(request)
    headers, settings = request.headers, gateway.settings
    if len(headers.raw) > settings.max_headers:
        raise HeadersTooLarge(
            f"The request has {len(headers.raw)} headers; the gateway reads {settings.max_headers} "
            "(CHIPALIGN_MAX_HEADERS)."
        )
    if sum(len(name) + len(value) for name, value in headers.raw) > settings.max_header_kb * 1024:
        raise HeadersTooLarge(
            f"The request's headers are larger than {settings.max_header_kb} KiB (CHIPALIGN_MAX_HEADER_KB)."
        )
    # A proxy in front of us may have believed the other one
    if "transfer-encoding" in headers and "content-length" in headers:
        raise RequestError("The request has both Content-Length and Transfer-Encoding: send one of them.")
    if path != FOR_ANYBODY:
        came_to = (request.scope.get("server") or (None,))[0]
        gateway.visitors.check(headers.getlist("host"), headers.getlist("origin"), came_to)


async def refuse_unknown(request: Request) -> Response:
    """Refuse a path or a method that this API lacks; answer a browser that asks on behalf of an allowed page."""
    asked, given = request.scope["path"], request.method[:20]
    if methods := [each.method for each in ENDPOINTS if compile_path(each.path)[0].match(asked)]:
        cross_origin = gateway_of(request).cross_origin
        if given == "OPTIONS" and cross_origin.is_preflight(request.headers, asked):
            return Response(status_code=204, headers=cross_origin.preflight(request.headers, methods))
        allowed = [*methods, *(["HEAD"] if "GET" in methods else [])]
        raise MethodNotAllowed(f"{asked[:SHOWN]} answers {' and '.join(methods)}, not {given}.", allowed)
    near = difflib.get_close_matches(asked[:SHOWN], dict.fromkeys(each.path for each in ENDPOINTS), n=3)
    offered = f"near to it are {', '.join(near)}, and " if near else ""
    raise PathNotFound(f"There is no {given} {asked[:SHOWN]} here; {offered}GET /docs shows all paths.")


def error_response(
    error: RequestError, write: Callable[[RequestError], dict[str, Any]] = RequestError.envelope
) -> JSONResponse:
    """An error, in OpenAI's envelope or in another API's form."""
    return JSONResponse(write(error), error.status, {**SECURE, **error.headers})
