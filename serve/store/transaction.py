"""What is done with the store inside one transaction, on whichever database.

It opens nothing: `database` does.

    def count(change: Transaction) -> int: return change.rows("SELECT COUNT(*) FROM files")[0][0]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Transaction(Protocol):
    """Statements in one transaction; `?` stands for a value."""

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run a statement; returns the number of rows that it changed."""

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query."""

    def lock_schema(self) -> None:
        """Let no other process change the tables until the transaction ends."""
