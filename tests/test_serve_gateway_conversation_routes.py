"""/v1/conversations on a real socket, read by OpenAI's own client and judged by its types."""

from __future__ import annotations

import httpx
import openai
import pytest
from openai.types.conversations import Conversation, ConversationDeletedResource, ConversationItemList

from tests.conftest import OpenAIAt
from tests.fake_engine import ENGINE_MODEL, EngineScript, FakeEngine
from tests.responses_api import QUESTION, ask, refusal, said, stream

ANSWER = "Run `repair_antennas` [1]."
USER = {"type": "message", "role": "user", "content": "hello"}


def begin(url: str, *items: object) -> str:
    made = httpx.post(f"{url}/v1/conversations", json={"items": items, "metadata": {"team": "cad"}})
    assert made.status_code == 200, made.text
    return Conversation.model_validate(made.json()).id


def texts(url: str, conversation_id: str) -> list[tuple[str, str]]:
    """Role and text of each item, which are items by OpenAI's types."""
    answered = httpx.get(f"{url}/v1/conversations/{conversation_id}/items?order=asc&limit=100")
    ConversationItemList.model_validate(answered.json())
    return [(item["role"], item["content"][0]["text"]) for item in answered.json()["data"]]


def test_a_response_goes_on_in_a_conversation_and_adds_its_turn(gateway: str, engine: FakeEngine) -> None:
    conversation_id = begin(gateway, USER, {"role": "assistant", "content": "Hello."})
    first = ask(gateway, {"input": QUESTION, "conversation": conversation_id})
    assert first["conversation"] == {"id": conversation_id}
    second = stream(gateway, {"input": "thanks", "conversation": {"id": conversation_id}})[-1]["response"]
    assert second["conversation"] == first["conversation"]
    turns = [("user", "hello"), ("assistant", "Hello."), ("user", QUESTION), ("assistant", ANSWER), ("user", "thanks")]
    assert [(each["role"], each["content"]) for each in engine.bodies[-1]["messages"]] == turns
    assert texts(gateway, conversation_id) == [*turns, ("assistant", said(second))]


def test_an_answer_that_broke_off_is_not_said_in_the_conversation(gateway: str, engine: FakeEngine) -> None:
    conversation_id = begin(gateway, USER)
    engine.script = EngineScript(error_after=1)
    body = {"input": "hello", "conversation": conversation_id}
    assert stream(gateway, body)[-1]["type"] == "response.failed"
    assert texts(gateway, conversation_id) == [("user", "hello")]


def test_a_conversation_alone_is_asked_again_without_input(gateway: str, engine: FakeEngine) -> None:
    conversation_id = begin(gateway, USER)
    ask(gateway, {"conversation": conversation_id})
    assert [each["content"] for each in engine.bodies[-1]["messages"]] == ["hello"]
    assert len(texts(gateway, conversation_id)) == 2


def test_openais_client_keeps_a_conversation(gateway: str, openai_at: OpenAIAt) -> None:
    client = openai_at(gateway)
    made = client.conversations.create(metadata={"team": "cad"})
    assert client.conversations.retrieve(made.id) == made
    assert client.conversations.update(made.id, metadata={"team": "analog"}).metadata == {"team": "analog"}

    picture = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}
    call = {"type": "function_call", "call_id": "call_1", "name": "run_sta", "arguments": "{}"}
    returned = {"type": "function_call_output", "call_id": "call_1", "output": "met"}
    seen = {"role": "user", "content": [{"type": "input_text", "text": "Look:"}, picture]}
    added = client.conversations.items.create(made.id, items=[seen, call, returned, {"type": "reasoning"}])
    assert ConversationItemList.model_validate(added.model_dump()).has_more is False

    listed = list(client.conversations.items.list(made.id, limit=2))  # turns the pages by itself
    assert [item.type for item in listed] == ["reasoning", "function_call_output", "function_call", "message"]
    item = client.conversations.items.retrieve(listed[0].id or "", conversation_id=made.id)
    assert item == listed[0]
    assert client.conversations.items.delete(listed[0].id or "", conversation_id=made.id).id == made.id
    with pytest.raises(openai.NotFoundError, match="has no item with the id"):
        client.conversations.items.retrieve(listed[0].id or "", conversation_id=made.id)

    deleted = client.conversations.delete(made.id)
    assert ConversationDeletedResource.model_validate(deleted.model_dump()).deleted
    with pytest.raises(openai.NotFoundError, match="There is no conversation"):
        client.conversations.retrieve(made.id)


def test_openais_client_asks_within_a_conversation(gateway: str, openai_at: OpenAIAt) -> None:
    client = openai_at(gateway)
    made = client.conversations.create()
    response = client.responses.create(model=ENGINE_MODEL, input=QUESTION, conversation=made.id, store=False)
    assert response.conversation
    assert response.conversation.id == made.id
    listed = client.conversations.items.list(made.id).data
    assert listed[0].id == response.output[0].id
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_a_conversation_that_cannot_be_gone_on_with_is_named(gateway: str) -> None:
    error = refusal(gateway, {"input": "hello", "conversation": "conv_1"}, 404)
    assert (error["param"], error["code"]) == ("conversation", "conversation_not_found")
    for wrong in (5, "", {}, {"id": 5}, ["conv_1"]):
        error = refusal(gateway, {"input": "hello", "conversation": wrong})
        assert (error["param"], error["code"]) == ("conversation", "invalid_type")
    error = refusal(gateway, {"input": "hello", "conversation": "conv_1", "previous_response_id": "resp_1"})
    assert "go on from one of them" in error["message"]

    conversation_id = begin(gateway, USER | {"id": "msg_1"})
    error = refusal(gateway, {"input": [USER | {"id": "msg_1"}], "conversation": conversation_id})
    assert error["param"] == "input[0].id"
    assert texts(gateway, conversation_id) == [("user", "hello")]


@pytest.mark.parametrize(
    ("method", "path", "body", "param"),
    [
        ("POST", "", {"items": [USER] * 21}, "items"),
        ("POST", "", {"items": ["hello"]}, "items[0]"),
        ("POST", "", {"metadata": {"a": 1}}, "metadata.a"),
        ("POST", "/{id}", {}, "metadata"),
        ("POST", "/{id}/items", {"items": []}, "items"),
        ("POST", "/{id}/items", {"items": [{"role": "user", "content": 5}]}, "items[0].content"),
        ("GET", "/{id}/items?after=msg_9", None, "after"),
        ("GET", "/{id}/items?limit=0", None, "limit"),
        ("GET", "/conv_1", None, "conversation_id"),
        ("DELETE", "/conv_1/items/msg_1", None, "conversation_id"),
        ("DELETE", "/{id}/items/msg_1", None, "item_id"),
    ],
)
def test_a_wrong_request_names_its_field(
    gateway: str, method: str, path: str, body: dict[str, object] | None, param: str
) -> None:
    address = f"{gateway}/v1/conversations{path}".replace("{id}", begin(gateway) if "{id}" in path else "")
    answered = httpx.request(method, address, json=body)
    assert answered.status_code in (400, 404)
    error = answered.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param
