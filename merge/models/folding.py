"""What a LoRA adapter makes of a tensor of its model, computed for the piece that is read, in float32.

Every way to fold works on whole rows of the tensor (its last dimension), and a piece is cut from them:

    low rank     W + scale B A; or its transpose, for an embedding (A has a column for each token) and for layers that
                 store (in, out), as GPT-2's do; or one product for each expert of a stack
    DoRA         m (W + scale B A) / |W + scale B A|, norms by output (arXiv 2402.09353): by row, or by column where
                 the tensor is stored as its transpose, which takes a pass over it first
    replaced     the adapter's own tensor, for modules that were trained whole
    tokens       rows of single tokens, trained by themselves
    bias         b + scale b_B, the bias of lora_B

    FoldedTensor(reader, [LowRank(a, b, 2.0)], arithmetic).read(0, 576)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from merge.arithmetic.dtypes import FLOAT32, FLOAT64, Array
from merge.arithmetic.geodesic import CHUNK, Arithmetic
from merge.models.checkpoint import TensorReader, TensorSpec

# How B A lies in the tensor: as (out, in); as (in, out); as stacks of experts of either
Layout = Literal["plain", "transposed", "experts", "transposed experts"]


def find_layout(shape: tuple[int, ...], a: TensorSpec, b: TensorSpec, *, prefer_transposed: bool) -> Layout | None:
    """How the product of A (r, in) and B (out, r) lies in a tensor of this shape; None: it does not fit.

    prefer_transposed: what a square matrix is. A stack of square experts could be either, and fits neither.
    """
    out, into = b.shape[0], a.shape[1]
    if len(shape) == 2 and {(out, into), (into, out)} & {shape}:
        is_plain = shape == (out, into) and not (out == into and prefer_transposed)
        return "plain" if is_plain else "transposed"
    if len(shape) == 3 and out != into and a.shape[0] % shape[0] == 0:
        return {(out, into): "experts", (into, out): "transposed experts"}.get(shape[1:])  # type: ignore[return-value]
    return None


class Edit(Protocol):
    """A change of whole rows of a tensor."""

    def apply(self, rows: Array, first: int) -> Array:
        """The changed rows (n, columns) from row `first` on, in float32; `rows` may be reused."""
        ...


@dataclass(frozen=True)
class LowRank:
    """W + scale B A, with DoRA's magnitudes where they are given."""

    a: Array  # (r, in), of experts (experts r, in)
    b: Array  # (out, r), of experts (out, r experts)
    scale: float
    layout: Layout = "plain"
    magnitude: Array | None = None  # (out,)
    experts: int = 1
    rows: int = 0  # of each expert
    norms: Array | None = None  # (out,), of columns; None: found by row, as they come

    def apply(self, rows: Array, first: int) -> Array:
        """As Edit.apply."""
        last = first + len(rows)
        if self.layout == "plain":
            delta = self.b[first:last] @ self.a
        elif self.layout == "transposed":
            delta = self.a[:, first:last].T @ self.b.T
        else:
            delta = np.concatenate(
                [self._of_expert(number, first, last) for number in range(first // self.rows, -(-last // self.rows))]
            )
        delta *= np.float32(self.scale)
        changed: Array = np.add(rows, delta, out=delta)
        if self.magnitude is not None and self.norms is not None:
            changed *= self.magnitude / self.norms
        elif self.magnitude is not None:
            norms = np.sqrt(np.sum(np.square(changed, dtype=np.float64), axis=1, keepdims=True)).astype(FLOAT32)
            norms[norms == 0] = 1  # a row of zeros has no direction, and stays zero
            changed *= self.magnitude[first:last, np.newaxis] / norms
        return changed

    def _of_expert(self, number: int, first: int, last: int) -> Array:
        """The product of one expert, as far as its rows are among those from first to last."""
        start, stop = max(first - number * self.rows, 0), min(last - number * self.rows, self.rows)
        a = self.a.reshape(self.experts, -1, self.a.shape[-1])[number]  # (r, in)
        b = self.b.reshape(self.b.shape[0], -1, self.experts)[:, :, number]  # (out, r)
        product: Array = b[start:stop] @ a if self.layout == "experts" else a[:, start:stop].T @ b.T
        return product


@dataclass(frozen=True)
class Replaced:
    """The adapter's own tensor instead of the model's."""

    tensor: Array  # (rows, columns)

    def apply(self, rows: Array, first: int) -> Array:
        """As Edit.apply."""
        return self.tensor[first : first + len(rows)]


@dataclass(frozen=True)
class Tokens:
    """Rows of single tokens instead of the model's."""

    rows: Mapping[int, Array]  # by the token's row

    def apply(self, rows: Array, first: int) -> Array:
        """As Edit.apply."""
        changed = rows.copy()
        for number, row in self.rows.items():
            if first <= number < first + len(rows):
                changed[number - first] = row
        return changed


@dataclass(frozen=True)
class AddedBias:
    """b + scale b_B; a vector is one row."""

    bias: Array  # (1, out)
    scale: float

    def apply(self, rows: Array, first: int) -> Array:
        """As Edit.apply."""
        changed: Array = rows + self.bias * np.float32(self.scale)
        return changed


def find_norms(tensor: FoldedTensor, edit: LowRank) -> Array:
    """The norms of the columns of W + scale B A, in one pass over a matrix."""
    rows, columns = tensor.spec.shape
    plain, step = replace(edit, magnitude=None), max(CHUNK // columns, 1)
    squares = np.zeros(columns, FLOAT64)
    for first in range(0, rows, step):
        piece = tensor.read(first * columns, min(first + step, rows) * columns).reshape(-1, columns)
        squares += np.sum(np.square(plain.apply(piece, first), dtype=FLOAT64), axis=0)
    norms: Array = np.sqrt(squares).astype(FLOAT32)
    norms[norms == 0] = 1  # a column of zeros stays zero, as a row does
    return norms


def widen_spec(spec: TensorSpec) -> TensorSpec:
    """The spec of a tensor that is computed in float32 as it is read."""
    return replace(spec, dtype="F32", natural=spec.own_dtype)


@dataclass(frozen=True)
class FoldedTensor:
    """A tensor with an adapter's edits, computed for the requested piece."""

    base: TensorReader
    edits: Sequence[Edit]
    arithmetic: Arithmetic

    @property
    def spec(self) -> TensorSpec:
        """The base tensor's spec in float32, the dtype that `read` returns."""
        return widen_spec(self.base.spec)

    def read(self, start: int, stop: int, buffer: Array | None = None) -> Array:
        """The flat elements from start to stop, in float32. Cheapest where both are at row boundaries."""
        columns = max(self.base.spec.shape[-1], 1) if self.base.spec.shape else 1
        first, last = start // columns, -(-stop // columns)  # the rows that the piece touches
        numel = math.prod(self.base.spec.shape)
        rows = self.arithmetic.widen(self.base.read(first * columns, min(last * columns, numel))).reshape(-1, columns)
        for edit in self.edits:
            rows = edit.apply(rows, first)
        piece: Array = rows.reshape(-1)[start - first * columns : stop - first * columns]
        if buffer is None:
            return piece
        buffer[: stop - start] = piece
        return buffer[: stop - start]
