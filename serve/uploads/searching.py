"""The search of one vector store: its passages by score, of files whose attributes pass a filter.

Unlike a chat's search it gives the best that there is, whether that answers the query or not: OpenAI's clients set a
least score where they want one.

    search_store(library, "vs_1", Search(query="antenna repair", max_num_results=5))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from rag.documents import Hit
from rag.errors import EmbedderUnavailable, EmptyQuery, IndexCorrupt, MilvusUnavailable
from rag.index.generation import Index
from rag.index.selection import is_uploaded
from serve.errors import RequestError, RetrievalUnavailable
from serve.store import vector_stores
from serve.store.database import now_us
from serve.uploads.built import attributes_of
from serve.uploads.filters import Filter, is_wanted
from serve.uploads.library import Library, Searchable, is_built
from serve.uploads.objects import file_id_of, file_name_of
from serve.uploads.requests import Search

ACTIVE_EVERY_US = 60_000_000  # a search need not write each time that the store is in use


AttributesOf = Callable[[str], Mapping[str, Any] | None]  # of the document at a path; None: it is not to be found


def search_store(library: Library, store_id: str, body: Search) -> dict[str, Any]:
    """The page of hits, best first, each with its file, its score from 0 to 1 and its text.

    Raises VectorStoreNotFound, RequestError: the query has no words; RetrievalUnavailable.
    """
    least = body.ranking_options.score_threshold if body.ranking_options else 0.0
    try:
        searched = library.searched()
        index = searched.index
        if index is not None and is_built(index, store_id):
            attributes = _of_documents(index, store_id, body.filters)
        else:
            attributes = _of_files(library, store_id, body.filters)
        found = _find(searched, store_id, attributes, body)
    except EmptyQuery:
        raise RequestError("'query' has no words to search for: give a question or a name.", "query") from None
    except (EmbedderUnavailable, MilvusUnavailable, IndexCorrupt) as error:
        raise RetrievalUnavailable(f"{error}") from error
    return {
        "object": "vector_store.search_results.page",
        "search_query": body.queries,
        "data": [_result(hit, attributes(hit.chunk.path) or {}) for hit in found if _score(hit) >= least],
        "has_more": False,
        "next_page": None,
    }


def _of_documents(index: Index, store_id: str, wanted: Filter | None) -> AttributesOf:
    """The attributes of the operator's documents. Raises IndexCorrupt."""
    records = {record.path: record for record, _ in index.select([store_id]).documents()}

    def find(path: str) -> Mapping[str, Any] | None:
        """Those of the document, if it passes the filter."""
        own = attributes_of(records[path])
        return own if wanted is None or is_wanted(wanted, own) else None

    return find


def _of_files(library: Library, store_id: str, wanted: Filter | None) -> AttributesOf:
    """The attributes of uploaded files. Raises VectorStoreNotFound."""
    with library.database.transaction(writes=False) as read:
        store = library.find_store(read, store_id)
        attached = vector_stores.list_attachments(read, store_id)
    if store.active_us < now_us() - ACTIVE_EVERY_US:
        with library.database.transaction() as change:
            vector_stores.touch(change, store_id)
    by_file = {each.file_id: each.attributes for each in attached}
    allowed = {file_id: own for file_id, own in by_file.items() if wanted is None or is_wanted(wanted, own)}
    return lambda path: allowed.get(file_id_of(store_id, path))


def _find(searched: Searchable, store_id: str, attributes: AttributesOf, body: Search) -> list[Hit]:
    """The best hits of all queries in the files that have attributes; a passage counts once."""
    index = searched.index
    if index is None or store_id not in index.manifest.collections:
        return []
    part = index.select([store_id])
    if body.filters is not None or is_uploaded(store_id):
        part = part.only(lambda record: attributes(record.path) is not None)
    if not part.chunk_count:
        return []
    best: dict[str, Hit] = {}
    for query in body.queries:
        ranking = searched.over(part).rank(query)
        # Vectors in Milvus are narrowed to collections alone
        allowed = (hit for hit in ranking if attributes(hit.chunk.path) is not None)
        for hit in islice(allowed, body.max_num_results):
            known = best.get(hit.chunk.chunk_id)
            best[hit.chunk.chunk_id] = hit if known is None or hit.score > known.score else known
    return sorted(best.values(), key=lambda hit: -hit.score)[: body.max_num_results]


def _result(hit: Hit, attributes: Mapping[str, Any]) -> dict[str, Any]:
    chunk = hit.chunk
    return {
        "file_id": file_id_of(chunk.collection, chunk.path),
        "filename": file_name_of(chunk.collection, chunk.path),
        "score": _score(hit),
        "attributes": dict(attributes),
        "content": [{"type": "text", "text": chunk.text}],
    }


def _score(hit: Hit) -> float:
    return min(max(hit.score, 0.0), 1.0)
