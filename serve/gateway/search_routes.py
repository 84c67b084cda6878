"""GET /v1/search: the passages for a query, without a model and without an engine.

It reads the address and writes the answer; `passage_search` searches.

    Endpoint("/v1/search", "GET", search)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve.answers.passage_search import MOST_HITS, Found, check_number, found_object, search_passages
from serve.answers.retrieval_object import AttributesOf
from serve.errors import RequestError
from serve.gateway.bodies import unless_client_leaves
from serve.gateway.gateway import Gateway, gateway_of
from serve.request_body import shorten

_NUMBER = re.compile(r"[0-9]{1,3}", re.ASCII)


async def search(request: Request) -> Response:
    """GET /v1/search?q=QUERY: the hits, numbered, best first.

    `top_k=N` sets how many, else the gateway's setting does; `collection=NAME` narrows, and may be given several times.
    """
    gateway, parameters = gateway_of(request), request.query_params
    query = parameters.get("q")
    if query is None:
        raise RequestError("'q' is missing: give the query, as in /v1/search?q=antenna+repair.", "q")
    top_k = _read_top_k(parameters.get("top_k"), gateway.settings.top_k)
    found = find(gateway, query, top_k, parameters.getlist("collection"))
    return JSONResponse(await unless_client_leaves(request, found))


async def find(gateway: Gateway, query: str, top_k: int, collections: Sequence[str]) -> dict[str, Any]:
    """The answer to a search. Raises RequestError, CollectionNotFound, RetrievalUnavailable."""
    passages = gateway.passages()

    def search_named() -> tuple[Found, AttributesOf]:
        """What is found in the collections and vector stores that are named."""
        part = gateway.narrow(passages, collections, param="collection")
        return search_passages(query, part.passages, top_k, part.names), part.attached.of

    check_number(collections)
    with gateway.metrics.retrieval_s.time():
        found, describe = await gateway.slots.run(search_named, False)
    gateway.metrics.searches.labels("question" if found.hits else "none").inc()
    return found_object(found, gateway.passage_url, describe)


def _read_top_k(text: str | None, default: int) -> int:
    """The number of hits that the address asks for. Raises RequestError: it is not a number in range."""
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= MOST_HITS:
        raise RequestError(f"'top_k' is {shorten(text)}: give a number from 1 to {MOST_HITS}.", "top_k")
    return int(text)
