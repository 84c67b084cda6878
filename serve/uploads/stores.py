"""Operations on vector stores: list, make, show and change them.

`deleting` deletes them, since their text is in the index too.

    create_store(library, CreateStore(name="manuals", file_ids=["file-1"]))
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from serve.store import vector_stores
from serve.store.database import new_id, now_us
from serve.store.vector_stores import Counts, VectorStore
from serve.uploads.attachments import attach_all
from serve.uploads.built import built_stores
from serve.uploads.library import Library
from serve.uploads.objects import vector_store_object
from serve.uploads.pages import Page, paginate
from serve.uploads.requests import AttachFile, CreateStore, UpdateStore


def list_stores(library: Library, page: Page) -> dict[str, Any]:
    """A page of all vector stores, those that the operator built among them."""
    with library.database.transaction(writes=False) as read:
        stores, counts = vector_stores.list_all(read), vector_stores.count(read)
    own = [vector_store_object(store, counts.get(store.store_id, Counts())) for store in stores]
    built = built_stores(library.index()).values()
    return paginate(sorted([*built, *own], key=lambda each: int(each["created_at"])), page)


def create_store(library: Library, body: CreateStore) -> dict[str, Any]:
    """A new vector store, with files that are to be built into it, or none at all where one of them is unknown.

    Raises UploadsOff, FileNotKept.
    """
    library.check_uploads()
    days = body.expires_after.days if body.expires_after else None
    store = VectorStore(new_id("vs_"), now_us(), body.name or "", body.metadata or {}, expires_days=days)
    with library.database.transaction() as change:
        vector_stores.add(change, store)
        attach_all(change, store.store_id, [AttachFile(file_id=file_id) for file_id in body.file_ids])
    library.wake()
    return show_store(library, store.store_id)


def show_store(library: Library, store_id: str) -> dict[str, Any]:
    """A vector store. Raises VectorStoreNotFound."""
    built = built_stores(library.index())
    if store_id in built:
        return built[store_id]
    with library.database.transaction(writes=False) as read:
        store = library.find_store(read, store_id)
        return vector_store_object(store, vector_stores.count(read, store_id).get(store_id, Counts()))


def update_store(library: Library, store_id: str, body: UpdateStore) -> dict[str, Any]:
    """The vector store with the fields that are given. Raises UploadsOff, CollectionReadOnly, VectorStoreNotFound."""
    with library.database.transaction() as change:
        store = library.find_own_store(change, store_id)
        given = body.model_fields_set
        store = replace(
            store,
            name=(body.name or "") if "name" in given else store.name,
            metadata=(body.metadata or {}) if "metadata" in given else store.metadata,
            expires_days=_days(body) if "expires_after" in given else store.expires_days,
            active_us=now_us(),
        )
        vector_stores.update(change, store)
    return show_store(library, store_id)


def _days(body: UpdateStore) -> int | None:
    return body.expires_after.days if body.expires_after else None
