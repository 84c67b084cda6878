"""serve.store.files: the rows of uploaded files, in a real SQLite file."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg
import pytest

from serve.store import files
from serve.store.database import Database
from serve.store.files import AT_ONCE, StoredFile
from serve.store.sqlite import SqliteEngine
from tests.rows import for_each

BROKEN = (sqlite3.IntegrityError, psycopg.IntegrityError)  # a rule of the tables, by either database


def file(number: int, size: int = 10, created_us: int | None = None, expires_us: int | None = None) -> StoredFile:
    at_us = number if created_us is None else created_us
    return StoredFile(f"file-{number}", at_us, f"manual {number}.pdf", size, "assistants", expires_us)


def keep(database: Database, *kept: StoredFile) -> None:
    with database.transaction() as change:
        for each in kept:
            files.add(change, each)


@for_each(
    "kept",
    [
        StoredFile("file-1", 0, "", 0, "evals"),
        StoredFile("file-1", 1, "Handbuch für Übergänge 配線 \U0001f600.md", 5, "user_data", 7),
        StoredFile("file-1", 1, 'it\'s "quoted"; DROP TABLE files; --.txt', 5, "assistants"),
        StoredFile("file-1", 2**62, "a.md", 2**62, "assistants", 2**62),
        StoredFile("file-1", 1, "line\r\nends\t.md", 1, "batch", 0),
    ],
)
def test_a_file_comes_back_with_every_field_as_it_was(kept: StoredFile, tmp_path: Path) -> None:
    with Database(SqliteEngine(tmp_path)).transaction() as change:
        files.add(change, kept)
        assert files.find(change, "file-1") == kept
        assert files.list_all(change) == [kept]


def test_an_empty_store_has_no_files_and_holds_no_bytes(database: Database) -> None:
    with database.transaction() as change:
        assert files.list_all(change) == []
        assert files.total_bytes(change) == 0
        assert files.find(change, "file-1") is None
        assert files.find_many(change, []) == {}
        assert files.list_expired(change, 2**62) == []
        assert not files.delete(change, "file-1")


def test_files_are_listed_the_oldest_first_and_those_of_one_moment_by_id(database: Database) -> None:
    keep(database, file(3, created_us=5), file(2, created_us=9), file(1, created_us=5), file(4, created_us=1))
    with database.transaction(writes=False) as read:
        assert [each.file_id for each in files.list_all(read)] == ["file-4", "file-1", "file-3", "file-2"]


@pytest.mark.parametrize("count", [1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE + 3])
def test_many_files_are_found_however_many_statements_it_takes(count: int, database: Database) -> None:
    keep(database, *map(file, range(count)))
    wanted = [f"file-{number}" for number in range(-2, count)]  # the first two are unknown
    with database.transaction(writes=False) as read:
        found = files.find_many(read, wanted)
    assert found == {f"file-{number}": file(number) for number in range(count)}


def test_an_id_that_is_asked_for_twice_is_found_once(database: Database) -> None:
    keep(database, file(1))
    with database.transaction(writes=False) as read:
        assert files.find_many(read, ["file-1", "file-9", "file-1"]) == {"file-1": file(1)}
        assert files.find(read, "FILE-1") is None  # letters count as they are


def test_a_file_expires_after_its_moment_and_one_without_a_date_never(database: Database) -> None:
    keep(database, file(1, expires_us=99), file(2, expires_us=100), file(3, expires_us=101), file(4))
    with database.transaction(writes=False) as read:
        assert files.list_expired(read, 100) == ["file-1"]
        assert sorted(files.list_expired(read, 2**62)) == ["file-1", "file-2", "file-3"]


def test_bytes_are_summed_beyond_what_32_bits_hold_and_go_with_their_file(database: Database) -> None:
    keep(database, file(1, size=3 * 2**30), file(2, size=3 * 2**30), file(3, size=0))
    with database.transaction() as change:
        assert files.total_bytes(change) == 6 * 2**30
        assert files.delete(change, "file-1")
        assert not files.delete(change, "file-1")
        assert files.total_bytes(change) == 3 * 2**30
        assert [each.file_id for each in files.list_all(change)] == ["file-2", "file-3"]


def test_a_second_file_of_an_id_is_refused_and_the_first_stays(database: Database) -> None:
    keep(database, file(1, size=10))
    with pytest.raises(BROKEN, match=r"files\.id|files_pkey"):
        keep(database, file(2), file(1, size=99))
    with database.transaction(writes=False) as read:
        assert files.list_all(read) == [file(1, size=10)]  # and nothing of the transaction that failed
