"""Operations on uploaded files: keep, list, find, discard.

They know nothing of the text that is in the index: `deleting` takes it out before.

    incoming = begin_upload(library, "manual.pdf"); incoming.write(b"..."); keep_upload(library, incoming, "assistants")
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serve.errors import StoreFull
from serve.store import files, vector_stores
from serve.store.contents import Incoming, safe_name
from serve.store.database import new_id, now_us
from serve.store.files import StoredFile
from serve.uploads.library import Library
from serve.uploads.objects import file_object
from serve.uploads.pages import Page, paginate

SECOND_US = 1_000_000
GIB = 2**30
MOST_LISTED = 10_000  # files on one page, as OpenAI's


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that arrives, and what it will be called."""

    file_id: str
    name: str
    incoming: Incoming


def begin_upload(library: Library, name: str) -> Upload:
    """Begin to write a file; whoever does calls `keep_upload` or `upload.incoming.abort`.

    Raises StoreFull, StoreUnavailable.
    """
    file_id, safe = new_id("file-"), safe_name(name)
    return Upload(file_id, safe, library.contents.begin(file_id, safe))


def keep_upload(library: Library, upload: Upload, purpose: str, expires_s: int | None) -> dict[str, Any]:
    """Keep a file that has arrived whole. Raises StoreFull, StoreUnavailable: then nothing of it is kept."""
    now = now_us()
    expires_us = None if expires_s is None else now + expires_s * SECOND_US
    file = StoredFile(upload.file_id, now, upload.name, upload.incoming.bytes, purpose, expires_us)
    upload.incoming.seal()
    with library.database.transaction() as change:
        files.add(change, file)
        check_room(files.total_bytes(change), library.settings.uploads_gb)
    upload.incoming.place()
    return file_object(file)


def check_space(library: Library, more_bytes: int) -> None:
    """Refuse a file before it arrives where there is no room for it. Raises StoreFull, StoreUnavailable."""
    with library.database.transaction(writes=False) as read:
        check_room(files.total_bytes(read) + more_bytes, library.settings.uploads_gb)


def check_room(total_bytes: int, most_gb: int) -> None:
    """Raises StoreFull: all files together would be larger than they may be."""
    if total_bytes > most_gb * GIB:
        raise StoreFull(
            f"With this file the uploaded files would hold more than {most_gb} GiB: delete some, or ask whoever runs "
            "this gateway (CHIPALIGN_UPLOADS_GB)."
        )


def list_files(library: Library, page: Page, purpose: str | None) -> dict[str, Any]:
    """A page of the uploaded files."""
    with library.database.transaction(writes=False) as read:
        found = files.list_all(read)
    return paginate([file_object(file) for file in found if purpose in (None, file.purpose)], page)


def show_file(library: Library, file_id: str) -> dict[str, Any]:
    """An uploaded file. Raises FileNotKept."""
    with library.database.transaction(writes=False) as read:
        return file_object(library.find_file(read, file_id))


def find_content(library: Library, file_id: str) -> tuple[StoredFile, Path]:
    """An uploaded file, and where its content lies. Raises FileNotKept."""
    with library.database.transaction(writes=False) as read:
        file = library.find_file(read, file_id)
    return file, library.contents.path(file.file_id, file.name)


def discard_file(library: Library, file_id: str) -> None:
    """Delete a file; text of it that is still in a store goes with the next build. Raises StoreUnavailable."""
    library.contents.hide(file_id)
    with library.database.transaction() as change:
        vector_stores.detach_everywhere(change, file_id)
        files.delete(change, file_id)
    library.contents.remove_hidden(file_id)
