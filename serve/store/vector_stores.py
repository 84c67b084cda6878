"""The rows of vector stores, of the files attached to them, and of batches of such.

An attachment that is `in_progress` waits for a build; `in_index` says that the index may hold text of it. One that is
`removing` is gone for clients, and stays a row until its text is gone from the index too; so does a deleted store. It
builds nothing.

    vector_stores.add(change, VectorStore("vs_1", now_us(), "manuals"))
    vector_stores.attach(change, "vs_1", ["file-1"])
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from serve.store.database import now_us
from serve.store.transaction import Transaction

Status = Literal["in_progress", "completed", "failed", "cancelled"]
STATUSES: tuple[Status, ...] = ("in_progress", "completed", "failed", "cancelled")
REMOVING = "removing"
_STORE = "id, created_us, name, metadata, active_us, expires_days"
_ATTACHMENT = (
    "a.store_id, a.file_id, a.created_us, a.status, a.attributes, a.error_code, a.error_message, a.usage_bytes, "
    "a.batch_id"
)


@dataclass(frozen=True, slots=True)
class VectorStore:
    """A collection that clients uploaded."""

    store_id: str
    created_us: int
    name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    active_us: int = 0
    expires_days: int | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file in a vector store."""

    store_id: str
    file_id: str
    created_us: int
    status: Status
    attributes: Mapping[str, Any]
    error_code: str | None = None
    error_message: str | None = None
    usage_bytes: int = 0
    batch_id: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that were attached together."""

    batch_id: str
    store_id: str
    created_us: int
    is_cancelled: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """Files by status, and the bytes of their texts."""

    by_status: Mapping[str, int] = field(default_factory=dict)
    usage_bytes: int = 0


def add(change: Transaction, store: VectorStore) -> None:
    """Keep a new vector store."""
    values = (
        *(store.store_id, store.created_us, store.name, json.dumps(dict(store.metadata))),
        *(store.active_us or store.created_us, store.expires_days),
    )
    change.run(f"INSERT INTO vector_stores ({_STORE}) VALUES (?, ?, ?, ?, ?, ?)", values)


def find(read: Transaction, store_id: str) -> VectorStore | None:
    """The vector store of this id, unless it is deleted."""
    for row in read.rows(f"SELECT {_STORE} FROM vector_stores WHERE id = ? AND is_deleted = 0", (store_id,)):
        return _store_of(row)
    return None


def list_all(read: Transaction) -> list[VectorStore]:
    """All vector stores that are not deleted."""
    rows = read.rows(f"SELECT {_STORE} FROM vector_stores WHERE is_deleted = 0 ORDER BY created_us, id")
    return [_store_of(row) for row in rows]


def update(change: Transaction, store: VectorStore) -> None:
    """Write name, metadata, expiry and last activity anew."""
    change.run(
        "UPDATE vector_stores SET name = ?, metadata = ?, active_us = ?, expires_days = ? WHERE id = ?",
        (store.name, json.dumps(dict(store.metadata)), store.active_us, store.expires_days, store.store_id),
    )


def touch(change: Transaction, store_id: str) -> None:
    """Note that a store is in use."""
    change.run("UPDATE vector_stores SET active_us = ? WHERE id = ?", (now_us(), store_id))


def mark_deleted(change: Transaction, store_id: str) -> bool:
    """Hide a store from clients until its text is gone from the index; whether it was there."""
    return change.run("UPDATE vector_stores SET is_deleted = 1 WHERE id = ? AND is_deleted = 0", (store_id,)) > 0


def list_deleted(read: Transaction) -> list[str]:
    """The ids of deleted stores whose text may still be in the index."""
    return [store_id for (store_id,) in read.rows("SELECT id FROM vector_stores WHERE is_deleted = 1")]


def purge(change: Transaction, store_ids: Sequence[str]) -> None:
    """Delete the rows of stores whose text is gone."""
    for store_id in store_ids:
        change.run("DELETE FROM vector_stores WHERE id = ? AND is_deleted = 1", (store_id,))


def attach(
    change: Transaction,
    store_id: str,
    file_id: str,
    attributes: Mapping[str, Any] | None = None,
    batch_id: str | None = None,
) -> None:
    """Have a file built into a store; one that is in it already is built again only where that has failed."""
    written = json.dumps(dict(attributes or {}))
    change.run(
        "INSERT INTO attachments (store_id, file_id, batch_id, created_us, status, attributes) "
        "VALUES (?, ?, ?, ?, 'in_progress', ?) ON CONFLICT (store_id, file_id) DO UPDATE SET "
        "status = CASE WHEN attachments.status = 'completed' THEN 'completed' ELSE 'in_progress' END, "
        "error_code = NULL, error_message = NULL, attributes = excluded.attributes, batch_id = excluded.batch_id",
        (store_id, file_id, batch_id, now_us(), written),
    )


def find_attachment(read: Transaction, store_id: str, file_id: str) -> Attachment | None:
    """The file in the store, or None."""
    found = _attachments(read, "a.store_id = ? AND a.file_id = ?", (store_id, file_id))
    return found[0] if found else None


def list_attachments(read: Transaction, store_id: str, batch_id: str | None = None) -> list[Attachment]:
    """The files of a store, or those of one of its batches, in the order in which they were attached."""
    if batch_id is None:
        return _attachments(read, "a.store_id = ?", (store_id,))
    return _attachments(read, "a.store_id = ? AND a.batch_id = ?", (store_id, batch_id))


def set_attributes(change: Transaction, store_id: str, file_id: str, attributes: Mapping[str, Any]) -> None:
    """Write the attributes of a file in a store anew."""
    change.run(
        "UPDATE attachments SET attributes = ? WHERE store_id = ? AND file_id = ?",
        (json.dumps(dict(attributes)), store_id, file_id),
    )


def detach(change: Transaction, store_id: str, file_id: str) -> bool:
    """Take a file out of a store: at once for clients, and with the next build out of the index."""
    sql = "UPDATE attachments SET status = ? WHERE store_id = ? AND file_id = ? AND status != ?"
    return change.run(sql, (REMOVING, store_id, file_id, REMOVING)) > 0


def detach_everywhere(change: Transaction, file_id: str) -> None:
    """Take a file out of every store."""
    change.run(f"UPDATE attachments SET status = '{REMOVING}' WHERE file_id = ?", (file_id,))


def list_leaving(read: Transaction, file_id: str) -> list[tuple[str, str]]:
    """The stores that a file is taken out of, each with the file, until no text of it is left there."""
    sql = "SELECT store_id FROM attachments WHERE file_id = ? AND status = ?"
    return [(store_id, file_id) for (store_id,) in read.rows(sql, (file_id, REMOVING))]


def add_batch(change: Transaction, batch: Batch) -> None:
    """Keep a new batch; its files are attached one by one."""
    change.run(
        "INSERT INTO batches (id, store_id, created_us) VALUES (?, ?, ?)",
        (batch.batch_id, batch.store_id, batch.created_us),
    )


def find_batch(read: Transaction, store_id: str, batch_id: str) -> Batch | None:
    """The batch of a store, or None."""
    for batch, store, created_us, is_cancelled in read.rows(
        "SELECT id, store_id, created_us, is_cancelled FROM batches WHERE id = ? AND store_id = ?", (batch_id, store_id)
    ):
        return Batch(batch, store, created_us, bool(is_cancelled))
    return None


def cancel_batch(change: Transaction, batch_id: str) -> None:
    """Build none of its files that are not built yet."""
    change.run("UPDATE batches SET is_cancelled = 1 WHERE id = ?", (batch_id,))
    change.run("UPDATE attachments SET status = 'cancelled' WHERE batch_id = ? AND status = 'in_progress'", (batch_id,))


def count(read: Transaction, store_id: str | None = None) -> dict[str, Counts]:
    """Files by status of each store that has files, or of this one."""
    where, values = ("store_id = ? AND", (store_id,)) if store_id else ("", ())
    rows = read.rows(
        f"SELECT store_id, status, COUNT(*), SUM(usage_bytes) FROM attachments WHERE {where} status != '{REMOVING}' "
        "GROUP BY store_id, status",
        values,
    )
    found: dict[str, Counts] = {}
    for store, status, files, used in rows:
        before = found.get(store, Counts())
        found[store] = Counts({**before.by_status, status: files}, before.usage_bytes + int(used))
    return found


def _attachments(read: Transaction, where: str, values: Sequence[Any]) -> list[Attachment]:
    rows = read.rows(
        f"SELECT {_ATTACHMENT} FROM attachments a WHERE {where} AND a.status != '{REMOVING}' "
        "ORDER BY a.created_us, a.file_id",
        values,
    )
    return [
        Attachment(store_id, file_id, created_us, status, json.loads(attributes), *rest)
        for store_id, file_id, created_us, status, attributes, *rest in rows
    ]


def _store_of(row: tuple[Any, ...]) -> VectorStore:
    store_id, created_us, name, metadata, active_us, expires_days = row
    return VectorStore(store_id, created_us, name, json.loads(metadata), active_us, expires_days)
