"""GET /v1/reference: what the indexed documents say of a command, option, variable or message, and the names' list.

It searches nothing and asks no engine. An unknown name gets 404 with near ones, in OpenAI's envelope.

    Route("/v1/reference/{name}", reference_card, methods=["GET"])
"""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rag.errors import IndexCorrupt
from rag.reference.card_view import card_object
from rag.reference.cards import LONGEST_NAME, Card, Reference
from serve.errors import NameNotFound, RetrievalUnavailable
from serve.gateway.gateway import Gateway, PassageStore, gateway_of, narrow
from serve.gateway.passage_page import public_url

MOST_NAMES = 1000  # in one answer
SHOWN = 100  # characters of a name in a refusal


async def reference_card(request: Request) -> Response:
    """GET /v1/reference/{name}: the cards of a name, the fullest first.

    `?collection=NAME` narrows them, and may be given several times.
    """
    gateway = gateway_of(request)
    work = partial(
        _find_cards,
        gateway,
        gateway.passages(),
        request.path_params["name"],
        request.query_params.getlist("collection"),
    )
    return JSONResponse(await gateway.slots.run(work, False))


async def reference_names(request: Request) -> Response:
    """GET /v1/reference: the described names (with `?prefix=rep` those that begin so); at most `MOST_NAMES`, sorted."""
    gateway = gateway_of(request)
    prefix = request.query_params.get("prefix", "")[:LONGEST_NAME]
    work = partial(_list_names, gateway.passages(), prefix, request.query_params.getlist("collection"))
    return JSONResponse(await gateway.slots.run(work, False))


def _find_cards(gateway: Gateway, passages: PassageStore, name: str, collections: list[str]) -> dict[str, Any]:
    """The body of the answer. Raises NameNotFound, CollectionNotFound, RetrievalUnavailable."""
    found = _reference_of(passages, collections)
    cards = found.lookup(name)
    if not cards:
        near = found.near(name)
        offered = f"; near to it are {', '.join(near)}" if near else ""
        raise NameNotFound(f"The documents describe no '{name[:SHOWN]}'{offered}.", "name")
    return {"object": "list", "name": name, "data": [_with_url(gateway, passages, card) for card in cards]}


def _with_url(gateway: Gateway, passages: PassageStore, card: Card) -> dict[str, Any]:
    """A card and the address of its passage."""
    chunk = passages.chunk(card.place.chunk_id)
    url = public_url(chunk.url) if chunk else None
    return {**card_object(card), "url": url or f"{gateway.settings.gateway_base_url}/sources/{card.place.chunk_id}"}


def _list_names(passages: PassageStore, prefix: str, collections: list[str]) -> dict[str, Any]:
    names = _reference_of(passages, collections).list_names(prefix, MOST_NAMES + 1)
    return {"object": "list", "data": names[:MOST_NAMES], "has_more": len(names) > MOST_NAMES}


def _reference_of(passages: PassageStore, collections: list[str]) -> Reference:
    narrowed = narrow(passages, collections)
    try:
        return narrowed.reference
    except IndexCorrupt as error:
        raise RetrievalUnavailable(f"{error}") from error
