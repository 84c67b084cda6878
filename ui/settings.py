"""The settings of the page and of `ask`, read from environment variables once and handed down frozen.

It opens no connection and reads no file. The README's table of settings is generated from the fields' metadata.

    settings = UiSettings.from_env({"CHIPALIGN_URL": "http://gateway.local:8000"})
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from urllib.parse import urlsplit

from ui.errors import SettingsError


@dataclass(frozen=True)
class UiSettings:
    """Where the gateway is, how long to wait for it, and where the page listens."""

    url: str = field(default="http://127.0.0.1:8000", metadata={"env": "CHIPALIGN_URL", "help": "address of the gateway"})
    api_key: str = field(
        default="", repr=False, metadata={"env": "CHIPALIGN_API_KEY", "help": "key the gateway asks for; empty where it asks for none"}
    )
    host: str = field(default="127.0.0.1", metadata={"env": "CHIPALIGN_HOST", "help": "address the page listens on; 0.0.0.0 opens it to the network"})
    page_port: int = field(default=8501, metadata={"env": "CHIPALIGN_PAGE_PORT", "help": "port the page listens on"})
    timeout_s: float = field(default=120.0, metadata={"env": "CHIPALIGN_TIMEOUT_S", "help": "seconds of silence after which a question is given up"})

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> UiSettings:
        """The settings that `env` gives; a variable that is missing or empty leaves the default.

        Raises SettingsError that names the variable, its value and what is allowed.
        """
        given = {f.name: (f.metadata["env"], env[f.metadata["env"]].strip()) for f in fields(cls) if env.get(f.metadata["env"], "").strip()}
        defaults = cls()
        return cls(
            url=parse_url(*given["url"]) if "url" in given else defaults.url,
            api_key=given["api_key"][1] if "api_key" in given else defaults.api_key,
            host=given["host"][1] if "host" in given else defaults.host,
            page_port=parse_port(*given["page_port"]) if "page_port" in given else defaults.page_port,
            timeout_s=_seconds(*given["timeout_s"]) if "timeout_s" in given else defaults.timeout_s,
        )

    def to_env(self, env: Mapping[str, str] = os.environ) -> dict[str, str]:
        """`env` with these settings written into it: what a child process needs to come to the same settings."""
        return {**env, **{f.metadata["env"]: str(getattr(self, f.name)) for f in fields(self)}}


def parse_url(variable: str, value: str) -> str:
    """The gateway's address without a trailing slash or `/v1`, which people copy from other OpenAI clients. `variable` is named in the error."""
    allowed = "an address such as http://127.0.0.1:8000"
    try:
        parts = urlsplit(value)
        port_is_right = parts.port is None or parts.port > 0  # .port raises ValueError for anything that is no port
    except ValueError:
        raise SettingsError(variable, value, allowed) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_right or parts.query or parts.fragment:
        raise SettingsError(variable, value, allowed)
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


def _seconds(variable: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0  # no number at all: refused by the same sentence
    if not (seconds > 0 and math.isfinite(seconds)):
        raise SettingsError(variable, value, "a number of seconds above 0")
    return seconds
