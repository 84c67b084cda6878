"""A pair of every family of models: it merges to the nearest numbers, loads, and runs.

Tiny random parents of 42 architectures as transformers 5 makes them (dense, mixtures, hybrids, state spaces, vision,
encoders), two layers each, in bfloat16. Each element is held against a geodesic of its own, in extended precision on
whole tensors. `make test` tries six of them, all are tried by

    pytest -n 0 --attack full tests/test_attack_families.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from merge.merging.card import render_card
from merge.merging.merger import merge_parents
from merge.settings import MergeSettings
from tests.attack import Attack
from tests.tiny_models import make_recipe, read_tensors, rewrite_tensors, write_tokenizer

T: Any = transformers
LAM = 0.6
NEAREST = 0.501  # of the distance between two neighbours: what is nearer has no better number
MOST_OFF = 3  # elements of a family that are not the nearest: where both terms nearly cancel, float32's sums show
Size = dict[str, Any]
SIZE: Size = {
    "vocab_size": 160,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 4,
    "pad_token_id": 0,
}
GROUPED = SIZE | {"num_key_value_heads": 2}
HEADS = GROUPED | {"head_dim": 8}
GEMMA = HEADS | {"query_pre_attn_scalar": 8}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
SHARED = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "n_shared_experts": 1}
GROUPS = SHARED | {"first_k_dense_replace": 1, "n_group": 1, "topk_group": 1}
RANKS = {"q_lora_rank": 16, "kv_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8}
LATENT = SIZE | {"num_key_value_heads": 4} | RANKS | GROUPS
LINEAR = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "shared_expert_intermediate_size": 16,
    "layer_types": ["linear_attention", "full_attention"],
}
JAMBA = {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1}
MAMBA = {"mamba_d_state": 8, "mamba_d_conv": 4}
ZAMBA = {
    "mamba_ngroups": 1,
    "n_mamba_heads": 8,
    "num_mem_blocks": 1,
    "adapter_rank": 4,
    "layers_block_type": ["mamba", "hybrid"],
    "attention_head_dim": 16,
    "use_mem_rope": False,
    "chunk_size": 8,
}
FALCON_H1 = {"mamba_d_ssm": 64, "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1, "mamba_chunk_size": 8}
NEMOTRON = {
    "mamba_num_heads": 8,
    "mamba_head_dim": 8,
    "ssm_state_size": 8,
    "n_groups": 1,
    "layers_block_type": ["mamba", "attention"],
}
EYES = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "patch_size": 14}
PICTURE = EYES | {"num_hidden_layers": 3, "image_size": 28}
TURNS = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 2]}
SIGNS = {"image_token_id": 100, "video_token_id": 101, "vision_start_token_id": 102, "vision_end_token_id": 103}
QWEN2_EYES = {"depth": 3, "embed_dim": 32, "num_heads": 4, "hidden_size": 32, "mlp_ratio": 2, "patch_size": 14}
QWEN3_EYES = {
    "depth": 3,
    "hidden_size": 32,
    "num_heads": 4,
    "intermediate_size": 64,
    "out_hidden_size": 32,
    "patch_size": 14,
    "num_position_embeddings": 16,
    "deepstack_visual_indexes": [0],
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
WHISPER = {
    "vocab_size": 160,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_source_positions": 20,
    "max_target_positions": 20,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 4,
    "decoder_start_token_id": 1,
    "suppress_tokens": [],
    "begin_suppress_tokens": [],
}
T5 = {"vocab_size": 160, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4}
GPT2 = {"vocab_size": 160, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
ENDS = {"bos_token_id": 1, "eos_token_id": 4}
STATE = {"vocab_size": 160, "hidden_size": 32, "state_size": 8, "num_hidden_layers": 2, "time_step_rank": 4} | ENDS
# name: (class of the config, its settings, class of the model; None: the one for text)
FAMILIES: dict[str, tuple[str, Size, str | None]] = {
    "llama": ("LlamaConfig", GROUPED, None),
    "llama, tied": ("LlamaConfig", GROUPED | {"tie_word_embeddings": True}, None),
    "llama 3": ("LlamaConfig", GROUPED | {"rope_parameters": LLAMA3_ROPE}, None),
    "qwen2": ("Qwen2Config", GROUPED, None),
    "qwen2, tied": ("Qwen2Config", GROUPED | {"tie_word_embeddings": True}, None),
    "qwen3": ("Qwen3Config", HEADS, None),
    "qwen2_moe": ("Qwen2MoeConfig", GROUPED | EXPERTS | {"shared_expert_intermediate_size": 32}, None),
    "qwen3_moe": ("Qwen3MoeConfig", HEADS | EXPERTS, None),
    "qwen3_next": ("Qwen3NextConfig", HEADS | EXPERTS | LINEAR, None),
    "mistral": ("MistralConfig", GROUPED, None),
    "mixtral": ("MixtralConfig", GROUPED | {"num_local_experts": 4}, None),
    "gemma2": ("Gemma2Config", GEMMA, None),
    "gemma3_text": ("Gemma3TextConfig", GEMMA, None),
    "phi3": ("Phi3Config", GROUPED, None),
    "gpt_neox": ("GPTNeoXConfig", SIZE, None),
    "falcon": ("FalconConfig", {key: SIZE[key] for key in list(SIZE)[:4]} | ENDS, None),
    "deepseek_v2": ("DeepseekV2Config", LATENT, None),
    "deepseek_v3": ("DeepseekV3Config", LATENT, None),
    "granite": ("GraniteConfig", GROUPED, None),
    "olmo2": ("Olmo2Config", GROUPED, None),
    "cohere": ("CohereConfig", GROUPED, None),
    "starcoder2": ("Starcoder2Config", GROUPED, None),
    "gpt2": ("GPT2Config", GPT2 | ENDS, None),
    "t5": ("T5Config", T5, "T5ForConditionalGeneration"),
    "whisper": ("WhisperConfig", WHISPER, "WhisperForConditionalGeneration"),
    "jamba": ("JambaConfig", GROUPED | JAMBA | MAMBA | {"num_experts": 4, "mamba_expand": 2, "mamba_dt_rank": 4}, None),
    "zamba2": ("Zamba2Config", SIZE | {"num_key_value_heads": 4} | MAMBA | ZAMBA | {"mamba_expand": 2}, None),
    "falcon_h1": ("FalconH1Config", GROUPED | MAMBA | FALCON_H1, None),
    "mamba": ("MambaConfig", STATE | {"pad_token_id": 0}, None),
    "bert": ("BertConfig", SIZE, "BertModel"),
    "bert, masked": ("BertConfig", SIZE, "BertForMaskedLM"),
    "gpt_oss": ("GptOssConfig", HEADS | {"num_local_experts": 4, "num_experts_per_tok": 2}, None),
    "olmo3": ("Olmo3Config", GROUPED, None),
    "glm4_moe": ("Glm4MoeConfig", HEADS | GROUPS, None),
    "lfm2": ("Lfm2Config", GROUPED | {"layer_types": ["conv", "full_attention"]}, None),
    "nemotron_h": ("NemotronHConfig", HEADS | NEMOTRON, None),
    "gemma3": (
        "Gemma3Config",
        {"text_config": GEMMA, "vision_config": PICTURE, "mm_tokens_per_image": 4, "boi_token_index": 100}
        | {"eoi_token_index": 101, "image_token_index": 102},
        "Gemma3ForConditionalGeneration",
    ),
    "qwen2_vl": (
        "Qwen2VLConfig",
        {"text_config": GROUPED | {"rope_parameters": TURNS}, "vision_config": QWEN2_EYES} | SIGNS,
        "Qwen2VLForConditionalGeneration",
    ),
    "qwen3_vl": (
        "Qwen3VLConfig",
        {"text_config": HEADS | {"rope_parameters": TURNS}, "vision_config": QWEN3_EYES} | SIGNS,
        "Qwen3VLForConditionalGeneration",
    ),
    "llava": (
        "LlavaConfig",
        {
            "text_config": GROUPED | {"model_type": "llama"},
            "vision_config": PICTURE | {"model_type": "clip_vision_model"},
            "image_token_index": 100,
        },
        "LlavaForConditionalGeneration",
    ),
    "llama4": (
        "Llama4TextConfig",
        HEADS | {"intermediate_size_mlp": 64, "num_local_experts": 4, "num_experts_per_tok": 1},
        "Llama4ForCausalLM",
    ),
    "smollm3": ("SmolLM3Config", GROUPED, None),
}


def write_pair(folder: Path, family: str) -> tuple[Path, Path]:
    """A random chat model of the family, and the same with noise on each number as the chip model."""
    config, settings, model = FAMILIES[family]
    torch.manual_seed(0)
    made = getattr(T, config)(**settings)
    net = T.AutoModelForCausalLM.from_config(made) if model is None else getattr(T, model)(made)
    for seed, side in enumerate(("chat", "chip")):
        net.to(torch.bfloat16).save_pretrained(folder / side)
        write_tokenizer(folder / side)
        torch.manual_seed(3 + seed)
        # Fresh norms are ones and fresh biases zeros, and trained ones are not
        floats = {name: t.double() for name, t in read_tensors(folder / "chat").items() if t.is_floating_point()}
        noisy = {
            name: t + 0.1 * (float(t.pow(2).mean().sqrt()) or 0.02) * torch.randn_like(t) for name, t in floats.items()
        }
        own = read_tensors(folder / "chat")
        rewrite_tensors(folder / side, {name: t.to(own[name].dtype) for name, t in noisy.items()})
    return folder / "chip", folder / "chat"


def find_geodesic(chip: torch.Tensor, chat: torch.Tensor) -> Any:
    """The merge of two tensors in extended precision; the angle by Kahan's formula, exact however small."""
    c, i = (t.double().numpy().astype(np.longdouble).ravel() for t in (chip, chat))
    c_norm, i_norm = np.sqrt((c * c).sum()), np.sqrt((i * i).sum())
    if c_norm == 0 or i_norm == 0 or (c == i).all():
        return c if (c == i).all() else 0 * c
    u, v = c / c_norm, i / i_norm
    theta = 2 * np.arctan2(np.sqrt(((u - v) ** 2).sum()), np.sqrt(((u + v) ** 2).sum()))
    direction = (np.sin(LAM * theta) * u + np.sin((1 - LAM) * theta) * v) / np.sin(theta) if theta else u
    return c_norm ** np.longdouble(LAM) * i_norm ** np.longdouble(1 - LAM) * direction


def count_off(merged: torch.Tensor, expected: Any) -> int:
    """How many elements are not the nearest number of the tensor's dtype."""
    digits = {torch.bfloat16: 7, torch.float32: 23}[merged.dtype]
    sizes = np.abs(expected.astype(np.float64))
    steps = 2.0 ** (np.maximum(np.floor(np.log2(np.where(sizes > 0, sizes, 1))), -126) - digits)
    return int((np.abs(merged.double().numpy().ravel() - expected) > NEAREST * steps).sum())


def check_numbers(out: Path, chip: Path, chat: Path) -> str:
    """What is wrong with the numbers of a merge; empty where nothing is."""
    ours, theirs, merged = read_tensors(chip), read_tensors(chat), read_tensors(out)
    if merged.keys() != theirs.keys():
        return f"other tensors: {sorted(merged.keys() ^ theirs.keys())[:3]}"
    off = {}
    for name, tensor in merged.items():
        if tensor.dtype != theirs[name].dtype or tensor.shape != theirs[name].shape:
            return f"{name} is {tensor.dtype} of shape {tuple(tensor.shape)}"
        if not tensor.is_floating_point():
            off[name] = int((tensor != theirs[name]).sum())
        elif tensor.numel():
            off[name] = count_off(tensor, find_geodesic(ours[name], theirs[name]))
    total = sum(off.values())
    return f"{total} elements are not the nearest, most in {max(off, key=lambda n: off[n])}" if total > MOST_OFF else ""


def check_running(out: Path, model: str | None) -> str:
    """What transformers misses when it loads a merge and runs it on six tokens; empty where nothing is."""
    loader = T.AutoModelForCausalLM if model is None else getattr(T, model)
    net, said = loader.from_pretrained(out, output_loading_info=True, dtype=torch.bfloat16)
    if lacking := {key: sorted(map(str, names))[:3] for key, names in said.items() if names}:
        return f"loaded with {lacking}"
    ids = torch.arange(5, 11)[None]
    inputs: dict[str, Any] = {"input_ids": ids}
    if net.config.is_encoder_decoder:
        inputs = {"decoder_input_ids": ids} | inputs
    if net.main_input_name == "input_features":
        inputs = {"decoder_input_ids": ids, "input_features": torch.ones(1, 80, 40, dtype=torch.bfloat16)}
    with torch.inference_mode():
        found = net(**inputs)
    return "" if bool(torch.isfinite(found[0].float()).all()) else "its output is not finite"


@pytest.mark.attack
@pytest.mark.usefixtures("one_thread")
def test_a_pair_of_every_family_merges_to_the_nearest_numbers_and_runs(attack: Attack, tmp_path: Path) -> None:
    families: list[str] = list(FAMILIES)
    failures: list[str] = []
    tried = families[:: len(families) // attack.times(6, full=len(families))]
    for family in tried:
        chip, chat = write_pair(tmp_path / family, family)
        recipe, out = make_recipe(chip, chat, lam=LAM, dtype="auto"), tmp_path / family / "out"
        merge_parents(recipe, out, MergeSettings(tmp_path / "home"), render_card, threads=1, try_loading=True)
        wrong = check_numbers(out, chip, chat) or check_running(out, FAMILIES[family][2])
        failures += [f"{family}: {wrong}"] if wrong else []
    attack.report("families of models: merged, loaded and run", len(tried), failures)
