"""Makes mergekit.safetensors beside it: three tiny Llamas and what mergekit 0.1.5 makes of them.

Run once, by hand, in mergekit's own environment.

It is not run by the tests, which only read the file: mergekit pins versions that our environment does not have.

    python3 -m venv mk && mk/bin/pip install mergekit==0.1.5 && mk/bin/python tests/golden/make_mergekit.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

LAM = 0.6
KEPT = ("model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.down_proj.weight", "model.norm.weight")
TERNARY: dict[str, dict[str, Any]] = {  # name: what mergekit is given, with the weights lam and 1 - lam
    "task_arithmetic": {"merge_method": "task_arithmetic", "lambda": 1.5},
    "ties": {"merge_method": "ties", "density": 0.3, "lambda": 1.5},
    "dare_linear": {"merge_method": "dare_linear", "density": 1.0},
    "dare_ties": {"merge_method": "dare_ties", "density": 1.0, "normalize": True},
    "della": {"merge_method": "della", "density": 1.0},
}


def write_model(folder: Path, seed: int, base: Path | None, step: float) -> Path:
    """A random Llama of one layer, or `base` with noise of relative size `step` added."""
    torch.manual_seed(seed)
    shape = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    config = LlamaConfig(**shape, vocab_size=32, tie_word_embeddings=True)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        if base is not None:
            model.load_state_dict(LlamaForCausalLM.from_pretrained(base).state_dict())
        for parameter in model.parameters():
            parameter.add_(step * (parameter.std(correction=0) + 0.1) * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return folder


def write_config(method: str, chip: Path, chat: Path, base: Path) -> dict[str, Any]:
    """mergekit's configuration for one method."""
    models: list[dict[str, Any]] = [
        {"model": str(chip), "parameters": {"weight": LAM}},
        {"model": str(chat), "parameters": {"weight": 1 - LAM}},
    ]
    if method == "linear":
        return {"merge_method": "linear", "models": models, "dtype": "float32"}
    if method == "slerp":
        return {
            "merge_method": "slerp",
            "base_model": str(chat),
            "models": [{"model": str(chip)}, {"model": str(chat)}],
            "parameters": {"t": LAM},
            "dtype": "float32",
        }
    given = dict(TERNARY[method])
    for model in models:
        model["parameters"] |= {"density": given["density"]} if "density" in given else {}
    shared = {key: given[key] for key in ("lambda", "normalize") if key in given}
    return {
        "merge_method": given["merge_method"],
        "base_model": str(base),
        "models": models,
        "parameters": shared,
        "dtype": "float32",
    }


def main() -> None:
    """Write the file: inputs as chip/NAME, chat/NAME, base/NAME, outputs as METHOD/NAME."""
    golden: dict[str, torch.Tensor] = {}
    with tempfile.TemporaryDirectory() as work:
        base = write_model(Path(work) / "base", 1, None, 0.0)
        chip = write_model(Path(work) / "chip", 2, base, 0.8)
        chat = write_model(Path(work) / "chat", 3, base, 0.5)
        folders = {"base": base, "chip": chip, "chat": chat}
        for method in ("linear", "slerp", *TERNARY):
            config = Path(work) / f"{method}.yml"
            config.write_text(json.dumps(write_config(method, chip, chat, base)))  # JSON is YAML
            folders[method] = Path(work) / method
            command = [str(Path(sys.executable).with_name("mergekit-yaml")), str(config), str(folders[method])]
            subprocess.run(command, check=True)
        for label, folder in folders.items():
            for path in folder.glob("*.safetensors"):
                golden |= {f"{label}/{name}": tensor for name, tensor in load_file(path).items() if name in KEPT}
    save_file(
        golden,
        Path(__file__).with_name("mergekit.safetensors"),
        metadata={"mergekit": version("mergekit"), "lam": str(LAM)},
    )


if __name__ == "__main__":
    main()
