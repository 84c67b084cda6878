"""A source read in the form of another: parts as one tensor, one tensor as parts, as merge.models.fusing found them.

Each number is read from where it stands; nothing is written, and of a transposed stack one matrix at a time is in
memory.

    source = join_parts(chip, fusions)  # chip has parts; or split_whole(chip, fusions), where it has them in one piece
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from merge.arithmetic.dtypes import DTYPES, Array
from merge.models.checkpoint import TensorReader, TensorSource, TensorSpec
from merge.models.fusing import Fusion, Run, turn


def join_parts(source: TensorSource, fusions: Sequence[Fusion]) -> TensorSource:
    """The source with the parts of each fusion as one tensor under its name."""
    made = {}
    for fusion in fusions:
        shape = turn(fusion.spec.shape) if fusion.is_turned else fusion.spec.shape
        made[fusion.name] = (
            replace(_widest(list(fusion.parts.values())), name=fusion.name, shape=shape),
            fusion.runs,
        )
    joined = Rearranged(source, made, {part for fusion in fusions for part in fusion.parts})
    turned = _names_of_turned(fusions)
    return Turned(joined, turned) if turned else joined


def split_whole(source: TensorSource, fusions: Sequence[Fusion]) -> TensorSource:
    """The source with the tensor of each fusion as its parts."""
    if turned := _names_of_turned(fusions):
        source = Turned(source, turned)
    made = {}
    for fusion in fusions:
        at = 0
        runs: dict[str, list[tuple[int, Run]]] = {}
        for run in fusion.runs:
            runs.setdefault(run.part, []).append((run.start, Run(fusion.name, at, run.count)))
            at += run.count
        for name, part in fusion.parts.items():
            spec = replace(fusion.spec, name=name, shape=part.shape)
            made[name] = (spec, tuple(run for _, run in sorted(runs[name], key=lambda one: one[0])))
    return Rearranged(source, made, {fusion.name for fusion in fusions})


def _names_of_turned(fusions: Iterable[Fusion]) -> set[str]:
    """The tensors in one piece whose matrices are transposed."""
    return {fusion.name for fusion in fusions if fusion.is_turned}


def _widest(parts: Sequence[TensorSpec]) -> TensorSpec:
    """The first part's spec, in a dtype that holds the numbers of all."""
    dtypes, own = {part.dtype for part in parts}, {part.own_dtype for part in parts}
    if len(dtypes) > 1:
        dtypes = {"F64" if "F64" in dtypes else "F32"}
    return replace(parts[0], dtype=min(dtypes), natural=min(own) if len(own) == 1 else None)


class Rearranged:
    """A source in which some tensors are made of runs of others."""

    def __init__(
        self, source: TensorSource, made: Mapping[str, tuple[TensorSpec, tuple[Run, ...]]], used: Iterable[str]
    ) -> None:
        """made: the spec and the runs of each new tensor; used: the tensors that they stand for."""
        self._source, self._made = source, made
        gone = set(used)
        self.folder: Path = source.folder
        self.config: Mapping[str, Any] = source.config
        self.specs: Mapping[str, TensorSpec] = {
            **{name: spec for name, spec in source.specs.items() if name not in gone},
            **{name: spec for name, (spec, _) in made.items()},
        }

    def tensor(self, name: str) -> TensorReader:
        """The reader of one tensor."""
        if name not in self._made:
            return self._source.tensor(name)
        spec, runs = self._made[name]
        readers = {run.part: self._source.tensor(run.part) for run in runs}
        return Runs(spec, tuple((readers[run.part], run) for run in runs))


@dataclass(frozen=True)
class Runs:
    """A tensor made of runs of others, in order."""

    spec: TensorSpec
    runs: tuple[tuple[TensorReader, Run], ...]

    def read(self, start: int, stop: int, buffer: Array | None = None) -> Array:
        """The flat elements from start to stop."""
        piece = np.empty(stop - start, DTYPES[self.spec.dtype]) if buffer is None else buffer[: stop - start]
        at = 0
        for reader, run in self.runs:
            first, last = max(start, at), min(stop, at + run.count)
            if first < last:
                begin = run.start + first - at
                piece[first - start : last - start] = reader.read(begin, begin + last - first)
            at += run.count
        return piece


class Turned:
    """A source in which some stacks have each matrix transposed."""

    def __init__(self, source: TensorSource, names: set[str]) -> None:
        self._source, self._names = source, names
        self.folder: Path = source.folder
        self.config: Mapping[str, Any] = source.config
        self.specs: Mapping[str, TensorSpec] = {
            name: replace(spec, shape=turn(spec.shape)) if name in names else spec
            for name, spec in source.specs.items()
        }

    def tensor(self, name: str) -> TensorReader:
        """The reader of one tensor."""
        stored = self._source.tensor(name)
        return TurnedTensor(self.specs[name], stored) if name in self._names else stored


class TurnedTensor:
    """A stack whose matrices are read transposed; the last one read stays in memory."""

    def __init__(self, spec: TensorSpec, stored: TensorReader) -> None:
        """spec: with the shape as it is read."""
        self.spec = spec
        self._stored = stored
        self._last = -1, np.empty(0, DTYPES[spec.dtype])

    def read(self, start: int, stop: int, buffer: Array | None = None) -> Array:
        """The flat elements from start to stop."""
        piece = np.empty(stop - start, DTYPES[self.spec.dtype]) if buffer is None else buffer[: stop - start]
        size = math.prod(self.spec.shape[-2:])
        at = start
        while at < stop:
            number, inside = divmod(at, size)
            count = min(size - inside, stop - at)
            piece[at - start : at - start + count] = self._load(number)[inside : inside + count]
            at += count
        return piece

    def _load(self, number: int) -> Array:
        """One matrix, transposed and flat."""
        last, matrix = self._last  # both at once: another thread may load the next
        if number != last:
            rows, columns = self.spec.shape[-2:]
            stored = self._stored.read(number * rows * columns, (number + 1) * rows * columns)
            matrix = stored.reshape(columns, rows).T.reshape(-1)
            self._last = number, matrix
        return matrix
