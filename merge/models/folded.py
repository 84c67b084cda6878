"""A checkpoint with LoRA adapters folded into its tensors as they are read: W + scale B A, in float32.

No intermediate checkpoint is written, and the sum is not rounded to the checkpoint's dtype. Which adapter's tensor
changes which of the model's is decided here; `adapters` reads them, and `folding` computes.

    with Checkpoint.open(Path("base")) as base, Adapter.open(Path("adapter")) as adapter:
        folded = FoldedCheckpoint(base, adapter, find_arithmetic("cpu"))
        folded.tensor("model.layers.0.mlp.up_proj.weight").read(0, 576)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from merge.arithmetic.dtypes import FLOATS
from merge.arithmetic.geodesic import Arithmetic
from merge.errors import AdapterMismatch
from merge.models.adapters import WRAPPED, Adapter, LoraPair, Parts
from merge.models.checkpoint import Checkpoint, TensorReader, TensorSource, TensorSpec, describe
from merge.models.float8 import Float8Source, holds_float8
from merge.models.folding import (
    AddedBias,
    Edit,
    FoldedTensor,
    Layout,
    LowRank,
    Replaced,
    Tokens,
    find_layout,
    find_norms,
    widen_spec,
)
from merge.models.names import match_names


def single_threaded_blas() -> threadpool_limits:
    """A context in which numpy multiplies matrices on the calling thread.

    BLAS's own threads would contend with those that take a tensor each, and their number could show in the last bit of
    a product.
    """
    return threadpool_limits(1, user_api="blas")


class FoldedCheckpoint:
    """A checkpoint with an adapter folded in.

    It has the same names and shapes; what the adapter changes is in float32.
    """

    def __init__(self, base: TensorSource, adapter: Adapter, arithmetic: Arithmetic) -> None:
        """Raises AdapterMismatch: it lists every adapter tensor without a base tensor of its shape."""
        self._base = base
        self._adapter = adapter
        self._arithmetic = arithmetic
        self._changes = find_changes(base, adapter)
        self.folder = base.folder
        self.config = base.config
        self.specs = {name: widen_spec(spec) if name in self._changes else spec for name, spec in base.specs.items()}

    def tensor(self, name: str) -> TensorReader:
        """The reader of one tensor."""
        stored = self._base.tensor(name)
        if name not in self._changes:
            return stored
        folded = FoldedTensor(stored, (), self._arithmetic)
        for change in self._changes[name]:
            folded = replace(folded, edits=(*folded.edits, self._load(change, folded)))
        return folded

    def _load(self, change: Change, before: FoldedTensor) -> Edit:
        """A change with its numbers: a few rows, read when the tensor is merged. before: what it changes."""
        shape = before.spec.shape
        columns = shape[-1] if shape else 1
        if change.pair is not None and change.layout is not None:
            a, b = (self._adapter.load(spec, self._arithmetic) for spec in (change.pair.a, change.pair.b))
            magnitude = change.pair.magnitude
            size = None if magnitude is None else self._adapter.load(magnitude, self._arithmetic).reshape(-1)
            experts, rows = (shape[0], shape[1]) if len(shape) == 3 else (1, 0)
            edit = LowRank(a, b, change.scale, change.layout, size, experts, rows)
            return edit if size is None or change.layout == "plain" else replace(edit, norms=find_norms(before, edit))
        assert change.spec is not None
        loaded = self._adapter.load(change.spec, self._arithmetic).reshape(-1, columns)
        if change.tokens:
            return Tokens(dict(zip(change.tokens, loaded, strict=True)))
        return Replaced(loaded) if change.scale == 0.0 else AddedBias(loaded, change.scale)


@dataclass(frozen=True)
class Change:
    """One edit of one base tensor, before its numbers are read."""

    scale: float = 0.0
    pair: LoraPair | None = None
    layout: Layout | None = None
    spec: TensorSpec | None = None  # of what is there instead, or is added
    tokens: tuple[int, ...] = ()


def find_changes(base: TensorSource, adapter: Adapter) -> dict[str, list[Change]]:
    """What an adapter changes of each tensor of its model, in the order in which it is applied.

    Names that differ only in wrappers' words mean the same tensor (merge.models.names).

    Raises AdapterMismatch: with every part whose tensor is missing, or has another shape or kind.
    """
    parts, config = adapter.parts, adapter.config
    wanted = [*parts.whole, *parts.tokens, *parts.biases, *(name for name in parts.pairs if "base_layer" not in name)]
    same = match_names([name for name in wanted if name not in base.specs], base.specs)
    changes: dict[str, list[Change]] = {}
    problems: list[str] = []

    def find(name: str, part: TensorSpec) -> TensorSpec | None:
        """The base tensor of a name."""
        spec = base.specs.get(same.get(name, name))
        if spec is None:
            problems.append(f"the model has no tensor {name}, to which {part.name} would belong")
        return spec

    def add(spec: TensorSpec, shape: tuple[int, ...], change: Change | None) -> None:
        """A change, if it fits."""
        if change is None or spec.dtype not in FLOATS:
            problems.append(
                f"{spec.name} is {spec.dtype} of shape {list(spec.shape)}, the adapter's product is a float of shape "
                f"{list(shape)}"
            )
        else:
            changes.setdefault(spec.name, []).append(change)

    problems += find_untrained(parts, config, base.specs)
    for name, part in parts.whole.items():
        if spec := find(name, part):
            add(spec, part.shape, Change(spec=part) if part.shape == spec.shape else None)
    for name, part in parts.tokens.items():
        if spec := find(name, part):
            tokens = find_token_rows(config, name.removesuffix(".weight"))
            fits = len(tokens) == part.shape[0] and part.shape[1:] == spec.shape[1:]
            fits = fits and all(0 <= row < spec.shape[0] for row in tokens)
            add(spec, part.shape, Change(spec=part, tokens=tokens) if fits else None)
    for name, (part, scale) in parts.biases.items():
        if spec := find(name, part):
            add(spec, part.shape, Change(scale, spec=part) if part.numel == spec.numel else None)
    for name, pair in parts.pairs.items():
        names = find_targets(name, config, base.specs)
        name = next((one for one in names if _find_layout(base.specs[one], pair, config) and one not in changes), name)
        if spec := find(name, pair.a):
            layout = _find_layout(spec, pair, config)
            shape = (pair.b.shape[0], pair.a.shape[1])
            experts = spec.shape[0] if len(spec.shape) == 3 else 1  # their ranks stand in A together
            scale = pair.scale * (math.sqrt(experts) if config.get("use_rslora") else experts)
            if experts > 1 and pair.magnitude is not None:
                problems.append(f"{pair.a.name}: DoRA of {spec.name}, a stack of experts, is nothing that peft trains")
            else:
                add(spec, shape, Change(scale, pair, layout) if layout else None)
    if problems:
        raise AdapterMismatch(str(adapter.folder), problems)
    return changes


def find_untrained(parts: Parts, config: Mapping[str, Any], specs: Mapping[str, TensorSpec]) -> list[str]:
    """Modules that the config trains and the model has, of which the adapter holds nothing: its file is not whole."""
    targets = config.get("target_modules")
    if not isinstance(targets, list) or config.get("exclude_modules") or config.get("layers_to_transform") is not None:
        return []

    def holds(names: Iterable[str], target: object) -> bool:
        """Whether a module of that name is among the tensors."""
        return any(f".{name}".endswith(f".{target}.weight") for name in names)

    missing = [each for each in targets if holds(specs, each) and not holds([*parts.pairs, *parts.whole], each)]
    return [f"its config trains {describe(each)[1:-1]}, of which its weights hold nothing" for each in missing]


def find_targets(name: str, config: Mapping[str, Any], specs: Mapping[str, TensorSpec]) -> list[str]:
    """The parameters that a pair may belong to where the adapter targets parameters by name; else none.

    A module with several such parameters has a wrapper around a wrapper: which pair is whose, their shapes say.
    """
    targets = config.get("target_parameters")
    if not isinstance(targets, list) or name in specs:
        return []
    module = WRAPPED.sub("", name.removesuffix(".weight"))
    ends = [target.rpartition(".") for target in targets if isinstance(target, str)]
    return [
        f"{module}.{end}"
        for parent, _, end in ends
        if f"{module}.{end}" in specs and (not parent or f".{module}".endswith(f".{parent}"))
    ]


def _find_layout(spec: TensorSpec, pair: LoraPair, config: Mapping[str, Any]) -> Layout | None:
    prefer = pair.is_embedding or bool(config.get("fan_in_fan_out"))
    return find_layout(spec.shape, pair.a, pair.b, prefer_transposed=prefer)


def find_token_rows(config: Mapping[str, Any], module: str) -> tuple[int, ...]:
    """The rows of tokens that were trained by themselves, in the order in which the adapter has them."""
    said = config.get("trainable_token_indices")
    if isinstance(said, dict):
        said = next((rows for key, rows in said.items() if f".{module}".endswith(f".{key}")), [])
    return tuple(said) if isinstance(said, list) and all(type(row) is int for row in said) else ()


def open_source(folder: Path, adapters: Sequence[Path], stack: ExitStack, arithmetic: Arithmetic) -> TensorSource:
    """A model folder, with the adapters of other folders folded in in their order; `stack` closes their files.

    arithmetic: folds the adapters in.

    Raises what `Checkpoint.open`, `Adapter.open` and `FoldedCheckpoint` raise.
    """
    source: TensorSource = stack.enter_context(Checkpoint.open(folder))
    if holds_float8(source):
        source = Float8Source(source)
    for adapter in adapters:
        source = FoldedCheckpoint(source, stack.enter_context(Adapter.open(adapter)), arithmetic)
    return source
