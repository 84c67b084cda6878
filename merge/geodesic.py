"""Geodesic interpolation of two tensors on the sphere (ChipAlign, arXiv 2412.19819, section 3). Pure mathematics.

It reads and writes no files and knows no models. W_c is the chip model's tensor, W_i the chat (instruct) model's:

    u = W_c / |W_c|,  v = W_i / |W_i|,  theta = angle(u, v)
    W = |W_c|^lam |W_i|^(1 - lam) * (sin(lam theta) / sin(theta) u  +  sin((1 - lam) theta) / sin(theta) v)

W is a W_c + b W_i with two numbers per tensor, so two passes are enough: `measure` for the sums that give a and b
(`find_arc`), `combine` for the result. Both work on any piece of a tensor, so a caller streams pieces that stay in cache. Where numba is
installed its loops (merge.kernels) do the work of both; the torch lines beside each call are the same arithmetic, several times slower.

    merged, arc = interpolate(w_chip, w_chat, lam=0.6, dtype=torch.bfloat16)
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import numpy as np
import torch

from merge.errors import TensorNotFinite, TensorsOpposite

Branch = Literal["geodesic", "equal", "zero", "opposite", "copied", "linear", "mixed"]

# Elements per piece: both parents' and the result's bfloat16 pieces are 1.5 MB and fit a core's second-level cache; smaller ones cost calls.
CHUNK = 1 << 18
# Directions closer than this to opposite, in radians, have no geodesic worth the name: which way round it runs is rounding noise.
OPPOSITE_TOLERANCE = 1e-4
# Where one norm is this many times the other, D is that norm and little else, and the dot product is what still holds the angle.
LOPSIDED = 16.0
# Coefficients above this mean that large terms cancel: float32 would lose the digits that are left, float64 keeps them.
CANCELLING = 4.0
NARROW = (torch.float32, torch.float16, torch.bfloat16)  # what float32 holds exactly


@dataclass(frozen=True)
class Sums:
    """Sums over a tensor or a piece of it: the squares of W_c, of W_i and of W_c - W_i (D), and the products W_c W_i."""

    chip: float
    chat: float
    difference: float
    product: float

    @classmethod
    def total(cls, pieces: Iterable[Sums]) -> Sums:
        """The sums of a whole tensor; fsum adds exactly and rounds once, so the order of the pieces does not show in the result."""
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
    """merge.kernels, or None where numba is not installed."""
    try:
        from merge import kernels
    except ImportError:
        return None
    return kernels


def warm_up() -> None:
    """Load the compiled loops, or compile them, half a second of one core: a caller does it while it waits for something else."""
    for dtype in (torch.bfloat16, torch.float32):
        piece = torch.ones(1, dtype=dtype)
        interpolate(piece, 2 * piece, 0.5, dtype)
        square(piece)


def measure(chip: torch.Tensor, chat: torch.Tensor) -> Sums:
    """The sums of two pieces of equal shape and any dtype.

    Widening to float64 first makes every product of bf16, fp16 or fp32 numbers exact, and the difference as well, so that D is
    right for parents that differ in their last bits only.
    """
    kernels = load_kernels()
    if kernels and chip.dtype == chat.dtype == torch.bfloat16:
        return Sums(*kernels.measure_bf16(_bits(chip), _bits(chat)))
    if kernels and chip.dtype in NARROW and chat.dtype in NARROW:
        return Sums(*kernels.measure_f32(_floats(chip), _floats(chat)))
    c = chip.reshape(-1).double()
    i = chat.reshape(-1).double()
    d = c - i
    return Sums(torch.dot(c, c).item(), torch.dot(i, i).item(), torch.dot(d, d).item(), torch.dot(c, i).item())


def square(piece: torch.Tensor) -> float:
    """The sum of squares of a piece in float64."""
    kernels = load_kernels()
    if kernels and piece.dtype == torch.bfloat16:
        return float(kernels.square_bf16(_bits(piece)))
    if kernels and piece.dtype in NARROW:
        return float(kernels.square_f32(_floats(piece)))
    wide = piece.reshape(-1).double()
    return float(torch.dot(wide, wide).item())


def _bits(piece: torch.Tensor) -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
    """The bits of a bfloat16 piece, which numpy has no type for; the same memory."""
    return piece.reshape(-1).contiguous().view(torch.uint16).numpy()  # type: ignore[no-any-return]


def _floats(piece: torch.Tensor) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """A piece in float32, which holds every fp16 and bf16 number exactly."""
    return piece.reshape(-1).contiguous().float().numpy()  # type: ignore[no-any-return]


def find_theta(sums: Sums) -> float:
    """The angle in radians between two nonzero tensors, from the chord between their directions.

    c^2 = (D - (|W_c| - |W_i|)^2) / (|W_c| |W_i|) and theta = 2 atan2(c, sqrt(4 - c^2)): exact for tiny angles, where the arccos
    of a dot product reads zero below a relative difference of 1e-3 in float32. Between lopsided norms c^2 = 2 - 2 u.v instead.
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
                f"tensor {name}: the parents point in opposite directions (theta = {math.degrees(theta):.4f} degrees), so no unique geodesic "
                f"joins them. Use lam = 0 or 1, or check that both parents come from one base model"
            )
        return Arc(lam, 1 - lam, chip_norm, chat_norm, theta, "opposite")
    ratio = chat_norm / chip_norm  # |W_c|^lam |W_i|^(1 - lam) / |W_c| = ratio^(1 - lam), and ratio^-lam for the other
    chip = ratio ** (1 - lam) * _share(lam, theta)
    chat = ratio**-lam * _share(1 - lam, theta)
    return Arc(chip, chat, chip_norm, chat_norm, theta, "geodesic")


def _share(t: float, theta: float) -> float:
    """sin(t theta) / sin(theta), and its limit t at theta = 0."""
    return t if theta == 0.0 else math.sin(t * theta) / math.sin(theta)


def combine(chip: torch.Tensor, chat: torch.Tensor, arc: Arc, dtype: torch.dtype) -> torch.Tensor:
    """chip * W_c + chat * W_i of two pieces of equal shape, in float32 (float64 where terms cancel), rounded once to `dtype`.

    A coefficient of zero drops its parent instead of adding zeros, so that lam 0 and 1 keep even the sign of zero.
    """
    wide = torch.float64 if max(abs(arc.chip), abs(arc.chat)) > CANCELLING else torch.float32
    if arc.chat == 0.0:
        return _scale(chip, arc.chip, wide, dtype)
    if arc.chip == 0.0:
        return _scale(chat, arc.chat, wide, dtype)
    kernels = load_kernels()
    if kernels and wide is torch.float32 and dtype is chip.dtype is chat.dtype is torch.bfloat16:
        merged = torch.empty(chip.shape, dtype=dtype)
        kernels.combine_bf16(_bits(chip), _bits(chat), np.float32(arc.chip), np.float32(arc.chat), merged.reshape(-1).view(torch.uint16).numpy())
        return merged
    if kernels and wide is torch.float32 and chip.dtype in NARROW and chat.dtype in NARROW:
        merged = torch.empty(chip.shape)
        kernels.combine_f32(_floats(chip), _floats(chat), np.float32(arc.chip), np.float32(arc.chat), merged.reshape(-1).numpy())
        return merged.to(dtype)
    return chip.to(wide).mul(arc.chip).add_(chat.to(wide).mul(arc.chat)).to(dtype)


def _scale(tensor: torch.Tensor, factor: float, wide: torch.dtype, dtype: torch.dtype) -> torch.Tensor:
    return tensor.to(dtype) if factor == 1.0 else tensor.to(wide).mul(factor).to(dtype)


def check_finite(sums: Sums, name: str, tensors: Iterable[tuple[str, int, torch.Tensor]]) -> None:
    """Raise TensorNotFinite where a sum is not finite; no finite float32 number can make it so.

    tensors: (which parent, flat position of the piece's first element, piece), read again only to name the position.
    """
    if math.isfinite(sums.chip) and math.isfinite(sums.chat):
        return
    for parent, start, piece in tensors:
        bad = torch.nonzero(~torch.isfinite(piece.reshape(-1)))
        if len(bad):
            at = int(bad[0].item())
            value = piece.reshape(-1)[at].item()
            raise TensorNotFinite(f"{parent} parent: tensor {name} holds {value} at flat position {start + at}. Repair or replace that parent")


def interpolate(chip: torch.Tensor, chat: torch.Tensor, lam: float, dtype: torch.dtype, name: str = "tensor") -> tuple[torch.Tensor, Arc]:
    """Merge two tensors of equal shape held in memory: (merged tensor in `dtype`, its arc).

    Raises TensorNotFinite and TensorsOpposite. The same steps, streamed from files, are merge.merger.merge_tensor.
    """
    flat_chip, flat_chat = chip.reshape(-1), chat.reshape(-1)
    starts = range(0, flat_chip.numel(), CHUNK)
    sums = Sums.total(measure(flat_chip[s : s + CHUNK], flat_chat[s : s + CHUNK]) for s in starts)
    check_finite(sums, name, (("chip", 0, flat_chip), ("chat", 0, flat_chat)))
    arc = find_arc(sums, lam, name)
    pieces = [combine(flat_chip[s : s + CHUNK], flat_chat[s : s + CHUNK], arc, dtype) for s in starts]
    merged = torch.cat(pieces) if pieces else flat_chip.to(dtype)
    return merged.reshape(chip.shape), arc
