"""Geodesic interpolation of two tensors on the sphere (ChipAlign, arXiv 2412.19819, section 3). Pure mathematics.

It reads and writes no files and knows no models. W_c is the chip model's tensor, W_i the chat (instruct) model's:

    u = W_c / |W_c|,  v = W_i / |W_i|,  theta = angle(u, v)
    W = |W_c|^lam |W_i|^(1 - lam) * (sin(lam theta) / sin(theta) u  +  sin((1 - lam) theta) / sin(theta) v)

W is a W_c + b W_i with two numbers per tensor, so two passes are enough: `measure` for the sums that give a and b
(`find_arc`), `combine` for the result. Both work on any piece of a tensor, so a caller streams pieces that stay in
cache. Where numba is installed its loops (merge.arithmetic.kernels) do the work of both; the numpy lines beside each call are the
same arithmetic, several times slower.

    merged, arc = interpolate(w_chip, w_chat, lam=0.6, dtype=BFLOAT16)
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import ml_dtypes
import numpy as np

from merge.arithmetic.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, Array, DType
from merge.errors import TensorNotFinite, TensorsOpposite

Branch = Literal["geodesic", "equal", "zero", "opposite", "copied", "linear", "mixed"]

# Elements per piece: both parents' and the result's bfloat16 pieces are 1.5 MB and fit a core's second-level cache;
# smaller ones cost calls.
CHUNK = 1 << 18
# Directions closer than this to opposite, in radians, have no geodesic worth the name: which way round it runs is
# rounding noise.
OPPOSITE_TOLERANCE = 1e-4
# Where one norm is this many times the other, D is that norm and little else, and the dot product is what still holds
# the angle.
LOPSIDED = 16.0
# Coefficients above this mean that large terms cancel: float32 would lose the digits that are left, float64 keeps them.
CANCELLING = 4.0
# What is not finite is looked for in the sums, and refused by name
QUIET = np.errstate(over="ignore", invalid="ignore")
NARROW = (FLOAT32, FLOAT16, BFLOAT16)  # what float32 holds exactly


@dataclass(frozen=True)
class Sums:
    """Sums over a tensor or a piece of it: the squares of W_c, of W_i and of W_c - W_i (D), and the products W_c W_i."""

    chip: float
    chat: float
    difference: float
    product: float

    @classmethod
    def total(cls, pieces: Iterable[Sums]) -> Sums:
        """The sums of a whole tensor; fsum adds exactly and rounds once, so the order of the pieces does not show in
        the result.
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
        """Whether large terms cancel, so that float32 does not do."""
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
    sha256: str = ""  # of the tensor's bytes in its file
    lam: float = 0.0


@functools.cache
def load_kernels() -> ModuleType | None:
    """merge.arithmetic.kernels, or None where numba is not installed."""
    try:
        from merge.arithmetic import kernels
    except ImportError:
        return None
    return kernels


def warm_up() -> None:
    """Load the compiled loops, or compile them, a third of a second of one core: a caller does it while it waits for
    something else.
    """
    for dtype in (BFLOAT16, FLOAT32):
        piece = np.ones(1, dtype)
        interpolate(piece, np.full(1, 2, dtype), 0.5, dtype)
        square(piece)


@QUIET
def measure(chip: Array, chat: Array) -> Sums:
    """The sums of two flat pieces of equal size and any dtype.

    Widening to float64 first makes every product of bf16, fp16 or fp32 numbers exact, and the difference as well, so
    that D is right for parents that differ in their last bits only. Whole numbers can be wider than float64: of them D
    counts those that differ.
    """
    kernels = load_kernels()
    if kernels and chip.dtype == chat.dtype == BFLOAT16:
        return Sums(*kernels.measure_bf16(chip.view(np.uint16), chat.view(np.uint16)))
    if kernels and chip.dtype in NARROW and chat.dtype in NARROW:
        return Sums(*kernels.measure_f32(widen(chip), widen(chat)))
    c, i = chip.astype(FLOAT64), chat.astype(FLOAT64)
    d = c - i if chip.dtype.kind not in "iub" else (chip != chat).astype(FLOAT64)
    return Sums(*(float(np.sum(x * y)) for x, y in ((c, c), (i, i), (d, d), (c, i))))


@QUIET
def square(piece: Array) -> float:
    """The sum of squares of a flat piece in float64."""
    kernels = load_kernels()
    if kernels and piece.dtype == BFLOAT16:
        return float(kernels.square_bf16(piece.view(np.uint16)))
    if kernels and piece.dtype in NARROW:
        return float(kernels.square_f32(widen(piece)))
    return float(np.sum(np.square(piece.astype(FLOAT64))))


def widen(piece: Array) -> Array:
    """A flat piece of half precision in float32, which holds all of its numbers exactly; one in float32 as it is."""
    kernels = load_kernels()
    if kernels and piece.dtype == FLOAT16:
        wide = np.empty(piece.size, FLOAT32)
        kernels.widen_f16(piece.view(np.uint16), wide)
        return wide
    return piece.astype(FLOAT32, copy=False)


@QUIET
def narrow(wide: Array, dtype: DType) -> Array:
    """A flat piece rounded to `dtype`, to nearest, ties to even; beyond its largest number infinity, which the caller
    looks for.
    """
    kernels = load_kernels()
    if kernels and wide.dtype == FLOAT32 and dtype == FLOAT16:
        rounded = np.empty(wide.size, FLOAT16)
        kernels.narrow_f16(wide, rounded.view(np.uint16))
        return rounded
    return wide.astype(dtype, copy=False)


def find_theta(sums: Sums) -> float:
    """The angle in radians between two nonzero tensors, from the chord between their directions.

    c^2 = (D - (|W_c| - |W_i|)^2) / (|W_c| |W_i|) and theta = 2 atan2(c, sqrt(4 - c^2)): exact for tiny angles, where
    the arccos of a dot product reads zero below a relative difference of 1e-3 in float32. Between lopsided norms c^2 =
    2 - 2 u.v instead.
    """
    chip_norm, chat_norm = math.sqrt(sums.chip), math.sqrt(sums.chat)
    if max(chip_norm, chat_norm) < LOPSIDED * min(chip_norm, chat_norm):
        chord_squared = (sums.difference - (chip_norm - chat_norm) ** 2) / chip_norm / chat_norm
    else:
        chord_squared = 2 - 2 * sums.product / chip_norm / chat_norm
    chord_squared = min(max(chord_squared, 0.0), 4.0)  # rounding may step outside by one part in 10^16
    return 2 * math.atan2(math.sqrt(chord_squared), math.sqrt(4 - chord_squared))


def find_arc(sums: Sums, lam: float, name: str) -> Arc:
    """The coefficients for one tensor. `name` is for the error.

    Branches, each decided here and nowhere else:
      equal     W_c = W_i: that tensor, untouched.
      zero      one of them is zero: it has no direction, and the scale |W_c|^lam |W_i|^(1 - lam) is zero, so the result is zero,
                which is also the limit of the formula as the norm goes to zero. lam 0 and 1 still return the parent.
      opposite  the angle is pi: infinitely many geodesics, so TensorsOpposite. lam 0 and 1 need none and return the parent.
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
                "so no unique geodesic joins them. Use lam = 0 or 1, or check that both parents come from one base "
                "model"
            )
        return Arc(lam, 1 - lam, chip_norm, chat_norm, theta, "opposite")
    ratio = chat_norm / chip_norm  # |W_c|^lam |W_i|^(1 - lam) / |W_c| = ratio^(1 - lam), and ratio^-lam for the other
    chip = ratio ** (1 - lam) * _share(lam, theta)
    chat = ratio**-lam * _share(1 - lam, theta)
    return Arc(chip, chat, chip_norm, chat_norm, theta, "geodesic")


def _share(t: float, theta: float) -> float:
    """sin(t theta) / sin(theta), and its limit t at theta = 0."""
    return t if theta == 0.0 else math.sin(t * theta) / math.sin(theta)


@QUIET
def combine(chip: Array, chat: Array, arc: Arc, dtype: DType) -> Array:
    """chip * W_c + chat * W_i of two flat pieces of equal size, in float32 (in float64 first where terms cancel),
    rounded to `dtype`.

    A coefficient of zero drops its parent instead of adding zeros, so that lam 0 and 1 keep even the sign of zero.
    """
    wide = FLOAT64 if arc.is_cancelling else FLOAT32
    if arc.chat == 0.0:
        return _scale(chip, arc.chip, wide, dtype)
    if arc.chip == 0.0:
        return _scale(chat, arc.chat, wide, dtype)
    if wide == FLOAT64:
        return narrow((chip.astype(FLOAT64) * arc.chip + chat.astype(FLOAT64) * arc.chat).astype(FLOAT32), dtype)
    kernels = load_kernels()
    if kernels and dtype == chip.dtype == chat.dtype == BFLOAT16:
        merged = np.empty(chip.size, dtype)
        kernels.combine_bf16(
            chip.view(np.uint16),
            chat.view(np.uint16),
            np.float32(arc.chip),
            np.float32(arc.chat),
            merged.view(np.uint16),
        )
        return merged
    if kernels and chip.dtype in NARROW and chat.dtype in NARROW:
        merged = np.empty(chip.size, FLOAT32)
        kernels.combine_f32(widen(chip), widen(chat), np.float32(arc.chip), np.float32(arc.chat), merged)
        return narrow(merged, dtype)
    return narrow(widen(chip) * np.float32(arc.chip) + widen(chat) * np.float32(arc.chat), dtype)


def _scale(piece: Array, factor: float, wide: DType, dtype: DType) -> Array:
    if factor == 1.0:
        return piece if piece.dtype == dtype else narrow(widen(piece), dtype)
    return narrow((piece.astype(wide) * wide.type(factor)).astype(FLOAT32, copy=False), dtype)


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
    """The largest finite number of a dtype of floating point."""
    return float(ml_dtypes.finfo(dtype).max)  # type: ignore[no-untyped-call]


def interpolate(chip: Array, chat: Array, lam: float, dtype: DType, name: str = "tensor") -> tuple[Array, Arc]:
    """Merge two tensors of equal shape held in memory: (merged tensor in `dtype`, its arc).

    Raises TensorNotFinite and TensorsOpposite. The same steps, streamed from files, are merge.merging.passes.merge_tensor.
    """
    flat_chip, flat_chat = chip.reshape(-1), chat.reshape(-1)
    starts = range(0, flat_chip.size, CHUNK)
    sums = Sums.total(measure(flat_chip[s : s + CHUNK], flat_chat[s : s + CHUNK]) for s in starts)
    check_finite(sums, name, (("chip", 0, flat_chip), ("chat", 0, flat_chat)))
    arc = find_arc(sums, lam, name)
    pieces = [combine(flat_chip[s : s + CHUNK], flat_chat[s : s + CHUNK], arc, dtype) for s in starts]
    merged = np.concatenate(pieces) if pieces else np.empty(0, dtype)
    return merged.reshape(chip.shape), arc
