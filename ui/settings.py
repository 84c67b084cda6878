"""The settings of the page, of `ask` and of the Slack bot, read from environment variables once and handed down frozen.

It opens no connection and reads no file. The table in docs/operate.md is made from the fields' metadata.

    settings = UiSettings.from_env({"CHIPALIGN_URL": "http://gateway.local:8000"})
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from chipalign_settings import Reader, Refused, addresses, from_env, matching, numbers, setting, to_env
from ui.errors import SettingsError

T = TypeVar("T")
PORTS = (1, 65535)
# Slack's ids; names can be changed by anybody
CHANNELS = r"[CGD][A-Z0-9]+(\s*,\s*[CGD][A-Z0-9]+)*\s*,?"
CHANNEL_IDS = "ids of channels such as C0123ABCD with commas, found below a channel's details in Slack"

read_address = addresses(example="http://127.0.0.1:8000")


def read_folder_address(variable: str, text: str) -> str:
    """An address that method names are appended to: it ends with a slash."""
    return f"{read_address(variable, text)}/"


def read_seconds(variable: str, text: str) -> float:
    """A time to wait for something: above 0, and finite."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0  # not a number at all: refused by the same sentence
    if not (seconds > 0 and math.isfinite(seconds)):
        raise Refused(variable, text, "a number of seconds above 0")
    return seconds


@dataclass(frozen=True)
class UiSettings:
    """Where the gateway is, how long to wait for it, where the page listens, and what the Slack bot needs."""

    url: str = setting(
        "CHIPALIGN_URL", "http://127.0.0.1:8000", "address of the gateway", read=read_address, secret=True
    )
    api_key: str = setting(
        "CHIPALIGN_API_KEY", "", "key the gateway asks for; empty where it asks for none", secret=True
    )
    host: str = setting("CHIPALIGN_HOST", "127.0.0.1", "address the page listens on; 0.0.0.0 opens it to the network")
    page_port: int = setting("CHIPALIGN_PAGE_PORT", 8501, "port the page listens on", within=PORTS)
    timeout_s: float = setting(
        "CHIPALIGN_TIMEOUT_S", 120.0, "seconds of silence after which a question is given up", read=read_seconds
    )
    slack_bot_token: str = setting(
        "CHIPALIGN_SLACK_BOT_TOKEN", "", "the Slack app's bot token, xoxb-...: what the bot writes with", secret=True
    )
    slack_app_token: str = setting(
        "CHIPALIGN_SLACK_APP_TOKEN",
        "",
        "the Slack app's app-level token, xapp-...: what the bot hears with",
        secret=True,
    )
    slack_channels: str = setting(
        "CHIPALIGN_SLACK_CHANNELS",
        "",
        "ids of the channels that the Slack bot answers in, with commas; empty: all that it is in",
        read=matching(CHANNELS, CHANNEL_IDS),
    )
    slack_questions: int = setting(
        "CHIPALIGN_SLACK_QUESTIONS", 4, "questions that the Slack bot answers at a time", within=(1, 64)
    )
    slack_url: str = setting(
        "CHIPALIGN_SLACK_URL",
        "https://slack.com/api/",
        "address of Slack's Web API; GovSlack has its own",
        read=read_folder_address,
    )
    page_url: str = setting(
        "CHIPALIGN_PAGE_URL",
        "",
        "URL under which people reach the page, where that is not its host and port: behind a proxy",
        read=read_address,
    )

    @property
    def listens_everywhere(self) -> bool:
        """Whether the page listens on every address of this machine."""
        return self.host in ("0.0.0.0", "::")

    @property
    def slack_channel_ids(self) -> frozenset[str]:
        """The channels that the Slack bot answers in; empty: all."""
        return frozenset(filter(None, (part.strip() for part in self.slack_channels.split(","))))

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> UiSettings:
        """The settings that `env` gives; a variable that is missing or empty leaves the default.

        Without `env`: this process's environment.

        Raises SettingsError: names the variable, its value and what is allowed.
        """
        return from_env(cls, os.environ if env is None else env, _refuse)

    def to_env(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """`env` with these settings written into it: what a child process needs to come to the same settings."""
        return {**(os.environ if env is None else env), **to_env(self)}


def _refuse(refused: Sequence[Refused]) -> SettingsError:
    """The error of the first value that cannot be used."""
    return SettingsError(refused[0].variable, refused[0].value, refused[0].allowed)


def _read_option(read: Reader[T]) -> Reader[T]:
    """The same for an option of a command: errors name the option, and are this package's."""

    def read_option(option: str, text: str) -> T:
        """Read the text that stands behind an option."""
        try:
            return read(option, text)
        except Refused as refused:
            raise _refuse([refused]) from None

    return read_option


parse_url = _read_option(read_address)
parse_port = _read_option(numbers(int, PORTS))
parse_top_k = _read_option(numbers(int, (1, 50)))
