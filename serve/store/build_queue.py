"""What waits for a build: attachments to add, and texts to take out of the index.

`vector_stores` writes what clients want; here a builder reads it, says what it is about to do, and what came of it. So
a build that was killed is done again, and nothing is taken for built that is not.

    with database.transaction() as change: waiting = take_additions(change, most=200, most_bytes=2**28)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from serve.store.transaction import Transaction
from serve.store.vector_stores import REMOVING

_UNWANTED = f"('{REMOVING}', 'cancelled', 'failed')"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file that waits to be built into a store."""

    store_id: str
    file_id: str
    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Built:
    """What came of a file: the bytes of its text, or an error code of OpenAI's and a sentence; then it left no text."""

    store_id: str
    file_id: str
    usage_bytes: int = 0
    error_code: str | None = None
    error_message: str | None = None


def take_additions(change: Transaction, most: int, most_bytes: int) -> list[Waiting]:
    """The files that wait longest, at most so many and so large together, but at least one.

    From here on the index may hold text of them. What waits for a file that was deleted meanwhile waits no more.
    """
    change.run(
        "UPDATE attachments SET status = ? WHERE status = 'in_progress' AND file_id NOT IN (SELECT id FROM files)",
        (REMOVING,),
    )
    rows = change.rows(
        "SELECT a.store_id, a.file_id, f.name, f.bytes FROM attachments a JOIN files f ON f.id = a.file_id "
        "JOIN vector_stores s ON s.id = a.store_id WHERE a.status = 'in_progress' AND s.is_deleted = 0 "
        "ORDER BY a.created_us, a.file_id LIMIT ?",
        (most,),
    )
    taken: list[Waiting] = []
    for waiting in (Waiting(*row) for row in rows):
        if taken and sum(each.bytes for each in taken) + waiting.bytes > most_bytes:
            break
        taken.append(waiting)
    for waiting in taken:
        change.run(
            "UPDATE attachments SET in_index = 1 WHERE store_id = ? AND file_id = ?",
            (waiting.store_id, waiting.file_id),
        )
    return taken


def list_removals(read: Transaction) -> list[tuple[str, str]]:
    """Stores and files whose text the index may hold, and should not."""
    rows = read.rows(f"SELECT store_id, file_id FROM attachments WHERE in_index = 1 AND status IN {_UNWANTED}")
    return [(store_id, file_id) for store_id, file_id in rows]


def note_removed(change: Transaction, removed: Iterable[tuple[str, str]]) -> None:
    """The text of these files is gone from the index, unless they were attached again meanwhile."""
    for store_id, file_id in removed:
        change.run(
            f"UPDATE attachments SET in_index = 0 WHERE store_id = ? AND file_id = ? AND status IN {_UNWANTED}",
            (store_id, file_id),
        )
    change.run(f"DELETE FROM attachments WHERE status = '{REMOVING}' AND in_index = 0")


def note_built(change: Transaction, results: Sequence[Built]) -> None:
    """Write what came of each file; one that is not wanted any more stays for the next removal."""
    for built in results:
        change.run(
            "UPDATE attachments SET status = ?, in_index = ?, usage_bytes = ?, error_code = ?, error_message = ? "
            "WHERE store_id = ? AND file_id = ? AND status = 'in_progress'",
            (
                *(("failed", 0) if built.error_code else ("completed", 1)),
                *(built.usage_bytes, built.error_code, built.error_message, built.store_id, built.file_id),
            ),
        )


def build_again(change: Transaction, lost: Iterable[tuple[str, str]]) -> None:
    """Have files built again whose text the index has lost."""
    for store_id, file_id in lost:
        change.run(
            "UPDATE attachments SET status = 'in_progress' WHERE store_id = ? AND file_id = ? AND status = 'completed'",
            (store_id, file_id),
        )


def list_built(read: Transaction) -> list[tuple[str, str]]:
    """The stores and files of which the index should hold text."""
    rows = read.rows(
        "SELECT a.store_id, a.file_id FROM attachments a JOIN vector_stores s ON s.id = a.store_id "
        "WHERE a.status = 'completed' AND s.is_deleted = 0"
    )
    return [(store_id, file_id) for store_id, file_id in rows]
