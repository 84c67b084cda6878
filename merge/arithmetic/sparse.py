"""What TIES, DARE and DELLA do with each number, in numpy; merge.arithmetic.sparse_kernels does the same compiled.

merge.arithmetic.baselines says which of it a method takes, and in which order.

    sparse.subtract(piece, base, difference)
    sparse.keep_large(difference, threshold)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from merge.arithmetic.dtypes import FLOAT32, FLOAT64, Array

LOW_BITS = 16  # of a float32's 31 bits of magnitude; one pass counts the upper 15, another these
UPPER, LOWER = 1 << (31 - LOW_BITS), 1 << LOW_BITS  # values that they have
RAW_SHIFT, UNIFORM = 40, 2.0**-24  # 24 bits of a random number as one from 0 to 1, which float32 holds exactly


class Sparse(Protocol):
    """Computes with flat pieces. Its methods may be called from several threads.

    Pieces of parents and base are floats of at most 32 bits, and stay as they are. A difference is in float32.
    """

    def is_finite(self, piece: Array) -> bool:
        """Whether a piece holds neither NaN nor Inf."""
        ...

    def subtract(self, piece: Array, base: Array, difference: Array) -> None:
        """Put piece - base into `difference`."""
        ...

    def count_upper(self, piece: Array, base: Array, counts: Array) -> None:
        """Add to `counts`, shape (UPPER,), how many magnitudes of piece - base have each value of their upper bits."""
        ...

    def count_lower(self, piece: Array, base: Array, upper: int, counts: Array) -> None:
        """Of those whose upper bits are `upper`, add how many have each value of the lower ones, shape (LOWER,)."""
        ...

    def keep_large(self, difference: Array, threshold: float) -> None:
        """Put zero where a magnitude is below the threshold."""
        ...

    def keep_drawn(self, difference: Array, key: int, start: int, chances: Array | float) -> None:
        """Divide what is drawn by its chance, and put zero elsewhere.

        Number n is drawn where the number at place start + n of the key's stream of random numbers is below its chance:
        see draw_uniforms.
        """
        ...

    def find_chances(self, rows: Array, density: float, epsilon: float) -> Array:
        """DELLA's probability of being kept, per element, by the rank of its magnitude in the row."""
        ...

    def mix(self, differences: Array, shares: Sequence[float], *, elect: bool) -> Array:
        """The sum of differences, each times its share; or, of those that have its sign, the average (`elect`).

        differences: shape (sides, elements).
        """
        ...

    def add_to(self, base: Array, mixed: Array, scale: float, total: Array) -> None:
        """Put base + scale * mixed, computed in float32 and rounded to the dtype of `total`, into that."""
        ...


class NumpySparse:
    """A Sparse on every machine."""

    def is_finite(self, piece: Array) -> bool:
        """As Sparse.is_finite."""
        return bool(np.isfinite(piece.astype(FLOAT32, copy=False)).all())

    def subtract(self, piece: Array, base: Array, difference: Array) -> None:
        """As Sparse.subtract."""
        np.subtract(piece.astype(FLOAT32, copy=False), base.astype(FLOAT32, copy=False), out=difference)

    def count_upper(self, piece: Array, base: Array, counts: Array) -> None:
        """As Sparse.count_upper."""
        counts += np.bincount(self._find_sizes(piece, base) >> LOW_BITS, minlength=UPPER)

    def count_lower(self, piece: Array, base: Array, upper: int, counts: Array) -> None:
        """As Sparse.count_lower."""
        sizes = self._find_sizes(piece, base)
        counts += np.bincount(sizes[sizes >> LOW_BITS == upper] & (LOWER - 1), minlength=LOWER)

    def _find_sizes(self, piece: Array, base: Array) -> Array:
        """The magnitudes of piece - base by their bits, whose order is that of the numbers."""
        difference = np.empty(piece.size, FLOAT32)
        self.subtract(piece, base, difference)
        return np.abs(difference).view(np.int32)

    def keep_large(self, difference: Array, threshold: float) -> None:
        """As Sparse.keep_large."""
        difference[~(np.abs(difference) >= np.float32(threshold))] = 0

    def keep_drawn(self, difference: Array, key: int, start: int, chances: Array | float) -> None:
        """As Sparse.keep_drawn."""
        own = np.float32(chances) if isinstance(chances, float) else chances
        drawn = draw_uniforms(key, start, difference.size) < own
        with np.errstate(divide="ignore"):  # what has no chance is not drawn
            difference[:] = np.where(drawn, difference / own, np.float32(0))

    def find_chances(self, rows: Array, density: float, epsilon: float) -> Array:
        """As Sparse.find_chances."""
        return find_chances(rows, density, epsilon)

    def mix(self, differences: Array, shares: Sequence[float], *, elect: bool) -> Array:
        """As Sparse.mix."""
        mixed = differences[0] * np.float32(shares[0])
        for difference, share in zip(differences[1:], shares[1:], strict=True):
            mixed = add_scaled(mixed, difference, share)
        return average_elected(list(zip(differences, shares, strict=True)), mixed) if elect else mixed

    def add_to(self, base: Array, mixed: Array, scale: float, total: Array) -> None:
        """As Sparse.add_to."""
        total[:] = mixed * np.float32(scale) + base.astype(FLOAT32, copy=False)


def draw_uniforms(key: int, start: int, count: int) -> Array:
    """Random numbers from 0 to 1 in float32, from place `start` on of the stream of a key of 128 bits.

    Philox (Salmon et al. 2011) counts up from any position; one step of the counter gives four numbers. numpy keeps the
    streams of its bit generators the same across versions.
    """
    first, ahead = divmod(start, 4)
    raw = np.random.Philox(key=key, counter=first).random_raw(ahead + count)[ahead:]
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
