"""OpenAI's objects: files, vector stores, their files and batches.

Values in, JSON out.

    vector_store_object(store, counts)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rag.documents import hash_text
from rag.index.selection import is_uploaded, name_source
from serve.store.files import StoredFile
from serve.store.vector_stores import STATUSES, Attachment, Batch, Counts, VectorStore

DAY_S = 86_400
SECOND_US = 1_000_000
# How a file was cut is ours to know; this is what OpenAI has for that
CUT_BY_US = {"type": "other"}


def file_object(file: StoredFile) -> dict[str, Any]:
    """An uploaded file."""
    return {
        "id": file.file_id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": file.created_us // SECOND_US,
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
        "expires_at": file.expires_us and file.expires_us // SECOND_US,
    }


def vector_store_object(store: VectorStore, counts: Counts) -> dict[str, Any]:
    """A vector store that clients made."""
    active_s = store.active_us // SECOND_US
    expires = {"anchor": "last_active_at", "days": store.expires_days} if store.expires_days else None
    return {
        "id": store.store_id,
        "object": "vector_store",
        "created_at": store.created_us // SECOND_US,
        "name": store.name,
        "usage_bytes": counts.usage_bytes,
        "file_counts": counts_object(counts),
        "status": "in_progress" if counts.by_status.get("in_progress") else "completed",
        "expires_after": expires,
        "expires_at": active_s + store.expires_days * DAY_S if store.expires_days else None,
        "last_active_at": active_s,
        "metadata": dict(store.metadata),
    }


def counts_object(counts: Counts) -> dict[str, int]:
    """Files by status."""
    by_status: dict[str, int] = {status: counts.by_status.get(status, 0) for status in STATUSES}
    return {**by_status, "total": sum(by_status.values())}


def store_file_object(attached: Attachment) -> dict[str, Any]:
    """A file of a vector store."""
    failed = attached.error_code is not None
    return {
        "id": attached.file_id,
        "object": "vector_store.file",
        "created_at": attached.created_us // SECOND_US,
        "vector_store_id": attached.store_id,
        "status": attached.status,
        "last_error": {"code": attached.error_code, "message": attached.error_message} if failed else None,
        "usage_bytes": attached.usage_bytes,
        "attributes": dict(attached.attributes),
        "chunking_strategy": CUT_BY_US,
    }


def batch_object(batch: Batch, counts: Counts) -> dict[str, Any]:
    """A batch of files of a vector store."""
    waiting, done = counts.by_status.get("in_progress"), counts.by_status.get("completed")
    failed = bool(counts.by_status.get("failed")) and not done
    status = "cancelled" if batch.is_cancelled else "in_progress" if waiting else "failed" if failed else "completed"
    return {
        "id": batch.batch_id,
        "object": "vector_store.files_batch",
        "created_at": batch.created_us // SECOND_US,
        "vector_store_id": batch.store_id,
        "status": status,
        "file_counts": counts_object(counts),
    }


def deleted_object(kind: str, deleted_id: str) -> dict[str, Any]:
    """What says that something is deleted."""
    return {"id": deleted_id, "object": kind, "deleted": True}


def file_id_of(collection: str, path: str) -> str:
    """The file that a document is of: its uploaded file, or an id made of its place in the operator's sources."""
    return path.partition("/")[0] if is_uploaded(collection) else f"file-{hash_text(collection, path)[:24]}"


def file_name_of(collection: str, path: str) -> str:
    """The file's name, with the folders that lie within its collection, or within an uploaded archive."""
    return name_source(collection, path) if is_uploaded(collection) else path


def score_of(cosine: float) -> float:
    """A passage's score for clients, from 0 to 1: its cosine with the query, which compares between stores."""
    return min(max(cosine, 0.0), 1.0)


def text_page(texts: list[str]) -> dict[str, Any]:
    """The texts of a file, as one page."""
    data: list[Mapping[str, str]] = [{"type": "text", "text": text} for text in texts]
    return {"object": "vector_store.file_content.page", "data": data, "has_more": False, "next_page": None}
