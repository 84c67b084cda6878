"""Which events are questions: mentions and direct messages of people, each once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.rows import for_each
from ui.slack.slack_events import Question, RecentEvents, read_question

BOT = "U0BOT"
MENTION = {"type": "app_mention", "user": "U1", "text": "<@U0BOT> what is slack?", "ts": "100.1", "channel": "C1"}
DIRECT = {
    "type": "message",
    "channel_type": "im",
    "user": "U1",
    "text": "what is slack?",
    "ts": "100.1",
    "channel": "D1",
}


def read(event: dict[str, Any]) -> Question | None:
    return read_question({"event_id": "Ev1", "event": event}, BOT)


def test_mention_is_a_question_without_the_mention() -> None:
    assert read(MENTION) == Question("Ev1", "C1", "U1", "100.1", "100.1", "what is slack?", is_direct=False)


def test_direct_message_is_a_question() -> None:
    assert read(DIRECT) == Question("Ev1", "D1", "U1", "100.1", "100.1", "what is slack?", is_direct=True)


def test_message_in_a_thread_is_a_follow_up_in_it() -> None:
    question = read({**MENTION, "thread_ts": "90.5"})
    assert question is not None
    assert (question.thread_ts, question.is_follow_up) == ("90.5", True)
    first = read(MENTION)
    assert first is not None
    assert not first.is_follow_up


@for_each("event", [MENTION, DIRECT])
@for_each(
    "changes",
    [
        {"bot_id": "B9"},
        {"user": BOT},
        {"user": None},
        {"subtype": "message_changed"},
        {"subtype": "message_deleted"},
        {"subtype": "bot_message"},
        {"subtype": "channel_join"},
        {"edited": {"user": "U1", "ts": "101.1"}},
    ],
)
def test_bots_edits_and_joins_are_not_questions(event: dict[str, Any], changes: dict[str, Any]) -> None:
    assert read({**event, **changes}) is None


@pytest.mark.parametrize("subtype", ["file_share", "thread_broadcast"])
def test_message_with_a_file_or_shown_in_the_channel_too_is_a_question(subtype: str) -> None:
    assert read({**DIRECT, "subtype": subtype}) is not None


@for_each("channel_type", ["channel", "group", "mpim", None])
def test_message_that_does_not_mention_the_bot_is_none_of_its_business(channel_type: str | None) -> None:
    assert read({**DIRECT, "channel_type": channel_type}) is None


def test_other_events_are_not_questions() -> None:
    assert read({"type": "reaction_added", "user": "U1"}) is None
    assert read_question({}, BOT) is None


def test_event_without_text_asks_nothing() -> None:
    question = read({**DIRECT, "text": None})
    assert question is not None
    assert question.text == ""


def test_event_is_new_once() -> None:
    recent = RecentEvents()
    assert [recent.is_new(one) for one in ("a", "b", "a", "b", "c")] == [True, True, False, False, True]


def test_event_is_forgotten_after_its_time() -> None:
    recent = RecentEvents(remember_s=0.05)
    assert recent.is_new("a")
    time.sleep(0.1)
    assert recent.is_new("b")
    assert recent.is_new("a")


def test_of_many_threads_one_takes_an_event() -> None:
    recent = RecentEvents()
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda number: recent.is_new(str(number % 50)), range(2000)))
    assert sum(taken) == 50


def test_manifest_subscribes_to_what_is_answered_and_asks_for_no_more_scopes() -> None:
    manifest = yaml.safe_load(
        (Path(__file__).parent.parent / "data" / "slack" / "manifest.yaml").read_text(encoding="utf-8")
    )
    assert manifest["settings"]["socket_mode_enabled"] is True
    assert manifest["settings"]["event_subscriptions"]["bot_events"] == ["app_mention", "message.im"]
    reading = {"app_mentions:read", "im:history", "im:read", "channels:history", "groups:history", "files:read"}
    assert set(manifest["oauth_config"]["scopes"]["bot"]) == reading | {"chat:write", "im:write"}
    assert manifest["features"]["app_home"]["messages_tab_enabled"] is True
