"""LoRA adapters (peft's format) folded into a checkpoint's tensors as they are read: W + scale B A, in float32.

No intermediate checkpoint is written, and the sum is not rounded to the checkpoint's dtype. What cannot be folded
exactly is refused. LoRA: arXiv 2106.09685, scale = alpha / r; rank-stabilised LoRA: arXiv 2312.03732, scale = alpha /
sqrt(r).

    with Checkpoint.open(Path("base")) as base, Adapter.open(Path("adapter")) as adapter:
        folded = FoldedCheckpoint(base, adapter, find_arithmetic("cpu"))
        folded.tensor("model.layers.0.mlp.up_proj.weight").read(0, 576)
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import regex
from threadpoolctl import threadpool_limits

from merge.arithmetic.dtypes import FLOATS, Array
from merge.arithmetic.geodesic import Arithmetic
from merge.errors import AdapterMismatch, AdapterUnsupported, CheckpointCorrupt
from merge.models.checkpoint import (
    CONFIG_LIMIT_BYTES,
    Checkpoint,
    TensorReader,
    TensorSource,
    TensorSpec,
    describe,
    read_header,
    read_json_object,
)
from merge.models.float8 import Float8Source, holds_float8
from merge.models.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS

TENSOR_NAME = re.compile(r"(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<side>[AB])(?:\.default)?\.weight")
# For all keys of alpha_pattern and all modules; a thousand keys against seven thousand modules take less
MATCHING_S = 5.0
# Constructs that make matching endless, or take much memory
REPEATS, REPEATED_GROUP = re.compile(r"[*+{]"), re.compile(r"\)[*+{]")
REPEATS_LIMIT = 4  # of one key; names of modules need one or two
PATTERN_LIMIT = 1_000  # characters of one key: names of modules have up to 100
ALPHA_LIMIT = 1e9  # nobody trains with a larger scale
# Settings that change what the adapter adds, or add more than B A. Each must be absent, false, null or empty.
REFUSED = tuple(
    """
    use_dora modules_to_save fan_in_fan_out lora_bias use_qalora use_bdlora layer_replication target_parameters
    trainable_token_indices alora_invocation_tokens kasa_config velora_config monteclora_config arrow_config
    """.split()
)
# Ways to start training that leave the base weights as they were; the others (pissa, olora, loftq, ...) shift them.
PLAIN_STARTS = (True, False, None, "gaussian", "eva", "orthogonal", "mini_vera")


@dataclass(frozen=True)
class LoraPair:
    """A and B of one module, still on disk, and the scale of their product."""

    a: TensorSpec  # shape (r, in)
    b: TensorSpec  # shape (out, r)
    scale: float


class Adapter:
    """A LoRA adapter folder opened for reading; a context manager."""

    def __init__(self, folder: Path, pairs: Mapping[str, LoraPair], weights: Checkpoint) -> None:
        self.folder = folder
        self.pairs = pairs  # by the name of the base tensor
        self._weights = weights

    @classmethod
    def open(cls, folder: Path) -> Adapter:
        """Read config and header.

        Raises:
            CheckpointNotFound, CheckpointCorrupt, AdapterUnsupported
            AdapterMismatch: half of a pair is missing.
        """
        config = read_json_object(folder / ADAPTER_CONFIG, CONFIG_LIMIT_BYTES)
        if problems := find_unsupported(config):
            raise AdapterUnsupported(str(folder), problems)
        specs = read_header(folder / ADAPTER_WEIGHTS)
        pairs = pair_tensors(specs, config, folder)
        return cls(folder, pairs, Checkpoint(folder, specs, config))

    def load(self, base_name: str, arithmetic: Arithmetic) -> tuple[Array, Array]:
        """(A, B) of one base tensor in float32: a few rows, read when the tensor is merged."""
        pair = self.pairs[base_name]
        a, b = (
            arithmetic.widen(self._weights.tensor(spec.name).read(0, spec.numel)).reshape(spec.shape)
            for spec in (pair.a, pair.b)
        )
        return a, b

    def __enter__(self) -> Adapter:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._weights.close()


def find_unsupported(config: Mapping[str, Any]) -> list[str]:
    """What in an adapter_config.json cannot be folded as B A; empty if it all can."""
    problems = []
    if config.get("peft_type") != "LORA":
        problems.append(f"peft_type is {describe(config.get('peft_type'))} (supported: LORA)")
    if config.get("bias", "none") != "none":
        problems.append(f"bias is {describe(config['bias'])} (supported: none)")
    if config.get("init_lora_weights", True) not in PLAIN_STARTS:
        problems.append(f"init_lora_weights is {describe(config['init_lora_weights'])}, which shifts the base weights")
    problems += [f"{key} is {describe(config[key])}" for key in REFUSED if config.get(key)]
    patterns = config.get("alpha_pattern") or {}
    if not isinstance(patterns, dict):
        return [*problems, f"alpha_pattern is {describe(patterns)}, which is not a table"]
    alphas = {"lora_alpha": config.get("lora_alpha"), **patterns}
    problems += [
        f"{key} has alpha {describe(value)}, which is not a number"
        for key, value in alphas.items()
        if not _is_number(value)
    ]
    return problems


def _is_number(value: object) -> bool:
    # The limit excludes NaN and infinity, too.
    return type(value) in (int, float) and abs(value) <= ALPHA_LIMIT  # type: ignore[arg-type]


class Alphas:
    """The alpha of each module: the first key of alpha_pattern that ends its name, else lora_alpha, as in peft.

    The keys are regular expressions, and may be hostile: all their matching together has MATCHING_S.
    """

    def __init__(self, config: Mapping[str, Any], adapter: str) -> None:
        """config: the adapter's, in which find_unsupported found nothing.

        Raises AdapterUnsupported: a key is not a regular expression.
        """
        self._adapter = adapter
        self._alpha = float(config["lora_alpha"])
        self._until = time.monotonic() + MATCHING_S
        self._patterns = [
            (self._compile(key), float(alpha)) for key, alpha in (config.get("alpha_pattern") or {}).items()
        ]

    def find(self, module: str) -> float:
        """The alpha of one module. Raises AdapterUnsupported: the time is up."""
        try:
            matching = (alpha for pattern, alpha in self._patterns if pattern.match(module, timeout=self._left_s()))
            return next(matching, self._alpha)
        except TimeoutError:
            raise AdapterUnsupported(
                self._adapter, [f"its alpha_pattern takes more than {MATCHING_S:g} s to match, at {module}"]
            ) from None

    def _left_s(self) -> float:
        if (left_s := self._until - time.monotonic()) <= 0:
            raise TimeoutError
        return left_s

    def _compile(self, key: str) -> Any:
        try:
            if (
                len(key) <= PATTERN_LIMIT
                and len(REPEATS.findall(key)) <= REPEATS_LIMIT
                and not REPEATED_GROUP.search(key)
                and self._left_s()
            ):
                re.compile(key)  # peft lacks what regex adds, such as recursive patterns
                return regex.compile(rf"(.*\.)?({key})$", cache_pattern=False)
        except (re.error, regex.error, OverflowError, RecursionError, TimeoutError):
            pass
        raise AdapterUnsupported(
            self._adapter, [f"alpha_pattern {describe(key)} is not a regular expression that is sure to end soon"]
        )


def pair_tensors(specs: Mapping[str, TensorSpec], config: Mapping[str, Any], folder: Path) -> dict[str, LoraPair]:
    """A with B by base tensor name.

    Raises:
        AdapterUnsupported: a tensor is not a LoRA matrix.
        AdapterMismatch: a pair cannot be multiplied.
    """
    sides: dict[str, dict[str, TensorSpec]] = {}
    strangers = []
    for name, spec in specs.items():
        match = TENSOR_NAME.fullmatch(name)
        if match and len(spec.shape) == 2 and spec.dtype in FLOATS:
            sides.setdefault(match["module"], {})[match["side"]] = spec
        else:
            strangers.append(f"tensor {name} ({spec.dtype}, shape {list(spec.shape)}) is not a lora_A or lora_B matrix")

    if strangers:
        raise AdapterUnsupported(str(folder), strangers)
    if not sides:
        raise CheckpointCorrupt(f"{folder / ADAPTER_WEIGHTS} holds no tensors")

    alphas = Alphas(config, str(folder))
    pairs, problems = {}, []
    for module, pair in sides.items():
        if len(pair) != 2:
            problems.append(f"{module} has lora_{min(pair)} but not its counterpart")
        elif pair["A"].shape[0] != pair["B"].shape[1]:
            problems.append(f"{module}: lora_A has rank {pair['A'].shape[0]}, lora_B {pair['B'].shape[1]}")
        else:
            pairs[f"{module}.weight"] = LoraPair(
                pair["A"], pair["B"], find_scale(config, alphas.find(module), rank=pair["A"].shape[0])
            )

    if problems:
        raise AdapterMismatch(str(folder), problems)
    return pairs


def find_scale(config: Mapping[str, Any], alpha: float, rank: int) -> float:
    """alpha / r, or alpha / sqrt(r) if use_rslora."""
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else max(rank, 1))


@dataclass(frozen=True)
class FoldedTensor:
    """W + scale B A, computed for the requested piece."""

    base: TensorReader
    a: Array  # (r, in)
    b: Array  # (out, r)
    scale: float
    arithmetic: Arithmetic

    @property
    def spec(self) -> TensorSpec:
        """The base tensor's spec in float32, the dtype that `read` returns."""
        return widen_spec(self.base.spec)

    def read(self, start: int, stop: int, buffer: Array | None = None) -> Array:
        """The flat elements from start to stop, in float32. Cheapest where both are at row boundaries."""
        columns = self.base.spec.shape[1]
        first, last = start // columns, -(-stop // columns)  # the rows that the piece touches
        delta = (self.b[first:last] @ self.a).reshape(-1)[start - first * columns : stop - first * columns]
        return np.add(
            self.arithmetic.widen(self.base.read(start, stop)),
            delta * np.float32(self.scale),
            out=None if buffer is None else buffer[: stop - start],
        )


def widen_spec(spec: TensorSpec) -> TensorSpec:
    """The spec of a tensor that is computed in float32 as it is read."""
    return replace(spec, dtype="F32", natural=spec.own_dtype)


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
        if problems := find_misfits(base, adapter):
            raise AdapterMismatch(str(adapter.folder), problems)
        self._base = base
        self._adapter = adapter
        self._arithmetic = arithmetic
        self.folder = base.folder
        self.config = base.config
        self.specs = {name: widen_spec(spec) if name in adapter.pairs else spec for name, spec in base.specs.items()}

    def tensor(self, name: str) -> TensorReader:
        """The reader of one tensor."""
        stored = self._base.tensor(name)
        if name not in self._adapter.pairs:
            return stored
        a, b = self._adapter.load(name, self._arithmetic)
        return FoldedTensor(stored, a, b, self._adapter.pairs[name].scale, self._arithmetic)


def open_source(folder: Path, adapter: Path | None, stack: ExitStack, arithmetic: Arithmetic) -> TensorSource:
    """A model folder, with the adapter of another folder folded in if one is given; `stack` closes their files.

    arithmetic: folds the adapter in.

    Raises what `Checkpoint.open`, `Adapter.open` and `FoldedCheckpoint` raise.
    """
    source: TensorSource = stack.enter_context(Checkpoint.open(folder))
    if holds_float8(source):
        source = Float8Source(source)
    if adapter is None:
        return source
    return FoldedCheckpoint(source, stack.enter_context(Adapter.open(adapter)), arithmetic)


def find_misfits(base: TensorSource, adapter: Adapter) -> list[str]:
    """Every adapter pair whose base tensor is missing, or has another shape or kind."""
    problems = []
    for name, pair in adapter.pairs.items():
        shape = (pair.b.shape[0], pair.a.shape[1])
        spec = base.specs.get(name)
        if spec is None:
            problems.append(f"the model has no tensor {name}, to which {pair.a.name} would belong")
        elif spec.shape != shape or spec.dtype not in FLOATS:
            problems.append(
                f"{name} is {spec.dtype} of shape {list(spec.shape)}, the adapter's product is a float of shape "
                f"{list(shape)}"
            )
    return problems
