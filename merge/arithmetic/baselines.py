"""The methods that ChipAlign is compared with, on pieces of tensors.

Pure mathematics: it reads no files and knows no models.

    linear           W = lam W_c + (1 - lam) W_i
    soup             the same at lam = 0.5: a uniform model soup (arXiv 2203.05482)
    task_arithmetic  W = B + scale (lam d_c + (1 - lam) d_i),  d_c = W_c - B,  d_i = W_i - B  (arXiv 2212.04089)
    ties             trim, elect, merge (arXiv 2306.01708): of each d its `density` of largest magnitude is kept, each
                     element elects the sign of lam d_c + (1 - lam) d_i, and those d that have it are averaged with the
                     weights lam and 1 - lam
    dare             each element of d is kept with probability `density` and divided by it, the rest dropped
                     (arXiv 2311.03099); then as task_arithmetic, or, if `elect`, signs and average as in ties
    della            as dare with elect, but the larger an element is among its row, the likelier it is kept: with
                     probabilities from density - epsilon to density + epsilon by rank, and divided by its own
                     (arXiv 2406.11617)

B is the model that both parents were trained from. At scale = 1 task arithmetic is linear: the base cancels out; scale
= 2 at lam = 0.5 is the plain sum of both differences. mergekit calls lam and 1 - lam `weight`, scale `lambda`, and
rescales DARE and DELLA to the l1 norm of d instead of by the probability, which is the papers'.

What is dropped depends on seed, parent, tensor name and the element's position alone: not on threads, pieces or order.

    differences = lambda side: iter([(0, delta[side])])
    mix = prepare("ties", lam=0.6, name="t", shape=(4, 8), parameters=Parameters(), differences=differences)
    merged = combine_base(chip, chat, base, mix, 0, BFLOAT16, find_arithmetic("cpu"))
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from merge.arithmetic.dtypes import FLOAT32, FLOAT64, Array, DType
from merge.arithmetic.geodesic import QUIET, Arc, Arithmetic, Sums, find_theta
from merge.errors import TensorNotFinite
from merge.recipe import Parameters

Side = Literal["chip", "chat"]
SIDES: tuple[Side, ...] = ("chip", "chat")
# Gives the differences W_side - B of one tensor, called anew for each pass: (start in the tensor, piece in float32).
Differences = Callable[[Side], Iterator[tuple[int, Array]]]
ELECTING = ("ties", "della")  # and dare, where `elect` is set
LOW_BITS = 16  # of a float32's 31 bits of magnitude; one pass counts the upper 15, another these


@dataclass(frozen=True)
class Mix:
    """All that the pieces of one tensor need to be mixed with a base."""

    method: str
    name: str
    lam: float
    scale: float
    elect: bool
    density: float
    epsilon: float
    row: int  # elements that DELLA ranks together; pieces start and end at multiples of it
    seed: int
    # DELLA's for a vector, which is one row in many pieces: by side and start of a piece
    chances: Mapping[tuple[Side, int], Array] | None = None
    chip_threshold: float = 0.0  # TIES keeps magnitudes of at least this
    chat_threshold: float = 0.0


def find_line(sums: Sums, lam: float) -> Arc:
    """The coefficients of linear and soup, with the norms and angle that a geodesic records too."""
    chip_norm, chat_norm = math.sqrt(sums.chip), math.sqrt(sums.chat)
    theta = find_theta(sums) if chip_norm and chat_norm else None
    return Arc(lam, 1 - lam, chip_norm, chat_norm, theta, "linear")


def prepare(
    method: str, lam: float, name: str, shape: tuple[int, ...], parameters: Parameters, differences: Differences
) -> Mix:
    """What the pieces of one tensor need.

    TIES reads the differences twice for its exact thresholds; DELLA reads those of a vector once, to rank them.

    shape: of the tensor, or of the part of it that both parents have. DELLA's rows are its last dimension; a vector is
    one row.
    """
    numel = math.prod(shape)
    density = parameters.find_density(method)
    elect = method in ELECTING or (method == "dare" and parameters.elect)
    row = max(shape[-1], 1) if len(shape) > 1 else 1
    mix = Mix(method, name, lam, parameters.scale, elect, density, parameters.epsilon, row, parameters.seed)
    if method == "ties" and numel:
        kept = max(1, int(density * numel))
        chip, chat = (find_threshold(side, differences, kept) for side in SIDES)
        return replace(mix, chip_threshold=chip, chat_threshold=chat)
    if method == "della" and numel and len(shape) < 2:
        return replace(
            mix,
            chances={
                (side, start): chances for side in SIDES for start, chances in rank_vector(side, differences, mix)
            },
        )
    return mix


def rank_vector(side: Side, differences: Differences, mix: Mix) -> Iterator[tuple[int, Array]]:
    """DELLA's probabilities for a vector, whose pieces are ranked together: (start, the piece's part of them)."""
    starts, pieces = zip(*differences(side), strict=True)
    chances = find_chances(np.concatenate(pieces).reshape(1, -1), mix.density, mix.epsilon).reshape(-1)
    ends = np.cumsum([piece.size for piece in pieces])
    return zip(starts, np.split(chances, ends[:-1]), strict=True)


def find_threshold(side: Side, differences: Differences, kept: int) -> float:
    """The `kept`-th largest magnitude of a difference, exactly, in two passes and 0.8 MB whatever the tensor's size.

    The bits of a non-negative float32, read as a whole number, are in the order of the numbers. The first pass counts
    their upper half, which gives the bin of the answer; the second counts the lower half within that bin.
    """
    counts = np.zeros(1 << (31 - LOW_BITS), np.int64)
    for bits in _magnitude_bits(side, differences):
        counts += np.bincount(bits >> LOW_BITS, minlength=counts.size)
    high, rest = _find_bin(counts, kept)
    counts = np.zeros(1 << LOW_BITS, np.int64)
    for bits in _magnitude_bits(side, differences):
        counts += np.bincount(bits[bits >> LOW_BITS == high] & ((1 << LOW_BITS) - 1), minlength=counts.size)
    low, _ = _find_bin(counts, rest)
    return float(np.array(high << LOW_BITS | low, np.uint32).view(np.float32))


def _magnitude_bits(side: Side, differences: Differences) -> Iterator[Array]:
    for _, piece in differences(side):
        yield np.abs(piece).view(np.int32)


def _find_bin(counts: Array, kept: int) -> tuple[int, int]:
    """The bin that holds the kept-th largest, and its place from the top within the bin."""
    from_top = np.cumsum(counts[::-1])
    place = int(np.searchsorted(from_top, kept))
    return counts.size - 1 - place, kept - (int(from_top[place - 1]) if place else 0)


@QUIET
def combine_base(
    chip: Array, chat: Array, base: Array, mix: Mix, start: int, dtype: DType, arithmetic: Arithmetic
) -> Array:
    """Merge three flat pieces of equal size that begin at element `start`, in float32, rounded once to `dtype`.

    arithmetic: only widens and narrows. The caller checks the parents, whose sums show NaN and Inf.

    Raises TensorNotFinite: the base model holds NaN or Inf.
    """
    origin = arithmetic.widen(base)
    if not np.isfinite(origin).all():
        at = int(np.argmin(np.isfinite(origin)))
        raise TensorNotFinite(
            f"base model: tensor {mix.name} holds {origin[at]} at flat position {start + at}. Repair or replace that "
            "model"
        )
    d_chip = sparsify(arithmetic.widen(chip) - origin, mix, "chip", start)
    d_chat = sparsify(arithmetic.widen(chat) - origin, mix, "chat", start)
    mixed = add_scaled(d_chip * np.float32(mix.lam), d_chat, 1 - mix.lam)
    if mix.elect:
        mixed = average_elected(d_chip, d_chat, mixed, mix.lam)
    return arithmetic.narrow(mixed * np.float32(mix.scale) + origin, dtype)


def add_scaled(total: Array, difference: Array, factor: float) -> Array:
    """total + factor * difference in float32, rounded once: in float64 the product of two float32 numbers is exact."""
    return (total + difference.astype(FLOAT64) * float(np.float32(factor))).astype(FLOAT32)


def sparsify(difference: Array, mix: Mix, side: Side, start: int) -> Array:
    """What the method keeps of a difference; zero elsewhere."""
    zero = np.float32(0)
    if mix.method == "ties":
        threshold = np.float32(mix.chip_threshold if side == "chip" else mix.chat_threshold)
        return np.where(np.abs(difference) >= threshold, difference, zero)
    if mix.method == "dare" and mix.density < 1:
        keep = draw_uniforms(mix, side, start, difference.size) < mix.density
        return np.where(keep, difference / np.float32(mix.density), zero)
    if mix.method == "della" and mix.density < 1:
        rows = difference.reshape(-1, mix.row)
        chances = mix.chances[side, start] if mix.chances else find_chances(rows, mix.density, mix.epsilon).reshape(-1)
        keep = draw_uniforms(mix, side, start, difference.size) < chances
        return np.where(keep, difference / chances, zero)
    return difference


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


def average_elected(d_chip: Array, d_chat: Array, weighted_sum: Array, lam: float) -> Array:
    """TIES' disjoint merge: the average of the differences that have the sign of the weighted sum.

    The weights are lam and 1 - lam. A weighted sum of zero elects plus, as in mergekit: of two that cancel out, the
    positive one. Zeros are left out of the average.
    """
    elected = np.where(weighted_sum >= 0, np.float32(1), np.float32(-1))
    total, weight = np.zeros_like(weighted_sum), np.zeros_like(weighted_sum)
    for difference, share in ((d_chip, lam), (d_chat, 1 - lam)):
        agrees = np.sign(difference) == elected
        total = add_scaled(total, np.where(agrees, difference, np.float32(0)), share)
        weight += agrees * np.float32(share)
    average: Array = total / np.where(weight > 0, weight, np.float32(1))
    return average


def draw_uniforms(mix: Mix, side: Side, start: int, count: int) -> Array:
    """Numbers from 0 to 1 for the elements `start` to `start + count`.

    Philox (Salmon et al. 2011) counts up from any position; one step of the counter gives four numbers. numpy keeps the
    streams of its bit generators the same across versions.
    """
    key = int.from_bytes(hashlib.sha256(f"{mix.seed}/{side}/{mix.name}".encode()).digest()[:16], "little")
    first = start // 4
    raw = np.random.Philox(key=key, counter=first).random_raw((-(-(start + count) // 4) - first) * 4)
    uniforms: Array = (raw[start - first * 4 :][:count] >> np.uint64(40)).astype(FLOAT32) * np.float32(2.0**-24)
    return uniforms
