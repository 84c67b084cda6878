"""The arithmetic of merge.arithmetic.geodesic in loops that numba compiles: sums and combination, one pass each.

It gives the same bits as numpy's (merge.arithmetic.plain), several times as fast, and leaves to numpy the dtypes
without a loop. numba keeps machine code beside this file, or in the user's cache folder, so that only the first merge
compiles: 0.6 s.

Half precisions come as their bits, uint16, because numba has no arithmetic for them. bfloat16 is the upper half of a
float32: widening is a shift, narrowing rounds to nearest, ties to even. float16 is widened and narrowed in a pass of
its own, ten times as fast as in numpy.

    sums = CompiledArithmetic().measure(w_chip, w_chat)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numba.np.linalg
import numpy as np

from merge.arithmetic.dtypes import BFLOAT16, FLOAT16, FLOAT32, Array, DType
from merge.arithmetic.geodesic import Sums
from merge.arithmetic.plain import NumpyArithmetic

HALF = 16  # bits of a bfloat16
# float16, in the bits of the float32 that holds its number: 10 bits of fraction against 23, exponents biased by 15
# against 127.
F16_SHIFT = 13
F16_BIAS = (127 - 15) << 23
F16_SMALLEST = 2.0**-14  # the smallest normal number; below it are multiples of 2^-24
F16_BEYOND = 0x47800000  # 65536 as a float32: it and larger numbers become infinity
F32_INFINITE = 0x7F800000
# The compiler orders additions, fixed when it compiles, so that sums use the core's whole vectors. Nothing else is
# relaxed: in particular no product and sum are fused, so that the result is the same with and without numba.
REORDER = {"reassoc"}


def _refuse_blas() -> None:
    """In the place of numba's look for scipy's BLAS, which takes a fifth of a second and which no loop uses."""
    raise ImportError("no loop multiplies matrices")


numba.np.linalg.ensure_blas = _refuse_blas


def compile_loop(function: Callable[..., Any], fastmath: set[str] | bool = False) -> Any:
    """Compiled at the first call, without the GIL; kept on disk where a folder for that can be written."""
    try:
        return numba.njit(nogil=True, cache=True, fastmath=fastmath, error_model="numpy")(function)
    except RuntimeError:  # "no locator available": neither this folder nor the user's cache is writable
        return numba.njit(nogil=True, fastmath=fastmath, error_model="numpy")(function)


def _widen(bits: Any) -> Any:  # numba infers: uint16 -> float32
    return np.uint32(np.uint32(bits) << np.uint32(HALF)).view(np.float32)


def _narrow(value: Any) -> Any:  # float32 -> uint16; the caller ensures that no value is NaN
    bits = np.float32(value).view(np.uint32)
    odd = (bits >> np.uint32(HALF)) & np.uint32(1)
    return np.uint16((bits + np.uint32(0x7FFF) + odd) >> np.uint32(HALF))


def _widen_f16(bits: Any) -> Any:  # uint16 -> float32
    size = np.uint32(np.uint32(bits & np.uint16(0x7FFF)) << np.uint32(F16_SHIFT))
    wide = np.uint32(size + np.uint32(F16_BIAS))
    if wide >= np.uint32(F16_BEYOND):  # infinity and NaN
        wide = np.uint32(wide | np.uint32(F32_INFINITE))
    if size < np.uint32(1 << 23):  # below the smallest normal number, without an implicit leading one
        wide = np.float32(np.uint32(wide + np.uint32(1 << 23)).view(np.float32) - np.float32(F16_SMALLEST)).view(
            np.uint32
        )
    return np.uint32(wide | np.uint32(np.uint32(bits & np.uint16(0x8000)) << np.uint32(HALF))).view(np.float32)


def _narrow_f16(value: Any) -> Any:  # float32 -> uint16
    bits = np.float32(value).view(np.uint32)
    size = np.uint32(bits & np.uint32(0x7FFFFFFF))
    odd = np.uint32(np.uint32(size >> np.uint32(F16_SHIFT)) & np.uint32(1))
    narrow = np.uint32(np.uint32(size - np.uint32(F16_BIAS) + np.uint32(0x0FFF) + odd) >> np.uint32(F16_SHIFT))
    # The sum with 0.5 is rounded to a multiple of 2^-24, as float16 has them here
    if size.view(np.float32) < np.float32(F16_SMALLEST):
        narrow = np.uint32(
            np.float32(size.view(np.float32) + np.float32(0.5)).view(np.uint32) - np.float32(0.5).view(np.uint32)
        )
    if size >= np.uint32(F16_BEYOND):
        narrow = np.uint32(0x7E00) if size > np.uint32(F32_INFINITE) else np.uint32(0x7C00)
    return np.uint16(narrow | np.uint32(np.uint32(bits >> np.uint32(HALF)) & np.uint32(0x8000)))


def _blend(a: Any, x: Any, b: Any, y: Any) -> Any:  # float32; compiled by itself, so that REORDER does not reach it
    return a * x + b * y


widen, narrow, blend = compile_loop(_widen), compile_loop(_narrow), compile_loop(_blend)
_widen_one, _narrow_one = compile_loop(_widen_f16), compile_loop(_narrow_f16)


def _widen_all(bits: Any, wide: Any) -> None:
    for k in range(bits.size):
        wide[k] = _widen_one(bits[k])


def _narrow_all(wide: Any, bits: Any) -> None:
    for k in range(wide.size):
        bits[k] = _narrow_one(wide[k])


def _measure_bf16(chip: Any, chat: Any) -> Any:
    chip_sum = chat_sum = difference = product = 0.0
    for k in range(chip.size):
        x, y = np.float64(widen(chip[k])), np.float64(widen(chat[k]))
        chip_sum += x * x
        chat_sum += y * y
        difference += (x - y) * (x - y)
        product += x * y
    return chip_sum, chat_sum, difference, product


def _measure_f32(chip: Any, chat: Any) -> Any:
    chip_sum = chat_sum = difference = product = 0.0
    for k in range(chip.size):
        x, y = np.float64(chip[k]), np.float64(chat[k])
        chip_sum += x * x
        chat_sum += y * y
        difference += (x - y) * (x - y)
        product += x * y
    return chip_sum, chat_sum, difference, product


def _combine_bf16(chip: Any, chat: Any, a: Any, b: Any, merged: Any) -> Any:
    for k in range(chip.size):
        merged[k] = narrow(blend(a, widen(chip[k]), b, widen(chat[k])))


def _combine_f32(chip: Any, chat: Any, a: Any, b: Any, merged: Any) -> Any:
    for k in range(chip.size):
        merged[k] = blend(a, chip[k], b, chat[k])


def _square_bf16(piece: Any) -> Any:
    total = 0.0
    for k in range(piece.size):
        x = np.float64(widen(piece[k]))
        total += x * x
    return total


def _square_f32(piece: Any) -> Any:
    total = 0.0
    for k in range(piece.size):
        x = np.float64(piece[k])
        total += x * x
    return total


# (chip, chat) -> sums of W_c^2, W_i^2, (W_c - W_i)^2 and W_c W_i in float64
measure_bf16, measure_f32 = compile_loop(_measure_bf16, REORDER), compile_loop(_measure_f32, REORDER)
# (chip, chat, a, b, merged): a W_c + b W_i in float32, rounded once, into `merged`
combine_bf16, combine_f32 = compile_loop(_combine_bf16), compile_loop(_combine_f32)
# (piece) -> sum of squares in float64
square_bf16, square_f32 = compile_loop(_square_bf16, REORDER), compile_loop(_square_f32, REORDER)
# (float16 bits, float32) and (float32, float16 bits): the first, converted, into the second
widen_f16, narrow_f16 = compile_loop(_widen_all), compile_loop(_narrow_all)


class CompiledArithmetic(NumpyArithmetic):
    """An Arithmetic on this machine's cores: two bfloat16 pieces by their bits, other floats by way of float32."""

    def measure(self, chip: Array, chat: Array) -> Sums:
        """As Arithmetic.measure."""
        if _are_bf16(chip.dtype, chat.dtype):
            return Sums(*measure_bf16(_bits(chip), _bits(chat)))
        if _fit_float32(chip.dtype, chat.dtype):
            return Sums(*measure_f32(self.widen(chip), self.widen(chat)))
        return super().measure(chip, chat)

    def square(self, piece: Array) -> float:
        """As Arithmetic.square."""
        if _are_bf16(piece.dtype):
            return float(square_bf16(_bits(piece)))
        if _fit_float32(piece.dtype):
            return float(square_f32(self.widen(piece)))
        return super().square(piece)

    def widen(self, piece: Array) -> Array:
        """As Arithmetic.widen."""
        if piece.dtype != FLOAT16:
            return super().widen(piece)
        wide = np.empty(piece.size, FLOAT32)
        widen_f16(_bits(piece), wide)
        return wide

    def narrow(self, wide: Array, dtype: DType) -> Array:
        """As Arithmetic.narrow."""
        if (wide.dtype, dtype) != (FLOAT32, FLOAT16):
            return super().narrow(wide, dtype)
        rounded = np.empty(wide.size, FLOAT16)
        narrow_f16(wide, _bits(rounded))
        return rounded

    def _blend(self, chip: Array, chat: Array, a: np.float32, b: np.float32, dtype: DType) -> Array:
        if _are_bf16(chip.dtype, chat.dtype, dtype):
            merged = np.empty(chip.size, BFLOAT16)
            combine_bf16(_bits(chip), _bits(chat), a, b, _bits(merged))
            return merged
        if _fit_float32(chip.dtype, chat.dtype):
            merged = np.empty(chip.size, FLOAT32)
            combine_f32(self.widen(chip), self.widen(chat), a, b, merged)
            return self.narrow(merged, dtype)
        return super()._blend(chip, chat, a, b, dtype)


def _bits(piece: Array) -> Array:
    """A piece of half precision as the whole numbers of its bits, in the same memory."""
    return piece.view(np.uint16)


def _are_bf16(*dtypes: DType) -> bool:
    return all(dtype == BFLOAT16 for dtype in dtypes)


def _fit_float32(*dtypes: DType) -> bool:
    """Whether float32 holds all numbers of these dtypes exactly, and the loops know how."""
    return all(dtype in (FLOAT32, FLOAT16, BFLOAT16) for dtype in dtypes)
