"""Decides which of Slack's events are questions, and which of them came before.

It sends nothing and knows no connection; it reads a question from the event alone.

    question = read_question(body, bot_user_id="U0BOT")   # None for everything that is not to be answered
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ui.slack.mrkdwn import from_mrkdwn

REMEMBER_S = 600.0  # Slack repeats an event that was not acknowledged at once, after a minute, and after five
# A message with a file, and a reply that is also shown in the channel, are messages; other subtypes (edits, joins,
# bots) are not.
ANSWERED_SUBTYPES = (None, "file_share", "thread_broadcast")


@dataclass(frozen=True)
class Question:
    """A message that is to be answered, in the thread `thread_ts` of `channel`.

    Slack identifies messages by their time, `ts`.
    """

    event_id: str
    channel: str
    user: str
    ts: str
    thread_ts: str
    text: str
    is_direct: bool
    file_ids: tuple[str, ...] = ()

    @property
    def is_follow_up(self) -> bool:
        """Whether it stands in a thread that existed before it."""
        return self.thread_ts != self.ts


def read_question(body: Mapping[str, Any], bot_user_id: str) -> Question | None:
    """The question that an event of Slack's Events API asks of the bot, or None.

    The bot answers mentions in channels, and messages in direct conversations. It does not answer bots, itself
    included, edited messages, joins, or whatever else is not a person's message.
    """
    event: Mapping[str, Any] = body.get("event") or {}
    is_direct = event.get("type") == "message" and event.get("channel_type") == "im"
    if (
        not (is_direct or event.get("type") == "app_mention")
        or not is_of_a_person(event, bot_user_id)
        or "edited" in event
    ):
        return None
    ts = str(event["ts"])
    text = from_mrkdwn(event.get("text") or "", bot_user_id)
    return Question(
        str(body.get("event_id") or ts),
        event["channel"],
        event["user"],
        ts,
        event.get("thread_ts") or ts,
        text,
        is_direct,
        tuple(str(file["id"]) for file in event.get("files") or () if file.get("id")),
    )


def is_of_a_person(message: Mapping[str, Any], bot_user_id: str) -> bool:
    """Whether a person wrote this message or event."""
    return (
        not message.get("bot_id")
        and bool(message.get("user"))
        and message["user"] != bot_user_id
        and message.get("subtype") in ANSWERED_SUBTYPES
    )


class RecentEvents:
    """The ids of the events of the last minutes; safe to use from several threads."""

    def __init__(self, remember_s: float = REMEMBER_S) -> None:
        self._remember_s = remember_s
        self._times: dict[str, float] = {}  # in the order of their arrival
        self._lock = threading.Lock()

    def is_new(self, event_id: str) -> bool:
        """Whether this id comes for the first time; from now on it does not."""
        now = time.monotonic()
        with self._lock:
            while self._times and now - next(iter(self._times.values())) > self._remember_s:
                del self._times[next(iter(self._times))]
            if event_id in self._times:
                return False
            self._times[event_id] = now
            return True
