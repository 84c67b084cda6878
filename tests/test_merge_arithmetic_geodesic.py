"""The mathematics of the merge against fifty-digit arithmetic, its properties, and every degenerate case by name."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merge.arithmetic import geodesic
from merge.arithmetic.choice import find_arithmetic
from merge.arithmetic.dtypes import BFLOAT16, FLOAT16, FLOAT32, Array, DType
from merge.arithmetic.geodesic import CHUNK, OPPOSITE_TOLERANCE, Sums, find_arc, find_theta
from merge.errors import TensorNotFinite, TensorsOpposite
from tests.rows import for_each

ARITHMETIC = find_arithmetic("cpu")
measure, interpolate = ARITHMETIC.measure, partial(geodesic.interpolate, arithmetic=ARITHMETIC)
LAMS = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.6, 0.75, 0.9, 1.0])
INNER_LAMS = st.floats(0.01, 0.99)
SEEDS = st.integers(0, 2**32 - 1)
RELATIVE_DIFFERENCES = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0)


def pair(seed: int, relative: float, numel: int = 60, dtype: DType = FLOAT32) -> tuple[Array, Array]:
    """A random tensor and one that differs from it by about `relative`."""
    dice = np.random.default_rng(seed)
    chat = dice.standard_normal(numel)
    chip = chat + relative * dice.standard_normal(numel)
    return chip.astype(dtype), chat.astype(dtype)


def norm(values: Array) -> float:
    """|values| in float64."""
    return float(np.linalg.norm(values.astype(np.float64)))


def golden(chip: Array, chat: Array, lam: float) -> tuple[list[Any], Any]:
    """(merged values, theta) with fifty digits, by the textbook formula: arccos of the dot product, and no chords."""
    with mpmath.workdps(50):
        c, i = ([mpmath.mpf(x) for x in t.astype(np.float64).reshape(-1).tolist()] for t in (chip, chat))
        lam = mpmath.mpf(lam)
        norm_c, norm_i = (mpmath.sqrt(mpmath.fsum(x * x for x in t)) for t in (c, i))
        theta = mpmath.acos(mpmath.fdot(c, i) / norm_c / norm_i)
        scale = norm_c**lam * norm_i ** (1 - lam) / mpmath.sin(theta)
        a, b = scale * mpmath.sin(lam * theta) / norm_c, scale * mpmath.sin((1 - lam) * theta) / norm_i
        return [a * x + b * y for x, y in zip(c, i, strict=True)], theta


def relative_error(result: Array, expected: list[Any]) -> float:
    """|result - expected| / |expected|, in fifty digits."""
    with mpmath.workdps(50):
        error = mpmath.sqrt(
            mpmath.fsum(
                (mpmath.mpf(x) - y) ** 2
                for x, y in zip(result.astype(np.float64).reshape(-1).tolist(), expected, strict=True)
            )
        )
        return float(error / mpmath.sqrt(mpmath.fsum(y * y for y in expected)))


@for_each("relative", RELATIVE_DIFFERENCES)
@for_each("lam", [0.1, 0.6, 0.95])
def test_result_agrees_with_fifty_digits(relative: float, lam: float) -> None:
    chip, chat = pair(seed=1, relative=relative)
    merged, arc = interpolate(chip, chat, lam, FLOAT32)
    expected, theta = golden(chip, chat, lam)
    assert relative_error(merged, expected) < 2e-7
    assert arc.theta == pytest.approx(float(theta), rel=1e-6)


@for_each("relative", RELATIVE_DIFFERENCES)
def test_theta_of_tiny_differences_is_not_lost(relative: float) -> None:
    chip, chat = pair(seed=2, relative=relative, numel=1000)
    _, theta = golden(chip, chat, 0.5)
    assert find_theta(measure(chip, chat)) == pytest.approx(float(theta), rel=1e-6)
    in_float32 = float(np.arccos(np.clip(np.dot(chip / np.linalg.norm(chip), chat / np.linalg.norm(chat)), -1, 1)))
    if relative <= 1e-4:  # the formula that this project does not use
        assert abs(in_float32 - float(theta)) > 0.1 * float(theta)


@pytest.mark.parametrize(("dtype", "eps"), [(BFLOAT16, 2.0**-7), (FLOAT16, 2.0**-10)])
def test_narrow_dtypes_agree_with_fifty_digits_to_their_rounding(dtype: DType, eps: float) -> None:
    chip, chat = pair(seed=3, relative=0.05, dtype=dtype)
    expected, _ = golden(chip, chat, 0.6)
    assert relative_error(interpolate(chip, chat, 0.6, FLOAT32)[0], expected) < 2e-7
    assert relative_error(interpolate(chip, chat, 0.6, dtype)[0], expected) < eps / 2


@for_each("angle_from_opposite", [2e-4, 1e-3, 0.1])
def test_nearly_opposite_directions_keep_their_digits(angle_from_opposite: float) -> None:
    chat = np.array([1.0, 0.0, 0.0], FLOAT32)
    chip = np.array([-math.cos(angle_from_opposite), math.sin(angle_from_opposite), 0.0], FLOAT32)
    expected, _ = golden(chip, chat, 0.6)
    assert relative_error(interpolate(chip, chat, 0.6, FLOAT32)[0], expected) < 1e-6


@for_each("scale", [1e-12, 1e-4, 1e4, 1e12])
def test_lopsided_norms_keep_their_angle(scale: float) -> None:
    chip, chat = pair(seed=4, relative=1.0)
    chip = chip * scale
    expected, theta = golden(chip, chat, 0.3)
    merged, arc = interpolate(chip, chat, 0.3, FLOAT32)
    assert arc.theta == pytest.approx(float(theta), rel=1e-9)
    assert relative_error(merged, expected) < 1e-6


@settings(max_examples=1000, deadline=None)
@given(SEEDS, st.sampled_from(RELATIVE_DIFFERENCES), st.sampled_from([FLOAT32, FLOAT16, BFLOAT16]))
def test_lam_one_returns_chip_and_lam_zero_chat_to_the_last_bit(seed: int, relative: float, dtype: DType) -> None:
    chip, chat = pair(seed, relative, dtype=dtype)
    chip[0], chat[0] = -0.0, 0.0
    chip[1], chat[1] = 0.0, -0.0
    for lam, parent in ((1.0, chip), (0.0, chat)):
        merged, _ = interpolate(chip, chat, lam, dtype)
        assert merged.tobytes() == parent.tobytes()


@settings(max_examples=1000, deadline=None)
@given(SEEDS, st.sampled_from(RELATIVE_DIFFERENCES), LAMS, st.floats(-3, 3))
def test_norm_is_the_weighted_geometric_mean(seed: int, relative: float, lam: float, exponent: float) -> None:
    chip, chat = pair(seed, relative)
    chip = chip * np.float32(10.0**exponent)
    merged, _ = interpolate(chip, chat, lam, FLOAT32)
    assert norm(merged) == pytest.approx(norm(chip) ** lam * norm(chat) ** (1 - lam), rel=3e-7)


@settings(max_examples=1000, deadline=None)
@given(SEEDS, st.sampled_from(RELATIVE_DIFFERENCES), INNER_LAMS)
def test_merge_is_symmetric(seed: int, relative: float, lam: float) -> None:
    chip, chat = pair(seed, relative)
    one, _ = interpolate(chip, chat, lam, FLOAT32)
    other, _ = interpolate(chat, chip, 1 - lam, FLOAT32)
    assert norm(one - other) <= 3e-7 * norm(one)


@settings(max_examples=1000, deadline=None)
@given(SEEDS, st.sampled_from([1e-6, 1e-5, 1e-4]), INNER_LAMS)
def test_small_angles_give_the_linear_average(seed: int, relative: float, lam: float) -> None:
    chip, chat = pair(seed, relative)
    merged, arc = interpolate(chip, chat, lam, FLOAT32)
    linear = lam * chip.astype(np.float64) + (1 - lam) * chat.astype(np.float64)
    assert arc.branch == "geodesic"
    assert norm(merged - linear) <= (3e-7 + relative**2) * norm(linear)


@settings(max_examples=50, deadline=None)
@given(SEEDS, INNER_LAMS)
def test_result_lies_between_the_parents_on_the_sphere(seed: int, lam: float) -> None:
    chip, chat = pair(seed, relative=1.0)
    merged, arc = interpolate(chip, chat, lam, FLOAT32)
    assert arc.theta is not None
    assert find_theta(measure(merged, chat)) == pytest.approx(lam * arc.theta, rel=1e-5)
    assert find_theta(measure(merged, chip)) == pytest.approx((1 - lam) * arc.theta, rel=1e-5)


DEGENERATE = ("equal", "both zero", "zero chip", "zero chat", "opposite", "parallel", "tiny angle", "nan", "inf")


@settings(max_examples=1000, deadline=None)
@given(SEEDS, st.sampled_from(DEGENERATE), LAMS, st.integers(1, 60), st.sampled_from([FLOAT32, FLOAT16, BFLOAT16]))
def test_degenerate_tensors_end_in_their_branch_or_their_error(
    seed: int, case: str, lam: float, numel: int, dtype: DType
) -> None:
    chip, _ = pair(seed, 0.1, numel, dtype)
    chip[0] = 1.0  # never zero as a whole
    nothing, powers = np.zeros_like(chip), np.array(2, dtype)
    chat = {"equal": chip.copy(), "zero chat": nothing, "opposite": -powers * chip, "parallel": powers * chip}.get(
        case, chip.copy()
    )
    if case in ("both zero", "zero chip"):
        chat, chip = (nothing if case == "both zero" else chip), nothing
    if case == "tiny angle":  # the last bit of one element: a difference as small as the dtype has it
        chat[-1] += chat[-1] * chat.dtype.type(0.008 if dtype == BFLOAT16 else 0.001 if dtype == FLOAT16 else 1.2e-7)
    if case in ("nan", "inf"):
        chat[-1] = float(case)
    if case in ("nan", "inf") or (case == "opposite" and 0 < lam < 1):
        with pytest.raises(TensorNotFinite if case in ("nan", "inf") else TensorsOpposite, match="tensor w"):
            interpolate(chip, chat, lam, dtype, name="w")
        return
    merged, arc = interpolate(chip, chat, lam, dtype)
    branches = {
        "both zero": "equal",
        "zero chip": "zero",
        "zero chat": "zero",
        "parallel": "geodesic",
        "tiny angle": "geodesic",
    }
    assert arc.branch == ("equal" if np.array_equal(chip, chat) else branches.get(case, case))
    assert np.isfinite(merged.astype(np.float64)).all()
    if lam in (0.0, 1.0) or case == "equal":
        assert merged.tobytes() == (chip if lam == 1.0 else chat).tobytes()
    elif arc.branch == "zero":
        assert not merged.any()


def test_pieces_do_not_show_in_the_result() -> None:
    chip, chat = pair(seed=5, relative=0.1, numel=CHUNK + 1000)
    whole = measure(chip, chat)
    pieces = Sums.total(measure(chip[s : s + 999], chat[s : s + 999]) for s in range(0, chip.size, 999))
    assert pieces.difference == pytest.approx(whole.difference, rel=1e-13)
    assert interpolate(chip, chat, 0.6, FLOAT32)[1].theta == pytest.approx(find_theta(whole), rel=1e-13)


def test_shape_is_kept() -> None:
    chip, chat = pair(seed=6, relative=0.1)
    assert interpolate(chip.reshape(3, 4, 5), chat.reshape(3, 4, 5), 0.6, BFLOAT16)[0].shape == (3, 4, 5)


@for_each("lam", [0.0, 0.6, 1.0])
def test_equal_tensors_are_returned_untouched(lam: float) -> None:
    chip, _ = pair(seed=7, relative=0.1)
    merged, arc = interpolate(chip, chip.copy(), lam, FLOAT32)
    assert arc.branch == "equal"
    assert arc.theta == 0.0
    assert np.array_equal(merged, chip)


@for_each(("lam", "expected"), [(0.0, [3.0, 4.0]), (0.6, [0.0, 0.0]), (1.0, [0.0, 0.0])])
def test_zero_chip_gives_zero_except_at_lam_zero(lam: float, expected: list[float]) -> None:
    merged, arc = interpolate(np.zeros(2, FLOAT32), np.array([3.0, 4.0], FLOAT32), lam, FLOAT32)
    assert (arc.branch, arc.theta, arc.chip_norm, arc.chat_norm) == ("zero", None, 0.0, 5.0)
    assert merged.tolist() == expected


@for_each(("lam", "expected"), [(0.0, [0.0, 0.0]), (0.6, [0.0, 0.0]), (1.0, [3.0, 4.0])])
def test_zero_chat_gives_zero_except_at_lam_one(lam: float, expected: list[float]) -> None:
    merged, arc = interpolate(np.array([3.0, 4.0], FLOAT32), np.zeros(2, FLOAT32), lam, FLOAT32)
    assert arc.branch == "zero"
    assert merged.tolist() == expected


def test_two_zero_tensors_are_equal_and_have_no_angle() -> None:
    merged, arc = interpolate(np.zeros(3, FLOAT32), np.zeros(3, FLOAT32), 0.6, BFLOAT16)
    assert (arc.branch, arc.theta) == ("equal", None)
    assert merged.tolist() == [0, 0, 0]


def test_zero_is_the_limit_of_ever_smaller_tensors() -> None:
    chat = np.array([3.0, 4.0], FLOAT32)
    norms = [norm(interpolate(np.array([s, 0.0], FLOAT32), chat, 0.6, FLOAT32)[0]) for s in (1e-10, 1e-20, 1e-30)]
    assert norms[0] > norms[1] > norms[2]
    assert norms[2] < 1e-16


def test_opposite_tensors_have_no_unique_geodesic() -> None:
    chip, _ = pair(seed=8, relative=0.1)
    with pytest.raises(TensorsOpposite, match=r"tensor layers\.3.*opposite.*lam = 0 or 1"):
        interpolate(chip, -2 * chip, 0.6, FLOAT32, name="layers.3")


def test_opposite_tensors_return_a_parent_at_lam_zero_and_one() -> None:
    chip, _ = pair(seed=8, relative=0.1)
    for lam, parent in ((1.0, chip), (0.0, -2 * chip)):
        merged, arc = interpolate(chip, -2 * chip, lam, FLOAT32)
        assert arc.branch == "opposite"
        assert arc.theta == pytest.approx(math.pi, abs=OPPOSITE_TOLERANCE)
        assert np.array_equal(merged, parent)


@for_each("factor", [0.5, 2.0, 1024.0])
def test_parallel_tensors_take_the_geometric_mean(factor: float) -> None:
    chip, _ = pair(seed=9, relative=0.1)
    merged, arc = interpolate(chip, factor * chip, 0.5, FLOAT32)
    assert arc.theta == pytest.approx(0.0, abs=1e-7)
    np.testing.assert_allclose(merged, math.sqrt(factor) * chip, rtol=3e-7, atol=0)


def test_scalars_merge_by_magnitude_and_refuse_opposite_signs() -> None:
    merged, arc = interpolate(np.array(8.0, FLOAT32), np.array(2.0, FLOAT32), 0.5, FLOAT32)
    assert merged.shape == ()
    assert merged.item() == pytest.approx(4.0)
    assert arc.branch == "geodesic"
    with pytest.raises(TensorsOpposite):
        interpolate(np.array(8.0, FLOAT32), np.array(-2.0, FLOAT32), 0.5, FLOAT32)


def test_empty_tensors_are_equal() -> None:
    merged, arc = interpolate(np.empty((0, 4), FLOAT32), np.empty((0, 4), FLOAT32), 0.6, BFLOAT16)
    assert merged.shape == (0, 4)
    assert arc.branch == "equal"


@for_each("value", [math.nan, math.inf, -math.inf])
@for_each("parent", ["chip", "chat"])
def test_not_finite_tensors_are_refused_with_name_and_position(value: float, parent: str) -> None:
    chip, chat = pair(seed=10, relative=0.1, numel=CHUNK + 100)
    (chip if parent == "chip" else chat)[CHUNK + 7] = value
    with pytest.raises(TensorNotFinite, match=f"{parent} parent: tensor w holds {value} at flat position {CHUNK + 7}"):
        interpolate(chip, chat, 0.6, FLOAT32, name="w")


def test_largest_floats_do_not_overflow_the_sums() -> None:
    chip = np.full(4, 3e38, FLOAT32)
    merged, arc = interpolate(chip, np.full(4, 1e-38, FLOAT32), 0.5, FLOAT32)
    assert arc.chip_norm == pytest.approx(6e38)
    np.testing.assert_allclose(merged, math.sqrt(3.0), rtol=1e-4, atol=0)


def test_cancelling_terms_are_added_in_float64() -> None:
    chip, chat = np.array([-1.0, 3e-4], FLOAT32), np.array([1.0, 0.0], FLOAT32)
    arc = find_arc(measure(chip, chat), 0.6, "w")
    assert arc.chip > 1000  # two large terms whose difference is the result
    assert norm(interpolate(chip, chat, 0.6, FLOAT32)[0]) == pytest.approx(1.0, rel=1e-6)
