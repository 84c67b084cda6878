"""What the name of a tensor says, and how deep a config says that a model is."""

from __future__ import annotations

from typing import Any

from merge.models.layers import find_depth_said, find_kind, find_layer
from tests.rows import for_each

EMBEDDING, NORM, HEAD = "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"


def up(layer: int) -> str:
    return f"model.layers.{layer}.mlp.up_proj.weight"


@for_each(
    ("name", "kind", "layer"),
    [
        ("model.layers.12.self_attn.q_proj.weight", "attention", 12),
        ("model.layers.3.self_attn.q_norm.weight", "norms", 3),
        ("model.layers.3.block_sparse_moe.experts.1.w1.weight", "MLP", 3),
        ("transformer.h.7.ln_1.weight", "norms", 7),
        ("gpt_neox.layers.0.attention.dense.bias", "attention", 0),
        ("encoder.layer.4.output.dense.weight", "MLP", 4),
        ("encoder.layer.4.attention.output.dense.weight", "attention", 4),
        ("encoder.layer.4.output.LayerNorm.weight", "norms", 4),
        ("encoder.block.2.layer.1.DenseReluDense.wi.weight", "MLP", 2),
        ("encoder.block.2.layer.0.SelfAttention.q.weight", "attention", 2),
        ("model.decoder.layers.1.fc1.weight", "MLP", 1),
        ("backbone.layers.1.mixer.in_proj.weight", "other", 1),
        ("shared.weight", "embeddings", None),
        (EMBEDDING, "embeddings", None),
        (HEAD, "embeddings", None),
        ("score.weight", "other", None),
    ],
)
def test_kind_and_layer_are_read_off_the_name(name: str, kind: str, layer: int | None) -> None:
    assert (find_kind(name), find_layer(name)) == (kind, layer)


@for_each(
    ("config", "depth"),
    [({"n_layer": 6}, 6), ({"num_layers": 2, "num_hidden_layers": 3}, 3), ({"n_layers": True}, 0), ({}, 0)],
)
def test_a_config_says_its_number_of_layers_under_any_of_its_names(config: dict[str, Any], depth: int) -> None:
    assert find_depth_said(config) == depth
