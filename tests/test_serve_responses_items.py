"""serve.responses.items: whatever a client sends as items becomes messages of a chat, or is refused where it stands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from serve.errors import RequestError
from serve.protocol import Message
from serve.responses.items import KINDS, Item, kept, lead_with_system, to_messages
from tests.rows import for_each

WORDS = some.sampled_from(["", "hold", "ä\n\U0001f600", "call_1", "call_2", "{}"])
ANYTHING = some.recursive(
    some.none() | some.booleans() | some.integers(0, 9) | WORDS,
    lambda inner: some.lists(inner, max_size=2) | some.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
PARTS = some.fixed_dictionaries(
    {},
    optional={
        "type": some.sampled_from(["input_text", "output_text", "text", "refusal", "input_image", "input_file"])
        | ANYTHING,
        "text": WORDS | ANYTHING,
        "refusal": WORDS,
        "image_url": WORDS | ANYTHING,
        "detail": ANYTHING,
    },
)
KIND = some.sampled_from(["message", "function_call", "function_call_output", "reasoning", "file_search_call"])
ITEMS = some.fixed_dictionaries(
    {},
    optional={
        "type": KIND | ANYTHING,
        "role": some.sampled_from(["user", "assistant", "system", "developer"]) | ANYTHING,
        "content": WORDS | some.lists(PARTS | ANYTHING, max_size=3) | ANYTHING,
        "call_id": WORDS | ANYTHING,
        "name": WORDS | ANYTHING,
        "arguments": WORDS | ANYTHING,
        "output": WORDS | some.lists(PARTS, max_size=2) | ANYTHING,
        "namespace": ANYTHING,
        "id": ANYTHING,
        "status": ANYTHING,
    },
)


def placed(*items: Item) -> list[tuple[str, Item]]:
    return [(f"input[{number}]", item) for number, item in enumerate(items)]


def user(content: Any) -> Item:
    return {"role": "user", "content": content}


def call(number: int, **fields: Any) -> Item:
    return {"type": "function_call", "call_id": f"call_{number}", "name": "sta", "arguments": "{}", **fields}


def read(items: list[Item]) -> list[Message] | RequestError:
    try:
        return to_messages(placed(*items), {})
    except RequestError as error:
        return error


@settings(max_examples=50)
@given(some.lists(ITEMS, max_size=4))
def test_any_items_are_messages_or_a_refusal_with_the_place_at_fault(items: list[Item]) -> None:
    before = json.dumps(items)
    found = read(items)
    assert json.dumps(items) == before
    if isinstance(found, RequestError):
        assert (found.param or "").startswith("input[")
        assert f"'{found.param}'" in str(found)
        return
    assert all(each["role"] in ("user", "assistant", "system", "tool") for each in found)
    called = {one["id"] for each in found for one in each.get("tool_calls", ())}
    assert {each["tool_call_id"] for each in found if each["role"] == "tool"} <= called


@settings(max_examples=50)
@given(ITEMS)
def test_what_is_kept_says_the_same_to_a_model_and_is_kept_again_unchanged(item: Item) -> None:
    given_call = placed(call(1), call(2))
    try:
        said = to_messages([*given_call, ("input", item)], {})
    except RequestError:
        return
    whole = kept(item)
    assert isinstance(whole["id"], str)
    assert whole["id"]
    assert kept(whole) == whole
    assert json.dumps(to_messages([*given_call, ("input", whole)], {})) == json.dumps(said)


def test_null_is_a_field_left_out() -> None:
    image = {"type": "input_image", "image_url": "x"}
    item = {"type": None, "id": "msg_1", "role": "user", "content": [{**image, "detail": None}], "phase": None}
    assert to_messages([("input", {**item, "status": None})], {}) == to_messages([("input", user([image]))], {})
    assert kept({**item, "status": None}) == kept({**user([image]), "id": "msg_1"})


@for_each(
    ("content", "text"),
    [
        ("", ""),
        ([], ""),
        ([{"type": "input_text", "text": ""}], ""),
        ([{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}], "a\nb"),
        ([{"type": "text", "text": "a\r\n"}, {"type": "input_text", "text": "b"}], "a\r\n\nb"),
    ],
)
def test_an_answers_parts_are_its_lines(content: Any, text: str) -> None:
    assert to_messages(placed({"role": "assistant", "content": content}), {}) == [
        {"role": "assistant", "content": text}
    ]


@for_each(
    ("part", "image"),
    [
        ({"image_url": "https://a/b.png"}, {"url": "https://a/b.png"}),
        ({"image_url": "data:image/png;base64,AA==", "detail": "low"}, {"detail": "low"}),
        ({"image_url": "x", "detail": "original"}, {"detail": "high"}),
        ({"image_url": "x", "detail": None}, {"url": "x"}),
        ({"image_url": "x", "detail": 3}, {"url": "x"}),
    ],
)
def test_an_image_stands_among_the_parts_as_a_chat_has_it(part: dict[str, Any], image: dict[str, Any]) -> None:
    content = [{"type": "input_text", "text": "What is this?"}, {"type": "input_image", **part}]
    [message] = to_messages(placed(user(content)), {})
    assert message["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": part["image_url"], **image}},
    ]


@for_each(
    ("item", "param", "says"),
    [
        ({"type": "shell_call"}, "input[0].type", f"'shell_call', which this gateway does not read: give {KINDS}."),
        ({"type": ["message"]}, "input[0].type", "is ['message']"),
        ({"type": "message"}, "input[0].role", "is None: give one of user, assistant, system, developer."),
        (user(None), "input[0].content", "is None: give a string or a list of parts."),
        (user({"text": "a"}), "input[0].content", "give a string or a list of parts."),
        (user(["a"]), "input[0].content[0].type", "is 'a': give input_text, input_image or output_text."),
        (user([{"type": "input_audio"}]), "input[0].content[0].type", "is 'input_audio'"),
        (user([{"type": "input_text"}]), "input[0].content[0].text", "is None: give a string."),
        (user([{"type": "refusal", "text": "no"}]), "input[0].content[0].refusal", "is None: give a string."),
        (user([{"type": "input_image", "file_id": "f"}]), "input[0].content[0].image_url", "is a file_id: give a URL"),
        (user([{"type": "input_image", "image_url": ""}]), "input[0].content[0].image_url", "is '': give a URL"),
        (user([{"type": "input_file", "file_id": "f"}]), "input[0].content[0]", "give its text as input_text"),
        (call(1, name=None), "input[0].name", "'input[0].name' is missing."),
        (call(1, arguments={}), "input[0].arguments", "is {}: give a string."),
        (call(1, call_id=5), "input[0].call_id", "is 5: give a string."),
        ({"type": "function_call_output", "output": "x"}, "input[0].call_id", "is missing."),
    ],
)  # fmt: skip
def test_a_wrong_item_says_what_its_place_and_what_to_give(item: Item, param: str, says: str) -> None:
    with pytest.raises(RequestError) as caught:
        to_messages(placed(item), {})
    assert caught.value.param == param
    assert says in str(caught.value)


def test_a_long_value_at_fault_is_shortened_to_a_line() -> None:
    with pytest.raises(RequestError) as caught:
        to_messages(placed({"role": "x" * 10_000, "content": "a"}), {})
    assert len(str(caught.value)) < 250


def test_calls_beside_each_other_share_a_message_and_a_turn_between_parts_them() -> None:
    said = {"role": "assistant", "content": "I look."}
    output = {"type": "function_call_output", "call_id": "call_1", "output": "met"}
    messages = to_messages(placed(user("a"), said, call(1), call(2), output, call(3), user("b")), {})
    assert [(each["role"], len(each.get("tool_calls", ()))) for each in messages] == [
        ("user", 0),
        ("assistant", 2),
        ("tool", 0),
        ("assistant", 1),
        ("user", 0),
    ]


def test_a_call_is_named_as_the_chat_has_its_function() -> None:
    names = {("timing", "sta"): "timing__sta"}
    found = to_messages(placed(call(1), call(2, namespace="timing"), call(3, namespace="power")), names)
    assert [one["function"]["name"] for one in found[0]["tool_calls"]] == ["sta", "timing__sta", "sta"]


@for_each(
    ("instructions", "roles", "expected"),
    [
        (None, "", []),
        ("", "u", ["user"]),
        ("be brief", "", ["system: be brief"]),
        (None, "su", ["system: s0", "user"]),
        ("be brief", "ssus", ["system: be brief\n\ns0\n\ns1", "user", "system: s3"]),
        (None, "us", ["user", "system: s1"]),
    ],
)
def test_one_system_message_leads_and_later_ones_stay(
    instructions: str | None, roles: str, expected: list[str]
) -> None:
    kinds = {"s": "system", "u": "user"}
    messages = [{"role": kinds[each], "content": f"{each}{number}"} for number, each in enumerate(roles)]
    led = lead_with_system(instructions, messages)
    shown = [f"system: {each['content']}" if each["role"] == "system" else each["role"] for each in led]
    assert shown == expected


@for_each(
    ("item", "prefix"),
    [
        (user("a"), "msg_"),
        (call(1), "fc_"),
        ({"type": "function_call_output"}, "fco_"),
        ({"type": "reasoning"}, "rs_"),
        ({"type": "file_search_call"}, "item_"),
        ({**user("a"), "id": ""}, "msg_"),
        ({**user("a"), "id": None}, "msg_"),
        ({**user("a"), "id": 5}, "msg_"),
        ({**user("a"), "id": "mine"}, "mine"),
    ],
)
def test_an_item_is_kept_under_its_own_id_or_one_that_tells_its_kind(item: Item, prefix: str) -> None:
    assert kept(item)["id"].startswith(prefix)
    assert kept(item)["type"] == item.get("type", "message")
    assert kept(item)["status"] == "completed"


def test_what_is_kept_has_what_openais_types_ask_for_and_keeps_what_it_had() -> None:
    assert kept({"type": "reasoning"})["summary"] == []
    assert kept({"type": "reasoning", "summary": [{"text": "a"}]})["summary"] == [{"text": "a"}]
    image = {"type": "input_image", "image_url": "x"}
    assert kept(user([image]))["content"] == [{"detail": "auto", **image}]
    assert kept(user([{**image, "detail": "low"}]))["content"] == [{**image, "detail": "low"}]
    assert kept({**user("a"), "status": "in_progress"})["status"] == "in_progress"
