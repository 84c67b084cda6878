"""What people said of answers: counts by day always, their words and the question only where they were handed in.

Whoever calls decides what is kept of a question. It knows no HTTP.

    Feedback(database).add(Rating("chatcmpl-1", "down", reason="wrong option"))
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from serve.store.database import Database, new_id, now_us
from serve.store.transaction import Transaction

_COLUMNS = "id, answer_id, rating, reason, correction, question, answer, created_us"


@dataclass(frozen=True, slots=True)
class Rating:
    """What somebody said of an answer: up or down, why, and what it should have been."""

    answer_id: str
    rating: str
    reason: str | None = None
    correction: str | None = None
    question: str | None = None
    answer: str | None = None
    feedback_id: str = field(default_factory=lambda: new_id("fb_"))
    created_us: int = field(default_factory=now_us)


class Feedback:
    """Feedback in the store; each call is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, rating: str) -> None:
        """Count a rating, and keep nothing else. Raises StoreUnavailable, StoreFull, StoreBusy."""
        with self._database.transaction() as change:
            _count(change, rating)

    def add(self, rating: Rating) -> None:
        """Keep a rating with its words, in place of an earlier one of the same answer, and count it.

        Raises StoreUnavailable, StoreFull, StoreBusy.
        """
        values = (
            *(rating.feedback_id, rating.answer_id, rating.rating, rating.reason),
            *(rating.correction, rating.question, rating.answer, rating.created_us),
        )
        with self._database.transaction() as change:
            _count(change, rating.rating)
            change.run(
                f"INSERT INTO feedback ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (answer_id) DO UPDATE "
                "SET id = excluded.id, rating = excluded.rating, reason = excluded.reason, "
                "correction = excluded.correction, question = excluded.question, answer = excluded.answer, "
                "created_us = excluded.created_us",
                values,
            )

    def ratings(self) -> list[Rating]:
        """All that is kept with words, the oldest first. Raises StoreUnavailable, StoreBusy."""
        with self._database.transaction(writes=False) as read:
            rows = read.rows(f"SELECT {_COLUMNS} FROM feedback ORDER BY created_us, id")
        return [
            Rating(answer_id, rating, reason, correction, question, answer, feedback_id, created_us)
            for feedback_id, answer_id, rating, reason, correction, question, answer, created_us in rows
        ]

    def counts(self) -> dict[str, dict[str, int]]:
        """Ratings by day (UTC) and kind. Raises StoreUnavailable, StoreBusy."""
        with self._database.transaction(writes=False) as read:
            rows = read.rows("SELECT day, rating, count FROM feedback_counts ORDER BY day, rating")
        days: dict[str, dict[str, int]] = {}
        for day, rating, count in rows:
            days.setdefault(day, {})[rating] = count
        return days


def delete_old_feedback(change: Transaction, before_us: int) -> int:
    """Delete what was said before a time; the counts stay. Returns how many."""
    return change.run("DELETE FROM feedback WHERE created_us < ?", (before_us,))


def _count(change: Transaction, rating: str) -> None:
    day = datetime.now(UTC).date().isoformat()
    change.run(
        "INSERT INTO feedback_counts (day, rating, count) VALUES (?, ?, 1) "
        "ON CONFLICT (day, rating) DO UPDATE SET count = feedback_counts.count + 1",
        (day, rating),
    )
