"""The gateway as an ASGI application: routes, request ids, error envelopes, the engine's client for as long as it runs.

Nothing is read from the environment or built at import; everything is handed in.

    app = create_app(settings, live_retriever.current, counter)
"""

from __future__ import annotations

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

from serve import routes
from serve.chat import Counter
from serve.errors import EngineUnavailable, MethodNotAllowed, PathNotFound, RequestError
from serve.settings import ServeSettings
from serve.upstream import Upstream

log = logging.getLogger("chipalign.gateway")
REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)  # what a client may call its request; it goes into headers and logs
RETRY_AFTER_S = "10"  # an engine that restarts takes about a minute; clients that honour the header ask a few times

POLLED = ("/health", "/ready", "/metrics")  # asked every few seconds by pages and monitors: no line each in the log
ROUTES = {
    "/v1/chat/completions": ("POST", routes.chat_completions),
    "/v1/models": ("GET", routes.models),
    "/v1/models/{model_id:path}": ("GET", routes.models),
    "/sources/{chunk_id}": ("GET", routes.passage_page),
    "/health": ("GET", routes.health),
    "/ready": ("GET", routes.ready),
    "/metrics": ("GET", routes.metrics),
}


def create_app(
    settings: ServeSettings, newest: routes.Newest, counter: Counter, transport: httpx.AsyncBaseTransport | None = None
) -> Starlette:
    """The gateway. Each request searches what `newest` gives when it begins. `transport` replaces the network to the engine in tests."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        """The client to the engine lives as long as the application."""
        async with Upstream(settings, transport) as upstream:
            app.state.gateway = routes.Gateway(settings, newest, counter, upstream)
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
            response = await endpoint(request)
        except RequestError as error:
            if error.status >= 500:
                log.warning("request %s: %s", request_id, error)
            response = error_response(error)
        except ClientDisconnect:
            response = Response(status_code=499)  # nginx's number for a client that went away; nobody reads it
        except Exception:
            log.exception("request %s failed", request_id)
            response = error_response(routes.internal_error(request_id))
        response.headers["x-request-id"] = request_id
        request.app.state.gateway.metrics.requests.labels(path, str(response.status_code)).inc()
        level = logging.DEBUG if path in POLLED else logging.INFO
        elapsed_s = time.perf_counter() - started
        log.log(level, "%s %r %d %.3f s %s", request.method, request.url.path, response.status_code, elapsed_s, request_id)
        return response

    return handle


async def refuse_unknown(request: Request) -> Response:
    """A path or a method that this API lacks."""
    for path, (method, _) in ROUTES.items():
        if compile_path(path)[0].match(request.url.path):
            raise MethodNotAllowed(f"{request.url.path} answers {method}, not {request.method}.")
    raise PathNotFound(f"There is no {request.method} {request.url.path} here; the paths are {', '.join(ROUTES)}.")


def error_response(error: RequestError) -> JSONResponse:
    """An error in OpenAI's envelope."""
    headers = {"retry-after": RETRY_AFTER_S} if isinstance(error, EngineUnavailable) else {}
    return JSONResponse(error.envelope(), error.status, headers)
