"""serve.responses.conversation: what a request goes on from, out of the store."""

from __future__ import annotations

import pytest

from serve.errors import PreviousResponseNotFound
from serve.responses.conversation import MOST_TURNS, gather
from serve.store.database import Database
from serve.store.responses import Responses, StoredResponse


def stored(number: int, previous: int | None = None) -> StoredResponse:
    output = [{"type": "message", "id": f"msg_{number}", "text": "half an emoji: \ud83d"}]
    asked = [{"role": "user", "content": f"question {number}"}]
    before = None if previous is None else f"resp_{previous}"
    return StoredResponse(f"resp_{number}", before, asked, {"id": f"resp_{number}", "output": output})


def test_a_conversation_is_all_that_was_asked_and_answered_before(database: Database) -> None:
    store = Responses(database)
    store.add(stored(1))
    store.add(stored(2, previous=1))
    earlier, items = gather(store, "resp_2", [{"role": "user", "content": "now"}])
    assert [item.get("id") or item["content"] for item in earlier] == ["question 1", "msg_1", "question 2", "msg_2"]
    assert items == [{"role": "user", "content": "now"}]
    with pytest.raises(PreviousResponseNotFound):
        gather(store, "resp_3", [])


def test_of_a_conversation_without_end_the_newest_turns_are_read(database: Database) -> None:
    store = Responses(database)
    store.add(stored(1, previous=1))
    assert len(gather(store, "resp_1", [])[0]) == 2 * MOST_TURNS
