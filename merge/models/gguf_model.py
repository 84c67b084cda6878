"""A GGUF file as a model folder: de-quantised to float32, with the file's own tokenizer.

transformers' own reader does it; what its classes add to a tokenizer is taken out again.

    convert_gguf(Path("model.gguf"), Path("folder"))
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merge.errors import CheckpointNotFound, shorten
from merge.models.checkpoint import read_json_object
from merge.models.gguf_header import read_gguf
from merge.models.staging import check_room
from merge.models.vocabulary import TOKENIZER

FLOAT32_BYTES = 4
OS_ERROR = re.compile(r"\(os error (\d{1,3})\)")  # in what safetensors says of a full disk, which is not an OSError
REASON = 300  # characters of a library's reason in a message
TOKENIZER_CONFIG, SPECIAL = "tokenizer_config.json", "special_tokens_map.json"
TOKENS = "tokenizer.ggml.tokens"  # the file's table, of which the header keeps the length
# Special tokens of a tokenizer's config by their names in the file
SPECIAL_KEYS = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Write the model of a GGUF file as float32 safetensors with its tokenizer.

    Raises:
        CheckpointCorrupt: the file contradicts itself.
        OutputFull: the folder's disk lacks the room.
        CheckpointNotFound: transformers does not make a whole model of it.
    """
    header = read_gguf(gguf)
    check_room(folder, header.elements * FLOAT32_BYTES, f"{gguf.name} in float32")
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source: dict[str, Any] = {
        "pretrained_model_name_or_path": str(gguf.parent),
        "gguf_file": gguf.name,
        "trust_remote_code": False,
    }
    try:
        config = AutoConfig.from_pretrained(**source)
        # A model without memory for its weights: random numbers cannot stand in for what the file lacks
        with torch.device("meta"):
            wanted = sum(
                weight.numel()
                for weight in AutoModelForCausalLM.from_config(config, trust_remote_code=False).parameters()
            )
        if wanted > header.elements:
            raise ValueError(
                f"its metadata describes a model of {wanted} parameters, its tensors hold {header.elements}"
            )
        options = {
            "quantization_config": GgufConfig(dequantize=True),
            "dtype": torch.float32,
            "output_loading_info": True,
        }
        model, loading = AutoModelForCausalLM.from_pretrained(**source, config=config, **options)
        if lacking := sorted(loading["missing_keys"]):
            raise ValueError(f"it lacks {len(lacking)} of the model's tensors, {lacking[0]} for example")
        tokenizer = AutoTokenizer.from_pretrained(**source)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        drop_added_tokens(folder, header.metadata)
    except OSError:
        raise  # of the disk: the staged folder reports it
    except Exception as error:  # the libraries raise all kinds on unexpected content
        if (number := OS_ERROR.search(str(error))) is not None:
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise CheckpointNotFound(
            f"{gguf} cannot be converted: {shorten(reason, REASON)}. Give the model as safetensors"
        ) from error


def drop_added_tokens(folder: Path, metadata: Mapping[str, Any]) -> None:
    """Take out of a converted tokenizer what the library added to it, which has no row in the weights.

    The classes of tokenizers bring special tokens of their own (<|endoftext|>); the file says which are its own.
    """
    size = metadata.get(TOKENS)
    if type(size) is not int or not (folder / TOKENIZER).is_file():
        return
    document = read_json_object(folder / TOKENIZER)
    added = document.get("added_tokens") or []
    strangers = {token["content"] for token in added if token["id"] >= size}
    if not strangers:
        return
    document["added_tokens"] = [token for token in added if token["content"] not in strangers]
    if isinstance(vocab := document["model"]["vocab"], dict):
        document["model"]["vocab"] = {token: number for token, number in vocab.items() if number < size}
    _write(folder / TOKENIZER, document)

    names = {number: token for token, number in document["model"]["vocab"].items()} if isinstance(vocab, dict) else {}
    names |= {token["id"]: token["content"] for token in document["added_tokens"]}
    for path in (folder / name for name in (TOKENIZER_CONFIG, SPECIAL) if (folder / name).is_file()):
        said = {
            key: [each for each in value if _content(each) not in strangers] if isinstance(value, list) else value
            for key, value in read_json_object(path).items()
            if _content(value) not in strangers
        }
        for key, name in SPECIAL_KEYS.items():
            if (number := metadata.get(f"tokenizer.ggml.{name}_token_id")) in names:
                said[key] = names[number]
        if isinstance(decoder := said.get("added_tokens_decoder"), dict):
            said["added_tokens_decoder"] = {key: token for key, token in decoder.items() if int(key) < size}
        _write(path, said)


def _content(value: Any) -> Any:
    """A special token's text, whether it stands alone or in an object."""
    return value.get("content") if isinstance(value, dict) else value if isinstance(value, str) else None


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
