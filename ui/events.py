"""What arrives while a question is answered: passages, pieces of text, the end.

Pure: dictionaries of the wire format in, frozen values out. It opens no connection (`ui.client` does) and draws
nothing.

    for event in read_stream_event({"choices": [{"delta": {"content": "Use "}}]}): ...   # TextDelta("Use ")
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import urlencode

from ui.plain_text import Span, move_span, one_line, plain
from ui.verification import Verification, read_verification

_REST_OF_COMMIT = re.compile(r"(?<=\b[0-9a-f]{9})[0-9a-f]{31}\b")  # git's own names for commits are as short
HEADING_SEPARATOR = " › "
MOST_NAMED = 3  # of the places where the same is said
OWN_TEXT = ("task", "own_context")  # why the gateway searched nothing, if the turn brings its own text

Rating = Literal["up", "down"]  # of an answer, by who read it
Message = dict[str, str]  # OpenAI's: "role" and "content"
AnswerBy = Literal["auto", "quote", "model"]  # who words an answer: the gateway's choice, the documents, the model


@dataclass(frozen=True)
class Wanted:
    """What a question asks for beside its answer; what is left out is the gateway's to choose."""

    answer_by: AnswerBy = "auto"
    top_k: int | None = None
    collections: tuple[str, ...] = ()

    def to_body(self) -> dict[str, Any]:
        """The request's own field for it; empty where all is left open, which every gateway understands."""
        answer = None if self.answer_by == "auto" else self.answer_by
        given = {"answer": answer, "top_k": self.top_k, "collections": list(self.collections)}
        retrieval = {name: value for name, value in given.items() if value}
        return {"retrieval": retrieval} if retrieval else {}


AS_IT_IS = Wanted()


@dataclass(frozen=True)
class Source:
    """One retrieved passage, with the number that the answer cites it by.

    `quoted` are the places that the answer stands on. `sent` is the text as the gateway sent it, in which it counts
    places; `text` is what of it can be shown. `page` and `version` are "" where a document has none, or where the
    gateway does not name them. `copies` are the collections and files where the same is said.
    """

    number: int
    title: str
    heading_path: tuple[str, ...]
    text: str
    url: str
    collection: str
    path: str
    licence: str
    score: float
    chunk_id: str = ""
    page: str = ""
    version: str = ""
    copies: tuple[str, ...] = ()
    quoted: tuple[Span, ...] = ()
    sent: str = field(default="", repr=False)

    @property
    def below_title(self) -> tuple[str, ...]:
        """The headings that the passage stands under, without the document's title.

        Many documents repeat their title as the first heading.
        """
        return self.heading_path[1:] if self.heading_path[:1] == (self.title,) else self.heading_path

    @property
    def heading(self) -> str:
        """Where in its document the passage stands, in one line; "" at its top."""
        return HEADING_SEPARATOR.join(self.below_title)

    @property
    def link(self) -> str:
        """The passage's web address, or "" for anything that is not plain http(s): documents are not trusted."""
        return self.url if self.url.startswith(("http://", "https://")) else ""

    @property
    def place(self) -> str:
        """Where it stands, in one line: title, headings, page, version and copies.

        The version is left out where the collection's name has it.
        """
        page = [f"page {self.page}"] if self.page else []
        is_named = not self.version or self.collection.endswith(f"@{self.version}")
        version = [] if is_named else [f"version {_REST_OF_COMMIT.sub('', self.version)}"]
        copies = [f"the same in {_name_some(self.copies)}"] if self.copies else []
        place = HEADING_SEPARATOR.join(part for part in (self.title, self.heading) if part)
        return ", ".join([place, *page, *version, *copies])

    def with_quoted(self, spans: Iterable[Span]) -> Source:
        """The passage with these places of `sent` quoted too, without those that are out of range or empty."""
        moved = (move_span(self.sent, span) for span in spans)
        return replace(self, quoted=tuple(_join(self.text, [*self.quoted, *filter(None, moved)])))

    @property
    def quote_link(self) -> str:
        """The link; on the gateway's own page of the passage it leads to the quotes, which are marked there."""
        if not (self.quoted and self.chunk_id and self.link.endswith(f"/sources/{self.chunk_id}")):
            return self.link
        return f"{self.link}?{urlencode([('quote', f'{start}-{end}') for start, end in self.quoted])}#quote"


@dataclass(frozen=True)
class Shortened:
    """The question's log is longer than the model's window: of how many lines, and how many were kept."""

    lines: int
    kept: int


@dataclass(frozen=True)
class SourcesFound:
    """Retrieval is done.

    No sources means that nothing relevant was found, or, where `query` is empty, that nothing was searched: for a
    greeting, or for a task on text of one's own.
    """

    sources: tuple[Source, ...]
    query: str
    is_refused: bool = False  # the gateway answers that the documents hold nothing about this
    is_own_text: bool = False  # nothing was searched: the turn was taken for a task on text that it brings along
    shortened: Shortened | None = None


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
    verification: Verification | None = None
    answer_id: str = ""  # by which the answer can be rated

    @property
    def cited(self) -> tuple[int, ...]:
        """The passage numbers that the answer cites, each once, in order."""
        return tuple(sorted({citation.number for citation in self.citations}))


Event = SourcesFound | TextDelta | Finished


def read_stream_event(sent: Mapping[str, Any]) -> Iterator[Event]:
    """The events of one chunk of the stream, a `chat.completion.chunk`; none for a chunk of a role or of usage.

    The wire format is OpenAI's plus a top-level `retrieval` object and `delta.annotations`; see docs/api.md.
    """
    retrieval = sent.get("retrieval")
    if retrieval is not None:
        yield read_retrieval(retrieval)
    for choice in sent.get("choices") or ():
        delta = choice.get("delta") or {}
        if delta.get("content"):
            yield TextDelta(delta["content"])
        if choice.get("finish_reason"):
            citations = tuple(read_citation(annotation) for annotation in delta.get("annotations") or ())
            verification = read_verification(delta.get("verification"))
            named = {"model": sent.get("model") or "", "answer_id": sent.get("id") or ""}
            yield Finished(choice["finish_reason"], citations, verification=verification, **named)


def read_retrieval(retrieval: Mapping[str, Any]) -> SourcesFound:
    """The `retrieval` object of an answer."""
    hits, quotes = retrieval.get("hits") or (), retrieval.get("quotes") or ()
    quotes_of = {hit["number"]: [each for each in quotes if each["number"] == hit["number"]] for hit in hits}
    sources = tuple(read_source(hit, quotes_of[hit["number"]]) for hit in hits)
    is_own_text = retrieval.get("not_searched") in OWN_TEXT
    cut = retrieval.get("shortened")
    shortened = Shortened(int(cut["lines"]), int(cut["kept"])) if cut else None
    return SourcesFound(sources, retrieval.get("query") or "", bool(retrieval.get("refused")), is_own_text, shortened)


def read_source(hit: Mapping[str, Any], quotes: Iterable[Mapping[str, Any]] = ()) -> Source:
    """One entry of `retrieval.hits` with the `quotes` of it; what a document does not have may be null.

    Documents are not trusted: what steers a terminal or reorders letters is taken out here, for every interface.
    """
    text = hit.get("text") or ""
    path, file = hit.get("path") or "", hit.get("filename") or ""
    is_uploaded = bool(file) and file != path  # then people know the file's name, and neither ids
    source = Source(
        number=int(hit["number"]),
        title=one_line(hit.get("title") or file or path or "Untitled"),
        heading_path=tuple(map(one_line, hit.get("heading_path") or ())),
        text=plain(text),
        url=one_line(hit.get("url") or ""),
        collection="" if is_uploaded else one_line(hit.get("collection") or ""),
        path=one_line(file or path),
        licence=one_line(hit.get("licence") or ""),
        score=float(hit.get("score") or 0.0),
        chunk_id=one_line(hit.get("chunk_id") or ""),
        page=one_line(str(hit.get("page") or "")),
        version=one_line(hit.get("version") or ""),
        copies=_read_copies(hit),
        sent=text,
    )
    return source.with_quoted((int(quote["start"]), int(quote["end"])) for quote in quotes)


def _read_copies(hit: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of a hit's copies: the file in the hit's own collection, or else another collection."""
    own = hit.get("collection")
    copies = hit.get("copies") or ()
    named = (one["path"] if one["collection"] == own else one["collection"] for one in copies)
    return tuple(dict.fromkeys(map(one_line, named)))


def _name_some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _join(text: str, spans: Iterable[Span]) -> list[Span]:
    """The spans in their order, those with nothing but blanks between them as one."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and not text[joined[-1][1] : start].strip():
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


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
