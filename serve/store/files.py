"""The rows of uploaded files.

What is in them lies in the home folder (`contents`).

    files.add(change, StoredFile("file-1", now_us(), "manual.pdf", 5000, "assistants"))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serve.store.transaction import Transaction

_COLUMNS = "id, created_us, name, bytes, purpose, expires_us"
AT_ONCE = 500  # ids in one statement; SQLite takes 32,766 values, older ones 999


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An uploaded file."""

    file_id: str
    created_us: int
    name: str
    bytes: int
    purpose: str
    expires_us: int | None = None


def add(change: Transaction, file: StoredFile) -> None:
    """Keep the row of a file whose content is on the disk."""
    change.run(
        f"INSERT INTO files ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
        (file.file_id, file.created_us, file.name, file.bytes, file.purpose, file.expires_us),
    )


def find(read: Transaction, file_id: str) -> StoredFile | None:
    """The file of this id, or None."""
    return find_many(read, [file_id]).get(file_id)


def find_many(read: Transaction, file_ids: Sequence[str]) -> dict[str, StoredFile]:
    """The files of these ids, as far as there are such."""
    found: dict[str, StoredFile] = {}
    for first in range(0, len(file_ids), AT_ONCE):
        ids = file_ids[first : first + AT_ONCE]
        places = ", ".join("?" * len(ids))
        rows = read.rows(f"SELECT {_COLUMNS} FROM files WHERE id IN ({places})", ids)
        found |= {row[0]: StoredFile(*row) for row in rows}
    return found


def list_all(read: Transaction) -> list[StoredFile]:
    """All files, the oldest first."""
    return [StoredFile(*row) for row in read.rows(f"SELECT {_COLUMNS} FROM files ORDER BY created_us, id")]


def list_expired(read: Transaction, now_us: int) -> list[str]:
    """The ids of the files whose time is over."""
    return [file_id for (file_id,) in read.rows("SELECT id FROM files WHERE expires_us < ?", (now_us,))]


def total_bytes(read: Transaction) -> int:
    """What all files hold together."""
    [(total,)] = read.rows("SELECT COALESCE(SUM(bytes), 0) FROM files")
    return int(total)


def delete(change: Transaction, file_id: str) -> bool:
    """Delete a file's row; whether it was there."""
    return change.run("DELETE FROM files WHERE id = ?", (file_id,)) > 0
