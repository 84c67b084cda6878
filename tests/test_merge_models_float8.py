"""Float8 weights are the numbers that code and scale stand for, however their scales are laid out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from merge.arithmetic.dtypes import Array
from merge.merging.card import render_card
from merge.merging.merger import merge_parents
from merge.models.checkpoint import Checkpoint
from merge.models.float8 import Float8Source, holds_float8
from merge.settings import MergeSettings
from tests.rows import for_each
from tests.tiny_models import make_recipe, read_tensors, rewrite_config, rewrite_tensors, write_llama

UP = "model.layers.0.mlp.up_proj.weight"


def codes_of(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(torch.float8_e4m3fn)


def read_scaled(
    folder: Path, codes: torch.Tensor, scale: torch.Tensor, end: str, **config: Any
) -> tuple[Array, Float8Source]:
    """The numbers of a checkpoint of one tensor, read in uneven pieces."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(
        {"w": codes, "w" + end: scale, "input_scale": torch.ones(1), "m.k_scale": torch.ones(1)},
        folder / "a.safetensors",
    )
    with Checkpoint.open(folder) as checkpoint:
        assert holds_float8(checkpoint)
        source = Float8Source(checkpoint)
        reader = source.tensor("w")
        buffer = np.empty(41, np.float32)
        numel = codes.numel()
        pieces = [reader.read(at, min(at + 41, numel), buffer).copy() for at in range(0, numel, 41)]
        whole = reader.read(0, numel)
    assert np.array_equal(np.concatenate(pieces), whole)
    return whole.reshape(codes.shape), source


@for_each(
    ("shape", "scales", "config"),
    [
        ((7, 5), (), {}),
        ((7, 5), (1,), {}),
        ((7, 5), (7, 1), {}),
        ((7, 5), (7,), {}),
        ((130, 300), (2, 3), {}),
        ((130, 300), (2, 3), {"quantization_config": {"weight_block_size": [128, 128]}}),
        ((10, 9), (3, 3), {"quantization_config": {"weight_block_size": [4, 4]}}),
        ((3, 130, 140), (3, 2, 2), {}),
        ((3, 8, 6), (3, 8, 1), {}),
        ((9,), (1,), {}),
    ],
)
def test_each_code_is_multiplied_with_the_scale_of_its_block(
    tmp_path: Path, shape: tuple[int, ...], scales: tuple[int, ...], config: dict[str, Any]
) -> None:
    codes, scale = codes_of(shape), torch.rand(scales, generator=torch.Generator().manual_seed(1)) + 0.5
    stated = config.get("quantization_config", {}).get("weight_block_size")
    for end in ("_scale_inv", "_scale"):
        found, source = read_scaled(tmp_path / end, codes, scale, end, **config)
        spread = scale.reshape(*scale.shape, *(1,) * (len(shape) - scale.dim())) if scale.dim() < len(shape) else scale
        for axis, (size, count) in enumerate(zip(shape, spread.shape, strict=True)):
            block = stated[axis] if stated else 128 if count == -(-size // 128) and count > 1 else -(-size // count)
            spread = spread.repeat_interleave(block, axis).narrow(axis, 0, size)
        assert np.array_equal(found, (codes.float() * spread).numpy())
        assert source.specs.keys() == {"w"}
        assert (source.specs["w"].dtype, source.specs["w"].own_dtype) == ("F32", "BF16")
        assert "quantization_config" not in source.config


@for_each("scale", [torch.ones(4, 4), torch.ones(3, 2, 2), torch.ones(1, dtype=torch.int32)])
def test_scales_that_do_not_fit_leave_codes_as_they_are(tmp_path: Path, scale: torch.Tensor) -> None:
    (tmp_path / "config.json").write_text('{"quantization_config": {"quant_method": "fp8"}}')
    save_file({"w": codes_of((3, 5)), "w_scale": scale}, tmp_path / "a.safetensors")
    with Checkpoint.open(tmp_path) as checkpoint:
        source = Float8Source(checkpoint)
    assert source.specs["w"].dtype == "F8_E4M3"
    assert "quantization_config" in source.config


@pytest.mark.parametrize("side", ["chip", "chat"])
def test_a_float8_parent_merges_as_its_numbers_do(tmp_path: Path, side: str) -> None:
    shape: dict[str, Any] = {"dtype": torch.bfloat16, "num_hidden_layers": 1}
    chip, chat = (write_llama(tmp_path / name, seed, **shape) for name, seed in (("chip", 1), ("chat", 2)))
    folder = chip if side == "chip" else chat
    codes, scale = codes_of((48, 32)), torch.full((48, 1), 0.0625)
    rewrite_tensors(folder, {UP: (codes.float() * scale).bfloat16()})
    for out in ("plain", "scaled"):
        merge_parents(
            make_recipe(chip, chat, dtype="auto"), tmp_path / out, MergeSettings(tmp_path / "home"), render_card
        )
        rewrite_tensors(folder, {UP: codes, UP + "_scale": scale.bfloat16()})
        rewrite_config(folder, quantization_config={"quant_method": "compressed-tensors"})
    plain, scaled = read_tensors(tmp_path / "plain"), read_tensors(tmp_path / "scaled")
    assert plain.keys() == scaled.keys()
    assert all(torch.equal(plain[name], scaled[name]) for name in plain)
    assert scaled[UP].dtype == torch.bfloat16
    assert "quantization_config" not in json.loads((tmp_path / "scaled" / "config.json").read_text())


def quantise(folder: Path, form: str) -> dict[str, torch.Tensor]:
    """Make float8 codes of all projections as a tool publishes them; returns the numbers that they stand for."""
    tensors, exact = read_tensors(folder), {}
    for name in [name for name in tensors if name.endswith("_proj.weight")]:
        weight = tensors[name].float()
        if form == "rows":
            scale = weight.abs().amax(1, keepdim=True) / 448
            spread = scale
        elif form == "blocks":
            blocks = weight.unfold(0, 16, 16).unfold(1, 16, 16)
            scale = blocks.abs().amax((2, 3)) / 448
            spread = scale.repeat_interleave(16, 0).repeat_interleave(16, 1)
        else:
            scale = spread = weight.abs().max() / 448
        codes = (weight / spread).to(torch.float8_e4m3fn)
        exact[name] = codes.float() * spread
        rewrite_tensors(folder, {name: codes, name + ("_scale_inv" if form == "blocks" else "_scale"): scale})
        if form == "modelopt":
            idle = {name.replace("weight", "input_scale"): torch.tensor(0.5), name.replace("weight", "k_scale"): scale}
            rewrite_tensors(folder, idle)
    return exact


def move_scales(folder: Path) -> None:
    """Put the scales into a shard of their own."""
    tensors = read_tensors(folder)
    scales = {name for name in tensors if "_scale" in name}
    shards = {name: f"model-0000{1 + (name in scales)}-of-00002.safetensors" for name in tensors}
    (folder / "model.safetensors").unlink()
    for shard in set(shards.values()):
        save_file({name: tensor for name, tensor in tensors.items() if shards[name] == shard}, folder / shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))


@pytest.mark.parametrize("form", ["rows", "tensor", "blocks", "modelopt"])
def test_each_form_in_which_tools_publish_float8_merges_as_its_numbers(tmp_path: Path, form: str) -> None:
    shape: dict[str, Any] = {"dtype": torch.bfloat16, "num_hidden_layers": 1}
    chip, chat = (write_llama(tmp_path / name, seed, **shape) for name, seed in (("chip", 1), ("chat", 2)))
    exact = quantise(chat, form)
    said: dict[str, Any] = {"quant_method": {"blocks": "fp8", "modelopt": "modelopt"}.get(form, "compressed-tensors")}
    rewrite_config(chat, quantization_config=said | ({"weight_block_size": [16, 16]} if form == "blocks" else {}))
    if form == "modelopt":
        (chat / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "FP8"}}')

    home = MergeSettings(tmp_path / "home")
    merge_parents(make_recipe(chip, chat, dtype="float32", method="linear"), tmp_path / "out", home, render_card)
    merged, ours = read_tensors(tmp_path / "out"), read_tensors(chip)
    assert merged.keys() == ours.keys()
    for name, numbers in exact.items():
        assert torch.allclose(merged[name], 0.6 * ours[name].float() + 0.4 * numbers, rtol=1e-6, atol=1e-9)
    assert not (tmp_path / "out" / "hf_quant_config.json").exists()

    move_scales(chat)
    merge_parents(make_recipe(chip, chat, dtype="float32", method="linear"), tmp_path / "apart", home, render_card)
    apart = read_tensors(tmp_path / "apart")
    assert all(torch.equal(apart[name], tensor) for name, tensor in merged.items())
