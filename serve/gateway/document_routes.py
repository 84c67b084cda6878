"""GET /openapi.json and /docs: what the API is, for programs and for people.

It describes nothing itself; `serve.openapi` does.

    Endpoint("/openapi.json", "GET", openapi_json, needs_key=False)
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from serve.answers.passage_page import page_headers
from serve.gateway.gateway import gateway_of
from serve.openapi.document import describe_api
from serve.openapi.page import STYLE, render


async def openapi_json(request: Request) -> Response:
    """GET /openapi.json: the description; it needs no key, since it holds nothing of the documents."""
    return JSONResponse(_describe(request))


async def docs(request: Request) -> Response:
    """GET /docs: the same as a page."""
    return HTMLResponse(render(_describe(request)), headers=page_headers(STYLE))


def _describe(request: Request) -> dict[str, Any]:
    settings = gateway_of(request).settings
    return describe_api(settings.gateway_base_url, bool(settings.api_key))
