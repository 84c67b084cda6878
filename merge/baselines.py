"""The methods that ChipAlign is compared with, on pieces of tensors. Pure mathematics: it reads no files and knows no models.

    linear           W = lam W_c + (1 - lam) W_i
    soup             the same at lam = 0.5: a uniform model soup (arXiv 2203.05482)
    task_arithmetic  W = B + scale (lam d_c + (1 - lam) d_i),  d_c = W_c - B,  d_i = W_i - B  (arXiv 2212.04089)
    ties             trim, elect, merge (arXiv 2306.01708): of each d its `density` of largest magnitude is kept, each element elects
                     the sign of lam d_c + (1 - lam) d_i, and those d that have it are averaged with the weights lam and 1 - lam
    dare             each element of d is kept with probability `density` and divided by it, the rest dropped (arXiv 2311.03099);
                     then as task_arithmetic, or, if `elect`, signs and average as in ties
    della            as dare with elect, but the larger an element is among its row, the likelier it is kept: with probabilities from
                     density - epsilon to density + epsilon by rank, and divided by its own (arXiv 2406.11617)

B is the model that both parents were trained from. At scale = 1 task arithmetic is linear: the base cancels out; scale = 2 at lam = 0.5
is the plain sum of both differences. mergekit calls lam and 1 - lam `weight`, scale `lambda`, and rescales DARE and DELLA to the
l1 norm of d instead of by the probability, which is the papers'.

What is dropped depends on seed, parent, tensor name and the element's position alone: not on threads, pieces or order.

    mix = prepare("ties", lam=0.6, name="t", shape=(4, 8), parameters=Parameters(), differences=lambda side: iter([delta[side]]))
    merged = combine_base(chip, chat, base, mix, start=0, dtype=torch.bfloat16)
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from merge.errors import TensorNotFinite
from merge.geodesic import Arc, Sums, find_theta
from merge.recipe import Parameters

Side = Literal["chip", "chat"]
# The differences W_side - B of one tensor in float32, piece by piece and in any order; called anew for each pass.
Differences = Callable[[Side], Iterator[torch.Tensor]]
ELECTING = ("ties", "della")  # and dare, where it is told to
LOW_BITS = 16  # of a float32's 31 bits of magnitude; the upper 15 and these are counted in two passes


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
    row: int  # pieces must start and end at multiples of it: DELLA ranks within rows
    seed: int
    chip_threshold: float = 0.0  # TIES keeps what is at least as large
    chat_threshold: float = 0.0


def find_line(sums: Sums, lam: float) -> Arc:
    """The coefficients of linear and soup, with the same record of norms and angle as a geodesic has."""
    chip_norm, chat_norm = math.sqrt(sums.chip), math.sqrt(sums.chat)
    theta = find_theta(sums) if chip_norm and chat_norm else None
    return Arc(lam, 1 - lam, chip_norm, chat_norm, theta, "linear")


def prepare(method: str, lam: float, name: str, shape: tuple[int, ...], parameters: Parameters, differences: Differences) -> Mix:
    """What one tensor's pieces need. TIES reads the differences twice for its exact thresholds; the other methods read nothing here.

    shape: of the tensor, or of the part of it that both parents have. DELLA's rows are its last dimension; a vector is one row.
    """
    numel = math.prod(shape)
    density = parameters.find_density(method)
    row = (shape[-1] if len(shape) > 1 else numel) if method == "della" else 1
    elect = method in ELECTING or (method == "dare" and parameters.elect)
    chip = chat = 0.0
    if method == "ties" and numel:
        kept = max(1, int(density * numel))
        chip, chat = (find_threshold(side, differences, kept) for side in ("chip", "chat"))
    return Mix(method, name, lam, parameters.scale, elect, density, parameters.epsilon, max(row, 1), parameters.seed, chip, chat)


def find_threshold(side: Side, differences: Differences, kept: int) -> float:
    """The `kept`-th largest magnitude of a difference, exactly, in two passes and 0.8 MB whatever the tensor's size.

    The bits of a non-negative float32, read as a whole number, are in the order of the numbers. So the first pass counts their upper
    half, which names the bin that the answer is in, and the second counts the lower half within that bin.
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


def _magnitude_bits(side: Side, differences: Differences) -> Iterator[np.ndarray]:
    for piece in differences(side):
        yield piece.float().abs().reshape(-1).view(torch.int32).numpy()


def _find_bin(counts: np.ndarray, kept: int) -> tuple[int, int]:
    """The bin that holds the kept-th largest, and its place from the top within the bin."""
    from_top = np.cumsum(counts[::-1])
    place = int(np.searchsorted(from_top, kept))
    return counts.size - 1 - place, kept - (int(from_top[place - 1]) if place else 0)


def combine_base(chip: torch.Tensor, chat: torch.Tensor, base: torch.Tensor, mix: Mix, start: int, dtype: torch.dtype) -> torch.Tensor:
    """Merge three flat pieces of equal size that begin at element `start` of the tensor, in float32, rounded once to `dtype`.

    Raises TensorNotFinite where the base model holds NaN or Inf; the parents are the caller's to check, whose sums show it.
    """
    origin = base.reshape(-1).float()
    if not bool(torch.isfinite(origin).all()):
        at = int(torch.nonzero(~torch.isfinite(origin))[0].item())
        raise TensorNotFinite(f"base model: tensor {mix.name} holds {origin[at].item()} at flat position {start + at}. Repair or replace that model")
    d_chip = sparsify(chip.reshape(-1).float() - origin, mix, "chip", start)
    d_chat = sparsify(chat.reshape(-1).float() - origin, mix, "chat", start)
    mixed = d_chip.mul(mix.lam).add_(d_chat, alpha=1 - mix.lam)
    if mix.elect:
        mixed = average_elected(d_chip, d_chat, mixed, mix.lam)
    return mixed.mul_(mix.scale).add_(origin).to(dtype)  # in mixed, which is ours; origin may be the caller's own tensor


def sparsify(difference: torch.Tensor, mix: Mix, side: Side, start: int) -> torch.Tensor:
    """What the method keeps of a difference; zero elsewhere."""
    if mix.method == "ties":
        threshold = mix.chip_threshold if side == "chip" else mix.chat_threshold
        return difference.where(difference.abs() >= threshold, 0.0)
    if mix.method == "dare" and mix.density < 1:
        keep = draw_uniforms(mix, side, start, difference.numel()) < mix.density
        return difference.div(mix.density).where(keep, 0.0)
    if mix.method == "della" and mix.density < 1:
        chances = find_chances(difference.reshape(-1, mix.row), mix.density, mix.epsilon).reshape(-1)
        keep = draw_uniforms(mix, side, start, difference.numel()) < chances
        return difference.div(chances).where(keep, 0.0)
    return difference


def find_chances(rows: torch.Tensor, density: float, epsilon: float) -> torch.Tensor:
    """DELLA's probability of being kept, per element: density - epsilon for the smallest magnitude of a row, density + epsilon for its largest.

    rows: (number of rows, row length). Equal magnitudes rank in the order of their positions. A row of one element gets `density`.
    """
    length = rows.shape[1]
    if length < 2:
        return torch.full_like(rows, density)
    ranks = rows.abs().argsort(dim=1, stable=True).argsort(dim=1)
    return ranks.float().mul_(2 * epsilon / (length - 1)).add_(density - epsilon)


def average_elected(d_chip: torch.Tensor, d_chat: torch.Tensor, weighted_sum: torch.Tensor, lam: float) -> torch.Tensor:
    """TIES' disjoint merge: the average, with the weights lam and 1 - lam, of those differences that have the sign of the weighted sum.

    A weighted sum of zero elects plus, as mergekit has it: the positive one of two that cancel out. Zeros have no part in the average.
    """
    elected = torch.where(weighted_sum >= 0, 1.0, -1.0)
    total, weight = torch.zeros_like(weighted_sum), torch.zeros_like(weighted_sum)
    for difference, share in ((d_chip, lam), (d_chat, 1 - lam)):
        agrees = difference.sign() == elected
        total.add_(difference.where(agrees, 0.0), alpha=share)
        weight.add_(agrees, alpha=share)
    return total.div_(weight.where(weight > 0, 1.0))


def draw_uniforms(mix: Mix, side: Side, start: int, count: int) -> torch.Tensor:
    """Numbers from 0 to 1 for the elements `start` to `start + count`: Philox (Salmon et al. 2011) counts up from any position.

    One step of the counter gives four numbers. numpy keeps the streams of its bit generators the same across versions.
    """
    key = int.from_bytes(hashlib.sha256(f"{mix.seed}/{side}/{mix.name}".encode()).digest()[:16], "little")
    first = start // 4
    raw = np.random.Philox(key=key, counter=first).random_raw((-(-(start + count) // 4) - first) * 4)
    uniforms = (raw[start - first * 4 :][:count] >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    return torch.from_numpy(uniforms)
