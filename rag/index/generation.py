"""One generation of an index: the folder of files that a build writes once, and the index they make when opened.

It does not decide which generation is current (the manifest does), and cuts and embeds nothing. Opening maps files into
memory and parses next to nothing, so ten processes share one copy.

    kind = write_generation(folder, chunks, records, vectors, tokens, reference)
    index = open_generation(index_dir, manifest)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rag.documents import Chunk, describe_place, searchable_text
from rag.errors import IndexCorrupt, MilvusUnavailable
from rag.index.bm25 import BM25_FILES, Bm25Index
from rag.index.chunk_store import CHUNK_FILES, ChunkStore, save_chunks
from rag.index.dense import DenseSearch, Vectors
from rag.index.glossary import read_glossary
from rag.index.late import LATE_FILES, LateIndex, PackedTokens
from rag.index.manifest import GENERATION, DenseKind, Manifest, check_files, flush
from rag.index.selection import mask_of, select_collections
from rag.index.vector_store import FILES, VectorStore, drop_vectors, open_vectors, vector_files
from rag.reference.cards import Reference
from rag.reference.storage import REFERENCE, StoredReference, save_reference
from rag.typed_json import parse_as

DOCUMENTS = "documents.jsonl"
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
class DocumentRecord:
    """What an index keeps of a document besides its chunks.

    `chunks` is their number, `characters` the length of the document's text.
    """

    collection: str
    path: str
    hash: str
    chunks: int
    characters: int
    licence: str
    version: str
    date: str

    @property
    def name(self) -> str:
        """Collection and path, as `Document.name`."""
        return f"{self.collection}/{self.path}"


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

    @property
    def reference(self) -> Reference:
        """What the documents of its collections describe, read on first use.

        Raises IndexCorrupt.
        """
        return self.stored_reference.get(self.collections)

    def select(self, wanted: Iterable[str]) -> Index:
        """The same index as if it held the named collections alone; rows keep their numbers.

        Raises CollectionUnknown.
        """
        names = select_collections(wanted, self.collections)
        rows = {name: entry.rows for name, entry in self.manifest.collections.items()}
        mask = mask_of(rows, names, len(self.chunks))
        return replace(
            self,
            dense=self.dense.within(mask, names),
            bm25=self.bm25.within(mask),
            collections={name: self.collections[name] for name in names},
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
    with (folder / DOCUMENTS).open("w", encoding="utf-8") as handle:
        handle.writelines(json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in records)
    kind = store.write(folder, vectors, [chunk.collection for chunk in chunks])
    Bm25Index.build(map(_fielded_text, chunks)).save(folder)
    LateIndex.build(tokens, vectors.shape[1]).save(folder)
    glossary = read_glossary(chunk.text for chunk in chunks)
    (folder / GLOSSARY).write_text(json.dumps(glossary, ensure_ascii=False), encoding="utf-8")
    save_reference(reference, folder)
    for path in (*folder.iterdir(), folder):
        flush(path)
    return kind


def _fielded_text(chunk: Chunk) -> str:
    """What BM25 reads of a chunk: its text, and its place as often as that counts."""
    place = describe_place(chunk.title, chunk.heading_path)
    return "\n".join([searchable_text(chunk), *[place] * (PLACE_COUNT - 1)])


def read_documents(folder: Path) -> list[DocumentRecord]:
    """The records of a generation's documents, in the order of their rows.

    Raises IndexCorrupt, OSError.
    """
    try:
        with (folder / DOCUMENTS).open(encoding="utf-8") as handle:
            return [parse_as(DocumentRecord, line) for line in handle]
    except ValueError as error:
        raise IndexCorrupt(
            f"{folder / DOCUMENTS} holds a line that is not a document ({error}): build the index again"
        ) from error


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
    return Index(manifest, chunks, dense, bm25, late, _read_glossary_file(folder), collections, len(chunks), reference)


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
