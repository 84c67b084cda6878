"""Stored responses: what /v1/responses keeps so that a client goes on from an answer by its id.

A response keeps its own input alone; the conversation is the chain of responses back to the first. It knows nothing of
what is in the JSON.

    responses = Responses(database)
    responses.add(StoredResponse("resp_1", None, input=[...], response={...}))
    turns = responses.chain("resp_1", most=100)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from serve.store.database import Database, now_us
from serve.store.transaction import Transaction

MOST_CHARACTERS = 32 * 1024 * 1024  # of a chain that is read at once; none so long fits a model's window
_COLUMNS = "id, previous_id, input, response, created_us"


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response as it was sent, the items that were asked with, and the response that it goes on from."""

    response_id: str
    previous_id: str | None
    input: Sequence[Mapping[str, Any]]
    response: Mapping[str, Any]
    created_us: int = field(default_factory=now_us)


class Responses:
    """Responses in the store. Each call is one transaction, and may wait for the disk: call in a thread.

    All raise StoreUnavailable, StoreFull, StoreBusy.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, stored: StoredResponse) -> None:
        """Keep a response; one of the same id is replaced."""
        with self._database.transaction() as change:
            add_response(change, stored)

    def find(self, response_id: str) -> StoredResponse | None:
        """The response of this id, or None."""
        with self._database.transaction(writes=False) as read:
            return _find(read, response_id)

    def chain(self, response_id: str, most: int) -> list[StoredResponse]:
        """The response and those before it, the first one first; [] where it is unknown.

        A chain that is longer than `most` or `MOST_CHARACTERS`, or whose beginning was deleted, lacks its beginning.
        """
        turns: list[StoredResponse] = []
        with self._database.transaction(writes=False) as read:
            wanted, left = response_id, MOST_CHARACTERS
            while wanted and len(turns) < most and (found := _find(read, wanted)):
                left -= _measure(read, wanted)
                if turns and left < 0:
                    break
                turns.append(found)
                wanted = found.previous_id or ""
        return turns[::-1]

    def delete(self, response_id: str) -> bool:
        """Delete a response; whether it was there."""
        with self._database.transaction() as change:
            return change.run("DELETE FROM responses WHERE id = ?", (response_id,)) > 0


def add_response(change: Transaction, stored: StoredResponse) -> None:
    """Keep a response; one of the same id is replaced."""
    values = (
        stored.response_id,
        stored.previous_id,
        json.dumps(list(stored.input)),  # ASCII: a database cannot hold half an emoji, nor a NUL
        json.dumps(stored.response),
        stored.created_us,
    )
    change.run("DELETE FROM responses WHERE id = ?", (stored.response_id,))
    change.run(f"INSERT INTO responses ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)", values)


def delete_old_responses(change: Transaction, before_us: int) -> int:
    """Delete what was stored before a time; returns how many."""
    return change.run("DELETE FROM responses WHERE created_us < ?", (before_us,))


def keep_newest_responses(change: Transaction, most: int) -> int:
    """Delete all but so many; returns how many."""
    oldest_kept = "SELECT created_us FROM responses ORDER BY created_us DESC LIMIT 1 OFFSET ?"
    return change.run(f"DELETE FROM responses WHERE created_us < ({oldest_kept})", (most - 1,))


def _measure(read: Transaction, response_id: str) -> int:
    """The characters of a response and its input."""
    [(characters,)] = read.rows("SELECT LENGTH(input) + LENGTH(response) FROM responses WHERE id = ?", (response_id,))
    return int(characters)


def _find(read: Transaction, response_id: str) -> StoredResponse | None:
    rows = read.rows(f"SELECT {_COLUMNS} FROM responses WHERE id = ?", (response_id,))
    for found, previous_id, asked, response, created_us in rows:
        return StoredResponse(found, previous_id, json.loads(asked), json.loads(response), created_us)
    return None
