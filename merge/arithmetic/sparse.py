"""What TIES, DARE and DELLA do with each number, in numpy; merge.arithmetic.sparse_kernels does the same compiled.

merge.arithmetic.baselines says which of it a method takes, and in which order.

    kept = NumpySparse().keep_large(difference, threshold)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from merge.arithmetic.dtypes import FLOAT32, FLOAT64, Array

LOW_BITS = 16  # of a float32's 31 bits of magnitude; one pass counts the upper 15, another these
RAW_SHIFT, UNIFORM = 40, 2.0**-24  # 24 bits of a random number as one from 0 to 1, which float32 holds exactly


class Sparse(Protocol):
    """Computes with flat pieces of float32. Its methods may be called from several threads, and change no argument."""

    def subtract(self, piece: Array, base: Array) -> Array:
        """piece - base of any two floats of at most 32 bits, in float32."""
        ...

    def count_upper(self, difference: Array) -> Array:
        """How many magnitudes have each value of their upper bits."""
        ...

    def count_lower(self, difference: Array, upper: int) -> Array:
        """Of those whose upper bits are `upper`, how many have each value of the lower ones."""
        ...

    def keep_large(self, difference: Array, threshold: float) -> Array:
        """What is at least as large as the threshold; zero elsewhere."""
        ...

    def draw_raw(self, key: int, start: int, count: int) -> Array:
        """Random numbers of 64 bits from place `start` on of the stream of a key of 128 bits.

        Philox (Salmon et al. 2011) counts up from any position; one step of the counter gives four numbers.
        """
        ...

    def keep_drawn(self, difference: Array, raw: Array, chances: Array | float) -> Array:
        """What is drawn with its chance, divided by it; zero elsewhere. raw: random numbers of 64 bits."""
        ...

    def find_chances(self, rows: Array, density: float, epsilon: float) -> Array:
        """DELLA's probability of being kept, per element, by the rank of its magnitude in the row."""
        ...

    def mix(self, differences: Sequence[Array], shares: Sequence[float], *, elect: bool) -> Array:
        """The sum of differences, each times its share; or, of those that have its sign, the average (`elect`)."""
        ...

    def add_to(self, origin: Array, mixed: Array, scale: float) -> Array:
        """origin + scale * mixed."""
        ...


class NumpySparse:
    """A Sparse on every machine."""

    def subtract(self, piece: Array, base: Array) -> Array:
        """As Sparse.subtract."""
        difference: Array = piece.astype(FLOAT32, copy=False) - base.astype(FLOAT32, copy=False)
        return difference

    def count_upper(self, difference: Array) -> Array:
        """As Sparse.count_upper."""
        bits = np.abs(difference).view(np.int32)
        return np.bincount(bits >> LOW_BITS, minlength=1 << (31 - LOW_BITS))

    def count_lower(self, difference: Array, upper: int) -> Array:
        """As Sparse.count_lower."""
        bits = np.abs(difference).view(np.int32)
        return np.bincount(bits[bits >> LOW_BITS == upper] & ((1 << LOW_BITS) - 1), minlength=1 << LOW_BITS)

    def keep_large(self, difference: Array, threshold: float) -> Array:
        """As Sparse.keep_large."""
        return np.where(np.abs(difference) >= np.float32(threshold), difference, np.float32(0))

    def draw_raw(self, key: int, start: int, count: int) -> Array:
        """As Sparse.draw_raw: numpy keeps the streams of its bit generators the same across versions."""
        first, ahead = divmod(start, 4)
        raw: Array = np.random.Philox(key=key, counter=first).random_raw(ahead + count)
        return raw[ahead:]

    def keep_drawn(self, difference: Array, raw: Array, chances: Array | float) -> Array:
        """As Sparse.keep_drawn."""
        own = np.float32(chances) if isinstance(chances, float) else chances
        return np.where(to_uniforms(raw) < own, difference / own, np.float32(0))

    def find_chances(self, rows: Array, density: float, epsilon: float) -> Array:
        """As Sparse.find_chances."""
        return find_chances(rows, density, epsilon)

    def mix(self, differences: Sequence[Array], shares: Sequence[float], *, elect: bool) -> Array:
        """As Sparse.mix."""
        mixed = differences[0] * np.float32(shares[0])
        for difference, share in zip(differences[1:], shares[1:], strict=True):
            mixed = add_scaled(mixed, difference, share)
        return average_elected(list(zip(differences, shares, strict=True)), mixed) if elect else mixed

    def add_to(self, origin: Array, mixed: Array, scale: float) -> Array:
        """As Sparse.add_to."""
        total: Array = mixed * np.float32(scale) + origin
        return total


def to_uniforms(raw: Array) -> Array:
    """Random numbers of 64 bits as numbers from 0 to 1."""
    uniforms: Array = (raw >> np.uint64(RAW_SHIFT)).astype(FLOAT32) * np.float32(UNIFORM)
    return uniforms


def add_scaled(total: Array, difference: Array, factor: float) -> Array:
    """total + factor * difference in float32, rounded once: in float64 the product of two float32 numbers is exact."""
    return (total + difference.astype(FLOAT64) * float(np.float32(factor))).astype(FLOAT32)


def find_chances(rows: Array, density: float, epsilon: float) -> Array:
    """DELLA's probability of being kept, per element, by the rank of its magnitude in the row.

    It is density - epsilon for the smallest, density + epsilon for the largest. rows: (number of rows, row length).
    Equal magnitudes rank in the order of their positions. A row of one element gets `density`.
    """
    length = rows.shape[1]
    if length < 2:
        return np.full_like(rows, density)
    ranks = np.abs(rows).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    chances: Array = ranks.astype(FLOAT32) * np.float32(2 * epsilon / (length - 1)) + np.float32(density - epsilon)
    return chances


def average_elected(differences: Sequence[tuple[Array, float]], weighted_sum: Array) -> Array:
    """TIES' disjoint merge: the average of the differences that have the sign of the weighted sum.

    differences: each with its weight. A weighted sum of zero elects plus, as in mergekit: of two that cancel out, the
    positive one. Zeros are left out of the average.
    """
    elected = np.where(weighted_sum >= 0, np.float32(1), np.float32(-1))
    total, weight = np.zeros_like(weighted_sum), np.zeros_like(weighted_sum)
    for difference, share in differences:
        agrees = np.sign(difference) == elected
        total = add_scaled(total, np.where(agrees, difference, np.float32(0)), share)
        weight += agrees * np.float32(share)
    average: Array = total / np.where(weight > 0, weight, np.float32(1))
    return average
