"""Loops over numbers, compiled for this processor at their first call.

They do in one pass, and in its vectors, what numpy and torch do in several or one number after the other.

    exponentiate(weights.numpy().reshape(-1))  # in place
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

# Added to a float32 below 2^22 it leaves no bits for a fraction: the sum's last bits are the number rounded to the
# nearest, ties to even.
ROUNDING = np.float32(1.5 * 2**23)
LOG2_E = np.float32(np.log2(np.e))
LARGEST_POWER = np.float32(126)  # of two; float32 holds its inverse with all digits, too
EXPONENT_BITS, EXPONENT_ZERO = 23, np.int32(127)  # of a float32: where its exponent stands, and that of 1
# 2^f for -0.5 <= f <= 0.5, the highest power first: least squares of the relative error, which is below 2e-9
C6, C5, C4, C3, C2, C1 = map(
    np.float32, (0.000153375775, 0.00133998599, 0.00961851981, 0.0555032901, 0.240226462, 0.693147182)
)
ONE = np.float32(1)


def compile_loop(function: Callable[..., None], **options: Any) -> Callable[..., None]:
    """Compiled at the first call, without the GIL; kept on disk unless no place for it can be written."""
    try:
        compiled: Callable[..., None] = numba.njit(nogil=True, cache=True, error_model="numpy", **options)(function)
    except RuntimeError:  # "no locator available": neither this folder nor the user's cache can be written
        compiled = numba.njit(nogil=True, error_model="numpy", **options)(function)
    return compiled


def _exponentiate(values: Any) -> None:
    """Replace each of `values`, float32 in one row, by its exponential, to 1e-6 of it; those beyond 2^126 by that.

    With n whole, e^x = 2^n * 2^f; 2^n is made of its bits, 2^f by a polynomial.
    """
    for place in range(values.size):
        power = min(max(values[place] * LOG2_E, -LARGEST_POWER), LARGEST_POWER)
        shifted = np.float32(power + ROUNDING)
        f = np.float32(power - np.float32(shifted - ROUNDING))
        fraction = (((((C6 * f + C5) * f + C4) * f + C3) * f + C2) * f + C1) * f + ONE
        bits = np.int32((shifted.view(np.int32) + EXPONENT_ZERO) << EXPONENT_BITS)
        values[place] = np.float32(fraction * bits.view(np.float32))


exponentiate = compile_loop(_exponentiate, fastmath={"contract"})
