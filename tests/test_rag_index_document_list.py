"""rag.index.document_list: the list of an index comes back as it was, stays readable, and damage is one sentence."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.errors import IndexCorrupt
from rag.index.document_list import DOCUMENTS, DocumentRecord, StoredDocuments, read_documents, save_documents
from tests.rows import for_each

RECORD = DocumentRecord("openroad", "grt/README.md", "a" * 16, 3, 900, "BSD-3-Clause", "2.0", "2026-01-31")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
RECORDS = st.builds(DocumentRecord, TEXT, TEXT, TEXT, st.integers(0, 9), st.integers(0, 99), TEXT, TEXT, TEXT)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(RECORDS, min_size=1, max_size=5))
def test_records_come_back_as_they_were_whatever_their_names_hold(
    tmp_path: Path, records: list[DocumentRecord]
) -> None:
    save_documents(records, tmp_path)
    assert read_documents(tmp_path) == records
    assert StoredDocuments.load(tmp_path).get() == records


def test_a_record_is_named_by_its_collection_and_path() -> None:
    assert RECORD.name == "openroad/grt/README.md"


def test_the_list_stays_readable_after_its_file_is_replaced_or_gone(tmp_path: Path) -> None:
    save_documents([RECORD], tmp_path)
    stored = StoredDocuments.load(tmp_path)
    (tmp_path / DOCUMENTS).unlink()
    assert stored.get() == [RECORD]


def test_it_is_parsed_once_for_all_threads(tmp_path: Path) -> None:
    save_documents([RECORD] * 500, tmp_path)
    stored = StoredDocuments.load(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        lists = list(threads.map(lambda _: stored.get(), range(8)))
    assert all(each is lists[0] for each in lists)


WHOLE = asdict(RECORD)


@for_each(
    "line",
    [
        "{",
        "[]",
        "5",
        json.dumps({**WHOLE, "chunks": "3"}),
        json.dumps({**WHOLE, "hash": None}),
        json.dumps({name: value for name, value in WHOLE.items() if name != "path"}),
    ],
)
def test_a_line_that_is_not_a_document_is_damage(line: str, tmp_path: Path) -> None:
    (tmp_path / DOCUMENTS).write_text(f"{json.dumps(WHOLE)}\n{line}\n")
    said = r"holds a line that is not a document .*: build the index again"
    with pytest.raises(IndexCorrupt, match=said):
        read_documents(tmp_path)
    with pytest.raises(IndexCorrupt, match=said):
        StoredDocuments.load(tmp_path).get()


def test_an_empty_file_is_damage_where_it_is_opened_and_a_missing_one_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        StoredDocuments.load(tmp_path)
    (tmp_path / DOCUMENTS).touch()
    with pytest.raises(IndexCorrupt, match="is not a list of documents"):
        StoredDocuments.load(tmp_path)
