"""Which lam, or which weights, a recipe gives a tensor: by its rules, and by the tensor's depth in the model.

It reads no tensor.

    find_lam(recipe, "model.layers.3.mlp.up_proj.weight", depths=count_layers(names))
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase

from merge.errors import RecipeError
from merge.models.layers import find_depth, find_layer, stands_before
from merge.recipe import BASE_METHODS, Lam, Recipe, Rule


def find_lam(recipe: Recipe, name: str, depths: Mapping[str, int]) -> float:
    """The lam of one tensor: the first [[schedule]] rule that fits it, else the recipe's; soup is 0.5 by definition.

    Where weights stand in its place, it is the chip parent's part of their sum.
    """
    if recipe.method == "soup":
        return 0.5
    if weights := find_weights(recipe, name, depths):
        return weights["chip"] / total if (total := math.fsum(weights.values())) else 0.0
    depth = find_depth(name, depths)
    rule = next((rule for rule in recipe.schedule if fits_rule(rule, name)), None)
    if rule is None:
        return interpolate_lam(recipe.lam, name, 0, depth - 1)
    first, last = rule.layers or (0, depth - 1)
    return interpolate_lam(rule.lam, name, first, min(last, depth - 1))


def fits_rule(rule: Rule, name: str) -> bool:
    """Whether a [[schedule]] rule is about a tensor."""
    layer = find_layer(name)
    in_layers = rule.layers is None or (layer is not None and rule.layers[0] <= layer <= rule.layers[1])
    return in_layers and (rule.tensors is None or fnmatchcase(name, rule.tensors))


def find_weights(recipe: Recipe, name: str, depths: Mapping[str, int]) -> dict[str, float]:
    """The weights of the parents of one tensor, by side; empty where lam decides.

    Raises RecipeError: all are zero, so that nothing could be averaged.
    """
    last = find_depth(name, depths) - 1
    weights = {side: interpolate_lam(weight, name, 0, last) for side, weight in recipe.weights.items()}
    if weights and recipe.method not in BASE_METHODS and not any(weights.values()):
        raise RecipeError("recipe", [f"the weights of tensor {name} are all 0 (allowed: one of them above 0)"])
    return weights


def interpolate_lam(lam: Lam, name: str, first: int, last: int) -> float:
    """A gradient's value at a tensor's depth between two layers, piecewise linear like mergekit's gradients.

    The embedding takes the first value; the last norm and the head take the last.
    """
    if isinstance(lam, float):
        return lam
    layer = find_layer(name)
    if layer is None:
        return lam[0] if stands_before(name) else lam[-1]
    position = (layer - first) / (last - first) * (len(lam) - 1) if last > first else 0.0
    left = min(int(position), len(lam) - 2)
    return lam[left] + (lam[left + 1] - lam[left]) * (position - left)
