"""One generation of an index: the folder of files that a build writes once, and the index they make when opened.

It does not decide which generation is current (the manifest does), and cuts and embeds nothing. Opening maps files into
memory and parses next to nothing, so ten processes share one copy.

    kind = write_generation(folder, chunks, records, vectors, tokens, reference)
    index = open_generation(index_dir, manifest)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rag.documents import Chunk, describe_place, searchable_text
from rag.errors import IndexCorrupt, MilvusUnavailable
from rag.index.bm25 import BM25_FILES, Bm25Index
from rag.index.chunk_store import CHUNK_FILES, ChunkStore, save_chunks
from rag.index.dense import DenseSearch, Mask, Vectors
from rag.index.document_list import DOCUMENTS, DocumentRecord, StoredDocuments, save_documents
from rag.index.glossary import read_glossary
from rag.index.late import LATE_FILES, LateIndex, PackedTokens
from rag.index.manifest import GENERATION, DenseKind, Manifest, check_files, flush
from rag.index.selection import is_uploaded, mask_of, select_collections
from rag.index.vector_store import FILES, VectorStore, drop_vectors, open_vectors, vector_files
from rag.reference.cards import Reference
from rag.reference.storage import REFERENCE, StoredReference, save_reference
from rag.typed_json import parse_as

GLOSSARY = "glossary.json"
# How often BM25 counts a chunk's title and headings, which say in few words what it is about: once with the text, and
# twice more.
PLACE_COUNT = 3
_FILES = frozenset({DOCUMENTS, GLOSSARY, *CHUNK_FILES, *BM25_FILES, *LATE_FILES})  # beside those of the vectors
_OUR_FILES = re.compile(
    r"(?:chunks|documents)\.jsonl|chunk_\w+\.npy|dense(?:\.codes)?\.faiss|milvus\.json|"
    r"(?:vocabulary|glossary|reference)\.json|bm25\w*\.(?:npy|json)|late_\w+\.npy"
)


@dataclass(frozen=True, slots=True)
class Index:
    """An open index: row i of `dense`, `bm25` and `late` is `chunks[i]`.

    `chunk_count` counts the rows that a search may find.
    """

    manifest: Manifest
    chunks: ChunkStore
    dense: DenseSearch
    bm25: Bm25Index
    late: LateIndex
    glossary: dict[str, str]
    collections: dict[str, int]  # documents per collection that a search may find
    chunk_count: int
    stored_reference: StoredReference
    stored_documents: StoredDocuments

    @property
    def reference(self) -> Reference:
        """What the documents of its collections describe, read on first use.

        Raises IndexCorrupt.
        """
        return self.stored_reference.get(self.collections)

    def shared(self) -> Index:
        """The same index without what clients uploaded, which is found only where it is named."""
        names = [name for name in self.collections if not is_uploaded(name)]
        return self if len(names) == len(self.collections) else self._narrowed(names)

    def select(self, wanted: Iterable[str]) -> Index:
        """The same index as if it held the named collections alone; rows keep their numbers.

        Raises CollectionUnknown.
        """
        wanted = list(wanted)
        uploaded = {name for name in wanted if is_uploaded(name)} & self.manifest.collections.keys()
        return self._narrowed(select_collections(wanted, {*self.collections, *uploaded}))

    def documents(self) -> Iterator[tuple[DocumentRecord, range]]:
        """The documents of its collections, each with its rows. Raises IndexCorrupt."""
        row = 0
        for record in self.stored_documents.get():
            rows = range(row, row + record.chunks)
            row = rows.stop
            if record.collection in self.collections:
                yield record, rows

    def only(self, is_wanted: Callable[[DocumentRecord], bool]) -> Index:
        """The same index as if it held these documents of its collections alone; rows keep their numbers.

        Raises IndexCorrupt.
        """
        mask = np.zeros(len(self.chunks), dtype=np.bool_)
        for record, rows in self.documents():
            if is_wanted(record):
                mask[rows.start : rows.stop] = True
        return self._masked(mask, self.collections)

    def _narrowed(self, names: Sequence[str]) -> Index:
        rows = {name: entry.rows for name, entry in self.manifest.collections.items()}
        collections = {name: self.manifest.collections[name].documents for name in names}
        return self._masked(mask_of(rows, names, len(self.chunks)), collections)

    def _masked(self, mask: Mask, collections: dict[str, int]) -> Index:
        return replace(
            self,
            dense=self.dense.within(mask, list(collections)),
            bm25=self.bm25.within(mask),
            collections=collections,
            chunk_count=int(mask.sum()),
        )


def write_generation(
    folder: Path,
    chunks: Sequence[Chunk],
    records: Iterable[DocumentRecord],
    vectors: Vectors,
    tokens: Sequence[PackedTokens],
    reference: Reference,
    store: VectorStore = FILES,
) -> DenseKind:
    """Make `folder` and bring every file of the index in it to the disk, its vectors to `store`.

    Returns the kind of the dense index.

    Raises OSError, MilvusUnavailable.
    """
    folder.mkdir()
    save_chunks(chunks, folder)
    save_documents(records, folder)
    kind = store.write(folder, vectors, [chunk.collection for chunk in chunks])
    Bm25Index.build(map(_fielded_text, chunks)).save(folder)
    LateIndex.build(tokens, vectors.shape[1]).save(folder)
    glossary = read_glossary(chunk.text for chunk in chunks if not is_uploaded(chunk.collection))
    (folder / GLOSSARY).write_text(json.dumps(glossary, ensure_ascii=False), encoding="utf-8")
    save_reference(reference, folder)
    for path in (*folder.iterdir(), folder):
        flush(path)
    return kind


def _fielded_text(chunk: Chunk) -> str:
    """What BM25 reads of a chunk: its text, and its place as often as that counts."""
    place = describe_place(chunk.title, chunk.heading_path)
    return "\n".join([searchable_text(chunk), *[place] * (PLACE_COUNT - 1)])


def open_generation(index_dir: Path, manifest: Manifest, store: VectorStore = FILES) -> Index:
    """Open the files that the manifest names, and the vectors in `store` or where they were written.

    Raises:
        IndexCorrupt: a file is damaged, or does not fit the others.
        MilvusUnavailable: the Milvus that holds the vectors does not answer.
        OSError: a file is missing or cannot be read.
    """
    folder = index_dir / manifest.generation
    files = sorted(_FILES | vector_files(manifest.dense))
    missing = [name for name in files if f"{folder.name}/{name}" not in manifest.files]
    if missing or folder.is_symlink():
        raise IndexCorrupt(
            f"the manifest in {index_dir} does not name {missing or 'a folder of its own'}: build the index again"
        )

    for problem in check_files(index_dir, manifest):
        raise IndexCorrupt(f"{problem}: build the index again")

    chunks = ChunkStore.load(folder)
    dense = open_vectors(folder, manifest.dense, store)
    bm25 = Bm25Index.load(folder, len(chunks))
    late = LateIndex.load(folder, len(chunks), dense.dimension)
    last_row = _count_rows(manifest)
    if not len(chunks) == dense.count == manifest.chunks == last_row:
        counts = (
            f"{len(chunks)} chunks, {dense.count} vectors, by its manifest {manifest.chunks}, of its collections "
            f"{last_row}"
        )
        raise IndexCorrupt(f"the index in {index_dir} holds {counts}: build it again")
    if dense.dimension != manifest.spec.dimension:
        raise IndexCorrupt(
            f"the index in {index_dir} holds vectors of {dense.dimension} numbers, not of {manifest.spec.dimension}: "
            "build it again"
        )

    collections = {name: entry.documents for name, entry in manifest.collections.items()}
    reference = StoredReference.load(folder, chunks, has_file=f"{folder.name}/{REFERENCE}" in manifest.files)
    glossary, documents = _read_glossary_file(folder), StoredDocuments.load(folder)
    return Index(manifest, chunks, dense, bm25, late, glossary, collections, len(chunks), reference, documents)


def _count_rows(manifest: Manifest) -> int:
    """The rows of all collections, which lie one after the other; -1 where they do not."""
    last = 0
    for first, after in sorted(entry.rows for entry in manifest.collections.values()):
        if first != last or after < first:
            return -1
        last = after
    return last


def _read_glossary_file(folder: Path) -> dict[str, str]:
    try:
        return parse_as(dict[str, str], (folder / GLOSSARY).read_bytes())
    except ValueError as error:
        raise IndexCorrupt(f"{folder / GLOSSARY} is not a glossary ({error}): build the index again") from error


def remove_generation(folder: Path, store: VectorStore = FILES) -> bool:
    """Remove a generation that a build made, by its name and only where it holds nothing but our files.

    What it keeps elsewhere, in `store` or where it was written, is dropped first. False where such a folder could not
    be removed: it takes room and does no harm, and the next build tries again.
    """
    if not GENERATION.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
        return True
    files = list(folder.iterdir())
    if any(not _OUR_FILES.fullmatch(path.name) or not path.is_file() for path in files):
        return True
    try:
        drop_vectors(folder, store)
        for path in files:
            path.unlink()
        folder.rmdir()
    except (OSError, MilvusUnavailable):
        return False
    return True
