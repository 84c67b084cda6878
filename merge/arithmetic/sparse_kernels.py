"""What merge.arithmetic.sparse does in numpy, in loops that numba compiles: the same bits, several times as fast.

Random numbers are drawn many counters at a time, so that the loops use the core's vectors. Ranks in a row are
merge.arithmetic.ranking_kernels' matter.

    sparse = CompiledSparse()
    sparse.subtract(piece, base, difference)
    sparse.keep_large(difference, threshold)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from merge.arithmetic.dtypes import BFLOAT16, FLOAT16, FLOAT32, Array
from merge.arithmetic.kernels import compile_loop, narrow, narrow_f16, widen
from merge.arithmetic.ranking_kernels import MAGNITUDE, rank_rows
from merge.arithmetic.sparse import LOW_BITS, LOWER, RAW_SHIFT, UNIFORM, NumpySparse

BF16_INFINITE = 0x7F80  # the bits of bfloat16's infinity; NaN has larger ones
BLOCK = 1024  # numbers that stay in a core's first cache between loops; four to a counter
# Philox4x64's multipliers, and what its keys grow by in each round
PHILOX_A, PHILOX_C = 0xD2E7470EE14C6C93, 0xCA5A826395121157
WEYL_LOW, WEYL_HIGH = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
ROUNDS = 10
MASK_32, MASK_64 = (1 << 32) - 1, (1 << 64) - 1


def to_float32(number: Any) -> Any:
    """Inside loops: a number of a bfloat16 piece, which comes as its bits, or of a float32 one."""
    raise NotImplementedError("only compiled")


@overload(to_float32)  # type: ignore[untyped-decorator]
def _to_float32(number: Any) -> Any:
    def convert(number: Any) -> Any:
        """A bfloat16 number by its bits."""
        return widen(number)

    def keep(number: Any) -> Any:
        """A float32 number."""
        return number

    return convert if number == types.uint16 else keep


def _is_finite(bits: Any) -> Any:
    largest = np.uint16(0)
    for k in range(bits.size):
        largest = max(largest, np.uint16(bits[k] & np.uint16(0x7FFF)))
    return largest < np.uint16(BF16_INFINITE)


def _subtract(piece: Any, base: Any, difference: Any) -> None:
    for k in range(piece.size):
        difference[k] = to_float32(piece[k]) - to_float32(base[k])


def _find_sizes(piece: Any, base: Any, sizes: Any) -> None:
    """The magnitudes of piece - base by their bits, whose order is that of the numbers."""
    for k in range(piece.size):
        sizes[k] = np.float32(to_float32(piece[k]) - to_float32(base[k])).view(np.uint32) & np.uint32(MAGNITUDE)


find_sizes = compile_loop(_find_sizes)


def _count_upper(piece: Any, base: Any, counts: Any) -> None:
    sizes = np.empty(BLOCK, np.uint32)
    for at in range(0, piece.size, BLOCK):
        find_sizes(piece[at : at + BLOCK], base[at : at + BLOCK], sizes)
        for k in range(min(BLOCK, piece.size - at)):
            counts[sizes[k] >> np.uint32(LOW_BITS)] += 1


def _count_lower(piece: Any, base: Any, upper: Any, counts: Any) -> None:
    sizes = np.empty(BLOCK, np.uint32)
    for at in range(0, piece.size, BLOCK):
        find_sizes(piece[at : at + BLOCK], base[at : at + BLOCK], sizes)
        for k in range(min(BLOCK, piece.size - at)):
            if sizes[k] >> np.uint32(LOW_BITS) == upper:
                counts[sizes[k] & np.uint32(LOWER - 1)] += 1


def _keep_large(difference: Any, threshold: Any) -> None:
    for k in range(difference.size):
        difference[k] = difference[k] if abs(difference[k]) >= threshold else np.float32(0)


def _multiply(x: Any, factor: Any) -> Any:
    """The upper and the lower 64 bits of a product, by halves: so the loops use vectors, which have no such product."""
    low, high = factor & np.uint64(MASK_32), factor >> np.uint64(32)
    x_low, x_high = x & np.uint64(MASK_32), x >> np.uint64(32)
    lowest = x_low * low
    first = x_high * low + (lowest >> np.uint64(32))
    second = x_low * high + (first & np.uint64(MASK_32))
    upper = x_high * high + (first >> np.uint64(32)) + (second >> np.uint64(32))
    return upper, (second << np.uint64(32)) | (lowest & np.uint64(MASK_32))


multiply = compile_loop(_multiply)


def _draw(key: Any, first: Any, uniforms: Any) -> None:
    """The numbers of merge.arithmetic.sparse.draw_uniforms, from four times counter `first` on.

    Philox4x64-10 (Salmon et al. 2011), as numpy counts: the first four numbers are those of counter first + 1.
    """
    counters = uniforms.size // 4
    a, b = np.empty(counters, np.uint64), np.empty(counters, np.uint64)
    c, d = np.empty(counters, np.uint64), np.empty(counters, np.uint64)
    for n in range(counters):
        a[n], b[n], c[n], d[n] = first + np.uint64(n) + np.uint64(1), np.uint64(0), np.uint64(0), np.uint64(0)
    low, high = key[0], key[1]
    for _ in range(ROUNDS):
        for n in range(counters):
            upper_a, lower_a = multiply(a[n], np.uint64(PHILOX_A))
            upper_c, lower_c = multiply(c[n], np.uint64(PHILOX_C))
            a[n], b[n], c[n], d[n] = upper_c ^ b[n] ^ low, lower_c, upper_a ^ d[n] ^ high, lower_a
        low, high = low + np.uint64(WEYL_LOW), high + np.uint64(WEYL_HIGH)
    for n in range(counters):
        uniforms[4 * n] = np.float32(a[n] >> np.uint64(RAW_SHIFT)) * np.float32(UNIFORM)
        uniforms[4 * n + 1] = np.float32(b[n] >> np.uint64(RAW_SHIFT)) * np.float32(UNIFORM)
        uniforms[4 * n + 2] = np.float32(c[n] >> np.uint64(RAW_SHIFT)) * np.float32(UNIFORM)
        uniforms[4 * n + 3] = np.float32(d[n] >> np.uint64(RAW_SHIFT)) * np.float32(UNIFORM)


draw = compile_loop(_draw)


def _divide_drawn(difference: Any, uniforms: Any, chances: Any) -> None:
    for k in range(difference.size):
        divided = difference[k] / chances[k]  # computed in any case: a choice of two numbers needs no jump
        difference[k] = divided if uniforms[k] < chances[k] else np.float32(0)


divide_drawn = compile_loop(_divide_drawn)


def _keep_drawn(difference: Any, key: Any, first: Any, ahead: Any, chances: Any) -> None:
    """first: the counter whose four numbers begin `ahead` places before the difference's."""
    uniforms = np.empty(BLOCK, np.float32)
    for block in range((ahead + difference.size + BLOCK - 1) // BLOCK):
        draw(key, first + np.uint64(block * (BLOCK // 4)), uniforms)
        at = block * BLOCK - ahead
        begin, end = max(at, 0), min(at + BLOCK, difference.size)
        divide_drawn(difference[begin:end], uniforms[begin - at : end - at], chances[begin:end])


def _mix(differences: Any, shares: Any, elect: Any, mixed: Any) -> None:
    sides, count = differences.shape
    total, weight = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    for at in range(0, count, BLOCK):
        out = mixed[at : at + BLOCK]
        for k in range(out.size):
            out[k] = differences[0, at + k] * shares[0]
        for side in range(1, sides):
            add_scaled(out, differences[side][at : at + BLOCK], shares[side])
        if elect:
            begin_agreeing(total, weight, out, differences[0][at : at + BLOCK], shares[0])
            for side in range(1, sides):
                add_agreeing(total, weight, out, differences[side][at : at + BLOCK], shares[side])
            for k in range(out.size):
                out[k] = total[k] / (weight[k] if weight[k] > np.float32(0) else np.float32(1))


def _add_scaled(total: Any, difference: Any, share: Any) -> None:
    for k in range(total.size):
        total[k] = np.float32(np.float64(total[k]) + np.float64(difference[k]) * np.float64(share))


def _begin_agreeing(total: Any, weight: Any, elected: Any, difference: Any, share: Any) -> None:
    """As _add_agreeing to zeros."""
    for k in range(elected.size):
        is_plus, is_minus = difference[k] > np.float32(0), difference[k] < np.float32(0)
        agrees = is_plus if elected[k] >= np.float32(0) else is_minus
        total[k] = (difference[k] if agrees else np.float32(0)) * share
        weight[k] = share if agrees else np.float32(0)


def _add_agreeing(total: Any, weight: Any, elected: Any, difference: Any, share: Any) -> None:
    """elected: a number of the sign that counts; zero is plus."""
    for k in range(elected.size):
        is_plus, is_minus = difference[k] > np.float32(0), difference[k] < np.float32(0)
        agrees = is_plus if elected[k] >= np.float32(0) else is_minus
        part = difference[k] if agrees else np.float32(0)
        total[k] = np.float32(np.float64(total[k]) + np.float64(part) * np.float64(share))
        weight[k] += share if agrees else np.float32(0)


def _add_to_bf16(base: Any, mixed: Any, scale: Any, total: Any) -> None:
    for k in range(mixed.size):
        total[k] = narrow(mixed[k] * scale + widen(base[k]))


def _add_to_f32(base: Any, mixed: Any, scale: Any, total: Any) -> None:
    for k in range(mixed.size):
        total[k] = mixed[k] * scale + to_float32(base[k])


add_scaled = compile_loop(_add_scaled)
begin_agreeing, add_agreeing = compile_loop(_begin_agreeing), compile_loop(_add_agreeing)
is_finite = compile_loop(_is_finite)
subtract = compile_loop(_subtract)
count_upper, count_lower = compile_loop(_count_upper), compile_loop(_count_lower)
keep_large, keep_drawn = compile_loop(_keep_large), compile_loop(_keep_drawn)
mix = compile_loop(_mix)
add_to_bf16, add_to_f32 = compile_loop(_add_to_bf16), compile_loop(_add_to_f32)


class CompiledSparse(NumpySparse):
    """A Sparse in compiled loops; numpy's where a piece is neither bfloat16 nor float32."""

    def is_finite(self, piece: Array) -> bool:
        """As Sparse.is_finite."""
        return bool(is_finite(_view(piece))) if piece.dtype == BFLOAT16 else super().is_finite(piece)

    def subtract(self, piece: Array, base: Array, difference: Array) -> None:
        """As Sparse.subtract."""
        if _have_loops(piece, base):
            subtract(_view(piece), _view(base), difference)
        else:
            super().subtract(piece, base, difference)

    def count_upper(self, piece: Array, base: Array, counts: Array) -> None:
        """As Sparse.count_upper."""
        if _have_loops(piece, base):
            count_upper(_view(piece), _view(base), counts)
        else:
            super().count_upper(piece, base, counts)

    def count_lower(self, piece: Array, base: Array, upper: int, counts: Array) -> None:
        """As Sparse.count_lower."""
        if _have_loops(piece, base):
            count_lower(_view(piece), _view(base), np.uint32(upper), counts)
        else:
            super().count_lower(piece, base, upper, counts)

    def keep_large(self, difference: Array, threshold: float) -> None:
        """As Sparse.keep_large."""
        keep_large(difference, np.float32(threshold))

    def keep_drawn(self, difference: Array, key: int, start: int, chances: Array | float) -> None:
        """As Sparse.keep_drawn."""
        first, ahead = divmod(start, 4)
        own = np.full(difference.size, chances, FLOAT32) if isinstance(chances, float) else chances
        keep_drawn(difference, np.array([key & MASK_64, key >> 64], np.uint64), np.uint64(first), ahead, own)

    def find_chances(self, rows: Array, density: float, epsilon: float) -> Array:
        """As Sparse.find_chances."""
        length = rows.shape[1]
        if length < 2:
            return super().find_chances(rows, density, epsilon)
        chances = np.empty(rows.shape, FLOAT32)
        factor, least = np.float32(2 * epsilon / (length - 1)), np.float32(density - epsilon)
        rank_rows(np.ascontiguousarray(rows).view(np.uint32), factor, least, chances)
        return chances

    def mix(self, differences: Array, shares: Sequence[float], *, elect: bool) -> Array:
        """As Sparse.mix."""
        mixed = np.empty(differences.shape[1], FLOAT32)
        mix(differences, np.array(shares, FLOAT32), elect, mixed)
        return mixed

    def add_to(self, base: Array, mixed: Array, scale: float, total: Array) -> None:
        """As Sparse.add_to."""
        if base.dtype == total.dtype == BFLOAT16:
            add_to_bf16(_view(base), mixed, np.float32(scale), _view(total))
        elif total.dtype == FLOAT16:
            wide = np.empty(total.size, FLOAT32)
            self.add_to(base, mixed, scale, wide)
            narrow_f16(wide, total.view(np.uint16))
        elif total.dtype == FLOAT32 and _have_loops(base):
            add_to_f32(_view(base), mixed, np.float32(scale), total)
        else:
            super().add_to(base, mixed, scale, total)


def _have_loops(*pieces: Array) -> bool:
    return all(piece.dtype in (BFLOAT16, FLOAT32) for piece in pieces)


def _view(piece: Array) -> Array:
    """As the loops take it: bfloat16 as its bits, in the same memory."""
    return piece.view(np.uint16) if piece.dtype == BFLOAT16 else piece
