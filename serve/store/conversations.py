"""The rows of conversations, and of their items in the order in which they were added.

Who adds items takes the conversation first (`take`), so that of two who add at once one waits. It knows nothing of what
is in the JSON but an item's id, and keeps no response: `responses` does.

    if conversations.take(change, "conv_1"): conversations.append(change, "conv_1", [{"id": "msg_1", ...}])
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from serve.store.database import now_us
from serve.store.transaction import Transaction

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation, without its items."""

    conversation_id: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    created_us: int = field(default_factory=now_us)


def add(change: Transaction, conversation: Conversation) -> None:
    """Keep a new conversation."""
    created_us, metadata = conversation.created_us, json.dumps(dict(conversation.metadata))
    change.run(
        "INSERT INTO conversations (id, created_us, active_us, metadata) VALUES (?, ?, ?, ?)",
        (conversation.conversation_id, created_us, created_us, metadata),
    )


def find(read: Transaction, conversation_id: str) -> Conversation | None:
    """The conversation of this id, or None."""
    rows = read.rows("SELECT id, metadata, created_us FROM conversations WHERE id = ?", (conversation_id,))
    for found, metadata, created_us in rows:
        return Conversation(found, json.loads(metadata), created_us)
    return None


def take(change: Transaction, conversation_id: str) -> bool:
    """Keep others from changing a conversation until the transaction ends, and note its use; whether it is there."""
    return change.run("UPDATE conversations SET active_us = ? WHERE id = ?", (now_us(), conversation_id)) > 0


def set_metadata(change: Transaction, conversation_id: str, metadata: Mapping[str, str]) -> None:
    """Write the metadata anew."""
    change.run("UPDATE conversations SET metadata = ? WHERE id = ?", (json.dumps(dict(metadata)), conversation_id))


def delete(change: Transaction, conversation_id: str) -> bool:
    """Delete a conversation and its items; whether it was there."""
    return change.run("DELETE FROM conversations WHERE id = ?", (conversation_id,)) > 0


def append(change: Transaction, conversation_id: str, items: Sequence[Mapping[str, Any]]) -> None:
    """Add items, each with an `id` that no item of the conversation has yet."""
    sql = "SELECT COALESCE(MAX(number), 0) FROM conversation_items WHERE conversation_id = ?"
    [(last,)] = change.rows(sql, (conversation_id,))
    for number, item in enumerate(items, start=last + 1):
        change.run(
            "INSERT INTO conversation_items (conversation_id, number, id, item) VALUES (?, ?, ?, ?)",
            (conversation_id, number, item["id"], json.dumps(item)),  # ASCII: a database cannot hold half an emoji
        )


def measure(read: Transaction, conversation_id: str) -> tuple[int, int]:
    """How many items a conversation has, and how many characters they have together."""
    sql = "SELECT COUNT(*), COALESCE(SUM(LENGTH(item)), 0) FROM conversation_items WHERE conversation_id = ?"
    [(count, characters)] = read.rows(sql, (conversation_id,))
    return int(count), int(characters)


def list_ids(read: Transaction, conversation_id: str) -> set[str]:
    """The ids of a conversation's items."""
    sql = "SELECT id FROM conversation_items WHERE conversation_id = ?"
    return {item_id for (item_id,) in read.rows(sql, (conversation_id,))}


def list_items(read: Transaction, conversation_id: str) -> list[Item]:
    """The items of a conversation, the oldest first."""
    sql = "SELECT item FROM conversation_items WHERE conversation_id = ? ORDER BY number"
    return [json.loads(item) for (item,) in read.rows(sql, (conversation_id,))]


def find_item(read: Transaction, item_id: str, conversation_id: str | None = None) -> Item | None:
    """The item of this id in a conversation, or in any; or None."""
    where, values = ("AND conversation_id = ?", (conversation_id,)) if conversation_id else ("", ())
    for (item,) in read.rows(f"SELECT item FROM conversation_items WHERE id = ? {where}", (item_id, *values)):
        found: Item = json.loads(item)
        return found
    return None


def delete_item(change: Transaction, conversation_id: str, item_id: str) -> bool:
    """Delete an item of a conversation; whether it was there."""
    sql = "DELETE FROM conversation_items WHERE conversation_id = ? AND id = ?"
    return change.run(sql, (conversation_id, item_id)) > 0


def delete_old_conversations(change: Transaction, before_us: int) -> int:
    """Delete conversations that nobody has added to since a time; returns how many."""
    return change.run("DELETE FROM conversations WHERE active_us < ?", (before_us,))
