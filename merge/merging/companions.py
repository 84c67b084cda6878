"""The files that go with the weights: config, tokenizer, chat template, processors, generation config.

They are prepared before any tensor is read.

They are the chat parent's, all of them (merge.models.beside), with these exceptions: the chip parent's tokenizer under
vocab = "chip", a tokenizer of both under "union", the chip parent's rope and settings under config = "chip". This file
reads no tensors and decides nothing by itself.

Python code that a parent brings, and names of it (auto_map), are left out unless the recipe has code = true: loading
such a checkpoint would ask to run that code.

    for name, raw in prepare_companions(recipe, pair).files.items():
        (folder / name).write_bytes(raw)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merge.errors import CheckpointCorrupt, RecipeError
from merge.merging.pairing import Pair
from merge.merging.plan import FLOAT_NAMES, find_dtypes, find_layers
from merge.merging.templates import find_template, replace_template
from merge.models.beside import find_companions, find_left, is_code, is_tokenizer_file
from merge.models.checkpoint import parse_json_object, read_bytes, read_json_object, read_text
from merge.models.config import TEXT, VOCAB_SIZE, names_token, take_settings
from merge.models.layers import DEPTH_KEYS, find_depth_said
from merge.models.vocabulary import TOKENIZER, RowMap, Vocabulary, join_tokenizers, parse_tokens, union_tokens
from merge.recipe import Recipe

CONFIG = "config.json"
GENERATION = "generation_config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
# Forms of the tokenizer's table that a union has; others would contradict it
UNION_FILES = (TOKENIZER, TOKENIZER_CONFIG, "special_tokens_map.json")
PARSED = (GENERATION, TOKENIZER_CONFIG, "special_tokens_map.json", "chat_template.json")  # refused if they are damaged
# Lists of ids of tokens that are never written; of another vocabulary, those that it has
LISTED_IDS = ("suppress_tokens", "begin_suppress_tokens", "bad_words_ids")
CODE_KEYS = ("auto_map", "custom_pipelines")  # the keys that name a model's own code
UNLOADED_KEYS = ("dtype", "torch_dtype", "_name_or_path")  # of a config: with any value it loads
ABOUT_LAYERS = re.compile(r".*(layer|block_type|idxs?$).*")


@dataclass(frozen=True)
class Companions:
    """The content of every companion by file name, and what was left out of the parents' files."""

    files: Mapping[str, bytes]
    code: tuple[str, ...] = ()  # companions whose originals name code of their own, which they no longer do
    left: tuple[str, ...] = ()  # files and folders of the chat parent that are not copied, and that a loader may miss


def prepare_companions(recipe: Recipe, pair: Pair) -> Companions:
    """All that goes with the weights.

    Raises CheckpointCorrupt: a file's content does not match its suffix, or the resulting tokenizer does not give each
    token its row.
    """
    vocab = "chat" if pair.rows is None else recipe.vocab
    chip, chat = pair.chip.folder, pair.chat.folder
    owner = chip if vocab == "chip" else chat
    names = find_companions(chat, code=recipe.code)
    files = _read_files(chat, (name for name in names if not is_tokenizer_file(name) and name != CONFIG))
    files |= _read_files(owner, filter(is_tokenizer_file, find_companions(owner)))
    config = make_config(recipe, pair)
    if vocab == "chip":
        files |= _move_ids(pair, files)
        config = _move_token_ids(config, pair)
        if TOKENIZER_CONFIG in files:
            files[TOKENIZER_CONFIG] = _keep_template(files[TOKENIZER_CONFIG], chat)
    if vocab == "union":
        files = {name: raw for name, raw in files.items() if not is_tokenizer_file(name) or name in UNION_FILES}
        files[TOKENIZER] = _join(pair)
    files = replace_template(files, find_template(recipe, pair))
    files[CONFIG] = _dump(config)
    if recipe.code:
        return Companions(files, left=tuple(name for name in find_left(chat) if not is_code(name)))
    plain = {name: _drop_code(name, raw) for name, raw in files.items()}
    code = [name for name, raw in plain.items() if raw is not files[name]]
    if without_code(pair.chat.config) != pair.chat.config:
        code.append(CONFIG)
    return Companions(plain, tuple(sorted(code)), tuple(find_left(chat)))


def are_chat_parents(companions: Companions, pair: Pair) -> bool:
    """Whether a library finds the same beside the output's weights as beside the chat parent's, and so loads as much.

    What says nothing of loading (the dtype, where the parent lay) may differ.
    """
    chat = pair.chat.folder
    if companions.left or companions.code or companions.files.keys() != set(find_companions(chat, code=True)):
        return False
    configs = [json.loads(companions.files[CONFIG]), pair.chat.config]
    for key in UNLOADED_KEYS:
        configs = [_set_where(config, key, lambda _: None) for config in configs]
    return configs[0] == configs[1] and all(
        raw == read_bytes(chat / name) for name, raw in companions.files.items() if name != CONFIG
    )


def is_built_in(config: Mapping[str, Any]) -> bool:
    """Whether transformers itself has the architecture. Importing it takes a second or two."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return config.get("model_type") in CONFIG_MAPPING_NAMES


def without_code(value: Any) -> Any:
    """A JSON value without the keys that name code, at any depth."""
    if isinstance(value, dict):
        return {key: without_code(inner) for key, inner in value.items() if key not in CODE_KEYS}
    return [without_code(inner) for inner in value] if isinstance(value, list) else value


def _drop_code(name: str, raw: bytes) -> bytes:
    """A file without the keys that name code; the same object where it has none."""
    if not name.endswith(".json") or name == TOKENIZER or not any(f'"{key}"'.encode() in raw for key in CODE_KEYS):
        return raw
    document = parse_json_object(raw, Path(name))
    plain = without_code(document)
    return raw if plain == document else _dump(plain)


def make_config(recipe: Recipe, pair: Pair) -> dict[str, Any]:
    """The chat parent's config with the output's dtype, rows and ties.

    Under config = "chip" it has the chip parent's rope and settings. What stands in it twice, as for the text model of
    one that sees, is changed in both places.
    """
    config = dict(pair.chat.config)
    if recipe.config == "chip" and isinstance(inner := config.get(TEXT), dict) and TEXT not in pair.chip.config:
        config[TEXT] = take_settings(pair.chip.config, inner)
    elif recipe.config == "chip":
        config = take_settings(pair.chip.config, config)
    if recipe.names == "chip" and "architectures" in pair.chip.config:
        config["architectures"] = pair.chip.config["architectures"]  # the class that has these names
    if recipe.embeddings != "refuse" and pair.ties_differ:
        config = _set_where(config, "tie_word_embeddings", lambda _: recipe.embeddings == "tied")
        config["tie_word_embeddings"] = recipe.embeddings == "tied"
    if pair.rows is not None and pair.chat_vocab is not None:
        config = _set_rows(config, pair.rows, pair.chat_vocab)
    dtype = FLOAT_NAMES[find_dtypes(recipe, pair).output]
    config = _set_where(_set_where(config, "dtype", lambda _: dtype), "torch_dtype", lambda _: None)
    config = _set_where(config, "_name_or_path", lambda _: None)  # where the parent lay on its maker's disk
    plain: dict[str, Any] = config if recipe.code else without_code(config)
    return cut_config(recipe, plain) | {"dtype": dtype}


def cut_config(recipe: Recipe, config: dict[str, Any]) -> dict[str, Any]:
    """The config with the number of layers that the recipe's slices give, and its lists of a value per layer cut alike.

    Such a list may stand at any depth (layer_types, for example). Raises RecipeError: a list about layers is another.
    """
    if not recipe.slices:
        return config
    depth = find_depth_said(config)
    layers = find_layers(recipe)
    if named := [key for key in find_layer_lists(config, depth) if layers != list(range(depth))]:
        raise RecipeError(
            "recipe",
            [
                f"config.json says in {named[0]} which layers are what, not by one entry for each of {depth} layers: "
                "slices cannot number it anew (allowed: no slices, or a config with one entry a layer)"
            ],
        )

    def cut(value: Any) -> Any:
        """The value, or each value in it, for the layers that are kept."""
        if isinstance(value, dict):
            return {key: len(layers) if key in DEPTH_KEYS else cut(inner) for key, inner in value.items()}
        is_per_layer = isinstance(value, list) and len(value) == depth > max(layers)
        return [value[layer] for layer in layers] if is_per_layer else value

    whole: dict[str, Any] = cut(config)
    return whole


def find_layer_lists(config: Mapping[str, Any], depth: int) -> list[str]:
    """The keys of lists that are about layers, and have not one entry for each."""
    return [
        key
        for key, value in config.items()
        if isinstance(value, list) and value and len(value) != depth and ABOUT_LAYERS.fullmatch(key)
    ]


def _set_where(config: Mapping[str, Any], key: str, change: Callable[[Any], Any]) -> dict[str, Any]:
    """A config in which a key, wherever it stands, has the changed value; None removes it."""
    changed: dict[str, Any] = {}
    for name, value in config.items():
        new = change(value) if name == key else _set_where(value, key, change) if isinstance(value, dict) else value
        if name != key or new is not None:
            changed[name] = new
    return changed


def _set_rows(config: Mapping[str, Any], rows: RowMap, vocabulary: Vocabulary) -> dict[str, Any]:
    """A config with the number of the output's rows where it had the chat parent's; parts with other tables keep
    theirs.
    """
    inner = config.get(TEXT)
    theirs = [vocabulary.rows, config.get(VOCAB_SIZE), inner.get(VOCAB_SIZE) if isinstance(inner, dict) else None]
    changed = _set_where(config, VOCAB_SIZE, lambda size: rows.rows if size in theirs else size)
    has_it = VOCAB_SIZE in config or (isinstance(inner, dict) and VOCAB_SIZE in inner)
    return changed if has_it else changed | {VOCAB_SIZE: rows.rows}


def _read_files(folder: Path, names: Iterable[str]) -> dict[str, bytes]:
    """The bytes of files by their names in the folder.

    Raises CheckpointCorrupt: the content of one that libraries read first does not match its suffix.
    """
    files = {}
    for name in names:
        files[name] = raw = read_bytes(folder / name)
        if name in PARSED:
            parse_json_object(raw, folder / name)
        elif name.endswith(".jinja"):
            read_text(folder / name)
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

    def _move(key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {inner: _move(inner, item) for inner, item in value.items()}
        if not names_token(key) and key not in LISTED_IDS:
            return value
        if isinstance(value, list):
            kept = [item for item in value if key not in LISTED_IDS or type(item) is not int or names.get(item) in ids]
            return [_move(key, item) for item in kept]
        return ids[names[value]] if type(value) is int and names.get(value) in ids else value

    return {key: _move(key, value) for key, value in document.items()}


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
