"""Where the merge keeps its files, read from the environment once. It reads nothing else and creates nothing.

Each field carries its variable and its help as metadata; they make the table in docs/operate.md.

    settings = MergeSettings.from_env()
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chipalign_settings import Refused, default_home, from_env, read_absolute_path, setting
from merge.errors import SettingsError


@dataclass(frozen=True)
class MergeSettings:
    """Settings of `chipalign merge`."""

    home: Path = setting(
        "CHIPALIGN_HOME",
        default_home,
        "the folder of everything made at run time: models, corpora, indexes, logs",
        read=read_absolute_path,
    )
    hub_endpoint: str | None = setting(
        "HF_ENDPOINT",
        None,
        "the hub that parents given as a hub id are downloaded from, for companies with a mirror; unset: the public "
        "one",
    )

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> MergeSettings:
        """Settings from variables; unset or empty means the default. Without `env`: this process's environment.

        Raises SettingsError: the home is a file.
        """
        settings = from_env(cls, os.environ if env is None else env, _refuse)
        if settings.home.exists() and not settings.home.is_dir():
            raise SettingsError(
                f"CHIPALIGN_HOME is {settings.home}, which is a file. Set it to a folder, or to one that can be created"
            )
        return settings

    @property
    def models(self) -> Path:
        """The folder of converted and downloaded parents."""
        return self.home / "models"


def _refuse(refused: Sequence[Refused]) -> SettingsError:
    return SettingsError("; ".join(map(str, refused)))
