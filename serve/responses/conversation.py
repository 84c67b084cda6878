"""What a request goes on from, out of the store: earlier responses, a kept conversation, single items.

It may wait for a disk: call it in a thread. `stored_conversations` is what clients do with kept conversations.

    earlier, items = gather(database, wanted, as_items(wanted))
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from serve.errors import ConversationNotFound, ItemNotFound, PreviousResponseNotFound, RequestError
from serve.request_body import shorten
from serve.responses.events import response_id_of
from serve.responses.items import Item, new_item_id
from serve.responses.request import ResponsesRequest
from serve.store import conversations
from serve.store.database import Database
from serve.store.responses import MOST_CHARACTERS, Responses, StoredResponse, add_response
from serve.store.transaction import Transaction

MOST_TURNS = 1000  # responses of a conversation that are read again; of a longer one the newest
MOST_ITEMS = 10_000  # of a kept conversation, which each answer reads whole, and of MOST_CHARACTERS at most
REFERENCE = "item_reference"
ITEM_ID = re.compile(r"[\w.:-]{1,200}", re.ASCII)


def gather(database: Database, wanted: ResponsesRequest, items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """The items of the conversation before a request, oldest first, and its own with references resolved.

    Raises:
        ConversationNotFound, PreviousResponseNotFound, ItemNotFound, StoreUnavailable, StoreBusy
        RequestError: the conversation has no room for the items.
    """
    earlier: list[Item] = []
    if wanted.previous_response_id:
        earlier = earlier_items(Responses(database), wanted.previous_response_id)
    resolved = [
        find_reference(database, item, f"input[{number}]") if is_reference(item) else item
        for number, item in enumerate(items)
    ]
    if wanted.conversation:
        with database.transaction(writes=False) as read:
            if conversations.find(read, wanted.conversation) is None:
                raise no_such_conversation(wanted.conversation, "conversation")
            earlier = conversation_items(read, wanted.conversation)
            check_room(read, wanted.conversation, resolved, "input")
    return earlier, resolved


def is_stored(wanted: ResponsesRequest, items: Sequence[Item]) -> bool:
    """Whether a part of the conversation lies in the store."""
    return wanted.is_continued or any(map(is_reference, items))


def keep_answer(database: Database, stored: StoredResponse, conversation_id: str | None) -> None:
    """Store a response unless it may not be, and add what was asked and answered to its conversation: both or nothing.

    An item that was asked with gets another id where the conversation has got one of its id since `gather`.
    Raises ConversationNotFound: it was deleted meanwhile; StoreUnavailable, StoreFull, StoreBusy.
    """
    with database.transaction() as change:
        if conversation_id:
            if not conversations.take(change, conversation_id):
                raise no_such_conversation(conversation_id, "conversation")
            stored = replace(stored, input=_with_free_ids(change, conversation_id, stored.input))
            conversations.append(change, conversation_id, [*stored.input, *stored.response["output"]])
        if stored.response["store"]:
            add_response(change, stored)


def _with_free_ids(change: Transaction, conversation_id: str, items: Sequence[Mapping[str, Any]]) -> list[Item]:
    """The items, each with an id that no item of a conversation has."""
    taken = conversations.list_ids(change, conversation_id)
    return [{**item, "id": new_item_id(item["type"])} if item["id"] in taken else dict(item) for item in items]


def earlier_items(store: Responses, response_id: str) -> list[Item]:
    """Input and output of a response and of those that it continues. Raises PreviousResponseNotFound."""
    turns = store.chain(response_id, MOST_TURNS)
    if not turns:
        raise PreviousResponseNotFound(
            f"There is no stored response {shorten(response_id)}: it was not stored, was deleted, or was too old. Send "
            "the conversation as 'input'.",
            "previous_response_id",
        )
    return [dict(item) for turn in turns for item in (*turn.input, *turn.response["output"])]


def conversation_items(read: Transaction, conversation_id: str) -> list[Item]:
    """The items of a kept conversation; what a function returned only where its call was not deleted."""
    calls: set[str] = set()
    items: list[Item] = []
    for item in conversations.list_items(read, conversation_id):
        if item["type"] == "function_call":
            calls.add(item["call_id"])
        if item["type"] != "function_call_output" or item["call_id"] in calls:
            items.append(item)
    return items


def check_room(read: Transaction, conversation_id: str, items: Sequence[Item], place: str) -> None:
    """Refuse items that a conversation cannot take. Raises RequestError: their ids, or there are too many."""
    count, characters = conversations.measure(read, conversation_id)
    if count + len(items) > MOST_ITEMS or characters > MOST_CHARACTERS:
        raise RequestError(
            f"The conversation {shorten(conversation_id)} is full, with {count:,} items and {characters:,} characters: "
            "begin a new one.",
            place,
        )
    known = conversations.list_ids(read, conversation_id)  # also of what `conversation_items` leaves out
    for number, item in enumerate(items):
        item_id = item.get("id")
        if item_id is None:
            continue
        if not isinstance(item_id, str) or not ITEM_ID.fullmatch(item_id):
            raise RequestError(
                f"'{place}[{number}].id' is {shorten(item_id)}: leave it out, or give up to 200 letters, digits and "
                "signs of '_.:-'.",
                f"{place}[{number}].id",
            )
        if item_id in known:
            raise RequestError(
                f"'{place}[{number}].id' is {shorten(item_id)}, and the conversation has this item already: leave the "
                "item out, or its id.",
                f"{place}[{number}].id",
            )
        known.add(item_id)


def is_reference(item: Item) -> bool:
    """Whether an item stands for one that is stored; OpenAI lets a client leave out that type alone."""
    return item.get("type") == REFERENCE or (item.get("type") is None and "id" in item and "role" not in item)


def find_reference(database: Database, reference: Item, place: str) -> Item:
    """The item of a stored response or of a kept conversation that a reference names. Raises ItemNotFound."""
    item_id = reference.get("id")
    if isinstance(item_id, str) and ITEM_ID.fullmatch(item_id):
        stored = Responses(database).find(response_id_of(item_id))
        for item in stored.response["output"] if stored else ():
            if item["id"] == item_id:
                return dict(item)
        with database.transaction(writes=False) as read:
            if kept := conversations.find_item(read, item_id):
                return kept
    raise ItemNotFound(
        f"'{place}.id' is {shorten(item_id)}, and no stored response or conversation has such an item: send the item "
        "itself.",
        f"{place}.id",
    )


def no_such_conversation(conversation_id: str, param: str = "conversation_id") -> ConversationNotFound:
    """The refusal of an unknown conversation."""
    return ConversationNotFound(
        f"There is no conversation {shorten(conversation_id)}: it was deleted, or was too old.",
        param,
    )
