"""The conversation that a request continues, out of the store: earlier responses, and single items that it names.

It may wait for a disk: call it in a thread.

    earlier, items = gather(store, wanted.previous_response_id, as_items(wanted))
"""

from __future__ import annotations

from collections.abc import Sequence

from serve.errors import ItemNotFound, PreviousResponseNotFound
from serve.request_body import shorten
from serve.responses.events import response_id_of
from serve.responses.items import Item
from serve.store.responses import ResponseStore

MOST_TURNS = 1000  # responses of a conversation that are read again; of a longer one the newest
REFERENCE = "item_reference"


def gather(store: ResponseStore, previous_id: str | None, items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """The items of the conversation before a request, oldest first, and its own with references resolved.

    Raises PreviousResponseNotFound, ItemNotFound, StoreUnavailable, StoreBusy.
    """
    earlier = earlier_items(store, previous_id) if previous_id else []
    return earlier, [
        _find(store, item, f"input[{number}]") if item.get("type") == REFERENCE else item
        for number, item in enumerate(items)
    ]


def is_stored(previous_id: str | None, items: Sequence[Item]) -> bool:
    """Whether a part of the conversation lies in the store."""
    return bool(previous_id) or any(item.get("type") == REFERENCE for item in items)


def earlier_items(store: ResponseStore, response_id: str) -> list[Item]:
    """Input and output of a response and of those that it continues. Raises PreviousResponseNotFound."""
    turns = store.chain(response_id, MOST_TURNS)
    if not turns:
        raise PreviousResponseNotFound(
            f"There is no stored response {shorten(response_id)}: it was not stored, was deleted, or was too old. Send "
            "the conversation as 'input'.",
            "previous_response_id",
        )
    return [dict(item) for turn in turns for item in (*turn.input, *turn.response["output"])]


def _find(store: ResponseStore, reference: Item, place: str) -> Item:
    """The output item of a stored response that a reference names. Raises ItemNotFound."""
    item_id = reference.get("id")
    stored = store.find(response_id_of(item_id)) if isinstance(item_id, str) else None
    for item in stored.response["output"] if stored else ():
        if item["id"] == item_id:
            return dict(item)
    raise ItemNotFound(
        f"'{place}.id' is {shorten(item_id)}, and no stored response has such an item: send the item itself.",
        f"{place}.id",
    )
