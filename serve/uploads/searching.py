"""The search of one vector store: its passages, best first, of files whose attributes pass a filter.

Unlike a chat's search it gives the best that there is, whether that answers the query or not: OpenAI's clients set a
least score where they want one.

    search_store(library, "vs_1", Search(query="antenna repair", max_num_results=5))
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from rag.documents import Hit
from rag.errors import EmbedderUnavailable, EmptyQuery, IndexCorrupt, MilvusUnavailable
from serve.errors import RequestError, RetrievalUnavailable
from serve.uploads.library import Library, Searchable, is_built
from serve.uploads.narrowing import narrow_to_store
from serve.uploads.objects import file_id_of, file_name_of, score_of
from serve.uploads.requests import Search


def search_store(library: Library, store_id: str, body: Search) -> dict[str, Any]:
    """The page of hits, best first, each with its file, its score and its text.

    Raises VectorStoreNotFound, RequestError: the query has no words; RetrievalUnavailable.
    """
    least = body.ranking_options.score_threshold if body.ranking_options else 0.0
    try:
        searched = library.searched()
        part = narrow_to_store(library, searched, store_id, is_built(searched.index, store_id), body.filters)
        found = _find(part.passages, body)
    except EmptyQuery:
        raise RequestError("'query' has no words to search for: give a question or a name.", "query") from None
    except (EmbedderUnavailable, MilvusUnavailable, IndexCorrupt) as error:
        raise RetrievalUnavailable(f"{error}") from error
    return {
        "object": "vector_store.search_results.page",
        "search_query": body.queries,
        "data": [
            _result(hit, part.attached.of(hit.chunk) or {}) for hit in found if score_of(hit.dense_score) >= least
        ],
        "has_more": False,
        "next_page": None,
    }


def _find(searched: Searchable, body: Search) -> list[Hit]:
    """The best hits of all queries, by the whole ranking; a passage counts once."""
    best: dict[str, Hit] = {}
    for query in body.queries:
        for hit in islice(searched.rank(query), body.max_num_results):
            known = best.get(hit.chunk.chunk_id)
            best[hit.chunk.chunk_id] = hit if known is None or hit.score > known.score else known
    return sorted(best.values(), key=lambda hit: -hit.score)[: body.max_num_results]


def _result(hit: Hit, attributes: Mapping[str, Any]) -> dict[str, Any]:
    chunk = hit.chunk
    return {
        "file_id": file_id_of(chunk.collection, chunk.path),
        "filename": file_name_of(chunk.collection, chunk.path),
        "score": score_of(hit.dense_score),
        "attributes": dict(attributes),
        "content": [{"type": "text", "text": chunk.text}],
    }
