"""Two configs of one meaning are the same however they are spelled, and another meaning is found at any depth."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from transformers import GraniteConfig, LlavaConfig, Phi3Config, PretrainedConfig, Qwen2Config

from merge.models.config import ROOT, compare, compare_shared, fill_defaults, is_setting, take_settings
from tests.rows import for_each

SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 64}
UNKNOWN: dict[str, Any] = {"model_type": "of-our-own", "hidden_size": 32, "inner_config": {"gain": 2.0, "act": "silu"}}


def saved(config: PretrainedConfig) -> dict[str, Any]:
    values: dict[str, Any] = config.to_dict()
    return values


@for_each(
    ("config", "changes", "path"),
    [
        (saved(GraniteConfig(**SIZES)), {"residual_multiplier": 0.5}, "residual_multiplier"),
        (saved(GraniteConfig(**SIZES)), {"logits_scaling": 4.0}, "logits_scaling"),
        (saved(Phi3Config(**SIZES)), {"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}, "rope"),
        (saved(Qwen2Config(**SIZES)), {"layer_types": ["full_attention", "sliding_attention"]}, "layer_types"),
        (saved(Qwen2Config(**SIZES)), {"use_sliding_window": True}, "use_sliding_window"),
        (UNKNOWN, {"inner_config": {"gain": 3.0, "act": "silu"}}, "inner_config.gain"),
        (UNKNOWN, {"inner_config": {"gain": 2.0, "act": "gelu"}}, "inner_config.act"),
        (UNKNOWN, {"clamp": 8.0}, "clamp"),
        (UNKNOWN, {"rope_theta": 5e5}, "rope"),
    ],
)
def test_a_setting_that_changes_the_weights_meaning_is_found(
    config: dict[str, Any], changes: dict[str, Any], path: str
) -> None:
    assert path in [difference.path for difference in compare({**config, **changes}, config)]
    assert path in [difference.path for difference in compare(config, {**config, **changes})]


def test_a_setting_of_the_text_model_inside_another_is_found() -> None:
    config = saved(LlavaConfig(text_config=Qwen2Config(**SIZES)))
    changed = {**config, "text_config": {**config["text_config"], "rms_norm_eps": 1e-3}}
    (found,) = compare(changed, config)
    assert (found.path, found.ours, found.theirs) == ("text_config.rms_norm_eps", 1e-3, 1e-6)
    assert not found.is_structure


@for_each(
    ("config", "changes"),
    [
        (saved(Qwen2Config(**SIZES)), {"rope_parameters": None, "rope_theta": 10000}),
        (saved(Qwen2Config(**SIZES)), {"layer_types": None}),
        (saved(Qwen2Config(**SIZES)), {"rms_norm_eps": 9.999999974752427e-07}),
        (saved(Qwen2Config(**SIZES)), {"hidden_act": "swish", "max_window_layers": 7, "sliding_window": 4}),
        (saved(Qwen2Config(**SIZES)), {"attention_dropout": 0.1, "max_position_embeddings": 7, "eos_token_id": 3}),
        (saved(Qwen2Config(**SIZES)), {"transformers_version": "4.30", "torch_dtype": "float16", "use_cache": False}),
        (saved(GraniteConfig(**SIZES)), {"num_key_value_heads": None}),
        (UNKNOWN, {"inner_config": {"gain": 2.0000000001, "act": "swish"}}),
        (UNKNOWN, {"clamp": None, "inner_config": {"gain": 2, "act": "silu", "more": False}}),
    ],
)
def test_one_meaning_in_two_spellings_is_no_difference(config: dict[str, Any], changes: dict[str, Any]) -> None:
    assert compare({**config, **changes}, config) == []
    assert compare(config, {**config, **changes}) == []


def test_a_default_that_one_leaves_out_is_held_against_the_others_value() -> None:
    config = saved(Qwen2Config(**SIZES, rms_norm_eps=1e-5))
    without = {key: value for key, value in config.items() if key != "rms_norm_eps"}
    (found,) = compare(without, config)
    assert (found.ours, found.theirs) == (1e-6, 1e-5)


@for_each("lie", [10**30, 1e300, -1, [10**9], "..", True])
def test_a_config_that_no_class_takes_is_compared_as_it_stands(lie: Any) -> None:
    config = saved(Qwen2Config(**SIZES))
    for key in ("num_hidden_layers", "rope_parameters", "layer_types", "rms_norm_eps"):
        assert compare({**config, key: lie}, config) != []


def test_sizes_are_structure_and_multipliers_are_settings() -> None:
    assert all(map(is_setting, ("rope_theta", "logit_scale", "layer_types", "sliding_window", "norm_topk_prob")))
    assert not any(
        map(is_setting, ("n_head", "hidden_size", "d_model", "head_dim", "vocab_size", "dtype", "pad_token_id"))
    )


def test_taking_the_chip_parents_settings_keeps_the_chat_parents_sizes_and_ids() -> None:
    chip = {"hidden_size": 1, "rope_theta": 5e5, "eos_token_id": 1, "text_config": {"act": "gelu", "vocab_size": 3}}
    chat = {"hidden_size": 2, "rope_parameters": {}, "eos_token_id": 2, "text_config": {"act": "silu", "vocab_size": 4}}
    assert take_settings(chip, chat) == {
        "hidden_size": 2,
        "eos_token_id": 2,
        "rope_theta": 5e5,
        "text_config": {"act": "gelu", "vocab_size": 4},
    }


def test_of_two_classes_around_the_same_tensors_what_both_say_is_compared() -> None:
    ours, theirs = {"rms_norm_eps": 1e-5, "own": 1, "rope_theta": 5e5}, {"rms_norm_eps": 1e-6, "other": 2}
    assert [found.path for found in compare_shared(ours, theirs)] == ["rope", "rms_norm_eps"]


def test_a_process_of_its_own_reads_configs_as_this_one_does() -> None:
    configs = [saved(Qwen2Config(**SIZES)), {"model_type": "of-our-own"}]
    command = [sys.executable, "-m", "merge.models.config"]
    done = subprocess.run(command, input=json.dumps(configs).encode(), cwd=ROOT, capture_output=True, check=True)
    assert json.loads(done.stdout) == fill_defaults(configs)
