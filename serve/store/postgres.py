"""PostgreSQL behind the store, for several gateways that share one.

psycopg is imported with the first connection: only who sets CHIPALIGN_STORE_URL needs it. It knows no table.

    connection = PostgresEngine("postgresql://chipalign@db/chipalign").connect()
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from serve.errors import RequestError, StoreBusy, StoreFull, StoreUnavailable

if TYPE_CHECKING:
    import psycopg

CONNECT_S = 5
# Of one statement, of waiting for another's lock, of a transaction that does nothing
LIMITS = (
    "SET statement_timeout = '30s'",
    "SET lock_timeout = '10s'",
    "SET idle_in_transaction_session_timeout = '60s'",
)
SCHEMA_LOCK = 7_263_545_098_134_207  # any number that is nobody else's
FULL, READ_ONLY, LOCK_NOT_AVAILABLE = "53100", "25006", "55P03"  # PostgreSQL's error codes
DEADLOCK, NO_PRIVILEGE = "40P01", "42501"


class PostgresConnection:
    """One connection."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def is_alive(self) -> bool:
        """Whether the server still answers on it."""
        import psycopg

        try:
            self._connection.execute("SELECT 1")
        except psycopg.Error:
            self.close()
            return False
        return True

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run a statement; returns the number of rows that it changed."""
        return self._connection.execute(_as_psycopg(sql), values).rowcount

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return self._connection.execute(_as_psycopg(sql), values).fetchall()

    def lock_schema(self) -> None:
        """Wait until no other process changes the tables, and let none until the transaction ends."""
        self.rows("SELECT pg_advisory_xact_lock(?)", (SCHEMA_LOCK,))

    def begin(self, *, writes: bool) -> None:
        """Begin."""
        self._connection.execute("BEGIN" if writes else "BEGIN READ ONLY")

    def commit(self) -> None:
        """Bring what was changed to the disk."""
        self._connection.execute("COMMIT")

    def roll_back(self) -> None:
        """Undo what was changed."""
        self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection."""
        with suppress(Exception):  # the server may have done so
            self._connection.close()


class PostgresEngine:
    """A PostgreSQL that a URL names."""

    def __init__(self, url: str) -> None:
        self._url = url

    def connect(self) -> PostgresConnection:
        """A new connection.

        Raises StoreUnavailable: psycopg is not installed, or the URL cannot be read; psycopg.Error.
        """
        try:
            import psycopg
        except ImportError:
            raise StoreUnavailable(
                "The gateway's store is a PostgreSQL (CHIPALIGN_STORE_URL), and psycopg is not installed: "
                "pip install 'psycopg[binary]'."
            ) from None
        try:
            connection = psycopg.connect(
                self._url,
                autocommit=True,  # transactions are begun by name
                connect_timeout=CONNECT_S,
                application_name="chipalign",
                prepare_threshold=None,  # a pooler between us and the server gives each transaction another connection
            )
        except psycopg.ProgrammingError:  # its words may hold the password
            raise _unavailable("has a URL that cannot be read", "correct CHIPALIGN_STORE_URL") from None
        try:
            for limit in LIMITS:
                connection.execute(limit)
        except BaseException:
            connection.close()
            raise
        return PostgresConnection(connection)

    def find_problem(self) -> str:
        """Why it cannot be used; empty where it answers. Nothing is changed."""
        try:
            self.connect().close()
        except Exception as error:
            if explained := self.explain(error) or (error if isinstance(error, StoreUnavailable) else None):
                return str(explained)
            raise
        return ""

    def explain(self, error: Exception) -> Exception | None:
        """What is wrong with the server, for whoever asked; neither its address nor its words, which may hold a key."""
        try:
            import psycopg
        except ImportError:
            return None
        if not isinstance(error, psycopg.Error):
            return None
        if error.sqlstate == FULL:
            return StoreFull(
                "The gateway's store, a PostgreSQL, has no room left, so nothing was changed: make room on its disk."
            )
        if error.sqlstate in (LOCK_NOT_AVAILABLE, DEADLOCK):
            return StoreBusy("The gateway's store was busy: ask again in a few seconds.")
        if error.sqlstate in (READ_ONLY, NO_PRIVILEGE):
            return _unavailable("may not be written", "give the user of CHIPALIGN_STORE_URL the right to")
        if isinstance(error, psycopg.DataError):
            return RequestError("The request has an id with a character that is not text (NUL): leave it out.")
        if isinstance(error, psycopg.OperationalError):
            return _unavailable("does not answer", "look at the PostgreSQL of CHIPALIGN_STORE_URL")
        return None


def _as_psycopg(sql: str) -> bytes:
    """The statement with psycopg's sign for a value."""
    return sql.replace("?", "%s").encode()


def _unavailable(what: str, advice: str) -> StoreUnavailable:
    return StoreUnavailable(f"The gateway's store, a PostgreSQL, {what}, so nothing was changed: {advice}.")
