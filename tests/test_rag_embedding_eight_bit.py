"""rag.embedding.eight_bit: integers of 8 bits beside the same products in float32."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rag.embedding.eight_bit import EightBitLinear, Room, _quantise, multiply_bits
from rag.embedding.processor import multiplies_eight_bits
from tests.rows import for_each

needs_eight_bits = pytest.mark.skipif(not multiplies_eight_bits(), reason="this processor has no AVX512-VNNI")


def test_rows_are_rounded_with_a_scale_each() -> None:
    values = np.array(
        [
            [1.0, -2.0, 0.5, 0.004],
            [0, 0, 0, 0],
            [3e-30, -3e-30, 1e-30, 0],
            [-1e30, 1e30, 5e29, 1e28],
            [1e-40, 0, -1e-44, 0],
        ]
    )
    values = values.astype(np.float32)
    rounded, scales = np.empty(values.shape, dtype=np.int8), np.empty(5, dtype=np.float32)
    _quantise(values, rounded, scales)
    assert np.array_equal(
        rounded, [[64, -127, 32, 0], [0, 0, 0, 0], [127, -127, 42, 0], [-127, 127, 64, 1], [0, 0, 0, 0]]
    )
    assert scales == pytest.approx(np.abs(values).max(axis=1) / 127, rel=1e-5)


@for_each(("rows", "others", "size"), [(1, 1, 8), (3, 50, 32), (17, 301, 384)])
def test_products_with_bits_are_nearly_those_of_floats(rows: int, others: int, size: int) -> None:
    dice = np.random.default_rng(size)
    numbers = dice.normal(size=(rows, size)).astype(np.float32)
    bits = dice.integers(0, 2, (others, size), dtype=np.uint8)
    found = multiply_bits(numbers, bits)
    assert found.shape == (rows, others)
    assert np.abs(found - numbers @ bits.T.astype(np.float32)).max() < 0.02 * np.sqrt(size) * np.abs(numbers).max()


@needs_eight_bits
@pytest.mark.parametrize("tokens", [1, 3, 100])
def test_layers_are_exact_up_to_the_rounding_of_their_input_and_weights(tokens: int) -> None:
    torch.manual_seed(tokens)
    layer = torch.nn.Linear(96, 96)
    states = torch.randn(tokens, 96) * torch.logspace(-3, 3, tokens)[:, None]  # tokens of quite different size
    with torch.inference_mode():
        found = EightBitLinear(layer.weight, layer.bias)(states, Room(tokens, 96))
        whole = layer(states)
    assert found.shape == (tokens, 96)
    scales = states.abs().amax(dim=1, keepdim=True)
    assert float(((found - whole).abs() / (scales + 1)).max()) < 0.02
