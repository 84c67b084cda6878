"""Two config.json as mismatches: what differs, and which setting of the recipe decides it.

Quantised parents are found here, too: by their config, a file beside it, or their tensors.

    found = compare_configs(chip.config, chat.config) + find_quantised(chip, "chip")
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from merge.arithmetic.dtypes import FLOATS, WHOLE
from merge.errors import shorten
from merge.merging.mismatch import Mismatch
from merge.models.checkpoint import DESCRIBED, TensorSource, TensorSpec
from merge.models.config import VOCAB_SIZE, Difference, compare, compare_shared, find_text_config
from merge.models.float8 import FLOAT8

# Beside configs, left by tools that quantise; and tensors that only quantised models have, by the end of the name
QUANTISED_FILES = ("quantize_config.json", "quant_config.json")
QUANTISED_ENDS = (".qweight", ".qzeros", ".weight_packed", ".SCB", ".weight_scale", ".weight_scale_inv", ".absmax")
# Matrices of whole numbers are codes, if they are called weights, or as HQQ, AQLM, ExLlama and quanto call codes
CODED = (".weight", "_proj", "_blocks", ".W_q", ".codes", ".trellis", ".q_weight", "._data")
ADVICE = "give its unquantised weights"


def compare_configs(
    chip: Mapping[str, Any], chat: Mapping[str, Any], side: str = "chip", *, by_name: bool = True
) -> list[Mismatch]:
    """Differences of two config.json.

    side: what the first is. by_name: whether the tensors have the same names. Otherwise `architectures` and
    `model_type` name another class around the same tensors: if one of the configs then has the text model's apart,
    that is compared with the other as a whole.
    """
    texts = [chip if by_name else find_text_config(chip, chat), chat if by_name else find_text_config(chat, chip)]
    if texts[0] is chip and texts[1] is chat:
        is_one_type = by_name and chip.get("model_type") == chat.get("model_type")
        differences = [each for each in compare(chip, chat) if each.path != "architectures" or not is_one_type]
    else:
        differences = [found for found in compare_shared(*texts) if found.key != "architectures"]
    return [_describe(difference, side, by_name=by_name) for difference in differences]


def _describe(difference: Difference, side: str, *, by_name: bool) -> Mismatch:
    text = f"config {difference.path}: {side} {_brief(difference.ours)}, chat {_brief(difference.theirs)}"
    if difference.key == VOCAB_SIZE:
        return Mismatch(text, "vocab")
    if difference.path in ("architectures", "model_type") and not by_name:
        return Mismatch(text, "names")
    return Mismatch(text, None if difference.is_structure else "config")


def find_quantised(source: TensorSource, side: str) -> list[Mismatch]:
    """A mismatch for a parent that is quantised, whether its config says so, a file beside it, or its tensors."""
    if method := source.config.get("quantization_config"):
        name = _brief(method.get("quant_method", "unknown") if isinstance(method, dict) else method)
        if not any(spec.dtype not in FLOATS or each.endswith(QUANTISED_ENDS) for each, spec in source.specs.items()):
            text = f"the {side} parent is said to be quantised ({name}), none of its tensors is"
            return [Mismatch(f"config quantization_config: {text}. Remove the key from its config.json")]
        return [Mismatch(f"config quantization_config: the {side} parent is quantised ({name}), {ADVICE}")]
    if said := [name for name in QUANTISED_FILES if (source.folder / name).is_file()]:
        return [Mismatch(f"the {side} parent is quantised ({said[0]} is there), {ADVICE}")]
    if codes := [name for name, spec in source.specs.items() if spec.dtype in FLOAT8]:
        dtype = source.specs[codes[0]].dtype
        return [
            Mismatch(
                f"the {side} parent holds {len(codes)} tensors of {dtype} codes without scales, such as {codes[0]}: "
                "they are not weights. Give the folder with its scales, or the model in bfloat16"
            )
        ]
    signs = [name for name, spec in source.specs.items() if name.endswith(QUANTISED_ENDS) or _holds_whole_weights(spec)]
    if signs:
        spec = source.specs[signs[0]]
        return [
            Mismatch(
                f"the {side} parent is quantised: {len(signs)} of its tensors are codes or scales, such as {signs[0]} "
                f"({spec.dtype} of shape {list(spec.shape)}), {ADVICE}"
            )
        ]
    return []


def _holds_whole_weights(spec: TensorSpec) -> bool:
    """Whether a matrix of weights is of whole numbers: codes, for buffers have other names."""
    return spec.dtype in WHOLE and len(spec.shape) > 1 and spec.name.endswith(CODED)


def _brief(value: object) -> str:
    return shorten(str(value), DESCRIBED)
