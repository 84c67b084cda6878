"""The weighted mean of any number of tensors: of their directions on the sphere, and of their norms. Pure mathematics.

For W_1 ... W_n with norms n_k, unit directions u_k and weights w_k that sum to 1, the mean direction m minimises
sum_k w_k angle(m, u_k)^2 (Karcher 1977, "Riemannian center of mass"), and the scale is the geometric mean prod n_k^w_k.
With two tensors this is merge.arithmetic.geodesic's point at lam = w_1.

m lies in the span of the u_k, so only the cosines between them are needed, which one pass over the tensors gives:
nothing as large as a tensor is iterated on.

    mean = find_mean(norms=[2.0, 3.0, 2.5], cosines=cosines, weights=[0.5, 0.3, 0.2], name="t")
    merged = combine_all(pieces, mean.coefficients, BFLOAT16, arithmetic)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from merge.arithmetic.dtypes import FLOAT32, FLOAT64, Array, DType
from merge.arithmetic.geodesic import OPPOSITE_TOLERANCE, QUIET, Arithmetic, Branch, Sums, find_theta
from merge.errors import TensorsOpposite

STEPS = 200  # on the sphere; three suffice for angles below a degree
STILL = 1e-12  # radians: a shorter step moves no float32


@dataclass(frozen=True)
class Mean:
    """merged = sum of coefficients[k] * W_k."""

    coefficients: tuple[float, ...]
    branch: Branch


def find_cosines(count: int, measure_pair: Callable[[int, int], Sums]) -> tuple[list[float], Array]:
    """The norms of `count` tensors, and the cosines of the angles between them, shape (count, count).

    A tensor of zeros has no direction: its cosines are 0.
    """
    norms, cosines = [0.0] * count, np.eye(count)
    for i in range(count):
        for j in range(i + 1, count):
            sums = measure_pair(i, j)
            norms[i], norms[j] = math.sqrt(sums.chip), math.sqrt(sums.chat)
            cosines[i, j] = cosines[j, i] = math.cos(find_theta(sums)) if norms[i] and norms[j] else 0.0
    return norms, cosines


def find_mean(norms: Sequence[float], cosines: Array, weights: Sequence[float], name: str) -> Mean:
    """The coefficients of the mean. weights: from 0, not all 0; they are divided by their sum. `name` is for the error.

    What weighs nothing is left out. If a tensor that weighs something is zero, the geometric mean of the norms is zero.

    Raises TensorsOpposite: the directions have no one mean.
    """
    shares = np.asarray(weights, FLOAT64) / math.fsum(weights)
    [used] = np.nonzero(shares)
    if any(norms[k] == 0.0 for k in used):
        return Mean((0.0,) * len(norms), "zero")
    directions = np.zeros(len(norms))
    directions[used] = _find_direction(cosines[np.ix_(used, used)], shares[used], name)
    scale = math.exp(math.fsum(shares[k] * math.log(norms[k]) for k in used))
    return Mean(
        tuple(float(directions[k]) * scale / norms[k] if norms[k] else 0.0 for k in range(len(norms))), "geodesic"
    )


def _find_direction(cosines: Array, shares: Array, name: str) -> Array:
    """The mean direction in terms of the unit directions: steps along the mean pull, from the linear mean."""
    mean = _normalise(shares, cosines, name)
    for _ in range(STEPS):
        along = np.clip(cosines @ mean, -1.0, 1.0)  # cosines of the angles between the mean and each direction
        angles = np.arccos(along)
        if math.pi - float(angles.max()) < OPPOSITE_TOLERANCE:
            break
        pull = shares * np.where(angles > 0.0, angles / np.where(angles > 0.0, np.sin(angles), 1.0), 1.0)
        step = pull - (pull @ along) * mean
        length = math.sqrt(max(float(step @ cosines @ step), 0.0))
        if length < STILL:
            return mean
        mean = _normalise(math.cos(length) * mean + math.sin(length) / length * step, cosines, name)
    raise _no_mean(name)


def _normalise(direction: Array, cosines: Array, name: str) -> Array:
    square = float(direction @ cosines @ direction)
    if square < OPPOSITE_TOLERANCE**2:
        raise _no_mean(name)
    unit: Array = direction / math.sqrt(square)
    return unit


def _no_mean(name: str) -> TensorsOpposite:
    return TensorsOpposite(
        f"tensor {name}: the parents point in directions so far apart that they have no one mean on the sphere. Take "
        f'the chat parent\'s with exclude = ["{name}"], use method linear, or check that all come from one base model'
    )


@QUIET
def combine_all(pieces: Sequence[Array], coefficients: Sequence[float], dtype: DType, arithmetic: Arithmetic) -> Array:
    """The sum of coefficients[k] * pieces[k], added in float64 and rounded to `dtype`.

    A coefficient of zero drops its piece, whatever stands in it.
    """
    total = np.zeros(pieces[0].size, FLOAT64)
    for piece, factor in zip(pieces, coefficients, strict=True):
        if factor != 0.0:
            total += arithmetic.widen(piece).astype(FLOAT64) * factor
    return arithmetic.narrow(total.astype(FLOAT32), dtype)
