"""A difference of two parents says which setting decides it, and is open until the recipe has a value that does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from merge.merging.mismatch import Mismatch
from merge.recipe import DECISIONS, UNDECIDED, ParentRef, Recipe
from tests.rows import for_each

RECIPE = Recipe(ParentRef("chip"), ParentRef("chat"), base=Path())


def deciding(settings: Mapping[str, Any]) -> Recipe:
    return replace(RECIPE, **settings)


@for_each(
    ("mismatch", "sentence"),
    [
        (Mismatch("a differs"), "a differs"),
        (Mismatch("a differs", "config"), 'a differs (decide it with config = "chat" | "chip")'),
        (Mismatch("a differs", "vocab"), 'a differs (decide it with vocab = "chat" | "chip" | "union")'),
        (Mismatch("a differs", "embeddings"), 'a differs (decide it with embeddings = "tied" | "untied")'),
        (Mismatch("a differs", "names", ("chip",)), 'a differs (decide it with names = "chip")'),
    ],
)
def test_a_difference_says_which_values_decide_it(mismatch: Mismatch, sentence: str) -> None:
    assert mismatch.describe() == sentence


@for_each("setting", list(DECISIONS))
def test_each_setting_decides_with_every_value_that_chooses(setting: str) -> None:
    mismatch = Mismatch("a differs", setting)
    assert mismatch.is_open(RECIPE)
    assert mismatch.is_open(None)
    for value in DECISIONS[setting]:
        chooses = value not in UNDECIDED
        assert mismatch.is_open(deciding({setting: value})) is not chooses
        assert (f'"{value}"' in mismatch.describe()) is chooses


def test_names_alone_that_differ_are_decided_unless_a_recipe_refuses_them() -> None:
    mismatch = Mismatch("a differs", "names", is_exact=True)
    assert not mismatch.is_open(RECIPE)
    assert not mismatch.is_open(None)
    assert mismatch.is_open(replace(RECIPE, names="refuse"))
    assert '"exact"' not in mismatch.describe()


def test_only_an_allowed_value_decides_where_not_all_are() -> None:
    mismatch = Mismatch("a differs", "names", ("chat",))
    assert not mismatch.is_open(replace(RECIPE, names="chat"))
    assert mismatch.is_open(replace(RECIPE, names="chip"))


def test_what_no_setting_decides_stays_open_and_other_settings_do_not_help() -> None:
    decided = deciding({setting: values[-1] for setting, values in DECISIONS.items()})
    assert Mismatch("a differs").is_open(decided)
    assert Mismatch("a differs", "vocab").is_open(replace(decided, vocab="refuse"))
