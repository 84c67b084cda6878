"""More than two parents, weights, slerp with a base, the instruction residual, and layers cut out: whole merges of tiny
models against numpy in float64."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from merge.arithmetic.dtypes import FLOAT64, Array
from merge.errors import MergeError, ParentsMismatch, RecipeError, TensorNotFinite
from merge.merging.card import render_card
from merge.merging.merger import merge_parents
from merge.merging.sweep import plan_sweep
from merge.merging.verify import VerifyOptions, verify_checkpoint
from merge.recipe_file import parse_recipe
from merge.settings import MergeSettings
from tests.rows import for_each
from tests.tiny_models import read_arrays, rewrite_tensors, write_llama

Q0, Q1, NORM = "model.layers.0.self_attn.q_proj.weight", "model.layers.1.self_attn.q_proj.weight", "model.norm.weight"
SIDES = ("chip", "chat", "third", "base")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four tiny models of one architecture."""
    place = tmp_path_factory.mktemp("models")
    for seed, side in enumerate(SIDES, start=1):
        write_llama(place / side, seed)
    return place


def run(folder: Path, out: Path, merge: dict[str, Any], **tables: Any) -> dict[str, Array]:
    """The tensors of a merge in float32; verify finds nothing wrong with it."""
    data = {"merge": {"dtype": "float32", **merge}, "chip": {"model": "chip"}, "chat": {"model": "chat"}, **tables}
    settings = MergeSettings(out.parent / "home")
    merge_parents(parse_recipe(data, folder, "test"), out, settings, render_card)
    found = verify_checkpoint(out, VerifyOptions(None, base=folder), settings, lambda text: None)
    assert not found.problems
    return read_arrays(out)


def wide(folder: Path, name: str) -> dict[str, Array]:
    return {side: read_arrays(folder / side)[name].astype(FLOAT64) for side in SIDES}


def shares(**weights: float) -> dict[str, Any]:
    chip, chat, third = ({"model": side, "weight": weights[side]} for side in ("chip", "chat", "third"))
    return {"chip": chip, "chat": chat, "more": [third]}


def slerp(t: float, one: Array, other: Array) -> Array:
    theta = np.arccos(np.sum(one * other) / np.linalg.norm(one) / np.linalg.norm(other))
    return np.asarray((np.sin((1 - t) * theta) * one + np.sin(t * theta) * other) / np.sin(theta))


def elect(parts: list[tuple[float, Array]]) -> Array:
    """TIES' average of what has the elected sign."""
    sign = np.where(sum(w * d for w, d in parts) >= 0, 1.0, -1.0)
    total = sum(w * d * (np.sign(d) == sign) for w, d in parts)
    weight = np.asarray(sum(w * (np.sign(d) == sign) for w, d in parts))
    return np.asarray(total / np.where(weight > 0, weight, 1.0))


def trim(difference: Array, density: float) -> Array:
    smallest = np.sort(np.abs(difference.astype(np.float32)), axis=None)[-max(1, int(density * difference.size))]
    return np.where(np.abs(difference.astype(np.float32)) >= smallest, difference, 0.0)


ROWS: list[tuple[dict[str, Any], dict[str, Any], Callable[[dict[str, Array]], Array]]] = [
    ({"method": "linear"}, shares(chip=2, chat=1, third=1), lambda w: w["chip"] / 2 + w["chat"] / 4 + w["third"] / 4),
    ({"method": "soup"}, {"more": [{"model": "third"}]}, lambda w: (w["chip"] + w["chat"] + w["third"]) / 3),
    (
        {"method": "task_arithmetic"},
        {**shares(chip=0.7, chat=-0.2, third=0.5), "base": {"model": "base"}, "parameters": {"scale": 1.5}},
        lambda w: (
            w["base"]
            + 1.5 * (0.7 * (w["chip"] - w["base"]) - 0.2 * (w["chat"] - w["base"]) + 0.5 * (w["third"] - w["base"]))
        ),
    ),
    ({"method": "residual"}, {"base": {"model": "base"}}, lambda w: w["chip"] + w["chat"] - w["base"]),
    (
        {"method": "slerp", "lam": 0.3},
        {"base": {"model": "base"}},
        lambda w: w["base"] + slerp(0.3, w["chat"] - w["base"], w["chip"] - w["base"]),
    ),
    ({"method": "slerp", "lam": 0.3}, {}, lambda w: slerp(0.3, w["chat"], w["chip"])),
]


@pytest.mark.parametrize(("merge", "tables", "expected"), ROWS)
def test_a_method_is_its_formula(
    folder: Path, tmp_path: Path, merge: dict[str, Any], tables: dict[str, Any], expected: Any
) -> None:
    merged = run(folder, tmp_path / "out", merge, **tables)
    for name in (Q0, NORM):
        np.testing.assert_allclose(merged[name], expected(wide(folder, name)), rtol=3e-6, atol=3e-7)


def test_ties_over_three_has_a_density_for_each(folder: Path, tmp_path: Path) -> None:
    tables = {**shares(chip=0.5, chat=0.3, third=0.4), "base": {"model": "base"}}
    tables["chip"]["density"], tables["more"][0]["density"] = 0.6, [0.1, 0.9]
    merged = run(folder, tmp_path / "out", {"method": "ties"}, **tables)
    for name, density in ((Q0, 0.1), (Q1, 0.9)):
        w = wide(folder, name)
        kept = (("chip", 0.5, 0.6), ("chat", 0.3, 0.2), ("third", 0.4, density))
        parts = [(share, trim(w[side] - w["base"], d)) for side, share, d in kept]
        np.testing.assert_allclose(merged[name], w["base"] + elect(parts), rtol=3e-6, atol=3e-7)


def test_the_geodesic_of_three_lies_between_their_norms_and_has_weights_over_depth(
    folder: Path, tmp_path: Path
) -> None:
    tables = shares(chip=1, chat=1, third=0)
    tables["more"][0]["weight"] = [0.0, 2.0]
    merged = run(folder, tmp_path / "out", {}, **tables)
    two = run(folder, tmp_path / "two", {"lam": 0.5})
    np.testing.assert_allclose(merged[Q0], two[Q0], rtol=3e-6, atol=3e-7)  # the third weighs nothing there
    w = wide(folder, Q1)
    norms = {side: float(np.linalg.norm(tensor)) for side, tensor in w.items()}
    expected = (norms["chip"] * norms["chat"] * norms["third"] ** 2) ** 0.25
    assert np.linalg.norm(merged[Q1].astype(FLOAT64)) == pytest.approx(expected, rel=1e-6)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "with the weights 1 (chip), 1 (chat), 0 to 2 over depth (third)" in card
    assert "| third |" in card


def test_layers_are_cut_out_doubled_and_copied(folder: Path, tmp_path: Path) -> None:
    slices = [{"layers": [0, 1]}, {"layers": [1, 1], "parent": "chip"}, {"layers": [0, 1], "parent": "chat"}]
    merged = run(folder, tmp_path / "out", {}, slice=slices)
    whole = run(folder, tmp_path / "whole", {})
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["num_hidden_layers"] == 5
    chip, chat = read_arrays(folder / "chip"), read_arrays(folder / "chat")
    for number, expected in enumerate((whole[Q0], whole[Q1], chip[Q1], chat[Q0], chat[Q1])):
        assert np.array_equal(merged[Q0.replace("0", str(number))], expected)
    model, loading = AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(loading.values())
    assert torch.isfinite(model(torch.tensor([[1, 2, 3]])).logits).all()


WRONG: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"lam": 0.5}, {"more": [{"model": "third"}]}, "merge.lam does not go with weights"),
    ({"method": "slerp"}, {"more": [{"model": "third"}]}, "slerp takes two parents"),
    ({}, {"chip": {"model": "chip", "weight": -1}}, r"chip.weight is -1 \(allowed: a number from 0 to 10"),
    ({"method": "soup"}, {"chat": {"model": "chat", "weight": 1}}, "chat.weight does not go with soup"),
    ({}, {"chip": {"model": "chip", "density": 0.5}}, "chip.density goes with ties, dare, della, not with geodesic"),
    ({"method": "residual"}, {}, "method task_arithmetic needs the model"),
    ({"method": "ties"}, {"base": {"model": "base"}, "chip": {"model": "chip", "density": 0}}, "chip.density is 0"),
    ({}, {"base": {"model": "base", "weight": 1}}, "unknown key base.weight"),
    ({}, {"more": {"model": "third"}}, r"\[\[more\]\] must be a list"),
    ({}, {"more": [{"model": "third"}] * 7}, "at most 6"),
    ({}, {"slice": [{"layers": [1, 0]}]}, r"slice 1: layers is \[1, 0\]"),
    ({}, {"slice": [{"layers": [0, 1], "parent": "base"}]}, "slice 1: parent is 'base'"),
    ({}, {"slice": [{"layers": [0, 2]}]}, "reach beyond the parents' last layer, 1"),
    ({}, {"chip": {"model": "chip", "weight": 0}, "chat": {"model": "chat", "weight": 0}}, "are all 0"),
]


@for_each(("merge", "tables", "message"), WRONG)
def test_what_cannot_be_merged_is_said(
    folder: Path, tmp_path: Path, merge: dict[str, Any], tables: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        run(folder, tmp_path / "out", merge, **tables)


def test_a_third_parent_must_be_of_the_same_kind(folder: Path, tmp_path: Path) -> None:
    write_llama(tmp_path / "wide", 5, intermediate_size=64)
    with pytest.raises(ParentsMismatch, match="the third parent, config intermediate_size: third 64, chat 48"):
        run(folder, tmp_path / "out", {}, more=[{"model": str(tmp_path / "wide")}])


def test_a_third_parent_that_is_not_finite_is_named(folder: Path, tmp_path: Path) -> None:
    write_llama(tmp_path / "ill", 5)
    rewrite_tensors(tmp_path / "ill", {NORM: torch.full((32,), float("nan"))})
    for method in ("geodesic", "linear", "ties"):
        with pytest.raises(TensorNotFinite, match=f"third parent: tensor {NORM} holds nan at flat position 0"):
            run(
                folder,
                tmp_path / "out",
                {"method": method},
                more=[{"model": str(tmp_path / "ill")}],
                base={"model": "base"},
            )


def test_weights_leave_nothing_to_sweep(folder: Path) -> None:
    data = {"merge": {}, "chip": {"model": "chip", "weight": 1}, "chat": {"model": "chat"}}
    with pytest.raises(MergeError, match="weights, which stand in the place of lam"):
        plan_sweep(parse_recipe(data, folder, "test"), [0.5], folder)
