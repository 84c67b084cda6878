"""The arithmetic of merge.arithmetic.geodesic in numpy, for every dtype that checkpoints have and on every machine.

Where numba is installed, the compiled loops (merge.arithmetic.kernels) do the same several times as fast, and leave to
this file all but floats of 16 and 32 bits.

    sums = NumpyArithmetic().measure(w_chip, w_chat)
"""

from __future__ import annotations

import numpy as np

from merge.arithmetic.dtypes import FLOAT32, FLOAT64, Array, DType
from merge.arithmetic.geodesic import QUIET, Arc, Sums
from merge.arithmetic.sparse import NumpySparse, Sparse


class NumpyArithmetic:
    """An Arithmetic on this machine's cores."""

    sparse: Sparse = NumpySparse()

    @QUIET
    def measure(self, chip: Array, chat: Array) -> Sums:
        """As Arithmetic.measure."""
        c, i = chip.astype(FLOAT64), chat.astype(FLOAT64)
        d = c - i if chip.dtype.kind not in "iub" else (chip != chat).astype(FLOAT64)
        return Sums(*(float(np.sum(x * y)) for x, y in ((c, c), (i, i), (d, d), (c, i))))

    @QUIET
    def square(self, piece: Array) -> float:
        """As Arithmetic.square."""
        return float(np.sum(np.square(piece.astype(FLOAT64))))

    @QUIET
    def combine(self, chip: Array, chat: Array, arc: Arc, dtype: DType) -> Array:
        """As Arithmetic.combine."""
        wide = FLOAT64 if arc.is_cancelling else FLOAT32
        if arc.chat == 0.0:
            return self._scale(chip, arc.chip, wide, dtype)
        if arc.chip == 0.0:
            return self._scale(chat, arc.chat, wide, dtype)
        if arc.is_cancelling:
            mixed = chip.astype(FLOAT64) * arc.chip + chat.astype(FLOAT64) * arc.chat
            return self.narrow(mixed.astype(FLOAT32), dtype)
        return self._blend(chip, chat, np.float32(arc.chip), np.float32(arc.chat), dtype)

    def widen(self, piece: Array) -> Array:
        """As Arithmetic.widen."""
        return piece.astype(FLOAT32, copy=False)

    @QUIET
    def narrow(self, wide: Array, dtype: DType) -> Array:
        """As Arithmetic.narrow."""
        return wide.astype(dtype, copy=False)

    def _blend(self, chip: Array, chat: Array, a: np.float32, b: np.float32, dtype: DType) -> Array:
        """a * W_c + b * W_i in float32, each product and the sum rounded by itself, then rounded to `dtype`."""
        return self.narrow(self.widen(chip) * a + self.widen(chat) * b, dtype)

    def _scale(self, piece: Array, factor: float, wide: DType, dtype: DType) -> Array:
        if factor == 1.0:
            return piece if piece.dtype == dtype else self.narrow(self.widen(piece), dtype)
        return self.narrow((piece.astype(wide) * wide.type(factor)).astype(FLOAT32, copy=False), dtype)
