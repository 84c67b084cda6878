"""Settings come from an environment handed in; bad values are refused with the variable's name."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest

from tests.rows import for_each
from ui.errors import SettingsError
from ui.settings import UiSettings


def test_empty_environment_gives_the_defaults() -> None:
    assert UiSettings.from_env({}) == UiSettings()
    assert UiSettings().url == "http://127.0.0.1:8000"


def test_every_variable_is_read() -> None:
    env = {
        "CHIPALIGN_URL": "https://gateway.local",
        "CHIPALIGN_API_KEY": "secret",
        "CHIPALIGN_HOST": "0.0.0.0",
        "CHIPALIGN_PAGE_PORT": "9000",
        "CHIPALIGN_TIMEOUT_S": "2.5",
        "CHIPALIGN_SLACK_BOT_TOKEN": "xoxb-1",
        "CHIPALIGN_SLACK_APP_TOKEN": "xapp-1",
        "CHIPALIGN_SLACK_CHANNELS": "C1, G2",
        "CHIPALIGN_SLACK_QUESTIONS": "7",
        "CHIPALIGN_SLACK_URL": "https://slack-gov.com/api",
    }
    read = UiSettings.from_env(env)
    assert read == UiSettings(
        "https://gateway.local",
        "secret",
        "0.0.0.0",
        9000,
        2.5,
        "xoxb-1",
        "xapp-1",
        "C1, G2",
        7,
        "https://slack-gov.com/api/",
    )
    assert read.slack_channel_ids == {"C1", "G2"}


def test_empty_and_blank_values_leave_the_default() -> None:
    assert UiSettings.from_env({"CHIPALIGN_PAGE_PORT": "", "CHIPALIGN_URL": "  "}) == UiSettings()


@for_each(
    ("variable", "value"),
    [
        ("CHIPALIGN_URL", "gateway.local:8000"),
        ("CHIPALIGN_URL", "ftp://gateway.local"),
        ("CHIPALIGN_URL", "http://"),
        ("CHIPALIGN_URL", "http://gateway.local:port"),
        ("CHIPALIGN_URL", "http://gateway.local:99999"),
        ("CHIPALIGN_URL", "http://[::1"),
        ("CHIPALIGN_URL", "http://gateway.local/?a=b"),
        ("CHIPALIGN_PAGE_PORT", "0"),
        ("CHIPALIGN_PAGE_PORT", "65536"),
        ("CHIPALIGN_PAGE_PORT", "http"),
        ("CHIPALIGN_TIMEOUT_S", "0"),
        ("CHIPALIGN_TIMEOUT_S", "nan"),
        ("CHIPALIGN_TIMEOUT_S", "inf"),
        ("CHIPALIGN_TIMEOUT_S", "two minutes"),
        ("CHIPALIGN_PAGE_PORT", "80.5"),
        ("CHIPALIGN_SLACK_CHANNELS", "#general"),
        ("CHIPALIGN_SLACK_CHANNELS", "C1;C2"),
        ("CHIPALIGN_SLACK_QUESTIONS", "0"),
        ("CHIPALIGN_SLACK_QUESTIONS", "65"),
        ("CHIPALIGN_SLACK_QUESTIONS", "many"),
        ("CHIPALIGN_SLACK_URL", "slack.com"),
    ],
)
def test_bad_value_is_refused_by_the_name_of_its_variable(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        UiSettings.from_env({variable: value})
    assert str(caught.value).startswith(f"{variable} is {value!r}: it must be ")
    assert caught.value.exit_code == 2


@for_each("given", ["http://g:8000/", "http://g:8000/v1", "http://g:8000/v1/"])
def test_address_copied_from_another_client_is_understood(given: str) -> None:
    assert UiSettings.from_env({"CHIPALIGN_URL": given}).url == "http://g:8000"


def test_address_below_a_path_is_kept() -> None:
    assert UiSettings.from_env({"CHIPALIGN_URL": "https://tools.local/chip/"}).url == "https://tools.local/chip"


@for_each("name", ["api_key", "slack_bot_token", "slack_app_token"])
def test_key_or_token_is_not_shown_when_settings_are_printed(name: str) -> None:
    changes: dict[str, Any] = {name: "secret"}
    assert "secret" not in repr(replace(UiSettings(), **changes))


def test_no_channel_ids_mean_all_channels() -> None:
    assert UiSettings().slack_channel_ids == frozenset()
    assert UiSettings.from_env({"CHIPALIGN_SLACK_CHANNELS": "C1,"}).slack_channel_ids == {"C1"}


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        UiSettings().url = "http://other"  # type: ignore[misc]


def test_child_process_has_the_same_settings_and_the_rest_of_the_environment() -> None:
    settings = UiSettings(
        "https://gateway.local", "secret", "0.0.0.0", 9000, 2.5, slack_channels="C1,C2", slack_questions=7
    )
    env = settings.to_env({"PATH": "/bin", "CHIPALIGN_URL": "http://old"})
    assert env["PATH"] == "/bin"
    assert UiSettings.from_env(env) == settings


def test_every_field_says_its_variable_and_what_it_is_for() -> None:
    for one in fields(UiSettings):
        assert one.metadata["env"].startswith("CHIPALIGN_")
        assert one.metadata["help"]
