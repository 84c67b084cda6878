"""The fake Slack does what it promises; a fake that lies makes every test over it worthless."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.fake_slack import APP_TOKEN, BOT, BOT_TOKEN, FakeSlack, Limit, fault_of


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with FakeSlack() as fake:
        yield fake


def call(slack: FakeSlack, method: str, token: str = BOT_TOKEN, **arguments: Any) -> httpx.Response:
    return httpx.post(f"{slack.url}{method}", json=arguments, headers={"Authorization": f"Bearer {token}"})


def section(text: str, block_id: str = "a") -> dict[str, Any]:
    return {"type": "section", "block_id": block_id, "text": {"type": "mrkdwn", "text": text}}


def test_each_token_opens_its_methods_alone(slack: FakeSlack) -> None:
    assert call(slack, "auth.test").json()["user_id"] == BOT
    assert call(slack, "auth.test", APP_TOKEN).json()["error"] == "not_allowed_token_type"
    assert call(slack, "auth.test", "xoxb-other").json()["error"] == "invalid_auth"
    assert call(slack, "apps.connections.open", APP_TOKEN).json()["url"] == slack.socket_url
    assert call(slack, "apps.connections.open").json()["error"] == "not_allowed_token_type"
    assert call(slack, "files.upload").json()["error"] == "unknown_method"


def test_message_is_posted_updated_and_read_in_its_thread(slack: FakeSlack) -> None:
    asked = slack.say("C1", "hello")
    ts = call(slack, "chat.postMessage", channel="C1", thread_ts=asked, text="one", blocks=[section("one")]).json()[
        "ts"
    ]
    assert call(slack, "chat.update", channel="C1", ts=ts, text="two", blocks=[section("two")]).json()["ok"]
    thread = call(slack, "conversations.replies", channel="C1", ts=asked).json()["messages"]
    assert [(message["user"] == BOT, message["text"]) for message in thread] == [(False, "hello"), (True, "two")]
    assert slack.replies("C1", asked)[0]["blocks"] == [section("two")]
    assert call(slack, "chat.update", channel="C1", ts=asked, text="mine?").json()["error"] == "message_not_found"


def test_form_encoded_calls_are_read_too(slack: FakeSlack) -> None:
    form = {"channel": "C1", "text": "one", "blocks": json.dumps([section("one")])}
    assert httpx.post(
        f"{slack.url}chat.postMessage", data=form, headers={"Authorization": f"Bearer {BOT_TOKEN}"}
    ).json()["ok"]
    assert slack.state.messages["C1"][0]["blocks"] == [section("one")]


def test_thread_is_given_in_pages(slack: FakeSlack) -> None:
    first = slack.say("C1", "0")
    slack.say("C1", "1", first)
    slack.say("C1", "2", first)
    page = call(slack, "conversations.replies", channel="C1", ts=first, limit=2).json()
    assert ([message["text"] for message in page["messages"]], page["response_metadata"]["next_cursor"]) == (
        ["0", "1"],
        "2",
    )
    rest = call(slack, "conversations.replies", channel="C1", ts=first, limit=2, cursor="2").json()
    assert ([message["text"] for message in rest["messages"]], rest["response_metadata"]["next_cursor"]) == (["2"], "")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"text": "x", "blocks": [section("x")]}, ""),
        ({"text": "x" * 4001}, "msg_too_long"),
        ({"text": "x", "blocks": [section("x" * 3001)]}, "invalid_blocks"),
        ({"text": "x", "blocks": [section("")]}, "invalid_blocks"),
        ({"text": "x", "blocks": [section("x"), section("y")]}, "invalid_blocks"),  # the same id twice
        ({"text": "x", "blocks": [section("x", str(number)) for number in range(51)]}, "invalid_blocks"),
        (
            {"text": "x", "blocks": [{"type": "context", "block_id": "a", "elements": [{"text": "x"}] * 11}]},
            "invalid_blocks",
        ),
        ({"text": "x", "blocks": [section("x" * 3000, str(number)) for number in range(5)]}, "msg_blocks_too_long"),
    ],
)
def test_content_beyond_slacks_limits_is_refused(slack: FakeSlack, content: dict[str, Any], fault: str) -> None:
    assert fault_of(content) == fault
    assert call(slack, "chat.postMessage", channel="C1", **content).json().get("error", "") == fault


def test_limits_errors_and_faults_answer_as_slack_does(slack: FakeSlack) -> None:
    slack.state.limits["auth.test"] = Limit(calls=1, retry_after_s=7)
    limited = call(slack, "auth.test")
    assert (limited.status_code, limited.headers["retry-after"], limited.json()["error"]) == (429, "7", "ratelimited")
    slack.state.broken["auth.test"] = 1
    assert call(slack, "auth.test").status_code == 500
    slack.state.unwanted = "tomato"
    assert call(slack, "chat.postMessage", channel="C1", text="a tomato").json()["error"] == "invalid_blocks"
    slack.state.errors["auth.test"] = "fatal_error"
    assert call(slack, "auth.test").json() == {"ok": False, "error": "fatal_error"}
    assert [one.status for one in slack.calls("auth.test")] == [429, 500, 200]


def test_event_is_sent_over_the_socket_and_waits_for_its_acknowledgement(slack: FakeSlack) -> None:
    with connect(slack.socket_url) as bot, ThreadPoolExecutor() as pool:
        assert json.loads(bot.recv())["type"] == "hello"
        said = pool.submit(slack.say, "C1", f"<@{BOT}> how?")
        envelope = json.loads(bot.recv())
        event = envelope["payload"]["event"]
        assert (envelope["type"], event["type"], event["text"]) == ("events_api", "app_mention", f"<@{BOT}> how?")
        assert not said.done()
        bot.send(json.dumps({"envelope_id": envelope["envelope_id"]}))
        assert said.result(timeout=10) == event["ts"]


def test_connection_is_ended_politely_or_not(slack: FakeSlack) -> None:
    with connect(slack.socket_url) as bot:
        bot.recv()
        slack.disconnect(politely=True)
        assert json.loads(bot.recv())["type"] == "disconnect"
        slack.disconnect(politely=False)
        with pytest.raises(ConnectionClosed):
            bot.recv()


def test_what_does_not_mention_the_bot_is_not_sent_to_it_but_direct_messages_are(slack: FakeSlack) -> None:
    with connect(slack.socket_url) as bot, ThreadPoolExecutor() as pool:
        bot.recv()
        slack.say("C1", "hello all")
        said = pool.submit(slack.say, "D1", "hello bot")
        envelope = json.loads(bot.recv())
        assert (envelope["payload"]["event"]["channel_type"], envelope["payload"]["event"]["text"]) == (
            "im",
            "hello bot",
        )
        bot.send(json.dumps({"envelope_id": envelope["envelope_id"]}))
        said.result(timeout=10)
