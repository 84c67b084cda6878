"""Which lam a recipe gives a tensor: gradients over the layers as mergekit's, and the first rule that fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from merge.merging.lams import find_lam, interpolate_lam
from merge.models.layers import count_layers
from merge.recipe import ParentRef, Recipe, Rule
from tests.rows import for_each

EMBEDDING, NORM, HEAD = "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"
STACK = "model.layers."


def up(layer: int) -> str:
    return f"model.layers.{layer}.mlp.up_proj.weight"


def recipe_with(**values: Any) -> Recipe:
    return Recipe(ParentRef("chip"), ParentRef("chat"), base=Path(), **values)


@for_each(("layer", "lam"), [(0, 0.2), (2, 0.4), (4, 0.6), (6, 0.3), (8, 0.0)])
def test_a_gradient_runs_over_the_layers_piece_by_piece(layer: int, lam: float) -> None:
    assert interpolate_lam((0.2, 0.6, 0.0), up(layer), 0, 8) == pytest.approx(lam)


def test_a_gradient_is_the_one_of_mergekit() -> None:
    """mergekit 0.1.5, config.py: scaled = t (n - 1), then between the neighbours, t = layer / (layers - 1)."""
    values, layers = (0.1, 0.9, 0.4, 0.5), 12
    for layer in range(layers):
        scaled = layer / (layers - 1) * (len(values) - 1)
        left = int(scaled)
        right = min(len(values) - 1, left + 1)
        expected = (1 - (scaled - left)) * values[left] + (scaled - left) * values[right]
        assert interpolate_lam(values, up(layer), 0, layers - 1) == pytest.approx(expected)


def test_what_stands_outside_the_layers_takes_the_ends_of_a_gradient() -> None:
    assert [interpolate_lam((0.2, 0.8), name, 0, 7) for name in (EMBEDDING, NORM, HEAD)] == [0.2, 0.8, 0.8]
    assert interpolate_lam((0.2, 0.8), up(3), 3, 3) == 0.2  # a range of one layer


def test_the_first_rule_that_fits_decides() -> None:
    recipe = recipe_with(
        lam=0.6,
        schedule=(
            Rule(0.1, layers=(0, 1), tensors="*.mlp.*"),
            Rule((0.2, 0.4), layers=(0, 2)),
            Rule(0.9, tensors="*norm*"),
        ),
    )
    assert find_lam(recipe, up(1), {STACK: 8}) == 0.1
    # Over the rule's own layers
    assert find_lam(recipe, "model.layers.1.self_attn.q_proj.weight", {STACK: 8}) == pytest.approx(0.3)
    assert find_lam(recipe, "model.layers.2.input_layernorm.weight", {STACK: 8}) == 0.4
    assert find_lam(recipe, NORM, {STACK: 8}) == 0.9
    assert find_lam(recipe, up(7), {STACK: 8}) == find_lam(recipe, EMBEDDING, {STACK: 8}) == 0.6


def test_each_stack_of_layers_has_its_own_depth() -> None:
    vision, text = ("visual.blocks.{}.attn.qkv.weight", "model.layers.{}.mlp.up_proj.weight")
    names = [*(vision.format(n) for n in range(4)), *(text.format(n) for n in range(2)), NORM]
    depths = count_layers(names)
    assert depths == {"visual.blocks.": 4, STACK: 2}
    recipe = recipe_with(lam=(0.0, 0.9))
    assert [find_lam(recipe, name, depths) for name in names] == pytest.approx([0, 0.3, 0.6, 0.9, 0, 0.9, 0.9])


@for_each(
    ("name", "expected"),
    [
        ("gpt_neox.embed_in.weight", 0.0),
        ("vision_tower.embeddings.position_embedding.weight", 0.0),
        ("model.encoder.conv1.weight", 0.0),
        ("bert.embeddings.LayerNorm.weight", 0.0),
        ("vision_tower.vision_model.pre_layrnorm.bias", 0.0),
        ("lm_head.weight", 1.0),
        ("embed_out.weight", 1.0),
        ("language_model.lm_head.weight", 1.0),
        ("lm_head.decoder.bias", 1.0),
        ("multi_modal_projector.linear_1.weight", 1.0),
        ("vision_tower.vision_model.post_layernorm.weight", 1.0),
    ],
)
def test_over_depth_what_is_in_no_layer_takes_the_first_value_or_the_last(name: str, expected: float) -> None:
    assert find_lam(recipe_with(lam=(0.0, 1.0)), name, {STACK: 2}) == expected


def test_a_soup_is_half_of_each_whatever_the_schedule() -> None:
    assert find_lam(recipe_with(method="soup", schedule=(Rule(0.1, tensors="*"),)), up(0), {STACK: 2}) == 0.5
