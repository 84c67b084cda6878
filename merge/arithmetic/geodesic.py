"""Geodesic interpolation of two tensors on the sphere (ChipAlign, arXiv 2412.19819, section 3). Pure mathematics.

It reads and writes no files and knows no models. W_c is the chip model's tensor, W_i the chat (instruct) model's:

    u = W_c / |W_c|,  v = W_i / |W_i|,  theta = angle(u, v)
    W = |W_c|^lam |W_i|^(1 - lam) * (sin(lam theta) / sin(theta) u  +  sin((1 - lam) theta) / sin(theta) v)

W is a W_c + b W_i with two numbers per tensor, so two passes are enough: `measure` for the sums that give a and b
(`find_arc`), `combine` for the result. Both work on any piece of a tensor, so a caller streams pieces that stay in
cache. An Arithmetic does what touches every number: numpy's (merge.arithmetic.plain), compiled loops
(merge.arithmetic.kernels) or a GPU's (merge.arithmetic.cuda); merge.arithmetic.choice finds one.

    merged, arc = interpolate(w_chip, w_chat, lam=0.6, dtype=BFLOAT16, arithmetic=find_arithmetic("cpu"))
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

import ml_dtypes
import numpy as np

from merge.arithmetic.dtypes import Array, DType
from merge.arithmetic.sparse import Sparse
from merge.errors import TensorNotFinite, TensorsOpposite

Branch = Literal["geodesic", "equal", "zero", "opposite", "copied", "linear", "slerp", "mixed"]

# Elements per piece: both parents' and the result's bfloat16 pieces are 1.5 MB and fit a core's second-level cache;
# smaller ones cost calls.
CHUNK = 1 << 18
# Directions closer than this to opposite, in radians, have no meaningful geodesic: rounding noise decides its way.
OPPOSITE_TOLERANCE = 1e-4
# Where one norm is this many times the other, D is little but that norm: only the dot product still holds the angle.
LOPSIDED = 16.0
# Coefficients above this mean that large terms cancel: float32 would lose the digits that are left, float64 keeps them.
CANCELLING = 4.0
# NaN and Inf show in the sums, and are refused by name
QUIET = np.errstate(over="ignore", invalid="ignore")


@dataclass(frozen=True)
class Sums:
    """Sums over a tensor or a piece of it: the squares of W_c, W_i and W_c - W_i (D), and the products W_c W_i."""

    chip: float
    chat: float
    difference: float
    product: float

    @classmethod
    def total(cls, pieces: Iterable[Sums]) -> Sums:
        """The sums of a whole tensor.

        fsum adds exactly and rounds once, so the order of the pieces does not show in the result.
        """
        parts = list(pieces)
        columns = zip(*((p.chip, p.chat, p.difference, p.product) for p in parts), strict=True)
        chip, chat, difference, product = (math.fsum(column) for column in columns) if parts else (0.0, 0.0, 0.0, 0.0)
        return cls(chip, chat, difference, product)


@dataclass(frozen=True)
class Arc:
    """The way from chat to chip for one tensor: merged = chip * W_c + chat * W_i, and how it was found."""

    chip: float  # coefficient of W_c
    chat: float  # coefficient of W_i
    chip_norm: float  # |W_c|_F
    chat_norm: float  # |W_i|_F
    theta: float | None  # radians; None where a zero tensor has no direction
    branch: Branch

    @property
    def is_cancelling(self) -> bool:
        """Whether large terms cancel, so that float32 is not enough."""
        return max(abs(self.chip), abs(self.chat)) > CANCELLING


@dataclass(frozen=True)
class TensorResult:
    """What happened to one tensor of the checkpoint."""

    name: str
    shape: tuple[int, ...]
    chip_norm: float
    chat_norm: float
    theta: float | None  # radians
    branch: Branch
    merged_norm: float = 0.0  # of the tensor as it is stored, after rounding
    blake3: str = ""  # of the tensor's bytes in its file
    lam: float = 0.0


class Arithmetic(Protocol):
    """Computes with flat pieces of tensors. Its methods may be called from several threads."""

    sparse: Sparse  # for the methods that add differences from a base

    def measure(self, chip: Array, chat: Array) -> Sums:
        """The sums of two pieces of equal size and any dtype.

        In float64 every product of bf16, fp16 or fp32 numbers is exact, and so is the difference: D is right even for
        parents that differ only in their last bits. Whole numbers can be wider than float64: for them D counts those
        that differ.
        """
        ...

    def square(self, piece: Array) -> float:
        """The sum of squares of a piece in float64."""
        ...

    def combine(self, chip: Array, chat: Array, arc: Arc, dtype: DType) -> Array:
        """chip * W_c + chat * W_i of two pieces of equal size, in float32, rounded to `dtype`.

        Where terms cancel, it is computed in float64 first. A coefficient of zero drops its parent instead of adding
        zeros, so that lam 0 and 1 keep even the sign of zero.
        """
        ...

    def widen(self, piece: Array) -> Array:
        """A piece of half precision in float32, which holds all its numbers exactly; float32 stays as it is."""
        ...

    def narrow(self, wide: Array, dtype: DType) -> Array:
        """A piece rounded to `dtype`, to nearest, ties to even.

        Numbers beyond its largest become infinity, which the caller looks for.
        """
        ...


def find_theta(sums: Sums) -> float:
    """The angle in radians between two nonzero tensors, from the chord between their directions.

    c^2 = (D - (|W_c| - |W_i|)^2) / (|W_c| |W_i|) and theta = 2 atan2(c, sqrt(4 - c^2)): exact for tiny angles, where
    the arccos of a dot product reads zero below a relative difference of 1e-3 in float32. For lopsided norms, instead,
    c^2 = 2 - 2 u.v.
    """
    chip_norm, chat_norm = math.sqrt(sums.chip), math.sqrt(sums.chat)
    if max(chip_norm, chat_norm) < LOPSIDED * min(chip_norm, chat_norm):
        chord_squared = (sums.difference - (chip_norm - chat_norm) ** 2) / chip_norm / chat_norm
    else:
        chord_squared = 2 - 2 * sums.product / chip_norm / chat_norm
    chord_squared = min(max(chord_squared, 0.0), 4.0)  # rounding may step outside by one part in 10^16
    return 2 * math.atan2(math.sqrt(chord_squared), math.sqrt(4 - chord_squared))


def find_arc(sums: Sums, lam: float, name: str) -> Arc:
    """The coefficients for one tensor; `name` is for the error.

    Branches, each decided here and nowhere else:
      equal     W_c = W_i: that tensor, untouched.
      zero      one of them is zero: it has no direction, and the scale |W_c|^lam |W_i|^(1 - lam) is zero, so the result
                is zero, which is also the limit of the formula as the norm goes to zero. lam 0 and 1 still return the
                parent.
      opposite  the angle is pi: infinitely many geodesics, so TensorsOpposite. lam 0 and 1 need none and return the
                parent.
      geodesic  all the rest. Parallel tensors (theta = 0) take the limit sin(t theta) / sin(theta) = t.
    """
    chip_norm, chat_norm = math.sqrt(sums.chip), math.sqrt(sums.chat)
    endpoint = lam in (0.0, 1.0)
    if sums.difference == 0.0:
        return Arc(float(lam != 0.0), float(lam == 0.0), chip_norm, chat_norm, 0.0 if chip_norm else None, "equal")
    if chip_norm == 0.0 or chat_norm == 0.0:
        return Arc(float(lam == 1.0), float(lam == 0.0), chip_norm, chat_norm, None, "zero")
    theta = find_theta(sums)
    if math.pi - theta < OPPOSITE_TOLERANCE:
        if not endpoint:
            raise TensorsOpposite(
                f"tensor {name}: the parents point in opposite directions (theta = {math.degrees(theta):.4f} degrees), "
                f"so no unique arc joins them. {advise_opposite(name)}"
            )
        return Arc(lam, 1 - lam, chip_norm, chat_norm, theta, "opposite")
    ratio = chat_norm / chip_norm  # |W_c|^lam |W_i|^(1 - lam) / |W_c| = ratio^(1 - lam), and ratio^-lam for the other
    chip = ratio ** (1 - lam) * find_share(lam, theta)
    chat = ratio**-lam * find_share(1 - lam, theta)
    return Arc(chip, chat, chip_norm, chat_norm, theta, "geodesic")


def advise_opposite(name: str) -> str:
    """What may be done about a tensor whose directions in the parents have no point between them."""
    return (
        f'Take one parent\'s, with exclude = ["{name}"] or a [[schedule]] rule with tensors = "{name}" and lam = 0 or '
        "1; or check that both parents come from one base model"
    )


def find_share(t: float, theta: float) -> float:
    """sin(t theta) / sin(theta), and its limit t at theta = 0."""
    return t if theta == 0.0 else math.sin(t * theta) / math.sin(theta)


@QUIET
def check_finite(sums: Sums, name: str, pieces: Iterable[tuple[str, int, Array]]) -> None:
    """Raise TensorNotFinite where a sum is not finite; no finite float32 number can make it so.

    pieces: (which parent, flat position of the piece's first element, piece), read again only to name the position.
    """
    if math.isfinite(sums.chip) and math.isfinite(sums.chat):
        return
    for parent, start, piece in pieces:
        [bad] = np.nonzero(~np.isfinite(piece))
        if bad.size:
            where = f"{piece[bad[0]]} at flat position {start + bad[0]}"
            raise TensorNotFinite(f"{parent} parent: tensor {name} holds {where}. Repair or replace that parent")


def find_largest(dtype: DType) -> float:
    """The largest finite number of a floating-point dtype."""
    return float(ml_dtypes.finfo(dtype).max)  # type: ignore[no-untyped-call]


def interpolate(
    chip: Array, chat: Array, lam: float, dtype: DType, arithmetic: Arithmetic, name: str = "tensor"
) -> tuple[Array, Arc]:
    """Merge two tensors of equal shape held in memory: (merged tensor in `dtype`, its arc).

    merge.merging.passes.merge_tensor takes the same steps, streamed from files.

    Raises TensorNotFinite, TensorsOpposite.
    """
    flat_chip, flat_chat = chip.reshape(-1), chat.reshape(-1)
    pieces = [slice(start, start + CHUNK) for start in range(0, flat_chip.size, CHUNK)]
    sums = Sums.total(arithmetic.measure(flat_chip[piece], flat_chat[piece]) for piece in pieces)
    check_finite(sums, name, (("chip", 0, flat_chip), ("chat", 0, flat_chat)))
    arc = find_arc(sums, lam, name)
    merged = [arithmetic.combine(flat_chip[piece], flat_chat[piece], arc, dtype) for piece in pieces]
    return (np.concatenate(merged) if merged else np.empty(0, dtype)).reshape(chip.shape), arc
