"""Ranks in compiled loops against numpy's stable argsort: the same bits, whatever the rows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merge.arithmetic.dtypes import FLOAT32, Array
from merge.arithmetic.sparse import find_chances
from tests.rows import for_each

kernels = pytest.importorskip("merge.arithmetic.ranking_kernels")
COMPILED = pytest.importorskip("merge.arithmetic.sparse_kernels").CompiledSparse()
KINDS = ("normal", "few values", "long tails", "one outlier", "zeros", "falling", "two runs")


def make_rows(kind: str, rows: int, length: int, seed: int = 0) -> Array:
    """Rows of differences as fine-tunes have them, and as a sort finds them hard."""
    dice = np.random.default_rng(seed)
    values = dice.standard_normal((rows, length))
    if kind == "few values":
        values = np.round(values, 1)
    elif kind == "long tails":
        values = values * np.exp(6 * dice.standard_normal((rows, length)))
    elif kind == "one outlier":
        values[:, length // 2] = 1e30
    elif kind == "zeros":
        values = values * (dice.random((rows, length)) < 0.05)
    elif kind == "falling":  # within one bin, the largest first
        values = 1 + np.arange(length)[::-1] * 2.0**-23 * np.ones((rows, 1))
    elif kind == "two runs":  # one place is wrong, and half of all must move far
        run = 1 + np.arange(length) * 2.0**-23
        values = np.concatenate([run[length // 2 :], run[: length // 2]]) * np.ones((rows, 1))
    made: Array = values.astype(FLOAT32)
    return made


@for_each("kind", KINDS)
@for_each("length", [2, 3, 7, 8, 63, 64, 65, 1000, 4096, 4097, 40_000])
def test_ranks_are_numpys_for_rows_of_all_kinds(kind: str, length: int) -> None:
    rows = make_rows(kind, 2, length)
    before = rows.copy()
    found = COMPILED.find_chances(rows, 0.5, 0.2)
    assert found.tobytes() == find_chances(rows, 0.5, 0.2).tobytes()
    assert rows.tobytes() == before.tobytes()


@pytest.mark.parametrize("kind", ["falling", "two runs"])
def test_a_row_far_from_its_order_is_left_to_the_sort_by_digits(kind: str) -> None:
    """Insertion alone would move each number past half of the others."""
    bits = make_rows(kind, 1, 4096)[0].view(np.uint32)
    packed = (bits.astype(np.int64) << 32) | np.arange(bits.size)
    expected, given_up = np.sort(packed), packed.copy()
    assert not kernels.sort_by_insertion(given_up)
    kernels.sort_by_digits(bits, given_up)
    assert np.array_equal(given_up, expected)


@given(st.lists(st.integers(0, 2**62), max_size=40))
def test_swaps_and_insertion_sort_what_is_nearly_sorted(numbers: list[int]) -> None:
    packed = np.array(sorted(numbers), np.int64)
    expected = packed.copy()
    for k in range(0, packed.size - 2, 3):
        packed[k], packed[k + 2] = packed[k + 2], packed[k]
    assert kernels.count_wrong(packed) == sum(a > b for a, b in pairwise(packed))
    kernels.swap_neighbours(packed[: packed.size // 2 * 2])
    assert kernels.sort_by_insertion(packed)
    assert np.array_equal(packed, expected)
