"""What arrives while a question is answered: passages, pieces of text, the end. Pure: dictionaries of the wire format in, frozen values out.

It opens no connection (`ui.client` does) and draws nothing.

    for event in read_chunk({"choices": [{"delta": {"content": "Use "}}]}): ...   # TextDelta("Use ")
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ui.plain_text import one_line, plain

HEADING_SEPARATOR = " › "

Message = dict[str, str]  # OpenAI's: "role" and "content"


@dataclass(frozen=True)
class Source:
    """One retrieved passage, with the number that the answer cites it by."""

    number: int
    title: str
    heading_path: tuple[str, ...]
    text: str
    url: str
    collection: str
    path: str
    licence: str
    score: float

    @property
    def below_title(self) -> tuple[str, ...]:
        """The headings that the passage stands under, without the document's title, which many documents repeat as their first."""
        return self.heading_path[1:] if self.heading_path[:1] == (self.title,) else self.heading_path

    @property
    def heading(self) -> str:
        """Where in its document the passage stands, in one line; "" at its top."""
        return HEADING_SEPARATOR.join(self.below_title)

    @property
    def link(self) -> str:
        """The passage's web address, or "" for anything that is not plain http(s): documents are not trusted."""
        return self.url if self.url.startswith(("http://", "https://")) else ""


@dataclass(frozen=True)
class SourcesFound:
    """Retrieval is done. No sources means that nothing relevant was found, or, where `query` is empty, that a greeting needed no search."""

    sources: tuple[Source, ...]
    query: str


@dataclass(frozen=True)
class TextDelta:
    """The next piece of the answer."""

    text: str


@dataclass(frozen=True)
class Citation:
    """A place in the answer, in characters, that stands on a passage."""

    number: int
    title: str
    url: str
    start_index: int
    end_index: int


@dataclass(frozen=True)
class Finished:
    """The answer's end; `finish_reason` is "length" where the model was cut at its token limit."""

    finish_reason: str
    citations: tuple[Citation, ...]
    model: str

    @property
    def cited(self) -> tuple[int, ...]:
        """The passage numbers that the answer cites, each once, in order."""
        return tuple(sorted({citation.number for citation in self.citations}))


Event = SourcesFound | TextDelta | Finished


def read_chunk(chunk: Mapping[str, Any]) -> Iterator[Event]:
    """The events that one streamed chunk of `chat.completion.chunk` carries (none for a usage or a role chunk).

    The wire format is OpenAI's plus a top-level `retrieval` object and `delta.annotations`; see the gateway's README section.
    """
    retrieval = chunk.get("retrieval")
    if retrieval is not None:
        yield SourcesFound(tuple(read_source(hit) for hit in retrieval.get("hits") or ()), retrieval.get("query") or "")
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or {}
        if delta.get("content"):
            yield TextDelta(delta["content"])
        if choice.get("finish_reason"):
            citations = tuple(read_citation(annotation) for annotation in delta.get("annotations") or ())
            yield Finished(choice["finish_reason"], citations, chunk.get("model") or "")


def read_source(hit: Mapping[str, Any]) -> Source:
    """One entry of `retrieval.hits`; what a document does not have (a licence, a page) may be null.

    Documents are not trusted: what steers a terminal or reorders letters is taken out here, for every interface.
    """
    return Source(
        number=int(hit["number"]),
        title=one_line(hit.get("title") or hit.get("path") or "Untitled"),
        heading_path=tuple(map(one_line, hit.get("heading_path") or ())),
        text=plain(hit.get("text") or ""),
        url=one_line(hit.get("url") or ""),
        collection=one_line(hit.get("collection") or ""),
        path=one_line(hit.get("path") or ""),
        licence=one_line(hit.get("licence") or ""),
        score=float(hit.get("score") or 0.0),
    )


def read_citation(annotation: Mapping[str, Any]) -> Citation:
    """One entry of `annotations`: OpenAI's url_citation with our passage number beside it."""
    where = annotation["url_citation"]
    return Citation(
        number=int(annotation["number"]),
        title=where.get("title") or "",
        url=where.get("url") or "",
        start_index=int(where.get("start_index") or 0),
        end_index=int(where.get("end_index") or 0),
    )
