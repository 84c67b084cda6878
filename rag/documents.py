"""The nouns of retrieval: `Document`, `Chunk`, `Hit`, and `Skipped`. Values only.

It reads and writes nothing. Identity is content: a chunk's id is a hash of its place and its text, so the same passage
keeps its id when the index is built again, and a changed one gets another.

    chunk = make_chunk(document, heading_path=("Options",), text="...", position=3)
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from rag.blocks import Block, Parsed, write_parsed
from rag.typed_json import to_json

# A document's identity: `hash_document` takes these, in this order, and existing indexes know documents by that hash.
_IDENTITY = ("collection", "path", "title", "text", "url", "licence", "version", "date")


@dataclass(frozen=True, slots=True)
class Document:
    """One file of a collection, parsed: its title, its blocks, and a `note` of what was not read.

    `path` is posix and relative to its collection; `licence` an SPDX expression or "not stated".

    `own_text` is the file's own text with what it includes, for Markdown, reStructuredText and plain text; None for all
    other formats. `version` is that of the tool or project that it documents and `date` its last change (YYYY-MM-DD);
    both are "" where not known. `source_text` is the file's text where `url` names a line, else "".
    `rag.formats.parser.parse_document` makes a document of a text.
    """

    collection: str
    path: str
    title: str
    own_text: str | None
    url: str | None
    licence: str
    version: str = ""
    date: str = ""
    blocks: tuple[Block, ...] = field(default=(), repr=False)
    note: str = ""
    source_text: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """Collection and path, which are unique in an index."""
        return f"{self.collection}/{self.path}"

    @property
    def text(self) -> str:
        """What identifies its content: the file's own text, or else its parsed form (`rag.blocks.write_parsed`)."""
        if self.own_text is not None:
            return self.own_text
        return write_parsed(Parsed(self.title, self.blocks, self.note))


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document that is embedded, found and cited as one.

    `position` counts the chunks of its document from 0. `page` is where it begins, counted from 1, and None in
    documents without pages. `version` and `date` are the document's.
    """

    chunk_id: str
    collection: str
    path: str
    title: str
    heading_path: tuple[str, ...]
    text: str
    url: str | None
    licence: str
    position: int
    page: int | None = None
    version: str = ""
    date: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """A found chunk.

    `score` combines all parts, in standard deviations above the mean of the chunks that were compared
    (rag.search.fusion); `dense_score` is a cosine; `late_score` is about the mean cosine of the question's tokens with
    their nearest in the chunk, None where it was not computed; `bm25_score` is None where the chunk holds no term of
    the question. `copies` are chunks that say the same (rag.search.copies).
    """

    chunk: Chunk
    score: float
    dense_score: float
    bm25_score: float | None
    late_score: float | None = None
    copies: tuple[Chunk, ...] = ()

    @classmethod
    def named(cls, chunk: Chunk) -> Hit:
        """A chunk that was looked up by name, and compared with nothing."""
        return cls(chunk, 1.0, 0.0, None)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was not indexed, or only in part, and why; or the encoding in which it was read, a guess."""

    path: str
    reason: str

    @property
    def is_read(self) -> bool:
        """Whether the file is in the index all the same."""
        return self.reason.startswith(("read as ", "read in part"))


def hash_text(*parts: str) -> str:
    """SHA-256 in hex over the parts as a JSON list, so that ("ab", "c") and ("a", "bc") differ."""
    return hashlib.sha256(to_json(parts).encode("utf-8", "surrogatepass")).hexdigest()


def hash_document(document: Document) -> str:
    """Hash of a document's identity: when it is unchanged, so are its chunks."""
    values = {name: getattr(document, name) for name in _IDENTITY}
    return hashlib.sha256(to_json(values).encode("utf-8", "surrogatepass")).hexdigest()


def make_chunk(
    document: Document, heading_path: tuple[str, ...], text: str, position: int, page: int | None = None
) -> Chunk:
    """The chunk of `document` at `position`, with its content-hash id.

    The id is 16 hex digits, 64 bits: no collision in practice.
    """
    chunk_id = hash_text(document.collection, document.path, *heading_path, text)[:16]
    return Chunk(
        chunk_id,
        document.collection,
        document.path,
        document.title,
        heading_path,
        text,
        document.url,
        document.licence,
        position,
        page,
        document.version,
        document.date,
    )


def describe_place(title: str, heading_path: tuple[str, ...]) -> str:
    """`title > heading > heading`, without a heading that only repeats the title.

    People and prompts see a passage's place in this form.
    """
    headings = heading_path[1:] if heading_path[:1] == (title,) else heading_path
    return " > ".join((title, *headings))


def searchable_text(chunk: Chunk) -> str:
    """What is embedded and BM25-indexed: the place, then the text.

    A row of an option table alone does not say whose options it lists.
    """
    return f"{describe_place(chunk.title, chunk.heading_path)}\n{chunk.text}"
