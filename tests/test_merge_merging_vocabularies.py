"""Tokenizers with the same words that cut text differently are found, and those that only look different are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from merge.merging.pairing import check_pair
from merge.merging.vocabularies import compare_cutting, find_vocabulary
from merge.models.checkpoint import Checkpoint
from merge.models.vocabulary import read_tokens
from tests.rows import for_each
from tests.tiny_models import make_recipe, read_tensors, rewrite_config, rewrite_tensors, write_llama

RULES = [["h", "o"], ["ho", "l"], ["hol", "d"], ["f", "i"], ["fi", "x"]]
LETTERS = sorted({sign for pair in RULES for sign in "".join(pair)} | set("AbcT \u0120"))
TABLE = {token: n for n, token in enumerate(["<unk>", *LETTERS, *("".join(pair) for pair in RULES)])}


def document() -> dict[str, Any]:
    """A small BPE tokenizer."""
    model = {"type": "BPE", "unk_token": "<unk>", "vocab": TABLE, "merges": RULES}
    return {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None,
        "decoder": None,
        "model": model,
    }


def folders(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> tuple[Path, Path]:
    for side in ("chip", "chat"):
        made = document()
        if side == "chip":
            change(made)
        (tmp_path / side).mkdir()
        (tmp_path / side / "tokenizer.json").write_text(json.dumps(made))
    return tmp_path / "chip", tmp_path / "chat"


@for_each(
    ("change", "said"),
    [
        (lambda made: made["model"].update(merges=RULES[::-1]), "by other merges from rule 0 on"),
        (lambda made: made["model"].update(merges=RULES[:3]), "by other merges from rule 3 on (3 rules and 5)"),
        (lambda made: made.update(normalizer={"type": "Lowercase"}), "by another normalizer"),
        (lambda made: made.update(pre_tokenizer={"type": "Whitespace"}), "by another pre_tokenizer"),
        (lambda made: made["model"].update(type="WordLevel", merges=None), "merges"),
    ],
)
def test_other_ways_to_cut_text_are_found(tmp_path: Path, change: Callable[[dict[str, Any]], Any], said: str) -> None:
    (found,) = compare_cutting(*folders(tmp_path, change))
    assert said in found.text
    assert found.setting == "vocab"


@for_each(
    "change",
    [
        lambda made: made["model"].update(merges=[" ".join(pair) for pair in RULES]),
        lambda made: made.update(normalizer={"type": "Sequence", "normalizers": []}),
        lambda made: made.update(truncation={"max_length": 4}, version="2"),
        lambda made: made["model"].update(dropout=None, byte_fallback=False),
    ],
)
def test_the_same_cuts_written_otherwise_are_no_difference(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    assert compare_cutting(*folders(tmp_path, change)) == []


def test_tokenizers_in_other_files_are_compared_too(tmp_path: Path) -> None:
    chip, chat = tmp_path / "chip", tmp_path / "chat"
    for folder, order in ((chip, 1), (chat, -1)):
        folder.mkdir()
        (folder / "vocab.json").write_text(json.dumps({token: n for n, token in enumerate(list(TABLE)[::order])}))
        (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join("h o" if order == 1 else "f i" for _ in "x"))
        (folder / "spiece.model").write_bytes(bytes([order % 256]))
        (folder / "vocab.txt").write_text("ignored\n")
    assert read_tokens(chip) != read_tokens(chat)
    found = compare_cutting(chip, chat)
    assert ["merges.txt differs" in found[0].text, "spiece.model differs" in found[1].text] == [True, True]
    assert [one.setting for one in found] == ["vocab", None]
    (chip / "vocab.json").unlink()
    (chip / "added_tokens.json").write_text('{"<a>": 1}')
    assert read_tokens(chip) == {"ignored": 0, "<a>": 1}
    (chip / "added_tokens.json").write_text('{"de": {"<a>": 1}}')
    assert read_tokens(chip) is None


@pytest.mark.parametrize("name", ["backbone.embeddings.weight", "shared.weight", "transformer.wte.weight"])
def test_rows_are_matched_whatever_the_embedding_is_called(tmp_path: Path, name: str) -> None:
    chip, chat = (
        write_llama(tmp_path / side, seed, vocab_size=n) for side, seed, n in (("chip", 1, 70), ("chat", 2, 64))
    )
    for folder in (chip, chat):
        rows = read_tensors(folder)["model.embed_tokens.weight"]
        rewrite_tensors(folder, {"model.embed_tokens.weight": None, name: rows})
    with Checkpoint.open(chip) as one, Checkpoint.open(chat) as other:
        assert find_vocabulary(one) is not None
        pair = check_pair(one, other, make_recipe(chip, chat, vocab="chat"))
    assert pair.rows is not None
    assert pair.rows.rows == 64


def test_an_embedding_of_an_unknown_name_is_said_to_be_that(tmp_path: Path) -> None:
    chip, chat = (write_llama(tmp_path / side, seed) for side, seed in (("chip", 1), ("chat", 2)))
    for folder in (chip, chat):
        rewrite_tensors(folder, {"model.embed_tokens.weight": None, "table": torch.ones(64, 32)})
    rewrite_config(chip, vocab_size=70)
    with (
        Checkpoint.open(chip) as one,
        Checkpoint.open(chat) as other,
        pytest.raises(Exception, match="the chip parent has no embedding of a name that is known"),
    ):
        check_pair(one, other, make_recipe(chip, chat, vocab="chat"))
