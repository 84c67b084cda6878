"""Messages to Slack and threads from it, as often as Slack allows and until they arrive. Over the official `slack_sdk`.

It writes no text of its own and knows no question. Slack limits each method per workspace and answers 429 with a
Retry-After where that is exceeded: until then nothing is sent.

    delivery = Delivery(WebClient(token="xoxb-..."))
    ts = delivery.post("C1", "1700000000.1", {"text": "...", "blocks": [...]})
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.web import SlackResponse, WebClient

from ui.errors import SlackRefused, SlackUnreachable

log = logging.getLogger("chipalign.slack")

# chat.update is in Slack's tier 3: 50 calls a minute and workspace, all answers that are being written together
PREVIEW_EVERY_S = 1.2
ATTEMPTS = 10  # with the pauses between them a minute and a half; waiting for a Retry-After counts as one
LONGEST_PAUSE_S = 16  # between two attempts where Slack names no time
PAGE_MESSAGES = 200  # per call of conversations.replies
PAGES = 5  # threads beyond 1000 messages are read up to there

Content = Mapping[str, Any]  # "text" and "blocks" of a message


class Delivery:
    """One workspace; safe to use from several threads, whose calls share Slack's limits."""

    def __init__(self, client: WebClient, attempts: int = ATTEMPTS) -> None:
        self._client = client
        self._attempts = attempts
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._held_until = 0.0  # monotonic; Slack asked for silence until then
        self._next_preview = 0.0

    def close(self) -> None:
        """Stop waiting for a Slack that does not answer; a pause that Slack itself asks for is still kept."""
        self._closing.set()

    def post(self, channel: str, thread_ts: str, content: Content) -> str:
        """Post a message into a thread; returns its `ts`.

        Raises SlackRefused, SlackUnreachable.
        """
        # No text may become a link, a preview or a mention by itself.
        answer = self._until_delivered(
            lambda: self._client.chat_postMessage(
                channel=channel,
                thread_ts=thread_ts,
                unfurl_links=False,
                unfurl_media=False,
                parse="none",
                link_names=False,
                **content,
            )
        )
        return str(answer["ts"])

    def update(self, channel: str, ts: str, content: Content) -> None:
        """Replace a message, waiting as long as Slack asks for.

        Raises SlackRefused, SlackUnreachable.
        """
        self._until_delivered(lambda: self._update(channel, ts, content))

    def post_ephemeral(self, channel: str, user: str, thread_ts: str | None, text: str) -> None:
        """Show `text` in a channel to one person only.

        Raises SlackRefused, SlackUnreachable.
        """
        self._until_delivered(
            lambda: self._client.chat_postEphemeral(channel=channel, user=user, thread_ts=thread_ts, text=text)
        )

    def may_preview(self) -> bool:
        """Whether a preview may be sent now; after a yes the next comes only after PREVIEW_EVERY_S."""
        now = time.monotonic()
        with self._lock:
            if now < max(self._next_preview, self._held_until):
                return False
            self._next_preview = now + PREVIEW_EVERY_S
            return True

    def preview(self, channel: str, ts: str, content: Content) -> bool:
        """Replace a message by one that a later update will replace again; returns whether it arrived.

        It is not tried twice.
        """
        try:
            self._update(channel, ts, content)
        except SlackApiError as error:
            self._hold(error)
            log.info("a preview was refused: %s", reason_of(error))
            return False
        except (OSError, HTTPException) as error:
            log.info("a preview did not arrive: %s", error)
            return False
        return True

    def thread(self, channel: str, thread_ts: str) -> list[dict[str, Any]]:
        """The messages of a thread, oldest first.

        Raises SlackRefused, SlackUnreachable.
        """
        messages: list[dict[str, Any]] = []
        cursor = ""
        for _ in range(PAGES):
            page = self._until_delivered(self._replies, channel, thread_ts, cursor)
            messages += page["messages"]
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                break
        return messages

    def file(self, file_id: str) -> Mapping[str, Any]:
        """What Slack knows of a file: its name, its address and more.

        Raises SlackRefused, SlackUnreachable.
        """
        answer = self._until_delivered(lambda: self._client.files_info(file=file_id))
        return dict(answer["file"])

    def _replies(self, channel: str, thread_ts: str, cursor: str) -> SlackResponse:
        return self._client.conversations_replies(
            channel=channel, ts=thread_ts, cursor=cursor or None, limit=PAGE_MESSAGES
        )

    def _update(self, channel: str, ts: str, content: Content) -> SlackResponse:
        return self._client.chat_update(channel=channel, ts=ts, parse="none", link_names=False, **content)

    def _until_delivered(self, call: Callable[..., SlackResponse], *arguments: str) -> SlackResponse:
        """What `call` returns, tried again after 429, a fault of Slack's or of the network.

        Raises SlackRefused, SlackUnreachable.
        """
        for attempt in range(self._attempts):
            self._wait()
            is_last = attempt == self._attempts - 1
            may_wait = not is_last and not self._closing.is_set()
            try:
                return call(*arguments)
            except SlackApiError as error:
                if self._hold(error) and not is_last:
                    continue
                if not may_wait or status_of(error) < 500:
                    raise SlackRefused(reason_of(error)) from error
            except (OSError, HTTPException) as error:
                if not may_wait:
                    raise SlackUnreachable(str(error)) from error
            self._closing.wait(min(2**attempt, LONGEST_PAUSE_S))
        raise AssertionError("the last attempt returns or raises")

    def _hold(self, error: SlackApiError) -> bool:
        """Whether `error` is a 429; if so, send nothing for as long as it asks."""
        if status_of(error) != 429:
            return False
        pause_s = float(error.response.headers.get("Retry-After") or 1)
        log.info("Slack asks for a pause of %g s", pause_s)
        with self._lock:
            self._held_until = max(self._held_until, time.monotonic() + pause_s)
        return True

    def _wait(self) -> None:
        """Wait for as long as Slack asked."""
        while (rest_s := self._held_until - time.monotonic()) > 0:
            time.sleep(rest_s)


def status_of(error: SlackApiError) -> int:
    """The HTTP status of a refusal.

    slack_sdk hands over a plain dictionary where the answer was not JSON (a proxy's page).
    """
    response = error.response
    return int(response.get("status", 0) if isinstance(response, dict) else response.status_code)


def reason_of(error: SlackApiError) -> str:
    """Slack's word for what is wrong, such as `missing_scope`, with the scope that is needed."""
    response = error.response
    if isinstance(response, dict) or status_of(error) >= 500:
        return f"HTTP {status_of(error)}"
    needed = response.get("needed")
    return f"{response.get('error')} (needed: {needed})" if needed else str(response.get("error"))
