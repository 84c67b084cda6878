"""Settings come from a mapping, and a value that cannot be used is named with what is allowed."""

from __future__ import annotations

from dataclasses import fields
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


RANGES = [
    (item.metadata["env"], *item.metadata["range"], type(getattr(ServeSettings(), item.name)), item.name)
    for item in fields(ServeSettings)
    if "range" in item.metadata
]


@for_each(("variable", "least", "most", "kind", "name"), RANGES)
def test_both_ends_of_a_range_are_allowed_and_nothing_beyond(
    variable: str, least: float, most: float, kind: type, name: str
) -> None:
    for end in (least, most):
        assert getattr(ServeSettings.from_env({variable: str(kind(end))}), name) == end
    step = 1 if kind is int else 0.05
    for beyond in (kind(least - step), kind(most + step)):
        with pytest.raises(SettingsError, match=f"{variable} is '{beyond}'"):
            ServeSettings.from_env({variable: str(beyond)})
    default = getattr(ServeSettings(), name)
    assert least <= default <= most


@for_each("text", ["", " ", "\n"])
def test_a_blank_variable_leaves_every_default(text: str) -> None:
    blank = {item.metadata["env"]: text for item in fields(ServeSettings)}
    assert ServeSettings.from_env(blank) == ServeSettings()


@for_each(
    ("variable", "value"),
    [
        ("CHIPALIGN_TOP_K", "٣"),
        ("CHIPALIGN_TOP_K", "0x3"),
        ("CHIPALIGN_TOP_K", "3 passages"),
        ("CHIPALIGN_TEMPERATURE", "inf"),
        ("CHIPALIGN_TEMPERATURE", "0,5"),
        ("CHIPALIGN_UPLOADS", "ON"),
        ("CHIPALIGN_ANSWER", "quotes"),
        ("CHIPALIGN_GRAMMAR", "true"),
        ("CHIPALIGN_FEEDBACK", "all"),
        ("CHIPALIGN_TOOL_PARSER", "her mes"),
        ("CHIPALIGN_PUBLIC_URL", "https://a.example/?x=1"),
        ("CHIPALIGN_API_KEY", "k\x07ey"),
        ("CHIPALIGN_STORE_URL", "mysql://h/db"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_its_variable(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        ServeSettings.from_env({variable: value})


def test_a_store_that_is_not_postgres_is_refused_without_its_password() -> None:
    with pytest.raises(SettingsError, match=r"CHIPALIGN_STORE_URL is 'mysql://h/db': give a URL such as") as caught:
        ServeSettings.from_env({"CHIPALIGN_STORE_URL": "mysql://me:hunter2@h/db"})
    assert "hunter2" not in str(caught.value)
    for url in ("postgres://h/db", "postgresql://me:hunter2@h:5432/db?sslmode=require"):
        settings = ServeSettings.from_env({"CHIPALIGN_STORE_URL": url})
        assert settings.store_url == url
        assert "hunter2" not in repr(settings)


def test_a_key_may_hold_any_sign_that_a_header_carries() -> None:
    key = "sk-!\"#$%&'()*+,/:;<=>?@[\\]^_`{|}~ 9"
    assert ServeSettings.from_env({"CHIPALIGN_API_KEY": f" {key}\n"}).api_key == key


@for_each(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://127.0.0.1:80"),
        ("", "http://127.0.0.1:80"),
        ("::1", "http://[::1]:80"),
        ("fd00::5", "http://[fd00::5]:80"),
        ("chips.example", "http://chips.example:80"),
    ],
)
def test_a_host_that_is_listened_on_has_an_address_to_ask_it_under(host: str, url: str) -> None:
    assert ServeSettings(host=host).local_url(80) == url


def test_folders_follow_the_home_and_the_model_unless_they_are_named(tmp_path: Path) -> None:
    settings = ServeSettings(home=tmp_path, model_id="mine")
    assert settings.checkpoint_dir == tmp_path / "models" / "mine"
    assert settings.index_dir == tmp_path / "indexes" / "starter"
    assert settings.sources_file is None
    named = ServeSettings(home=tmp_path, checkpoint="/m", index="~/i", sources="s.toml")
    assert (named.checkpoint_dir, named.index_dir) == (Path("/m"), Path.home() / "i")
    assert named.sources_file == Path("s.toml")


def test_a_child_gets_the_settings_over_what_this_process_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHIPALIGN_TOP_K", "9")
    monkeypatch.setenv("OTHER", "kept")
    env = ServeSettings(home=tmp_path, top_k=4).child_env()
    assert (env["CHIPALIGN_TOP_K"], env["OTHER"]) == ("4", "kept")
    assert ServeSettings.from_env(env) == ServeSettings(home=tmp_path, top_k=4)


def test_an_empty_option_leaves_the_variable_and_a_wrong_one_is_refused() -> None:
    env = {"CHIPALIGN_GATEWAY_PORT": "9000"}
    assert ServeSettings.from_env(env, {"gateway_port": ""}).gateway_port == 9000
    with pytest.raises(SettingsError, match="CHIPALIGN_GATEWAY_PORT is '0': give a whole number from 1 to 65535"):
        ServeSettings.from_env(env, {"gateway_port": "0"})
