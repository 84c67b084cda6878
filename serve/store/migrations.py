"""The tables of the store, as numbered steps: each is done once, in its order, and never changed afterwards.

Whoever needs another table or column adds a step at the end. All times are microseconds since 1970; texts that are
JSON are read and written by those who own the table.

    with database.transaction() as change: migrate(change)
"""

from __future__ import annotations

import time

from serve.errors import StoreUnavailable
from serve.store.transaction import Transaction

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE files (
            id TEXT PRIMARY KEY,
            created_us BIGINT NOT NULL,
            name TEXT NOT NULL,
            bytes BIGINT NOT NULL,
            purpose TEXT NOT NULL,
            expires_us BIGINT
        )""",
        """CREATE TABLE vector_stores (
            id TEXT PRIMARY KEY,
            created_us BIGINT NOT NULL,
            name TEXT NOT NULL,
            metadata TEXT NOT NULL,
            active_us BIGINT NOT NULL,
            expires_days BIGINT,
            is_deleted BIGINT NOT NULL DEFAULT 0
        )""",
        """CREATE TABLE batches (
            id TEXT PRIMARY KEY,
            store_id TEXT NOT NULL REFERENCES vector_stores (id) ON DELETE CASCADE,
            created_us BIGINT NOT NULL,
            is_cancelled BIGINT NOT NULL DEFAULT 0
        )""",
        """CREATE TABLE attachments (
            store_id TEXT NOT NULL REFERENCES vector_stores (id) ON DELETE CASCADE,
            file_id TEXT NOT NULL,
            batch_id TEXT,
            created_us BIGINT NOT NULL,
            status TEXT NOT NULL,
            attributes TEXT NOT NULL,
            error_code TEXT,
            error_message TEXT,
            usage_bytes BIGINT NOT NULL DEFAULT 0,
            in_index BIGINT NOT NULL DEFAULT 0,
            PRIMARY KEY (store_id, file_id)
        )""",
        "CREATE INDEX attachments_by_file ON attachments (file_id)",
        "CREATE INDEX attachments_by_batch ON attachments (batch_id)",
        "CREATE INDEX attachments_by_status ON attachments (status)",
    ),
    (
        """CREATE TABLE responses (
            id TEXT PRIMARY KEY,
            created_us BIGINT NOT NULL,
            previous_id TEXT,
            input TEXT NOT NULL,
            response TEXT NOT NULL
        )""",
        "CREATE INDEX responses_by_time ON responses (created_us)",
    ),
    (
        """CREATE TABLE feedback (
            answer_id TEXT PRIMARY KEY,
            id TEXT NOT NULL,
            created_us BIGINT NOT NULL,
            rating TEXT NOT NULL,
            reason TEXT,
            correction TEXT,
            question TEXT,
            answer TEXT
        )""",
        "CREATE INDEX feedback_by_time ON feedback (created_us)",
        """CREATE TABLE feedback_counts (
            day TEXT NOT NULL,
            rating TEXT NOT NULL,
            count BIGINT NOT NULL,
            PRIMARY KEY (day, rating)
        )""",
    ),
    (
        """CREATE TABLE conversations (
            id TEXT PRIMARY KEY,
            created_us BIGINT NOT NULL,
            active_us BIGINT NOT NULL,
            metadata TEXT NOT NULL
        )""",
        "CREATE INDEX conversations_by_time ON conversations (active_us)",
        """CREATE TABLE conversation_items (
            conversation_id TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
            number BIGINT NOT NULL,
            id TEXT NOT NULL,
            item TEXT NOT NULL,
            PRIMARY KEY (conversation_id, number),
            UNIQUE (conversation_id, id)
        )""",
        "CREATE INDEX conversation_items_by_id ON conversation_items (id)",
    ),
)


def migrate(change: Transaction) -> None:
    """Do the steps that were not done yet.

    Raises StoreUnavailable: a newer version of this program has done more.
    """
    change.lock_schema()
    change.run("CREATE TABLE IF NOT EXISTS migrations (number BIGINT PRIMARY KEY, applied_us BIGINT NOT NULL)")
    [(done,)] = change.rows("SELECT COUNT(*) FROM migrations")
    if done > len(MIGRATIONS):
        raise StoreUnavailable(
            f"The gateway's store was written by a newer version (its tables are number {done}, this one knows "
            f"{len(MIGRATIONS)}): install that version."
        )
    for number, statements in enumerate(MIGRATIONS[done:], start=done + 1):
        for statement in statements:
            change.run(statement)
        change.run("INSERT INTO migrations VALUES (?, ?)", (number, time.time_ns() // 1000))
