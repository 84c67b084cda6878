"""The mean on the sphere against one computed on whole vectors in float64, and against the geodesic of two."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merge.arithmetic.choice import find_arithmetic
from merge.arithmetic.dtypes import BFLOAT16, FLOAT32, FLOAT64, Array
from merge.arithmetic.geodesic import Sums, find_arc
from merge.arithmetic.mean import combine_all, find_cosines, find_mean
from merge.errors import TensorsOpposite

ARITHMETIC = find_arithmetic("cpu")


def make_tensors(count: int, spread: float, size: int = 50) -> list[Array]:
    """Tensors around one direction, with different norms; spread: how far from it, as a tangent."""
    dice = np.random.default_rng(count)
    middle = dice.standard_normal(size)
    return [
        (k + 1) * (middle + spread * np.linalg.norm(middle) * _unit(dice.standard_normal(size))) for k in range(count)
    ]


def _unit(vector: Array) -> Array:
    unit: Array = vector / np.linalg.norm(vector)
    return unit


def mean_by_descent(tensors: list[Array], weights: list[float]) -> Array:
    """The definition, on whole vectors: down the gradient of the squared angles, and the weighted geometric norm."""
    shares = np.array(weights) / sum(weights)
    units = [_unit(tensor) for tensor in tensors]
    mean = _unit(units[0] + 0.01 * units[-1])
    for _ in range(4000):
        pull = np.zeros_like(mean)
        for share, unit in zip(shares, units, strict=True):
            across = unit - (unit @ mean) * mean
            if (length := np.linalg.norm(across)) > 0:
                pull += share * math.atan2(float(length), float(unit @ mean)) * across / length
        mean = _unit(mean + 0.3 * pull)
    return np.asarray(mean * np.exp(sum(shares * np.log([np.linalg.norm(tensor) for tensor in tensors]))))


def merge(tensors: list[Array], weights: list[float]) -> Array:
    norms, cosines = find_cosines(len(tensors), lambda i, j: ARITHMETIC.measure(tensors[i], tensors[j]))
    return np.asarray(
        sum(c * w for c, w in zip(find_mean(norms, cosines, weights, "t").coefficients, tensors, strict=True))
    )


@pytest.mark.parametrize("spread", [1e-4, 0.05, 0.5, 1.5])
def test_the_mean_is_where_the_squared_angles_are_least(spread: float) -> None:
    for count in (3, 5):
        tensors, weights = make_tensors(count, spread), [0.5, *(0.2 + 0.1 * k for k in range(count - 1))]
        np.testing.assert_allclose(merge(tensors, weights), mean_by_descent(tensors, weights), rtol=1e-8, atol=1e-9)


@given(lam=st.floats(0.01, 0.99), spread=st.floats(1e-6, 3))
def test_the_mean_of_two_is_the_geodesic(lam: float, spread: float) -> None:
    chip, chat = make_tensors(2, spread)
    arc = find_arc(ARITHMETIC.measure(chip, chat), lam, "t")
    np.testing.assert_allclose(merge([chip, chat], [lam, 1 - lam]), arc.chip * chip + arc.chat * chat, rtol=1e-9)


def test_weights_count_by_their_ratio_and_what_weighs_nothing_is_left_out() -> None:
    tensors = make_tensors(4, 0.3)
    np.testing.assert_allclose(merge(tensors, [1, 2, 1, 0]), merge(tensors[:3], [0.25, 0.5, 0.25]), rtol=1e-12)
    np.testing.assert_allclose(merge([*tensors[:3], np.zeros(50)], [1, 2, 1, 0]), merge(tensors[:3], [1, 2, 1]))


def test_a_zero_tensor_that_weighs_something_makes_the_mean_zero() -> None:
    norms, cosines = find_cosines(3, lambda i, j: Sums(4.0, 0.0 if j == 2 else 4.0, 1.0, 3.5))
    mean = find_mean(norms, cosines, [1, 1, 1], "t")
    assert (mean.coefficients, mean.branch) == ((0.0, 0.0, 0.0), "zero")


def test_directions_without_one_mean_are_refused_by_name() -> None:
    one, other, third = np.array([1.0, 0.0]), np.array([-0.5, 0.75**0.5]), np.array([-0.5, -(0.75**0.5)])
    with pytest.raises(TensorsOpposite, match="tensor t: the parents point in directions so far apart"):
        merge([one, other, third], [1, 1, 1])


def test_pieces_are_added_up_and_rounded_once() -> None:
    pieces = [piece.astype(FLOAT32) for piece in make_tensors(3, 0.2)]
    exact = sum(c * piece.astype(FLOAT64) for c, piece in zip((0.3, -0.2, 0.9), pieces, strict=True))
    for dtype in (FLOAT32, BFLOAT16):
        merged = combine_all(pieces, (0.3, -0.2, 0.9), dtype, ARITHMETIC)
        assert np.array_equal(merged, np.asarray(exact).astype(FLOAT32).astype(dtype))
    pieces[1][0] = np.nan
    assert np.isfinite(combine_all(pieces, (0.3, 0.0, 0.9), FLOAT32, ARITHMETIC)).all()
