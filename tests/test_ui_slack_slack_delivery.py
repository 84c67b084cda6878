"""Messages arrive in spite of limits, faults and pauses, and Slack is asked no more often than it allows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from slack_sdk.web import WebClient

from tests.conftest import free_port
from tests.fake_slack import APP_TOKEN, BOT_TOKEN, FakeSlack, Limit
from ui.conversation import Turn
from ui.errors import SlackRefused, SlackUnreachable
from ui.slack import slack_delivery
from ui.slack.slack_blocks import answer_messages
from ui.slack.slack_delivery import PAGE_MESSAGES, PAGES, Delivery

CONTENT = answer_messages(Turn("How?"), "1.1")[0]
ANSWER = answer_messages(Turn("How?", "answered", "Run."), "1.1")[0]
PAUSE_S = 0.3  # in place of the seconds that Slack asks for, and that lie between two attempts or previews


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with FakeSlack() as fake:
        yield fake


def delivery_to(slack: FakeSlack, token: str = BOT_TOKEN) -> Delivery:
    return Delivery(WebClient(token, base_url=slack.url, retry_handlers=[], timeout=5))


def test_message_is_posted_into_its_thread_and_replaced(slack: FakeSlack) -> None:
    delivery = delivery_to(slack)
    ts = delivery.post("C1", "1.1", CONTENT)
    assert slack.replies("C1", "1.1")[0]["text"] == CONTENT["text"]
    delivery.update("C1", ts, ANSWER)
    (message,) = slack.replies("C1", "1.1")
    assert (message["ts"], message["text"], message["blocks"]) == (ts, "Run.", ANSWER["blocks"])


def test_no_text_is_made_a_link_a_mention_or_a_preview_by_slack(slack: FakeSlack) -> None:
    delivery = delivery_to(slack)
    delivery.update("C1", delivery.post("C1", "1.1", CONTENT), ANSWER)
    (posted,), (updated,) = slack.calls("chat.postMessage"), slack.calls("chat.update")
    assert (posted.arguments["parse"], updated.arguments["parse"]) == ("none", "none")
    assert {str(call.arguments["link_names"]).lower() for call in (posted, updated)} <= {"0", "false"}
    assert {str(posted.arguments[name]).lower() for name in ("unfurl_links", "unfurl_media")} <= {"0", "false"}


@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update"])
def test_refusal_for_too_many_calls_is_waited_out(slack: FakeSlack, method: str) -> None:
    delivery = delivery_to(slack)
    slack.state.limits[method] = Limit(calls=2, retry_after_s=PAUSE_S)
    ts = delivery.post("C1", "1.1", CONTENT)
    delivery.update("C1", ts, ANSWER)
    calls = slack.calls(method)
    assert [call.status for call in calls] == [429, 429, 200]
    assert all(later.at - earlier.at >= PAUSE_S for earlier, later in pairwise(calls))
    assert slack.replies("C1", "1.1")[0]["text"] == "Run."


def test_pause_that_slack_asks_for_holds_everything_else_too(slack: FakeSlack) -> None:
    delivery = delivery_to(slack)
    ts = delivery.post("C1", "1.1", CONTENT)
    slack.state.limits["chat.update"] = Limit(calls=1, retry_after_s=PAUSE_S)
    assert delivery.preview("C1", ts, ANSWER) is False
    assert delivery.may_preview() is False
    delivery.post("C2", "2.2", CONTENT)
    (refused,), (_, second) = slack.calls("chat.update"), slack.calls("chat.postMessage")
    assert second.at - refused.at >= PAUSE_S


def test_preview_may_be_sent_once_in_its_time(slack: FakeSlack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slack_delivery, "PREVIEW_EVERY_S", PAUSE_S)
    delivery = delivery_to(slack)
    started = time.monotonic()
    sent = 0
    while time.monotonic() - started < 2 * PAUSE_S:
        sent += delivery.may_preview()
        time.sleep(0.01)
    elapsed_s = time.monotonic() - started
    assert sent >= 1
    assert (sent - 1) * PAUSE_S <= elapsed_s


def test_preview_that_fails_is_not_tried_again_and_raises_nothing(slack: FakeSlack) -> None:
    delivery = delivery_to(slack)
    ts = delivery.post("C1", "1.1", CONTENT)
    slack.state.broken["chat.update"] = 1
    assert delivery.preview("C1", ts, ANSWER) is False
    assert len(slack.calls("chat.update")) == 1
    assert delivery.preview("C1", ts, ANSWER) is True
    slack.close()
    assert delivery.preview("C1", ts, ANSWER) is False


def test_fault_of_slack_is_tried_again(slack: FakeSlack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slack_delivery, "LONGEST_PAUSE_S", PAUSE_S)
    slack.state.broken["chat.postMessage"] = 2
    delivery_to(slack).post("C1", "1.1", CONTENT)
    calls = slack.calls("chat.postMessage")
    assert [call.status for call in calls] == [500, 500, 200]
    assert all(later.at - earlier.at >= PAUSE_S for earlier, later in pairwise(calls))


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("missing_scope", "manifest.yaml"),
        ("not_in_channel", "/invite"),
        ("token_revoked", "CHIPALIGN_SLACK_BOT_TOKEN"),
        ("fatal_error", "CAD team"),
    ],
)
def test_refusal_is_one_sentence_with_advice_and_is_not_tried_again(slack: FakeSlack, error: str, advice: str) -> None:
    slack.state.errors["chat.postMessage"] = error
    with pytest.raises(SlackRefused) as caught:
        delivery_to(slack).post("C1", "1.1", CONTENT)
    assert error in str(caught.value)
    assert advice in str(caught.value)
    assert len(slack.calls("chat.postMessage")) == 1


@pytest.mark.parametrize(("token", "error"), [("xoxb-wrong", "invalid_auth"), (APP_TOKEN, "not_allowed_token_type")])
def test_wrong_token_is_reported(slack: FakeSlack, token: str, error: str) -> None:
    with pytest.raises(SlackRefused, match=error):
        delivery_to(slack, token).post("C1", "1.1", CONTENT)


def test_thread_is_read_page_by_page(slack: FakeSlack) -> None:
    first = slack.say("C1", "0")
    for number in range(1, PAGE_MESSAGES + 10):
        slack.say("C1", str(number), first)
    slack.say("C1", "elsewhere")
    messages = delivery_to(slack).thread("C1", first)
    assert [message["text"] for message in messages] == [str(number) for number in range(PAGE_MESSAGES + 10)]
    assert len(slack.calls("conversations.replies")) == 2


def test_endless_thread_is_read_up_to_a_limit(slack: FakeSlack) -> None:
    first = slack.say("C1", "0")
    for number in range(PAGE_MESSAGES * PAGES + 5):
        slack.say("C1", str(number), first)
    assert len(delivery_to(slack).thread("C1", first)) == PAGE_MESSAGES * PAGES


def test_slack_that_stays_down_or_broken_is_reported(slack: FakeSlack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slack_delivery, "LONGEST_PAUSE_S", PAUSE_S)
    down = Delivery(
        WebClient(BOT_TOKEN, base_url=f"http://127.0.0.1:{free_port()}/api/", retry_handlers=[], timeout=5), attempts=2
    )
    with pytest.raises(SlackUnreachable, match="HTTPS_PROXY"):
        down.post("C1", "1.1", CONTENT)
    slack.state.broken["chat.postMessage"] = 9
    with pytest.raises(SlackRefused, match="HTTP 500"):
        Delivery(WebClient(BOT_TOKEN, base_url=slack.url, retry_handlers=[]), attempts=2).post("C1", "1.1", CONTENT)


def test_closed_delivery_waits_for_a_pause_but_not_for_slack_that_does_not_answer(slack: FakeSlack) -> None:
    delivery = delivery_to(slack)
    delivery.close()
    slack.state.broken["chat.postMessage"] = 1
    with pytest.raises(SlackRefused, match="HTTP 500"):
        delivery.post("C1", "1.1", CONTENT)
    slack.state.limits["chat.postMessage"] = Limit(calls=1, retry_after_s=PAUSE_S)
    delivery.post("C1", "1.1", CONTENT)
    assert [call.status for call in slack.calls("chat.postMessage")] == [500, 429, 200]
