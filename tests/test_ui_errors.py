"""ui.errors: a sentence says what happened and what to do, on one line, whatever a server sent."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.rows import for_each
from ui.errors import (
    AnswerBroken,
    AttachedTooLong,
    AttachedUnreadable,
    ContextExceeded,
    EmptyQuestion,
    EngineStarting,
    EngineTimeout,
    GatewayDown,
    GatewayError,
    GatewayTimeout,
    PastedNotText,
    PastedShared,
    PastedTooLong,
    PastedUnreadable,
    PortTaken,
    QuestionInterrupted,
    RequestRefused,
    SettingsError,
    SlackRefused,
    SlackTokensWrong,
    SlackUnreachable,
    UiError,
)

HOSTILE = "boom\x1b[2J\r\nsecond line\u202e"
MADE: list[tuple[Callable[[], UiError], str]] = [
    (lambda: SettingsError("CHIPALIGN_URL", HOSTILE, "an address"), "it must be an address."),
    (EmptyQuestion, "type what you want to know."),
    (lambda: AttachedTooLong(HOSTILE, 1_000_000), "holds more than 1 MB, so nothing was asked"),
    (lambda: AttachedUnreadable(HOSTILE, HOSTILE), "paste the part that matters"),
    (lambda: PastedNotText(HOSTILE), "give a log, a report or a script"),
    (PastedShared, "add -n to leave it alone"),
    (lambda: PastedTooLong(1_000_000), "holds more than 1 MB: give the part that matters"),
    (lambda: PastedUnreadable(HOSTILE), "give a file or a pipe"),
    (lambda: PortTaken("127.0.0.1", 8501, HOSTILE), "choose another with --port"),
    (lambda: GatewayDown("http://h:1", HOSTILE), 'Start it with "make up"'),
    (lambda: EngineStarting(HOSTILE, "5"), "Try again in 5 s"),
    (lambda: EngineStarting(HOSTILE, None), "Try again in a moment"),
    (lambda: GatewayTimeout("http://h:1", 2.5), "sent nothing for 2.5 s."),
    (lambda: EngineTimeout(HOSTILE), "Try again, or ask for less."),
    (lambda: AnswerBroken(HOSTILE), "what is shown is incomplete. Try again."),
    (lambda: ContextExceeded(HOSTILE), "Shorten it, or start a new conversation."),
    (lambda: RequestRefused("The key is wrong.", "Set CHIPALIGN_API_KEY.", HOSTILE), "Set CHIPALIGN_API_KEY."),
    (lambda: SlackTokensWrong([HOSTILE, "b"]), "data/slack/manifest.yaml describes."),
    (lambda: SlackUnreachable(HOSTILE), "HTTPS_PROXY if it has a proxy."),
    (QuestionInterrupted, "ask again in a moment."),
]


@for_each(("make", "todo"), MADE)
def test_each_sentence_says_what_to_do_on_one_line(make: Callable[[], UiError], todo: str) -> None:
    error = make()
    assert todo in str(error)
    assert str(error).isprintable()
    assert error.exit_code == 2


def test_every_error_of_the_package_is_tried_here() -> None:
    def kinds(of: type[UiError]) -> set[type[UiError]]:
        own = {of} if of.__module__ == "ui.errors" else set()
        return own.union(*(kinds(each) for each in of.__subclasses__()))

    assert kinds(UiError) - {type(make()) for make, _ in MADE} == {UiError, GatewayError, SlackRefused}


@for_each(
    ("reason", "advice"),
    [
        ("invalid_auth", "Copy CHIPALIGN_SLACK_BOT_TOKEN"),
        ("token_revoked (xoxb)", "Copy CHIPALIGN_SLACK_BOT_TOKEN"),
        ("missing_scope", "with the scopes of data/slack/manifest.yaml"),
        ("not_in_channel", "Invite the bot into the channel with /invite."),
        ("fatal_error", "show this line to your CAD team."),
        ("", "show this line to your CAD team."),
    ],
)
def test_slacks_words_come_with_what_to_do(reason: str, advice: str) -> None:
    assert str(SlackRefused(reason)).startswith(f"Slack refused: {reason}")
    assert advice in str(SlackRefused(reason))


@pytest.mark.parametrize("kind", [GatewayDown, EngineStarting, AnswerBroken])
def test_a_failed_question_knows_its_request_once_it_has_one(kind: type[GatewayError]) -> None:
    assert issubclass(kind, GatewayError)
    assert kind.request_id == ""
