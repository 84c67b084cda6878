"""Whether two parents are one architecture, decided from configs and headers before any tensor is read.

It lists every mismatch at once and repairs none: nothing is truncated, padded, renamed or tied here.

    check_pair(chip, chat)  # raises ParentsMismatch
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from merge.checkpoint import TensorSource, TensorSpec
from merge.errors import ParentsMismatch

FLOATS = ("F32", "F16", "BF16")  # what is interpolated; float64 and float8 are refused, whole numbers are copied
WHOLE = ("I64", "I32", "I16", "I8", "U8", "BOOL")
# What must agree for the weights to mean the same in both models. max_position_embeddings is a limit, no meaning, and may differ.
CONFIG_KEYS = (
    "model_type", "architectures", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "head_dim", "vocab_size", "tie_word_embeddings", "hidden_act", "attention_bias", "mlp_bias", "sliding_window",
    "num_local_experts", "num_experts", "num_experts_per_tok",
)  # fmt: skip
ROPE_THETA = 10000.0  # what transformers takes where a config is silent


def check_pair(chip: TensorSource, chat: TensorSource) -> None:
    """Raise ParentsMismatch with every difference in config, tensor names, shapes and kinds of dtype."""
    mismatches = compare_configs(chip.config, chat.config) + compare_specs(chip.specs, chat.specs)
    if mismatches:
        raise ParentsMismatch(mismatches)


def compare_configs(chip: Mapping[str, Any], chat: Mapping[str, Any]) -> list[str]:
    """Differences of two config.json; a key that one of them leaves out is no difference, tensor shapes speak for it."""
    found = []
    for key in CONFIG_KEYS:
        if key in chip and key in chat and chip[key] != chat[key]:
            found.append(f"config {key}: chip {chip[key]}, chat {chat[key]}")
    if (ours := describe_rope(chip)) != (theirs := describe_rope(chat)):
        found.append(f"config rope: chip {ours}, chat {theirs}")
    for side, config in (("chip", chip), ("chat", chat)):
        if method := config.get("quantization_config"):
            name = method.get("quant_method", "unknown") if isinstance(method, dict) else method
            found.append(f"config quantization_config: the {side} parent is quantised ({name}), give its unquantised weights")
    return found


def describe_rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """The rotary embedding's settings, whether the config says rope_parameters (transformers 5) or rope_theta and rope_scaling (before)."""
    rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    rope.setdefault("rope_theta", config.get("rope_theta") or ROPE_THETA)
    rope["rope_type"] = rope.pop("type", None) or rope.get("rope_type") or "default"
    rope["rope_theta"] = float(rope["rope_theta"])
    return dict(sorted(rope.items()))


def compare_specs(chip: Mapping[str, TensorSpec], chat: Mapping[str, TensorSpec]) -> list[str]:
    """Differences of names, shapes and kinds of dtype; two float dtypes are no difference, each is widened as it is read."""
    found = [f"tensor {name} is in the chip parent only" for name in by_number(chip.keys() - chat.keys())]
    found += [f"tensor {name} is in the chat parent only" for name in by_number(chat.keys() - chip.keys())]
    for name in by_number(chip.keys() & chat.keys()):
        ours, theirs = chip[name], chat[name]
        if ours.shape != theirs.shape:
            found.append(f"tensor {name}: chip has shape {list(ours.shape)}, chat {list(theirs.shape)}")
        both_float = ours.dtype in FLOATS and theirs.dtype in FLOATS
        both_whole = ours.dtype in WHOLE and ours.dtype == theirs.dtype
        if not both_float and not both_whole:
            rule = f"merged: {', '.join(FLOATS)}; copied if the same: {', '.join(WHOLE)}"
            found.append(f"tensor {name}: chip is {ours.dtype}, chat {theirs.dtype} ({rule})")
    return found


def by_number(names: set[str]) -> list[str]:
    """Names in the order people expect: layers.2 before layers.10."""
    return sorted(names, key=lambda name: [(int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", name)])
