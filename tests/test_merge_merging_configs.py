"""Which setting decides a difference of two configs, and how a quantised parent is seen before it is read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from merge.commands.preview import preview_merge
from merge.errors import ParentsMismatch
from merge.merging.configs import compare_configs, find_quantised
from merge.models.checkpoint import Checkpoint
from merge.settings import MergeSettings
from tests.rows import for_each
from tests.tiny_models import make_recipe, rewrite_config, rewrite_tensors, write_llama

UP = "model.layers.0.mlp.up_proj"


@for_each(
    ("key", "setting"),
    [
        ("rms_norm_eps", "config"),
        ("logits_scaling", "config"),
        ("n_head", None),
        ("kv_lora_rank", None),
        ("vocab_size", "vocab"),
    ],
)
def test_each_key_has_the_setting_that_decides_it(key: str, setting: str | None) -> None:
    (found,) = compare_configs({"model_type": "x", key: 3}, {"model_type": "x", key: 4})
    assert (found.setting, found.text) == (setting, f"config {key}: chip 3, chat 4")


def test_another_class_around_tensors_of_the_same_names_is_no_difference() -> None:
    chip, chat = ({"model_type": "a", "architectures": [name]} for name in ("AModel", "AForCausalLM"))
    assert compare_configs(chip, chat) == []
    (found,) = compare_configs(chip, chat, by_name=False)
    assert found.setting == "names"
    assert len(compare_configs({**chip, "model_type": "b"}, chat)) == 2


def test_a_text_model_is_compared_with_the_text_part_of_one_that_sees() -> None:
    chip = {"model_type": "a", "architectures": ["A"], "rms_norm_eps": 1e-5, "hidden_size": 8, "rope_theta": 1e4}
    chat = {
        "model_type": "a_vl",
        "architectures": ["B"],
        "text_config": {"rms_norm_eps": 1e-6, "hidden_size": 8, "rope_theta": 1e4},
        "vision_config": {"hidden_size": 4},
    }
    (found,) = compare_configs(chip, chat, by_name=False)
    assert (found.text, found.setting) == ("config rms_norm_eps: chip 1e-05, chat 1e-06", "config")


@for_each(
    ("tensors", "said"),
    [
        ({f"{UP}.weight": None, f"{UP}.qweight": torch.ones(4, 48, dtype=torch.int32)}, "qweight"),
        ({f"{UP}.weight": torch.ones(48, 32, dtype=torch.int8)}, f"{UP}.weight (I8 of shape [48, 32])"),
        ({f"{UP}.SCB": torch.ones(48)}, "SCB"),
        ({f"{UP}.weight": torch.ones(48, 4, dtype=torch.uint32)}, f"{UP}.weight (U32 of shape [48, 4])"),
        ({f"{UP}.weight": None, f"{UP}.W_q": torch.ones(24, 32, dtype=torch.uint8)}, f"{UP}.W_q"),
        ({f"{UP}.weight": None, f"{UP}.codes": torch.ones(6, 4, 1, dtype=torch.int16)}, f"{UP}.codes"),
        ({f"{UP}.weight": None, f"{UP}.trellis": torch.ones(3, 2, 64, dtype=torch.int16)}, f"{UP}.trellis"),
        ({f"{UP}.weight": None, f"{UP}.q_weight": torch.ones(4, 48, dtype=torch.int32)}, f"{UP}.q_weight"),
        ({f"{UP}.weight": torch.ones(48, 32).to(torch.float8_e4m3fn)}, "codes without scales"),
    ],
)
def test_a_parent_that_is_quantised_without_saying_so_is_refused(
    tmp_path: Path, tensors: dict[str, torch.Tensor | None], said: str
) -> None:
    chip, chat = write_llama(tmp_path / "chip", seed=1), write_llama(tmp_path / "chat", seed=2)
    rewrite_tensors(chip, tensors)
    with pytest.raises(ParentsMismatch) as caught:
        preview_merge(
            make_recipe(chip, chat, unmatched="chat"), MergeSettings(tmp_path / "home"), say=lambda text: None
        )
    assert len(caught.value.mismatches) == 1
    assert said in str(caught.value)
    assert "unmatched" not in str(caught.value)


def test_a_file_or_a_config_that_says_quantised_is_enough(tmp_path: Path) -> None:
    chip = write_llama(tmp_path / "chip", seed=1)
    (chip / "quantize_config.json").write_text('{"bits": 4}')
    with Checkpoint.open(chip) as opened:
        (found,) = find_quantised(opened, "chip")
    assert "the chip parent is quantised (quantize_config.json is there), give its unquantised weights" in found.text
    rewrite_config(chip, quantization_config={"quant_method": "gptq"})
    rewrite_tensors(chip, {f"{UP}.weight": None, f"{UP}.qweight": torch.ones(4, 48, dtype=torch.int32)})
    with Checkpoint.open(chip) as opened:
        (found,) = find_quantised(opened, "chat")
    assert "the chat parent is quantised (gptq), give its unquantised weights" in found.text


def test_a_config_that_calls_plain_weights_quantised_is_to_be_mended(tmp_path: Path) -> None:
    chip = write_llama(tmp_path / "chip", seed=1)
    rewrite_config(chip, quantization_config={"quant_method": "fp8"})
    with Checkpoint.open(chip) as opened:
        (found,) = find_quantised(opened, "chip")
    assert "said to be quantised (fp8), none of its tensors is. Remove the key from its config.json" in found.text
