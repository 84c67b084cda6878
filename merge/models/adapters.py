"""LoRA adapters (peft's format) folded into a checkpoint's tensors as they are read: W + scale B A, in float32.

No intermediate checkpoint is written, and the sum is not rounded to the checkpoint's dtype. LoRA: arXiv 2106.09685,
scale = alpha / r; rank-stabilised LoRA: arXiv 2312.03732, scale = alpha / sqrt(r). With it go DoRA, embeddings, layers
that store their transpose, biases, modules and tokens that were trained whole, and stacks of experts
(merge.models.folding). What cannot be folded exactly is refused.

    with Checkpoint.open(Path("base")) as base, Adapter.open(Path("adapter")) as adapter:
        folded = FoldedCheckpoint(base, adapter, find_arithmetic("cpu"))
        folded.tensor("model.layers.0.mlp.up_proj.weight").read(0, 576)
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
from merge.models.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from merge.models.names import match_names

# Parts of an adapter's tensor names: after the module's name, what the tensor is
PREFIX = "base_model.model."
PART_NAME = re.compile(
    r"(?P<module>.+?)\.(?:lora_(?P<side>[AB])(?:\.default)?\.weight|lora_embedding_(?P<embedding>[AB])(?:\.default)?"
    r"|(?P<magnitude>lora_magnitude_vector)(?:\.default)?(?:\.weight)?|(?P<bias>lora_B)(?:\.default)?\.bias"
    r"|(?:token_adapter\.)?(?P<tokens>trainable_tokens_delta)(?:\.default)?)"
)
WHOLE_NAME = re.compile(r".+\.(?:weight|bias)")
WRAPPED = re.compile(r"\.(?:modules_to_save(?:\.default)?|original_module|base_layer)(?=\.|$)")
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
    use_qalora use_bdlora layer_replication alora_invocation_tokens kasa_config velora_config monteclora_config
    arrow_config
    """.split()
)
BIASES = ("none", "all", "lora_only")
# Ways to start training that leave the base weights as they were; the others (pissa, olora, loftq, ...) shift them.
PLAIN_STARTS = (True, False, None, "gaussian", "eva", "orthogonal", "mini_vera")


@dataclass(frozen=True)
class LoraPair:
    """A and B of one module, still on disk, the scale of their product, and what else belongs to it."""

    a: TensorSpec  # shape (r, in)
    b: TensorSpec  # shape (out, r)
    scale: float
    magnitude: TensorSpec | None = None  # DoRA's
    is_embedding: bool = False


@dataclass(frozen=True)
class Parts:
    """All that an adapter holds, by the name of the base tensor that it changes."""

    pairs: Mapping[str, LoraPair]
    whole: Mapping[str, TensorSpec]  # instead of the model's
    biases: Mapping[str, tuple[TensorSpec, float]]  # added with their scale
    tokens: Mapping[str, TensorSpec]  # rows of single tokens


class Adapter:
    """A LoRA adapter folder opened for reading; a context manager."""

    def __init__(self, folder: Path, parts: Parts, weights: Checkpoint) -> None:
        self.folder = folder
        self.parts = parts
        self.pairs = parts.pairs
        self.config = weights.config
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
        parts = sort_tensors(specs, config, folder)
        return cls(folder, parts, Checkpoint(folder, specs, config))

    def load(self, spec: TensorSpec, arithmetic: Arithmetic) -> Array:
        """One of its tensors in float32, read when the tensor that it changes is merged."""
        return arithmetic.widen(self._weights.tensor(spec.name).read(0, spec.numel)).reshape(spec.shape)

    def __enter__(self) -> Adapter:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._weights.close()


def find_unsupported(config: Mapping[str, Any]) -> list[str]:
    """What in an adapter_config.json cannot be folded as B A; empty if it all can."""
    problems = []
    if config.get("peft_type") != "LORA":
        problems.append(f"peft_type is {describe(config.get('peft_type'))} (supported: LORA)")
    if config.get("bias", "none") not in BIASES:
        problems.append(f"bias is {describe(config['bias'])} (supported: {', '.join(BIASES)})")
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


def sort_tensors(specs: Mapping[str, TensorSpec], config: Mapping[str, Any], folder: Path) -> Parts:
    """What each of an adapter's tensors is for.

    Raises:
        AdapterUnsupported: a tensor is nothing that can be folded.
        AdapterMismatch: a pair cannot be multiplied.
    """
    if not specs:
        raise CheckpointCorrupt(f"{folder / ADAPTER_WEIGHTS} holds no tensors")
    modules: dict[str, dict[str, TensorSpec]] = {}
    whole: dict[str, TensorSpec] = {}
    strangers = []
    for name, spec in specs.items():
        short = name.removeprefix(PREFIX)
        match = PART_NAME.fullmatch(short)
        if match and spec.dtype in FLOATS and _has_its_dimensions(match, spec):
            kind, value = next((kind, value) for kind, value in match.groupdict().items() if kind != "module" and value)
            modules.setdefault(match["module"], {})[value if kind == "side" else f"{kind} {value}"] = spec
        elif not match and WHOLE_NAME.fullmatch(short) and spec.dtype in FLOATS and "lora_" not in short:
            whole[WRAPPED.sub("", short)] = spec
        else:
            strangers.append(f"tensor {name} ({spec.dtype}, shape {list(spec.shape)}) is not a lora_A or lora_B matrix")
    if strangers:
        raise AdapterUnsupported(str(folder), strangers)
    return _pair(modules, whole, config, folder)


def _has_its_dimensions(match: re.Match[str], spec: TensorSpec) -> bool:
    return len(spec.shape) in ((1, 2) if match["magnitude"] or match["bias"] else (2,))


def _pair(
    modules: Mapping[str, Mapping[str, TensorSpec]],
    whole: Mapping[str, TensorSpec],
    config: Mapping[str, Any],
    folder: Path,
) -> Parts:
    alphas = Alphas(config, str(folder))
    parts = Parts({}, dict(whole), {}, {})
    pairs: dict[str, LoraPair] = {}
    biases: dict[str, tuple[TensorSpec, float]] = {}
    tokens: dict[str, TensorSpec] = {}
    problems = []
    for module, found in modules.items():
        if (rows := found.get("tokens trainable_tokens_delta")) is not None:
            tokens[f"{WRAPPED.sub('', module)}.weight"] = rows
        is_embedding = any(key.startswith("embedding ") for key in found)
        sides = {side: spec for side in "AB" if (spec := found.get(f"embedding {side}" if is_embedding else side))}
        if not sides and rows is not None:
            continue
        if len(sides) != 2:
            problems.append(f"{module} has {' and '.join(f'lora_{side}' for side in sides)} but not its counterpart")
        elif sides["A"].shape[0] != sides["B"].shape[1]:
            problems.append(f"{module}: lora_A has rank {sides['A'].shape[0]}, lora_B {sides['B'].shape[1]}")
        else:
            scale = find_scale(config, alphas.find(module), rank=sides["A"].shape[0])
            magnitude = found.get("magnitude lora_magnitude_vector")
            pairs[f"{module}.weight"] = LoraPair(sides["A"], sides["B"], scale, magnitude, is_embedding)
            if (bias := found.get("bias lora_B")) is not None:
                biases[f"{module}.bias"] = (bias, scale)
            if config.get("use_dora") and magnitude is None:
                problems.append(f"{module} has no lora_magnitude_vector, which use_dora needs")
    if problems:
        raise AdapterMismatch(str(folder), problems)
    return replace(parts, pairs=pairs, biases=biases, tokens=tokens)


def find_scale(config: Mapping[str, Any], alpha: float, rank: int) -> float:
    """alpha / r, or alpha / sqrt(r) if use_rslora."""
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else max(rank, 1))


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
