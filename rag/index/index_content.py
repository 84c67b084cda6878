"""The content of an index's next generation: chunks and vectors taken over from the old one, and new ones.

It writes nothing. A document whose hash is unchanged keeps its chunks and vectors; a text that the old index holds
anywhere keeps its vectors; no text is embedded twice.

    show = lambda *_: None
    content = gather(by_name, kept={}, old=None, spec=spec, settings=settings, embedder=embedder, progress=show)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from rag.counted import counted
from rag.documents import Chunk, Document, Skipped, hash_document, hash_text, searchable_text
from rag.embedding.embedder import TextEmbedder
from rag.embedding.fingerprint import alike
from rag.errors import CuttingFailed, IndexCorrupt, SourceUnusable
from rag.index.cutting import Cutter
from rag.index.dense import Vectors
from rag.index.document_list import DocumentRecord, read_documents
from rag.index.generation import Index
from rag.index.late import PackedTokens, pack_tokens
from rag.index.manifest import IndexSpec
from rag.progress import Show
from rag.reference.cards import Reference
from rag.reference.extraction import read_reference
from rag.settings import RagSettings


@dataclass(slots=True)
class Content:
    """Chunks in the order of their rows, with their documents, vectors, shape (chunks, dimension), and tokens."""

    records: list[DocumentRecord] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    vectors: Vectors = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    tokens: list[PackedTokens] = field(default_factory=list)
    not_cut: list[Skipped] = field(default_factory=list)  # documents that could not be cut; they are in no other field
    unchanged: int = 0  # documents whose chunks were taken over
    embedded: int = 0  # vectors that were computed
    embed_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class OldIndex:
    """The index that a build starts from.

    `rows` maps each document's name to its first row and the one after its last.
    """

    index: Index
    records: dict[str, DocumentRecord]
    rows: dict[str, tuple[int, int]]

    @classmethod
    def of(cls, index: Index, index_dir: Path) -> OldIndex:
        """The old index with what it keeps of its documents.

        Raises IndexCorrupt, OSError.
        """
        records, rows, row = {}, {}, 0
        for record in read_documents(index_dir / index.manifest.generation):
            records[record.name] = record
            rows[record.name] = (row, row + record.chunks)
            row += record.chunks
        counted = {
            name: (len(group), sum(record.chunks for record in group))
            for name, group in _by_collection(records.values()).items()
        }
        if counted != {name: (entry.documents, entry.chunks) for name, entry in index.manifest.collections.items()}:
            raise IndexCorrupt(
                f"the list of documents in {index_dir} is not that of its manifest: build the index again"
            )
        return cls(index, records, rows)

    def others(self, collections: set[str]) -> dict[str, DocumentRecord]:
        """The documents of all but these collections, by name."""
        return {name: record for name, record in self.records.items() if record.collection not in collections}

    def is_of(self, spec: IndexSpec, hashes: Mapping[str, str], place: str) -> bool:
        """Whether it is the index of exactly the documents with these hashes by name.

        It must be built with this spec, and have its vectors at `place`.
        """
        if self.index.dense.place != place:
            return False
        return (
            not self.index.manifest.spec.differences(spec)
            and {name: record.hash for name, record in self.records.items()} == hashes
        )

    def rows_by_text(self) -> dict[str, int]:
        """Its rows by the hash of the text that their vectors stand for."""
        return {hash_text(searchable_text(chunk)): row for row, chunk in enumerate(self.index.chunks)}


def _by_collection(records: Iterable[DocumentRecord]) -> dict[str, list[DocumentRecord]]:
    groups: dict[str, list[DocumentRecord]] = {}
    for record in records:
        groups.setdefault(record.collection, []).append(record)
    return groups


def keep(kept: Mapping[str, DocumentRecord], old: OldIndex) -> Content:
    """The content of an index of these documents of the old one, and nothing else."""
    records = sorted(kept.values(), key=_order)
    rows = [old.rows[record.name] for record in records]
    content = Content(
        records, [chunk for start, stop in rows for chunk in old.index.chunks[start:stop]], unchanged=len(records)
    )
    if content.chunks:
        kept_rows = [row for start, stop in rows for row in range(start, stop)]
        content.vectors = old.index.dense.vectors(kept_rows)
        content.tokens = [old.index.late.row(row) for row in kept_rows]
    return content


def gather(
    by_name: Mapping[str, Document],
    kept: Mapping[str, DocumentRecord],
    old: OldIndex | None,
    spec: IndexSpec,
    settings: RagSettings,
    embedder: TextEmbedder,
    progress: Show,
) -> Content:
    """The content of an index of the documents `by_name` and of those that are `kept` from the old one.

    A document that cannot be cut, or not in the time that a file may take, is left out and named.

    Raises SourceUnusable: no document holds text.
    """
    content = Content()
    taken_over: list[tuple[int, int]] = []  # (row here, row in the old index)
    records = sorted([*kept.values(), *map(_describe, by_name.values())], key=_order)
    same = _unchanged(records, kept, old, spec)

    with Cutter(embedder, settings) as cutter:
        cut = iter(cutter.cut_all(by_name[record.name] for record in records if record.name not in same))
        for done, record in enumerate(records, start=1):
            if old and record.name in same:
                start, stop = old.rows[record.name]
                taken_over += enumerate(range(start, stop), start=len(content.chunks))
                chunks = old.index.chunks[start:stop]
                content.unchanged += 1
            elif isinstance(found := next(cut), CuttingFailed):
                content.not_cut.append(Skipped(record.name, str(found)))
                continue
            else:
                chunks = found
            content.records.append(replace(record, chunks=len(chunks)))
            content.chunks += chunks
            progress("chunk", done, len(records))

    if not content.chunks:
        reasons = "".join(f"; {item.path}: {item.reason}" for item in content.not_cut[:3])
        raise SourceUnusable(
            f"there is no text to index in {counted(len(records), 'document')}: name other sources{reasons}"
        )

    started = time.monotonic()
    known = old if old and alike(old.index.manifest.spec.embedder_fingerprint, spec.embedder_fingerprint) else None
    _find_vectors(content, dict(taken_over), known, embedder, partial(progress, "embed"))
    content.embed_seconds = time.monotonic() - started
    return content


def refer(content: Content, old: OldIndex | None) -> Reference:
    """The reference of the content.

    It takes over the old index's cards of unchanged collections, whatever else has changed.
    """
    same = _same_collections(content, old) if old else set()
    if not old or not same:
        return read_reference(content.chunks)
    try:
        taken_over = old.index.stored_reference.get(same)
    except IndexCorrupt:
        return read_reference(content.chunks)
    return taken_over.joined(read_reference(chunk for chunk in content.chunks if chunk.collection not in same))


def _same_collections(content: Content, old: OldIndex) -> set[str]:
    """The collections that have the documents and the chunks that they have in the old index."""
    records, old_records = _by_collection(content.records), _by_collection(old.records.values())
    same, first = set(), 0
    for name, own in records.items():
        last = first + sum(record.chunks for record in own)
        if own == old_records.get(name):
            ids = [chunk.chunk_id for chunk in content.chunks[first:last]]
            same |= {name} if ids == old.index.chunks.ids_of(*old.index.manifest.collections[name].rows) else set()
        first = last
    return same


def _unchanged(
    records: Iterable[DocumentRecord], kept: Mapping[str, DocumentRecord], old: OldIndex | None, spec: IndexSpec
) -> set[str]:
    """The names of the documents whose chunks the old index has."""
    if old is None:
        return set()
    cut_alike = old.index.manifest.spec.cuts_as(spec)
    known = {name: record.hash for name, record in old.records.items()} if cut_alike else {}
    return {record.name for record in records if record.name in kept or known.get(record.name) == record.hash}


def _order(document: Document | DocumentRecord) -> tuple[str, str]:
    """Keep the documents of one collection together, whatever signs its name has."""
    return document.collection, document.path


def _describe(document: Document) -> DocumentRecord:
    return DocumentRecord(
        document.collection,
        document.path,
        hash_document(document),
        0,
        len(document.text),
        document.licence,
        document.version,
        document.date,
    )


def _find_vectors(
    content: Content,
    taken_over: Mapping[int, int],
    old: OldIndex | None,
    embedder: TextEmbedder,
    progress: Callable[[int, int], None],
) -> None:
    """Give each chunk its vector and its tokens, and count what had to be computed.

    `taken_over` maps rows to those of the old index.
    """
    content.vectors = np.zeros((len(content.chunks), embedder.dimension), dtype=np.float32)
    tokens: dict[int, PackedTokens] = {}
    old_rows: dict[int, int] = {}  # of each row whose vector the old index has
    rows_of_text: dict[str, list[int]] = {}

    for row, chunk in enumerate(content.chunks):
        if old and row in taken_over:
            old_rows[row] = taken_over[row]
        else:
            rows_of_text.setdefault(searchable_text(chunk), []).append(row)

    known = old.rows_by_text() if old and rows_of_text else {}
    new = [text for text in rows_of_text if hash_text(text) not in known]
    for text in rows_of_text.keys() - set(new):
        old_rows |= dict.fromkeys(rows_of_text[text], known[hash_text(text)])

    if old and old_rows:
        content.vectors[list(old_rows)] = old.index.dense.vectors(list(old_rows.values()))
        tokens |= {row: old.index.late.row(old_row) for row, old_row in old_rows.items()}
    for embedded in embedder.embed_tokens(new, progress) if new else ():
        rows = rows_of_text[new[embedded.row]]
        content.vectors[rows] = embedded.vector
        tokens |= dict.fromkeys(rows, pack_tokens(embedded))

    content.tokens = [tokens[row] for row in range(len(content.chunks))]
    content.embedded = len(new)
