"""serve.uploads.narrowing, built and searching: the operator's collections over a real index, narrowed and listed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rag.search.live import LiveRetriever
from rag.search.retriever import Retriever
from serve.errors import CollectionNotFound, CollectionReadOnly, FileNotKept, RequestError, VectorStoreNotFound
from serve.filters import read_filter
from serve.settings import ServeSettings
from serve.store.contents import Contents
from serve.store.database import Database
from serve.store.sqlite import SqliteEngine
from serve.uploads.attachments import attach_file, list_attached, show_attached, show_text
from serve.uploads.built import attributes_of, built_files, built_stores, texts_of
from serve.uploads.library import Library, is_built
from serve.uploads.narrowing import narrow
from serve.uploads.pages import Page
from serve.uploads.requests import AttachFile, Search
from serve.uploads.searching import search_store
from tests.rows import for_each
from tests.uploading import open_live

ALL = Page(limit=100, order="asc")
EQ_ROUTER = {"type": "eq", "key": "collection", "value": "router"}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> LiveRetriever:
    """An index with the collections `router` and `timer`, a document in each."""
    return open_live(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def passages(live: LiveRetriever) -> Retriever:
    found = live.current()
    assert isinstance(found, Retriever)
    return found


@pytest.fixture(scope="module")
def library(live: LiveRetriever, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    home = tmp_path_factory.mktemp("home")
    database = Database(SqliteEngine(home))
    yield Library(ServeSettings(home=home), database, Contents(home), live.current)
    database.close()


def search(library: Library, **fields: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = search_store(library, "router", Search(**fields))["data"]
    return found


def test_the_operators_collections_are_stores_that_nobody_changes(library: Library) -> None:
    stores = built_stores(library.index())
    assert set(stores) == {"router", "timer"}
    router = stores["router"]
    assert (router["id"], router["name"], router["status"]) == ("router", "router", "completed")
    assert (router["file_counts"]["completed"], router["file_counts"]["total"]) == (1, 1)
    assert router["metadata"]["built_by"] == "operator"
    assert router["usage_bytes"] > 0
    assert router["expires_at"] is None
    assert is_built(library.index(), "router")
    assert not is_built(library.index(), "rout")
    with pytest.raises(CollectionReadOnly, match="changed with `chipalign index build` alone") as caught:
        attach_file(library, "router", AttachFile(file_id="file-1"))
    assert caught.value.status == 403


def test_a_document_of_the_operators_is_a_file_with_its_text(library: Library) -> None:
    [shown] = list_attached(library, "router", ALL, None)["data"]
    assert (shown["status"], shown["vector_store_id"], shown["last_error"]) == ("completed", "router", None)
    assert shown["attributes"] == {"path": "guide.md", "version": "2.0", "licence": "ISC"}
    assert show_attached(library, "router", shown["id"]) == shown
    assert "edition 1" in "".join(each["text"] for each in show_text(library, "router", shown["id"])["data"])
    assert list_attached(library, "router", ALL, "failed")["data"] == []
    with pytest.raises(FileNotKept, match="The vector store 'timer' has no file with the id"):
        show_attached(library, "timer", shown["id"])
    index = library.index()
    assert index
    [attached] = built_files(index, "router")
    assert [*texts_of(index, "timer", attached.file_id)] == []
    assert attributes_of(next(texts_of(index, "router", attached.file_id)))["path"] == "guide.md"


@for_each(
    ("collections", "wanted", "found"),
    [
        ([], None, {"router", "timer"}),
        (["router"], None, {"router"}),
        (["timer", "router", "timer"], None, {"router", "timer"}),
        ([], EQ_ROUTER, {"router"}),
        (["timer"], EQ_ROUTER, set()),
        ([], {"type": "eq", "key": "version", "value": "2.0"}, {"router", "timer"}),
        ([], {"type": "eq", "key": "version", "value": 2.0}, set()),
        ([], {"type": "ne", "key": "team", "value": "cts"}, {"router", "timer"}),
        ([], {"type": "or", "filters": [EQ_ROUTER, {**EQ_ROUTER, "value": "timer"}]}, {"router", "timer"}),
        ([], {"type": "in", "key": "path", "value": ["guide.md"]}, {"router", "timer"}),
    ],
)
def test_only_documents_that_are_named_and_pass_the_filter_are_searched(
    collections: list[str], wanted: Any, found: set[str], library: Library, passages: Retriever
) -> None:
    part = narrow(library, passages, collections, read_filter(wanted, "filters"), "collections")
    assert {hit.chunk.collection for hit in part.passages.rank("edition")} == found
    assert set(part.names) == set(collections or ("router", "timer"))


def test_a_search_of_everything_is_of_the_index_as_it_is(library: Library, passages: Retriever) -> None:
    assert narrow(library, passages, [], None, "x").passages is passages


def test_a_collection_that_is_not_there_is_refused_with_those_that_are(library: Library, passages: Retriever) -> None:
    with pytest.raises(CollectionNotFound, match=r"placer.*router") as caught:
        narrow(library, passages, ["router", "placer"], None, "retrieval.collections")
    assert caught.value.param == "retrieval.collections"
    with pytest.raises(VectorStoreNotFound):
        search_store(library, "placer", Search(query="edition"))


def test_a_search_of_a_store_gives_texts_with_scores_and_files(library: Library) -> None:
    [hit] = search(library, query="the router, edition 1")
    assert (hit["filename"], hit["content"][0]["type"]) == ("guide.md", "text")
    assert "router" in hit["content"][0]["text"]
    assert 0 <= hit["score"] <= 1
    assert hit["attributes"]["version"] == "2.0"
    assert hit["file_id"] == list_attached(library, "router", ALL, None)["data"][0]["id"]


def test_a_passage_that_two_queries_find_counts_once(library: Library) -> None:
    assert len(search(library, query=["edition 1", "the router"])) == 1


def test_a_passage_below_the_least_score_is_left_out(library: Library) -> None:
    [hit] = search(library, query="the router")
    assert search(library, query="the router", ranking_options={"score_threshold": hit["score"]}) == [hit]
    assert search(library, query="the router", ranking_options={"score_threshold": min(1, hit["score"] + 0.001)}) == []
    assert search(library, query="the router", filters={"type": "eq", "key": "version", "value": "1.0"}) == []


@for_each("query", ["", " \n", "?!", ["the router", "..."]])
def test_a_query_without_words_is_refused_by_its_field(query: Any, library: Library) -> None:
    with pytest.raises(RequestError, match="'query' has no words to search for: give a question or a name") as caught:
        search(library, query=query)
    assert caught.value.param == "query"
