"""The gateway's store: transactions on SQLite or PostgreSQL, whichever the settings name.

SQLite is the default, one file under the home folder; PostgreSQL is for several gateways. What a transaction changed is
on the disk when its block ends, and nothing of it where it ended in an error. Nothing is opened before the first
transaction. It knows no table: `migrations` makes them. Statements are those that both databases know, with `?` for a
value.

    database = open_database(settings)
    with database.transaction() as change:
        change.run("DELETE FROM files WHERE id = ?", (file_id,))
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from serve.settings import ServeSettings
from serve.store.migrations import migrate
from serve.store.postgres import PostgresEngine
from serve.store.sqlite import SqliteEngine
from serve.store.transaction import Transaction

MOST_CONNECTIONS = 8  # at a time; who comes later waits for one


class Connection(Transaction, Protocol):
    """One connection to the database, used by one thread at a time."""

    def is_alive(self) -> bool:
        """Whether it can still be used."""

    def begin(self, *, writes: bool) -> None:
        """Begin a transaction."""

    def commit(self) -> None:
        """Bring what was changed to the disk."""

    def roll_back(self) -> None:
        """Undo what was changed."""

    def close(self) -> None:
        """Close the connection."""


class Engine(Protocol):
    """A kind of database."""

    def connect(self) -> Connection:
        """A new connection."""

    def explain(self, error: Exception) -> Exception | None:
        """The error for whoever asked, where the database is at fault; None for a bug of ours, and other errors."""


class Database:
    """The store. Many threads may use it at once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._idle: list[Connection] = []
        self._places = threading.Semaphore(MOST_CONNECTIONS)
        self._opening = threading.Lock()
        self._is_migrated = False
        self._is_closed = False

    @contextmanager
    def transaction(self, *, writes: bool = True) -> Iterator[Transaction]:
        """One transaction: all of it counts, or nothing.

        Raises StoreUnavailable, StoreFull, StoreBusy.
        """
        with self._places, self._explained():
            self._migrate_once()
            with self._begun(writes) as connection:
                yield connection

    def close(self) -> None:
        """Close the connections that nobody uses now, and each other one as soon as its transaction has ended."""
        self._is_closed = True
        self._close_idle()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if explained := self._engine.explain(error):
                raise explained from error
            raise

    def _migrate_once(self) -> None:
        """Make the tables that are missing, at the first transaction of this process."""
        with self._opening:
            if not self._is_migrated:
                with self._begun(writes=True) as connection:
                    migrate(connection)
                self._is_migrated = True

    @contextmanager
    def _begun(self, writes: bool) -> Iterator[Connection]:
        """A connection with a transaction; it is kept for the next one unless something failed."""
        connection = self._take(writes)
        try:
            yield connection
            connection.commit()
        except BaseException:
            with suppress(Exception):
                connection.roll_back()
            connection.close()
            raise
        self._idle.append(connection)
        if self._is_closed:
            self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            with suppress(IndexError):  # another thread took the last one
                self._idle.pop().close()

    def _take(self, writes: bool) -> Connection:
        """A connection that has begun a transaction; a server that was started again has closed the idle ones."""
        connection = None
        while connection is None and self._idle:
            with suppress(IndexError):  # another thread took the last one
                idle = self._idle.pop()
                connection = idle if idle.is_alive() else None
        connection = connection or self._engine.connect()
        try:
            connection.begin(writes=writes)
        except BaseException:
            connection.close()
            raise
        return connection


def open_database(settings: ServeSettings) -> Database:
    """The store that the settings name; nothing is opened yet."""
    url = settings.store_url
    return Database(PostgresEngine(url) if url else SqliteEngine(settings.home))


def new_id(prefix: str) -> str:
    """An id that nobody can guess: `new_id("file-")`."""
    return f"{prefix}{secrets.token_hex(12)}"


def now_us() -> int:
    """Microseconds since 1970, by which rows are ordered."""
    return time.time_ns() // 1000
