"""Settings come from a mapping, and a value that cannot be used is named with what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.errors import SettingsError
from serve.settings import ServeSettings, read_api_key
from tests.rows import for_each


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = ServeSettings.from_env({})
    assert (settings.gateway_port, settings.engine_port, settings.page_port) == (8000, 8001, 8501)
    assert settings.checkpoint_dir == settings.home / "models" / "chipalign-demo"
    assert settings.index_dir == settings.home / "indexes" / "starter"


def test_every_kind_of_value_is_read(tmp_path: Path) -> None:
    env = {
        "CHIPALIGN_HOME": str(tmp_path),
        "CHIPALIGN_TOP_K": "7",
        "CHIPALIGN_TEMPERATURE": "0.5",
        "CHIPALIGN_CHECKPOINT": "~/model",
    }
    settings = ServeSettings.from_env(env)
    assert (settings.home, settings.top_k, settings.temperature) == (tmp_path, 7, 0.5)
    assert settings.checkpoint_dir == Path.home() / "model"


def test_an_empty_variable_counts_as_not_set() -> None:
    assert ServeSettings.from_env({"CHIPALIGN_TOP_K": ""}).top_k == 3


@for_each(
    ("variable", "value", "allowed"),
    [
        ("CHIPALIGN_GATEWAY_PORT", "80800", "a whole number from 1 to 65535"),
        ("CHIPALIGN_TOP_K", "4.5", "a whole number from 1 to 50"),
        ("CHIPALIGN_TEMPERATURE", "hot", "give a number from 0.0 to 2.0"),
        ("CHIPALIGN_TEMPERATURE", "nan", "give a number from 0.0 to 2.0"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(variable: str, value: str, allowed: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ServeSettings.from_env({variable: value})
    assert variable in str(caught.value)
    assert value in str(caught.value)
    assert allowed in str(caught.value)


def test_every_wrong_value_is_reported_at_once_and_options_win_over_variables() -> None:
    with pytest.raises(SettingsError, match=r"CHIPALIGN_TOP_K.*; CHIPALIGN_TEMPERATURE"):
        ServeSettings.from_env({"CHIPALIGN_TOP_K": "x", "CHIPALIGN_TEMPERATURE": "y"})
    assert ServeSettings.from_env({"CHIPALIGN_PAGE_PORT": "1"}, {"page_port": "2"}).page_port == 2


def test_settings_survive_the_way_through_the_environment_of_a_child(tmp_path: Path) -> None:
    settings = ServeSettings(home=tmp_path, top_k=9, host="0.0.0.0", mirror="/srv/mirror")
    assert ServeSettings.from_env(settings.to_env()) == settings


def test_the_api_key_is_not_shown() -> None:
    assert "s3cret" not in repr(ServeSettings(api_key="s3cret"))


def test_addresses_for_people_are_ones_that_can_be_opened() -> None:
    assert ServeSettings(host="0.0.0.0").page_url == "http://127.0.0.1:8501"
    assert ServeSettings(host="::1").page_url == "http://[::1]:8501"
    assert ServeSettings(public_url="https://chat.example").gateway_base_url == "https://chat.example"
    assert ServeSettings.from_env({"CHIPALIGN_ENGINE_URL": "http://gpu:9000/v1/"}).engine_base_url == "http://gpu:9000"


@for_each("value", ["localhost:9000", "gpu", "ftp://gpu", "http://", "http://gpu:port"])
def test_an_address_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match=r"CHIPALIGN_ENGINE_URL is .*: give an address such as"):
        ServeSettings.from_env({"CHIPALIGN_ENGINE_URL": value})


def test_a_password_in_the_engines_address_and_its_key_are_never_shown() -> None:
    env = {"CHIPALIGN_ENGINE_URL": "http://someone:hunter2@gpu:9000/v1", "CHIPALIGN_ENGINE_KEY": "s3cret"}
    settings = ServeSettings.from_env(env)
    assert settings.engine_address == "http://gpu:9000"
    assert settings.engine_base_url == "http://someone:hunter2@gpu:9000"
    assert "hunter2" not in repr(settings)
    assert "s3cret" not in repr(settings)
    assert ServeSettings.from_env(settings.to_env()) == settings
    for wrong in (
        "ftp://someone:hunter2@gpu",
        "http://someone:hunter2@gpu:port",
        "someone:hunter2@gpu",
        "http://a:hunter2/@b@gpu:x",
    ):
        with pytest.raises(SettingsError, match="CHIPALIGN_ENGINE_URL") as caught:
            ServeSettings.from_env({"CHIPALIGN_ENGINE_URL": wrong})
        assert "hunter2" not in str(caught.value)
    with pytest.raises(SettingsError, match="CHIPALIGN_ENGINE_KEY holds letters"):
        ServeSettings.from_env({"CHIPALIGN_ENGINE_KEY": "schlüssel"})


def test_a_key_is_read_from_the_variable_that_is_named() -> None:
    assert read_api_key(None, {"KEY": "x"}) == ""
    assert read_api_key("KEY", {"KEY": " secret\n"}) == "secret"
    for env in ({}, {"KEY": " "}):
        with pytest.raises(SettingsError, match="--api-key-env KEY: this variable is not set"):
            read_api_key("KEY", env)
