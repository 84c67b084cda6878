"""Builds an index directory, brings it up to date and takes it apart.

It holds chunks, dense vectors and BM25 postings under one manifest. The manifest is written last, by rename: it is the
commit point and names the generation of files, so a build that is killed leaves the old index whole, and readers that
have it open go on. `opening` opens it, `retriever` searches it.

    report = build_index(documents, Path("indexes/starter"), settings, embedder)
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from itertools import groupby
from pathlib import Path

from rag.documents import Document, Skipped, hash_document
from rag.embedding.embedder import TextEmbedder
from rag.errors import (
    CollectionUnknown,
    IndexCorrupt,
    IndexMismatch,
    IndexNotFound,
    IndexUnwritable,
    MilvusUnavailable,
    SourceUnusable,
)
from rag.index.document_list import DocumentRecord
from rag.index.generation import remove_generation, write_generation
from rag.index.index_content import Content, OldIndex, gather, keep, refer
from rag.index.index_folder import clear_leftovers, locked, write_manifest
from rag.index.manifest import (
    MANIFEST,
    MAX_SKIPPED,
    About,
    Collection,
    IndexSpec,
    Manifest,
    flush,
    read_manifest,
    record_file,
    spec_of,
)
from rag.index.opening import open_index
from rag.index.selection import is_uploaded
from rag.index.vector_store import FILES, VectorStore, choose_store, store_at
from rag.progress import Show
from rag.settings import RagSettings

Failures = Mapping[str, Sequence[Skipped]]  # files that could not be read, by collection


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did. `embedded` + `reused` = `chunks`, except where `up_to_date`: then it did nothing at all.

    `collections` maps each name to its number of documents; `unchanged` counts the documents whose chunks were kept.
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
    unchanged: int
    dense: str  # "flat" (exact) or "pq"

    @property
    def chunks_per_s(self) -> float:
        """Chunks embedded per second of embedding; 0 where none was."""
        return self.embedded / self.embed_seconds if self.embed_seconds else 0.0


@dataclass(frozen=True, slots=True)
class RemoveReport:
    """What `remove_collections` took out, and the documents per collection that are left."""

    index_dir: str
    removed: dict[str, int]
    chunks_removed: int
    collections: dict[str, int]


def build_index(
    documents: Iterable[Document],
    index_dir: Path,
    settings: RagSettings,
    embedder: TextEmbedder,
    progress: Show = lambda *_: None,
    *,
    add: bool = False,
    skipped: list[Skipped] | None = None,
    about: Mapping[str, About] = {},
) -> BuildReport:
    """Make `index_dir` the index of exactly these documents; with `add`, replace their collections alone.

    It takes over the chunks of unchanged documents and the vectors of texts that the old index holds; where nothing
    changed it writes nothing. The manifest keeps `skipped`; documents that cannot be cut are appended to it. It also
    keeps what is said `about` each collection.

    What a gateway's clients uploaded stays, unless the settings are others than the old index's: then the gateway
    builds it again.

    Raises:
        IndexBusy: another process builds into the folder.
        SourceUnusable: there are no documents, two share a name, or the folder holds other things than an index.
        IndexUnwritable: the files cannot be written; the old index stays whole.
        MilvusUnavailable: the Milvus of the settings does not answer.
        SettingsError: chunks of this size do not fit the embedder.
        IndexMismatch, IndexCorrupt: with `add`, the other collections could not be kept.
    """
    started = time.monotonic()
    spec, store = spec_of(settings, embedder), choose_store(settings)
    by_name = _index_by_name(documents)
    store.check()
    skipped = [] if skipped is None else skipped
    collections = {document.collection for document in by_name.values()}

    with locked(index_dir, store):
        old = _open_for_adding(index_dir, spec, store) if add else _open_or_none(index_dir, store)
        kept = _kept_beside(old, collections, spec, add)
        hashes = {name: record.hash for name, record in kept.items()} | {
            name: hash_document(document) for name, document in by_name.items()
        }

        content = None
        if not old or not old.is_of(spec, hashes, store.place):
            content = gather(by_name, kept, old, spec, settings, embedder, progress)
            skipped += content.not_cut
        failures = _group_skipped(collections, skipped)
        said = {name: about.get(name, About()) for name in collections}
        if content and not (
            old and old.is_of(spec, {record.name: record.hash for record in content.records}, store.place)
        ):
            manifest = _commit(index_dir, spec, content, old, failures, store, said)
        else:
            assert old is not None
            manifest, content = _update_entries(index_dir, old.index.manifest, failures, said), None

    return _report(index_dir, manifest, content, time.monotonic() - started)


def remove_collections(names: Sequence[str], index_dir: Path, store: VectorStore = FILES) -> RemoveReport:
    """Take collections out, with their texts, vectors and postings; with the last one remove the index itself.

    A reader that has the index open goes on with the old files until it closes them; vectors in Milvus are dropped at
    once.

    Raises:
        CollectionUnknown, IndexNotFound, IndexMismatch, IndexCorrupt, IndexBusy, MilvusUnavailable
        IndexUnwritable: files cannot be written, or the old files that it names cannot be removed.
    """
    read_manifest(index_dir)  # so that no lock is made in a folder without an index
    with locked(index_dir, store):
        old = OldIndex.of(open_index(index_dir, store=store), index_dir)
        before = old.index.manifest
        if unknown := [repr(name) for name in names if name not in before.collections]:
            known = ", ".join(before.collections)
            raise CollectionUnknown(
                f"the index in {index_dir} holds no collection {', '.join(unknown)}; it holds {known}"
            )

        left = _keep_alone(old.others(set(names)), old, index_dir, store)

    gone = {name: before.collections[name] for name in dict.fromkeys(names)}
    return RemoveReport(
        index_dir=str(index_dir),
        removed={name: entry.documents for name, entry in gone.items()},
        chunks_removed=sum(entry.chunks for entry in gone.values()),
        collections={name: entry.documents for name, entry in left.items()},
    )


def _report(index_dir: Path, manifest: Manifest, content: Content | None, seconds: float) -> BuildReport:
    """What a build did; without `content` the index was up to date."""
    embedded = content.embedded if content else 0
    return BuildReport(
        index_dir=str(index_dir),
        documents=manifest.documents,
        chunks=manifest.chunks,
        embedded=embedded,
        reused=manifest.chunks - embedded if content else 0,
        up_to_date=content is None,
        seconds=seconds,
        embed_seconds=content.embed_seconds if content else 0.0,
        collections={name: entry.documents for name, entry in manifest.collections.items()},
        unchanged=content.unchanged if content else manifest.documents,
        dense=manifest.dense.kind,
    )


def change_documents(
    documents: Iterable[Document],
    is_gone: Callable[[DocumentRecord], bool],
    index_dir: Path,
    settings: RagSettings,
    embedder: TextEmbedder,
    progress: Show = lambda *_: None,
) -> list[Skipped]:
    """Put documents into the index, take others out, and leave the rest as it is, without reading it again.

    A document takes the place of one of its name. Returns the documents that cannot be cut.

    Raises:
        IndexBusy, IndexUnwritable, MilvusUnavailable, SettingsError
        SourceUnusable: there are no documents, or no text in the whole index.
        IndexMismatch, IndexCorrupt: the rest could not be kept.
    """
    spec, store = spec_of(settings, embedder), choose_store(settings)
    by_name = _index_by_name(documents)
    store.check()
    with locked(index_dir, store):
        old = _open_for_adding(index_dir, spec, store)
        records = old.records if old else {}
        kept = {name: record for name, record in records.items() if name not in by_name and not is_gone(record)}
        content = gather(by_name, kept, old, spec, settings, embedder, progress)
        _commit(index_dir, spec, content, old, {}, store)
    return content.not_cut


def remove_documents(
    is_gone: Callable[[DocumentRecord], bool], index_dir: Path, store: VectorStore = FILES
) -> dict[str, int]:
    """Take documents out, with their texts, vectors and postings; with the last one remove the index itself.

    Returns the number of documents by collection that are left; writes nothing where none is gone.

    Raises IndexNotFound, IndexMismatch, IndexCorrupt, IndexBusy, IndexUnwritable, MilvusUnavailable.
    """
    read_manifest(index_dir)  # so that no lock is made in a folder without an index
    with locked(index_dir, store):
        old = OldIndex.of(open_index(index_dir, store=store), index_dir)
        kept = {name: record for name, record in old.records.items() if not is_gone(record)}
        if len(kept) == len(old.records):
            left: Mapping[str, Collection] = old.index.manifest.collections
        else:
            left = _keep_alone(kept, old, index_dir, store)
    return {name: entry.documents for name, entry in left.items()}


def _keep_alone(
    kept: Mapping[str, DocumentRecord], old: OldIndex, index_dir: Path, store: VectorStore
) -> dict[str, Collection]:
    """Make the index one of these documents alone, and leave no file of the old one; returns its collections.

    Raises IndexUnwritable, MilvusUnavailable.
    """
    content = keep(kept, old)
    if content.chunks:
        stays = store_at(old.index.dense.place, store)
        left = _commit(index_dir, old.index.manifest.spec, content, old, {}, stays).collections
    else:
        (index_dir / MANIFEST).unlink()
        flush(index_dir)
        left = {}

    if remains := clear_leftovers(index_dir, store):
        raise IndexUnwritable(
            f"the old files in {', '.join(remains)}, or what they name in Milvus, cannot be removed: build again"
        )
    return left


def _kept_beside(old: OldIndex | None, built: set[str], spec: IndexSpec, add: bool) -> dict[str, DocumentRecord]:
    """The documents that stay beside those of the collections that are built."""
    if old is None:
        return {}
    others = old.others(built)
    if add:
        return others
    # A chunk of other settings cannot lie beside the new ones, and the uploaded text is not at hand here
    is_alike = not old.index.manifest.spec.differences(spec)
    return {name: record for name, record in others.items() if is_alike and is_uploaded(record.collection)}


def _index_by_name(documents: Iterable[Document]) -> dict[str, Document]:
    by_name: dict[str, Document] = {}
    for document in documents:
        if document.name in by_name:
            raise SourceUnusable(
                f"two sources both hold a document {document.name}: give one of them another collection's name, "
                "NAME=PATH"
            )
        by_name[document.name] = document
    if not by_name:
        raise SourceUnusable(
            "the sources hold no document that can be read: name a folder with manuals in one of the types that are "
            "read"
        )
    return by_name


def _open_or_none(index_dir: Path, store: VectorStore) -> OldIndex | None:
    """The old index; None where it is missing, damaged or of another version: then everything is built anew."""
    try:
        return OldIndex.of(open_index(index_dir, store=store), index_dir)
    except (IndexNotFound, IndexCorrupt, IndexMismatch):
        return None


def _open_for_adding(index_dir: Path, spec: IndexSpec, store: VectorStore) -> OldIndex | None:
    """The old index, or None where there is none.

    Raises IndexCorrupt, IndexMismatch: its other collections could not be kept.
    """
    try:
        return OldIndex.of(open_index(index_dir, spec, store), index_dir)
    except IndexNotFound:
        return None


def _commit(
    index_dir: Path,
    spec: IndexSpec,
    content: Content,
    old: OldIndex | None,
    failures: Failures,
    store: VectorStore,
    about: Mapping[str, About] = {},
) -> Manifest:
    """Write a new generation, then the manifest that names it, then remove what no manifest names.

    A generation in Milvus stays until the next build or removal: a reader that has it open still searches there,
    whereas files may be removed under a reader.

    Raises IndexUnwritable, MilvusUnavailable: nothing is changed.
    """
    generation = index_dir / f"generation-{uuid.uuid4().hex[:12]}"
    try:
        kind = write_generation(
            generation, content.chunks, content.records, content.vectors, content.tokens, refer(content, old), store
        )
        manifest = Manifest(
            spec=spec,
            generation=generation.name,
            created=_now(),
            documents=len(content.records),
            chunks=len(content.chunks),
            dense=kind,
            collections=_describe_collections(content.records, old, failures, about),
            files={f"{generation.name}/{path.name}": record_file(path) for path in sorted(generation.iterdir())},
            versions={name: metadata.version(name) for name in ("faiss-cpu", "numpy", "sentence-transformers")},
        )
        write_manifest(index_dir, manifest)
    except MilvusUnavailable:
        remove_generation(generation, store)
        raise
    except OSError as error:
        (index_dir / f"{MANIFEST}.new").unlink(missing_ok=True)
        remove_generation(generation, store)
        reason = error.strerror or error
        kept = "the index that was there is unchanged" if old else "no index was made"
        raise IndexUnwritable(
            f"the index in {index_dir} cannot be written ({reason}; {kept}): make room, or name another folder"
        ) from error

    clear_leftovers(index_dir, store, keep=old.index.manifest.generation if old and old.index.dense.place else "")
    return manifest


def _describe_collections(
    records: Sequence[DocumentRecord], old: OldIndex | None, failures: Failures, about: Mapping[str, About]
) -> dict[str, Collection]:
    """Each collection's entry in the manifest.

    An unchanged collection keeps its date; one that was not built anew keeps its skipped files, owner and rank.
    """
    entries: dict[str, Collection] = {}
    old_records = {name: list(group) for name, group in groupby(old.records.values(), key=_collection)} if old else {}
    old_entries = old.index.manifest.collections if old else {}
    row = 0
    for name, group in groupby(records, key=_collection):
        documents = list(group)
        chunks = sum(record.chunks for record in documents)
        entry = Collection(
            documents=len(documents),
            chunks=chunks,
            first_row=row,
            version=next((record.version for record in documents if record.version), ""),
            licences=tuple(sorted({record.licence for record in documents})),
            updated=old_entries[name].updated if old_records.get(name) == documents else _now(),
        )
        entries[name] = _complete(entry, failures.get(name), about.get(name), old_entries.get(name))
        row += chunks
    return entries


def _update_entries(index_dir: Path, manifest: Manifest, failures: Failures, about: Mapping[str, About]) -> Manifest:
    """Rewrite the manifest where the documents are the same but the unreadable files, owners or ranks are not."""
    entries = {
        name: _complete(entry, failures.get(name), about.get(name), entry)
        for name, entry in manifest.collections.items()
    }
    if entries == manifest.collections:
        return manifest
    changed = replace(manifest, collections=entries)
    try:
        write_manifest(index_dir, changed)
    except OSError as error:
        raise IndexUnwritable(
            f"{index_dir / MANIFEST} cannot be written ({error.strerror or error}): make room, or make it writable"
        ) from error
    return changed


def _complete(
    entry: Collection, found: Sequence[Skipped] | None, about: About | None, before: Collection | None
) -> Collection:
    """The entry with the skipped files that were found, its owner and rank; those of before where it was not read."""
    if found is not None:
        listed = tuple((item.path, item.reason) for item in found[:MAX_SKIPPED])
        entry = replace(entry, skipped_count=len(found), skipped=listed)
    elif before:
        entry = replace(entry, skipped_count=before.skipped_count, skipped=before.skipped)
    said = about or (About(before.owner, before.ranks_lower) if before else About())
    return replace(entry, owner=said.owner, ranks_lower=said.ranks_lower)


def _group_skipped(built: Iterable[str], skipped: Iterable[Skipped]) -> Failures:
    """The skipped files of each collection that is built; their paths begin with the collection's name."""
    failures: dict[str, list[Skipped]] = {name: [] for name in built}
    for item in skipped:
        failures.get(item.path.partition("/")[0], []).append(item)
    return failures


def _collection(record: DocumentRecord) -> str:
    return record.collection


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
