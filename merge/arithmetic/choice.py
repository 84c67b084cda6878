"""Chooses the arithmetic of a run, by the requested device and what is installed: once, then handed down.

The libraries are imported here and no earlier; numba takes a third of a second.

    arithmetic = find_arithmetic("cpu")
"""

from __future__ import annotations

import numpy as np

from merge.arithmetic.dtypes import BFLOAT16, FLOAT32
from merge.arithmetic.geodesic import Arithmetic, interpolate
from merge.arithmetic.plain import NumpyArithmetic
from merge.errors import DeviceNotFound


def find_arithmetic(device: str) -> Arithmetic:
    """The arithmetic of a device: this machine's cores for "cpu", else torch on the device of this name.

    Raises DeviceNotFound.
    """
    host = _find_host()
    if device == "cpu":
        return host
    try:
        from merge.arithmetic.cuda import TorchArithmetic
    except ImportError as error:
        raise DeviceNotFound(f"device {device!r} needs torch, which is not installed. Use cpu") from error
    return TorchArithmetic(device, host)


def _find_host() -> Arithmetic:
    """Compiled loops where numba is installed, else numpy."""
    try:
        from merge.arithmetic.kernels import CompiledArithmetic
        from merge.arithmetic.sparse_kernels import CompiledSparse
    except ImportError:
        return NumpyArithmetic()
    arithmetic = CompiledArithmetic()
    arithmetic.sparse = CompiledSparse()
    return arithmetic


def warm_up(arithmetic: Arithmetic) -> None:
    """Load the compiled loops, or compile them.

    It takes a third of a second of one core: a caller does it while it waits for something else.
    """
    for dtype in (BFLOAT16, FLOAT32):
        piece = np.ones(1, dtype)
        interpolate(piece, np.full(1, 2, dtype), 0.5, dtype, arithmetic)
        arithmetic.square(piece)
