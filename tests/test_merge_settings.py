"""Settings come from the mapping they are given, and from nowhere else."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import platformdirs
import pytest

from merge.errors import SettingsError
from merge.settings import MergeSettings


def test_home_defaults_to_the_platforms_user_data_folder() -> None:
    settings = MergeSettings.from_env({})
    assert settings.home == platformdirs.user_data_path("chipalign")
    assert settings.models == settings.home / "models"
    assert settings.hub_endpoint is None


def test_home_and_hub_are_read_from_the_environment(tmp_path: Path) -> None:
    settings = MergeSettings.from_env({"CHIPALIGN_HOME": str(tmp_path / "h"), "HF_ENDPOINT": "http://mirror"})
    assert settings == MergeSettings(tmp_path / "h", "http://mirror")
    assert not (tmp_path / "h").exists()  # nothing is created by reading settings


def test_an_empty_variable_counts_as_unset() -> None:
    assert MergeSettings.from_env({"CHIPALIGN_HOME": "", "HF_ENDPOINT": ""}) == MergeSettings.from_env({})


def test_a_home_that_is_a_file_is_refused() -> None:
    with pytest.raises(SettingsError, match="which is a file"):
        MergeSettings.from_env({"CHIPALIGN_HOME": __file__})


def test_every_setting_says_its_variable_and_what_it_is_for() -> None:
    assert {item.metadata["env"] for item in fields(MergeSettings)} == {"CHIPALIGN_HOME", "HF_ENDPOINT"}
    # A phrase, as a table has it
    assert all(item.metadata["help"] and not item.metadata["help"].endswith(".") for item in fields(MergeSettings))
