"""serve.store.sqlite: a file for its owner, transactions that wait for each other, errors that say what to do."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from serve.errors import StoreBusy, StoreFull, StoreUnavailable
from serve.store.sqlite import FILE, SqliteEngine
from tests.rows import for_each


def failed(code: int, words: str = "disk I/O error") -> sqlite3.OperationalError:
    """What SQLite raises with an error code; the upper bytes of an extended code say more than its kind."""
    error = sqlite3.OperationalError(words)
    error.sqlite_errorcode = code
    return error


@for_each(
    ("code", "kind", "says"),
    [
        (sqlite3.SQLITE_FULL, StoreFull, "make room on the disk of the home folder (CHIPALIGN_HOME)."),
        (sqlite3.SQLITE_BUSY, StoreBusy, "was busy for 10 s: ask again in a few seconds."),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreBusy, "ask again in a few seconds."),
        (sqlite3.SQLITE_LOCKED, StoreBusy, "ask again in a few seconds."),
        (sqlite3.SQLITE_READONLY, StoreUnavailable, f"the file {FILE}, is read-only, so nothing was changed"),
        (sqlite3.SQLITE_READONLY_DBMOVED, StoreUnavailable, "make it writable."),
        (sqlite3.SQLITE_CANTOPEN, StoreUnavailable, "make the home folder (CHIPALIGN_HOME) writable."),
        (sqlite3.SQLITE_CANTOPEN_ISDIR, StoreUnavailable, "cannot be opened"),
        (sqlite3.SQLITE_PERM, StoreUnavailable, "cannot be opened"),
        (sqlite3.SQLITE_CORRUPT, StoreUnavailable, "restore it from a backup, or move it elsewhere."),
        (sqlite3.SQLITE_CORRUPT_INDEX, StoreUnavailable, "is damaged, or is not a store"),
        (sqlite3.SQLITE_NOTADB, StoreUnavailable, "is damaged, or is not a store"),
        (sqlite3.SQLITE_IOERR, StoreUnavailable, "cannot be read or written (disk I/O error)"),
        (sqlite3.SQLITE_IOERR_FSYNC, StoreUnavailable, "look at the disk."),
        (sqlite3.SQLITE_NOMEM, StoreUnavailable, "look at the disk."),
    ],
)
def test_an_error_of_the_file_says_what_and_what_to_do(code: int, kind: type[Exception], says: str) -> None:
    explained = SqliteEngine(Path("unused")).explain(failed(code))
    assert type(explained) is kind
    assert says in str(explained)
    assert "\n" not in str(explained)


@for_each(
    "error",
    [
        failed(sqlite3.SQLITE_ERROR, "no such table: x"),
        failed(sqlite3.SQLITE_CONSTRAINT_UNIQUE),
        failed(sqlite3.SQLITE_MISUSE),
        sqlite3.ProgrammingError("Cannot operate on a closed database."),
        ValueError("a bug of ours"),
        OSError(28, "No space left on device"),
        KeyError("id"),
    ],
)
def test_a_bug_of_ours_is_not_blamed_on_the_file(error: Exception) -> None:
    assert SqliteEngine(Path("unused")).explain(error) is None


def test_a_new_file_and_its_home_are_for_their_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "a" / "home"
    SqliteEngine(home).connect().close()
    assert stat.S_IMODE((home / FILE).stat().st_mode) == 0o600


def test_a_connection_keeps_foreign_keys_and_overwrites_what_is_deleted(tmp_path: Path) -> None:
    connection = SqliteEngine(tmp_path).connect()
    found = {
        name: connection.rows(f"PRAGMA {name}")[0][0]
        for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
    }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}
    assert connection.is_alive()
    connection.close()


def test_a_row_count_is_of_the_rows_that_were_changed(tmp_path: Path) -> None:
    connection = SqliteEngine(tmp_path).connect()
    connection.run("CREATE TABLE t (a TEXT, b BIGINT)")
    assert connection.run("INSERT INTO t VALUES (?, ?)", ("x", 1)) == 1
    assert connection.run("INSERT INTO t VALUES (?, ?), (?, ?)", ("y", 2, "z", None)) == 2
    assert connection.run("UPDATE t SET b = 5 WHERE a = ?", ("nobody",)) == 0
    assert connection.run("UPDATE t SET b = 5") == 3
    assert connection.rows("SELECT a, b FROM t WHERE a > ? ORDER BY a", ("x",)) == [("y", 5), ("z", 5)]
    connection.close()


def test_what_is_rolled_back_is_not_there_and_the_next_writer_gets_its_turn(tmp_path: Path) -> None:
    engine = SqliteEngine(tmp_path)
    first, second = engine.connect(), engine.connect()
    first.run("CREATE TABLE t (a BIGINT)")
    first.begin(writes=True)
    first.run("INSERT INTO t VALUES (1)")
    first.roll_back()
    first.roll_back()  # after some errors SQLite has done so itself
    first.close()  # and gives the turn back

    second.begin(writes=True)
    second.run("INSERT INTO t VALUES (2)")
    second.commit()
    assert second.rows("SELECT a FROM t") == [(2,)]
    second.close()


def test_a_reader_needs_no_turn_and_sees_the_state_at_its_beginning(tmp_path: Path) -> None:
    engine = SqliteEngine(tmp_path)
    writer, reader = engine.connect(), engine.connect()
    writer.run("CREATE TABLE t (a BIGINT)")
    reader.begin(writes=False)
    assert reader.rows("SELECT COUNT(*) FROM t") == [(0,)]
    writer.begin(writes=True)
    writer.run("INSERT INTO t VALUES (1)")
    writer.commit()
    assert reader.rows("SELECT COUNT(*) FROM t") == [(0,)]
    reader.commit()
    assert reader.rows("SELECT COUNT(*) FROM t") == [(1,)]
    writer.close()
    reader.close()


def test_a_transaction_that_cannot_begin_keeps_nobody_waiting(tmp_path: Path) -> None:
    engine = SqliteEngine(tmp_path)
    first, second = engine.connect(), engine.connect()
    first.begin(writes=False)
    with pytest.raises(sqlite3.OperationalError, match="within a transaction"):
        first.begin(writes=True)
    first.roll_back()
    second.begin(writes=True)  # it would wait and raise StoreBusy if the first still had the turn
    second.commit()
    first.close()
    second.close()
