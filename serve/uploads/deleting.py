"""Deletions: each is answered when the text is gone from the index, and the gateway searches the new one.

What is deleted is gone for clients at once; whoever asks again while the text is not out yet waits for the same.

    await delete_store(library, builder, "vs_1")
"""

from __future__ import annotations

import asyncio
from typing import Any

from serve.store import vector_stores
from serve.uploads.attachments import not_attached
from serve.uploads.builder import Builder
from serve.uploads.files import discard_file
from serve.uploads.library import Library
from serve.uploads.objects import deleted_object


async def delete_store(library: Library, builder: Builder, store_id: str) -> dict[str, Any]:
    """Delete a vector store; its files stay. Raises UploadsOff, CollectionReadOnly, VectorStoreNotFound."""

    def mark() -> None:
        """Hide the store from clients."""
        with library.database.transaction() as change:
            if store_id not in vector_stores.list_deleted(change):
                library.find_own_store(change, store_id)
                vector_stores.mark_deleted(change, store_id)

    def is_gone() -> bool:
        """Whether no text of it is left."""
        with library.database.transaction(writes=False) as read:
            return store_id not in vector_stores.list_deleted(read)

    await asyncio.to_thread(mark)
    await builder.settled(is_gone)
    return deleted_object("vector_store.deleted", store_id)


async def detach_file(library: Library, builder: Builder, store_id: str, file_id: str) -> dict[str, Any]:
    """Take a file out of a vector store; the file itself stays.

    Raises UploadsOff, CollectionReadOnly, VectorStoreNotFound, FileNotKept.
    """

    def mark() -> None:
        """Hide the file of the store from clients."""
        with library.database.transaction() as change:
            library.find_own_store(change, store_id)
            is_leaving = (store_id, file_id) in vector_stores.list_leaving(change, file_id)
            if not vector_stores.detach(change, store_id, file_id) and not is_leaving:
                raise not_attached(store_id, file_id)

    def is_gone() -> bool:
        """Whether no text of it is left in the store."""
        with library.database.transaction(writes=False) as read:
            return (store_id, file_id) not in vector_stores.list_leaving(read, file_id)

    await asyncio.to_thread(mark)
    await builder.settled(is_gone)
    return deleted_object("vector_store.file.deleted", file_id)


async def delete_file(library: Library, builder: Builder, file_id: str) -> dict[str, Any]:
    """Delete a file, and its text from every vector store. Raises UploadsOff, FileNotKept."""

    def mark() -> None:
        """Hide the file of every store from clients."""
        library.check_uploads()
        with library.database.transaction() as change:
            library.find_file(change, file_id)
            vector_stores.detach_everywhere(change, file_id)

    def is_gone() -> bool:
        """Whether no text of it is left in any store."""
        with library.database.transaction(writes=False) as read:
            return not vector_stores.list_leaving(read, file_id)

    await asyncio.to_thread(mark)
    await builder.settled(is_gone)
    await asyncio.to_thread(discard_file, library, file_id)
    return deleted_object("file", file_id)
