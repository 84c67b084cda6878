"""serve.responses.conversation, stored_conversations: what a request goes on from, out of the store."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from serve.errors import ConversationNotFound, PreviousResponseNotFound, RequestError
from serve.responses import conversation
from serve.responses.conversation import MOST_TURNS, gather, keep_answer
from serve.responses.request import ResponsesRequest
from serve.responses.stored_conversations import (
    AddItems,
    CreateConversation,
    add_items,
    create_conversation,
    delete_conversation,
    delete_item,
    list_items,
)
from serve.store.database import Database
from serve.store.responses import Responses, StoredResponse
from serve.uploads.pages import Page

USER = {"role": "user", "content": "hello"}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "run_sta", "arguments": "{}"}
RETURNED = {"type": "function_call_output", "call_id": "call_1", "output": "met"}


def after(response_id: str) -> ResponsesRequest:
    return ResponsesRequest(previous_response_id=response_id)


def within(conversation_id: str) -> ResponsesRequest:
    return ResponsesRequest(conversation=conversation_id)


def begin(database: Database, *items: dict[str, str]) -> str:
    return str(create_conversation(database, CreateConversation(items=[dict(each) for each in items]))["id"])


def kinds(database: Database, conversation_id: str) -> list[str]:
    return [item["type"] for item in list_items(database, conversation_id, Page(order="asc"))["data"]]


def stored(number: int, previous: int | None = None) -> StoredResponse:
    output = [{"type": "message", "id": f"msg_{number}", "text": "half an emoji: \ud83d"}]
    asked = [{"role": "user", "content": f"question {number}"}]
    before = None if previous is None else f"resp_{previous}"
    return StoredResponse(f"resp_{number}", before, asked, {"id": f"resp_{number}", "output": output, "store": True})


def test_a_conversation_is_all_that_was_asked_and_answered_before(database: Database) -> None:
    store = Responses(database)
    store.add(stored(1))
    store.add(stored(2, previous=1))
    earlier, items = gather(database, after("resp_2"), [{"role": "user", "content": "now"}])
    assert [item.get("id") or item["content"] for item in earlier] == ["question 1", "msg_1", "question 2", "msg_2"]
    assert items == [{"role": "user", "content": "now"}]
    with pytest.raises(PreviousResponseNotFound):
        gather(database, after("resp_3"), [])


def test_of_a_conversation_without_end_the_newest_turns_are_read(database: Database) -> None:
    store = Responses(database)
    store.add(stored(1, previous=1))
    assert len(gather(database, after("resp_1"), [])[0]) == 2 * MOST_TURNS


def test_an_answer_is_stored_and_said_in_its_conversation_or_neither(database: Database) -> None:
    conversation_id = begin(database)
    answer = stored(1)
    turn = StoredResponse(answer.response_id, None, [{**USER, "id": "msg_0", "type": "message"}], answer.response)
    keep_answer(database, turn, conversation_id)
    assert [item["id"] for item in gather(database, within(conversation_id), [])[0]] == ["msg_0", "msg_1"]

    delete_conversation(database, conversation_id)
    with pytest.raises(ConversationNotFound):
        keep_answer(database, stored(2), conversation_id)
    assert Responses(database).find("resp_2") is None
    assert Responses(database).find("resp_1")


def test_two_who_add_an_item_of_one_id_at_once_both_keep_what_was_said(database: Database) -> None:
    conversation_id = begin(database)
    both_have_read = threading.Barrier(2, timeout=60)

    def answer(number: int) -> None:
        asked = {"type": "message", "id": "msg_mine", "role": "user", "content": f"question {number}"}
        gather(database, within(conversation_id), [asked])
        both_have_read.wait()
        turn = StoredResponse(f"resp_{number}", None, [asked], stored(number).response)
        keep_answer(database, turn, conversation_id)

    with ThreadPoolExecutor(2) as threads:
        [*threads.map(answer, (1, 2))]
    first, _, second, _ = items = list_items(database, conversation_id, Page(order="asc"))["data"]
    assert first["id"] == "msg_mine"
    assert len({item["id"] for item in items}) == 4
    for asked, answered in ((first, items[1]), (second, items[3])):
        number = answered["id"].removeprefix("msg_")
        assert asked["content"] == f"question {number}"
        [turn] = Responses(database).chain(f"resp_{number}", most=1)
        assert turn.input == [asked]


def test_an_answer_that_may_not_be_stored_is_said_in_its_conversation(database: Database) -> None:
    conversation_id = begin(database)
    answer = stored(1)
    keep_answer(database, StoredResponse("resp_1", None, [], {**answer.response, "store": False}), conversation_id)
    assert Responses(database).find("resp_1") is None
    assert kinds(database, conversation_id) == ["message"]


def test_items_that_no_response_could_be_asked_with_are_all_refused(database: Database) -> None:
    conversation_id = begin(database, USER, CALL)
    for items, place in (
        ([USER, {"role": "critic", "content": "no"}], "items[1].role"),
        ([USER, RETURNED | {"call_id": "call_2"}], "items[1].call_id"),
        ([{"type": "computer_call"}], "items[0].type"),
        ([USER, CALL], "items[1].id"),
        ([USER | {"id": "a b"}], "items[0].id"),
        ([USER | {"id": "\x00"}], "items[0].id"),
        ([{"type": "item_reference", "id": "msg_9"}], "items[0].id"),
    ):
        with pytest.raises(RequestError) as refused:
            add_items(database, conversation_id, AddItems(items=items))
        assert refused.value.param == place
    assert kinds(database, conversation_id) == ["message", "function_call"]
    add_items(database, conversation_id, AddItems(items=[RETURNED]))
    assert kinds(database, conversation_id)[2:] == ["function_call_output"]


def test_what_a_function_returned_is_left_out_where_its_call_was_deleted(database: Database) -> None:
    conversation_id = begin(database, USER, CALL, RETURNED)
    delete_item(database, conversation_id, "fc_1")
    assert kinds(database, conversation_id) == ["message", "function_call_output"]
    assert [item["type"] for item in gather(database, within(conversation_id), [])[0]] == ["message"]


def test_a_reference_is_a_copy_with_an_id_of_its_own(database: Database) -> None:
    conversation_id = begin(database, CALL)
    added = add_items(database, conversation_id, AddItems(items=[{"id": "fc_1"}]))["data"]
    assert added[0]["id"] != "fc_1"
    assert {**added[0], "id": "fc_1"} == {**CALL, "status": "completed"}
    reference = {"type": "item_reference", "id": added[0]["id"]}
    assert gather(database, ResponsesRequest(), [reference])[1] == added


def test_a_full_conversation_takes_no_more(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation_id = begin(database, USER)
    monkeypatch.setattr(conversation, "MOST_ITEMS", 2)
    add_items(database, conversation_id, AddItems(items=[USER]))
    with pytest.raises(RequestError, match="is full, with 2 items"):
        add_items(database, conversation_id, AddItems(items=[USER]))
    with pytest.raises(RequestError, match="is full, with 2 items"):
        gather(database, within(conversation_id), [USER])
    monkeypatch.setattr(conversation, "MOST_ITEMS", 10)
    monkeypatch.setattr(conversation, "MOST_CHARACTERS", 50)
    with pytest.raises(RequestError, match="begin a new one"):
        add_items(database, conversation_id, AddItems(items=[USER]))
    assert len(kinds(database, conversation_id)) == 2


def test_who_adds_at_once_to_a_conversation_loses_nothing(database: Database) -> None:
    conversation_id = begin(database)

    def add(name: int) -> None:
        for number in range(5):
            pair = [{**USER, "id": f"msg_{name}_{number}_{part}"} for part in range(2)]
            add_items(database, conversation_id, AddItems(items=pair))

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(add, range(6)))
    listed = list_items(database, conversation_id, Page(limit=100, order="asc"))["data"]
    ids = [item["id"] for item in listed]
    assert len(ids) == len(set(ids)) == 60
    for first, second in zip(ids[::2], ids[1::2], strict=True):  # what was added together stays together
        assert (first[:-1], first[-1], second[-1]) == (second[:-1], "0", "1")
