"""serve.store.conversations: conversations and their items in their order, in a real SQLite file."""

from __future__ import annotations

import sqlite3
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from serve.store import conversations
from serve.store.conversations import Conversation
from serve.store.database import Database, now_us

JSON = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**53), 2**53) | some.text(max_size=8),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
ITEMS = some.lists(some.dictionaries(some.text(max_size=6), JSON, max_size=3), max_size=5)

BROKEN = (sqlite3.IntegrityError, psycopg.IntegrityError)  # a rule of the tables, by either database


def begin(database: Database, *names: str, **fields: Any) -> None:
    with database.transaction() as change:
        for name in names:
            conversations.add(change, Conversation(name, **fields))


def add(database: Database, name: str, *ids: str) -> None:
    with database.transaction() as change:
        conversations.append(change, name, [{"id": each} for each in ids])


def ids(database: Database, name: str) -> list[str]:
    with database.transaction(writes=False) as read:
        return [item["id"] for item in conversations.list_items(read, name)]


@settings(max_examples=40)
@given(ITEMS)
def test_items_of_any_json_come_back_as_they_were_in_order(
    shared_database: Database, bodies: list[dict[str, Any]]
) -> None:
    items = [{**body, "id": f"msg_{number}"} for number, body in enumerate(bodies)]
    with shared_database.transaction() as change:
        conversations.add(change, Conversation("conv_1"))
        conversations.append(change, "conv_1", items[:2])
        conversations.append(change, "conv_1", items[2:])
        assert conversations.list_items(change, "conv_1") == items
        assert conversations.measure(change, "conv_1")[0] == len(items)
        for item in items:
            assert conversations.find_item(change, item["id"], "conv_1") == item
        assert conversations.delete(change, "conv_1")  # for the next example


def test_half_an_emoji_and_the_null_sign_are_kept_in_items_and_metadata(database: Database) -> None:
    odd = "cut \ud83d, null \x00, whole \U0001f600"
    begin(database, "conv_1", metadata={"topic": odd})
    with database.transaction() as change:
        conversations.append(change, "conv_1", [{"id": "msg_1", "text": odd}])
    with database.transaction(writes=False) as read:
        assert conversations.list_items(read, "conv_1") == [{"id": "msg_1", "text": odd}]
        found = conversations.find(read, "conv_1")
    assert found
    assert found.metadata == {"topic": odd}


def test_a_conversation_is_found_with_its_metadata_and_its_date(database: Database) -> None:
    begin(database, "conv_1", metadata={"team": "cts", "leer": ""}, created_us=1_700_000_000_123_456)
    with database.transaction() as change:
        assert conversations.find(change, "conv_1") == Conversation(
            "conv_1", {"team": "cts", "leer": ""}, 1_700_000_000_123_456
        )
        conversations.set_metadata(change, "conv_1", {})
        assert conversations.find(change, "conv_1") == Conversation("conv_1", {}, 1_700_000_000_123_456)
        conversations.set_metadata(change, "conv_2", {"a": "b"})  # there is none: nothing is made
        assert conversations.find(change, "conv_2") is None


def test_what_is_unknown_cannot_be_taken_deleted_or_measured_as_anything(database: Database) -> None:
    begin(database, "conv_1")
    with database.transaction() as change:
        assert not conversations.take(change, "conv_2")
        assert not conversations.delete(change, "conv_2")
        assert not conversations.delete_item(change, "conv_1", "msg_1")
        assert conversations.measure(change, "conv_2") == (0, 0)
        assert conversations.list_items(change, "conv_2") == []
        assert conversations.find_item(change, "msg_1") is None


def test_items_belong_to_a_conversation_that_is_there(database: Database) -> None:
    begin(database, "conv_1")
    with pytest.raises(BROKEN, match=r"FOREIGN KEY|foreign key"):
        add(database, "conv_2", "msg_1")


def test_nothing_is_appended_where_there_is_nothing_to_append(database: Database) -> None:
    begin(database, "conv_1")
    add(database, "conv_1")
    assert ids(database, "conv_1") == []


def test_what_is_appended_after_a_deletion_stands_last(database: Database) -> None:
    begin(database, "conv_1")
    add(database, "conv_1", "a", "b", "c")
    with database.transaction() as change:
        assert conversations.delete_item(change, "conv_1", "b")
        assert conversations.delete_item(change, "conv_1", "c")
        assert not conversations.delete_item(change, "conv_1", "c")
    add(database, "conv_1", "c", "d")
    assert ids(database, "conv_1") == ["a", "c", "d"]


def test_an_item_of_one_id_may_stand_in_two_conversations_and_is_found_in_each(database: Database) -> None:
    begin(database, "conv_1", "conv_2", "conv_3")
    with database.transaction() as change:
        conversations.append(change, "conv_1", [{"id": "msg_1", "in": 1}])
        conversations.append(change, "conv_2", [{"id": "msg_1", "in": 2}])
        assert conversations.find_item(change, "msg_1", "conv_1") == {"id": "msg_1", "in": 1}
        assert conversations.find_item(change, "msg_1", "conv_2") == {"id": "msg_1", "in": 2}
        assert conversations.find_item(change, "msg_1", "conv_3") is None
        assert conversations.delete_item(change, "conv_1", "msg_1")
        assert conversations.find_item(change, "msg_1") == {"id": "msg_1", "in": 2}


def test_a_second_item_of_an_id_is_refused_and_none_of_its_neighbours_stays(database: Database) -> None:
    begin(database, "conv_1")
    add(database, "conv_1", "a")
    with pytest.raises(BROKEN):
        add(database, "conv_1", "b", "a")
    assert ids(database, "conv_1") == ["a"]


def test_items_go_with_their_conversation_and_others_stay(database: Database) -> None:
    begin(database, "conv_1", "conv_2")
    add(database, "conv_1", "a")
    add(database, "conv_2", "b")
    with database.transaction() as change:
        assert conversations.delete(change, "conv_1")
        assert not conversations.delete(change, "conv_1")
        assert conversations.find_item(change, "a") is None
        assert change.rows("SELECT conversation_id FROM conversation_items") == [("conv_2",)]


def test_a_conversation_is_measured_in_items_and_characters_of_its_own(database: Database) -> None:
    begin(database, "conv_1", "conv_2")
    add(database, "conv_1", "ab", "c")
    add(database, "conv_2", "d" * 100)
    with database.transaction(writes=False) as read:
        assert conversations.measure(read, "conv_1") == (2, len('{"id": "ab"}') + len('{"id": "c"}'))


def test_ids_that_look_like_sql_are_ids(database: Database) -> None:
    hostile = "x' OR '1'='1"
    begin(database, "conv_1", hostile)
    add(database, hostile, hostile)
    with database.transaction() as change:
        assert conversations.list_items(change, "conv_1") == []
        assert conversations.find_item(change, hostile, hostile) == {"id": hostile}
        assert conversations.delete(change, hostile)
        assert conversations.find(change, "conv_1")


def test_only_conversations_that_nobody_used_since_are_old(database: Database) -> None:
    begin(database, "unused", "used", created_us=1000)
    begin(database, "at the moment", created_us=5000)
    add(database, "unused", "a")
    with database.transaction() as change:
        assert conversations.take(change, "used")
        assert conversations.delete_old_conversations(change, 5000) == 1
        assert conversations.delete_old_conversations(change, 5000) == 0
        assert conversations.find(change, "unused") is None
        assert conversations.find_item(change, "a") is None
        assert conversations.delete_old_conversations(change, now_us() + 1) == 2
