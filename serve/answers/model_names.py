"""The names of a model in the API: NAME, NAME-plain (nothing is searched) and NAME@COLLECTION (only that is searched).

Names in, names out; it asks no engine and opens no index.

    read_name("chip-7b@openroad", ["chip-7b"])  # NamedModel("chip-7b", collection="openroad")
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rag.index.selection import tool_of
from serve.errors import RequestError
from serve.protocol import ChatRequest, RetrievalOptions
from serve.request_body import shorten

PLAIN = "-plain"
COLLECTION_MARK = "@"
RETRIEVAL_HEADER = "x-chipalign-retrieval"
ON_OFF = {"on": True, "off": False}


@dataclass(frozen=True, slots=True)
class NamedModel:
    """What a model's name in a request means: the engine's model, and what is searched for it."""

    model_id: str
    is_plain: bool = False
    collection: str | None = None


def read_name(asked: str, model_ids: Iterable[str]) -> NamedModel | None:
    """What a name means, given the engine's models; None if it belongs to none of them.

    A model of exactly that name comes first, then the longest one that the name begins with: models may have "@" and
    "-plain" in their own names.
    """
    longest_first = sorted(set(model_ids), key=len, reverse=True)
    if asked in longest_first:
        return NamedModel(asked)
    for model_id in longest_first:
        rest = asked.removeprefix(model_id)
        if rest == asked:
            continue
        if rest == PLAIN:
            return NamedModel(model_id, is_plain=True)
        if rest.startswith(COLLECTION_MARK) and rest != COLLECTION_MARK:
            return NamedModel(model_id, collection=rest.removeprefix(COLLECTION_MARK))
    return None


def offered_names(model_id: str, collections: Iterable[str]) -> list[NamedModel]:
    """All names of a model: grounded, plain, and one for each collection.

    A collection that lies there in versions is offered as a whole, too.
    """
    wholes_first = [name for each in sorted(collections) for name in (tool_of(each), each)]
    narrowed = [NamedModel(model_id, collection=name) for name in dict.fromkeys(wholes_first)]
    return [NamedModel(model_id), NamedModel(model_id, is_plain=True), *narrowed]


def write_name(named: NamedModel) -> str:
    """The name as a request gives it: `read_name` the other way round."""
    if named.collection is not None:
        return f"{named.model_id}{COLLECTION_MARK}{named.collection}"
    return f"{named.model_id}{PLAIN}" if named.is_plain else named.model_id


def choose_retrieval(request: ChatRequest, named: NamedModel, header: str | None) -> RetrievalOptions:
    """A request's retrieval options: its own field, where that says nothing the header, and at last the model's name.

    Raises RequestError: the header is neither "on" nor "off".
    """
    if header is not None and header.strip().lower() not in ON_OFF:
        raise RequestError(
            f"The header {RETRIEVAL_HEADER} is {shorten(header)}: give 'on' or 'off'.", f"headers.{RETRIEVAL_HEADER}"
        )

    options, chosen = request.options, dict[str, Any]()
    if "enabled" not in options.model_fields_set:
        if header is not None:
            chosen["enabled"] = ON_OFF[header.strip().lower()]
        elif named.is_plain:
            chosen["enabled"] = False
    if named.collection is not None and not options.collections:
        chosen["collections"] = [named.collection]
    return options.model_copy(update=chosen)
