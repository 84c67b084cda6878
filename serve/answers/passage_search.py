"""The search without a model: the passages for a query, or the sentence that says why the documents do not answer it.

It searches as a chat's first question is searched, words no answer, and speaks no HTTP.

    found = search_passages("which command repairs antennas?", narrow(retriever, ["handbook"]), top_k=3)
    found_object(found, passage_url)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rag.answering.refusal import refuse
from rag.answering.unknown_options import deny, find_unknown_option
from rag.documents import Hit
from rag.errors import CollectionUnknown, EmbedderUnavailable, IndexCorrupt, MilvusUnavailable
from rag.search.pasted_log import condense_paste
from rag.search.query import has_content, shorten_turn
from serve.answers.chat import Searcher, find_passages
from serve.answers.retrieval_object import AttributesOf, hit_object
from serve.errors import CollectionNotFound, RequestError, RetrievalUnavailable
from serve.uploads.built import attributes_of

MOST_HITS = 50  # as `retrieval.top_k` of a chat
MOST_COLLECTIONS = 100  # that a request names


@dataclass(frozen=True, slots=True)
class Found:
    """What was searched for, the passages, best first, and why the documents do not answer (None: they do).

    A denied option has passages too: those of its command.
    """

    query: str
    hits: tuple[Hit, ...]
    refusal: str | None = None


def narrow(passages: Searcher, collections: Sequence[str]) -> Searcher:
    """The passages of the collections that a request names, or all if it names none.

    Raises RequestError: it names too many; CollectionNotFound: the index lacks one.
    """
    check_number(collections)
    try:
        return passages.within(collections) if collections else passages
    except CollectionUnknown as error:
        raise CollectionNotFound(f"{error}.", "collection") from None


def check_number(collections: Sequence[str]) -> None:
    """Raises RequestError: a request names too many collections."""
    if len(collections) > MOST_COLLECTIONS:
        raise RequestError(f"A request names at most {MOST_COLLECTIONS} collections.", "collection")


def search_passages(query: str, retriever: Searcher, top_k: int, names: Sequence[str] = ()) -> Found:
    """The at most `top_k` best passages for a query; `names` is what people call what is searched.

    Raises:
        RequestError: the query has no words to search for.
        RetrievalUnavailable: a server that the search needs does not answer, or the index is damaged.
    """
    searched = shorten_turn(condense_paste(query))
    if not has_content(searched):
        raise RequestError("The query has no words to search for: ask with the name of a command or a subject.", "q")
    try:
        if unknown := find_unknown_option(searched, retriever):
            return Found(searched, unknown.hits[:top_k], deny(unknown).text)
        asked, hits, _ = find_passages([searched], retriever, top_k)
        missing = None if hits else retriever.missing(asked)
    except (EmbedderUnavailable, MilvusUnavailable, IndexCorrupt) as error:
        raise RetrievalUnavailable(f"{error}") from error
    return Found(asked, tuple(hits), None if hits else refuse(names or retriever.collections, missing).answer.text)


def found_object(
    found: Found, passage_url: Callable[[Hit], str], describe: AttributesOf = attributes_of
) -> dict[str, Any]:
    """What was found as JSON: the hits numbered as they stand."""
    hits = [hit_object(number, hit, passage_url, describe) for number, hit in enumerate(found.hits, start=1)]
    refused = found.refusal is not None
    return {"object": "list", "query": found.query, "refused": refused, "refusal": found.refusal, "hits": hits}
