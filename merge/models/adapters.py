"""LoRA adapters in peft's format: what each of an adapter's tensors is for, and the scale of each pair.

LoRA: arXiv 2106.09685, scale = alpha / r; rank-stabilised LoRA: arXiv 2312.03732, scale = alpha / sqrt(r). With it go
DoRA, embeddings, layers that store their transpose, biases, modules and tokens that were trained whole, and stacks of
experts. What cannot be folded exactly is refused. `folded` folds an adapter into a model.

    with Adapter.open(Path("adapter")) as adapter: adapter.pairs["model.layers.0.mlp.up_proj.weight"].scale
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import regex

from merge.arithmetic.dtypes import FLOATS, Array
from merge.arithmetic.geodesic import Arithmetic
from merge.errors import AdapterMismatch, AdapterUnsupported, CheckpointCorrupt
from merge.models.checkpoint import (
    CONFIG_LIMIT_BYTES,
    Checkpoint,
    TensorSpec,
    describe,
    read_header,
    read_json_object,
)
from merge.models.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS

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
