"""The compiled loops of TIES, DARE and DELLA against numpy's: the same bits, whatever the shapes and the numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merge.arithmetic import baselines
from merge.arithmetic.baselines import combine_base, prepare
from merge.arithmetic.dtypes import BFLOAT16, FLOAT16, FLOAT32, Array, DType
from merge.arithmetic.sparse import LOW_BITS, LOWER, UPPER, NumpySparse, Sparse, draw_uniforms
from merge.recipe import Parameters
from tests.rows import for_each

kernels = pytest.importorskip("merge.arithmetic.sparse_kernels")
COMPILED, PLAIN = kernels.CompiledSparse(), NumpySparse()
DTYPES = [BFLOAT16, FLOAT16, FLOAT32]


@given(start=st.integers(0, 2**40), count=st.integers(0, 2100), key=st.integers(0, 2**128 - 1))
def test_numbers_are_drawn_as_numpy_draws_them(start: int, count: int, key: int) -> None:
    """A chance that is the number itself is not enough; the next number above it is."""
    uniforms = draw_uniforms(key, start, count)
    chances = np.where(np.arange(count) % 3, np.nextafter(uniforms, np.float32(2)), uniforms).astype(FLOAT32)
    ones = np.ones(count, FLOAT32)
    COMPILED.keep_drawn(ones, key, start, chances)
    assert np.array_equal(ones != 0, np.arange(count) % 3 != 0)


@given(
    rows=st.integers(1, 4),
    length=st.integers(1, 50),
    seed=st.integers(0, 99),
    dtype=st.sampled_from(DTYPES),
    total_dtype=st.sampled_from(DTYPES),
    elect=st.booleans(),
)
def test_compiled_loops_give_numpys_bits(
    rows: int, length: int, seed: int, dtype: DType, total_dtype: DType, elect: bool
) -> None:
    dice, count = np.random.default_rng(seed), rows * length
    one, two, base = (np.round(dice.standard_normal(count), 1).astype(dtype) for _ in range(3))

    def results(sparse: Sparse) -> Iterator[Array]:
        """All that a Sparse computes."""
        differences = np.empty((3, count), FLOAT32)
        sparse.subtract(one, base, differences[0])
        sparse.subtract(two, base, differences[1])
        differences[2] = differences[0] - differences[1]
        yield differences.copy()
        uppers, lowers = np.zeros(UPPER, np.int64), np.ones(LOWER, np.int64)
        upper = int(abs(differences[0, :1]).view(np.int32)[0]) >> LOW_BITS
        for _ in range(2):  # what was counted before stays
            sparse.count_upper(one, base, uppers)
            sparse.count_lower(one, base, upper, lowers)
        yield from (uppers, lowers)
        mixed = sparse.mix(differences, [0.5, 0.3, 0.7], elect=elect)
        yield mixed
        total = np.empty(count, total_dtype)
        sparse.add_to(base, mixed, 1.5, total)
        yield total
        chances = sparse.find_chances(differences[0].reshape(rows, length), 0.5, 0.2).reshape(-1)
        yield chances
        sparse.keep_drawn(differences[0], (seed << 100) + 5, seed, 0.3)
        sparse.keep_drawn(differences[1], (seed << 100) + 5, seed, chances)
        sparse.keep_large(differences[2], float(abs(differences[2]).max()) / 2)
        yield differences

    for ours, expected in zip(results(COMPILED), results(PLAIN), strict=True):
        assert ours.tobytes() == expected.tobytes()


@for_each("dtype", DTYPES)
@for_each("value", [np.inf, -np.inf, np.nan])
def test_one_number_that_is_not_finite_is_found(dtype: DType, value: float) -> None:
    piece = np.full(5000, -3e4, dtype)
    for sparse in (COMPILED, PLAIN):
        assert sparse.is_finite(piece)
        assert sparse.is_finite(piece[:0])
    for at in (0, 4999):
        piece[at], before = value, piece[at]
        assert not COMPILED.is_finite(piece)
        assert not PLAIN.is_finite(piece)
        piece[at] = before


SHAPES = [(1, 1), (1, 200), (200, 1), (0, 4), (0,), (1,), (333,), (7, 97), (3, 4, 9), (2, 1100)]


@for_each("shape", SHAPES)
@for_each("density", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("method", ["task_arithmetic", "ties", "dare", "della"])
def test_whole_tensors_have_numpys_bits(method: str, shape: tuple[int, ...], density: float) -> None:
    """In blocks smaller than the piece, larger, and no multiple of it; pieces of some rows."""
    dice = np.random.default_rng(1)
    flat = {side: dice.standard_normal(shape).astype(BFLOAT16).reshape(-1) for side in ("chip", "chat", "base")}
    row = max(shape[-1], 1) if len(shape) > 1 else 1
    step = max(100 // row, 1) * row
    pieces = {
        at: {side: values[at : at + step] for side, values in flat.items()} for at in range(0, flat["base"].size, step)
    }

    def look(function: Callable[[int, Mapping[str, Array]], Any]) -> Iterator[Any]:
        """All pieces."""
        return (function(at, piece) for at, piece in pieces.items())

    def merge(sparse: Sparse) -> list[bytes]:
        """The pieces of the merged tensor."""
        shares = {"chip": 0.6, "chat": 0.4}
        mix = prepare(method, shares, {}, "t", shape, Parameters(density=density), look, sparse)
        return [combine_base(piece, mix, at, BFLOAT16, sparse).tobytes() for at, piece in pieces.items()]

    expected = merge(PLAIN)
    for block in (1, 32, 1 << 16):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(baselines, "BLOCK", block)
            assert merge(COMPILED) == expected
            assert merge(PLAIN) == expected
