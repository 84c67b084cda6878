"""serve.uploads.objects: what is stored, as the objects that OpenAI's own client reads."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types import FileDeleted, FileObject, VectorStoreDeleted
from openai.types import VectorStore as TheirStore
from openai.types.vector_stores import VectorStoreFile, VectorStoreFileBatch

from serve.store.files import StoredFile
from serve.store.vector_stores import Attachment, Batch, Counts, VectorStore
from serve.uploads.objects import (
    batch_object,
    counts_object,
    deleted_object,
    file_id_of,
    file_name_of,
    file_object,
    score_of,
    store_file_object,
    text_page,
    vector_store_object,
)
from tests.rows import for_each

AT_US = 1_700_000_000_999_999
AT_S = 1_700_000_000
UPLOADED = f"vs_{'a' * 24}"


def test_a_file_is_an_object_of_openais() -> None:
    made = file_object(StoredFile("file-1", AT_US, "a b.md", 12, "assistants", AT_US + 5_000_000))
    read = FileObject.model_validate(made, strict=True)
    assert (read.id, read.bytes, read.created_at, read.expires_at) == ("file-1", 12, AT_S, AT_S + 5)
    assert file_object(StoredFile("file-1", AT_US, "a", 0, "evals"))["expires_at"] is None


@for_each(
    ("by_status", "status"),
    [
        ({}, "completed"),
        ({"completed": 2, "failed": 1}, "completed"),
        ({"failed": 1}, "completed"),  # of a store: nothing is under way
        ({"completed": 5, "in_progress": 1}, "in_progress"),
        ({"in_progress": 0, "cancelled": 1}, "completed"),
    ],
)
def test_a_store_is_in_progress_while_a_file_is(by_status: dict[str, int], status: str) -> None:
    made = vector_store_object(VectorStore("vs_1", AT_US, "docs", {"team": "cad"}, AT_US), Counts(by_status, 77))
    read = TheirStore.model_validate(made, strict=True)
    assert (read.status, read.usage_bytes, read.metadata) == (status, 77, {"team": "cad"})
    assert read.file_counts.total == sum(by_status.values())
    assert read.expires_after is None


def test_a_store_expires_so_many_days_after_its_last_use() -> None:
    made = vector_store_object(VectorStore("vs_1", AT_US, active_us=AT_US + 10_000_000, expires_days=2), Counts())
    read = TheirStore.model_validate(made, strict=True)
    assert read.last_active_at == AT_S + 10
    assert read.expires_at == AT_S + 10 + 2 * 86_400
    assert read.expires_after is not None
    assert read.expires_after.days == 2


def test_counts_name_every_status_and_their_sum() -> None:
    assert counts_object(Counts({"failed": 2, "completed": 1})) == {
        "in_progress": 0,
        "completed": 1,
        "failed": 2,
        "cancelled": 0,
        "total": 3,
    }


def test_a_file_of_a_store_has_its_error_only_where_it_failed() -> None:
    good = Attachment("vs_1", "file-1", AT_US, "completed", {"team": "cad", "year": 2026}, usage_bytes=5)
    read = VectorStoreFile.model_validate(store_file_object(good))
    assert (read.status, read.last_error, read.attributes) == ("completed", None, {"team": "cad", "year": 2026})
    failed = Attachment("vs_1", "file-1", AT_US, "failed", {}, "invalid_file", "it is damaged")
    error = VectorStoreFile.model_validate(store_file_object(failed)).last_error
    assert error is not None
    assert (error.code, error.message) == ("invalid_file", "it is damaged")


@for_each(
    ("by_status", "is_cancelled", "status"),
    [
        ({"completed": 1}, False, "completed"),
        ({"completed": 1, "failed": 1}, False, "completed"),
        ({"failed": 2}, False, "failed"),
        ({"failed": 2, "in_progress": 1}, False, "in_progress"),
        ({"completed": 1, "cancelled": 1}, True, "cancelled"),
        ({"in_progress": 1}, True, "cancelled"),
        ({}, False, "completed"),
    ],
)
def test_a_batch_has_the_status_of_its_files(by_status: dict[str, int], is_cancelled: bool, status: str) -> None:
    made = batch_object(Batch("vsfb_1", "vs_1", AT_US, is_cancelled), Counts(by_status))
    assert VectorStoreFileBatch.model_validate(made, strict=True).status == status


def test_what_is_deleted_is_said_to_be() -> None:
    assert FileDeleted.model_validate(deleted_object("file", "file-1")).deleted
    assert VectorStoreDeleted.model_validate(deleted_object("vector_store.deleted", "vs_1")).id == "vs_1"


def test_a_document_of_the_operators_has_an_id_of_its_place_and_an_uploaded_one_its_files() -> None:
    assert file_id_of(UPLOADED, "file-7/manual/a.md") == "file-7"
    assert file_name_of(UPLOADED, "file-7/manual/a.md") == "manual/a.md"
    own = file_id_of("openroad", "grt/README.md")
    assert own == file_id_of("openroad", "grt/README.md")
    assert own.startswith("file-")
    assert len({own, file_id_of("openroad", "grt/other.md"), file_id_of("other", "grt/README.md")}) == 3
    assert file_name_of("openroad", "grt/README.md") == "grt/README.md"


@pytest.mark.parametrize(("cosine", "score"), [(0.25, 0.25), (-0.2, 0.0), (1.0000001, 1.0), (0.0, 0.0)])
def test_a_score_lies_between_0_and_1(cosine: float, score: float) -> None:
    assert score_of(cosine) == score


def test_the_texts_of_a_file_are_one_page() -> None:
    page: dict[str, Any] = text_page(["a", "b"])
    assert [each["text"] for each in page["data"]] == ["a", "b"]
    assert (page["has_more"], page["next_page"]) == (False, None)
