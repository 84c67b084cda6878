"""mergekit's configurations as recipes: what each becomes, and what is refused by name."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from merge.commands.convert_commands import MOST_BYTES
from merge.commands.merge_commands import merge
from merge.commands.mergekit import convert_config
from merge.errors import OutputRefused, RecipeError
from merge.recipe_file import load_recipe
from tests.rows import for_each

PAIR = "base_model: org/chat\nmodels: [{model: org/chip}, {model: org/chat}]\n"


def convert(text: str, chat: str | None = None) -> dict[str, Any]:
    return tomllib.loads(convert_config(yaml.safe_load(text), chat, lambda ref: ref).text)


def models(*rows: str) -> str:
    return "models:\n" + "".join(f"  - {{model: {row}}}\n" for row in rows)


CONVERTED: list[tuple[str, dict[str, Any]]] = [
    (
        f"merge_method: slerp\n{PAIR}parameters: {{t: 0.4}}\ndtype: bfloat16",
        {
            "merge": {"method": "slerp", "lam": 0.4, "dtype": "bfloat16"},
            "chat": {"model": "org/chat"},
            "chip": {"model": "org/chip"},
        },
    ),
    (
        f"merge_method: slerp\n{PAIR}parameters:\n  t:\n  - {{filter: self_attn, value: [0, 0.5, 1]}}\n"
        "  - {filter: 'a[b', value: 1}\n  - {value: 0.5}",
        {
            "merge": {"method": "slerp", "lam": 0.5},
            "schedule": [{"tensors": "*self_attn*", "lam": [0.0, 0.5, 1.0]}, {"tensors": "*a[[]b*", "lam": 1.0}],
        },
    ),
    (
        "merge_method: slerp\nbase_model: b\nslices:\n"
        "- sources: [{model: a, layer_range: [0, 32]}, {model: b, layer_range: [0, 32]}]\nparameters: {t: [0, 1]}",
        {"merge": {"method": "slerp", "lam": [0.0, 1.0]}, "chat": {"model": "b"}, "chip": {"model": "a"}},
    ),
    (
        "merge_method: slerp\nbase_model: b\nslices:\n"
        "- {sources: [{model: a, layer_range: [0, 2]}, {model: b, layer_range: [0, 2]}], parameters: {t: [0, 1]}}\n"
        "- {sources: [{model: a, layer_range: [2, 5]}, {model: b, layer_range: [2, 5]}], parameters: {t: 0.3}}",
        {
            "merge": {"method": "slerp", "lam": [0.0, 0.3]},
            "slice": [{"layers": [0, 1]}, {"layers": [2, 4]}],
            "schedule": [{"layers": [0, 1], "lam": [0.0, 1.0]}, {"layers": [2, 4], "lam": 0.3}],
        },
    ),
    (
        "merge_method: nuslerp\nbase_model: base\n"
        + models("a-instruct, parameters: {weight: 1}", "b, parameters: {weight: [1, 3]}"),
        {
            "merge": {"method": "slerp"},
            "chat": {"model": "a-instruct", "weight": 1.0},
            "chip": {"model": "b", "weight": [1.0, 3.0]},
            "base": {"model": "base"},
        },
    ),
    (
        "merge_method: linear\nout_dtype: float16\ntokenizer_source: union\n"
        + models("{path: org/a, revision: v2}, parameters: {weight: 1.0}", "b+lora, parameters: {weight: 1e-1}"),
        {
            "merge": {"method": "linear", "dtype": "float16", "vocab": "union"},
            "chat": {"model": "org/a@v2", "weight": 1.0},
            "chip": {"model": "b", "adapter": "lora", "weight": 0.1},
        },
    ),
    (
        f"merge_method: slerp\n{PAIR}parameters: {{t: 0.4}}\nchat_template: llama3",
        {"merge": {"method": "slerp", "lam": 0.4, "chat_template": "llama3"}},
    ),
    (
        f"merge_method: slerp\n{PAIR}parameters: {{t: 0.4}}\nchat_template: '{{{{ messages }}}}'",
        {"merge": {"method": "slerp", "lam": 0.4, "chat_template": "{{ messages }}"}},
    ),
    ("merge_method: karcher\n" + models("a", "b", "c"), {"merge": {"method": "geodesic"}, "more": [{"model": "c"}]}),
    (
        "merge_method: ties\nbase_model: base\nparameters: {normalize: true, int8_mask: true, lambda: 1.5, weight: 1}\n"
        + models("base", "a, parameters: {density: 0.5}", "b, parameters: {density: [1, 0.1], weight: 0.3}", "c"),
        {
            "merge": {"method": "ties"},
            "chat": {"model": "a", "weight": 1.0, "density": 0.5},
            "chip": {"model": "b", "weight": 0.3, "density": [1.0, 0.1]},
            "more": [{"model": "c", "weight": 1.0, "density": 1.0}],
            "base": {"model": "base"},
            "parameters": {"scale": 1.5},
        },
    ),
    (
        "merge_method: task_arithmetic\nbase_model: base\nparameters: {normalize: true, weight: 2}\n"
        + models("a", "b"),
        {"chat": {"model": "a", "weight": 0.5}, "chip": {"model": "b", "weight": 0.5}},
    ),
    (
        "merge_method: task_arithmetic\nbase_model: base\nparameters: {weight: 0.7}\n" + models("a"),
        {"chat": {"model": "base", "weight": 0.0}, "chip": {"model": "a", "weight": 0.7}, "base": {"model": "base"}},
    ),
    (
        "merge_method: dare_ties\nbase_model: base\nparameters: {normalize: true, weight: 1, density: 0.4}\n"
        + models("a", "b"),
        {
            "merge": {"method": "dare"},
            "parameters": {"elect": True},
            "chip": {"model": "b", "weight": 1.0, "density": 0.4},
        },
    ),
    (
        "merge_method: della\nbase_model: base\nparameters: {weight: 1, density: 0.4, epsilon: 0.2}\n"
        + models("a", "b"),
        {"merge": {"method": "della"}, "parameters": {"epsilon": 0.2}},
    ),
    (
        "merge_method: passthrough\nslices:\n- sources: [{model: a, layer_range: [0, 4]}]\n"
        "- sources: [{model: b, layer_range: [2, 6]}]\n- sources: [{model: a, layer_range: [4, 8]}]",
        {
            "merge": {"method": "linear", "lam": 0.0},
            "slice": [
                {"layers": [0, 3], "parent": "chat"},
                {"layers": [2, 5], "parent": "chip"},
                {"layers": [4, 7], "parent": "chat"},
            ],
        },
    ),
]


@for_each(("text", "expected"), CONVERTED)
def test_a_configuration_becomes_this_recipe(text: str, expected: dict[str, Any]) -> None:
    tables = convert(text)
    assert {name: tables.get(name) for name in expected} == expected


TASKS = "base_model: base\nmodels: [{model: a}, {model: b}]\nmerge_method: "
REFUSED = [
    ("merge_method: model_stock\nbase_model: c\nmodels: [{model: a}, {model: b}]", "merge_method model_stock"),
    (f"merge_method: slerp\n{PAIR}", "slerp without t"),
    (f"merge_method: slerp\n{PAIR}parameters: {{t: [{{filter: mlp, value: 1}}]}}", "t with filters alone"),
    (f"merge_method: slerp\n{PAIR}parameters: {{t: 1.5}}", r"merge.lam is 1\.5"),
    (f"merge_method: slerp\n{PAIR}parameters: {{t: x}}", "t 'x'"),
    (f"merge_method: slerp\n{PAIR}parameters: {{t: 1, gamma: 1}}", "the parameter gamma"),
    (f"merge_method: slerp\n{PAIR}parameters: {{t: 1}}\ndtype: float64", "dtype float64"),
    (f"merge_method: slerp\n{PAIR}parameters: {{t: 1}}\nchat_template: exaone", "chat_template exaone .known: auto"),
    (f"merge_method: slerp\n{PAIR}parameters: {{t: 1}}\nmodules: {{}}", "modules: a recipe has nothing like it"),
    (f"merge_method: slerp\n{PAIR}parameters: {{t: 1}}\ntokenizer_source: org/other", "the tokenizer of org/other"),
    (f"merge_method: slerp\n{PAIR}parameters: {{t: 1}}\ntokenizer: {{tokens: {{}}}}", "tokenizer.tokens"),
    ("merge_method: slerp\nbase_model: c\nparameters: {t: 1}\n" + models("a", "b"), "slerp of other than two models"),
    ("merge_method: linear\n" + models("a", "b"), "no weight of a"),
    (
        "merge_method: linear\nparameters: {weight: 1, normalize: false}\n" + models("a", "b"),
        "linear without normalize",
    ),
    (
        f"{TASKS}ties\nparameters: {{weight: [{{filter: mlp, value: 1}}, {{value: 2}}]}}",
        "only t may depend on a tensor",
    ),
    (f"{TASKS}dare_ties\nparameters: {{weight: 1}}", "dare_ties without normalize"),
    (f"{TASKS}ties\nparameters: {{weight: 1, rescale: true}}", "ties with rescale = True"),
    (f"{TASKS}ties\nparameters: {{weight: 1, lambda: [1, 2]}}", "scale over depth"),
    (f"{TASKS}nuslerp\nparameters: {{weight: 1, nuslerp_row_wise: true}}", "nuslerp by rows or columns"),
    ("merge_method: ties\nparameters: {weight: 1}\n" + models("a", "b"), "ties without base_model"),
    ("merge_method: karcher\n" + models("a"), "a merge of 1 models"),
    (
        "merge_method: passthrough\nslices: [{sources: [{model: a, layer_range: [0, 2]}]}, "
        "{sources: [{model: b, layer_range: [2, 4]}]}]",
        "the last norm and the head of b",
    ),
    ("merge_method: passthrough\nmodels: [{model: a, parameters: {scale: 2}}]", "the parameter scale"),
    ("merge_method: slerp", "neither models nor slices"),
    ("merge_method: slerp\nslices: [{}]", "a slice without sources"),
    ("models: []", "it has no merge_method"),
    ("- 1", "is not a configuration of mergekit"),
]


@for_each(("text", "problem"), REFUSED)
def test_what_a_recipe_cannot_say_is_listed(text: str, problem: str) -> None:
    with pytest.raises(RecipeError, match=problem):
        convert(text)


def test_what_differs_is_noted() -> None:
    notes = convert_config(yaml.safe_load(CONVERTED[9][0]), None, lambda ref: ref).notes
    assert "the last norm and the head take the last value of a list over depth; mergekit takes the first" in notes
    assert any(note.startswith("the chat parent, which gives config, tokenizer and template, is a;") for note in notes)
    even = convert_config(yaml.safe_load(CONVERTED[0][0]), None, lambda ref: ref).notes
    assert [note.partition(";")[0] for note in even] == ["angles are exact here"]


def test_all_problems_are_listed_at_once() -> None:
    text = f"merge_method: slerp\n{PAIR}parameters: {{t: 1, gamma: 1}}\ndtype: int8\nchat_template: x"
    with pytest.raises(RecipeError) as caught:
        convert(text)
    assert len(caught.value.problems) == 3


def test_the_chat_parent_is_the_one_that_is_named_so_or_given() -> None:
    text = "merge_method: linear\nparameters: {weight: 1}\n" + models("a", "B-Instruct", "c")
    assert convert(text)["chat"]["model"] == "B-Instruct"
    assert convert(text, chat="c")["chat"]["model"] == "c"
    assert convert(text.replace("B-Instruct", "Biter"))["chat"]["model"] == "a"
    with pytest.raises(RecipeError, match="--chat d is none of a, B-Instruct, c"):
        convert(text, chat="d")


def test_the_command_writes_a_recipe_whose_folders_start_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "chat").mkdir(parents=True)
    (tmp_path / "recipes").mkdir()
    config: dict[str, Any] = {"merge_method": "slerp", "base_model": "models/chat", "parameters": {"t": 0.5}}
    config["models"] = [{"model": "org/chip"}, {"model": "models/chat"}]
    Path("m.yml").write_text(json.dumps(config))
    assert merge(["convert", "m.yml", "--out", "recipes/m.toml"]) == 0
    recipe = load_recipe(tmp_path / "recipes" / "m.toml")
    assert (recipe.chat.model, recipe.chip.model, recipe.lam) == ("../models/chat", "org/chip", 0.5)
    printed = capsys.readouterr()
    assert printed.out == "recipes/m.toml\n"
    assert "angles are exact here" in printed.err
    with pytest.raises(OutputRefused, match=r"m\.toml cannot be written: File exists"):
        merge(["convert", "m.yml", "--out", "recipes/m.toml"])
    assert merge(["convert", "m.yml"]) == 0
    assert capsys.readouterr().out.startswith("# angles are exact here")


@for_each(
    ("text", "message"),
    [
        ("a: [", "is not valid YAML"),
        ("!!python/object:os.system {}", "is not valid YAML"),
        ("x" * (MOST_BYTES + 1), "larger"),
    ],
)
def test_what_is_not_yaml_is_said_in_a_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.yml").write_text(text)
    with pytest.raises(RecipeError, match=message) as caught:
        merge(["convert", str(tmp_path / "m.yml")])
    assert "\n" not in str(caught.value)


def test_a_configuration_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such file"):
        merge(["convert", str(tmp_path / "no.yml")])
