"""A GGUF file is a parent like any other: its order does not matter, its tokenizer has its own tokens, a full disk is
said.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from merge.errors import CheckpointNotFound, OutputFull
from merge.merging.card import render_card
from merge.merging.merger import merge_parents
from merge.models.gguf_model import TOKENS, drop_added_tokens
from merge.settings import MergeSettings
from tests.rows import for_each
from tests.tiny_models import make_recipe, read_tensors

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


WORDS = ["<unk>", "<s>", "</s>", "a", "b", "ab", *(f"w{number}" for number in range(10))]
WIDTH = 32


def write_gguf(path: Path, seed: int, words: list[str] = WORDS, *, is_turned: bool = False, lacking: int = 0) -> Path:
    """A Llama of one layer as llama.cpp's tools write it; the same numbers for the same token and seed.

    is_turned: with its tensors the other way round. lacking: rows that the last tokens do not have.
    """
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(1)
    writer.add_context_length(32)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(8)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(words)
    writer.add_token_types([3 if word.startswith("<") else 1 for word in words])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(words.index("<s>"))
    writer.add_eos_token_id(words.index("</s>"))

    layer = {"attn_q": (WIDTH, WIDTH), "attn_k": (16, WIDTH), "attn_v": (16, WIDTH), "attn_output": (WIDTH, WIDTH)}
    layer |= {"ffn_gate": (64, WIDTH), "ffn_up": (64, WIDTH), "ffn_down": (WIDTH, 64)}
    shapes: dict[str, tuple[int, ...]] = {
        "output_norm": (WIDTH,),
        "blk.0.attn_norm": (WIDTH,),
        "blk.0.ffn_norm": (WIDTH,),
    }
    shapes |= {f"blk.0.{name}": shape for name, shape in layer.items()}
    dice = np.random.default_rng(seed)
    tensors = {name: dice.normal(0.1, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}
    rows = {word: dice.normal(0, 0.1, WIDTH).astype(np.float32) for word in sorted(words)}
    tensors["token_embd"] = np.stack([rows[word] for word in words[: len(words) - lacking]])
    for name in sorted(tensors, reverse=is_turned):
        writer.add_tensor(f"{name}.weight", tensors[name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def merge_files(chip: Path, chat: Path, out: Path, **values: Any) -> dict[str, torch.Tensor]:
    recipe = make_recipe(chip, chat, method="linear", **values)
    merge_parents(recipe, out, MergeSettings(out.parent / "home"), render_card)
    return read_tensors(out)


def test_the_order_of_tensors_and_tokens_in_a_file_does_not_matter(tmp_path: Path) -> None:
    chat, chip = write_gguf(tmp_path / "chat.gguf", 1), write_gguf(tmp_path / "chip.gguf", 2)
    turned = write_gguf(tmp_path / "turned.gguf", 2, [*WORDS[:3], *reversed(WORDS[3:])], is_turned=True)
    plain = merge_files(chip, chat, tmp_path / "plain")
    by_token = merge_files(turned, chat, tmp_path / "by-token", vocab="chat")
    assert plain.keys() == by_token.keys()
    assert all(torch.equal(plain[name], by_token[name]) for name in plain)
    table = Tokenizer.from_file(str(tmp_path / "by-token" / "tokenizer.json")).get_vocab(with_added_tokens=True)
    assert table == {word: number for number, word in enumerate(WORDS)}  # none that a class of tokenizers adds


def test_a_file_with_fewer_rows_than_tokens_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    chat, chip = write_gguf(tmp_path / "chat.gguf", 1), write_gguf(tmp_path / "chip.gguf", 2, lacking=2)
    with pytest.raises(CheckpointNotFound, match=r"chip\.gguf cannot be converted: .*Give the model as safetensors"):
        merge_files(chip, chat, tmp_path / "out")
    assert not [path for path in (tmp_path / "home" / "models").iterdir() if "chip" in path.name]


def test_a_disk_too_small_for_the_numbers_of_a_file_is_said_before_it_is_read(tmp_path: Path, small_disk: Path) -> None:
    chat, chip = write_gguf(tmp_path / "chat.gguf", 1), write_gguf(tmp_path / "chip.gguf", 2)
    (small_disk / "filler").write_bytes(bytes((1 << 20) - (24 << 10)))
    recipe = make_recipe(chip, chat, method="linear")
    with pytest.raises(OutputFull, match=r"0\.0 MB free, chip\.gguf in float32 needs 0\.0 MB. Free some space"):
        merge_parents(recipe, tmp_path / "out", MergeSettings(small_disk / "home"), render_card)
    assert list((small_disk / "home" / "models").iterdir()) == []
    (small_disk / "filler").unlink()
    merge_parents(recipe, tmp_path / "out", MergeSettings(small_disk / "home"), render_card)


def test_a_disk_that_fills_up_while_a_file_is_converted_is_said(
    tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chip = write_gguf(tmp_path / "chip.gguf", 2)
    (small_disk / "filler").write_bytes(bytes((1 << 20) - (24 << 10)))
    monkeypatch.setattr("merge.models.gguf_model.FLOAT32_BYTES", 0)  # as if others had written meanwhile
    with pytest.raises(OutputFull, match=r"no room left for .*; nothing was left behind"):
        merge_parents(make_recipe(chip, chip), tmp_path / "out", MergeSettings(small_disk / "home"), render_card)
    assert list((small_disk / "home" / "models").iterdir()) == []
