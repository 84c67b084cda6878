"""Products of 8-bit integers where the processor multiplies them (AVX512-VNNI): several times as fast as of floats.

Every column of a weight matrix and every token has a scale of its own: its largest number becomes 127 and the others
are rounded (Dettmers et al., "LLM.int8()", NeurIPS 2022, sections 2 and 3: vector-wise quantisation). A product of
integers is exact, so the result for a token does not depend on the other tokens, and nothing needs calibration.

    layer = EightBitLinear(weight, bias); layer(states, Room(tokens, widest))  # a layer of rag.embedding.bert

The same products compare a question's tokens with the stored signs of a passage's (rag.index.late).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rag.embedding.compiled import ROUNDING, compile_loop
from rag.embedding.processor import multiplies_eight_bits

LARGEST = np.float32(127)
SIGNLESS = np.int32(0x7FFFFFFF)
SMALLEST_SCALE = np.finfo(np.float32).tiny  # below it a scale has no inverse: such a row counts as zeros


@compile_loop
def _quantise(values: Any, rounded: Any, scales: Any) -> None:
    """Quantise each row of `values`, float32, to whole numbers up to 127 in `rounded`, int8.

    Times its entry of `scales`, float32, a row of `rounded` is about the row of `values`.
    """
    # Without their sign, bits compare as the numbers do, and compilers vectorise the largest of integers
    bits = values.view(np.int32)
    for row in range(values.shape[0]):
        largest = np.int32(0)
        for column in range(values.shape[1]):
            largest = max(largest, bits[row, column] & SIGNLESS)
        scales[row] = np.int32(largest).view(np.float32) / LARGEST
        factor = np.float32(1) / scales[row] if scales[row] >= SMALLEST_SCALE else np.float32(0)
        for column in range(values.shape[1]):
            rounded[row, column] = np.int8(np.float32(values[row, column] * factor + ROUNDING).view(np.int32))


@compile_loop
def _restore(products: Any, scales: Any, column_scales: Any, bias: Any) -> None:
    """Replace products of whole numbers, int32, in place by the float32 that they stand for."""
    for row in range(products.shape[0]):
        scale = scales[row]
        for column in range(products.shape[1]):
            value = np.float32(products[row, column]) * scale * column_scales[column] + bias[column]
            products[row, column] = np.float32(value).view(np.int32)


class Room:
    """The buffers of all products of one pass, allocated once."""

    def __init__(self, tokens: int, widest: int) -> None:
        self.rounded = torch.empty(tokens * widest, dtype=torch.int8)
        self.products = torch.empty(tokens * widest, dtype=torch.int32)
        self.scales = np.empty(tokens, dtype=np.float32)


class EightBitLinear:
    """A linear layer whose weights and inputs are rounded to 8 bits."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        """weight: shape (output, input)."""
        rounded = np.empty(weight.shape, dtype=np.int8)
        self._column_scales = np.empty(len(weight), dtype=np.float32)
        _quantise(weight.numpy(), rounded, self._column_scales)
        self._weight = torch.from_numpy(rounded).t()  # shape (input, output)
        self._bias = bias.numpy()

    def __call__(self, states: Tensor, room: Room) -> Tensor:
        """For `states`, shape (tokens, input): shape (tokens, output), in `room` until its next use."""
        rounded = room.rounded[: states.numel()].view(states.shape)
        products = room.products[: len(states) * len(self._bias)].view(len(states), len(self._bias))
        _quantise(states.numpy(), rounded.numpy(), room.scales)
        torch._int_mm(rounded, self._weight, out=products)
        _restore(products.numpy(), room.scales, self._column_scales, self._bias)
        return products.view(torch.float32)


def multiply_bits(numbers: NDArray[np.float32], bits: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Products of rows of numbers, shape (rows, size), with rows of bits, shape (others, size): shape (rows, others).

    The numbers are rounded to 8 bits where the processor multiplies those: seven times as fast as converting all bits
    to floats.
    """
    if not multiplies_eight_bits():
        return numbers @ bits.astype(np.float32).T
    rounded, scales = np.empty(numbers.shape, dtype=np.int8), np.empty((len(numbers), 1), dtype=np.float32)
    _quantise(numbers, rounded, scales[:, 0])
    products: NDArray[np.int32] = torch._int_mm(
        torch.from_numpy(rounded), torch.from_numpy(bits.view(np.int8)).t()
    ).numpy()
    return products * scales
