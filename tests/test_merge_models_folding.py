"""merge.models.folding: any piece of a folded tensor is that piece of the formula on the whole tensor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merge.arithmetic.dtypes import FLOAT32, Array
from merge.arithmetic.plain import NumpyArithmetic
from merge.models.checkpoint import TensorSpec
from merge.models.folding import AddedBias, Edit, FoldedTensor, LowRank, Replaced, Tokens, find_layout, widen_spec
from tests.rows import for_each

OUT, INTO, RANK, EXPERTS = 4, 6, 2, 3
DICE = np.random.default_rng(7)
A = DICE.standard_normal((RANK, INTO)).astype(FLOAT32)
B = DICE.standard_normal((OUT, RANK)).astype(FLOAT32)
WHOLE = DICE.standard_normal((OUT, INTO)).astype(FLOAT32)


def spec(shape: tuple[int, ...], dtype: str = "F32") -> TensorSpec:
    return TensorSpec("w", dtype, shape, Path("w.safetensors"), 0)


@dataclass(frozen=True)
class Stored:
    """A tensor in memory, read piece by piece."""

    tensor: Array

    @property
    def spec(self) -> TensorSpec:
        return spec(self.tensor.shape, "F16" if self.tensor.dtype == np.float16 else "F32")

    def read(self, start: int, stop: int, buffer: Array | None = None) -> Array:
        return self.tensor.reshape(-1)[start:stop].copy()


def fold(tensor: Array, *edits: Edit) -> FoldedTensor:
    return FoldedTensor(Stored(tensor), edits, NumpyArithmetic())


def whole(tensor: Array, *edits: Edit) -> Array:
    return fold(tensor, *edits).read(0, tensor.size).reshape(tensor.shape)


def experts(square: bool = False) -> tuple[Array, Array, list[Array]]:
    """A and B of a stack of experts, and each expert's product, computed one by one."""
    out = INTO if square else OUT
    a = DICE.standard_normal((EXPERTS, RANK, INTO)).astype(FLOAT32)
    b = DICE.standard_normal((out, RANK, EXPERTS)).astype(FLOAT32)
    products = [b[:, :, number] @ a[number] for number in range(EXPERTS)]
    return a.reshape(-1, INTO), b.reshape(out, -1), products


@for_each(
    ("shape", "a", "b", "prefer_transposed", "layout"),
    [
        ((4, 6), (2, 6), (4, 2), False, "plain"),
        ((4, 6), (2, 6), (4, 2), True, "plain"),
        ((6, 4), (2, 6), (4, 2), False, "transposed"),
        ((4, 4), (2, 4), (4, 2), False, "plain"),
        ((4, 4), (2, 4), (4, 2), True, "transposed"),
        ((3, 4, 6), (6, 6), (4, 6), False, "experts"),
        ((3, 6, 4), (6, 6), (4, 6), False, "transposed experts"),
        ((3, 4, 4), (6, 4), (4, 6), False, None),  # it could be either
        ((3, 4, 6), (7, 6), (4, 7), False, None),  # ranks that do not share out among the experts
        ((3, 5, 6), (6, 6), (4, 6), False, None),
        ((5, 6), (2, 6), (4, 2), False, None),
        ((4,), (2, 6), (4, 2), False, None),
        ((), (2, 6), (4, 2), False, None),
    ],
)
def test_how_a_product_lies_in_a_tensor_is_read_off_its_shape(
    shape: tuple[int, ...], a: tuple[int, ...], b: tuple[int, ...], prefer_transposed: bool, layout: str | None
) -> None:
    assert find_layout(shape, spec(a), spec(b), prefer_transposed=prefer_transposed) == layout


def test_a_low_rank_product_is_added_as_it_lies_in_the_tensor() -> None:
    product = 0.5 * (B @ A)
    np.testing.assert_allclose(whole(WHOLE, LowRank(A, B, 0.5)), WHOLE + product, rtol=1e-6)
    turned = np.ascontiguousarray(WHOLE.T)
    folded = whole(turned, LowRank(A, B, 0.5, "transposed"))
    np.testing.assert_allclose(folded, turned + product.T, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layout", ["experts", "transposed experts"])
def test_each_expert_of_a_stack_gets_its_own_product(layout: str) -> None:
    a, b, products = experts()
    turn = (0, 1) if layout == "experts" else (1, 0)
    stack = DICE.standard_normal((EXPERTS, *products[0].transpose(turn).shape)).astype(FLOAT32)
    edit = LowRank(a, b, 2.0, layout, experts=EXPERTS, rows=stack.shape[1])  # type: ignore[arg-type]
    expected = stack + 2 * np.stack([product.transpose(turn) for product in products])
    np.testing.assert_allclose(whole(stack, edit), expected, rtol=1e-5, atol=1e-6)


def test_magnitudes_scale_the_rows_of_the_sum_to_their_length() -> None:
    magnitude = np.array([1, 2, 0, 4], dtype=FLOAT32)
    folded = whole(WHOLE, LowRank(A, B, 0.5, magnitude=magnitude))
    np.testing.assert_allclose(np.linalg.norm(folded, axis=1), magnitude, rtol=1e-6)
    plain = whole(WHOLE, LowRank(A, B, 0.5))
    cosines = np.sum(folded * plain, axis=1)[[0, 1, 3]] / (magnitude * np.linalg.norm(plain, axis=1))[[0, 1, 3]]
    np.testing.assert_allclose(cosines, 1, rtol=1e-6)


def test_a_row_of_zeros_has_no_direction_and_stays_zero_whatever_its_magnitude() -> None:
    rows = WHOLE.copy()
    rows[1] = 0
    b = B.copy()
    b[1] = 0
    folded = whole(rows, LowRank(A, b, 0.5, magnitude=np.full(OUT, 3, dtype=FLOAT32)))
    assert np.isfinite(folded).all()
    assert not folded[1].any()
    np.testing.assert_allclose(np.linalg.norm(folded[[0, 2, 3]], axis=1), 3, rtol=1e-6)


def test_replaced_tensors_tokens_and_biases_change_what_they_name_alone() -> None:
    own = DICE.standard_normal(WHOLE.shape).astype(FLOAT32)
    assert (whole(WHOLE, Replaced(own)) == own).all()
    row = np.arange(INTO, dtype=FLOAT32)
    folded = whole(WHOLE, Tokens({2: row, 9: row}))  # there is no row 9
    assert (folded[2] == row).all()
    assert (np.delete(folded, 2, axis=0) == np.delete(WHOLE, 2, axis=0)).all()
    bias = DICE.standard_normal(OUT).astype(FLOAT32)
    added = whole(bias, AddedBias(np.ones((1, OUT), dtype=FLOAT32), 0.25))
    np.testing.assert_allclose(added, bias + 0.25, rtol=1e-6)


def test_edits_are_applied_in_their_order() -> None:
    own = np.zeros_like(WHOLE)
    product = B @ A
    np.testing.assert_allclose(whole(WHOLE, Replaced(own), LowRank(A, B, 1.0)), product, rtol=1e-6)
    assert not whole(WHOLE, LowRank(A, B, 1.0), Replaced(own)).any()


@given(st.data())
def test_any_piece_is_cut_from_the_whole(data: st.DataObject) -> None:
    a, b, _ = experts()
    stack = np.linspace(-1, 1, EXPERTS * OUT * INTO, dtype=FLOAT32).reshape(EXPERTS, OUT, INTO)
    magnitude = np.arange(1, OUT + 1, dtype=FLOAT32)
    cases: list[tuple[Array, Edit]] = [
        (WHOLE, LowRank(A, B, 0.5, magnitude=magnitude)),
        (np.ascontiguousarray(WHOLE.T), LowRank(A, B, 0.5, "transposed")),
        (stack, LowRank(a, b, 1.0, "experts", experts=EXPERTS, rows=OUT)),
        (WHOLE, Tokens({0: np.ones(INTO, dtype=FLOAT32), 3: np.zeros(INTO, dtype=FLOAT32)})),
    ]
    tensor, edit = data.draw(st.sampled_from(cases))
    start = data.draw(st.integers(0, tensor.size))
    stop = data.draw(st.integers(start, tensor.size))
    if start == stop:
        return
    folded = fold(tensor, edit)
    expected = folded.read(0, tensor.size)[start:stop]
    np.testing.assert_allclose(folded.read(start, stop), expected, rtol=1e-5, atol=1e-6)
    buffer = np.full(tensor.size, np.nan, dtype=FLOAT32)
    np.testing.assert_allclose(folded.read(start, stop, buffer), expected, rtol=1e-5, atol=1e-6)
    assert np.isnan(buffer[stop - start :]).all()


def test_the_file_is_not_changed_by_what_is_folded_into_it() -> None:
    stored = WHOLE.copy()
    fold(stored, Tokens({0: np.zeros(INTO, dtype=FLOAT32)}), AddedBias(np.ones((1, INTO), dtype=FLOAT32), 1.0)).read(
        0, 9
    )
    assert (stored == WHOLE).all()


def test_a_half_precision_tensor_is_folded_in_float32_and_remembers_what_it_was() -> None:
    half = WHOLE.astype(np.float16)
    folded = fold(half, LowRank(A, B, 0.5))
    assert (folded.spec.dtype, folded.spec.own_dtype) == ("F32", "F16")
    assert folded.read(0, half.size).dtype == FLOAT32
    np.testing.assert_allclose(folded.read(0, INTO), half[0].astype(FLOAT32) + 0.5 * (B @ A)[0], rtol=1e-5)
    assert widen_spec(widen_spec(spec((2,), "BF16"))).own_dtype == "BF16"


def test_a_scalar_is_one_row_of_one_number() -> None:
    folded = fold(np.array(3, dtype=FLOAT32), AddedBias(np.ones((1, 1), dtype=FLOAT32), 0.5))
    assert folded.read(0, 1).tolist() == [3.5]
    assert math.prod(folded.spec.shape) == 1
