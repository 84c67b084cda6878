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

    differences = lambda side, function: iter([function(0, delta[side])])
    shares = {"chip": 0.6, "chat": 0.4}
    mix = prepare("ties", shares, {}, name="t", shape=(4, 8), parameters=Parameters(), differences=differences,
                  sparse=NumpySparse())
    merged = combine_base({"chip": c, "chat": i, "base": b}, mix, 0, BFLOAT16, find_arithmetic("cpu"))
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from merge.arithmetic.dtypes import Array, DType
from merge.arithmetic.geodesic import OPPOSITE_TOLERANCE, QUIET, Arc, Arithmetic, Sums, find_share, find_theta
from merge.arithmetic.sparse import LOW_BITS, Sparse
from merge.errors import TensorNotFinite, TensorsOpposite
from merge.recipe import Parameters

# One pass over the differences W_side - B of one tensor: what a function gives of each piece, in order; it gets the
# piece's start in the tensor and the piece in float32. Sides are "chip", "chat", and of further parents "third", ...
Differences = Callable[[str, Callable[[int, Array], Any]], Iterator[Any]]
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
    seed: int
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
            f"tensor {name}: the directions are opposite, so no unique arc joins them. Use method linear, or check "
            "that both parents come from one base model"
        )
    return replace(line, chip=find_share(lam, line.theta), chat=find_share(1 - lam, line.theta), branch="slerp")


def prepare(
    method: str,
    shares: Mapping[str, float],
    densities: Mapping[str, float],
    name: str,
    shape: tuple[int, ...],
    parameters: Parameters,
    differences: Differences,
    sparse: Sparse,
) -> Mix:
    """What the pieces of one tensor need.

    TIES reads the differences twice for its exact thresholds; DELLA reads those of a vector once, to rank them.

    shares: of each side, in the order in which they are added up. densities: of those sides that have their own.

    shape: of the tensor, or of the part of it that both parents have. DELLA's rows are its last dimension; a vector is
    one row.
    """
    numel = math.prod(shape)
    density = {side: densities.get(side, parameters.find_density(method)) for side in shares}
    elect = method in ELECTING or (method == "dare" and parameters.elect)
    row = max(shape[-1], 1) if len(shape) > 1 else 1
    mix = Mix(method, name, shares, parameters.scale, elect, density, parameters.epsilon, row, parameters.seed)
    if method == "ties" and numel:
        return replace(
            mix,
            thresholds={
                side: find_threshold(side, differences, max(1, int(density[side] * numel)), sparse) for side in shares
            },
        )
    if method == "della" and numel and len(shape) < 2:
        return replace(
            mix,
            chances={
                (side, start): chances
                for side in shares
                for start, chances in rank_vector(side, differences, mix, sparse)
            },
        )
    return mix


def rank_vector(side: str, differences: Differences, mix: Mix, sparse: Sparse) -> Iterator[tuple[int, Array]]:
    """DELLA's probabilities for a vector, whose pieces are ranked together: (start, the piece's part of them)."""
    starts, pieces = zip(*differences(side, lambda start, piece: (start, piece)), strict=True)
    chances = sparse.find_chances(np.concatenate(pieces).reshape(1, -1), mix.densities[side], mix.epsilon).reshape(-1)
    ends = np.cumsum([piece.size for piece in pieces])
    return zip(starts, np.split(chances, ends[:-1]), strict=True)


def find_threshold(side: str, differences: Differences, kept: int, sparse: Sparse) -> float:
    """The `kept`-th largest magnitude of a difference, exactly, in two passes and 0.8 MB whatever the tensor's size.

    The bits of a non-negative float32, read as a whole number, are in the order of the numbers. The first pass counts
    their upper half, which gives the bin of the answer; the second counts the lower half within that bin.
    """
    counts = np.zeros(1 << (31 - LOW_BITS), np.int64)
    for of_piece in differences(side, lambda _, piece: sparse.count_upper(piece)):
        counts += of_piece
    high, rest = _find_bin(counts, kept)
    counts = np.zeros(1 << LOW_BITS, np.int64)
    for of_piece in differences(side, lambda _, piece: sparse.count_lower(piece, high)):
        counts += of_piece
    low, _ = _find_bin(counts, rest)
    return float(np.array(high << LOW_BITS | low, np.uint32).view(np.float32))


def _find_bin(counts: Array, kept: int) -> tuple[int, int]:
    """The bin that holds the kept-th largest, and its place from the top within the bin."""
    from_top = np.cumsum(counts[::-1])
    place = int(np.searchsorted(from_top, kept))
    return counts.size - 1 - place, kept - (int(from_top[place - 1]) if place else 0)


@QUIET
def combine_base(pieces: Mapping[str, Array], mix: Mix, start: int, dtype: DType, arithmetic: Arithmetic) -> Array:
    """Merge flat pieces of equal size that begin at element `start`, in float32, rounded once to `dtype`.

    pieces: of the base under "base", and of each side of the mix.

    arithmetic: only widens and narrows. The caller checks the parents, whose sums show NaN and Inf.

    Raises TensorNotFinite: the base model holds NaN or Inf.
    """
    sparse, base = arithmetic.sparse, pieces["base"]
    origin = widen_base(base, mix.name, start, arithmetic)
    differences = [sparsify(sparse.subtract(pieces[side], base), mix, side, start, sparse) for side in mix.shares]
    mixed = sparse.mix(differences, list(mix.shares.values()), elect=mix.elect)
    return arithmetic.narrow(sparse.add_to(origin, mixed, mix.scale), dtype)


def widen_base(base: Array, name: str, start: int, arithmetic: Arithmetic) -> Array:
    """A piece of the base model in float32.

    Raises TensorNotFinite: it holds NaN or Inf.
    """
    origin = arithmetic.widen(base)
    if not np.isfinite(origin).all():
        at = int(np.argmin(np.isfinite(origin)))
        raise TensorNotFinite(
            f"base model: tensor {name} holds {origin[at]} at flat position {start + at}. Repair or replace that model"
        )
    return origin


def sparsify(difference: Array, mix: Mix, side: str, start: int, sparse: Sparse) -> Array:
    """What the method keeps of a difference; zero elsewhere."""
    if mix.method == "ties":
        return sparse.keep_large(difference, mix.thresholds[side])
    density = mix.densities[side]
    if mix.method not in ("dare", "della") or density >= 1:
        return difference
    raw = sparse.draw_raw(find_key(mix, side), start, difference.size)
    if mix.method == "dare":
        return sparse.keep_drawn(difference, raw, density)
    rows = difference.reshape(-1, mix.row)
    chances = mix.chances[side, start] if mix.chances else sparse.find_chances(rows, density, mix.epsilon).reshape(-1)
    return sparse.keep_drawn(difference, raw, chances)


def find_key(mix: Mix, side: str) -> int:
    """The key of the random numbers of one parent's tensor."""
    return int.from_bytes(hashlib.sha256(f"{mix.seed}/{side}/{mix.name}".encode()).digest()[:16], "little")
