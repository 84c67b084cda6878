"""The tools that an index answers by itself: `search`, `fetch`, `reference` and `check_code`.

It asks no engine and speaks no protocol. A tool may take a moment: call it in a thread.

    IndexTools(retriever, passage_url, CodeChecker()).search(SearchArguments(query="antenna repair"))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rag.checking.code_checks import CodeChecker
from rag.documents import Hit
from rag.errors import IndexCorrupt
from serve.answers.chat import Searcher
from serve.answers.passage_search import found_object, narrow, search_passages
from serve.answers.reference_cards import find_cards, read_reference
from serve.errors import PathNotFound, RetrievalUnavailable
from serve.mcp.results import Result, describe_cards, describe_passage, describe_search, describe_verdict
from serve.mcp.tools import CodeArguments, FetchArguments, ReferenceArguments, SearchArguments


@dataclass(frozen=True, slots=True)
class IndexTools:
    """The tools over one open index. All raise RequestError."""

    passages: Searcher
    passage_url: Callable[[Hit], str]
    checker: CodeChecker

    def search(self, given: SearchArguments) -> Result:
        """The passages for a query."""
        found = search_passages(given.query, narrow(self.passages, given.collections), given.top_k)
        return describe_search(found_object(found, self.passage_url))

    def fetch(self, given: FetchArguments) -> Result:
        """One passage by its id."""
        try:
            chunk = self.passages.chunk(given.id)
        except IndexCorrupt as error:
            raise RetrievalUnavailable(f"{error}") from error
        if chunk is None:
            raise PathNotFound(
                "There is no passage with this id; the index may have been built again since: search once more.", "id"
            )
        return describe_passage(chunk, self.passage_url(Hit.named(chunk)))

    def reference(self, given: ReferenceArguments) -> Result:
        """The cards of a name."""
        found = find_cards(self.passages, given.name, self.passage_url, given.collections)
        return describe_cards(read_reference(self.passages, given.collections).lookup(given.name), found)

    def check_code(self, given: CodeArguments) -> Result:
        """The verdict on some code."""
        return describe_verdict(self.checker.check(given.code, given.language, read_reference(self.passages)))


# By their names; each takes the tools of an open index and the tool's arguments
INDEX_TOOLS: Mapping[str, Callable[[IndexTools, Any], Result]] = {
    "search": IndexTools.search,
    "fetch": IndexTools.fetch,
    "reference": IndexTools.reference,
    "check_code": IndexTools.check_code,
}
