"""Which files of a model folder go with its weights, and which of them are its tokenizer. It opens none of them.

All go with them that are neither weights nor of a kind below: config, tokenizer, templates, processors of images and
video, licences, and the modules of a sentence embedder with their own weights. Hub snapshots are folders of links,
which count as files.

    names = find_companions(Path("chat"))  # ["chat_template.jinja", "config.json", ...]
"""

from __future__ import annotations

import re
from pathlib import Path

from merge.models.layout import INDEX

WEIGHTS_OF_ANY_KIND = re.compile(
    r".+\.(safetensors|bin|pt|pth|ckpt|gguf|ggml|h5|msgpack|onnx|onnx_data|npz|tflite|pb|part)|.+\.index\.json", re.I
)
# The model's own weights in other forms, and what a trainer left beside them
SAME_WEIGHTS = re.compile(
    r"(pytorch_|tf_|flax_|rust_)?model\b.*|(consolidated|adapter_model|optimizer|scheduler|scaler|rng_state"
    r"|training_args)\b.*|.+\.(safetensors|gguf|ggml|part|index\.json)",
    re.I,
)
CODE, PICKLES = re.compile(r".+\.(py|so|pyc)", re.I), re.compile(r".+\.(pkl|pickle|joblib|dill)", re.I)
# Of no use to whoever loads the model: pictures, cards, and what a trainer, a merge or a tool that quantises left
IDLE = re.compile(
    r"\..*|README.*|.+\.(png|jpe?g|gif|svg|webp|pdf|mp4|log|lock|ipynb|sh)|merge_report\.json|adapter_.*|latest"
    r"|pictures|figures|assets"
    r"|(trainer_state|training_args|curves|loss|quantize_config|quant_config|hf_quant_config)\.json"
    r"|(all|train|eval|test|predict)_results\.json",
    re.I,
)
# Folders that libraries read: templates beside the first one, and the modules of a sentence embedder
FOLDERS = re.compile(r"additional_chat_templates|\d{1,3}_[A-Za-z]+")
TOKENIZER_FILES = re.compile(
    r"tokenizer(_config)?\.json|special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt|bpe)|merges\.txt"
    r"|encoder\.json|dict\.txt|bpe\.codes|tekken\.json|normalizer\.json|.+\.(model|tiktoken|spm|vocab)"
)
COMPANION_BYTES = 64_000_000  # of one file; the largest tokenizers are near 35 MB
# What is fetched from a hub: no format that can carry code, no other form of the weights
HUB_PATTERNS = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken", "*.spm", "*.vocab", "LICENSE*")


def find_companions(folder: Path, *, code: bool = False) -> list[str]:
    """The names of all files that go with the weights, in order; code: the model's own Python files, too."""
    return [name for name in _list_files(folder) if not _is_left(name, folder) or (code and is_code(name))]


def find_left(folder: Path) -> list[str]:
    """What a loader may miss of what is not copied.

    Code, pickles, weights that are not the model's own, large files, and folders of unknown content.
    """
    files = [name for name in _list_files(folder) if _is_left(name, folder)]
    inner = [
        f"{path.name}/"
        for path in sorted(folder.iterdir())
        if path.is_dir() and not FOLDERS.fullmatch(path.name) and not IDLE.fullmatch(path.name)
    ]
    return [*files, *inner]


def find_model_files(folder: Path) -> list[str]:
    """The names of the files that are a model's content: weights, their index, and what goes with them."""
    weights = [path.name for path in folder.glob("*.safetensors") if path.is_file()]
    index = [INDEX] if (folder / INDEX).is_file() else []
    return sorted([name for name in weights if not name.startswith("adapter_")] + index + find_companions(folder))


def is_code(name: str) -> bool:
    """Whether a file is Python code of the model's own."""
    return name.endswith(".py")


def is_tokenizer_file(name: str) -> bool:
    """Whether a companion belongs to the tokenizer, and so to the parent whose vocabulary the output has."""
    return TOKENIZER_FILES.fullmatch(name) is not None


def _list_files(folder: Path) -> list[str]:
    """All files that may go with the weights, those of FOLDERS under their relative names."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and FOLDERS.fullmatch(path.name):
            found += [f"{path.name}/{inner.name}" for inner in sorted(path.iterdir()) if inner.is_file()]
        elif path.is_file() and not _is_model(path.name):
            found.append(path.name)
    return [name for name in found if not IDLE.fullmatch(name.rpartition("/")[2])]


def _is_model(name: str) -> bool:
    """Whether a file that stands in no folder holds the weights that are merged, in whatever form."""
    return WEIGHTS_OF_ANY_KIND.fullmatch(name) is not None and SAME_WEIGHTS.fullmatch(name) is not None


def _is_left(name: str, folder: Path) -> bool:
    suspect = CODE.fullmatch(name) or PICKLES.fullmatch(name) or WEIGHTS_OF_ANY_KIND.fullmatch(name)
    is_module = "/" in name and name.endswith(".safetensors")
    return (suspect is not None and not is_module) or (folder / name).stat().st_size > COMPANION_BYTES
