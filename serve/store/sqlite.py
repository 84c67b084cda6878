"""SQLite behind the store: one file in the home folder, with a write-ahead log that is on the disk at each commit.

It knows no table.

    connection = SqliteEngine(settings.home).connect()
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rag.home import make_home
from serve.errors import StoreBusy, StoreFull, StoreUnavailable

FILE = "store.db"
BUSY_S = 10.0  # longest wait for another process's transaction
PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # with WAL, NORMAL may lose the last commits in a power cut
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # what is deleted is overwritten
)
_KIND = 0xFF  # the part of an extended error code that says what kind it is


class SqliteConnection:
    """One connection; `turn` is what the writers of this process wait for, since SQLite's own waiting is polling."""

    def __init__(self, path: Path, turn: threading.Lock) -> None:
        self._turn = turn
        self._has_turn = False
        self._connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            for pragma in PRAGMAS:
                self._connection.execute(pragma)
        except BaseException:
            self._connection.close()
            raise

    def is_alive(self) -> bool:
        """A file does not hang up."""
        return True

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run a statement; returns the number of rows that it changed."""
        return self._connection.execute(sql, values).rowcount

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return self._connection.execute(sql, values).fetchall()

    def lock_schema(self) -> None:
        """A transaction that writes has the whole file."""

    def begin(self, *, writes: bool) -> None:
        """Begin; a transaction that writes takes the file at once, so that it never has to give up halfway."""
        if writes:
            if not self._turn.acquire(timeout=BUSY_S):
                raise _busy()
            self._has_turn = True
        try:
            self._connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        except BaseException:
            self._give_turn()
            raise

    def commit(self) -> None:
        """Bring what was changed to the disk."""
        self._connection.execute("COMMIT")
        self._give_turn()

    def roll_back(self) -> None:
        """Undo what was changed; SQLite has done so itself after some errors."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
        self._give_turn()

    def _give_turn(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._turn.release()


class SqliteEngine:
    """SQLite's file in a home folder."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._turn = threading.Lock()

    def connect(self) -> SqliteConnection:
        """A new connection; the file is made for its owner alone."""
        path = self._home / FILE
        make_home(self._home)
        with suppress(OSError):  # SQLite says what is wrong
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        return SqliteConnection(path, self._turn)

    def explain(self, error: Exception) -> Exception | None:
        """What is wrong with the file, for whoever asked."""
        if not isinstance(error, sqlite3.Error):
            return None
        kind = getattr(error, "sqlite_errorcode", 0) & _KIND
        if kind == sqlite3.SQLITE_FULL:
            return StoreFull(
                "The gateway's store has no room left, so nothing was changed: make room on the disk of the home "
                "folder (CHIPALIGN_HOME)."
            )
        if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return _busy()
        if kind == sqlite3.SQLITE_READONLY:
            return _unavailable("is read-only", "make it writable")
        if kind in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
            return _unavailable("cannot be opened", "make the home folder (CHIPALIGN_HOME) writable")
        if kind in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return _unavailable("is damaged, or is not a store", "restore it from a backup, or move it elsewhere")
        if kind in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_NOLFS):
            return _unavailable(f"cannot be read or written ({error})", "look at the disk")
        return None


def _busy() -> StoreBusy:
    return StoreBusy(f"The gateway's store was busy for {BUSY_S:g} s: ask again in a few seconds.")


def _unavailable(what: str, advice: str) -> StoreUnavailable:
    return StoreUnavailable(f"The gateway's store, the file {FILE}, {what}, so nothing was changed: {advice}.")
