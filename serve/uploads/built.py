"""The collections that the operator built, as vector stores and files: to be listed and searched, not changed here.

Their id is the collection's name, and a file is a document of it. It changes nothing.

    built_stores(retriever.index)["openroad@2.0"]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from rag.documents import Chunk
from rag.index.generation import Index
from rag.index.manifest import Collection
from rag.index.selection import is_uploaded, version_of
from serve.store.vector_stores import Attachment, Counts, VectorStore
from serve.uploads.objects import SECOND_US, file_id_of, vector_store_object
from serve.uploads.requests import LONGEST_VALUE


class Described(Protocol):
    """A document of an index, or a passage of it."""

    @property
    def collection(self) -> str:
        """The collection that it is in."""

    @property
    def path(self) -> str:
        """Its path within the collection."""

    @property
    def version(self) -> str:
        """What it documents, if that is known."""

    @property
    def date(self) -> str:
        """Its last change, if that is known."""

    @property
    def licence(self) -> str:
        """Its licence."""


def built_stores(index: Index | None) -> dict[str, dict[str, Any]]:
    """The operator's collections as vector store objects, by id, the one that changed longest ago first."""
    entries = index.manifest.collections if index else {}
    own = {name: entry for name, entry in entries.items() if not is_uploaded(name)}
    return {name: _store_object(name, entry, index) for name, entry in sorted(own.items(), key=_age) if index}


def built_files(index: Index, collection: str) -> list[Attachment]:
    """The documents of a collection as its files. Raises IndexCorrupt."""
    created_us = _changed_us(index.manifest.collections[collection])
    return [
        Attachment(
            collection,
            file_id_of(collection, record.path),
            created_us,
            "completed",
            attributes_of(record),
            usage_bytes=record.characters,
        )
        for record, _ in index.documents()
        if record.collection == collection
    ]


def texts_of(index: Index, collection: str, file_id: str) -> Iterator[Chunk]:
    """The passages of a file, in their order. Raises IndexCorrupt."""
    for record, rows in index.documents():
        if record.collection == collection and file_id_of(collection, record.path) == file_id:
            yield from index.chunks[rows.start : rows.stop]


def attributes_of(document: Described) -> Mapping[str, Any]:
    """What a search of the operator's documents may be filtered by."""
    version = version_of(document.collection, document.version)
    known = {"path": document.path, "version": version, "date": document.date, "licence": document.licence}
    return {name: value[:LONGEST_VALUE] for name, value in known.items() if value}


def _store_object(name: str, entry: Collection, index: Index) -> dict[str, Any]:
    changed_us = _changed_us(entry)
    version = {"version": entry.version} if entry.version else {}
    store = VectorStore(name, changed_us, name, {"built_by": "operator", **version})
    return vector_store_object(store, Counts({"completed": entry.documents}, index.chunks.bytes_of(*entry.rows)))


def _age(item: tuple[str, Collection]) -> tuple[int, str]:
    return _changed_us(item[1]), item[0]


def _changed_us(entry: Collection) -> int:
    """When a build last changed it."""
    return int(datetime.fromisoformat(entry.updated).timestamp()) * SECOND_US
