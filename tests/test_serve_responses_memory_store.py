"""serve.responses.memory_store and conversation: what is kept, what makes room, and what a conversation is."""

from __future__ import annotations

import pytest

from serve.errors import PreviousResponseNotFound
from serve.responses.conversation import MOST_TURNS, gather
from serve.responses.memory_store import MemoryResponses
from serve.store.responses import StoredResponse


def stored(number: int, previous: int | None = None, size: int = 0) -> StoredResponse:
    output = [{"type": "message", "id": f"msg_{number}", "text": "x" * size}]
    asked = [{"role": "user", "content": f"question {number}"}]
    return StoredResponse(
        f"resp_{number}",
        None if previous is None else f"resp_{previous}",
        asked,
        {"id": f"resp_{number}", "output": output},
    )


def test_a_response_comes_back_as_it_was_put_in() -> None:
    store, kept = MemoryResponses(), stored(1)
    store.add(kept)
    kept.response["output"].clear()
    found = store.find("resp_1")
    assert found is not None
    assert found.response == stored(1).response
    assert store.delete("resp_1")
    assert not store.delete("resp_1")
    assert store.find("resp_1") is None


def test_the_oldest_responses_make_room() -> None:
    store = MemoryResponses(most_responses=3)
    for number in range(5):
        store.add(stored(number))
    assert [number for number in range(5) if store.find(f"resp_{number}")] == [2, 3, 4]

    store = MemoryResponses(most_bytes=5000)
    for number in range(5):
        store.add(stored(number, size=2000))
        store.add(stored(number, size=2000))  # again: it replaces itself
    assert [number for number in range(5) if store.find(f"resp_{number}")] == [3, 4]
    store.add(stored(9, size=9000))
    assert store.find("resp_9") is None


def test_a_conversation_is_all_that_was_asked_and_answered_before() -> None:
    store = MemoryResponses()
    store.add(stored(1))
    store.add(stored(2, previous=1))
    earlier, items = gather(store, "resp_2", [{"role": "user", "content": "now"}])
    assert [item.get("id") or item["content"] for item in earlier] == ["question 1", "msg_1", "question 2", "msg_2"]
    assert items == [{"role": "user", "content": "now"}]
    with pytest.raises(PreviousResponseNotFound):
        gather(store, "resp_3", [])


def test_of_a_conversation_without_end_the_newest_turns_are_read() -> None:
    store = MemoryResponses()
    store.add(stored(1, previous=1))
    assert len(gather(store, "resp_1", [])[0]) == 2 * MOST_TURNS
