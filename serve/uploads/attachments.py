"""Operations on the files of a vector store, one by one or as a batch.

They write what clients want; `builder` builds files in and takes them out.

    attach_file(library, "vs_1", AttachFile(file_id="file-1"))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serve.errors import FileNotKept, RequestError
from serve.request_body import shorten
from serve.store import files, vector_stores
from serve.store.database import new_id, now_us
from serve.store.transaction import Transaction
from serve.store.vector_stores import STATUSES, Attachment, Batch, Counts
from serve.uploads.built import built_files, texts_of
from serve.uploads.library import Library, is_built, no_such_file
from serve.uploads.objects import batch_object, store_file_object, text_page
from serve.uploads.pages import Page, paginate
from serve.uploads.requests import AttachFile, CreateBatch


def attach_all(change: Transaction, store_id: str, wanted: Sequence[AttachFile], batch_id: str | None = None) -> None:
    """Have files built into a store. Raises FileNotKept: one of them is unknown."""
    known = files.find_many(change, [each.file_id for each in wanted])
    for each in wanted:
        if each.file_id not in known:
            raise no_such_file(each.file_id, "file_ids" if batch_id else "file_id")
        vector_stores.attach(change, store_id, each.file_id, each.attributes, batch_id)


def attach_file(library: Library, store_id: str, body: AttachFile) -> dict[str, Any]:
    """A file that is to be built into a store.

    Raises UploadsOff, CollectionReadOnly, VectorStoreNotFound, FileNotKept.
    """
    with library.database.transaction() as change:
        library.find_own_store(change, store_id)
        attach_all(change, store_id, [body])
        vector_stores.touch(change, store_id)
        attached = _find(change, store_id, body.file_id)
    library.wake()
    return store_file_object(attached)


def list_attached(library: Library, store_id: str, page: Page, status: str | None) -> dict[str, Any]:
    """A page of a store's files, of one status or of any. Raises RequestError, VectorStoreNotFound."""
    return _page(_files_of(library, store_id), page, status)


def show_attached(library: Library, store_id: str, file_id: str) -> dict[str, Any]:
    """A file of a store. Raises VectorStoreNotFound, FileNotKept."""
    index = library.index()
    if index is not None and is_built(index, store_id):
        for attached in built_files(index, store_id):
            if attached.file_id == file_id:
                return store_file_object(attached)
        raise not_attached(store_id, file_id)
    with library.database.transaction(writes=False) as read:
        library.find_store(read, store_id)
        return store_file_object(_find(read, store_id, file_id))


def update_attached(
    library: Library, store_id: str, file_id: str, attributes: Mapping[str, Any] | None
) -> dict[str, Any]:
    """A file of a store with other attributes.

    Raises UploadsOff, CollectionReadOnly, VectorStoreNotFound, FileNotKept.
    """
    with library.database.transaction() as change:
        library.find_own_store(change, store_id)
        _find(change, store_id, file_id)
        vector_stores.set_attributes(change, store_id, file_id, attributes or {})
        return store_file_object(_find(change, store_id, file_id))


def show_text(library: Library, store_id: str, file_id: str) -> dict[str, Any]:
    """The text of a file of a store, in the passages that it was cut into.

    Raises VectorStoreNotFound, FileNotKept, RetrievalUnavailable.
    """
    show_attached(library, store_id, file_id)
    index = library.index()
    if index is None or store_id not in index.manifest.collections:
        return text_page([])
    return text_page([chunk.text for chunk in texts_of(index.select([store_id]), store_id, file_id)])


def create_batch(library: Library, store_id: str, body: CreateBatch) -> dict[str, Any]:
    """Files that are to be built into a store together; none where one of them is unknown.

    Raises RequestError, UploadsOff, CollectionReadOnly, VectorStoreNotFound, FileNotKept.
    """
    if bool(body.file_ids) == bool(body.files):
        raise RequestError("A batch names its files in 'file_ids' or in 'files', in one of them.", "file_ids")
    wanted = body.files or [AttachFile(file_id=each, attributes=body.attributes) for each in body.file_ids]
    batch = Batch(new_id("vsfb_"), store_id, now_us(), is_cancelled=False)
    with library.database.transaction() as change:
        library.find_own_store(change, store_id)
        vector_stores.add_batch(change, batch)
        attach_all(change, store_id, wanted, batch.batch_id)
        vector_stores.touch(change, store_id)
    library.wake()
    return show_batch(library, store_id, batch.batch_id)


def show_batch(library: Library, store_id: str, batch_id: str) -> dict[str, Any]:
    """A batch. Raises VectorStoreNotFound, FileNotKept."""
    with library.database.transaction(writes=False) as read:
        batch = _find_batch(library, read, store_id, batch_id)
        return batch_object(batch, _count(vector_stores.list_attachments(read, store_id, batch_id)))


def list_batch(library: Library, store_id: str, batch_id: str, page: Page, status: str | None) -> dict[str, Any]:
    """A page of a batch's files. Raises RequestError, VectorStoreNotFound, FileNotKept."""
    with library.database.transaction(writes=False) as read:
        _find_batch(library, read, store_id, batch_id)
        attached = vector_stores.list_attachments(read, store_id, batch_id)
    return _page(attached, page, status)


def cancel_batch(library: Library, store_id: str, batch_id: str) -> dict[str, Any]:
    """A batch whose files that are not built yet will not be.

    Raises UploadsOff, CollectionReadOnly, VectorStoreNotFound, FileNotKept.
    """
    with library.database.transaction() as change:
        library.find_own_store(change, store_id)
        _find_batch(library, change, store_id, batch_id)
        vector_stores.cancel_batch(change, batch_id)
    library.wake()
    return show_batch(library, store_id, batch_id)


def _files_of(library: Library, store_id: str) -> list[Attachment]:
    index = library.index()
    if index is not None and is_built(index, store_id):
        return built_files(index, store_id)
    with library.database.transaction(writes=False) as read:
        library.find_store(read, store_id)
        return vector_stores.list_attachments(read, store_id)


def _page(attached: Sequence[Attachment], page: Page, status: str | None) -> dict[str, Any]:
    if status not in (None, *STATUSES):
        raise RequestError(f"'filter' is {shorten(status)}: give one of {', '.join(STATUSES)}.", "filter")
    return paginate([store_file_object(each) for each in attached if status in (None, each.status)], page)


def _count(attached: Sequence[Attachment]) -> Counts:
    by_status: dict[str, int] = {}
    for each in attached:
        by_status[each.status] = by_status.get(each.status, 0) + 1
    return Counts(by_status)


def _find(read: Transaction, store_id: str, file_id: str) -> Attachment:
    found = vector_stores.find_attachment(read, store_id, file_id)
    if found is None:
        raise not_attached(store_id, file_id)
    return found


def _find_batch(library: Library, read: Transaction, store_id: str, batch_id: str) -> Batch:
    library.find_store(read, store_id)
    found = vector_stores.find_batch(read, store_id, batch_id)
    if found is None:
        raise FileNotKept(f"The vector store {shorten(store_id)} has no batch with the id {shorten(batch_id)}.")
    return found


def not_attached(store_id: str, file_id: str) -> FileNotKept:
    """The refusal of a file that the store does not hold."""
    return FileNotKept(f"The vector store {shorten(store_id)} has no file with the id {shorten(file_id)}.")
