"""Checks of single values of a recipe, and what may have been meant by a word that it does not know.

Pure: merge.recipe says which values are allowed.

    guess("bf16", ("bfloat16", "float16"))  # ". Did you mean bfloat16?"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

# What other tools call it, by what we do
MEANT = {
    "nuslerp": "geodesic",
    "average": "linear",
    "lerp": "linear",
    "model_stock": "linear",
    "dare_linear": "dare",
    "dare_ties": "dare with [parameters] elect = true",
    "della_linear": "della",
    "t": "lam",
    "weight": "lam",
    "alpha": "lam",
    "merge_method": "method",
    "out_dtype": "dtype",
    "torch_dtype": "dtype",
    "bf16": "bfloat16",
    "fp16": "float16",
    "half": "float16",
    "f16": "float16",
    "fp32": "float32",
    "f32": "float32",
    "float": "float32",
    "instruct": "chat",
    "base_model": "base",
    "lambda": "scale",
}


def guess(value: Any, allowed: Sequence[str]) -> str:
    """What may have been meant, as the end of a message; empty where nothing is near."""
    if not isinstance(value, str):
        return ""
    if (meant := MEANT.get(value.lower())) is not None and meant.partition(" ")[0] in allowed:
        return f". Did you mean {meant}?"
    near = get_close_matches(value.lower(), allowed, 1)
    return f". Did you mean {near[0]}?" if near else ""


def is_number(value: Any, smallest: float, largest: float) -> bool:
    """Whether a value is a number within a range."""
    return not isinstance(value, bool) and isinstance(value, int | float) and smallest <= value <= largest


def is_text(value: Any) -> bool:
    """Whether a value is a text that is not empty."""
    return isinstance(value, str) and bool(value.strip())


def find_unknown(table: str, given: Mapping[str, Any], allowed: tuple[str, ...]) -> list[str]:
    """Keys that a table does not have."""
    return [
        f"unknown key {table + key if table else repr(key)} (allowed: {', '.join(allowed)}){guess(key, allowed)}"
        for key in given
        if key not in allowed
    ]
