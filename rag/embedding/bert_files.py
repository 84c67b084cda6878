"""The files of a BERT that embeds texts, read without the libraries that wrote them, whose import takes seconds.

It reads a plain BERT whose text vector is the mean of its tokens' states or the first of them, with or without a plain
LoRA adapter, and checks every key. It returns None for anything else, which rag.embedding.library_model reads.

    files = read_bert(folder, adapter)  # None: another architecture, or an unusual detail
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from rag.embedding.model_folder import ADAPTER_CONFIG
from rag.errors import EmbedderUnavailable

WEIGHTS, ADAPTER_WEIGHTS = "model.safetensors", "adapter_model.safetensors"
ADAPTED = "base_model.model."  # peft's prefix for the name of a layer
# Keys of an adapter's configuration that do not change what it adds, besides those that are read. Any other key with a
# value leaves the adapter to peft.
WITHOUT_EFFECT = frozenset(
    """
    auto_mapping base_model_name_or_path inference_mode layers_pattern layers_to_transform lora_dropout megatron_core
    peft_version qalora_group_size revision target_modules task_type
    """.split()
)


@dataclass(frozen=True, slots=True)
class BertFiles:
    """What a BERT is made of; tensors have transformers' names and are float32."""

    tensors: dict[str, Tensor]
    layers: int
    heads: int
    epsilon: float  # of the normalisations
    takes_first: bool  # a text's vector is its first token's state, not the mean of all


def read_bert(folder: Path, adapter: Path | None) -> BertFiles | None:
    """The BERT in a folder, the adapter added to its weights; None for any other model.

    Raises EmbedderUnavailable: the files cannot be loaded.
    """
    try:
        config, pooling = _read_json(folder / "config.json"), _read_pooling(folder)
        if not _is_plain_bert(config) or pooling not in ("mean", "cls"):
            return None

        tensors = {name.removeprefix("bert."): tensor for name, tensor in load_file(folder / WEIGHTS).items()}
        layers = int(config["num_hidden_layers"])
        names = _name_tensors(layers)
        if not tensors.keys() >= set(names):
            return None

        tensors = {name: tensors[name].float() for name in names}
        if adapter and not _add_adapter(tensors, adapter):
            return None

        return BertFiles(
            tensors,
            layers,
            int(config["num_attention_heads"]),
            float(config.get("layer_norm_eps", 1e-12)),
            pooling == "cls",
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise EmbedderUnavailable(
            f"the embedding model in {folder} cannot be loaded ({error!r}): is the folder complete?"
        ) from error


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _is_plain_bert(config: dict[str, Any]) -> bool:
    ordinary = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
    return all(config.get(key, value) == value for key, value in ordinary.items()) and not (
        config.get("is_decoder") or config.get("quantization_config")
    )


def _read_pooling(folder: Path) -> str | None:
    """How sentence-transformers pools a text's token states into a vector.

    None where it does so in more than one way, or where files lie elsewhere.
    """
    if not (folder / "modules.json").is_file() or not (folder / WEIGHTS).is_file():
        return None
    modules = _read_json(folder / "modules.json")
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]) or modules[0]["path"]:
        return None
    config = _read_json(folder / modules[1]["path"] / "config.json")
    older = [
        key.removeprefix("pooling_mode_").removesuffix("_token").removesuffix("_tokens")
        for key, value in config.items()
        if value is True
    ]
    mode = config.get("pooling_mode") or [name for name in older if name != "include_prompt"]
    return mode if isinstance(mode, str) else mode[0] if len(mode) == 1 else None


def _name_tensors(layers: int) -> list[str]:
    parts = [
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        "attention.output.LayerNorm",
    ]
    parts += ["intermediate.dense", "output.dense", "output.LayerNorm"]
    modules = ["embeddings.LayerNorm", *(f"encoder.layer.{layer}.{part}" for layer in range(layers) for part in parts)]
    embeddings = [f"embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")]
    return embeddings + [f"{module}.{kind}" for module in modules for kind in ("weight", "bias")]


def _add_adapter(tensors: dict[str, Tensor], adapter: Path) -> bool:
    """Add a LoRA adapter to the weights (Hu et al., arXiv 2106.09685); return whether it is a plain one.

    Any other adapter adds nothing.
    """
    config = _read_json(adapter / ADAPTER_CONFIG)
    rank, alpha = config.pop("r"), config.pop("lora_alpha")
    plain = {"peft_type": ("LORA",), "bias": ("none",), "init_lora_weights": (True, False, "gaussian")}
    if not all(config.pop(key, values[0]) in values for key, values in plain.items()) or any(
        config[key] for key in config.keys() - WITHOUT_EFFECT
    ):
        return False
    found = load_file(adapter / ADAPTER_WEIGHTS)
    names = {
        name.removeprefix(ADAPTED).removesuffix(".lora_A.weight") for name in found if name.endswith(".lora_A.weight")
    }
    if len(found) != 2 * len(names) or not all(f"{name}.weight" in tensors for name in names):
        return False
    for name in names:
        down, up = (found[f"{ADAPTED}{name}.lora_{part}.weight"].float() for part in "AB")
        tensors[f"{name}.weight"] = torch.addmm(tensors[f"{name}.weight"], up, down, alpha=alpha / rank)
    return True
