"""What the operations on files and vector stores share: the store, the files' contents, the index as it is now.

Each operation is one call that may wait for the disk, so a thread does it. It speaks no HTTP.

    library = Library(settings, database, Contents(settings.home), live.current)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, Self

from rag.documents import Hit
from rag.errors import IndexUnusable
from rag.index.generation import Index
from rag.index.selection import is_uploaded
from serve.errors import CollectionReadOnly, FileNotKept, RetrievalUnavailable, UploadsOff, VectorStoreNotFound
from serve.request_body import shorten
from serve.settings import ServeSettings
from serve.store import files, vector_stores
from serve.store.contents import Contents
from serve.store.database import Database
from serve.store.files import StoredFile
from serve.store.transaction import Transaction
from serve.store.vector_stores import VectorStore


class Searchable(Protocol):
    """An index that is searched now: a `Retriever`, or what stands in for it where there is none."""

    @property
    def index(self) -> Index | None:
        """The open index; None where there is none."""

    @property
    def collections(self) -> Iterable[str]:
        """Names of the collections that are searched."""

    def over(self, index: Index) -> Self:
        """The same over a part of the index."""

    def rank(self, query: str) -> Iterator[Hit]:
        """All passages, best first. Raises EmptyQuery."""


@dataclass
class Library:
    """The state that all operations share."""

    settings: ServeSettings
    database: Database
    contents: Contents
    newest: Callable[[], Searchable]  # raises IndexUnusable
    wake: Callable[[], None] = lambda: None  # has what waits built soon

    def searched(self) -> Searchable:
        """The index as it is now. Raises RetrievalUnavailable."""
        try:
            return self.newest()
        except IndexUnusable as error:
            raise RetrievalUnavailable(f"{error}") from error

    def index(self) -> Index | None:
        """The open index as it is now. Raises RetrievalUnavailable."""
        return self.searched().index

    def check_uploads(self) -> None:
        """Raises UploadsOff: nothing may be uploaded or changed here."""
        if self.settings.uploads == "off":
            raise UploadsOff(
                "Files and vector stores cannot be changed here, only read and searched: ask whoever runs this gateway "
                "(CHIPALIGN_UPLOADS is off)."
            )

    def find_store(self, read: Transaction, store_id: str) -> VectorStore:
        """A store that clients made. Raises VectorStoreNotFound."""
        found = vector_stores.find(read, store_id)
        if found is None:
            raise no_such_store(store_id)
        return found

    def find_own_store(self, read: Transaction, store_id: str) -> VectorStore:
        """A store that clients made, and may change. Raises UploadsOff, CollectionReadOnly, VectorStoreNotFound."""
        self.check_uploads()
        if is_built(self.index(), store_id):
            raise CollectionReadOnly(
                f"The vector store {shorten(store_id)} is a collection that the operator builds from documents of "
                "their own: it is searched here, and changed with `chipalign index build` alone."
            )
        return self.find_store(read, store_id)

    def find_file(self, read: Transaction, file_id: str, param: str | None = None) -> StoredFile:
        """An uploaded file. Raises FileNotKept."""
        found = files.find(read, file_id)
        if found is None:
            raise no_such_file(file_id, param)
        return found


def is_built(index: Index | None, store_id: str) -> bool:
    """Whether the operator built a collection of this name."""
    return index is not None and not is_uploaded(store_id) and store_id in index.manifest.collections


def no_such_store(store_id: str) -> VectorStoreNotFound:
    """The refusal of an unknown store."""
    return VectorStoreNotFound(f"No vector store has the id {shorten(store_id)}: GET /v1/vector_stores lists all.")


def no_such_file(file_id: str, param: str | None = None) -> FileNotKept:
    """The refusal of an unknown file."""
    return FileNotKept(f"No file has the id {shorten(file_id)}: GET /v1/files lists all.", param)
