"""rag.settings: defaults, parsing, ranges, and that every field documents itself."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from rag.errors import RagError, SettingsError
from rag.settings import RagSettings
from tests.rows import for_each


def test_empty_environment_gives_the_defaults() -> None:
    settings = RagSettings.from_env({})
    assert settings == RagSettings()
    assert (settings.embedder, settings.chunk_tokens, settings.late_weight, settings.mirror) == (
        "adapter:minilm-l6-technical",
        220,
        1.0,
        None,
    )


def test_values_take_the_types_of_their_fields() -> None:
    settings = RagSettings.from_env(
        {
            "CHIPALIGN_HOME": "some/home",
            "CHIPALIGN_MIRROR": "some/mirror",
            "CHIPALIGN_EMBEDDER": "a/folder",
            "CHIPALIGN_CHUNK_TOKENS": " 180 ",
            "CHIPALIGN_MIN_RELEVANCE": "0.7",
        }
    )
    assert (settings.home, settings.mirror) == (Path("some/home"), Path("some/mirror"))
    assert (settings.embedder, settings.chunk_tokens, settings.min_relevance) == ("a/folder", 180, 0.7)


def test_an_empty_variable_counts_as_unset() -> None:
    assert RagSettings.from_env({"CHIPALIGN_MIRROR": "", "CHIPALIGN_CANDIDATES": " "}) == RagSettings()


def test_all_bad_values_are_named_at_once_with_their_ranges() -> None:
    with pytest.raises(SettingsError) as caught:
        RagSettings.from_env(
            {"CHIPALIGN_CHUNK_TOKENS": "many", "CHIPALIGN_CANDIDATES": "0", "CHIPALIGN_MIN_HIT_SCORE": "nan"}
        )
    message = str(caught.value)
    assert "CHIPALIGN_CHUNK_TOKENS='many' is not a whole number between 40 and 4096" in message
    assert "CHIPALIGN_CANDIDATES=0 is outside the allowed range 1 to 1000" in message
    assert "CHIPALIGN_MIN_HIT_SCORE=nan is outside the allowed range -1.0 to 1.0" in message


def test_every_field_has_its_variable_and_help() -> None:
    names = [item.metadata["env"] for item in fields(RagSettings)]
    assert all(name.startswith("CHIPALIGN_") for name in names)
    assert len(set(names)) == len(names)
    assert all(item.metadata["help"] for item in fields(RagSettings))


def test_every_error_of_the_package_exits_with_two() -> None:
    kinds: list[type[RagError]] = [RagError, *RagError.__subclasses__()]
    assert all(kind.exit_code == 2 for kind in kinds)
    assert len(RagError.__subclasses__()) >= 12


def test_every_default_lies_in_its_own_range() -> None:
    for item in fields(RagSettings):
        if "range" in item.metadata:
            low, high = item.metadata["range"]
            assert low <= getattr(RagSettings(), item.name) <= high


@for_each("value", ["1e3", "12.5", "0x20", "२२०x", "-5"])
def test_a_whole_number_is_a_whole_number(value: str) -> None:
    with pytest.raises(SettingsError, match="CHIPALIGN_EMBED_BATCH"):
        RagSettings.from_env({"CHIPALIGN_EMBED_BATCH": value})


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        RagSettings().candidates = 1  # type: ignore[misc]
