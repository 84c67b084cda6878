"""The settings of the page, of `ask` and of the Slack bot, read from environment variables once and handed down frozen.

It opens no connection and reads no file. The table in docs/operate.md is made from the fields' metadata.

    settings = UiSettings.from_env({"CHIPALIGN_URL": "http://gateway.local:8000"})
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from urllib.parse import urlsplit

from ui.errors import SettingsError


@dataclass(frozen=True)
class UiSettings:
    """Where the gateway is, how long to wait for it, where the page listens, and what the Slack bot needs."""

    url: str = field(
        default="http://127.0.0.1:8000", repr=False, metadata={"env": "CHIPALIGN_URL", "help": "address of the gateway"}
    )
    api_key: str = field(
        default="",
        repr=False,
        metadata={"env": "CHIPALIGN_API_KEY", "help": "key the gateway asks for; empty where it asks for none"},
    )
    host: str = field(
        default="127.0.0.1",
        metadata={"env": "CHIPALIGN_HOST", "help": "address the page listens on; 0.0.0.0 opens it to the network"},
    )
    page_port: int = field(default=8501, metadata={"env": "CHIPALIGN_PAGE_PORT", "help": "port the page listens on"})
    timeout_s: float = field(
        default=120.0,
        metadata={"env": "CHIPALIGN_TIMEOUT_S", "help": "seconds of silence after which a question is given up"},
    )
    slack_bot_token: str = field(
        default="",
        repr=False,
        metadata={
            "env": "CHIPALIGN_SLACK_BOT_TOKEN",
            "help": "the Slack app's bot token, xoxb-...: what the bot writes with",
        },
    )
    slack_app_token: str = field(
        default="",
        repr=False,
        metadata={
            "env": "CHIPALIGN_SLACK_APP_TOKEN",
            "help": "the Slack app's app-level token, xapp-...: what the bot hears with",
        },
    )
    slack_channels: str = field(
        default="",
        metadata={
            "env": "CHIPALIGN_SLACK_CHANNELS",
            "help": "ids of the channels that the Slack bot answers in, with commas; empty: all that it is in",
        },
    )
    slack_questions: int = field(
        default=4,
        metadata={"env": "CHIPALIGN_SLACK_QUESTIONS", "help": "questions that the Slack bot answers at a time"},
    )
    slack_url: str = field(
        default="https://slack.com/api/",
        metadata={"env": "CHIPALIGN_SLACK_URL", "help": "address of Slack's Web API; GovSlack has its own"},
    )
    page_url: str = field(
        default="",
        metadata={
            "env": "CHIPALIGN_PAGE_URL",
            "help": "URL under which people reach the page, where that is not its host and port: behind a proxy",
        },
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
    def from_env(cls, env: Mapping[str, str] = os.environ) -> UiSettings:
        """The settings that `env` gives; a variable that is missing or empty leaves the default.

        Raises SettingsError that names the variable, its value and what is allowed.
        """
        given = {
            f.name: (f.metadata["env"], env[f.metadata["env"]].strip())
            for f in fields(cls)
            if env.get(f.metadata["env"], "").strip()
        }
        defaults = cls()
        return cls(
            url=parse_url(*given["url"]) if "url" in given else defaults.url,
            api_key=given["api_key"][1] if "api_key" in given else defaults.api_key,
            host=given["host"][1] if "host" in given else defaults.host,
            page_port=parse_port(*given["page_port"]) if "page_port" in given else defaults.page_port,
            timeout_s=_seconds(*given["timeout_s"]) if "timeout_s" in given else defaults.timeout_s,
            slack_bot_token=given["slack_bot_token"][1] if "slack_bot_token" in given else defaults.slack_bot_token,
            slack_app_token=given["slack_app_token"][1] if "slack_app_token" in given else defaults.slack_app_token,
            slack_channels=_channels(*given["slack_channels"])
            if "slack_channels" in given
            else defaults.slack_channels,
            slack_questions=_questions(*given["slack_questions"])
            if "slack_questions" in given
            else defaults.slack_questions,
            slack_url=f"{parse_url(*given['slack_url'])}/" if "slack_url" in given else defaults.slack_url,
            page_url=parse_url(*given["page_url"]) if "page_url" in given else defaults.page_url,
        )

    def to_env(self, env: Mapping[str, str] = os.environ) -> dict[str, str]:
        """`env` with these settings written into it: what a child process needs to come to the same settings."""
        return {**env, **{f.metadata["env"]: str(getattr(self, f.name)) for f in fields(self)}}


def redact(url: str) -> str:
    """An address as it may be shown: without the user name and the password that may stand in it."""
    before, at, host = url.rpartition("@")
    scheme, slashes, _ = before.partition("//")
    return f"{scheme}{slashes}{host}" if at and slashes else host


def parse_url(variable: str, value: str) -> str:
    """The gateway's address without a trailing slash or `/v1`, which people copy from other OpenAI clients.

    `variable` is named in the error.
    """
    allowed = "an address such as http://127.0.0.1:8000"
    try:
        parts = urlsplit(value)
        port_is_right = parts.port is None or parts.port > 0  # .port raises ValueError for anything that is no port
    except ValueError:
        raise SettingsError(variable, redact(value), allowed) from None
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or not port_is_right
        or parts.query
        or parts.fragment
    ):
        raise SettingsError(variable, redact(value), allowed)
    return value.rstrip("/").removesuffix("/v1").rstrip("/")


def parse_port(variable: str, value: str) -> int:
    """A TCP port. `variable` is named in the error."""
    try:
        port = int(value)
    except ValueError:
        port = 0  # no number at all: refused by the same sentence
    if not 1 <= port <= 65535:
        raise SettingsError(variable, value, "a whole number from 1 to 65535")
    return port


def parse_top_k(option: str, value: str) -> int:
    """How many passages to find. `option` is named in the error."""
    if not (value.isascii() and value.isdigit() and len(value) <= 2 and 1 <= int(value) <= 50):
        raise SettingsError(option, value, "a whole number from 1 to 50")
    return int(value)


def _seconds(variable: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0  # no number at all: refused by the same sentence
    if not (seconds > 0 and math.isfinite(seconds)):
        raise SettingsError(variable, value, "a number of seconds above 0")
    return seconds


def _channels(variable: str, value: str) -> str:
    # Slack's ids; names can be changed by anybody
    if not re.fullmatch(r"[CGD][A-Z0-9]+(\s*,\s*[CGD][A-Z0-9]+)*\s*,?", value):
        raise SettingsError(
            variable, value, "ids of channels such as C0123ABCD with commas, found below a channel's details in Slack"
        )
    return value


def _questions(variable: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 64):
        raise SettingsError(variable, value, "a whole number from 1 to 64")
    return int(value)
