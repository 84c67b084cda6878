"""What transformers' classes add to a GGUF file's tokenizer is taken out again: it has no row in the weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from merge.models.gguf_model import TOKENS, drop_added_tokens

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
