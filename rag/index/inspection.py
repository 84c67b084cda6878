"""What one file becomes: its blocks as the parser gives them, and its chunks as an index would hold them.

It is for who debugs a document. It embeds nothing and writes no index.

    for found in inspect_files(Path("docs/a.rst"), settings, embedder): sys.stdout.write(describe_inspection(found))
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rag.blocks import Block
from rag.counted import counted
from rag.documents import Chunk, Document, Skipped, describe_place, searchable_text
from rag.embedding.embedder import TextEmbedder
from rag.errors import CuttingFailed, SourceUnusable
from rag.formats.parser import format_of
from rag.index.cutting import Cutter
from rag.printable import printable
from rag.settings import RagSettings
from rag.sources.reader import read_source

_INDENT = "    "


@dataclass(frozen=True, slots=True)
class InspectedChunk:
    """A chunk with its tokens, those of its title and headings among them, and the ids of its neighbours."""

    chunk_id: str
    heading_path: tuple[str, ...]
    page: int | None
    tokens: int
    before: str
    after: str
    text: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """One document. `unread` says what of the file was not read, and why; `problem` why it is in no index."""

    path: str
    format: str
    title: str
    unread: tuple[str, ...]
    problem: str
    blocks: tuple[Block, ...]
    chunks: tuple[InspectedChunk, ...]


def inspect_files(
    path: Path, settings: RagSettings, embedder: TextEmbedder, source: Path | None = None
) -> Iterator[Inspection]:
    """What the file at `path` becomes; of an archive, each of its documents.

    source: the folder or archive that it is indexed from, in which it may include others; `path` is then relative to it
    or below it.

    Raises SourceUnusable: there is no such file.
    """
    skipped: list[Skipped] = []
    name = _name_in(source, path) if source else ""
    documents = list(
        read_source(
            source or path,
            "",
            skipped,
            settings=settings,
            caches=False,
            wanted=lambda other: not name or other == name or other.startswith(f"{name}/"),
        )
    )
    with Cutter(embedder, settings) as cutter:
        for document, found in zip(documents, cutter.cut_all(documents), strict=True):
            reasons = tuple(item.reason for item in skipped if item.path == document.name)
            yield _inspect(document, found, reasons, embedder)
    read = {document.name for document in documents}
    for item in skipped:
        if item.path not in read:
            yield Inspection(item.path.removeprefix("/"), _format(item.path), "", (), item.reason, (), ())
    if not documents and not skipped:
        raise SourceUnusable(f"{path} is not in {source}: name a file below that folder")


def _name_in(source: Path, path: Path) -> str:
    """The name of a file in its source."""
    below = path.resolve()
    return below.relative_to(source.resolve()).as_posix() if below.is_relative_to(source.resolve()) else path.as_posix()


def _format(path: str) -> str:
    found = format_of(path)
    return found.name if found else "not read"


def _inspect(
    document: Document, found: list[Chunk] | CuttingFailed, unread: tuple[str, ...], embedder: TextEmbedder
) -> Inspection:
    problem = str(found) if isinstance(found, CuttingFailed) else ""
    chunks = [] if isinstance(found, CuttingFailed) else found
    ids = ["", *(chunk.chunk_id for chunk in chunks), ""]
    inspected = (
        InspectedChunk(
            chunk.chunk_id,
            chunk.heading_path,
            chunk.page,
            embedder.count_tokens(searchable_text(chunk)),
            before,
            after,
            chunk.text,
        )
        for chunk, before, after in zip(chunks, ids, ids[2:], strict=False)
    )
    kind = _format(document.path)
    return Inspection(document.path, kind, document.title, unread, problem, document.blocks, tuple(inspected))


def describe_inspection(found: Inspection) -> str:
    """The document as text: first its blocks, then its chunks, each with its place."""
    counts = f"{counted(len(found.blocks), 'block')}, {counted(len(found.chunks), 'chunk')}"
    lines = [printable(f"{found.path}: {found.format}, {counts}, title {found.title!r}")]
    lines += [printable(f"not indexed: {found.problem}")] if found.problem else []
    lines += [printable(reason) for reason in found.unread]
    for number, block in enumerate(found.blocks, start=1):
        lines += ["", _head(f"block {number}", block.kind, block.heading_path, block.page), *_body(block.text)]
    for number, chunk in enumerate(found.chunks, start=1):
        size = f"{chunk.tokens} tokens, {chunk.chunk_id}"
        lines += ["", _head(f"chunk {number}", size, chunk.heading_path, chunk.page), *_body(chunk.text)]
    return "\n".join(lines) + "\n"


def _head(name: str, what: str, heading_path: tuple[str, ...], page: int | None) -> str:
    place = f", {describe_place(heading_path[0], heading_path[1:])}" if heading_path else ""
    return printable(f"{name}, {what}{place}{f', page {page}' if page is not None else ''}")


def _body(text: str) -> list[str]:
    return [f"{_INDENT}{printable(line, keep=chr(9))}" for line in text.split("\n")]
