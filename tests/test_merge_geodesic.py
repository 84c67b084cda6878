"""The mathematics of the merge against fifty-digit arithmetic, its properties, and every degenerate case by name."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merge.errors import TensorNotFinite, TensorsOpposite
from merge.geodesic import CHUNK, OPPOSITE_TOLERANCE, Sums, find_arc, find_theta, interpolate, measure

LAMS = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.6, 0.75, 0.9, 1.0])
INNER_LAMS = st.floats(0.01, 0.99)
SEEDS = st.integers(0, 2**32 - 1)
RELATIVE_DIFFERENCES = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0)


def pair(seed: int, relative: float, numel: int = 60, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """A random tensor and one that differs from it by about `relative`."""
    generator = torch.Generator().manual_seed(seed)
    chat = torch.randn(numel, generator=generator, dtype=torch.float64)
    chip = chat + relative * torch.randn(numel, generator=generator, dtype=torch.float64)
    return chip.to(dtype), chat.to(dtype)


def golden(chip: torch.Tensor, chat: torch.Tensor, lam: float) -> tuple[list[Any], Any]:
    """(merged values, theta) with fifty digits, by the textbook formula: arccos of the dot product, and no chords."""
    with mpmath.workdps(50):
        c, i = ([mpmath.mpf(x) for x in t.double().reshape(-1).tolist()] for t in (chip, chat))
        lam = mpmath.mpf(lam)
        norm_c, norm_i = (mpmath.sqrt(mpmath.fsum(x * x for x in t)) for t in (c, i))
        theta = mpmath.acos(mpmath.fdot(c, i) / norm_c / norm_i)
        scale = norm_c**lam * norm_i ** (1 - lam) / mpmath.sin(theta)
        a, b = scale * mpmath.sin(lam * theta) / norm_c, scale * mpmath.sin((1 - lam) * theta) / norm_i
        return [a * x + b * y for x, y in zip(c, i, strict=True)], theta


def relative_error(result: torch.Tensor, expected: list[Any]) -> float:
    """|result - expected| / |expected|, in fifty digits."""
    with mpmath.workdps(50):
        error = mpmath.sqrt(mpmath.fsum((mpmath.mpf(x) - y) ** 2 for x, y in zip(result.double().reshape(-1).tolist(), expected, strict=True)))
        return float(error / mpmath.sqrt(mpmath.fsum(y * y for y in expected)))


@pytest.mark.parametrize("relative", RELATIVE_DIFFERENCES)
@pytest.mark.parametrize("lam", [0.1, 0.6, 0.95])
def test_result_agrees_with_fifty_digits(relative: float, lam: float) -> None:
    chip, chat = pair(seed=1, relative=relative)
    merged, arc = interpolate(chip, chat, lam, torch.float32)
    expected, theta = golden(chip, chat, lam)
    assert relative_error(merged, expected) < 2e-7
    assert arc.theta == pytest.approx(float(theta), rel=1e-6)


@pytest.mark.parametrize("relative", RELATIVE_DIFFERENCES)
def test_theta_of_tiny_differences_is_not_lost(relative: float) -> None:
    chip, chat = pair(seed=2, relative=relative, numel=1000)
    _, theta = golden(chip, chat, 0.5)
    assert find_theta(measure(chip, chat)) == pytest.approx(float(theta), rel=1e-6)
    in_float32 = torch.arccos(torch.clamp(torch.dot(chip / chip.norm(), chat / chat.norm()), -1, 1)).item()
    if relative <= 1e-4:  # the formula that this project does not use
        assert abs(in_float32 - float(theta)) > 0.1 * float(theta)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_dtypes_agree_with_fifty_digits_to_their_rounding(dtype: torch.dtype) -> None:
    chip, chat = pair(seed=3, relative=0.05, dtype=dtype)
    expected, _ = golden(chip, chat, 0.6)
    assert relative_error(interpolate(chip, chat, 0.6, torch.float32)[0], expected) < 2e-7
    assert relative_error(interpolate(chip, chat, 0.6, dtype)[0], expected) < torch.finfo(dtype).eps / 2


@pytest.mark.parametrize("angle_from_opposite", [2e-4, 1e-3, 0.1])
def test_nearly_opposite_directions_keep_their_digits(angle_from_opposite: float) -> None:
    chat = torch.tensor([1.0, 0.0, 0.0])
    chip = torch.tensor([-math.cos(angle_from_opposite), math.sin(angle_from_opposite), 0.0])
    expected, _ = golden(chip, chat, 0.6)
    assert relative_error(interpolate(chip, chat, 0.6, torch.float32)[0], expected) < 1e-6


@pytest.mark.parametrize("scale", [1e-12, 1e-4, 1e4, 1e12])
def test_lopsided_norms_keep_their_angle(scale: float) -> None:
    chip, chat = pair(seed=4, relative=1.0)
    chip = chip * scale
    expected, theta = golden(chip, chat, 0.3)
    merged, arc = interpolate(chip, chat, 0.3, torch.float32)
    assert arc.theta == pytest.approx(float(theta), rel=1e-9)
    assert relative_error(merged, expected) < 1e-6


@settings(max_examples=1000, deadline=None)
@given(SEEDS, st.sampled_from(RELATIVE_DIFFERENCES), st.sampled_from([torch.float32, torch.float16, torch.bfloat16]))
def test_lam_one_returns_chip_and_lam_zero_chat_to_the_last_bit(seed: int, relative: float, dtype: torch.dtype) -> None:
    chip, chat = pair(seed, relative, dtype=dtype)
    chip[0], chat[0] = -0.0, 0.0
    chip[1], chat[1] = 0.0, -0.0
    for lam, parent in ((1.0, chip), (0.0, chat)):
        merged, _ = interpolate(chip, chat, lam, dtype)
        assert bytes(merged.view(torch.uint8).tolist()) == bytes(parent.view(torch.uint8).tolist())


@settings(max_examples=1000, deadline=None)
@given(SEEDS, st.sampled_from(RELATIVE_DIFFERENCES), LAMS, st.floats(-3, 3))
def test_norm_is_the_weighted_geometric_mean(seed: int, relative: float, lam: float, exponent: float) -> None:
    chip, chat = pair(seed, relative)
    chip = chip * 10.0**exponent
    merged, _ = interpolate(chip, chat, lam, torch.float32)
    expected = chip.double().norm() ** lam * chat.double().norm() ** (1 - lam)
    assert merged.double().norm().item() == pytest.approx(expected.item(), rel=3e-7)


@settings(max_examples=1000, deadline=None)
@given(SEEDS, st.sampled_from(RELATIVE_DIFFERENCES), INNER_LAMS)
def test_merge_is_symmetric(seed: int, relative: float, lam: float) -> None:
    chip, chat = pair(seed, relative)
    one, _ = interpolate(chip, chat, lam, torch.float32)
    other, _ = interpolate(chat, chip, 1 - lam, torch.float32)
    assert torch.linalg.vector_norm(one - other) <= 3e-7 * torch.linalg.vector_norm(one)


@settings(max_examples=1000, deadline=None)
@given(SEEDS, st.sampled_from([1e-6, 1e-5, 1e-4]), INNER_LAMS)
def test_small_angles_give_the_linear_average(seed: int, relative: float, lam: float) -> None:
    chip, chat = pair(seed, relative)
    merged, arc = interpolate(chip, chat, lam, torch.float32)
    linear = lam * chip.double() + (1 - lam) * chat.double()
    assert arc.branch == "geodesic"
    assert torch.linalg.vector_norm(merged - linear) <= (3e-7 + relative**2) * torch.linalg.vector_norm(linear)


@settings(max_examples=50, deadline=None)
@given(SEEDS, INNER_LAMS)
def test_result_lies_between_the_parents_on_the_sphere(seed: int, lam: float) -> None:
    chip, chat = pair(seed, relative=1.0)
    merged, arc = interpolate(chip, chat, lam, torch.float32)
    assert arc.theta is not None
    assert find_theta(measure(merged, chat)) == pytest.approx(lam * arc.theta, rel=1e-5)
    assert find_theta(measure(merged, chip)) == pytest.approx((1 - lam) * arc.theta, rel=1e-5)


def test_pieces_do_not_show_in_the_result() -> None:
    chip, chat = pair(seed=5, relative=0.1, numel=CHUNK + 1000)
    whole = measure(chip, chat)
    pieces = Sums.total(measure(chip[s : s + 999], chat[s : s + 999]) for s in range(0, chip.numel(), 999))
    assert pieces.difference == pytest.approx(whole.difference, rel=1e-13)
    assert interpolate(chip, chat, 0.6, torch.float32)[1].theta == pytest.approx(find_theta(whole), rel=1e-13)


def test_shape_is_kept() -> None:
    chip, chat = pair(seed=6, relative=0.1)
    assert interpolate(chip.reshape(3, 4, 5), chat.reshape(3, 4, 5), 0.6, torch.bfloat16)[0].shape == (3, 4, 5)


@pytest.mark.parametrize("lam", [0.0, 0.6, 1.0])
def test_equal_tensors_are_returned_untouched(lam: float) -> None:
    chip, _ = pair(seed=7, relative=0.1)
    merged, arc = interpolate(chip, chip.clone(), lam, torch.float32)
    assert arc.branch == "equal"
    assert arc.theta == 0.0
    assert torch.equal(merged, chip)


@pytest.mark.parametrize(("lam", "expected"), [(0.0, [3.0, 4.0]), (0.6, [0.0, 0.0]), (1.0, [0.0, 0.0])])
def test_zero_chip_gives_zero_except_at_lam_zero(lam: float, expected: list[float]) -> None:
    merged, arc = interpolate(torch.zeros(2), torch.tensor([3.0, 4.0]), lam, torch.float32)
    assert (arc.branch, arc.theta, arc.chip_norm, arc.chat_norm) == ("zero", None, 0.0, 5.0)
    assert merged.tolist() == expected


@pytest.mark.parametrize(("lam", "expected"), [(0.0, [0.0, 0.0]), (0.6, [0.0, 0.0]), (1.0, [3.0, 4.0])])
def test_zero_chat_gives_zero_except_at_lam_one(lam: float, expected: list[float]) -> None:
    merged, arc = interpolate(torch.tensor([3.0, 4.0]), torch.zeros(2), lam, torch.float32)
    assert arc.branch == "zero"
    assert merged.tolist() == expected


def test_two_zero_tensors_are_equal_and_have_no_angle() -> None:
    merged, arc = interpolate(torch.zeros(3), torch.zeros(3), 0.6, torch.bfloat16)
    assert (arc.branch, arc.theta) == ("equal", None)
    assert merged.tolist() == [0, 0, 0]


def test_zero_is_the_limit_of_ever_smaller_tensors() -> None:
    chat = torch.tensor([3.0, 4.0])
    norms = [interpolate(torch.tensor([s, 0.0]), chat, 0.6, torch.float32)[0].norm().item() for s in (1e-10, 1e-20, 1e-30)]
    assert norms[0] > norms[1] > norms[2]
    assert norms[2] < 1e-16


def test_opposite_tensors_have_no_unique_geodesic() -> None:
    chip, _ = pair(seed=8, relative=0.1)
    with pytest.raises(TensorsOpposite, match=r"tensor layers\.3.*opposite.*lam = 0 or 1"):
        interpolate(chip, -2 * chip, 0.6, torch.float32, name="layers.3")


def test_opposite_tensors_return_a_parent_at_lam_zero_and_one() -> None:
    chip, _ = pair(seed=8, relative=0.1)
    for lam, parent in ((1.0, chip), (0.0, -2 * chip)):
        merged, arc = interpolate(chip, -2 * chip, lam, torch.float32)
        assert arc.branch == "opposite"
        assert arc.theta == pytest.approx(math.pi, abs=OPPOSITE_TOLERANCE)
        assert torch.equal(merged, parent)


@pytest.mark.parametrize("factor", [0.5, 2.0, 1024.0])
def test_parallel_tensors_take_the_geometric_mean(factor: float) -> None:
    chip, _ = pair(seed=9, relative=0.1)
    merged, arc = interpolate(chip, factor * chip, 0.5, torch.float32)
    assert arc.theta == pytest.approx(0.0, abs=1e-7)
    torch.testing.assert_close(merged, math.sqrt(factor) * chip, rtol=3e-7, atol=0)


def test_scalars_merge_by_magnitude_and_refuse_opposite_signs() -> None:
    merged, arc = interpolate(torch.tensor(8.0), torch.tensor(2.0), 0.5, torch.float32)
    assert merged.shape == ()
    assert merged.item() == pytest.approx(4.0)
    assert arc.branch == "geodesic"
    with pytest.raises(TensorsOpposite):
        interpolate(torch.tensor(8.0), torch.tensor(-2.0), 0.5, torch.float32)


def test_empty_tensors_are_equal() -> None:
    merged, arc = interpolate(torch.empty(0, 4), torch.empty(0, 4), 0.6, torch.bfloat16)
    assert merged.shape == (0, 4)
    assert arc.branch == "equal"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("parent", ["chip", "chat"])
def test_not_finite_tensors_are_refused_with_name_and_position(value: float, parent: str) -> None:
    chip, chat = pair(seed=10, relative=0.1, numel=CHUNK + 100)
    (chip if parent == "chip" else chat)[CHUNK + 7] = value
    with pytest.raises(TensorNotFinite, match=f"{parent} parent: tensor w holds {value} at flat position {CHUNK + 7}"):
        interpolate(chip, chat, 0.6, torch.float32, name="w")


def test_largest_floats_do_not_overflow_the_sums() -> None:
    chip = torch.full((4,), 3e38)
    merged, arc = interpolate(chip, torch.full((4,), 1e-38), 0.5, torch.float32)
    assert arc.chip_norm == pytest.approx(6e38)
    torch.testing.assert_close(merged, torch.full((4,), math.sqrt(3.0)), rtol=1e-4, atol=0)


def test_cancelling_terms_are_added_in_float64() -> None:
    chip, chat = torch.tensor([-1.0, 3e-4]), torch.tensor([1.0, 0.0])
    arc = find_arc(measure(chip, chat), 0.6, "w")
    assert arc.chip > 1000  # two large terms whose difference is the result
    assert interpolate(chip, chat, 0.6, torch.float32)[0].norm().item() == pytest.approx(1.0, rel=1e-6)
