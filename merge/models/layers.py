"""What the name of a tensor says: in which layer of which stack it is, and of what kind.

It opens no file.

    find_layer("model.layers.3.mlp.up_proj.weight"), find_kind("model.layers.3.mlp.up_proj.weight")  # 3, "MLP"
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

DEPTH_KEYS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")  # of a config
LAYER = re.compile(r"(?P<stack>(?:.*?\.)?(?:layers|layer|h|blocks|block)\.)(?P<number>\d{1,5})(?=\.)")
HEADS = re.compile(r"(.+\.)?(lm_head|embed_out)(\..+)?\.(weight|bias)")
# Norms before the first layer (CLIP's is spelt so), and the convolutions of towers for sound and images
BEFORE_LAYERS = re.compile(
    r"(.+\.)?(conv\d|conv1d\d|pre_layrnorm|pre_layernorm|ln_pre|embeddings\.(LayerNorm|layer_norm|norm))\.(weight|bias)"
)
Kind = Literal["attention", "MLP", "embeddings", "norms", "other"]
KINDS: tuple[Kind, ...] = ("attention", "MLP", "embeddings", "norms", "other")
# A tensor is of the first kind that has a word of the tensor's name, in small letters.
KIND_WORDS: Mapping[Kind, tuple[str, ...]] = {
    "norms": ("norm", "ln_"),
    "embeddings": ("embed", "lm_head", "wte", "wpe", "shared.weight"),
    "attention": ("attn", "attention"),
    "MLP": ("mlp", "expert", "feed_forward", "moe", "densereludense", ".intermediate.", ".output.dense.", ".fc"),
}


def find_layer(name: str) -> int | None:
    """The layer of a tensor, counted from 0; None for embeddings, the last norm and the head."""
    match = LAYER.match(name)
    return int(match["number"]) if match else None


def count_layers(names: Iterable[str]) -> dict[str, int]:
    """The number of layers of each stack of a model with these tensors, by the beginning of their names.

    Most models have one; those that see, and those of encoder and decoder, have two.
    """
    depths: dict[str, int] = {}
    for match in filter(None, map(LAYER.match, names)):
        depths[match["stack"]] = max(depths.get(match["stack"], 0), int(match["number"]) + 1)
    return depths


def find_depth(name: str, depths: Mapping[str, int]) -> int:
    """The number of layers of the stack that a tensor is in; of the deepest, for those outside."""
    match = LAYER.match(name)
    return depths[match["stack"]] if match else max(depths.values(), default=0)


def find_kind(name: str) -> Kind:
    """The kind of a tensor, for tables and pictures."""
    small = name.lower()
    return next((kind for kind, words in KIND_WORDS.items() if any(word in small for word in words)), "other")


def stands_before(name: str) -> bool:
    """Whether a tensor that is in no layer stands before the first: embeddings, and what prepares sound or images."""
    if HEADS.fullmatch(name):
        return False
    return find_kind(name) == "embeddings" or BEFORE_LAYERS.fullmatch(name) is not None


def find_depth_said(config: Mapping[str, Any]) -> int:
    """The number of layers that a config says; 0 where it says none."""
    return next((config[key] for key in DEPTH_KEYS if type(config.get(key)) is int), 0)
