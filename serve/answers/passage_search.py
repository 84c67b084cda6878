"""The search without a model: the passages for a query, or the sentence that says why the documents do not answer it.

It searches as a chat's first question is searched, words no answer, and speaks no HTTP.

    found = search_passages("which command repairs antennas?", retriever, top_k=3)
    [hit_object(number, hit, passage_url) for number, hit in enumerate(found.hits, start=1)]
"""

from __future__ import annotations

from dataclasses import dataclass

from rag.answering.prompt import nothing_found
from rag.answering.unknown_options import deny, find_unknown_option
from rag.documents import Hit
from rag.errors import EmbedderUnavailable, IndexCorrupt, MilvusUnavailable
from rag.search.pasted_log import condense_paste
from rag.search.query import has_content, shorten_turn
from serve.answers.chat import Searcher, find_passages
from serve.errors import RequestError, RetrievalUnavailable

MOST_HITS = 50  # as `retrieval.top_k` of a chat


@dataclass(frozen=True, slots=True)
class Found:
    """What was searched for, the passages, best first, and why the documents do not answer (None: they do).

    A denied option has passages too: those of its command.
    """

    query: str
    hits: tuple[Hit, ...]
    refusal: str | None = None


def search_passages(query: str, retriever: Searcher, top_k: int) -> Found:
    """The at most `top_k` best passages for a query.

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
    except (EmbedderUnavailable, MilvusUnavailable, IndexCorrupt) as error:
        raise RetrievalUnavailable(f"{error}") from error
    return Found(asked, tuple(hits), None if hits else nothing_found(retriever.collections))
