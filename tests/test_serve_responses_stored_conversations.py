"""serve.responses.stored_conversations: kept conversations as clients change them, in a real SQLite file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from serve.errors import ConversationItemNotFound, ConversationNotFound, ItemNotFound, RequestError
from serve.responses.conversation import gather
from serve.responses.request import ResponsesRequest
from serve.responses.stored_conversations import (
    MOST_ADDED,
    AddItems,
    CreateConversation,
    UpdateConversation,
    add_items,
    create_conversation,
    delete_conversation,
    delete_item,
    list_items,
    show_conversation,
    show_item,
    update_conversation,
)
from serve.store.database import Database
from serve.store.sqlite import SqliteEngine
from serve.uploads.pages import Page
from tests.rows import for_each

USER = {"role": "user", "content": "Which command repairs hold?"}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "run_sta", "arguments": "{}"}
RETURNED = {"type": "function_call_output", "id": "fco_1", "call_id": "call_1", "output": "met"}


def begin(database: Database, *items: dict[str, Any], **fields: Any) -> str:
    return str(create_conversation(database, CreateConversation(items=list(items), **fields))["id"])


def add(database: Database, conversation_id: str, *items: dict[str, Any]) -> list[dict[str, Any]]:
    added: list[dict[str, Any]] = add_items(database, conversation_id, AddItems(items=list(items)))["data"]
    return added


def ids(database: Database, conversation_id: str) -> list[str]:
    page = list_items(database, conversation_id, Page(order="asc", limit=100))
    return [item["id"] for item in page["data"]]


@pytest.mark.parametrize("items", [None, []])
def test_a_conversation_may_begin_empty(items: list[dict[str, Any]] | None, database: Database) -> None:
    made = create_conversation(database, CreateConversation(items=items))
    assert made["id"].startswith("conv_")
    assert {**made, "id": "", "created_at": 0} == {"id": "", "object": "conversation", "created_at": 0, "metadata": {}}
    assert show_conversation(database, made["id"]) == made
    assert list_items(database, made["id"], Page()) == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


def test_metadata_are_replaced_as_a_whole_and_null_leaves_none(database: Database) -> None:
    conversation_id = begin(database, metadata={"team": "cts", "run": "7"})
    before = show_conversation(database, conversation_id)
    assert update_conversation(database, conversation_id, {"team": "sta"}) == {**before, "metadata": {"team": "sta"}}
    assert update_conversation(database, conversation_id, None) == {**before, "metadata": {}}
    assert show_conversation(database, conversation_id) == {**before, "metadata": {}}


def test_items_are_shown_in_parts_with_an_id_and_a_status(database: Database) -> None:
    conversation_id = begin(database, USER, {"role": "assistant", "content": "With `repair_timing`."})
    asked, said = list_items(database, conversation_id, Page(order="asc"))["data"]
    assert asked["content"] == [{"type": "input_text", "text": USER["content"]}]
    assert said["content"] == [{"type": "output_text", "text": "With `repair_timing`.", "annotations": []}]
    assert {each["status"] for each in (asked, said)} == {"completed"}
    assert asked["id"] != said["id"]
    assert show_item(database, conversation_id, said["id"]) == said


def test_twenty_items_are_added_at_a_time_and_come_back_on_one_page(database: Database) -> None:
    conversation_id = begin(database)
    many = [{**USER, "id": f"msg_{number}"} for number in range(MOST_ADDED)]
    page = add_items(database, conversation_id, AddItems(items=many))
    assert [item["id"] for item in page["data"]] == [item["id"] for item in many]
    assert not page["has_more"]
    for shape in (AddItems, CreateConversation):
        with pytest.raises(ValidationError, match="at most 20 items"):
            shape(items=[*many, USER])
    with pytest.raises(ValidationError, match="at least 1 item"):
        AddItems(items=[])


def test_pages_of_items_follow_each_other_in_both_orders(database: Database) -> None:
    conversation_id = begin(database, *({**USER, "id": f"m{number}"} for number in range(5)))
    first = list_items(database, conversation_id, Page(limit=2, order="asc"))
    assert ([item["id"] for item in first["data"]], first["has_more"]) == (["m0", "m1"], True)
    last = list_items(database, conversation_id, Page(limit=9, order="asc", after=first["last_id"]))
    assert ([item["id"] for item in last["data"]], last["has_more"]) == (["m2", "m3", "m4"], False)
    assert [item["id"] for item in list_items(database, conversation_id, Page(limit=2))["data"]] == ["m4", "m3"]
    with pytest.raises(RequestError, match=r"'after' is 'm9', which is not in this list") as caught:
        list_items(database, conversation_id, Page(after="m9"))
    assert caught.value.param == "after"


@for_each(
    "do",
    [
        lambda store: show_conversation(store, "conv_9"),
        lambda store: update_conversation(store, "conv_9", {}),
        lambda store: delete_conversation(store, "conv_9"),
        lambda store: add_items(store, "conv_9", AddItems(items=[USER])),
        lambda store: list_items(store, "conv_9", Page()),
        lambda store: show_item(store, "conv_9", "msg_1"),
        lambda store: delete_item(store, "conv_9", "msg_1"),
    ],
)
def test_a_conversation_that_is_not_kept_is_named_by_every_operation(
    do: Callable[[Database], Any], database: Database
) -> None:
    with pytest.raises(ConversationNotFound, match=r"There is no conversation 'conv_9': it was deleted") as caught:
        do(database)
    assert (caught.value.status, caught.value.param) == (404, "conversation_id")


@for_each("do", [show_item, delete_item])
def test_an_item_of_another_conversation_is_not_found_in_this_one(do: Callable[..., Any], database: Database) -> None:
    here, there = begin(database, USER), begin(database, {**USER, "id": "msg_there"})
    with pytest.raises(ConversationItemNotFound) as caught:
        do(database, here, "msg_there")
    assert str(caught.value) == f"The conversation '{here}' has no item with the id 'msg_there'."
    assert (caught.value.status, caught.value.param) == (404, "item_id")
    assert ids(database, there) == ["msg_there"]


def test_an_item_is_deleted_once_and_its_neighbours_stay(database: Database) -> None:
    conversation_id = begin(database, *({**USER, "id": each} for each in "abc"))
    assert delete_item(database, conversation_id, "b") == show_conversation(database, conversation_id)
    assert ids(database, conversation_id) == ["a", "c"]
    with pytest.raises(ConversationItemNotFound):
        delete_item(database, conversation_id, "b")


def test_a_deleted_conversation_is_gone_with_its_items(database: Database) -> None:
    conversation_id = begin(database, {**USER, "id": "msg_1"})
    assert delete_conversation(database, conversation_id) == {
        "id": conversation_id,
        "object": "conversation.deleted",
        "deleted": True,
    }
    other = begin(database)
    with pytest.raises(ItemNotFound, match=r"'items\[0\]\.id' is 'msg_1', and no stored response or conversation"):
        add(database, other, {"type": "item_reference", "id": "msg_1"})
    assert ids(database, other) == []


def test_an_id_of_an_item_that_requests_leave_out_is_taken_all_the_same(database: Database) -> None:
    conversation_id = begin(database, CALL, RETURNED)
    delete_item(database, conversation_id, "fc_1")  # what it returned is in no request from now on
    taken = {**USER, "id": "fco_1"}
    with pytest.raises(RequestError, match=r"'items\[0\]\.id' is 'fco_1', and the conversation has this item already"):
        add(database, conversation_id, taken)
    with pytest.raises(RequestError, match=r"'input\[0\]\.id' is 'fco_1', and the conversation has this item already"):
        gather(database, ResponsesRequest(conversation=conversation_id), [taken])
    assert ids(database, conversation_id) == ["fco_1"]


@for_each(
    ("items", "param", "says"),
    [
        ([USER, {"role": "robot", "content": "x"}], "items[1].role", "give one of user, assistant, system, developer"),
        ([{"role": "user", "content": " \n"}], "items[0].content", "is empty: ask a question"),
        ([{"type": "computer_call"}], "items[0].type", "which this gateway does not read"),
        ([RETURNED], "items[0].call_id", "no function_call before it has this id"),
        ([{**USER, "id": "a"}, {**USER, "id": "a"}], "items[1].id", "has this item already"),
        ([{**USER, "id": ""}], "items[0].id", "give up to 200 letters, digits and signs of '_.:-'"),
        ([{**USER, "id": "a b"}], "items[0].id", "leave it out"),
        ([{**USER, "id": "schlüssel"}], "items[0].id", "leave it out"),
        ([{**USER, "id": "a" * 201}], "items[0].id", "leave it out"),
        ([{**USER, "id": "a\n"}], "items[0].id", "leave it out"),
        ([{**USER, "id": 7}], "items[0].id", "is 7: leave it out"),
        ([{"type": "item_reference", "id": ["a"]}], "items[0].id", "send the item itself"),
        ([{"id": "msg_9"}], "items[0].id", "no stored response or conversation has such an item"),
    ],
)
def test_items_are_added_all_or_none_and_the_one_at_fault_is_named(
    items: list[dict[str, Any]], param: str, says: str, tmp_path: Path
) -> None:
    database = Database(SqliteEngine(tmp_path))
    conversation_id = begin(database, {**USER, "id": "first"})
    with pytest.raises(RequestError) as caught:
        add(database, conversation_id, *items)
    assert caught.value.param == param
    assert says in str(caught.value)
    assert ids(database, conversation_id) == ["first"]
    with pytest.raises(RequestError):
        begin(database, *items)
    with database.transaction(writes=False) as read:
        assert read.rows("SELECT COUNT(*) FROM conversations") == [(1,)]  # the second was not made


def test_the_longest_id_of_an_item_is_kept(database: Database) -> None:
    longest = "a.b:c-d_" * 25
    conversation_id = begin(database, {**USER, "id": longest})
    assert show_item(database, conversation_id, longest)["id"] == longest


def test_a_reference_within_its_own_conversation_is_a_second_item(database: Database) -> None:
    conversation_id = begin(database, {**USER, "id": "msg_1"})
    [copy] = add(database, conversation_id, {"type": "item_reference", "id": "msg_1"})
    assert copy["id"].startswith("msg_")
    assert copy["id"] != "msg_1"
    assert copy["content"] == show_item(database, conversation_id, "msg_1")["content"]


@pytest.mark.parametrize(
    "metadata",
    [{str(number): "" for number in range(17)}, {"k" * 65: ""}, {"k": "v" * 513}, {"k": 1}, {"k": None}, ["k"]],
)
def test_metadata_beyond_openais_limits_are_refused(metadata: Any) -> None:
    for shape in (CreateConversation, UpdateConversation):
        with pytest.raises(ValidationError):
            shape(metadata=metadata)


def test_metadata_at_openais_limits_are_kept(database: Database) -> None:
    metadata = {f"{number:064}": "ü" * 512 for number in range(16)}
    conversation_id = begin(database, metadata=metadata)
    assert show_conversation(database, conversation_id)["metadata"] == metadata
