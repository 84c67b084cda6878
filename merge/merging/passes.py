"""One tensor from its parents' files into the output's: a pass for the sums, a pass for the result.

The sums give the coefficients. This file carries out a merge.merging.plan.TensorPlan for one output, or for several
that differ only in lam: then each piece is read once for all of them. It opens no files and knows nothing of threads;
merge.arithmetic.geodesic and merge.arithmetic.baselines compute the methods.

    results = merge_tensor([(plan, writer)], pair, Parameters(), find_arithmetic("cpu"))
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from blake3 import blake3

from merge.arithmetic.baselines import (
    Look,
    Pieces,
    check_base,
    combine_base,
    find_difference,
    find_line,
    find_slerp,
    prepare,
)
from merge.arithmetic.dtypes import DTYPES, FLOAT32, Array, DType
from merge.arithmetic.geodesic import (
    CHUNK,
    Arc,
    Arithmetic,
    Branch,
    Sums,
    TensorResult,
    check_finite,
    find_arc,
    find_largest,
    find_theta,
)
from merge.arithmetic.mean import combine_all, find_cosines, find_mean
from merge.errors import TensorNotFinite, TensorOverflow, TensorsDiffer
from merge.merging.pairing import Pair
from merge.merging.plan import Segment, TensorPlan
from merge.models.checkpoint import TensorReader, TensorSource
from merge.recipe import BASE_METHODS, Parameters

Side = str  # "chip", "chat", "base", and of further parents "third" and so on
Blend = Callable[[Segment, Pieces], Array]
# As `map`: what a function gives of each item, in order; several threads may compute it
Mapped = Callable[[Callable[[Segment], Any], Iterable[Segment]], Iterator[Any]]


class PieceWriter(Protocol):
    """Where a merged tensor is written, piece by piece and in order: a CheckpointWriter's files."""

    def write(self, name: str, start: int, piece: Array) -> memoryview:
        """Take the flat piece that begins at element `start`. Returns its bytes."""
        ...


Output = tuple[TensorPlan, PieceWriter]
ARCS = ("geodesic", "slerp")  # methods that turn one direction into another
SHARED_PIECES = 32  # from 8 M elements on, several threads go through a tensor's pieces


@dataclass(frozen=True)
class Inputs:
    """One tensor as its parents have it, cut into pieces, which several threads may take."""

    name: str
    readers: Mapping[Side, TensorReader]
    pieces: tuple[Segment, ...]
    arithmetic: Arithmetic
    mapped: Mapped = map  # carries out a function of pieces, in order
    memory: threading.local = field(default_factory=threading.local)  # of each thread, for a piece of each parent

    def read(self, piece: Segment, sides: Sequence[Side] | None = None) -> Pieces:
        """The piece of each parent, or of some, that has it; valid until the thread reads the next of that parent."""
        starts = {side: find_start(piece, side) for side in sides or self.readers if side in self.readers}
        return {
            side: self.readers[side].read(at, at + piece.count, self._buffer(side))
            for side, at in starts.items()
            if at is not None
        }

    def _buffer(self, side: Side) -> Array:
        """This thread's memory for the pieces of one parent."""
        buffers: dict[Side, Array] = self.memory.__dict__
        if side not in buffers:
            largest = max((piece.count for piece in self.pieces), default=0)
            buffers[side] = np.empty(largest, DTYPES[self.readers[side].spec.dtype])
        return buffers[side]

    @property
    def shared(self) -> tuple[Segment, ...]:
        """The pieces that both parents have, merged as one tensor with one angle."""
        return tuple(piece for piece in self.pieces if piece.chip is not None and piece.chat is not None)


def find_start(piece: Segment, side: Side) -> int | None:
    """Where a piece starts in a parent. Further parents have the output's own rows."""
    start: int | None = getattr(piece, side, piece.out)
    return start


def open_inputs(plan: TensorPlan, pair: Pair, arithmetic: Arithmetic, mapped: Mapped = map) -> Inputs:
    """The readers of one tensor, opened when its turn comes: only then are an adapter's matrices loaded.

    mapped: goes through a large tensor's pieces. arithmetic: computes. For a method with a base it takes the sums, and
    widens and narrows for what is mixed beside it.
    """
    sources: list[tuple[Side, TensorSource | None, str | None]] = [
        ("chip", pair.chip, plan.chip),
        ("chat", pair.chat, plan.chat),
        ("base", pair.base, plan.base),
        *((side, pair.more[side], name) for side, name in plan.more.items()),
    ]
    readers = {side: source.tensor(name) for side, source, name in sources if source is not None and name is not None}
    # Within whole rows an adapter is cheapest to fold, and DELLA ranks
    row = max(plan.shape[-1], 1) if len(plan.shape) > 1 else 1
    pieces = tuple(piece for segment in plan.segments() for piece in cut(segment, row))
    return Inputs(plan.name, readers, pieces, arithmetic, mapped if len(pieces) >= SHARED_PIECES else map)


def cut(segment: Segment, row: int) -> Iterator[Segment]:
    """A segment in pieces of about CHUNK elements, each a multiple of `row`."""
    step = max(CHUNK // row, 1) * row
    for at in range(0, segment.count, step):
        moved = [None if start is None else start + at for start in (segment.chip, segment.chat, segment.base)]
        yield Segment(segment.out + at, min(step, segment.count - at), *moved)


def merge_tensor(
    outputs: Sequence[Output], pair: Pair, parameters: Parameters, arithmetic: Arithmetic, mapped: Mapped = map
) -> list[TensorResult]:
    """Merge one tensor into each output; the plans differ only in lam.

    mapped: goes through a large tensor's pieces, with several threads perhaps; what is written stays the same.

    Raises TensorNotFinite, TensorsOpposite, TensorOverflow, TensorsDiffer.
    """
    inputs = open_inputs(outputs[0][0], pair, arithmetic, mapped)
    sums = measure_inputs(inputs)
    ways = [find_way(plan, inputs, sums, parameters) for plan, _ in outputs]

    squares: list[list[float]] = [[] for _ in outputs]
    digests = [blake3() for _ in outputs]

    def merge_piece(piece: Segment) -> list[tuple[float, Array]]:
        """A piece of each output, and its sum of squares."""
        pieces, found = inputs.read(piece), []
        for (plan, _), (_, blend) in zip(outputs, ways, strict=True):
            merged = blend(piece, pieces)
            if any(np.may_share_memory(merged, own) for own in pieces.values()):
                merged = merged.copy()  # a copied piece is this thread's memory, which its next one takes
            found.append((check_merged(arithmetic.square(merged), merged, plan, piece, pieces), merged))
        return found

    for piece, found in zip(inputs.pieces, inputs.mapped(merge_piece, inputs.pieces), strict=True):
        for (plan, writer), (square, merged), square_sums, digest in zip(outputs, found, squares, digests, strict=True):
            square_sums.append(square)
            digest.update(writer.write(plan.name, piece.out, merged))

    return [
        TensorResult(
            plan.name,
            plan.shape,
            arc.chip_norm,
            arc.chat_norm,
            arc.theta,
            arc.branch,
            merged_norm=math.sqrt(math.fsum(square_sums)),
            blake3=digest.hexdigest(),
            lam=plan.lam,
        )
        for (plan, _), (arc, _), square_sums, digest in zip(outputs, ways, squares, digests, strict=True)
    ]


def measure_inputs(inputs: Inputs) -> Sums:
    """The sums over what both parents have; if only one has the tensor, the other's counts as zero."""
    total = Sums.total(
        inputs.mapped(
            lambda piece: _measure_piece(inputs.read(piece, ("chip", "chat")), inputs.arithmetic),
            inputs.shared or inputs.pieces,
        )
    )
    check_finite(total, inputs.name, _find_suspects(inputs))
    for side in inputs.readers.keys() - {"chip", "chat", "base"}:

        def square(piece: Segment, side: Side = side) -> float:
            """The sum of squares of a piece of one parent."""
            return inputs.arithmetic.square(inputs.read(piece, (side,))[side])

        own = math.fsum(inputs.mapped(square, inputs.pieces))
        check_finite(Sums(own, own, own, own), inputs.name, _find_suspects(inputs))
    return total


def _measure_piece(pieces: Pieces, arithmetic: Arithmetic) -> Sums:
    if len(pieces) == 2:
        return arithmetic.measure(pieces["chip"], pieces["chat"])
    [(side, piece)] = pieces.items()
    own = arithmetic.square(piece)
    return Sums(own, 0.0, own, 0.0) if side == "chip" else Sums(0.0, own, own, 0.0)


def _find_suspects(inputs: Inputs) -> Iterator[tuple[str, int, Array]]:
    """The parents' pieces again, with their positions, in the order in which errors name them."""
    for side in inputs.readers:
        for piece in inputs.pieces if side != "base" else ():
            for values in inputs.read(piece, (side,)).values():
                yield side, find_start(piece, side) or 0, values


def find_way(plan: TensorPlan, inputs: Inputs, sums: Sums, parameters: Parameters) -> tuple[Arc, Blend]:
    """What the plan's method does with the pieces, and the record of norms, angle and branch.

    A stretch of only one parent is copied from it. A base method without a base tensor is linear, as if the three terms
    of the base cancelled out.
    """
    dtype, arithmetic = DTYPES[plan.dtype], inputs.arithmetic
    method = "linear" if plan.method in BASE_METHODS and plan.base is None else plan.method
    if method in BASE_METHODS:
        arc, mix_pieces = _find_base_way(plan, inputs, sums, parameters, dtype)
    elif method == "slerp" and plan.base is not None:
        arc, mix_pieces = _find_slerp_way(plan, inputs, sums, dtype)
    elif plan.more:
        arc, mix_pieces = _find_mean_way(method, plan, inputs, sums, dtype)
    else:
        arc = _find_arc(method, plan, sums)

        def mix_pieces(piece: Segment, pieces: Pieces) -> Array:
            """Both parents' piece along the arc."""
            return arithmetic.combine(pieces["chip"], pieces["chat"], arc, dtype)

    def blend(piece: Segment, pieces: Pieces) -> Array:
        """A merged piece; rows of only one parent are copied."""
        if piece.chip is None or piece.chat is None:
            only = pieces["chat" if piece.chip is None else "chip"]
            return only if only.dtype == dtype else arithmetic.narrow(arithmetic.widen(only), dtype)
        return mix_pieces(piece, pieces)

    return arc, blend


def _find_arc(method: str, plan: TensorPlan, sums: Sums) -> Arc:
    if method in ("linear", "soup") or _is_flipped(plan, sums):
        return find_line(sums, plan.lam)
    if method == "geodesic":
        return find_arc(sums, plan.lam, plan.name)
    if method == "slerp":
        return find_slerp(sums, plan.lam, plan.name)
    if method == "identical" and sums.difference != 0.0:
        raise TensorsDiffer(
            f"tensor {plan.name} is {plan.dtype}, which cannot be interpolated, and differs between the parents"
        )
    norms = math.sqrt(sums.chip), math.sqrt(sums.chat)
    return Arc(plan.lam, 1 - plan.lam, *norms, find_theta(sums) if all(norms) and method == "copy" else None, "copied")


def _is_flipped(plan: TensorPlan, sums: Sums) -> bool:
    """Whether a tensor is one number, of another sign in each parent, which has no direction that could be turned.

    On a line the way from one to the other is straight.
    """
    return plan.method in ARCS and plan.numel == 1 and sums.product < 0


def _find_base_way(
    plan: TensorPlan, inputs: Inputs, sums: Sums, parameters: Parameters, dtype: DType
) -> tuple[Arc, Blend]:
    shape = plan.shape if plan.rows is None else (plan.rows.shared, *plan.shape[1:])
    shares = plan.shares or {"chip": plan.lam, "chat": 1 - plan.lam}
    look, sparse = _look_at(inputs, (*shares, "base")), inputs.arithmetic.sparse
    mix = prepare(plan.method, shares, plan.densities, plan.name, shape, parameters, look, sparse)

    def blend(piece: Segment, pieces: Pieces) -> Array:
        """A merged piece by a method that needs the base model."""
        return combine_base(pieces, mix, piece.out, dtype, sparse)

    return replace(find_line(sums, plan.lam), branch="mixed"), blend


def _look_at(inputs: Inputs, sides: Sequence[Side]) -> Look:
    def look(function: Callable[[int, Pieces], Any]) -> Iterator[Any]:
        """What a function gives of the pieces of these parents, in order."""
        return inputs.mapped(lambda piece: function(piece.out, inputs.read(piece, sides)), inputs.shared)

    return look


def _find_slerp_way(plan: TensorPlan, inputs: Inputs, sums: Sums, dtype: DType) -> tuple[Arc, Blend]:
    """Slerp of the differences from the base model."""
    arithmetic = inputs.arithmetic

    def measure(piece: Segment) -> Sums:
        """The sums over both differences of a piece."""
        pieces = inputs.read(piece)
        return arithmetic.measure(*(find_difference(pieces, side, arithmetic.sparse) for side in ("chip", "chat")))

    apart = Sums.total(inputs.mapped(measure, inputs.shared))
    arc = find_line(apart, plan.lam) if _is_flipped(plan, apart) else find_slerp(apart, plan.lam, plan.name)

    def blend(piece: Segment, pieces: Pieces) -> Array:
        """A piece of the base with both parents' differences from it."""
        check_base(pieces["base"], plan.name, piece.out, arithmetic.sparse)
        origin = arithmetic.widen(pieces["base"])
        chip, chat = (arithmetic.widen(pieces[side]) - origin for side in ("chip", "chat"))
        return arithmetic.narrow(origin + arithmetic.combine(chip, chat, arc, FLOAT32), dtype)

    return replace(find_line(sums, plan.lam), branch="slerp"), blend


def _find_mean_way(method: str, plan: TensorPlan, inputs: Inputs, sums: Sums, dtype: DType) -> tuple[Arc, Blend]:
    """More than two parents: the mean on the sphere, or the linear one."""
    sides = ("chip", "chat", *plan.more)
    weights = [plan.shares.get(side, 1.0) for side in sides]

    def measure_pair(i: int, j: int) -> Sums:
        """The sums over two of the parents."""
        both = sides[i], sides[j]

        def measure(piece: Segment) -> Sums:
            """The sums over one piece."""
            pieces = inputs.read(piece, both)
            return inputs.arithmetic.measure(*(pieces[side] for side in both))

        return Sums.total(inputs.mapped(measure, inputs.pieces))

    branch: Branch = "linear"
    coefficients = tuple(weight / math.fsum(weights) for weight in weights)
    if method == "geodesic":
        norms, cosines = find_cosines(len(sides), measure_pair)
        if plan.numel > 1 or cosines.min() >= 0.0:  # else one number of several signs, as in _is_flipped
            mean = find_mean(norms, cosines, weights, plan.name)
            coefficients, branch = mean.coefficients, mean.branch

    def blend(piece: Segment, pieces: Pieces) -> Array:
        """The mean of all parents' pieces."""
        return combine_all([pieces[side] for side in sides], coefficients, dtype, inputs.arithmetic)

    return replace(find_line(sums, plan.lam), branch=branch), blend


def check_merged(total: float, merged: Array, plan: TensorPlan, piece: Segment, pieces: Pieces) -> float:
    """`total`, the sum of squares of a merged piece, if it is finite.

    Raises:
        TensorOverflow: the merged value is too large.
        TensorNotFinite: a parent's own row holds NaN or Inf.
    """
    if math.isfinite(total):
        return total
    for side, values in pieces.items():
        check_finite(Sums(total, total, total, total), plan.name, [(side, find_start(piece, side) or 0, values)])
    if np.isnan(merged).any():
        raise TensorNotFinite(
            f"tensor {plan.name}: the merge itself gave NaN. Please report this with both parents' names"
        )
    kind, largest = merged.dtype.name, find_largest(merged.dtype)
    raise TensorOverflow(
        f"tensor {plan.name}: a merged value is beyond {kind}'s largest, {largest:g}. Set dtype to one of a wider range"
    )
