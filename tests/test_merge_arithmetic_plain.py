"""numpy's arithmetic beside exact fractions: every dtype, degenerate coefficients, and what is not finite."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from merge.arithmetic.dtypes import BFLOAT16, DTYPES, FLOAT16, FLOAT32, FLOAT64, FLOATS, Array
from merge.arithmetic.geodesic import CANCELLING, Arc
from merge.arithmetic.plain import NumpyArithmetic
from tests.rows import for_each

OURS = NumpyArithmetic()
SMALL = arrays(np.float32, 5, elements=st.floats(-8, 8, width=16))


def arc(chip: float, chat: float) -> Arc:
    return Arc(chip, chat, 1.0, 1.0, 0.1, "geodesic")


def exact(values: Array) -> list[Fraction]:
    return [Fraction(float(value)) for value in values]


@settings(max_examples=50)
@given(SMALL, SMALL)
def test_the_sums_are_those_of_exact_fractions(chip: Array, chat: Array) -> None:
    sums = OURS.measure(chip, chat)
    c, i = exact(chip), exact(chat)
    assert sums.chip == pytest.approx(float(sum(x * x for x in c)), rel=1e-15)
    assert sums.chat == pytest.approx(float(sum(x * x for x in i)), rel=1e-15)
    assert sums.difference == pytest.approx(float(sum((x - y) ** 2 for x, y in zip(c, i, strict=True))), rel=1e-15)
    assert sums.product == pytest.approx(float(sum(x * y for x, y in zip(c, i, strict=True))), rel=1e-15, abs=1e-12)
    assert OURS.square(chip) == pytest.approx(sums.chip, rel=1e-15)


@for_each("name", FLOATS)
def test_parents_that_differ_in_their_last_bit_have_that_difference(name: str) -> None:
    chip = np.ones(4, DTYPES[name])
    chat = chip.copy()
    chat[2] = np.nextafter(chip[2:3], np.array([2], chip.dtype))[0]
    step = float(chat[2]) - 1.0
    assert step > 0
    assert OURS.measure(chip, chat).difference == step * step


@for_each(
    ("dtype", "chip", "chat", "count"),
    [
        ("I64", [2**60, 2**60 + 1, 5], [2**60 + 1, 2**60 + 1, 5], 1),  # alike as float64, and not the same
        ("U8", [0, 255, 7], [255, 0, 7], 2),
        ("BOOL", [True, False, True], [True, True, True], 1),
        ("I8", [-128, 127, 0], [-128, 127, 0], 0),
    ],
)
def test_of_whole_numbers_those_that_differ_are_counted(
    dtype: str, chip: list[int], chat: list[int], count: int
) -> None:
    sums = OURS.measure(np.array(chip, DTYPES[dtype]), np.array(chat, DTYPES[dtype]))
    assert sums.difference == count


def test_an_empty_piece_has_sums_of_zero_and_merges_to_nothing() -> None:
    empty = np.empty(0, BFLOAT16)
    sums = OURS.measure(empty, empty)
    assert (sums.chip, sums.chat, sums.difference, sums.product) == (0, 0, 0, 0)
    for coefficients in (arc(0.6, 0.4), arc(0.0, 1.0), arc(9.0, -8.0)):
        assert OURS.combine(empty, empty, coefficients, BFLOAT16).shape == (0,)


@for_each("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_shows_in_the_sums_without_a_warning(value: float) -> None:
    chip, chat = np.array([1.0, value], FLOAT16), np.ones(2, FLOAT16)
    assert not math.isfinite(OURS.measure(chip, chat).chip)
    assert not math.isfinite(OURS.measure(chat, chip).chat)
    assert not math.isfinite(OURS.square(chip))


@settings(max_examples=50)
@given(SMALL, SMALL, st.floats(0.05, 0.95))
def test_both_products_and_the_sum_are_rounded_to_float32_each(chip: Array, chat: Array, lam: float) -> None:
    found = OURS.combine(chip, chat, arc(lam, 1 - lam), FLOAT32)
    a, b = np.float32(lam), np.float32(1 - lam)
    assert found.tolist() == [float(np.float32(c * a) + np.float32(i * b)) for c, i in zip(chip, chat, strict=True)]


@for_each("name", FLOATS)
def test_a_whole_parent_comes_through_bit_by_bit(name: str) -> None:
    one = np.array([0.1, -0.0, 3.0, 1e-5], DTYPES[name])
    other = np.array([9, 9, 9, 9], DTYPES[name])
    assert OURS.combine(one, other, arc(1.0, 0.0), one.dtype).tobytes() == one.tobytes()
    assert OURS.combine(other, one, arc(0.0, 1.0), one.dtype).tobytes() == one.tobytes()


def test_a_parent_that_counts_for_nothing_may_hold_anything() -> None:
    chip, chat = np.array([1.0, 2.0], FLOAT32), np.array([np.inf, np.nan], FLOAT32)
    assert OURS.combine(chip, chat, arc(0.5, 0.0), FLOAT32).tolist() == [0.5, 1.0]
    assert OURS.combine(chat, chip, arc(0.0, 0.5), FLOAT32).tolist() == [0.5, 1.0]


def test_large_terms_that_cancel_keep_their_last_digits() -> None:
    chip, chat = np.array([1.0], FLOAT32), np.array([1 + 2**-23], FLOAT32)
    far = arc(1000.5, -1000.0)
    assert far.is_cancelling
    expected = float(np.float32(1000.5 - 1000.0 * (1 + 2**-23)))
    assert float(OURS.combine(chip, chat, far, FLOAT32)[0]) == expected
    narrow = np.float32(1000.5) * chip[0] - np.float32(1000.0) * chat[0]
    assert float(narrow) != expected  # what float32 alone would have made of it


@for_each(("value", "cancels"), [(CANCELLING, False), (-CANCELLING, False), (4.01, True), (-4.01, True)])
def test_terms_cancel_beyond_four_of_either_sign(value: float, cancels: bool) -> None:
    assert arc(value, 0.5).is_cancelling is cancels
    assert arc(0.5, value).is_cancelling is cancels


@for_each(("dtype", "largest"), [(FLOAT16, 65504.0), (BFLOAT16, 3.3895313892515355e38)])
def test_what_is_too_large_for_the_output_becomes_infinite_quietly(dtype: np.dtype[np.generic], largest: float) -> None:
    wide = np.array([largest, 3.4e38, -3.4e38], FLOAT32)
    narrow = OURS.narrow(wide, dtype).astype(FLOAT64)
    assert narrow[0] == largest
    assert np.isinf(narrow[1:]).all()
    assert narrow[1] > 0 > narrow[2]


def test_float64_is_widened_to_float32_and_what_is_so_already_is_not_copied() -> None:
    wide = np.array([1 + 2**-40, 2.0])
    assert OURS.widen(wide).dtype == FLOAT32
    assert OURS.widen(wide).tolist() == [1.0, 2.0]
    own = np.ones(3, FLOAT32)
    assert OURS.widen(own) is own
    assert OURS.narrow(own, FLOAT32) is own


def test_pieces_of_two_dtypes_are_combined_in_float32() -> None:
    chip, chat = np.array([1.0, 2.0], BFLOAT16), np.array([3.0, 4.0], FLOAT16)
    found = OURS.combine(chip, chat, arc(0.5, 0.5), BFLOAT16)
    assert found.dtype == BFLOAT16
    assert found.tolist() == [2.0, 3.0]
    assert OURS.measure(chip, chat).product == 11.0
