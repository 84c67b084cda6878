"""Whether two config.json mean the same: every key is compared, nested ones too, whatever it is spelled like.

Left out is what says nothing of the weights (HARMLESS). Two configs that differ as they stand are read once more as
transformers reads them, with all defaults and in one spelling, where transformers has the architecture itself; no code
of a model's own is run. It opens no file and decides nothing (merge.merging.pairing).

    for difference in compare(chip.config, chat.config):
        print(difference.path, difference.ours, difference.theirs)
"""

from __future__ import annotations

import copy
import json
import math
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

# Keys that say nothing of what the weights mean: where a model came from, how it is trained or run, how it writes.
HARMLESS = frozenset(
    """
    transformers_version torch_dtype dtype auto_map custom_pipelines tokenizer_class name_or_path model_name
    use_cache max_position_embeddings model_max_length torchscript use_bfloat16 gradient_checkpointing return_dict
    use_return_dict chunk_size_feed_forward pretraining_tp attn_implementation use_flash_attn use_flash_attention_2
    use_mamba_kernels use_kernels chunk_size mamba_chunk_size initializer_range initializer_factor init_std
    initializer_cutoff_factor rescale_prenorm_residual embedding_initializer_range time_step_init_scheme
    output_attentions output_hidden_states output_router_logits router_aux_loss_coef router_z_loss_coef
    aux_loss_alpha seq_aux router_aux_loss_factor router_jitter_noise input_jitter_noise moe_layer_use_aux_loss
    id2label label2id num_labels problem_type finetuning_task task_specific_params pruned_heads prefix keys_to_ignore
    max_length min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature top_k top_p
    typical_p repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids
    num_return_sequences output_scores return_dict_in_generate remove_invalid_values exponential_decay_length_penalty
    suppress_tokens begin_suppress_tokens forced_decoder_ids unsloth_version unsloth_fixed quantization_config
    compression_config tie_word_embeddings cache_implementation output_past n_ctx initial_context_length fused_add_norm
    directionality pooler_type pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head
    summary_type summary_use_proj summary_activation summary_proj_to_labels summary_first_dropout
    """.split()
)
# The same by a part of the name: dropout of every kind, ids of special tokens (the vocabulary has them), private keys.
HARMLESS_PARTS = re.compile(r"_.*|.*(dropout|_pdrop|layerdrop)(_prob|_rate)?|.*_token(_ids?|_index)")
# Sizes and counts of a model's parts: no choice between two of them keeps the weights' meaning.
STRUCTURE = re.compile(
    r"model_type|architectures|(num|n|d)_\w+|\w+_(size|dim|heads|rank|depth)|depth|is_\w*(decoder|encoder)\w*"
)
SETTINGS = re.compile(
    r"max_window_layers|\w*window_size|attention_chunk_size|num_logits_to_keep|norm_\w+|num_experts_per_tok\w*"
    r"|(rotary|rope)_\w+"
)
ROPE_KEYS = ("rope_parameters", "rope_scaling", "rope_theta")
# Where an architecture has names of its own for them
ROPE_ALIASES = ("rotary_emb_base", "rotary_pct", "rope_local_base_freq", "partial_rotary_factor")
ROPE_THETA = 10000.0  # the default of transformers
BY_WINDOW = ("longrope", "su", "yarn")  # without a factor it is the window's, beside the original one
ROOT = Path(__file__).parents[2]
VOCAB_SIZE = "vocab_size"
TEXT = "text_config"
# One function under several names
SAME_NAMES = {
    "swish": "silu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_pytorch_tanh",
    "gelu_fast": "gelu_pytorch_tanh",
    "gelu_tanh": "gelu_pytorch_tanh",
}
# What a config means that lacks a key which transformers no longer knows
ONCE_DEFAULT = {"position_embedding_type": "absolute"}
FLOAT32_DIGITS = 1e-7  # relative: a number that went through float32 is the same
# A config's lists have an entry per layer: numbers beyond these would take memory, and no model has them.
LAYERS_LIMIT, NUMBER_LIMIT = 10_000, 50_000_000
COUNTS_LAYERS = re.compile(r".*(layer|depth|block).*")


@dataclass(frozen=True)
class Difference:
    """One setting that two configs have otherwise; None stands for a missing one."""

    path: str  # text_config.rope, with "rope" for all spellings of it
    ours: Any
    theirs: Any

    @property
    def key(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def is_structure(self) -> bool:
        """Whether it is a size, or a count of parts."""
        return is_structure(self.key)


def compare(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[Difference]:
    """All settings that differ, in the order of their names."""
    if not (found := list(_walk(ours, theirs))):
        return []
    one, other = fill_defaults([ours, theirs])
    return list(_walk(one, other, aliases=ROPE_ALIASES)) if one is not None and other is not None else found


def compare_shared(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[Difference]:
    """The differences of settings that both have: for two classes around the same tensors, with other defaults."""
    both = ours.keys() & theirs.keys() | set(ROPE_KEYS)
    one, other = ({key: value for key, value in config.items() if key in both} for config in (ours, theirs))
    return list(_walk(one, other))


def is_harmless(key: str) -> bool:
    """Whether a key says nothing of what the weights mean."""
    return key in HARMLESS or HARMLESS_PARTS.fullmatch(key) is not None


def names_token(key: str) -> bool:
    """Whether a key's value is the id of a token, or ids."""
    return key.endswith(("_token_id", "_token_ids", "_token_index"))


def is_structure(key: str) -> bool:
    """Whether a key is a size, or counts parts."""
    return STRUCTURE.fullmatch(key) is not None and SETTINGS.fullmatch(key) is None


def is_setting(key: str) -> bool:
    """Whether a key changes what weights of the same shapes mean, so that one parent's must be chosen."""
    return not is_harmless(key) and not is_structure(key)


def take_settings(chip: Mapping[str, Any], chat: Mapping[str, Any]) -> dict[str, Any]:
    """The chat parent's config with all settings of the chip parent's, each in the chip parent's spelling."""
    taken: dict[str, Any] = {}
    for key in dict.fromkeys((*chat, *chip)):
        ours, theirs = chip.get(key), chat.get(key)
        if isinstance(ours, dict) and isinstance(theirs, dict) and key.endswith("_config"):
            taken[key] = take_settings(ours, theirs)
        elif key in (source := chip if is_setting(key) else chat):
            taken[key] = source[key]
    return taken


def find_text_config(config: Mapping[str, Any], other: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a config that is about the text model, where the other config is about nothing else."""
    inner = config.get(TEXT)
    return inner if isinstance(inner, dict) and TEXT not in other else config


def describe_rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """The rotary embedding's settings, from rope_parameters (transformers 5) or rope_theta and rope_scaling (before).

    Values of unexpected types are compared as they are.
    """
    said = config.get("rope_parameters") or config.get("rope_scaling") or {}
    rope = dict(said) if isinstance(said, dict) else {"rope_parameters": said}
    if rope and all(isinstance(value, dict) for value in rope.values()):  # one for each kind of layers
        return {kind: describe_rope({"rope_parameters": value}) for kind, value in sorted(rope.items())}
    theta = rope.get("rope_theta") or config.get("rope_theta") or ROPE_THETA
    rope["rope_theta"] = float(theta) if isinstance(theta, int | float) else theta
    rope["rope_type"] = rope.pop("type", None) or rope.get("rope_type") or "default"
    if rope.get("partial_rotary_factor") == 1.0:  # all of it, as where nothing is said
        del rope["partial_rotary_factor"]
    if rope["rope_type"] == "dynamic" or (rope["rope_type"] in BY_WINDOW and rope.get("factor") is None):
        rope["max_position_embeddings"] = config.get("max_position_embeddings")  # frequencies are scaled by it
    return dict(sorted(rope.items()))


def find_default(config: Mapping[str, Any], key: str) -> Any:
    """What transformers takes for a key that a config lacks; None: that is not known."""
    return _find_default(json.dumps(config, sort_keys=True, default=str), key)


@lru_cache
def _find_default(text: str, key: str) -> Any:
    [filled] = fill_defaults([json.loads(text)])
    return None if filled is None else filled.get(key)


def fill_defaults(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any] | None]:
    """Configs as transformers reads them: every default is there, and each setting has one name.

    None: transformers has no such architecture, or does not take the config. The library takes a second and, with
    torch, 0.4 GB: unless it is loaded here already, a process of its own reads them without torch.
    """
    if not all(isinstance(config.get("model_type"), str) and _has_plain_sizes(config) for config in configs):
        return [None for _ in configs]
    if sys.modules.get("transformers") is not None:
        return [_read_as_transformers(config) for config in configs]
    command = [sys.executable, "-m", "merge.models.config"]
    done = subprocess.run(command, input=json.dumps(configs).encode(), capture_output=True, cwd=ROOT, check=False)
    try:
        filled: list[dict[str, Any] | None] = json.loads(done.stdout)
    except ValueError:  # it died: the configs are then compared as they stand
        return [None for _ in configs]
    return filled


def _read_as_transformers(config: Mapping[str, Any]) -> dict[str, Any] | None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.utils import logging

    if config["model_type"] not in CONFIG_MAPPING:
        return None
    plain = {key: value for key, value in config.items() if key not in ("auto_map", "quantization_config")}
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = CONFIG_MAPPING[config["model_type"]].from_dict(copy.deepcopy(plain)).to_dict()
        filled: dict[str, Any] = json.loads(json.dumps(read, default=str))
    except Exception:  # the classes raise all kinds on unexpected values, which are then compared as they stand
        return None
    finally:
        logging.set_verbosity(level)
    return filled


def _has_plain_sizes(value: Any, key: str = "") -> bool:
    """Whether no number is beyond those of models: a list as long could be made of it."""
    if isinstance(value, dict):
        return all(_has_plain_sizes(inner, str(name)) for name, inner in value.items())
    if isinstance(value, list):
        return all(_has_plain_sizes(inner, key) for inner in value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return bool(abs(value) <= (LAYERS_LIMIT if COUNTS_LAYERS.fullmatch(key) else NUMBER_LIMIT))
    return True


def _walk(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], path: str = "", aliases: tuple[str, ...] = ()
) -> Iterator[Difference]:
    """The differences from one level on; `aliases` are keys that `rope` covers."""
    either = sorted(ours.keys() | theirs.keys())
    if any(key in ROPE_KEYS for key in either):
        ropes = describe_rope(ours), describe_rope(theirs)
        if not _is_same(*ropes):
            yield Difference(f"{path}rope", *ropes)
    idle = {*ROPE_KEYS, *aliases, *(("architectures",) if path else ())}
    if ours.get("use_sliding_window") is False and theirs.get("use_sliding_window") is False:
        idle |= {"sliding_window", "max_window_layers"}
    if any(config.get("hidden_activation") for config in (ours, theirs)):
        idle.add("hidden_act")  # Gemma's older key, which is not read beside the newer
    # In a table of its own, such as a router's, top_k and temperature have nothing to do with how text is written
    is_part = bool(path) and not path.removesuffix(".").endswith("_config")
    for key in either:
        if key in idle or (HARMLESS_PARTS.fullmatch(key) if is_part else is_harmless(key)):
            continue
        one, other = (config.get(key, ONCE_DEFAULT.get(key)) for config in (ours, theirs))
        if is_structure(key) and (one is None or other is None):
            continue  # the shapes of the tensors decide
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _walk(one, other, f"{path}{key}.", aliases)
        elif not _is_same(one, other):
            yield Difference(f"{path}{key}", one, other)


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values mean the same. A missing key, and null, are like one that is off."""
    if one is None or other is None:
        return not (other if one is None else one)
    if isinstance(one, dict) and isinstance(other, dict):
        return all(_is_same(one.get(key), other.get(key)) for key in one.keys() | other.keys())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, str) and isinstance(other, str):
        return SAME_NAMES.get(one, one) == SAME_NAMES.get(other, other)
    if isinstance(one, bool) or isinstance(other, bool) or (isinstance(one, int) and isinstance(other, int)):
        return bool(one == other)
    if isinstance(one, int | float) and isinstance(other, int | float):
        try:
            return math.isclose(one, other, rel_tol=FLOAT32_DIGITS)
        except OverflowError:  # a whole number beyond all floats
            return False
    return bool(one == other)


def main() -> None:
    """Read configs from stdin as transformers does, and write them to stdout; JSON lists, both."""
    sys.modules["torch"] = None  # type: ignore[assignment]  # as if it were not installed
    sys.stdout.write(json.dumps([_read_as_transformers(config) for config in json.load(sys.stdin)]))


if __name__ == "__main__":
    main()
