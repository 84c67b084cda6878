"""Operations on kept conversations: make, show, change and delete them, and the items in them.

A conversation holds what a response can be asked with, so that each one that is kept can be gone on from. They may wait
for a disk: call them in a thread.

    made = create_conversation(database, CreateConversation(items=[{"role": "user", "content": "hello"}]))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from serve.errors import ConversationItemNotFound
from serve.request_body import shorten
from serve.responses.conversation import (
    check_room,
    conversation_items,
    find_reference,
    is_reference,
    no_such_conversation,
)
from serve.responses.items import Item, kept, to_messages
from serve.store import conversations
from serve.store.conversations import Conversation
from serve.store.database import Database, new_id
from serve.store.transaction import Transaction
from serve.uploads.objects import SECOND_US, deleted_object
from serve.uploads.pages import Page, paginate
from serve.uploads.requests import Metadata

MOST_ADDED = 20  # items at a time, as OpenAI's


class CreateConversation(BaseModel):
    """POST /v1/conversations."""

    items: list[dict[str, Any]] | None = Field(default=None, max_length=MOST_ADDED)
    metadata: Metadata | None = None


class UpdateConversation(BaseModel):
    """POST /v1/conversations/{id}."""

    metadata: Metadata | None


class AddItems(BaseModel):
    """POST /v1/conversations/{id}/items."""

    items: list[dict[str, Any]] = Field(min_length=1, max_length=MOST_ADDED)


def create_conversation(database: Database, body: CreateConversation) -> dict[str, Any]:
    """A new conversation, with its first items. Raises RequestError, ItemNotFound."""
    made = Conversation(new_id("conv_"), body.metadata or {})
    items = _resolved(database, body.items or ())
    with database.transaction() as change:
        conversations.add(change, made)
        _append(change, made.conversation_id, items)
    return _object(made)


def show_conversation(database: Database, conversation_id: str) -> dict[str, Any]:
    """A conversation. Raises ConversationNotFound."""
    with database.transaction(writes=False) as read:
        return _object(_find(read, conversation_id))


def update_conversation(database: Database, conversation_id: str, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """A conversation with other metadata. Raises ConversationNotFound."""
    with database.transaction() as change:
        _take(change, conversation_id)
        conversations.set_metadata(change, conversation_id, metadata or {})
        return _object(_find(change, conversation_id))


def delete_conversation(database: Database, conversation_id: str) -> dict[str, Any]:
    """What says that a conversation is deleted, with its items; responses stay. Raises ConversationNotFound."""
    with database.transaction() as change:
        if not conversations.delete(change, conversation_id):
            raise no_such_conversation(conversation_id)
    return deleted_object("conversation.deleted", conversation_id)


def add_items(database: Database, conversation_id: str, body: AddItems) -> dict[str, Any]:
    """The items that were added, all or none. Raises RequestError, ConversationNotFound, ItemNotFound."""
    items = _resolved(database, body.items)
    with database.transaction() as change:
        _take(change, conversation_id)
        added = _append(change, conversation_id, items)
    return paginate(added, Page(limit=MOST_ADDED, order="asc"))


def list_items(database: Database, conversation_id: str, page: Page) -> dict[str, Any]:
    """A page of a conversation's items. Raises RequestError, ConversationNotFound."""
    with database.transaction(writes=False) as read:
        _find(read, conversation_id)
        return paginate(conversations.list_items(read, conversation_id), page)


def show_item(database: Database, conversation_id: str, item_id: str) -> Item:
    """An item of a conversation. Raises ConversationNotFound, ConversationItemNotFound."""
    with database.transaction(writes=False) as read:
        _find(read, conversation_id)
        found = conversations.find_item(read, item_id, conversation_id)
    if found is None:
        raise _no_such_item(conversation_id, item_id)
    return found


def delete_item(database: Database, conversation_id: str, item_id: str) -> dict[str, Any]:
    """The conversation without an item. Raises ConversationNotFound, ConversationItemNotFound."""
    with database.transaction() as change:
        _take(change, conversation_id)
        if not conversations.delete_item(change, conversation_id, item_id):
            raise _no_such_item(conversation_id, item_id)
        return _object(_find(change, conversation_id))


def _resolved(database: Database, items: Sequence[Item]) -> list[Item]:
    """The items, with a copy of what a reference names, which gets an id of its own. Raises ItemNotFound."""
    return [
        {**find_reference(database, item, f"items[{number}]"), "id": None} if is_reference(item) else item
        for number, item in enumerate(items)
    ]


def _append(change: Transaction, conversation_id: str, items: Sequence[Item]) -> list[Item]:
    """Add items to a conversation. Raises RequestError: no response could be asked with them."""
    placed = [("conversation", item) for item in conversation_items(change, conversation_id)]
    to_messages([*placed, *((f"items[{number}]", item) for number, item in enumerate(items))], {})
    check_room(change, conversation_id, items, "items")
    added = [*map(kept, items)]
    conversations.append(change, conversation_id, added)
    return added


def _take(change: Transaction, conversation_id: str) -> None:
    if not conversations.take(change, conversation_id):
        raise no_such_conversation(conversation_id)


def _find(read: Transaction, conversation_id: str) -> Conversation:
    found = conversations.find(read, conversation_id)
    if found is None:
        raise no_such_conversation(conversation_id)
    return found


def _no_such_item(conversation_id: str, item_id: str) -> ConversationItemNotFound:
    return ConversationItemNotFound(
        f"The conversation {shorten(conversation_id)} has no item with the id {shorten(item_id)}.", "item_id"
    )


def _object(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": conversation.conversation_id,
        "object": "conversation",
        "created_at": conversation.created_us // SECOND_US,
        "metadata": dict(conversation.metadata),
    }
