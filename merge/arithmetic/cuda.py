"""The arithmetic of merge.arithmetic.geodesic on a GPU, for pieces from and to this machine's memory.

Only this file computes with torch, and it is imported only for a device other than "cpu". Sums are added in another
order than on a CPU, so the last of their fifteen digits may differ, and with it the last bit of a merged number.

    arithmetic = TorchArithmetic("cuda", host=NumpyArithmetic())
    sums = arithmetic.measure(w_chip, w_chat)
"""

from __future__ import annotations

import numpy as np
import torch

from merge.arithmetic.dtypes import Array, DType
from merge.arithmetic.geodesic import Arc, Arithmetic, Sums
from merge.errors import DeviceNotFound


class TorchArithmetic:
    """An Arithmetic on one device of torch's."""

    def __init__(self, device: str, host: Arithmetic) -> None:
        """device: as torch names it: "cuda", "cuda:1"; "cpu:0" is torch's own CPU.

        host: widens and narrows, which is not worth the copy to the device.

        Raises DeviceNotFound.
        """
        try:
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError) as error:  # builds of torch without CUDA raise these
            raise DeviceNotFound(f"device {device!r} cannot be used: {str(error).splitlines()[0]}. Use cpu") from error
        self._device, self._host = device, host
        self.sparse = host.sparse  # on the host

    def measure(self, chip: Array, chat: Array) -> Sums:
        """As Arithmetic.measure."""
        c, i = self._load(chip).double(), self._load(chat).double()
        d = self._load(chip != chat).double() if chip.dtype.kind in "iub" else c - i
        return Sums(*torch.stack([torch.dot(x, y) for x, y in ((c, c), (i, i), (d, d), (c, i))]).tolist())

    def square(self, piece: Array) -> float:
        """As Arithmetic.square."""
        wide = self._load(piece).double()
        return float(torch.dot(wide, wide).item())

    def combine(self, chip: Array, chat: Array, arc: Arc, dtype: DType) -> Array:
        """As Arithmetic.combine."""
        wide = torch.float64 if arc.is_cancelling else torch.float32
        if arc.chat == 0.0:
            return self._store(self._scale(chip, arc.chip, wide), dtype)
        if arc.chip == 0.0:
            return self._store(self._scale(chat, arc.chat, wide), dtype)
        return self._store(self._scale(chip, arc.chip, wide) + self._scale(chat, arc.chat, wide), dtype)

    def widen(self, piece: Array) -> Array:
        """As Arithmetic.widen, on the host."""
        return self._host.widen(piece)

    def narrow(self, wide: Array, dtype: DType) -> Array:
        """As Arithmetic.narrow, on the host."""
        return self._host.narrow(wide, dtype)

    def _scale(self, piece: Array, factor: float, wide: torch.dtype) -> torch.Tensor:
        loaded = self._load(piece)
        return loaded if factor == 1.0 else loaded.to(wide) * factor

    def _load(self, piece: Array) -> torch.Tensor:
        """A flat piece on the device, in torch's dtype of the same name."""
        return torch.from_numpy(piece.view(np.uint8)).view(getattr(torch, piece.dtype.name)).to(self._device)

    def _store(self, tensor: torch.Tensor, dtype: DType) -> Array:
        """A flat tensor in this machine's memory, rounded to `dtype`."""
        rounded = tensor.to(getattr(torch, dtype.name)).cpu()
        stored: Array = rounded.view(torch.uint8).numpy().view(dtype)
        return stored
