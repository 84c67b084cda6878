"""What can go wrong between a person and the gateway: each error says what happened and what to do next.

It maps nothing and catches nothing: `ui.client` decides which of these a failed request is.

    raise GatewayDown("http://127.0.0.1:8000", "Connection refused")
"""

from __future__ import annotations

from ui.plain_text import one_line


class UiError(Exception):
    """Base of every error of this package; the command line prints it as one line and exits with `exit_code`.

    A sentence may quote a server: what steers a terminal is taken out of it.
    """

    exit_code = 2

    def __init__(self, sentence: str) -> None:
        super().__init__(one_line(sentence))


class SettingsError(UiError):
    """An environment variable or option holds a value that cannot be used."""

    def __init__(self, variable: str, value: str, allowed: str) -> None:
        super().__init__(f"{variable} is {value!r}: it must be {allowed}.")


class EmptyQuestion(UiError):
    """There is nothing to ask."""

    def __init__(self) -> None:
        super().__init__("The question is empty: type what you want to know.")


class PastedTooLong(UiError):
    """Standard input holds more than a question may."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(
            f"Standard input holds more than {max_bytes / 1e6:g} MB: give the part that matters, for example with "
            "`tail -n 200 run.log | chipalign ask`."
        )


class AttachedTooLong(UiError):
    """A file that was attached to a question holds more than a question may."""

    def __init__(self, name: str, max_bytes: int) -> None:
        super().__init__(
            f"{name} holds more than {max_bytes / 1e6:g} MB, so nothing was asked: attach the part that matters, for "
            "example the step that failed."
        )


class AttachedUnreadable(UiError):
    """A file that was attached to a question cannot be had."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} cannot be read ({reason}), so nothing was asked: paste the part that matters.")


class PastedNotText(UiError):
    """What goes with a question is a layout, a database or an archive."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} holds no text, so nothing was asked: give a log, a report or a script.")


class PastedUnreadable(UiError):
    """Standard input cannot be read."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Standard input cannot be read ({reason}): give a file or a pipe, or </dev/null for none.")


class PastedShared(UiError):
    """Standard input is a file that something else has begun to read."""

    def __init__(self) -> None:
        super().__init__(
            "Standard input is a file that a loop or another command has begun to read: add -n to leave it alone, "
            "or give this question a file of its own, as in `chipalign ask QUESTION < run.log`."
        )


class PortTaken(UiError):
    """Another program already listens where the page should."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"The page cannot listen on {host}:{port} ({reason}). Stop the program that holds the port, "
            "or choose another with --port or CHIPALIGN_PAGE_PORT."
        )


class GatewayError(UiError):
    """Base of what can go wrong while a question is asked; the page shows it below the question, with a Retry button.

    `request_id` is the gateway's name for the request in its log, "" where it gave none.
    """

    request_id = ""


class GatewayDown(GatewayError):
    """Nothing listens at the gateway's address."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"The ChipAlign gateway at {url} cannot be reached ({reason}). "
            'Start it with "make up" or "chipalign serve", or correct the address in CHIPALIGN_URL, then try again.'
        )


class EngineStarting(GatewayError):
    """The gateway lives, but the engine behind it does not answer yet (HTTP 503)."""

    def __init__(self, message: str, retry_after_s: str | None) -> None:
        super().__init__(
            "The model's engine is not ready: it is still loading the model, or it is down. Try again "
            f"{say_when(retry_after_s)}; if this lasts for many minutes, look at the engine's log. Answers in quotes "
            f"need no engine. The gateway says: {message}"
        )


class GatewayTimeout(GatewayError):
    """Nothing came for too long."""

    def __init__(self, url: str, waited_s: float) -> None:
        super().__init__(
            f"The gateway at {url} sent nothing for {waited_s:g} s. The engine is probably busy with other questions: "
            "try again, or allow more time with CHIPALIGN_TIMEOUT_S."
        )


class EngineTimeout(GatewayError):
    """The gateway itself gave up waiting for the engine (HTTP 504)."""

    def __init__(self, message: str) -> None:
        super().__init__(
            "The model's engine took too long, so the gateway gave up. Try again, or ask for less. The gateway says: "
            f"{message}"
        )


class AnswerBroken(GatewayError):
    """The answer stopped before its end; what had arrived is kept by the caller."""

    def __init__(self, message: str) -> None:
        super().__init__(
            f"The answer broke off before its end, so what is shown is incomplete. Try again. Reason: {message}"
        )


class ContextExceeded(GatewayError):
    """Question and history are more than the model can read."""

    def __init__(self, message: str) -> None:
        super().__init__(
            "The question is longer than the model can read. Shorten it, or start a new conversation. The gateway "
            f"says: {message}"
        )


class RequestRefused(GatewayError):
    """The gateway understood the request and said no: key, model name, address, or a bug of its own."""

    def __init__(self, what: str, todo: str, message: str) -> None:
        super().__init__(f"{what} {todo} The gateway says: {message}")


class SlackTokensWrong(UiError):
    """A token that the Slack bot needs is missing, or is one of another kind."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(
            f"{'; '.join(problems)}. Both are found at https://api.slack.com/apps, in the app that "
            "data/slack/manifest.yaml describes."
        )


class SlackRefused(UiError):
    """Slack answered a call with an error; `reason` is its word for it."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Slack refused: {reason}. {_slack_advice(reason)}")


class SlackUnreachable(UiError):
    """Slack's Web API cannot be reached."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"Slack cannot be reached ({reason}): check this machine's way to slack.com, and HTTPS_PROXY if it has a "
            "proxy."
        )


class QuestionInterrupted(UiError):
    """The bot is being stopped while a question waits or is answered."""

    def __init__(self) -> None:
        super().__init__("The bot was stopped before the answer was complete: ask again in a moment.")


def say_when(retry_after_s: str | None) -> str:
    """When to try again, as the header Retry-After says."""
    return f"in {retry_after_s} s" if retry_after_s else "in a moment"


def _slack_advice(reason: str) -> str:
    """What to do about one of Slack's errors (https://docs.slack.dev/reference/methods/auth.test lists them)."""
    word = reason.split(" ")[0]
    if word in (
        "invalid_auth",
        "not_authed",
        "account_inactive",
        "token_revoked",
        "token_expired",
        "not_allowed_token_type",
    ):
        return "Copy CHIPALIGN_SLACK_BOT_TOKEN and CHIPALIGN_SLACK_APP_TOKEN anew from https://api.slack.com/apps."
    if word in ("missing_scope", "no_permission"):
        return (
            "Install the app anew with the scopes of data/slack/manifest.yaml; its app-level token needs "
            "connections:write."
        )
    if word in ("not_in_channel", "channel_not_found"):
        return "Invite the bot into the channel with /invite."
    return "Try again; if it happens again, show this line to your CAD team."
