"""serve.store.responses, feedback, retention: what is kept, for how long, and what is not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from serve.store import conversations, retention
from serve.store import responses as responses_store
from serve.store.conversations import Conversation
from serve.store.database import Database, now_us
from serve.store.feedback import Feedback, Rating
from serve.store.responses import Responses, StoredResponse
from serve.store.retention import DAY_US, Deleted, delete_old


def stored(number: int, previous: int | None = None, age_days: int = 0) -> StoredResponse:
    return StoredResponse(
        f"resp_{number}",
        None if previous is None else f"resp_{previous}",
        [{"role": "user", "content": f"Frage {number}: \u0000 \U0001f600"}],
        {"id": f"resp_{number}", "output": [1.5, None, True]},
        now_us() - age_days * DAY_US,
    )


def test_a_response_comes_back_as_it_was(database: Database) -> None:
    responses = Responses(database)
    responses.add(stored(1))
    found = responses.find("resp_1")
    assert found
    assert (found.input, found.response) == (stored(1).input, stored(1).response)
    assert responses.find("resp_2") is None


def test_a_response_of_the_same_id_takes_the_place_of_the_earlier_one(database: Database) -> None:
    responses = Responses(database)
    responses.add(stored(1))
    responses.add(stored(1, previous=7))
    found = responses.find("resp_1")
    assert found
    assert found.previous_id == "resp_7"


def test_a_conversation_is_the_chain_of_its_responses(database: Database) -> None:
    responses = Responses(database)
    for number in range(5):
        responses.add(stored(number, number - 1 if number else None))
    assert [turn.response_id for turn in responses.chain("resp_3", 100)] == ["resp_0", "resp_1", "resp_2", "resp_3"]
    assert [turn.response_id for turn in responses.chain("resp_3", 2)] == ["resp_2", "resp_3"]
    assert responses.chain("resp_9", 100) == []
    assert responses.delete("resp_1")
    assert not responses.delete("resp_1")
    assert [turn.response_id for turn in responses.chain("resp_3", 100)] == ["resp_2", "resp_3"]


def test_of_a_chain_that_memory_could_not_hold_the_newest_turns_are_read(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    responses = Responses(database)
    for number in range(5):
        responses.add(stored(number, number - 1 if number else None))
    monkeypatch.setattr(responses_store, "MOST_CHARACTERS", 250)  # each turn has some 110
    assert [turn.response_id for turn in responses.chain("resp_4", 100)] == ["resp_3", "resp_4"]
    monkeypatch.setattr(responses_store, "MOST_CHARACTERS", 1)
    assert [turn.response_id for turn in responses.chain("resp_4", 100)] == ["resp_4"]


def test_the_oldest_responses_make_room(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MOST_RESPONSES", 3)
    responses = Responses(database)
    assert delete_old(database, 0) == Deleted()
    for number in range(5):
        responses.add(stored(number, age_days=5 - number))
    assert delete_old(database, 0) == Deleted(responses=2)
    assert [number for number in range(5) if responses.find(f"resp_{number}")] == [2, 3, 4]


def test_a_chain_that_bites_its_own_tail_ends(database: Database) -> None:
    responses = Responses(database)
    responses.add(stored(1, previous=2))
    responses.add(stored(2, previous=1))
    assert len(responses.chain("resp_1", 10)) == 10


def test_a_count_keeps_no_word(database: Database) -> None:
    feedback = Feedback(database)
    for rating in ("up", "up", "down"):
        feedback.count(rating)
    assert feedback.counts() == {datetime.now(UTC).date().isoformat(): {"down": 1, "up": 2}}
    assert feedback.ratings() == []


def test_the_last_word_about_an_answer_counts_as_its_rating(database: Database) -> None:
    feedback = Feedback(database)
    feedback.add(Rating("chatcmpl-1", "up"))
    feedback.add(Rating("chatcmpl-2", "down", "wrong option", "Use `-hold`.", "How?", "Use `-setup`."))
    feedback.add(Rating("chatcmpl-1", "down"))
    assert [(each.answer_id, each.rating) for each in feedback.ratings()] == [
        ("chatcmpl-2", "down"),
        ("chatcmpl-1", "down"),
    ]
    [first, _] = feedback.ratings()
    assert (first.reason, first.correction, first.question) == ("wrong option", "Use `-hold`.", "How?")
    [counts] = feedback.counts().values()
    assert counts == {"up": 1, "down": 2}


def test_what_is_old_is_deleted_and_counts_stay(database: Database) -> None:
    responses, feedback = Responses(database), Feedback(database)
    responses.add(stored(1, age_days=31))
    responses.add(stored(2, age_days=29))
    feedback.add(Rating("chatcmpl-1", "up", created_us=now_us() - 31 * DAY_US))
    with database.transaction() as change:
        for name in ("conv_1", "conv_2"):
            conversations.add(change, Conversation(name, created_us=now_us() - 31 * DAY_US))
            conversations.append(change, name, [{"id": "msg_1"}])
        assert conversations.take(change, "conv_2")
    assert delete_old(database, 0) == Deleted()
    assert delete_old(database, 30) == Deleted(1, 1, 1)
    assert responses.find("resp_1") is None
    assert responses.find("resp_2")
    with database.transaction(writes=False) as read:
        assert [bool(conversations.find(read, name)) for name in ("conv_1", "conv_2")] == [False, True]
        assert [len(conversations.list_items(read, name)) for name in ("conv_1", "conv_2")] == [0, 1]
    assert feedback.ratings() == []
    assert list(feedback.counts().values()) == [{"up": 1}]
