"""The part of the index that a request names: collections and vector stores, of these the documents that pass a filter.

A vector store is a collection that clients made, and that clients name by its id alone. One of which nothing is built
yet is empty, and not unknown.

    part = narrow(library, retriever, ["vs_1", "openroad"], wanted)
    part.passages.search("antenna repair")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

from rag.errors import CollectionUnknown
from rag.index.generation import Index
from rag.index.selection import is_uploaded, select_collections, tool_of
from serve.errors import CollectionNotFound, VectorStoreNotFound
from serve.filters import Filter, is_wanted
from serve.store import vector_stores
from serve.store.database import now_us
from serve.uploads.built import Described, attributes_of
from serve.uploads.library import Library
from serve.uploads.objects import file_id_of

ACTIVE_EVERY_US = 60_000_000  # a search need not write each time that the store is in use


class Narrowable(Protocol):
    """An index that is searched, whole or a part of it."""

    @property
    def index(self) -> Index | None:
        """The open index; None where there is none."""

    @property
    def collections(self) -> Iterable[str]:
        """Names of the collections that are searched."""

    def over(self, index: Index) -> Self:
        """The same over a part of the index."""


P = TypeVar("P", bound=Narrowable)


@dataclass(frozen=True)
class Attached:
    """What clients say of their own vector stores: names for people, and the attributes of the files, by store."""

    names: Mapping[str, str]
    attributes: Mapping[str, Mapping[str, Mapping[str, Any]]]

    def of(self, document: Described) -> Mapping[str, Any] | None:
        """The attributes of a document; None where its file was taken out, which the index may not know yet."""
        if not is_uploaded(document.collection):
            return attributes_of(document)
        files = self.attributes.get(document.collection, {})
        return files.get(file_id_of(document.collection, document.path))


@dataclass(frozen=True)
class Part(Generic[P]):
    """What is searched, with the names that people know it by, and what is known of its documents."""

    passages: P
    names: tuple[str, ...]
    attached: Attached


def narrow(library: Library, passages: P, collections: Sequence[str], wanted: Filter | None, param: str) -> Part[P]:
    """The collections and vector stores of these names, or all collections, and there what passes the filter.

    Raises CollectionNotFound: none has this name, which stands in `param`; IndexCorrupt, StoreUnavailable.
    """
    stores = list(dict.fromkeys(name for name in collections if is_uploaded(name)))
    try:
        attached = _read_stores(library, stores)
        built = [name for name in collections if not is_uploaded(name)]
        names = select_collections(built, passages.collections) if collections else [*passages.collections]
    except (VectorStoreNotFound, CollectionUnknown) as error:
        raise CollectionNotFound(f"{str(error).rstrip('.')}.", param) from None
    if not collections and wanted is None:
        return Part(passages, tuple(names), attached)
    return _part(passages, [*names, *stores], attached, wanted)


def narrow_to_store(library: Library, passages: P, store_id: str, is_built: bool, wanted: Filter | None) -> Part[P]:
    """One vector store, or one collection by its full name. Raises VectorStoreNotFound, IndexCorrupt."""
    return _part(passages, [store_id], _read_stores(library, [] if is_built else [store_id]), wanted)


def _part(passages: P, names: Sequence[str], attached: Attached, wanted: Filter | None) -> Part[P]:
    """The documents of these collections that are wanted. Raises IndexCorrupt."""
    shown = tuple(attached.names.get(name) or name for name in names)
    index = passages.index
    if index is None:
        return Part(passages, shown, attached)
    part = index.select([name for name in names if name in index.manifest.collections])

    def is_searched(document: Described) -> bool:
        """Whether the document is in one of the collections, in none of their versions, and passes the filter."""
        attributes = attached.of(document) if document.collection in names else None
        return attributes is not None and (wanted is None or is_wanted(wanted, _with_place(attributes, document)))

    if wanted is not None or attached.names or len(part.collections) > len(names):
        part = part.only(is_searched)
    return Part(passages.over(part), shown, attached)


def _with_place(attributes: Mapping[str, Any], document: Described) -> Mapping[str, Any]:
    """What a filter may compare: a document's attributes, and its collection without the version."""
    return {"collection": tool_of(document.collection), **attributes}


def _read_stores(library: Library, store_ids: Sequence[str]) -> Attached:
    """The stores with their files; a store that is searched is in use. Raises VectorStoreNotFound."""
    if not store_ids:
        return Attached({}, {})
    with library.database.transaction(writes=False) as read:
        stores = [library.find_store(read, store_id) for store_id in store_ids]
        attached = {store_id: vector_stores.list_attachments(read, store_id) for store_id in store_ids}
    if idle := [store.store_id for store in stores if store.active_us < now_us() - ACTIVE_EVERY_US]:
        with library.database.transaction() as change:
            for store_id in idle:
                vector_stores.touch(change, store_id)
    names = {store.store_id: store.name or store.store_id for store in stores}
    return Attached(names, {key: {each.file_id: each.attributes for each in files} for key, files in attached.items()})
