"""The gateway as an ASGI application: routes, request ids, error envelopes, the engine's client for as long as it runs.

It reads no environment and builds nothing at import; the caller hands in everything.

    app = create_app(settings, live_retriever.current, counter)
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

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
from serve.gateway import reference_routes, routes
from serve.settings import ServeSettings

log = logging.getLogger("chipalign.gateway")
# The form of a client's request id, which goes into headers and logs
REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)

SHOWN = 200  # characters of a path in a log line and in an error
# Load balancers probe it under any address that they know; it says only that the process lives
FOR_ANYBODY = "/health"
WARNED = (403, 421)  # refusals that a setting would lift: the log shows the operator which
SECURE = {"x-content-type-options": "nosniff"}  # on every answer
POLLED = ("/health", "/ready", "/metrics")  # asked every few seconds by pages and monitors: no log line each
ROUTES = {
    "/v1/chat/completions": ("POST", routes.chat_completions),
    "/v1/models": ("GET", routes.models),
    "/v1/models/{model_id:path}": ("GET", routes.models),
    "/v1/reference": ("GET", reference_routes.reference_names),
    "/v1/reference/{name:path}": ("GET", reference_routes.reference_card),
    "/sources/{chunk_id}": ("GET", routes.passage_page),
    "/health": ("GET", routes.health),
    "/ready": ("GET", routes.ready),
    "/metrics": ("GET", routes.metrics),
}


def create_app(
    settings: ServeSettings,
    newest: routes.Newest,
    counter: Counter,
    transport: httpx.AsyncBaseTransport | None = None,
    choose_answer: Callable[[], str] | None = None,
) -> Starlette:
    """The gateway.

    Each request searches the index that `newest` gives when it begins, and `choose_answer` then says how to answer it,
    else the settings do. `transport` replaces the network to the engine in tests.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        """The client to the engine lives as long as the application."""
        async with Upstream(settings, transport) as upstream:
            gateway = routes.Gateway(settings, newest, counter, upstream, choose_answer=choose_answer)
            app.state.gateway = gateway
            async with contextlib.aclosing(gateway.engine):
                yield

    answer_unknown = observed("unknown", refuse_unknown)

    async def unknown(request: Request, _: Exception) -> Response:
        """Starlette's 404 and 405, in our envelope and counted."""
        return await answer_unknown(request)

    app = Starlette(
        routes=[Route(path, observed(path, endpoint), methods=[method]) for path, (method, endpoint) in ROUTES.items()],
        exception_handlers={HTTPException: unknown},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # OpenAI answers 404, and a redirect would lose a POST's body in some clients
    return app


def observed(path: str, endpoint: routes.Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """The outermost layer around an endpoint: request id, error envelope, count and log."""

    async def handle(request: Request) -> Response:
        """Answer, whatever happens."""
        given = request.headers.get("x-request-id", "")
        request.state.request_id = request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        started = time.perf_counter()

        try:
            check_head(request, path)
            response = await endpoint(request)
        except RequestError as error:
            if error.status >= 500 or error.status in WARNED:
                log.warning("request %s: %s", request_id, printable(str(error)))
            response = error_response(error)
        except ClientDisconnect:
            response = Response(status_code=499)  # nginx's number for a client that hung up; nobody reads it
        except Exception:
            log.exception("request %s failed", request_id)
            response = error_response(routes.internal_error(request_id))

        response.headers["x-request-id"] = request_id
        response.headers.update(SECURE)
        request.app.state.gateway.metrics.requests.labels(path, str(response.status_code)).inc()

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

    Raises HeadersTooLarge, MisdirectedRequest, OriginNotAllowed or RequestError.
    """
    gateway = routes.gateway_of(request)
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
    """Refuse a path or a method that this API lacks."""
    asked, given = request.scope["path"], request.method[:20]
    for path, (method, _) in ROUTES.items():
        if compile_path(path)[0].match(asked):
            raise MethodNotAllowed(f"{asked[:SHOWN]} answers {method}, not {given}.")
    raise PathNotFound(f"There is no {given} {asked[:SHOWN]} here; the paths are {', '.join(ROUTES)}.")


def error_response(error: RequestError) -> JSONResponse:
    """An error in OpenAI's envelope."""
    headers = SECURE if error.retry_after_s is None else {**SECURE, "retry-after": str(error.retry_after_s)}
    return JSONResponse(error.envelope(), error.status, headers)
