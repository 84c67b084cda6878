"""An index directory: chunks, dense vectors and BM25 postings under one manifest, built anew or brought up to date.

manifest.json is written last, by rename: it is the commit point and names the files of its generation, so a build that is
killed leaves the old index whole and readers that have it open go on. It does not search (`retriever` does).

    report = build_index(documents, Path("indexes/starter"), settings, embedder)
    index = open_index(Path("indexes/starter"), spec_of(settings, embedder))
"""

import fcntl
import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from rag.bm25 import BM25_FILES, TOKENIZER_VERSION, Bm25Index
from rag.chunker import CHUNKER_VERSION, chunk_document
from rag.dense import DenseIndex, Vectors
from rag.documents import Chunk, Document, hash_document, hash_text, searchable_text
from rag.embedder import TextEmbedder
from rag.errors import IndexBusy, IndexCorrupt, IndexMismatch, IndexNotFound, IndexUnwritable, SettingsError, SourceUnusable
from rag.settings import RagSettings

FORMAT = 2  # of the manifest and the files it names
MANIFEST = "manifest.json"
LOCK = ".lock"
_CHUNKS = "chunks.jsonl"
_DENSE = "dense.faiss"
_GENERATION = re.compile(r"generation-[0-9a-f]{12}")
_GENERATION_FILES = BM25_FILES | {_CHUNKS, _DENSE}
BuildProgress = Callable[[str, int, int], None]  # stage ("chunk", "embed"), done, total


@dataclass(frozen=True, slots=True)
class IndexSpec:
    """What decides the content of an index besides the documents: two indexes with equal specs may stand in for each other."""

    format: int
    embedder: str
    embedder_fingerprint: str
    dimension: int
    chunk_tokens: int
    overlap_tokens: int
    chunker_version: int
    tokenizer_version: int

    def differences(self, other: "IndexSpec") -> list[str]:
        """Each difference that matters, with this spec's value and the other's; another name for the same embedder does not."""
        differing = [item.name for item in fields(self) if getattr(self, item.name) != getattr(other, item.name)]
        if "embedder_fingerprint" not in differing and "embedder" in differing:
            differing.remove("embedder")
        return [f"{name}: {getattr(self, name)!r} in the index, {getattr(other, name)!r} now" for name in differing]


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did. `embedded` + `reused` = `chunks`, except where `up_to_date`: then nothing was done at all.

    `collections` maps each name to its number of documents.
    """

    index_dir: str
    documents: int
    chunks: int
    embedded: int
    reused: int
    up_to_date: bool
    seconds: float
    embed_seconds: float
    collections: dict[str, int]

    @property
    def chunks_per_s(self) -> float:
        """Chunks embedded per second of embedding; 0 where none was."""
        return self.embedded / self.embed_seconds if self.embed_seconds else 0.0


@dataclass(frozen=True, slots=True)
class Index:
    """An open index: row i of `dense` and `bm25` is `chunks[i]`. `collections` maps each name to its number of documents."""

    manifest: dict[str, Any]
    chunks: tuple[Chunk, ...]
    dense: DenseIndex
    bm25: Bm25Index

    @property
    def collections(self) -> dict[str, int]:
        """Documents per collection."""
        return dict(self.manifest["collections"])


def spec_of(settings: RagSettings, embedder: TextEmbedder) -> IndexSpec:
    """The spec that an index built with these settings has. Raises SettingsError where chunks would not fit the embedder."""
    if settings.chunk_tokens > embedder.max_tokens:
        raise SettingsError(
            f"CHIPALIGN_CHUNK_TOKENS={settings.chunk_tokens} is more than the {embedder.max_tokens} tokens that {embedder.name} reads: "
            f"set it to at most {embedder.max_tokens}"
        )
    return IndexSpec(
        format=FORMAT,
        embedder=embedder.name,
        embedder_fingerprint=embedder.fingerprint,
        dimension=embedder.dimension,
        chunk_tokens=settings.chunk_tokens,
        overlap_tokens=settings.overlap_tokens,
        chunker_version=CHUNKER_VERSION,
        tokenizer_version=TOKENIZER_VERSION,
    )


def build_index(
    documents: Iterable[Document], index_dir: Path, settings: RagSettings, embedder: TextEmbedder, progress: BuildProgress = lambda *_: None
) -> BuildReport:
    """Make `index_dir` the index of exactly these documents. Vectors of texts that the old index holds are taken over.

    Does nothing where documents and spec are those of the index that is there. Raises IndexBusy where another process
    builds into the folder, SourceUnusable without documents, with two of one name, or for a folder that holds other things than
    an index, IndexUnwritable (the old index stays whole), SettingsError.
    """
    started = time.monotonic()
    spec = spec_of(settings, embedder)
    by_name = _index_by_name(documents)
    hashes = {name: hash_document(document) for name, document in sorted(by_name.items())}
    collections = _count_collections(by_name.values())
    with _locked(index_dir):
        old = _open_or_none(index_dir)
        if old and not _spec_in(old.manifest).differences(spec) and old.manifest["documents"] == hashes:
            seconds = time.monotonic() - started
            return BuildReport(str(index_dir), len(hashes), len(old.chunks), 0, 0, True, seconds, 0.0, collections)
        chunks = _chunk_all([by_name[name] for name in hashes], settings, embedder, progress)
        same_embedder = old is not None and _spec_in(old.manifest).embedder_fingerprint == spec.embedder_fingerprint
        known = _known_vectors(old) if old and same_embedder else {}
        embed_started = time.monotonic()
        vectors, embedded = _embed_new([searchable_text(chunk) for chunk in chunks], known, embedder, partial(progress, "embed"))
        embed_seconds = time.monotonic() - embed_started
        try:
            _commit(index_dir, spec, chunks, vectors, hashes, collections)
        except OSError as error:
            reason = error.strerror or error
            kept = "the index that was there is unchanged" if old else "no index was made"
            raise IndexUnwritable(f"the index in {index_dir} cannot be written ({reason}; {kept}): make room, or name another folder") from error
    seconds, reused = time.monotonic() - started, len(chunks) - embedded
    return BuildReport(str(index_dir), len(hashes), len(chunks), embedded, reused, False, seconds, embed_seconds, collections)


def open_index(index_dir: Path, spec: IndexSpec | None = None) -> Index:
    """Open the index in `index_dir`; with `spec`, only if it was built with that one.

    Raises IndexNotFound, IndexMismatch (every difference with both values), IndexCorrupt.
    """
    for _ in range(2):  # a build may replace the generation between our two reads; the manifest is then a new one
        manifest = read_manifest(index_dir)
        differences = _spec_in(manifest).differences(spec) if spec else []
        if differences:
            listed = "; ".join(differences)
            raise IndexMismatch(f"the index in {index_dir} was built with other settings ({listed}): build it again, or set them back")
        try:
            return _open_generation(index_dir, manifest)
        except FileNotFoundError as error:
            missing = error
        except OSError as error:
            raise IndexCorrupt(f"the index in {index_dir} cannot be read ({error.strerror or error}): check the folder, or build it again") from error
    raise IndexCorrupt(f"the index in {index_dir} lacks {missing.filename}: build it again")


def read_manifest(index_dir: Path) -> dict[str, Any]:
    """The manifest as written. Raises IndexNotFound or IndexCorrupt."""
    path = index_dir / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise IndexNotFound(f"no index in {index_dir}: build one with `chipalign index build --out {index_dir} SOURCE...`") from None
    except OSError as error:
        raise IndexCorrupt(f"{path} cannot be read ({error.strerror or error}): check the folder, or build the index again") from error
    except ValueError as error:
        raise IndexCorrupt(f"{path} is no manifest ({error}): build the index again") from error
    parts = ("spec", "documents", "collections", "files")
    if not isinstance(manifest, dict) or "chunks" not in manifest or not all(isinstance(manifest.get(part), dict) for part in parts):
        raise IndexCorrupt(f"{path} is not a manifest of this program: build the index again")
    return manifest


def _spec_in(manifest: dict[str, Any]) -> IndexSpec:
    """The spec a manifest records; a field that an older or newer program wrote differently reads as None and so differs."""
    return IndexSpec(**{item.name: manifest["spec"].get(item.name) for item in fields(IndexSpec)})


def _index_by_name(documents: Iterable[Document]) -> dict[str, Document]:
    by_name: dict[str, Document] = {}
    for document in documents:
        name = f"{document.collection}/{document.path}"
        if name in by_name:
            raise SourceUnusable(f"two sources both hold a document {name}: rename one folder, its name is the collection's")
        by_name[name] = document
    if not by_name:
        raise SourceUnusable("the sources hold no document that can be read: name a folder with Markdown, reStructuredText or text files")
    return by_name


def _count_collections(documents: Iterable[Document]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for document in documents:
        counts[document.collection] = counts.get(document.collection, 0) + 1
    return dict(sorted(counts.items()))


def _chunk_all(documents: Sequence[Document], settings: RagSettings, embedder: TextEmbedder, progress: BuildProgress) -> list[Chunk]:
    chunks: list[Chunk] = []
    for done, document in enumerate(documents, start=1):
        chunks += chunk_document(document, embedder.count_tokens, settings.chunk_tokens, settings.overlap_tokens)
        progress("chunk", done, len(documents))
    if not chunks:
        raise SourceUnusable(f"the {len(documents)} documents hold no text to index: name other sources")
    return chunks


@contextmanager
def _locked(index_dir: Path) -> Iterator[None]:
    """Hold the folder's build lock; the system frees it when the process ends, however it ends."""
    _refuse_foreign(index_dir)
    try:
        index_dir.mkdir(parents=True, exist_ok=True)
        handle = (index_dir / LOCK).open("w")
    except OSError as error:
        raise SourceUnusable(f"the index cannot be written to {index_dir} ({error.strerror}): name a folder you can write") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise IndexBusy(f"another process is building the index in {index_dir}: wait for it, or build into another folder") from None
        yield


def _refuse_foreign(index_dir: Path) -> None:
    """Raise SourceUnusable for a folder with other things in it: an index is only written into a new or empty folder, or over an index."""
    try:
        names = {path.name for path in index_dir.iterdir()}
    except FileNotFoundError:
        return
    except OSError as error:
        raise SourceUnusable(f"the index cannot be written to {index_dir} ({error.strerror}): name a folder you can write") from error
    if not names or LOCK in names:
        return
    try:
        read_manifest(index_dir)
    except (IndexNotFound, IndexCorrupt):
        raise SourceUnusable(f"{index_dir} is a folder with other files ({min(names)}) and no index: name a new or an empty folder") from None


def _open_or_none(index_dir: Path) -> Index | None:
    """The old index, or None where there is none or it is damaged: then everything is built anew."""
    try:
        return open_index(index_dir)
    except (IndexNotFound, IndexCorrupt):
        return None


def _known_vectors(old: Index) -> dict[str, Vectors]:
    """Vectors of the old index by hash of the text they stand for."""
    return {hash_text(searchable_text(chunk)): old.dense.vector(row) for row, chunk in enumerate(old.chunks)}


def _embed_new(texts: Sequence[str], known: dict[str, Vectors], embedder: TextEmbedder, progress: Callable[[int, int], None]) -> tuple[Vectors, int]:
    """Vectors of all texts, shape (texts, dimension), and how many had to be computed."""
    vectors = np.zeros((len(texts), embedder.dimension), dtype=np.float32)
    new_rows: list[int] = []
    for row, text in enumerate(texts):
        vector = known.get(hash_text(text))
        if vector is None:
            new_rows.append(row)
        else:
            vectors[row] = vector
    if new_rows:
        vectors[new_rows] = embedder.embed([texts[row] for row in new_rows], progress)
    return vectors, len(new_rows)


def _commit(index_dir: Path, spec: IndexSpec, chunks: list[Chunk], vectors: Vectors, hashes: dict[str, str], collections: dict[str, int]) -> None:
    """Write a new generation, then the manifest that names it, then remove what no manifest names. After an OSError nothing is changed."""
    generation = index_dir / f"generation-{uuid.uuid4().hex[:12]}"
    work = index_dir / f"{MANIFEST}.new"
    try:
        generation.mkdir()
        _write_generation(generation, chunks, vectors)
        manifest = _describe_index(spec, chunks, generation, hashes, collections)
        work.write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        _flush(work)
        work.replace(index_dir / MANIFEST)
    except OSError:
        work.unlink(missing_ok=True)
        _remove_generation(generation)
        raise
    for leftover in index_dir.iterdir():
        if leftover != generation:
            _remove_generation(leftover)


def _write_generation(generation: Path, chunks: list[Chunk], vectors: Vectors) -> None:
    with (generation / _CHUNKS).open("w", encoding="utf-8") as handle:
        handle.writelines(json.dumps(asdict(chunk), ensure_ascii=False) + "\n" for chunk in chunks)
    DenseIndex.build(vectors).save(generation / _DENSE)
    Bm25Index.build(searchable_text(chunk) for chunk in chunks).save(generation)
    for path in generation.iterdir():
        _flush(path)


def _describe_index(spec: IndexSpec, chunks: list[Chunk], generation: Path, hashes: dict[str, str], collections: dict[str, int]) -> dict[str, Any]:
    """The manifest: `files` maps each file to its SHA-256, `documents` each document to its hash."""
    return {
        "spec": asdict(spec),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "chunks": len(chunks),
        "collections": collections,
        "licences": {chunk.collection: chunk.licence for chunk in chunks},
        "versions": {name: metadata.version(name) for name in ("faiss-cpu", "numpy", "sentence-transformers")},
        "files": {f"{generation.name}/{path.name}": _hash_file(path) for path in sorted(generation.iterdir())},
        "documents": hashes,
    }


def _remove_generation(folder: Path) -> None:
    """Remove a generation that a build made: by its name, and only where it holds nothing but our files. Anything else is left alone."""
    if not _GENERATION.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
        return
    files = list(folder.iterdir())
    if any(path.name not in _GENERATION_FILES or not path.is_file() for path in files):
        return
    try:
        for path in files:
            path.unlink()
        folder.rmdir()
    except OSError:
        return  # a leftover takes room and does no harm: the next build tries again


def _hash_file(path: Path) -> str:
    """SHA-256 of a file's content in hex; 12 MB take about 10 ms."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Bring a file to the disk before the manifest names it: a power cut must not leave a manifest over empty files."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _open_generation(index_dir: Path, manifest: dict[str, Any]) -> Index:
    hashes: dict[str, str] = manifest["files"]
    for name, expected in hashes.items():
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise IndexCorrupt(f"the manifest in {index_dir} names the file {name!r} outside its folder: build the index again")
        if _hash_file(index_dir / name) != expected:
            raise IndexCorrupt(f"{index_dir / name} is not the file that was built (its SHA-256 is another): build the index again")
    generations = {Path(name).parent for name in hashes}
    if len(generations) != 1:
        raise IndexCorrupt(f"the manifest in {index_dir} names no single generation of files: build the index again")
    generation = index_dir / generations.pop()
    chunks = _read_chunks(generation / _CHUNKS)
    count = len(chunks)
    if not (generation / _DENSE).is_file():
        raise FileNotFoundError(2, "missing", str(generation / _DENSE))
    dense = DenseIndex.load(generation / _DENSE)
    bm25 = Bm25Index.load(generation, count)
    if not count == dense.count == manifest["chunks"]:
        counts = f"{count} chunks, {dense.count} vectors, by its manifest {manifest['chunks']}"
        raise IndexCorrupt(f"the index in {index_dir} holds {counts}: build it again")
    return Index(manifest, chunks, dense, bm25)


def _read_chunks(path: Path) -> tuple[Chunk, ...]:
    try:
        with path.open(encoding="utf-8") as handle:
            rows = [json.loads(line) for line in handle]
        return tuple(Chunk(**{**row, "heading_path": tuple(row["heading_path"])}) for row in rows)
    except (ValueError, TypeError, KeyError) as error:
        raise IndexCorrupt(f"{path} holds a line that is no chunk ({error}): build the index again") from error
