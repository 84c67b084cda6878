"""Where the merge keeps its files, read from the environment once. It reads nothing else and creates nothing.

Each field carries its variable and its help as metadata; the table in docs/operate.md is made from them.

    settings = MergeSettings.from_env()
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from merge.errors import SettingsError

HOME_HELP = "the folder of everything made at run time: models, corpora, indexes, logs"
HUB_HELP = (
    "the hub that parents given as a hub id are downloaded from, for companies with a mirror; unset: the public one"
)


@dataclass(frozen=True)
class MergeSettings:
    """Settings of `chipalign merge`."""

    home: Path = field(
        default_factory=lambda: platformdirs.user_data_path("chipalign"),
        metadata={"env": "CHIPALIGN_HOME", "help": HOME_HELP},
    )
    hub_endpoint: str | None = field(default=None, metadata={"env": "HF_ENDPOINT", "help": HUB_HELP})

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> MergeSettings:
        """Settings from variables; unset or empty means the default. Without `env`: this process's environment.

        Raises SettingsError for a home that is a file.
        """
        values = os.environ if env is None else env
        home = Path(values.get("CHIPALIGN_HOME") or platformdirs.user_data_path("chipalign")).expanduser().absolute()
        if home.exists() and not home.is_dir():
            raise SettingsError(
                f"CHIPALIGN_HOME is {home}, which is a file. Set it to a folder, or to one that can be created"
            )
        return cls(home=home, hub_endpoint=values.get("HF_ENDPOINT") or None)

    @property
    def models(self) -> Path:
        """The folder of converted and downloaded parents."""
        return self.home / "models"


def read_api_key(variable: str | None, env: Mapping[str, str] | None = None, option: str = "--api-key-env") -> str:
    """The key that a variable holds, chosen by `option`: a key on a command line could be read by others.

    Without a variable: no key.

    Raises SettingsError where the variable is not set.
    """
    if variable is None:
        return ""
    key = (os.environ if env is None else env).get(variable, "").strip()
    if not key:
        raise SettingsError(f"{option} {variable}: this variable is not set. Set it to the server's API key")
    return key
