"""The settings of `chipalign mcp`: the variables that `ask` and the page find the gateway by, read once.

It opens no connection.

    settings = McpSettings.from_env()
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chipalign_settings import Refused, addresses, from_env, setting
from serve.errors import SettingsError
from serve.settings import read_key


@dataclass(frozen=True)
class McpSettings:
    """Where the gateway is, its key, and how long to wait for an answer, in seconds."""

    url: str = setting(
        "CHIPALIGN_URL",
        "http://127.0.0.1:8000",
        "address of the gateway",
        read=addresses(example="http://127.0.0.1:8000"),
        secret=True,
    )
    api_key: str = setting(
        "CHIPALIGN_API_KEY",
        "",
        "key that requests to /v1 must carry; empty: none is asked for",
        read=read_key,
        secret=True,
    )
    answer_timeout_s: float = setting(
        "CHIPALIGN_ANSWER_TIMEOUT_S",
        900.0,
        "longest time for a whole answer that is not streamed",
        within=(1.0, 36000.0),
    )

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, options: Mapping[str, str] | None = None) -> McpSettings:
        """Read every variable that is set and not empty; `options`, by field name, override them.

        Raises SettingsError: lists every value that cannot be used.
        """
        return from_env(cls, os.environ if env is None else env, _refuse, options)


def _refuse(refused: Sequence[Refused]) -> SettingsError:
    return SettingsError("; ".join(map(str, refused)))
