"""GET /health, /ready and /metrics: what load balancers, pages and monitors ask.

They need no API key and say nothing about questions.

    Endpoint("GET", ready, is_open=True)
"""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve.errors import RetrievalUnavailable
from serve.gateway.gateway import PassageStore, gateway_of

log = logging.getLogger("chipalign.gateway")


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
