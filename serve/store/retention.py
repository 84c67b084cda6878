"""What is deleted when its days are over: responses, conversations, and what was kept of questions.

Counts stay, and so do files and vector stores, which have dates of their own.

    delete_old(database, days=30)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from serve.store.conversations import delete_old_conversations
from serve.store.database import Database, now_us
from serve.store.feedback import delete_old_feedback
from serve.store.responses import delete_old_responses, keep_newest_responses

MOST_RESPONSES = 200_000  # one has some 20 KiB, most of it passages
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Deleted:
    """How much was deleted of each kind."""

    responses: int = 0
    conversations: int = 0
    feedback: int = 0


def delete_old(database: Database, days: int) -> Deleted:
    """Delete what is older than so many days (0: however old), and responses beyond `MOST_RESPONSES`.

    Raises StoreUnavailable, StoreFull, StoreBusy.
    """
    with database.transaction() as change:
        beyond = keep_newest_responses(change, MOST_RESPONSES)
    deleted = delete_before(database, now_us() - days * DAY_US) if days else Deleted()
    return replace(deleted, responses=beyond + deleted.responses)


def delete_before(database: Database, before_us: int) -> Deleted:
    """Delete what was stored before a time, and conversations that nobody has added to since.

    Raises StoreUnavailable, StoreFull, StoreBusy.
    """
    with database.transaction() as change:
        return Deleted(
            delete_old_responses(change, before_us),
            delete_old_conversations(change, before_us),
            delete_old_feedback(change, before_us),
        )
