"""The built-in tool `file_search` as a search of the gateway: what it asks for, and how its finds are written.

Vector stores are collections, and a file is a document of one, with the id that /v1/vector_stores lists. The gateway
searches once, before the model writes.

    search = read_file_search(tool, "tools[0]")
    options = search.options(RetrievalOptions())
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serve.errors import RequestError
from serve.filters import Filter, read_filter
from serve.protocol import RetrievalOptions
from serve.request_body import shorten
from serve.uploads.objects import score_of

MOST_RESULTS = 50  # OpenAI's limit, and that of `retrieval.top_k`
MOST_STORES = 100  # the limit of `retrieval.collections`


@dataclass(frozen=True)
class FileSearch:
    """A `file_search` of a request. `place`: where it stands there."""

    place: str
    collections: tuple[str, ...]
    top_k: int | None = None
    filters: Filter | None = None
    score_threshold: float | None = None

    def options(self, given: RetrievalOptions) -> RetrievalOptions:
        """The request's retrieval options with what the tool says."""
        said = {"top_k": self.top_k, "score_threshold": self.score_threshold}
        said = {name: value for name, value in said.items() if value is not None}
        over = {"enabled": True, "collections": list(self.collections), "filters": self.filters}
        return given.model_copy(update={**over, **said})


def read_file_search(tool: Mapping[str, Any], place: str) -> FileSearch:
    """What the tool asks for. Raises RequestError: a field is wrong."""
    ids = tool.get("vector_store_ids")
    if not isinstance(ids, list) or not ids or not all(isinstance(each, str) and each for each in ids):
        raise RequestError(
            f"'{place}.vector_store_ids' is {shorten(ids)}: give a list of ids of vector stores.",
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
    threshold = _read_threshold(tool.get("ranking_options"), f"{place}.ranking_options")
    filters = read_filter(tool.get("filters"), f"{place}.filters")
    return FileSearch(place, tuple(dict.fromkeys(ids)), top_k, filters, threshold)


def _read_threshold(options: Any, place: str) -> float | None:
    """The least score of a passage; no other ranking option changes anything, as in a store's search."""
    if not isinstance(options, dict | None):
        raise RequestError(f"'{place}' is {shorten(options)}: give an object.", place)
    threshold = (options or {}).get("score_threshold")
    is_number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    if threshold is not None and not (is_number and 0 <= threshold <= 1):
        raise RequestError(
            f"'{place}.score_threshold' is {shorten(threshold)}: give a number from 0 to 1.",
            f"{place}.score_threshold",
        )
    return threshold


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
    return {
        "file_id": hit["file_id"],
        "filename": hit["filename"],
        "score": score_of(hit["dense_score"]),
        "text": hit["text"],
        "attributes": hit["attributes"],
    }


def flat_citation(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """A citation of chat's form in that of responses: its fields stand side by side."""
    return {"type": "url_citation", **annotation["url_citation"], "number": annotation["number"]}


def file_citation(annotation: Mapping[str, Any], hits: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A citation as one of a file, at the end of the words that it supports; with the passage's address."""
    place, hit = annotation["url_citation"], hits[annotation["number"] - 1]
    return {
        "type": "file_citation",
        "file_id": hit["file_id"],
        "filename": hit["filename"],
        "index": place["end_index"],
        "url": place["url"],
        "number": annotation["number"],
    }
