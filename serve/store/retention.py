"""What is deleted when its days are over: stored responses, and what was kept of questions.

Counts stay, and so do files and vector stores, which have dates of their own.

    delete_old(database, days=30)
"""

from __future__ import annotations

from serve.store.database import Database, now_us
from serve.store.feedback import delete_old_feedback
from serve.store.responses import delete_old_responses, keep_newest_responses

MOST_RESPONSES = 200_000  # one has some 20 KiB, most of it passages
DAY_US = 86_400_000_000


def delete_old(database: Database, days: int) -> tuple[int, int]:
    """Delete what is older than so many days (0: however old), and responses beyond `MOST_RESPONSES`.

    Returns the responses and the feedback deleted.

    Raises StoreUnavailable, StoreFull, StoreBusy.
    """
    with database.transaction() as change:
        beyond = keep_newest_responses(change, MOST_RESPONSES)
    if days == 0:
        return beyond, 0
    responses, feedback = delete_before(database, now_us() - days * DAY_US)
    return beyond + responses, feedback


def delete_before(database: Database, before_us: int) -> tuple[int, int]:
    """Delete what was stored before a time. Returns the responses and the feedback deleted.

    Raises StoreUnavailable, StoreFull, StoreBusy.
    """
    with database.transaction() as change:
        return delete_old_responses(change, before_us), delete_old_feedback(change, before_us)
