"""The built-in tool `file_search` as a search of the gateway: what it asks for, and how its finds are written.

Vector stores are collections, and a file is a document of one. The gateway searches once, before the model writes.

    search = read_file_search(tool, "tools[0]")
    options = search.options(RetrievalOptions())
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rag.index.selection import VERSION_MARK
from serve.errors import RequestError
from serve.protocol import RetrievalOptions
from serve.request_body import shorten

MOST_RESULTS = 50  # OpenAI's limit, and that of `retrieval.top_k`
MOST_STORES = 100  # the limit of `retrieval.collections`
MOST_FILTERS = 100
RANKERS = ("auto", "default-2024-11-15")
FILTERED = ("collection", "version")


@dataclass(frozen=True)
class FileSearch:
    """A `file_search` of a request. `place`: where it stands there."""

    place: str
    collections: tuple[str, ...]
    top_k: int | None = None

    def options(self, given: RetrievalOptions) -> RetrievalOptions:
        """The request's retrieval options with what the tool says."""
        said = {"enabled": True, "collections": list(self.collections)}
        return given.model_copy(update={**said, **({"top_k": self.top_k} if self.top_k else {})})


def read_file_search(tool: Mapping[str, Any], place: str) -> FileSearch:
    """What the tool asks for.

    Raises RequestError: a field is wrong, or asks for what this search cannot do.
    """
    ids = tool.get("vector_store_ids")
    if not isinstance(ids, list) or not ids or not all(isinstance(each, str) and each for each in ids):
        raise RequestError(
            f"'{place}.vector_store_ids' is {shorten(ids)}: give a list of names of collections.",
            f"{place}.vector_store_ids",
        )
    if len(ids) > MOST_STORES:
        raise RequestError(
            f"'{place}.vector_store_ids' has {len(ids):,} names: give at most {MOST_STORES}.",
            f"{place}.vector_store_ids",
        )
    top_k = tool.get("max_num_results")
    if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or not 1 <= top_k <= MOST_RESULTS):
        raise RequestError(
            f"'{place}.max_num_results' is {shorten(top_k)}: give a number from 1 to {MOST_RESULTS}.",
            f"{place}.max_num_results",
        )
    _check_ranking(tool.get("ranking_options"), f"{place}.ranking_options")
    collections = _filter(list(dict.fromkeys(ids)), tool.get("filters"), f"{place}.filters")
    return FileSearch(place, tuple(collections), top_k)


def _check_ranking(options: Any, place: str) -> None:
    """Let only such ranking options pass as say what the search does anyway. Raises RequestError."""
    if not isinstance(options, dict | None):
        raise RequestError(f"'{place}' is {shorten(options)}: give an object.", place)
    given = {name: value for name, value in (options or {}).items() if value is not None}
    if (ranker := given.pop("ranker", "auto")) not in RANKERS:
        raise RequestError(f"'{place}.ranker' is {shorten(ranker)}: give 'auto'.", f"{place}.ranker")
    if given.get("score_threshold") in (0, 0.0):
        del given["score_threshold"]
    for name, value in given.items():
        raise RequestError(
            f"'{place}.{name}' is {shorten(value)}, which this search cannot follow: it fuses and cuts by itself, so "
            "leave it out.",
            f"{place}.{name}",
        )


def _filter(collections: list[str], filters: Any, place: str) -> list[str]:
    """The collections that a filter leaves, with their versions. Raises RequestError: it compares anything else."""
    for key, values in _comparisons(filters, place):
        if key == "collection":
            collections = [each for each in collections if each in values]
        else:
            bare = dict.fromkeys(each.partition(VERSION_MARK)[0] for each in collections)
            wanted = [f"{name}{VERSION_MARK}{value}" for name in bare for value in values]
            named = {each for each in collections if VERSION_MARK in each}
            collections = [each for each in wanted if not named or each in named]
        if not collections:
            raise RequestError(
                f"'{place}' leaves none of the vector stores named in 'vector_store_ids': widen it.", place
            )
    return collections


def _comparisons(filters: Any, place: str) -> list[tuple[str, list[str]]]:
    """A filter as comparisons that must all hold, each a key and the values that it may have. Raises RequestError."""
    if filters is None:
        return []
    if not isinstance(filters, dict):
        raise RequestError(f"'{place}' is {shorten(filters)}: give an object.", place)
    kind, key, value = filters.get("type"), filters.get("key"), filters.get("value")
    if kind in ("and", "or"):
        parts = filters.get("filters")
        if not isinstance(parts, list) or not 1 <= len(parts) <= MOST_FILTERS:
            raise RequestError(
                f"'{place}.filters' is {shorten(parts)}: give a list of 1 to {MOST_FILTERS} filters.",
                f"{place}.filters",
            )
        inner = [_comparisons(part, f"{place}.filters[{number}]") for number, part in enumerate(parts)]
        return [each for part in inner for each in part] if kind == "and" else _any_of(inner, place)
    if key not in FILTERED or kind not in ("eq", "in"):
        raise RequestError(
            f"'{place}' compares {shorten(key)} by {shorten(kind)}: passages can be chosen by {' and '.join(FILTERED)} "
            "alone, with 'eq' or 'in'.",
            place,
        )
    values = value if kind == "in" else [value]
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise RequestError(f"'{place}.value' is {shorten(value)}: give text.", f"{place}.value")
    return [(key, values)]


def _any_of(inner: Sequence[list[tuple[str, list[str]]]], place: str) -> list[tuple[str, list[str]]]:
    """Alternatives as one comparison, if they are of one key. Raises RequestError."""
    keys = {key for part in inner for key, _ in part}
    if len(keys) != 1 or any(len(part) != 1 for part in inner):
        raise RequestError(f"'{place}' has alternatives of several keys: give alternatives of one key.", place)
    return [(keys.pop(), [value for part in inner for _, values in part for value in values])]


def file_id(hit: Mapping[str, Any]) -> str:
    """The id of the document that a hit is of, as `retrieval.hits` writes it: unique in an index, and readable."""
    return f"{hit['collection']}/{hit['path']}"


def search_call(item_id: str, retrieval: Mapping[str, Any], with_results: bool) -> dict[str, Any]:
    """The output item that says what was searched, with the passages if they are asked for."""
    return {
        "id": item_id,
        "type": "file_search_call",
        "status": "completed",
        "queries": [retrieval["query"]],
        "results": [_result(hit) for hit in retrieval["hits"]] if with_results else None,
    }


def _result(hit: Mapping[str, Any]) -> dict[str, Any]:
    """A passage as a result of the tool."""
    attributes = {name: hit[name] for name in ("collection", "version", "title", "licence", "url") if hit[name]}
    return {
        "file_id": file_id(hit),
        "filename": hit["path"],
        "score": min(max(hit["score"], 0.0), 1.0),
        "text": hit["text"],
        "attributes": {name: str(value)[:512] for name, value in attributes.items()},
    }


def flat_citation(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """A citation of chat's form in that of responses: its fields stand side by side."""
    return {"type": "url_citation", **annotation["url_citation"], "number": annotation["number"]}


def file_citation(annotation: Mapping[str, Any], hits: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A citation as one of a file, at the end of the words that it supports; with the passage's address."""
    place, hit = annotation["url_citation"], hits[annotation["number"] - 1]
    return {
        "type": "file_citation",
        "file_id": file_id(hit),
        "filename": hit["path"],
        "index": place["end_index"],
        "url": place["url"],
        "number": annotation["number"],
    }
