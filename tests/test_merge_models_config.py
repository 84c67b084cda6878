"""Two configs of one meaning are the same however they are spelled, and another meaning is found at any depth."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertConfig, Gemma2Config, GraniteConfig, LlavaConfig, Phi3Config, PretrainedConfig, Qwen2Config

from merge.models.config import (
    ROOT,
    compare,
    compare_shared,
    describe_rope,
    fill_defaults,
    find_default,
    find_text_config,
    is_harmless,
    is_setting,
    is_structure,
    names_token,
    take_settings,
)
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
        (saved(BertConfig(**SIZES)), {"position_embedding_type": "relative_key"}, "position_embedding_type"),
        (saved(Gemma2Config(**SIZES, head_dim=8)), {"hidden_activation": "relu"}, "hidden_activation"),
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
        (saved(Gemma2Config(**SIZES, head_dim=8)), {"hidden_act": "gelu_pytorch_tanh"}),
        (saved(BertConfig(**SIZES)), {"position_embedding_type": "absolute", "directionality": "bidi"}),
        (UNKNOWN, {"inner_config": {"gain": 2.0000000001, "act": "swish"}}),
        (UNKNOWN, {"clamp": None, "inner_config": {"gain": 2, "act": "silu", "more": False}}),
    ],
)
def test_one_meaning_in_two_spellings_is_not_a_difference(config: dict[str, Any], changes: dict[str, Any]) -> None:
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


@for_each(
    ("ours", "theirs", "same"),
    [
        ([0.0, math.inf], [0.0, 0.1], False),  # time_step_limit of Mamba 2
        (math.inf, -math.inf, False),
        (math.inf, math.inf, True),
        (math.inf, 10**400, False),
        (1.0, 1 + 5e-8, True),
        (1.0, 1 + 2e-7, False),
        (-1.0, 1.0, False),
        (0.0, 1e-300, False),
        (5, 5.0, True),
        (5, 6, False),
        (10**30, 10**30 + 1, False),
        (True, 1, True),
        (True, 2, False),
        (None, False, True),
        (None, 0, True),
        (None, [], True),
        (None, True, False),
        ("silu", "swish", True),
        ("gelu_new", "gelu_tanh", True),
        ("gelu", "gelu_new", False),
        (["swish", 1.0], ["silu", 1], True),
        ([1, 2], [2, 1], False),
        ([1], [1, 1], False),
        ({"a": None}, {}, True),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, False),
        ("1", 1, False),
    ],
)
def test_values_mean_the_same_or_not_whichever_parent_has_them(ours: Any, theirs: Any, same: bool) -> None:
    for one, other in ((ours, theirs), (theirs, ours)):
        found = compare({"model_type": "of-our-own", "gain": one}, {"model_type": "of-our-own", "gain": other})
        assert ([each.path for each in found] == []) is same


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.sampled_from(["silu", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(["gain", "act", "rope_theta", "inner_config", "rope_scaling"]), JSON))
def test_a_config_is_never_different_from_itself(config: dict[str, Any]) -> None:
    assert compare(config, json.loads(json.dumps(config))) == []


@settings(max_examples=50)
@given(*[st.dictionaries(st.sampled_from(["gain", "act", "rope_theta", "inner_config"]), JSON)] * 2)
def test_differences_are_the_same_from_both_sides(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    there, back = compare(ours, theirs), compare(theirs, ours)
    assert [each.path for each in there] == [each.path for each in back]
    assert [each.path for each in there] == sorted(
        (each.path for each in there), key=lambda path: (path != "rope", path.split("."))
    )
    assert [(repr(each.ours), repr(each.theirs)) for each in there] == [
        (repr(each.theirs), repr(each.ours)) for each in back
    ]


@for_each(
    ("config", "rope"),
    [
        ({}, {"rope_theta": 10000.0, "rope_type": "default"}),
        ({"rope_theta": 500000}, {"rope_theta": 500000.0, "rope_type": "default"}),
        (
            {"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_theta": 5},
            {"factor": 2.0, "rope_theta": 5.0, "rope_type": "linear"},
        ),
        (
            {"rope_parameters": {"rope_type": "default", "rope_theta": 7, "partial_rotary_factor": 1.0}},
            {"rope_theta": 7.0, "rope_type": "default"},
        ),
        (
            {"rope_scaling": {"type": "dynamic", "factor": 2.0}, "max_position_embeddings": 99},
            {"factor": 2.0, "max_position_embeddings": 99, "rope_theta": 10000.0, "rope_type": "dynamic"},
        ),
        (
            {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}, "max_position_embeddings": 99},
            {"factor": 4.0, "rope_theta": 10000.0, "rope_type": "yarn"},  # the factor says it, and the window nothing
        ),
        (
            {"rope_scaling": {"rope_type": "yarn"}, "max_position_embeddings": 99},
            {"max_position_embeddings": 99, "rope_theta": 10000.0, "rope_type": "yarn"},
        ),
        (
            {"rope_parameters": {"sliding": {"rope_theta": 1}, "full": {"rope_theta": 2, "type": "linear"}}},
            {
                "full": {"rope_theta": 2.0, "rope_type": "linear"},
                "sliding": {"rope_theta": 1.0, "rope_type": "default"},
            },
        ),
        ({"rope_scaling": "odd"}, {"rope_parameters": "odd", "rope_theta": 10000.0, "rope_type": "default"}),
        ({"rope_theta": "1e6"}, {"rope_theta": "1e6", "rope_type": "default"}),
    ],
)
def test_all_spellings_of_a_rotary_embedding_become_one(config: dict[str, Any], rope: dict[str, Any]) -> None:
    before = json.dumps(config)
    assert describe_rope(config) == rope
    assert json.dumps(config) == before


@for_each(
    ("key", "kind"),
    [
        ("_name_or_path", "harmless"),
        ("attention_dropout", "harmless"),
        ("resid_pdrop", "harmless"),
        ("encoder_layerdrop", "harmless"),
        ("hidden_dropout_prob", "harmless"),
        ("image_token_index", "harmless"),
        ("eos_token_id", "harmless"),
        ("tie_word_embeddings", "harmless"),
        ("num_experts_per_tok", "setting"),  # of the same tensors, more or fewer count
        ("num_experts_per_token", "setting"),
        ("num_experts", "structure"),
        ("n_head", "structure"),
        ("intermediate_size", "structure"),
        ("sliding_window_size", "setting"),
        ("attention_window_size", "setting"),
        ("rotary_dim", "setting"),
        ("is_encoder_decoder", "structure"),
        ("depth", "structure"),
        ("rms_norm_eps", "setting"),
        ("norm_topk_prob", "setting"),
        ("clip_qkv", "setting"),
    ],
)
def test_a_key_is_harmless_a_size_or_a_setting(key: str, kind: str) -> None:
    assert is_harmless(key) is (kind == "harmless")
    assert is_setting(key) is (kind == "setting")
    assert is_structure(key) is (kind == "structure") or kind == "harmless"


@for_each(
    ("key", "is_id"),
    [("eos_token_id", True), ("suppress_token_ids", True), ("image_token_index", True), ("token", False), ("", False)],
)
def test_keys_of_token_ids_are_known_by_their_end(key: str, is_id: bool) -> None:
    assert names_token(key) is is_id


def test_a_size_that_one_parent_leaves_out_is_left_to_the_tensors() -> None:
    assert compare({"model_type": "of-our-own", "head_dim": 8}, {"model_type": "of-our-own"}) == []
    (found,) = compare({"head_dim": 8}, {"head_dim": 4})
    assert (found.path, found.key, found.is_structure) == ("head_dim", "head_dim", True)


def test_an_idle_sliding_window_says_nothing_and_one_in_use_does() -> None:
    ours, theirs = {"sliding_window": 4, "max_window_layers": 1}, {"sliding_window": 8, "max_window_layers": 2}
    off = {"use_sliding_window": False}
    assert compare({**ours, **off}, {**theirs, **off}) == []
    assert [each.path for each in compare({**ours, **off}, theirs)] == ["max_window_layers", "sliding_window"]


def test_what_chooses_words_in_a_config_chooses_experts_in_a_router() -> None:
    assert compare({"top_k": 1, "temperature": 1.0}, {"top_k": 2, "temperature": 2.0}) == []
    assert compare({"text_config": {"top_k": 1}}, {"text_config": {"top_k": 2}}) == []
    (found,) = compare({"router": {"top_k": 1}}, {"router": {"top_k": 2}})
    assert found.path == "router.top_k"


def test_the_text_part_is_taken_where_the_other_config_has_none() -> None:
    inner, whole = {"act": "silu"}, {"text_config": {"act": "silu"}, "vision_config": {}}
    assert find_text_config(whole, inner) == inner
    assert find_text_config(whole, whole) is whole
    assert find_text_config(inner, whole) is inner
    assert find_text_config({"text_config": "odd"}, inner) == {"text_config": "odd"}


def test_settings_are_taken_from_parts_that_only_one_parent_has() -> None:
    chip, chat = {"clamp": 8.0, "vision_config": {"act": "gelu"}}, {"gain": 2.0, "num_heads": 4, "vision_config": 3}
    taken = take_settings(chip, chat)
    assert "gain" not in taken  # a setting that the chip parent lacks is at its default there
    assert taken["clamp"] == 8.0
    assert taken["num_heads"] == 4
    assert taken["vision_config"] == {"act": "gelu"}
    assert take_settings(chat, chat) == chat


def test_an_architecture_that_is_not_known_has_no_defaults() -> None:
    assert fill_defaults([{"model_type": 5}, {}]) == [None, None]
    assert fill_defaults([{"model_type": "llama", "num_hidden_layers": 10**9}]) == [None]
    assert fill_defaults([]) == []
    assert find_default({"no": "model_type"}, "head_dim") is None
    assert find_default(saved(Qwen2Config(**SIZES)), "rms_norm_eps") == 1e-6
