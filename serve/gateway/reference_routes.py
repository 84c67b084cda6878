"""GET /v1/reference: what the indexed documents say of a command, option, variable or message, and the names' list.

It searches nothing and asks no engine. An unknown name gets 404 with near ones, in OpenAI's envelope.

    Route("/v1/reference/{name}", reference_card, methods=["GET"])
"""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rag.reference.cards import LONGEST_NAME
from serve.answers.passage_search import check_number
from serve.answers.reference_cards import find_cards, read_reference
from serve.gateway.gateway import Gateway, PassageStore, gateway_of

MOST_NAMES = 1000  # in one answer


async def reference_card(request: Request) -> Response:
    """GET /v1/reference/{name}: the cards of a name, the fullest first.

    `?collection=NAME` narrows them, and may be given several times.
    """
    gateway, name = gateway_of(request), request.path_params["name"]
    work = partial(_find_cards, gateway, gateway.passages(), name, request.query_params.getlist("collection"))
    return JSONResponse(await gateway.slots.run(work, False))


async def reference_names(request: Request) -> Response:
    """GET /v1/reference: the described names (with `?prefix=rep` those that begin so); at most `MOST_NAMES`, sorted."""
    gateway = gateway_of(request)
    prefix = request.query_params.get("prefix", "")[:LONGEST_NAME]
    work = partial(_list_names, gateway, gateway.passages(), prefix, request.query_params.getlist("collection"))
    return JSONResponse(await gateway.slots.run(work, False))


def _find_cards(gateway: Gateway, passages: PassageStore, name: str, collections: list[str]) -> dict[str, Any]:
    check_number(collections)
    return find_cards(gateway.narrow(passages, collections, param="collection").passages, name, gateway.passage_url)


def _list_names(gateway: Gateway, passages: PassageStore, prefix: str, collections: list[str]) -> dict[str, Any]:
    check_number(collections)
    reference = read_reference(gateway.narrow(passages, collections, param="collection").passages)
    names = reference.list_names(prefix, MOST_NAMES + 1)
    return {"object": "list", "data": names[:MOST_NAMES], "has_more": len(names) > MOST_NAMES}
