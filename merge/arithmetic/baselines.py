"""The methods that ChipAlign is compared with, on pieces of tensors.

Pure mathematics: it reads no files and knows no models.

    linear           W = lam W_c + (1 - lam) W_i
    soup             the same at lam = 0.5: a uniform model soup (arXiv 2203.05482)
    slerp            W = sin(lam theta) / sin(theta) W_c + sin((1 - lam) theta) / sin(theta) W_i: along the arc as the
                     geodesic, but the norms are not restored; with a base the same of d_c and d_i, added to B
    task_arithmetic  W = B + scale (lam d_c + (1 - lam) d_i),  d_c = W_c - B,  d_i = W_i - B  (arXiv 2212.04089)
    ties             trim, elect, merge (arXiv 2306.01708): of each d its `density` of largest magnitude is kept, each
                     element elects the sign of lam d_c + (1 - lam) d_i, and those d that have it are averaged with the
                     weights lam and 1 - lam
    dare             each element of d is kept with probability `density` and divided by it, the rest dropped
                     (arXiv 2311.03099); then as task_arithmetic, or, if `elect`, signs and average as in ties
    della            as dare with elect, but the larger an element is among its row, the likelier it is kept: with
                     probabilities from density - epsilon to density + epsilon by rank, and divided by its own
                     (arXiv 2406.11617)

lam and 1 - lam are the shares of two parents; with weights these stand in their place, for any number of parents.

B is the model that the parents were trained from. At scale = 1 task arithmetic is linear: the base cancels out; scale
= 2 at lam = 0.5 is the plain sum of both differences. mergekit calls lam and 1 - lam `weight`, scale `lambda`, and
rescales DARE and DELLA to the l1 norm of d instead of by the probability, which is the papers'.

What is dropped depends on seed, parent, tensor name and the element's position alone: not on threads, pieces or order.

    pieces, shares = {"chip": c, "chat": i, "base": b}, {"chip": 0.6, "chat": 0.4}
    mix = prepare("ties", shares, {}, name="t", shape=(4, 8), parameters=Parameters(),
                  look=lambda function: iter([function(0, pieces)]), sparse=NumpySparse())
    merged = combine_base(pieces, mix, 0, BFLOAT16, NumpySparse())
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from merge.arithmetic.dtypes import Array, DType
from merge.arithmetic.geodesic import OPPOSITE_TOLERANCE, QUIET, Arc, Sums, advise_opposite, find_share, find_theta
from merge.arithmetic.sparse import LOW_BITS, LOWER, UPPER, Sparse
from merge.errors import TensorNotFinite, TensorsOpposite
from merge.recipe import Parameters

Pieces = Mapping[str, Array]  # of the base under "base", and of each parent: "chip", "chat", "third", ...
# One pass over one tensor: what a function gives of each piece, in order; it gets the piece's start in the tensor
Look = Callable[[Callable[[int, Pieces], Any]], Iterator[Any]]
# Elements combined at a time: their differences stay in a core's second cache
BLOCK = 1 << 16
ELECTING = ("ties", "della")  # and dare, where `elect` is set


@dataclass(frozen=True)
class Mix:
    """All that the pieces of one tensor need to be mixed with a base."""

    method: str
    name: str
    shares: Mapping[str, float]  # by side, the first being added first
    scale: float
    elect: bool
    densities: Mapping[str, float]  # by side
    epsilon: float
    row: int  # elements that DELLA ranks together; pieces start and end at multiples of it
    keys: Mapping[str, int]  # of the random numbers, by side
    # DELLA's for a vector, which is one row in many pieces: by side and start of a piece
    chances: Mapping[tuple[str, int], Array] | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)  # by side: TIES keeps magnitudes of at least this


def find_line(sums: Sums, lam: float) -> Arc:
    """The coefficients of linear and soup, with the norms and angle that a geodesic records too."""
    chip_norm, chat_norm = math.sqrt(sums.chip), math.sqrt(sums.chat)
    theta = find_theta(sums) if chip_norm and chat_norm else None
    return Arc(lam, 1 - lam, chip_norm, chat_norm, theta, "linear")


def find_slerp(sums: Sums, lam: float, name: str) -> Arc:
    """The coefficients of slerp: the arc's shares of the tensors as they are, so that norms bend with directions.

    Where a tensor is zero or both are equal there is no arc, and the shares are those of the linear mean.

    Raises TensorsOpposite: no unique arc joins the directions.
    """
    line = find_line(sums, lam)
    if line.theta is None or sums.difference == 0.0:
        return line
    if math.pi - line.theta < OPPOSITE_TOLERANCE and lam not in (0.0, 1.0):
        raise TensorsOpposite(
            f"tensor {name}: the directions are opposite, so no unique arc joins them. {advise_opposite(name)}"
        )
    return replace(line, chip=find_share(lam, line.theta), chat=find_share(1 - lam, line.theta), branch="slerp")


def prepare(
    method: str,
    shares: Mapping[str, float],
    densities: Mapping[str, float],
    name: str,
    shape: tuple[int, ...],
    parameters: Parameters,
    look: Look,
    sparse: Sparse,
) -> Mix:
    """What the pieces of one tensor need.

    TIES looks at them twice for its exact thresholds; DELLA looks once at those of a vector, to rank them.

    shares: of each side, in the order in which they are added up. densities: of those sides that have their own.

    shape: of the tensor, or of the part of it that both parents have. DELLA's rows are its last dimension; a vector is
    one row.
    """
    numel = math.prod(shape)
    density = {side: densities.get(side, parameters.find_density(method)) for side in shares}
    elect = method in ELECTING or (method == "dare" and parameters.elect)
    row = max(shape[-1], 1) if len(shape) > 1 else 1
    keys = {side: find_key(parameters.seed, side, name) for side in shares}
    mix = Mix(method, name, shares, parameters.scale, elect, density, parameters.epsilon, row, keys)
    if method == "ties" and numel:
        kept = {side: max(1, int(density[side] * numel)) for side in shares}
        return replace(mix, thresholds=find_thresholds(kept, look, sparse))
    if method == "della" and numel and len(shape) < 2:
        return replace(mix, chances=rank_vector(mix, look, sparse))
    return mix


def find_difference(pieces: Pieces, side: str, sparse: Sparse) -> Array:
    """A parent's piece minus the base's."""
    difference = np.empty(pieces["base"].size, np.float32)
    sparse.subtract(pieces[side], pieces["base"], difference)
    return difference


def rank_vector(mix: Mix, look: Look, sparse: Sparse) -> dict[tuple[str, int], Array]:
    """DELLA's probabilities for a vector, whose pieces are ranked together, by side and start of a piece."""
    found = list(
        look(lambda start, pieces: (start, {side: find_difference(pieces, side, sparse) for side in mix.shares}))
    )
    chances: dict[tuple[str, int], Array] = {}
    for side in mix.shares:
        row = np.concatenate([differences[side] for _, differences in found]).reshape(1, -1)
        ends = np.cumsum([differences[side].size for _, differences in found])
        parts = np.split(sparse.find_chances(row, mix.densities[side], mix.epsilon).reshape(-1), ends[:-1])
        chances |= {(side, start): part for (start, _), part in zip(found, parts, strict=True)}
    return chances


def find_thresholds(kept: Mapping[str, int], look: Look, sparse: Sparse) -> dict[str, float]:
    """Of each side the kept-th largest magnitude of its difference, exactly, in two passes and bounded memory.

    The bits of a non-negative float32, read as a whole number, are in the order of the numbers. The first pass counts
    their upper half, which gives the bin of the answer; the second counts the lower half within that bin.
    """

    def count_upper(side: str, pieces: Pieces, counts: Array) -> None:
        """Of a piece."""
        sparse.count_upper(pieces[side], pieces["base"], counts)

    def count_lower(side: str, pieces: Pieces, counts: Array) -> None:
        """Of a piece."""
        sparse.count_lower(pieces[side], pieces["base"], uppers[side][0], counts)

    counts = _add_up(kept, UPPER, look, count_upper)
    uppers = {side: _find_bin(counts[side], count) for side, count in kept.items()}
    counts = _add_up(kept, LOWER, look, count_lower)
    found = {}
    for side, (upper, rest) in uppers.items():
        lower, _ = _find_bin(counts[side], rest)
        found[side] = float(np.array(upper << LOW_BITS | lower, np.uint32).view(np.float32))
    return found


def _add_up(
    sides: Iterable[str], values: int, look: Look, count: Callable[[str, Pieces, Array], None]
) -> dict[str, Array]:
    """The counts of all pieces, by side: shape (values,). Each thread adds up its own first."""
    own, every = threading.local(), [{side: np.zeros(values, np.int64) for side in sides}]

    def add(_: int, pieces: Pieces) -> None:
        """A piece to what this thread has counted."""
        counts: dict[str, Array] | None = getattr(own, "counts", None)
        if counts is None:
            counts = own.counts = {side: np.zeros(values, np.int64) for side in sides}
            every.append(counts)
        for side, of_side in counts.items():
            count(side, pieces, of_side)

    for _ in look(add):
        pass
    return {side: np.sum([counts[side] for counts in every], axis=0) for side in every[0]}


def _find_bin(counts: Array, kept: int) -> tuple[int, int]:
    """The bin that holds the kept-th largest, and its place from the top within the bin."""
    from_top = np.cumsum(counts[::-1])
    place = int(np.searchsorted(from_top, kept))
    return counts.size - 1 - place, kept - (int(from_top[place - 1]) if place else 0)


@QUIET
def combine_base(pieces: Pieces, mix: Mix, start: int, dtype: DType, sparse: Sparse) -> Array:
    """Merge flat pieces of equal size that begin at element `start`, in float32, rounded once to `dtype`.

    The caller checks the parents, whose sums show NaN and Inf.

    Raises TensorNotFinite: the base model holds NaN or Inf.
    """
    base = pieces["base"]
    check_base(base, mix.name, start, sparse)
    step = max(BLOCK // mix.row, 1) * mix.row
    merged, memory = np.empty(base.size, dtype), np.empty(len(mix.shares) * min(step, base.size), np.float32)
    for at in range(0, base.size, step):
        here = slice(at, min(at + step, base.size))
        differences = memory[: len(mix.shares) * (here.stop - at)].reshape(len(mix.shares), -1)
        for side, difference in zip(mix.shares, differences, strict=True):
            sparse.subtract(pieces[side][here], base[here], difference)
            sparsify(difference, mix, side, start, at, sparse)
        mixed = sparse.mix(differences, list(mix.shares.values()), elect=mix.elect)
        sparse.add_to(base[here], mixed, mix.scale, merged[here])
    return merged


def check_base(base: Array, name: str, start: int, sparse: Sparse) -> None:
    """Raise TensorNotFinite where a piece of the base model, which begins at element `start`, holds NaN or Inf."""
    if not sparse.is_finite(base):
        wide = base.astype(np.float32)
        at = int(np.argmin(np.isfinite(wide)))
        raise TensorNotFinite(
            f"base model: tensor {name} holds {wide[at]} at flat position {start + at}. Repair or replace that model"
        )


def sparsify(difference: Array, mix: Mix, side: str, start: int, at: int, sparse: Sparse) -> None:
    """Put zero where the method keeps nothing of a difference, which begins at element `at` of the piece at `start`."""
    if mix.method == "ties":
        sparse.keep_large(difference, mix.thresholds[side])
    density = mix.densities[side]
    if mix.method not in ("dare", "della") or density >= 1:
        return
    chances: Array | float = density
    if mix.chances is not None:
        chances = mix.chances[side, start][at : at + difference.size]
    elif mix.method == "della":
        chances = sparse.find_chances(difference.reshape(-1, mix.row), density, mix.epsilon).reshape(-1)
    sparse.keep_drawn(difference, mix.keys[side], start + at, chances)


def find_key(seed: int, side: str, name: str) -> int:
    """The key of the random numbers of one parent's tensor."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{side}/{name}".encode()).digest()[:16], "little")
