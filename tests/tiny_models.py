"""Two-layer Llamas and their parts, written as real safetensors folders in a moment.

Their weights are random. The product imports nothing from here. Functions import the heavy libraries, so that a process
that a test starts, and a test that writes no model, is there at once.

    chip = write_llama(tmp_path / "chip", seed=1)
    write_adapter(tmp_path / "adapter", chip, seed=2)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from merge.arithmetic.dtypes import Array
from merge.recipe import ParentRef, Recipe

if TYPE_CHECKING:
    import torch

WORDS = ("<s>", "</s>", "<unk>", "fix", "hold", "slack", "with", "repair_timing", "user", "assistant", ":")
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] + ' : ' + m['content'] + ' ' }}{% endfor %}{% if add_generation_prompt "
    "%}assistant :{% endif %}"
)
TARGETS = ("q_proj", "v_proj", "down_proj")


def write_llama(
    folder: Path, seed: int, *, dtype: torch.dtype | None = None, shards_of: str | None = None, **changes: Any
) -> Path:
    """A random Llama with tokenizer, chat template and generation config.

    dtype: float32 where none is given. shards_of: largest shard, such as "20KB".
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    shape = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 64,
    }
    config = LlamaConfig(**{**shape, "max_position_embeddings": 128, "tie_word_embeddings": True, **changes})
    model = LlamaForCausalLM(config).to(dtype or torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:  # fresh norms are all ones in every model, and trained ones are not
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder, **({"max_shard_size": shards_of} if shards_of else {}))
    write_tokenizer(folder)
    return folder


def write_tokenizer(folder: Path, tokens: Sequence[str] = WORDS) -> None:
    """A tokenizer of a few words, with a chat template."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({word: index for index, word in enumerate(tokens)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)


def write_adapter(folder: Path, base: Path, seed: int, *, rank: int = 4, alpha: float = 6, **changes: Any) -> Path:
    """A random LoRA adapter for the model in `base`, as peft itself writes it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base),
        LoraConfig(
            **{"r": rank, "lora_alpha": alpha, "target_modules": list(TARGETS), "task_type": "CAUSAL_LM", **changes}
        ),
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.05 * torch.randn_like(parameter))
            elif parameter.requires_grad:  # modules, tokens and biases that are trained whole
                parameter.add_(0.05 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return folder


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a folder, by the safetensors library."""
    from safetensors.torch import load_file

    tensors: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(path)
    return tensors


def to_array(tensor: torch.Tensor) -> Array:
    """The numbers of a tensor as an array of the same dtype, bit by bit."""
    import torch

    flat: Array = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
    return flat.view(
        getattr(ml_dtypes, str(tensor.dtype).removeprefix("torch."), None) or str(tensor.dtype).removeprefix("torch.")
    ).reshape(tensor.shape)


def to_tensor(array: Array) -> torch.Tensor:
    """The numbers of an array as a tensor of the same dtype, bit by bit."""
    import torch

    return (
        torch.from_numpy(array.reshape(-1).view(np.uint8)).view(getattr(torch, array.dtype.name)).reshape(array.shape)
    )


def read_arrays(folder: Path) -> dict[str, Array]:
    """All tensors of a checkpoint, as arrays."""
    return {name: to_array(tensor) for name, tensor in read_tensors(folder).items()}


def rewrite_tensors(folder: Path, changes: Mapping[str, torch.Tensor | None]) -> None:
    """Replace, add or (None) remove tensors of a folder that has one weight file."""
    from safetensors.torch import save_file

    tensors = read_tensors(folder)
    for name, tensor in changes.items():
        if tensor is None:
            del tensors[name]
        else:
            tensors[name] = tensor.contiguous()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def rewrite_config(folder: Path, **changes: Any) -> None:
    """Change keys of config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def make_recipe(chip: Path, chat: Path, *adapters: Path, **values: Any) -> Recipe:
    """A recipe over folders, adapters for the chip parent; float32 unless said otherwise."""
    chip_ref = ParentRef(str(chip), tuple(map(str, adapters)) or None)
    return Recipe(chip=chip_ref, chat=ParentRef(str(chat)), base=Path.cwd(), **{"dtype": "float32", **values})
