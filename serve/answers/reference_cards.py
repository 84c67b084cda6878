"""What the documents say of a name, as JSON: its cards with the addresses of their passages, or the names near to it.

It searches nothing and speaks no HTTP.

    find_cards(retriever, "repair_timing", passage_url)["data"][0]["options"]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rag.documents import Hit
from rag.errors import IndexCorrupt
from rag.reference.card_view import card_object
from rag.reference.cards import Reference
from serve.answers.chat import Searcher
from serve.answers.passage_search import narrow
from serve.errors import NameNotFound, RetrievalUnavailable

SHOWN = 100  # characters of a name in a refusal


def find_cards(
    passages: Searcher, name: str, passage_url: Callable[[Hit], str], collections: Sequence[str] = ()
) -> dict[str, Any]:
    """The cards of a name, the fullest first. Raises NameNotFound, CollectionNotFound, RetrievalUnavailable."""
    found = read_reference(passages, collections)
    cards = found.lookup(name)
    if not cards:
        raise _not_found(name, found)

    chunks = [passages.chunk(card.place.chunk_id) for card in cards]
    urls = [passage_url(Hit.named(chunk)) if chunk else None for chunk in chunks]
    data = [{**card_object(card), "url": url} for card, url in zip(cards, urls, strict=True)]
    return {"object": "list", "name": name, "data": data}


def _not_found(name: str, found: Reference) -> NameNotFound:
    """The refusal of a name, with those that are near to it; or, where there are none at all, what to do instead."""
    if not found.names:
        return NameNotFound(
            f"No document that is looked in describes a command, an option, a variable or a message, '{name[:SHOWN]}' "
            "neither: name other collections, or search for it in words.",
            "name",
        )
    near = found.near(name)
    offered = f"; near to it are {', '.join(near)}" if near else ""
    return NameNotFound(f"The documents describe no '{name[:SHOWN]}'{offered}.", "name")


def read_reference(passages: Searcher, collections: Sequence[str] = ()) -> Reference:
    """What the documents of the named collections, or all, describe.

    Raises:
        CollectionNotFound: the index lacks one.
        RetrievalUnavailable: the index is damaged.
    """
    try:
        return narrow(passages, collections).reference
    except IndexCorrupt as error:
        raise RetrievalUnavailable(f"{error}") from error
