"""What transformers' classes add to a GGUF file's tokenizer is taken out again: it has no row in the weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from merge.models.gguf_model import TOKENS, drop_added_tokens
from tests.rows import for_each

METADATA = {TOKENS: 4, "tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.eos_token_id": 3}


def added(token: str, number: int) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": token, "special": True, **flags}


def write(folder: Path, extra: bool) -> None:
    words = {"<s>": 0, "fix": 1, "hold": 2, "<end>": 3}
    tokens = [added("<s>", 0), added("<end>", 3), *([added("<other>", 4)] if extra else [])]
    model = {"type": "WordLevel", "vocab": words | ({"<other>": 4} if extra else {}), "unk_token": "<s>"}
    parts = dict.fromkeys(("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder"))
    (folder / "tokenizer.json").write_text(
        json.dumps({"version": "1.0", **parts, "added_tokens": tokens, "model": model})
    )
    config = {"eos_token": "<other>", "unk_token": {"content": "<other>"}, "bos_token": "<s>", "padding_side": "left"}
    decoder = {str(token["id"]): token for token in tokens}
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "added_tokens_decoder": decoder}))


def test_a_token_beyond_the_files_table_is_taken_out_everywhere(tmp_path: Path) -> None:
    write(tmp_path, extra=True)
    drop_added_tokens(tmp_path, METADATA)
    table = Tokenizer.from_file(str(tmp_path / "tokenizer.json")).get_vocab(with_added_tokens=True)
    assert table == {"<s>": 0, "fix": 1, "hold": 2, "<end>": 3}
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert (config["bos_token"], config["eos_token"], config["padding_side"]) == ("<s>", "<end>", "left")
    assert "unk_token" not in config
    assert config["added_tokens_decoder"].keys() == {"0", "3"}


def test_a_tokenizer_without_strangers_stays_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, extra=False)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    drop_added_tokens(tmp_path, METADATA)
    drop_added_tokens(tmp_path, {})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_stranger_is_taken_out_of_lists_of_special_tokens_too(tmp_path: Path) -> None:
    write(tmp_path, extra=True)
    listed = {"additional_special_tokens": ["<s>", "<other>", {"content": "<other>"}], "model_input_names": ["ids"]}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(listed))
    drop_added_tokens(tmp_path, METADATA)
    said = json.loads((tmp_path / "special_tokens_map.json").read_text())
    assert said["additional_special_tokens"] == ["<s>"]
    assert said["model_input_names"] == ["ids"]
    assert (said["bos_token"], said["eos_token"]) == ("<s>", "<end>")


@for_each("size", [None, "4", True, 4.0])
def test_a_file_that_does_not_count_its_tokens_changes_nothing(tmp_path: Path, size: Any) -> None:
    write(tmp_path, extra=True)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    drop_added_tokens(tmp_path, {**METADATA, TOKENS: size})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_special_ids_that_no_token_has_give_no_special_token(tmp_path: Path) -> None:
    write(tmp_path, extra=True)
    ids = {
        "tokenizer.ggml.eos_token_id": 99,
        "tokenizer.ggml.padding_token_id": 1,
        "tokenizer.ggml.unknown_token_id": None,
    }
    drop_added_tokens(tmp_path, {TOKENS: 4, **ids})
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert "eos_token" not in config  # it was the stranger
    assert config["pad_token"] == "fix"
    assert "unk_token" not in config


def test_a_folder_without_a_tokenizer_of_one_file_stays_empty(tmp_path: Path) -> None:
    drop_added_tokens(tmp_path, METADATA)
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_is_a_list_keeps_its_order_and_scores(tmp_path: Path) -> None:
    write(tmp_path, extra=True)
    document = json.loads((tmp_path / "tokenizer.json").read_text())
    document["model"] = {"type": "Unigram", "vocab": [["<s>", 0.0], ["größe", -1.5]], "unk_id": 0}
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    drop_added_tokens(tmp_path, METADATA)
    text = (tmp_path / "tokenizer.json").read_text(encoding="utf-8")
    assert json.loads(text)["model"] == document["model"]
    assert [token["content"] for token in json.loads(text)["added_tokens"]] == ["<s>", "<end>"]
    assert "größe" in text
