"""What is measured of two parents: angles, norms, and the distance between geodesic and linear, from the numbers of a
report alone.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merge.arithmetic.choice import find_arithmetic
from merge.arithmetic.dtypes import BFLOAT16, FLOAT32, FLOAT64
from merge.arithmetic.geodesic import interpolate
from merge.commands.survey import (
    Profile,
    describe_pair,
    describe_survey,
    find_drift,
    find_rounding,
    median_by_layer,
    profile_results,
    summarise_kinds,
    survey_pair,
)
from merge.merging.card import render_card
from merge.merging.merger import merge_parents
from merge.merging.pairing import check_pair
from merge.merging.plan import make_plan
from merge.models.checkpoint import Checkpoint
from merge.settings import MergeSettings
from tests.tiny_models import make_recipe, read_arrays, read_tensors, rewrite_tensors, write_llama

ARITHMETIC = find_arithmetic("cpu")


def profile(name: str, theta: float | None, layer: int | None = 0) -> Profile:
    return Profile(name, "MLP", layer, 4, 2.0, 1.0, theta, 0.6)


def survey(chip: Path, chat: Path, **values: Any) -> tuple[Profile, ...]:
    recipe = make_recipe(chip, chat, **values)
    pair = check_pair(Checkpoint.open(chip), Checkpoint.open(chat), recipe)
    return survey_pair(make_plan(recipe, pair), pair, ARITHMETIC, threads=2)


@given(seed=st.integers(0, 100), size=st.floats(1e-4, 2.0), factor=st.floats(0.3, 3.0), lam=st.floats(0.01, 0.99))
def test_drift_is_the_distance_of_the_two_merges(seed: int, size: float, factor: float, lam: float) -> None:
    dice = np.random.default_rng(seed)
    chat = dice.standard_normal(200)
    chip = factor * (chat + size * dice.standard_normal(200))
    chip_norm, chat_norm = float(np.linalg.norm(chip)), float(np.linalg.norm(chat))
    theta = math.acos(min(max(float(chip @ chat) / chip_norm / chat_norm, -1.0), 1.0))
    a = (chat_norm / chip_norm) ** (1 - lam) * math.sin(lam * theta) / math.sin(theta)
    b = (chip_norm / chat_norm) ** lam * math.sin((1 - lam) * theta) / math.sin(theta)
    linear = lam * chip + (1 - lam) * chat
    expected = float(np.linalg.norm(a * chip + b * chat - linear) / np.linalg.norm(linear))
    assert find_drift(chip_norm, chat_norm, theta, lam) == pytest.approx(expected, rel=1e-3, abs=1e-9)


def test_drift_of_tiny_angles_keeps_its_digits() -> None:
    """For equal norms |G - L| / |L| tends to (1 - lam) lam theta^2 / 2: the chord's sagitta, which the geodesic
    bridges.
    """
    for theta in (1e-2, 1e-4, 1e-6):
        assert find_drift(1.0, 1.0, theta, 0.6) == pytest.approx(0.6 * 0.4 * theta**2 / 2, rel=1e-3)


def test_there_is_no_drift_at_the_ends_and_none_between_equals() -> None:
    assert find_drift(1.0, 2.0, 0.5, 0.0) == find_drift(1.0, 2.0, 0.5, 1.0) == find_drift(1.0, 1.0, 0.0, 0.6) == 0.0
    assert math.isnan(find_drift(1.0, 1.0, math.pi, 0.6))
    assert profile("t", None).drift is None


def test_a_survey_measures_what_the_merge_reports(tmp_path: Path) -> None:
    chip, chat = write_llama(tmp_path / "chip", seed=1), write_llama(tmp_path / "chat", seed=2)
    before = survey(chip, chat)
    outcome = merge_parents(make_recipe(chip, chat), tmp_path / "out", MergeSettings(tmp_path / "home"), render_card)
    assert outcome.report is not None
    assert {p.name: p for p in before} == {p.name: p for p in profile_results(outcome.report.tensors)}
    ours, theirs = read_arrays(chip), read_arrays(chat)
    for p in before:
        merged, arc = interpolate(
            ours[p.name].astype(FLOAT64), theirs[p.name].astype(FLOAT64), 0.6, FLOAT64, ARITHMETIC
        )
        linear = 0.6 * ours[p.name].astype(FLOAT64) + 0.4 * theirs[p.name].astype(FLOAT64)
        assert p.theta == pytest.approx(arc.theta)
        # Interpolate adds in float32
        assert p.drift == pytest.approx(np.linalg.norm(merged - linear) / np.linalg.norm(linear), rel=1e-3)


def test_the_summary_names_the_largest_angle() -> None:
    (kind,) = summarise_kinds([profile("a", 0.1), profile("b", 0.3), profile("c", 0.2), profile("d", None)])
    assert (kind.tensors, kind.parameters, kind.theta_max_tensor) == (4, 16, "b")
    assert kind.theta_median == pytest.approx(math.degrees(0.2))
    assert (kind.norm_ratio_min, kind.norm_ratio_max) == (2.0, 2.0)


def test_medians_go_by_layer_and_leave_out_what_has_no_number() -> None:
    profiles = [
        profile("a", 0.1),
        profile("b", 0.3),
        profile("c", 0.5, layer=2),
        profile("d", None, layer=1),
        profile("e", 0.9, layer=None),
    ]
    assert median_by_layer(profiles, "MLP", lambda p: p.theta) == [(0, pytest.approx(0.2)), (2, 0.5)]


def test_the_document_is_valid_json_for_strict_readers() -> None:
    import json

    document = describe_survey([profile("a", math.pi), profile("b", None)])
    assert json.loads(json.dumps(document, allow_nan=False))["tensors"][0]["drift"] is None


def test_rounding_is_what_the_outputs_dtype_loses_of_the_change(tmp_path: Path) -> None:
    chat = write_llama(tmp_path / "chat", seed=2, num_hidden_layers=1, dtype=torch.bfloat16)
    chip = write_llama(tmp_path / "chip", seed=2, num_hidden_layers=1, dtype=torch.bfloat16)
    near = {
        name: tensor.float() * (1 + 0.01 * torch.randn(tensor.shape)) for name, tensor in read_tensors(chip).items()
    }
    rewrite_tensors(chip, {name: tensor.bfloat16() for name, tensor in near.items()})
    lost = changed = 0.0
    ours, theirs = read_arrays(chip), read_arrays(chat)
    for name in ours:
        wide, _ = interpolate(ours[name], theirs[name], 0.6, FLOAT32, ARITHMETIC)
        rounded = wide.astype(BFLOAT16).astype(FLOAT64)
        lost += float(np.sum((rounded - wide) ** 2))
        changed += float(np.sum((wide - theirs[name].astype(FLOAT64)) ** 2))
    share = find_rounding(survey(chip, chat, dtype="auto"))
    assert share == pytest.approx(math.sqrt(lost / changed), rel=1e-5)
    assert share is not None
    assert 0.05 < share < 0.9
    assert find_rounding(survey(chip, chat, dtype="float32")) == 0.0
    assert find_rounding(survey(chat, chat, dtype="auto")) is None


def profile_of(name: str, numel: int, degrees: float | None) -> Profile:
    theta = None if degrees is None else math.radians(degrees)
    return Profile(name, "other", 0, numel, 1.0, 1.0, theta, 0.6)


def test_a_pair_is_described_by_the_tensors_in_which_it_differs() -> None:
    profiles = [profile_of("a", 30, 2.0), profile_of("b", 10, 8.0), profile_of("c", 60, 0.0), profile_of("d", 9, None)]
    assert describe_pair(profiles) == (
        "40.0% of the weights stand in tensors that differ: they are 5.00° apart in the median, 8.00° at most (b). A "
        "geodesic and a linear merge would differ by 0.23% at most."
    )
    assert describe_pair(profiles[2:]).startswith("Both parents point the same way in every tensor")
    assert describe_pair([]).startswith("Both parents")
