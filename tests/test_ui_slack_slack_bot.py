"""The bot between a Slack and a gateway, both on real sockets: what people see in their threads, and what they never
see.
"""

from __future__ import annotations

import itertools
import logging
import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.fake_gateway import HITS, NOTHING_FOUND, FakeGateway, Refusal, Script
from tests.fake_slack import BOT, PERSON, FakeSlack, Limit, Message, texts_of
from tests.rows import for_each
from ui.client import Gateway
from ui.errors import SlackRefused
from ui.pasted import MAX_BYTES
from ui.slack.slack_blocks import CUT_OFF, SEARCHING, WRITING
from ui.slack.slack_bot import NOT_HERE, NOTED, SlackBot
from ui.slack.slack_delivery import PREVIEW_EVERY_S

ANSWER = "Run `repair_antennas` after global routing [1]."
SHOWN = f"Run `repair_antennas` after global routing <{HITS[0]['url']}|[1]>."
CHANNELS = itertools.count(1)


@dataclass
class World:
    """A Slack, a gateway and a bot between them, and a channel that is new in each test."""

    slack: FakeSlack
    gateway: FakeGateway
    channel: str = ""

    def ask(self, text: str, thread_ts: str = "", **changes: Any) -> str:
        """Mention the bot in the channel; the ts of the message."""
        return self.slack.say(self.channel, f"<@{BOT}> {text}", thread_ts, **changes)

    def answer(self, asked: str, number: int = 1) -> list[Message]:
        """The whole answer in the thread of `asked`."""
        return self.slack.wait_for_answer(self.channel, asked, number)

    def asked_of_gateway(self) -> list[list[str]]:
        """The texts of each conversation that the gateway was sent."""
        return [[message["content"] for message in request["messages"]] for request in self.gateway.requests]

    def wait_for_placeholder(self, asked: str) -> None:
        """Wait until the bot has written anything into the thread."""
        self.slack.wait_until(lambda: bool(self.slack.replies(self.channel, asked)), "a placeholder")


@contextmanager
def bot_between(slack: FakeSlack, gateway: FakeGateway, **changes: Any) -> Iterator[SlackBot]:
    settings = slack.settings(url=gateway.url, **changes)
    with closing(Gateway(settings)) as client, closing(SlackBot(settings, client)) as bot:
        bot.start()
        yield bot


@pytest.fixture(scope="module")
def shared_world() -> Iterator[World]:
    """One bot serves all tests that need no settings of their own."""
    with FakeSlack() as slack, FakeGateway() as gateway, bot_between(slack, gateway):
        yield World(slack, gateway)


@pytest.fixture
def world(shared_world: World) -> World:
    shared_world.gateway.reset()
    shared_world.channel = f"C{next(CHANNELS)}"
    for trouble in (shared_world.slack.state.limits, shared_world.slack.state.errors, shared_world.slack.state.broken):
        trouble.clear()
    shared_world.slack.state.calls.clear()
    shared_world.slack.state.unwanted = ""
    return shared_world


def test_mention_is_answered_in_its_thread_with_sources(world: World) -> None:
    asked = world.ask("How do I repair antennas?")
    (message,) = world.answer(asked)
    assert message["thread_ts"] == asked
    assert texts_of([message], "answer") == [SHOWN]
    assert texts_of([message], "sources")[0].count("\n") == len(HITS) - 1
    assert world.asked_of_gateway() == [["How do I repair antennas?"]]


def test_a_thumb_below_an_answer_reaches_the_gateway_and_is_acknowledged_to_one_person(world: World) -> None:
    asked = world.ask("How do I repair antennas?")
    (message,) = world.answer(asked)
    world.slack.press(message, "rate-down")
    world.slack.wait_until(lambda: bool(world.slack.calls("chat.postEphemeral")), "a word to who rated")
    assert world.gateway.ratings == [{"answer_id": "chatcmpl-1", "rating": "down"}]
    [call] = world.slack.calls("chat.postEphemeral")
    assert (call.arguments["text"], call.arguments["user"], call.arguments["thread_ts"]) == (NOTED, PERSON, asked)
    world.gateway.script = Script(rating_refusal=Refusal(503, "store_unavailable", "The store does not answer."))
    world.slack.press(message, "rate-up")
    world.slack.wait_until(lambda: len(world.slack.calls("chat.postEphemeral")) == 2, "the reason")
    assert NOTED not in world.slack.calls("chat.postEphemeral")[1].arguments["text"]


def test_placeholder_is_there_before_the_answer_begins(world: World) -> None:
    world.gateway.reset(Script(hold_after=0))
    asked = world.ask("How?")
    world.wait_for_placeholder(asked)
    assert texts_of(world.slack.replies(world.channel, asked), "note") == [SEARCHING]
    world.gateway.release()
    assert texts_of(world.answer(asked), "answer") == [SHOWN]


def test_answer_grows_at_most_once_in_its_time_and_ends_whole(world: World) -> None:
    world.gateway.reset(Script(deltas=tuple(f"word{number} " for number in range(20)), delta_delay_s=0.1))
    started = time.monotonic()
    shown = texts_of(world.answer(world.ask("How?")), "answer")[0]
    elapsed_s = time.monotonic() - started
    assert shown.split() == [f"word{number}" for number in range(20)]
    *previews, last = world.slack.calls("chat.update")
    assert previews
    assert WRITING in str(previews[-1].arguments["blocks"])
    assert WRITING not in str(last.arguments["blocks"])
    assert (len(previews) - 1) * PREVIEW_EVERY_S <= elapsed_s


def test_text_of_a_burst_is_shown_while_nothing_more_comes(world: World) -> None:
    world.gateway.reset(Script(hold_after=2))
    asked = world.ask("How?")
    world.slack.wait_until(
        lambda: texts_of(world.slack.replies(world.channel, asked), "answer") == ["Run `repair_antennas`"], "the burst"
    )
    world.gateway.release()
    assert texts_of(world.answer(asked), "answer") == [SHOWN]


def test_last_update_arrives_after_slack_asked_for_a_pause(world: World) -> None:
    pause_s = 0.3  # Slack asks for whole seconds
    world.slack.state.limits["chat.update"] = Limit(calls=3, retry_after_s=pause_s)
    assert texts_of(world.answer(world.ask("How?")), "answer") == [SHOWN]
    calls = world.slack.calls("chat.update")
    assert [call.status for call in calls] == [429, 429, 429, 200]
    assert all(later.at - earlier.at >= pause_s for earlier, later in itertools.pairwise(calls))


def test_an_attached_log_is_read_with_its_question(world: World) -> None:
    log = world.slack.share("run.log", b"\x1b[31m[ERROR GRT-0118] congestion\x1b[0m\r\n")
    script = world.slack.share("run.tcl", b"global_route\n")
    asked = world.ask("why?", subtype="file_share", files=[log, script])
    assert texts_of(world.answer(asked), "answer") == [SHOWN]
    assert world.asked_of_gateway() == [["why?\n\n[ERROR GRT-0118] congestion\n\nglobal_route"]]


@for_each(
    ("name", "content", "changes", "sentence"),
    [
        ("top.gds", b"\0\x06\0\x02", {}, "top.gds holds no text, so nothing was asked"),
        ("run.log", b"x" * (MAX_BYTES + 1), {}, "run.log holds more than 1 MB, so nothing was asked"),
        ("<!channel>.log", b"\0", {}, "&lt;!channel&gt;.log holds no text"),
        ("a", b"", {"url_private_download": "http://127.0.0.1:9/a"}, "a cannot be read (it does not lie in Slack)"),
        ("a", b"", {"url_private_download": "https://drive.example/a"}, "it does not lie in Slack"),
        ("a", b"", {"url_private_download": "http://[/a"}, "it does not lie in Slack"),
        ("a", b"", {"url_private_download": None}, "it does not lie in Slack"),
        ("a", b"", {"id": "F0"}, "Slack refused: file_not_found"),
    ],
)
def test_a_file_that_cannot_be_read_is_said(
    world: World, name: str, content: bytes, changes: dict[str, Any], sentence: str
) -> None:
    file = world.slack.share(name, content, **{key: changes[key] for key in changes if key != "id"})
    asked = world.ask("why?", subtype="file_share", files=[{**file, **{k: v for k, v in changes.items() if k == "id"}}])
    [problem] = texts_of(world.answer(asked), "problem")
    assert sentence in problem
    assert not world.gateway.requests


def test_a_file_that_slack_does_not_give_is_said(world: World) -> None:
    file = world.slack.share("run.log", b"x")
    world.slack.state.contents.clear()
    [problem] = texts_of(world.answer(world.ask("why?", files=[file])), "problem")
    assert "run.log cannot be read (Slack answers HTTP 403), so nothing was asked" in problem
    world.slack.state.errors["files.info"] = "missing_scope"
    [problem] = texts_of(world.answer(world.ask("why?", files=[file])), "problem")
    assert "Slack refused: missing_scope. Install the app anew with the scopes of data/slack/manifest.yaml" in problem


def test_follow_up_goes_with_the_turns_before_it(world: World) -> None:
    asked = world.ask("How do I fix setup?")
    world.answer(asked)
    world.slack.say(world.channel, "I never knew", asked)  # not said to the bot
    world.ask("and for hold?", asked)
    world.answer(asked, 2)
    assert world.asked_of_gateway()[1] == ["How do I fix setup?", ANSWER, "and for hold?"]
    assert [message["role"] for message in world.gateway.requests[1]["messages"]] == ["user", "assistant", "user"]


def test_direct_conversation_needs_no_mention(world: World) -> None:
    world.channel = world.channel.replace("C", "D")
    asked = world.slack.say(world.channel, "How do I fix setup &amp; hold?")
    world.answer(asked)
    world.slack.say(world.channel, "and <https://h.local/x|this>?", asked)
    world.answer(asked, 2)
    assert world.asked_of_gateway() == [
        ["How do I fix setup & hold?"],
        ["How do I fix setup & hold?", ANSWER, "and this?"],
    ]


def test_each_message_in_a_direct_conversation_begins_anew(world: World) -> None:
    world.channel = world.channel.replace("C", "D")
    for text in ("one?", "two?"):
        world.answer(world.slack.say(world.channel, text))
    assert world.asked_of_gateway() == [["one?"], ["two?"]]


def test_event_that_is_sent_again_is_answered_once(world: World) -> None:
    event = {
        "type": "app_mention",
        "user": "U1",
        "text": f"<@{BOT}> how?",
        "ts": world.slack.next_ts(),
        "channel": world.channel,
    }
    event_id = world.slack.send_event(event)
    for _ in range(3):
        world.slack.send_event(event, event_id)
    world.answer(event["ts"])
    world.answer(world.ask("last?"))
    assert world.asked_of_gateway() == [["how?"], ["last?"]]


def test_bots_edits_joins_and_the_bot_itself_are_not_answered(world: World) -> None:
    mention = {"type": "app_mention", "user": "U1", "text": f"<@{BOT}> how?", "channel": world.channel}
    direct = {"type": "message", "channel_type": "im", "user": "U1", "text": "how?", "channel": "D9"}
    for event in (mention, direct):
        for change in (
            {"bot_id": "B9"},
            {"user": BOT},
            {"subtype": "message_changed"},
            {"subtype": "channel_join"},
            {"edited": {"ts": "1"}},
        ):
            world.slack.send_event({**event, **change, "ts": world.slack.next_ts()})
    world.slack.send_event({**direct, "channel_type": "channel", "ts": world.slack.next_ts()})
    world.answer(world.ask("last?"))
    assert world.asked_of_gateway() == [["last?"]]
    assert len(world.slack.calls("chat.postMessage")) == 1


def test_long_answer_is_several_messages_with_whole_code_blocks(world: World) -> None:
    code = "```tcl\n" + "".join(f"puts {number}\n" for number in range(3000)) + "```"
    world.gateway.reset(Script(deltas=("See:\n\n", code, "\n\nDone [1].")))
    asked = world.ask("How?")
    messages = world.answer(asked)
    world.slack.wait_until(lambda: bool(texts_of(world.slack.replies(world.channel, asked), "sources")), "the sources")
    messages = world.slack.replies(world.channel, asked)
    texts = texts_of(messages, "answer")
    assert len(messages) >= 3
    assert all(text.count("```") in (0, 2) for text in texts)
    assert re.findall(r"puts (\d+)", "".join(texts)) == [str(number) for number in range(3000)]
    assert texts[-1].endswith(f"Done <{HITS[0]['url']}|[1]>.")
    assert [call.error for call in world.slack.state.calls if call.error] == []


def test_nothing_found_is_the_gateways_own_sentence_without_sources(world: World) -> None:
    world.gateway.reset(Script(deltas=(NOTHING_FOUND,), hits=(), cited=()))
    messages = world.answer(world.ask("Who won?"))
    assert (texts_of(messages, "answer"), texts_of(messages, "sources")) == ([NOTHING_FOUND], [])


def test_answer_that_was_cut_off_says_so(world: World) -> None:
    world.gateway.reset(Script(finish_reason="length"))
    assert texts_of(world.answer(world.ask("How?")), "note")[:1] == [CUT_OFF]


def test_model_and_document_mention_nobody_and_link_nowhere(world: World) -> None:
    hit = {**HITS[0], "title": "<!everyone>", "url": "javascript:alert(1)"}
    world.gateway.reset(
        Script(
            deltas=("<!channel> ask <@U1ANN>, ", "see <https://evil.local|x> [y](https://evil.local) `<!here>` [1]"),
            hits=(hit,),
        )
    )
    asked = world.ask("How?")
    messages = world.answer(asked)
    assert "<" not in str(
        [message["text"] for message in messages] + texts_of(messages, "answer") + texts_of(messages, "sources")
    )
    assert "&lt;!channel&gt; ask &lt;@U1ANN&gt;" in texts_of(messages, "answer")[0]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            Script(refusal=Refusal(503, "engine_unavailable", "loading", {"X-Request-Id": "req-1"})),
            ["engine is not ready", "(request req-1)"],
        ),
        (
            Script(refusal=Refusal(429, "rate_limited", "busy", {"X-Request-Id": "req-2"})),
            ["too many questions", "(request req-2)"],
        ),
        (Script(refusal=Refusal(504, "timeout", "slow")), ["took too long"]),
        (
            Script(refusal=Refusal(500, "bug", "oops <!channel>", {"X-Request-Id": "req-3"})),
            ["HTTP 500", "&lt;!channel&gt;", "(request req-3)"],
        ),
        (Script(error_after=0, request_id="req-4"), ["broke off", "(request req-4)"]),
        (Script(hits=({"title": "no number"},), request_id="req-5"), ["cannot be read", "(request req-5)"]),
        (Script(raw="<html>"), ["is not a ChipAlign gateway"]),
    ],
)
def test_failure_of_the_gateway_is_one_sentence_in_the_thread(world: World, script: Script, words: list[str]) -> None:
    world.gateway.reset(script)
    (message,) = world.answer(world.ask("How?"))
    (problem,) = texts_of([message], "problem")
    assert all(word in problem for word in words)
    assert "Traceback" not in str(message)
    assert "\n" not in problem
    assert texts_of([message], "sources") == []


def test_gateway_that_is_down_is_reported_and_the_next_question_answered(world: World) -> None:
    world.gateway.stop()
    assert "cannot be reached" in texts_of(world.answer(world.ask("How?")), "problem")[0]
    world.gateway.reset()
    assert texts_of(world.answer(world.ask("And now?")), "answer") == [SHOWN]


def test_answer_that_breaks_off_keeps_what_had_come(world: World) -> None:
    world.gateway.reset(Script(error_after=2, request_id="req-9"))
    messages = world.answer(world.ask("How?"))
    assert texts_of(messages, "answer") == ["Run `repair_antennas`"]
    assert "broke off" in texts_of(messages, "problem")[0]
    assert "req-9" in texts_of(messages, "problem")[0]


def test_mention_without_a_question_gets_advice(world: World) -> None:
    assert texts_of(world.answer(world.ask("")), "problem") == ["The question is empty: type what you want to know."]
    assert world.gateway.requests == []


def test_thread_that_cannot_be_read_is_reported_and_not_guessed(world: World) -> None:
    asked = world.ask("How?")
    world.answer(asked)
    world.slack.state.errors["conversations.replies"] = "missing_scope"
    world.ask("and for hold?", asked)
    assert "missing_scope" in texts_of(world.answer(asked, 2), "problem")[0]
    assert len(world.gateway.requests) == 1


def test_bug_is_a_sentence_in_the_thread_and_a_traceback_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    asked = world.ask("How?")
    world.answer(asked)
    world.slack.state.messages[world.channel].append(
        {"type": "message", "user": "U1", "text": "x", "ts": "no time", "thread_ts": asked}
    )
    world.ask("and for hold?", asked)
    (problem,) = texts_of(world.answer(asked, 2), "problem")
    assert problem.startswith("Something went wrong in the bot itself.")
    (event_id,) = re.findall(r"event (Ev\w+)", problem)
    assert f"event {event_id} failed" in caplog.text
    assert "ValueError" in caplog.text


def test_answer_that_slack_refuses_is_reported_in_its_place(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.slack.state.unwanted = "repair_antennas"
    (message,) = world.answer(world.ask("How?"))
    assert texts_of([message], "problem")[0].startswith("Slack refused: invalid_blocks.")
    assert texts_of([message], "answer") == []
    assert "was refused" in caplog.text


def test_log_holds_no_word_of_questions_or_answers(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    asked = world.ask("secretquestion?")
    world.answer(asked)
    world.ask("secretfollowup?", asked)
    world.answer(asked, 2)
    assert "is being answered" in caplog.text
    assert "secret" not in caplog.text
    assert "repair_antennas" not in caplog.text


def test_threads_are_answered_at_the_same_time_and_each_one_in_its_order(world: World) -> None:
    world.gateway.reset(Script(hold_after=1))
    first = world.ask("first?")
    world.slack.wait_until(lambda: bool(world.slack.replies(world.channel, first)), "the first placeholder")
    world.ask("first, again?", first)
    second = world.ask("second?")
    world.slack.wait_until(lambda: len(world.slack.calls("chat.postMessage")) == 3, "three placeholders")
    world.slack.wait_until(
        lambda: bool(texts_of(world.slack.replies(world.channel, second), "answer")),
        "the beginning of the second answer",
    )
    assert sorted(world.asked_of_gateway()) == [["first?"], ["second?"]]
    world.gateway.release()
    world.answer(first, 2)
    world.answer(second)
    assert world.asked_of_gateway()[-1] == ["first?", ANSWER, "first, again?"]


def test_questions_of_a_thread_are_answered_as_they_came_though_slack_is_slow(world: World) -> None:
    world.slack.state.broken["chat.postMessage"] = 1
    first = world.ask("first?")
    world.slack.wait_until(lambda: bool(world.slack.calls("chat.postMessage")), "a placeholder that was not taken")
    world.ask("second?", first)
    world.answer(first, 2)
    assert [texts[-1] for texts in world.asked_of_gateway()] == ["first?", "second?"]


def test_question_whose_placeholder_is_refused_holds_up_no_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.slack.state.errors["chat.postMessage"] = "is_archived"
    first = world.ask("first?")
    world.slack.wait_until(lambda: "cannot be answered" in caplog.text, "a refusal")
    world.slack.state.errors.clear()
    world.ask("second?", first)
    world.answer(first)
    assert [texts[-1] for texts in world.asked_of_gateway()] == ["second?"]


@pytest.mark.parametrize("politely", [True, False])
def test_lost_connection_is_made_again(world: World, politely: bool) -> None:
    before = list(world.slack.connections)
    world.slack.disconnect(politely)
    world.slack.wait_until(
        lambda: len(world.slack.connections) == 1 and world.slack.connections != before, "a new connection"
    )
    assert texts_of(world.answer(world.ask("How?")), "answer") == [SHOWN]


def test_bot_answers_in_its_channels_and_directly_and_says_so_elsewhere() -> None:
    with FakeSlack() as slack, FakeGateway() as gateway, bot_between(slack, gateway, slack_channels="C1, C2"):
        slack.say("C3", f"<@{BOT}> how?")
        slack.wait_until(lambda: bool(slack.calls("chat.postEphemeral")), "the refusal")
        slack.wait_for_answer("C2", slack.say("C2", f"<@{BOT}> how?"))
        slack.wait_for_answer("D1", slack.say("D1", "how?"))
        (refusal,) = slack.calls("chat.postEphemeral")
        assert (refusal.arguments["channel"], refusal.arguments["user"], refusal.arguments["text"]) == (
            "C3",
            "U1ANN",
            NOT_HERE,
        )
        assert len(gateway.requests) == 2


def test_the_setting_limits_questions_at_once_and_a_stop_informs_all_who_wait() -> None:
    with FakeSlack() as slack, FakeGateway(Script(hold_after=1)) as gateway:
        with bot_between(slack, gateway, slack_questions=1):
            asked = [slack.say("C1", f"<@{BOT}> {number}?") for number in range(3)]
            slack.wait_until(lambda: len(slack.calls("chat.postMessage")) == 3, "three placeholders")
            slack.wait_until(lambda: bool(slack.calls("chat.update")), "the beginning of an answer")
            assert len(gateway.requests) == 1
        problems = [texts_of(slack.replies("C1", ts), "problem") for ts in asked]
        assert [len(texts) for texts in problems] == [1, 1, 1]
        assert all("The bot was stopped" in texts[0] for texts in problems)
        assert len(gateway.requests) == 1


@for_each(
    ("tokens", "error"),
    [
        ({"slack_bot_token": "xoxb-wrong"}, "invalid_auth"),
        ({"slack_app_token": "xapp-wrong"}, "invalid_auth"),
        ({"slack_app_token": "xoxb-1-right"}, "not_allowed_token_type"),
    ],
)
def test_token_that_slack_does_not_know_is_reported_at_the_start(tokens: dict[str, str], error: str) -> None:
    with (
        FakeSlack() as slack,
        FakeGateway() as gateway,
        pytest.raises(SlackRefused, match=error),
        bot_between(slack, gateway, **tokens),
    ):
        pass
