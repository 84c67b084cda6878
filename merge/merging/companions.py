"""The files that go with the weights: config, tokenizer, chat template, generation config.

They are prepared before any tensor is read.

They are the chat parent's, with these exceptions: the chip parent's tokenizer under vocab = "chip", a tokenizer of both
under "union", the chip parent's rope and settings under config = "chip". This file reads no tensors and decides nothing
by itself.

Names of Python code that a parent brings (auto_map) are left out: loading such a checkpoint would ask to run that code.

    for name, raw in prepare_companions(recipe, pair).items():
        (folder / name).write_bytes(raw)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merge.errors import CheckpointCorrupt
from merge.merging.pairing import SETTING_KEYS, Pair
from merge.models.checkpoint import parse_json_object, read_bytes, read_json_object, read_text
from merge.models.vocabulary import TOKENIZER, join_tokenizers, parse_tokens, union_tokens
from merge.recipe import Recipe

CONFIG = "config.json"
GENERATION = "generation_config.json"
TEMPLATES = ("chat_template.jinja", "chat_template.json")
TOKENIZER_CONFIG = "tokenizer_config.json"
# Other forms of the same table; a union would contradict them.
TABLE_FORMS = ("tokenizer.model", "added_tokens.json", "vocab.json", "merges.txt")
TOKENIZER_FILES = (TOKENIZER, TOKENIZER_CONFIG, "special_tokens_map.json", *TABLE_FORMS)
CODE_FILES = (CONFIG, GENERATION, TOKENIZER_CONFIG)  # where libraries look for a model's own code
CODE_KEYS = ("auto_map", "custom_pipelines")  # the keys that name it
DEPTH_KEYS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
ROPE_KEYS = ("rope_parameters", "rope_scaling", "rope_theta")


def prepare_companions(recipe: Recipe, pair: Pair) -> dict[str, bytes]:
    """The content of every companion that the parents have, by file name.

    Raises CheckpointCorrupt: the resulting tokenizer does not give each token its row.
    """
    vocab = "chat" if pair.rows is None else recipe.vocab
    chip, chat = pair.chip.folder, pair.chat.folder
    files = _read_files(chat, (GENERATION, *TEMPLATES)) | _read_files(
        chip if vocab == "chip" else chat, TOKENIZER_FILES
    )
    config = make_config(recipe, pair)
    if vocab == "chip":
        files |= _move_ids(pair, files)
        config = _move_token_ids(config, pair)
        if TOKENIZER_CONFIG in files:
            files[TOKENIZER_CONFIG] = _keep_template(files[TOKENIZER_CONFIG], chat)
    if vocab == "union":
        files = {name: raw for name, raw in files.items() if name not in TABLE_FORMS}
        files[TOKENIZER] = _join(pair)
    return files | {CONFIG: _dump(config)}


def find_code(recipe: Recipe, pair: Pair) -> tuple[str, ...]:
    """The companions whose originals name code of their own, which is left out."""
    tokenizer = pair.chip.folder if pair.rows is not None and recipe.vocab == "chip" else pair.chat.folder
    paths = [pair.chat.folder / CONFIG, pair.chat.folder / GENERATION, tokenizer / TOKENIZER_CONFIG]
    documents = {path.name: read_json_object(path) for path in paths if path.is_file()}
    return tuple(name for name, document in documents.items() if without_code(document) != document)


def is_built_in(config: Mapping[str, Any]) -> bool:
    """Whether transformers itself has the architecture. Importing it takes a second or two."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return config.get("model_type") in CONFIG_MAPPING_NAMES


def without_code(value: Any) -> Any:
    """A JSON value without the keys that name code, at any depth."""
    if isinstance(value, dict):
        return {key: without_code(inner) for key, inner in value.items() if key not in CODE_KEYS}
    return [without_code(inner) for inner in value] if isinstance(value, list) else value


def make_config(recipe: Recipe, pair: Pair) -> dict[str, Any]:
    """The chat parent's config with the output's dtype, rows and ties.

    Under config = "chip" it has the chip parent's rope and settings.
    """
    config = dict(pair.chat.config)
    config.pop("_name_or_path", None)  # where the parent lay on its maker's disk
    config.pop("torch_dtype", None)  # the name of `dtype` before transformers 4.56
    if recipe.config == "chip":
        for key in (*ROPE_KEYS, *SETTING_KEYS):
            config.pop(key, None)
            if key in pair.chip.config:
                config[key] = pair.chip.config[key]
    if recipe.names == "chip" and "architectures" in pair.chip.config:
        config["architectures"] = pair.chip.config["architectures"]  # the class that has these names
    if pair.rows is not None:
        config["vocab_size"] = pair.rows.rows
    if recipe.embeddings != "refuse" and pair.ties_differ:
        config["tie_word_embeddings"] = recipe.embeddings == "tied"
    plain: dict[str, Any] = without_code(config)
    return cut_config(recipe, plain) | {"dtype": recipe.dtype}


def cut_config(recipe: Recipe, config: dict[str, Any]) -> dict[str, Any]:
    """The config with the number of layers that the recipe's slices give, and its lists of a value per layer cut alike.

    Such a list may stand at any depth (layer_types, for example).
    """
    if not recipe.slices:
        return config
    depth = next((config[key] for key in DEPTH_KEYS if type(config.get(key)) is int), 0)
    layers = [layer for each in recipe.slices for layer in range(each.layers[0], each.layers[1] + 1)]

    def cut(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: len(layers) if key in DEPTH_KEYS else cut(inner) for key, inner in value.items()}
        is_per_layer = isinstance(value, list) and len(value) == depth > max(layers)
        return [value[layer] for layer in layers] if is_per_layer else value

    whole: dict[str, Any] = cut(config)
    return whole


def _read_files(folder: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """The bytes of those files that exist.

    Raises CheckpointCorrupt: a file's content does not match its suffix.
    """
    files = {}
    for path in (folder / name for name in names if (folder / name).is_file()):
        files[path.name] = raw = read_bytes(path)
        if path.suffix == ".json":
            document = parse_json_object(raw, path)
            if path.name in CODE_FILES and (plain := without_code(document)) != document:
                files[path.name] = _dump(plain)
        elif path.suffix == ".jinja":
            read_text(path)
    return files


def _dump(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode()


def _move_ids(pair: Pair, files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {GENERATION: _dump(_move_token_ids(json.loads(files[GENERATION]), pair))} if GENERATION in files else {}


def _move_token_ids(document: Mapping[str, Any], pair: Pair) -> dict[str, Any]:
    """The chat parent's token ids (bos_token_id, eos_token_id, ...) as ids of the chip parent's vocabulary."""
    assert pair.chip_vocab is not None
    assert pair.chat_vocab is not None
    names = {number: token for token, number in pair.chat_vocab.tokens.items()}
    ids = pair.chip_vocab.tokens

    def _move(value: Any) -> Any:
        if isinstance(value, list):
            return [_move(item) for item in value]
        return ids[names[value]] if type(value) is int and names.get(value) in ids else value

    return {key: _move(value) if key.endswith("_token_id") else value for key, value in document.items()}


def _keep_template(raw: bytes, chat: Path) -> bytes:
    """The chip parent's tokenizer config with the chat parent's template, where that is in its tokenizer config."""
    config = json.loads(raw)
    config.pop("chat_template", None)
    theirs = read_json_object(chat / TOKENIZER_CONFIG) if (chat / TOKENIZER_CONFIG).is_file() else {}
    if "chat_template" in theirs:
        config["chat_template"] = theirs["chat_template"]
    return _dump(config)


def _join(pair: Pair) -> bytes:
    """The tokenizer of both, read back by the library that will use it.

    Every token must have the row that the weights have for it.
    """
    from tokenizers import Tokenizer

    assert pair.chip_vocab is not None
    assert pair.chat_vocab is not None
    tokens = union_tokens(pair.chip_vocab, pair.chat_vocab)
    chip, chat = (read_json_object(source.folder / TOKENIZER) for source in (pair.chip, pair.chat))
    text = json.dumps(join_tokenizers(chip, chat, tokens), indent=2, ensure_ascii=False) + "\n"
    try:
        table = Tokenizer.from_str(text).get_vocab(with_added_tokens=True)
    except Exception as error:  # the library raises a bare Exception for what it cannot read
        raise CheckpointCorrupt(
            f'the tokenizer of both parents cannot be read: {error}. Use vocab = "chat" or "chip"'
        ) from error
    if table != tokens or tokens != parse_tokens(json.loads(text), Path(TOKENIZER)):
        wrong = next((token for token in tokens if table.get(token) != tokens[token]), "")
        raise CheckpointCorrupt(
            f'the tokenizer of both parents gives {wrong!r} another id than its row. Use vocab = "chat" or "chip"'
        )
    return text.encode()
