"""GET /sources/{chunk_id}: one passage as a page.

`passage_page` draws it.

    Endpoint("GET", passage_page, is_open=True)
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from rag.errors import IndexCorrupt
from serve.answers.passage_page import PAGE_HEADERS, read_quotes, render
from serve.errors import PathNotFound, RetrievalUnavailable
from serve.gateway.gateway import gateway_of


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
