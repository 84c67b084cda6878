"""Parents that do not fit are refused before any tensor is read, with every mismatch at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from merge.errors import ParentsMismatch
from merge.merging.configs import compare_configs
from merge.merging.pairing import Pair, by_number, check_pair
from merge.models.checkpoint import Checkpoint
from merge.models.config import describe_rope
from tests.rows import for_each
from tests.tiny_models import WORDS, make_recipe, rewrite_tensors, write_llama, write_tokenizer


def mismatches_of(chip: Path, chat: Path) -> tuple[str, ...]:
    with Checkpoint.open(chip) as one, Checkpoint.open(chat) as other, pytest.raises(ParentsMismatch) as caught:
        check_pair(one, other)
    return caught.value.mismatches


def test_two_models_of_one_architecture_pass_whatever_their_float_dtypes(tmp_path: Path) -> None:
    chip, chat = write_llama(tmp_path / "chip", seed=1, dtype=torch.bfloat16), write_llama(tmp_path / "chat", seed=2)
    with Checkpoint.open(chip) as one, Checkpoint.open(chat) as other:
        check_pair(one, other)


def test_every_mismatch_is_listed_at_once(tmp_path: Path) -> None:
    chip = write_llama(tmp_path / "chip", seed=1, vocab_size=70, num_hidden_layers=1, tie_word_embeddings=False)
    chat = write_llama(tmp_path / "chat", seed=2, rope_parameters={"rope_theta": 500000.0, "rope_type": "default"})
    rewrite_tensors(
        chat, {"model.norm.weight": torch.ones(32, dtype=torch.int32), "buffer": torch.ones(2, dtype=torch.int64)}
    )
    rewrite_tensors(chip, {"buffer": torch.ones(2)})
    text = "\n".join(found := mismatches_of(chip, chat))
    for part in (
        "config num_hidden_layers: chip 1, chat 2",
        "config vocab_size: chip 70, chat 64",
        "config tie_word_embeddings: chip False, chat True",
        "config rope: chip {'rope_theta': 10000.0",
        "tensor lm_head.weight is in the chip parent only",
        "tensor model.layers.1.mlp.up_proj.weight is in the chat parent only",
        "tensor model.embed_tokens.weight: chip has shape [70, 32], chat [64, 32]",
        "tensor model.norm.weight: chip is F32, chat I32",
        "tensor buffer: chip is F32, chat I64",
    ):
        assert part in text
    assert len(found) == 4 + 1 + 9 + 1 + 2


def test_the_error_is_one_line_that_counts(tmp_path: Path) -> None:
    chip, chat = write_llama(tmp_path / "chip", seed=1, vocab_size=70), write_llama(tmp_path / "chat", seed=2)
    error = ParentsMismatch(mismatches_of(chip, chat))
    assert str(error).startswith("the parents cannot be merged, 2 mismatches: ")
    assert "\n" not in str(error)


@for_each(
    ("old", "new"),
    [
        ({"rope_theta": 1e5}, {"rope_parameters": {"rope_theta": 100000, "rope_type": "default"}}),
        ({}, {"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}}),
        (
            {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}},
            {"rope_parameters": {"rope_theta": 5e5, "rope_type": "linear", "factor": 2.0}},
        ),
        ({"rope_theta": 1e4, "rope_scaling": None}, {}),
    ],
)
def test_rope_of_old_and_new_configs_is_compared_by_meaning(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert describe_rope(old) == describe_rope(new)


def test_a_longer_window_is_not_a_mismatch() -> None:
    assert compare_configs({"max_position_embeddings": 2048}, {"max_position_embeddings": 8192}) == []


def test_a_tensor_of_whole_numbers_in_one_parent_is_refused_with_what_can_be_merged(tmp_path: Path) -> None:
    chip, chat = write_llama(tmp_path / "chip", seed=1), write_llama(tmp_path / "chat", seed=2)
    rewrite_tensors(chip, {"model.norm.weight": torch.ones(32, dtype=torch.int64)})
    (found,) = mismatches_of(chip, chat)
    assert "tensor model.norm.weight: chip is I64, chat F32" in found
    assert "merged: F32, F16, BF16, F64" in found


def test_a_mismatch_of_many_names_is_a_few_lines(tmp_path: Path) -> None:
    chip, chat = write_llama(tmp_path / "chip", seed=1), write_llama(tmp_path / "chat", seed=2)
    parts = [f"block_sparse_moe.experts.{n}.w{k}.weight" for n in range(40) for k in range(6)]
    rewrite_tensors(chip, {f"model.layers.{n}.{part}": torch.ones(2) for n in range(2) for part in parts})
    found = mismatches_of(chip, chat)
    assert len(found) == 480
    assert "experts.*.w0.weight is in the chip parent only" in str(ParentsMismatch(found))
    assert "(80 times), and the same of 5 more names" in str(ParentsMismatch(found))
    assert len(str(ParentsMismatch(found))) < 600


def test_names_come_in_the_order_of_their_numbers() -> None:
    assert by_number({"layers.10.w", "layers.2.w", "embed"}) == ["embed", "layers.2.w", "layers.10.w"]


def decided(chip: Path, chat: Path, **values: Any) -> Pair:
    recipe = make_recipe(chip, chat, **values)
    return check_pair(Checkpoint.open(chip), Checkpoint.open(chat), recipe)


def test_each_mismatch_names_the_setting_that_decides_it(tmp_path: Path) -> None:
    chip = write_llama(tmp_path / "chip", seed=1, vocab_size=70, tie_word_embeddings=False)
    chat = write_llama(tmp_path / "chat", seed=2, rope_parameters={"rope_theta": 500000.0, "rope_type": "default"})
    write_tokenizer(chip, (*WORDS, "net"))
    rewrite_tensors(chat, {"extra": torch.ones(2)})
    found = mismatches_of(chip, chat)
    for part, setting in (
        ("config vocab_size", 'vocab = "chat" | "chip" | "union"'),
        ("embed_tokens.weight: chip has shape [70, 32]", 'vocab = "chat"'),
        ("tokenizer: only the chip parent has 1 token: 'net'", 'vocab = "chat"'),
        ("config tie_word_embeddings", 'embeddings = "tied" | "untied"'),
        ("tensor lm_head.weight is in the chip parent only", 'embeddings = "tied"'),
        ("config rope", 'config = "chat" | "chip"'),
        ("tensor extra is in the chat parent only", 'unmatched = "chat" | "chip" | "union"'),
    ):
        (mismatch,) = (text for text in found if part in text)
        assert f"decide it with {setting}" in mismatch
    decisions = {"vocab": "union", "embeddings": "untied", "config": "chat", "unmatched": "chat"}
    pair = decided(chip, chat, **decisions)
    assert pair.rows is not None
    for left_out in decisions:
        with pytest.raises(ParentsMismatch):
            decided(chip, chat, **{key: value for key, value in decisions.items() if key != left_out})


def test_no_setting_decides_another_structure(tmp_path: Path) -> None:
    chip = write_llama(tmp_path / "chip", seed=1, num_hidden_layers=1)
    chat = write_llama(tmp_path / "chat", seed=2)
    with pytest.raises(ParentsMismatch, match=r"1 mismatch: config num_hidden_layers: chip 1, chat 2$"):
        decided(chip, chat, unmatched="union", vocab="union", config="chat", embeddings="tied")


def test_one_id_for_two_tokens_is_a_mismatch_even_where_all_shapes_agree(tmp_path: Path) -> None:
    chip, chat = write_llama(tmp_path / "chip", seed=1), write_llama(tmp_path / "chat", seed=2)
    write_tokenizer(chip, (*WORDS[:-2], "assistant:", ":"))
    found = mismatches_of(chip, chat)
    assert [text.partition(" (decide")[0] for text in found] == [
        "tokenizer: only the chip parent has 1 token: 'assistant:'",
        "tokenizer: only the chat parent has 1 token: 'assistant'",
    ]
    write_tokenizer(chip, (*WORDS[:3], "hold", "fix", *WORDS[5:]))
    (moved,) = mismatches_of(chip, chat)
    assert "the parents give other ids to 2 tokens: 'hold', 'fix'" in moved


def test_a_token_without_a_row_is_refused(tmp_path: Path) -> None:
    chip, chat = (write_llama(tmp_path / name, seed=1, vocab_size=9) for name in ("chip", "chat"))
    (found,) = mismatches_of(chip, chat)
    assert (
        "2 of the chat parent's tokens have no row in its embedding of 9, the first is 'assistant' with id 9" in found
    )


def test_rows_without_a_tokenizer_cannot_be_matched(tmp_path: Path) -> None:
    chip, chat = write_llama(tmp_path / "chip", seed=1, vocab_size=70), write_llama(tmp_path / "chat", seed=2)
    (chip / "tokenizer.json").unlink()
    with pytest.raises(ParentsMismatch, match=r"the chip parent has no tokenizer\.json, so its rows cannot be matched"):
        decided(chip, chat, vocab="chat")


def test_heads_with_other_rows_than_the_embedding_are_refused(tmp_path: Path) -> None:
    chip, chat = (
        write_llama(tmp_path / name, seed=1, tie_word_embeddings=False, vocab_size=n)
        for name, n in (("chip", 70), ("chat", 64))
    )
    rewrite_tensors(chip, {"lm_head.weight": torch.ones(66, 32)})
    with pytest.raises(
        ParentsMismatch, match=r"tensor lm_head\.weight of the chip parent has 66 rows, its embedding 70"
    ):
        decided(chip, chat, vocab="chat")
