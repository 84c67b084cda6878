"""The Slack bot: hears questions over Socket Mode, asks the gateway, and writes answers into threads as they come.

It holds no prompt, retrieval or database, and keeps nothing: it reads from the thread what was said before. It needs no
public address.

    bot = SlackBot(settings, Gateway(settings))
    bot.start()
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from typing import Any

from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk.errors import SlackApiError
from slack_sdk.web import WebClient

from ui.client import Gateway
from ui.conversation import Conversation, Turn, add_question, begin, fail, take_event, to_messages
from ui.errors import (
    AttachedTooLong,
    AttachedUnreadable,
    EmptyQuestion,
    GatewayError,
    PastedNotText,
    QuestionInterrupted,
    SlackRefused,
    SlackUnreachable,
    UiError,
)
from ui.heartbeat import with_heartbeat
from ui.pasted import join_question
from ui.settings import UiSettings
from ui.slack.slack_blocks import RATE, answer_messages, read_rating, read_thread
from ui.slack.slack_delivery import Delivery, reason_of
from ui.slack.slack_events import Question, RecentEvents, read_question
from ui.slack.slack_files import Files
from ui.slack.slack_queue import Lines

log = logging.getLogger("chipalign.slack")

BEAT_S = 0.3  # how soon a burst of text is shown, and a stop noticed
PING_S = 5  # how often a lost connection is noticed and made again
CALL_TIMEOUT_S = 30  # of one call to Slack
LISTENERS = 8  # threads that post placeholders, which takes one call to Slack each
NOT_HERE = "This bot does not answer in this channel. Write to it directly, or ask your CAD team to add the channel."
NOTED = "Noted, thank you."
FAILED = (
    "Something went wrong in the bot itself. Show this line to your CAD team: the bot's log has more about event "
    "{event}."
)


class SlackBot:
    """One workspace's bot.

    Raises SlackRefused, SlackUnreachable: Slack does not know its bot token, or does not answer.
    """

    def __init__(self, settings: UiSettings, gateway: Gateway) -> None:
        self._gateway = gateway
        self._channels = settings.slack_channel_ids
        self._client = WebClient(
            settings.slack_bot_token, base_url=settings.slack_url, timeout=CALL_TIMEOUT_S, retry_handlers=[]
        )
        self._bot_user_id = _bot_user_id(self._client)
        self._delivery = Delivery(self._client)
        self._files = Files(self._delivery, settings.slack_url, settings.slack_bot_token)
        self._recent = RecentEvents()
        self._lines = Lines(settings.slack_questions)
        self._stopping = threading.Event()
        self._listeners = ThreadPoolExecutor(LISTENERS, thread_name_prefix="event")
        # Bolt acknowledges an event before it calls our function, which runs in one of these threads.
        app = App(client=self._client, listener_executor=self._listeners)
        app.event("app_mention")(self._hear)
        app.event("message")(self._hear)
        app.action(re.compile(f"{RATE}(?:up|down)"))(self._rate)
        self._socket = SocketModeHandler(app, settings.slack_app_token, ping_interval=PING_S)

    @property
    def bot_user_id(self) -> str:
        """The user that the bot is in its workspace."""
        return self._bot_user_id

    def start(self) -> None:
        """Connect, and answer from now on in threads of its own; a lost connection is made again.

        Raises SlackRefused, SlackUnreachable.
        """
        try:
            self._socket.client.connect()
        except SlackApiError as error:
            raise SlackRefused(reason_of(error)) from error
        except OSError as error:
            raise SlackUnreachable(str(error)) from error

    def close(self) -> None:
        """Hear no more, say to those who wait that there will be no answer, and close the connection.

        It takes some seconds.
        """
        self._stopping.set()
        self._delivery.close()
        self._socket.client.close()
        self._listeners.shutdown()
        self._lines.close()

    def _hear(self, body: dict[str, Any]) -> None:
        """Take an event: a question gets its placeholder at once and its answer in its turn."""
        question = read_question(body, self._bot_user_id)
        if question is None or not self._recent.is_new(question.event_id):
            return
        posted: Future[str] = Future()
        try:
            if self._channels and not question.is_direct and question.channel not in self._channels:
                thread_ts = question.thread_ts if question.is_follow_up else None
                self._delivery.post_ephemeral(question.channel, question.user, thread_ts, NOT_HERE)
                return
            # Before the placeholder is posted: a thread's questions are answered in the order in which they came
            self._lines.put((question.channel, question.thread_ts), partial(self._answer_in_turn, question, posted))
            placeholder = answer_messages(Turn(question.text), question.ts)[0]
            posted.set_result(self._delivery.post(question.channel, question.thread_ts, placeholder))
        except UiError as error:
            log.error("event %s in channel %s cannot be answered: %s", question.event_id, question.channel, error)
        finally:
            posted.cancel()  # does nothing where it was posted

    def _rate(self, ack: Callable[[], object], body: dict[str, Any]) -> None:
        """Pass a pressed thumb on to the gateway, and say to who pressed it, and nobody else, that it was noted."""
        ack()
        answer_id, rating = read_rating(body["actions"][0])
        try:
            self._gateway.rate(answer_id, rating)
            said = NOTED
        except GatewayError as error:
            said = _sentence(error)
            log.warning("a rating of %s cannot be kept: %s", answer_id, said)
        message, place = body.get("message") or {}, body["container"]
        thread_ts = message.get("thread_ts") or place.get("thread_ts")
        try:
            self._delivery.post_ephemeral(place["channel_id"], body["user"]["id"], thread_ts, said)
        except UiError as error:
            log.error("who rated %s cannot be answered: %s", answer_id, error)

    def _answer_in_turn(self, question: Question, posted: Future[str]) -> None:
        """Answer in place of the placeholder; not at all where there is none."""
        with suppress(CancelledError):
            self._answer(question, posted.result())

    def _answer(self, question: Question, placeholder_ts: str) -> None:
        """Fetch the answer, showing it as it grows in place of the placeholder.

        A failure is a sentence in the same place.
        """
        log.info("event %s in channel %s is being answered", question.event_id, question.channel)
        turn = begin(Turn(question.text))
        revision = 0

        try:
            asked = join_question(question.text, *self._files.read(question.file_ids))
            conversation = add_question(self._turns_before(question), asked)
            with closing(with_heartbeat(self._gateway.ask(to_messages(conversation)), BEAT_S)) as events:
                shown = ""
                for event in events:
                    if self._stopping.is_set():
                        raise QuestionInterrupted
                    turn = take_event(turn, event) if event is not None else turn
                    if (
                        turn.state == "answering"
                        and turn.answer.strip()
                        and turn.answer != shown
                        and self._delivery.may_preview()
                    ):
                        revision += 1
                        preview = answer_messages(turn, question.ts, revision)[0]
                        shown = (
                            turn.answer if self._delivery.preview(question.channel, placeholder_ts, preview) else shown
                        )
        except UiError as error:
            turn = fail(turn, _sentence(error))
            is_askers = isinstance(error, EmptyQuestion | AttachedTooLong | AttachedUnreadable | PastedNotText)
            said = type(error).__name__ if is_askers else turn.problem  # no word of a question stands in the log
            log.log(logging.INFO if is_askers else logging.WARNING, "event %s: %s", question.event_id, said)
        except Exception:  # the outermost place that still knows the question
            turn = fail(turn, FAILED.format(event=question.event_id))
            log.exception("event %s failed", question.event_id)

        self._show(question, placeholder_ts, turn, revision + 1)

    def _turns_before(self, question: Question) -> Conversation:
        """What was asked and answered in the question's thread before it.

        Raises SlackRefused, SlackUnreachable.
        """
        if self._stopping.is_set():
            raise QuestionInterrupted
        if not question.is_follow_up:
            return ()
        messages = self._delivery.thread(question.channel, question.thread_ts)
        return read_thread(messages, self._bot_user_id, question.ts, question.is_direct)

    def _show(self, question: Question, placeholder_ts: str, turn: Turn, revision: int) -> None:
        """Show the whole answer: in place of the placeholder, and below it what one message cannot hold.

        What Slack refuses is reported instead.
        """
        first, *more = answer_messages(turn, question.ts, revision)
        try:
            self._delivery.update(question.channel, placeholder_ts, first)
            for content in more:
                self._delivery.post(question.channel, question.thread_ts, content)
        except SlackRefused as error:
            log.exception("the answer to event %s was refused", question.event_id)
            refused = answer_messages(fail(Turn(question.text), str(error)), question.ts, revision + 1)[0]
            self._delivery.update(question.channel, placeholder_ts, refused)


def _bot_user_id(client: WebClient) -> str:
    try:
        return str(client.auth_test()["user_id"])
    except SlackApiError as error:
        raise SlackRefused(reason_of(error)) from error
    except OSError as error:
        raise SlackUnreachable(str(error)) from error


def _sentence(error: UiError) -> str:
    """What the person reads, with the id under which the gateway's log has the rest."""
    request_id = error.request_id if isinstance(error, GatewayError) else ""
    return f"{error} (request {request_id})" if request_id else str(error)
