"""Rows are matched by token string: nothing is cut off, nothing is found by its place, and a joined tokenizer gives
each token its row.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from merge.errors import CheckpointCorrupt
from merge.models.vocabulary import (
    RowRun,
    Vocabulary,
    join_tokenizers,
    match_rows,
    parse_tokens,
    read_tokens,
    union_tokens,
)
from tests.rows import for_each
from tests.tiny_models import WORDS, write_tokenizer

CHIP = Vocabulary(6, {"a": 0, "b": 1, "net": 2, "via": 3})  # two rows of padding
CHAT = Vocabulary(5, {"a": 0, "hello": 1, "b": 2, "<end>": 3})  # one row of padding

tables = st.lists(st.sampled_from("abcdefghijkl"), unique=True, min_size=1, max_size=9)


def train_bpe(text: str, added: tuple[str, ...] = (), vocab_size: int = 300) -> dict[str, Any]:
    """A byte-level BPE tokenizer, as Llama 3's and Qwen's are, trained on a few words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        [text] * 5, trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer.add_special_tokens(list(added))
    document: dict[str, Any] = json.loads(tokenizer.to_str())
    return document


def test_chat_rows_are_found_in_the_chip_parent_by_token() -> None:
    rows = match_rows("chat", CHIP, CHAT)
    assert rows.rows == 5
    assert rows.runs == (RowRun(0, 1, 0, 0), RowRun(1, 1, None, 1), RowRun(2, 1, 1, 2), RowRun(3, 2, None, 3))
    assert rows.shared == 2


def test_chip_rows_are_found_in_the_chat_parent_by_token() -> None:
    rows = match_rows("chip", CHIP, CHAT)
    assert rows.runs == (RowRun(0, 1, 0, 0), RowRun(1, 1, 1, 2), RowRun(2, 4, 2, None))
    assert rows.rows == 6


def test_a_union_keeps_the_chat_ids_and_puts_new_tokens_into_its_padding_first() -> None:
    rows = match_rows("union", CHIP, CHAT)
    assert union_tokens(CHIP, CHAT) == {**CHAT.tokens, "net": 4, "via": 5}
    assert rows.rows == 6
    assert rows.runs[-1] == RowRun(4, 2, 2, None)


def test_equal_tables_with_other_padding_are_one_run_and_the_owners_padding() -> None:
    tokens = {"a": 0, "b": 1}
    assert match_rows("chat", Vocabulary(2, tokens), Vocabulary(4, tokens)).runs == (
        RowRun(0, 2, 0, 0),
        RowRun(2, 2, None, 2),
    )
    assert match_rows("chat", Vocabulary(9, tokens), Vocabulary(2, tokens)).runs == (RowRun(0, 2, 0, 0),)


def test_a_base_is_matched_by_token_too() -> None:
    runs = match_rows("chat", CHIP, CHAT, Vocabulary(2, {"b": 0, "a": 1})).runs
    assert [(run.out, run.base) for run in runs] == [(0, 1), (1, None), (2, 0), (3, None)]


@pytest.mark.parametrize("mode", ["chat", "chip", "union"])
@given(ours=tables, theirs=tables, more=st.integers(0, 3))
def test_every_row_is_made_of_its_own_token_and_no_token_is_lost(
    mode: str, ours: list[str], theirs: list[str], more: int
) -> None:
    chip = Vocabulary(len(ours) + more, {token: number for number, token in enumerate(ours)})
    chat = Vocabulary(len(theirs) + 3 - more, {token: number for number, token in enumerate(theirs)})
    rows = match_rows(mode, chip, chat)
    tokens = {"chat": chat.tokens, "chip": chip.tokens, "union": union_tokens(chip, chat)}[mode]
    sources = [
        (run.out + n, *(None if at is None else at + n for at in (run.chip, run.chat)))
        for run in rows.runs
        for n in range(run.count)
    ]
    assert [out for out, _, _ in sources] == list(range(rows.rows))
    by_row = {number: token for token, number in tokens.items()}
    for out, at_chip, at_chat in sources:
        if out in by_row:
            assert (at_chip, at_chat) == (chip.tokens.get(by_row[out]), chat.tokens.get(by_row[out]))
        assert at_chip is not None or at_chat is not None
    assert set(tokens) == {"chat": set(theirs), "chip": set(ours), "union": {*ours, *theirs}}[mode]


def test_tokens_are_read_from_the_folders_tokenizer(tmp_path: Path) -> None:
    assert read_tokens(tmp_path) is None
    write_tokenizer(tmp_path)
    assert read_tokens(tmp_path) == {word: number for number, word in enumerate(WORDS)}


def test_tables_of_each_form_are_read() -> None:
    added = [{"content": "<x>", "id": 2}]
    for vocab in ({"a": 0, "b": 1}, [["a", -0.5], ["b", -1.0]]):
        assert parse_tokens({"model": {"vocab": vocab}, "added_tokens": added}, Path("t")) == {"a": 0, "b": 1, "<x>": 2}


@for_each(
    "document",
    [{}, {"model": {}}, {"model": {"vocab": 3}}, {"model": {"vocab": {"a": "x"}}}, {"model": {"vocab": {"a": -1}}}],
)
def test_a_broken_table_is_named(document: dict[str, Any]) -> None:
    with pytest.raises(CheckpointCorrupt, match="its vocabulary"):
        parse_tokens(document, Path("tokenizer.json"))


def test_a_joined_tokenizer_cuts_old_text_as_before_and_new_words_whole() -> None:
    chat = train_bpe("hello there general words", ("<|end|>",), vocab_size=270)
    chip = train_bpe("setup hold slack antenna", ("<|net|>",), vocab_size=290)
    ours, theirs = parse_tokens(chip, Path("t")), parse_tokens(chat, Path("t"))
    tokens = union_tokens(Vocabulary(len(ours), ours), Vocabulary(len(theirs), theirs))
    joined = Tokenizer.from_str(json.dumps(join_tokenizers(chip, chat, tokens)))
    before, chips = Tokenizer.from_str(json.dumps(chat)), Tokenizer.from_str(json.dumps(chip))
    assert joined.get_vocab(with_added_tokens=True) == tokens
    assert joined.encode("hello there<|end|>").ids == before.encode("hello there<|end|>").ids
    assert joined.encode("<|net|>").ids == [tokens["<|net|>"]]
    new = joined.encode("antenna slack")
    assert new.tokens == chips.encode("antenna slack").tokens
    assert joined.decode(new.ids) == "antenna slack"


def test_a_tokenizer_without_ids_of_its_own_is_refused() -> None:
    with pytest.raises(ValueError, match="type Unigram gives ids by position"):
        join_tokenizers({"model": {}}, {"model": {"type": "Unigram", "vocab": [["a", 0.0]]}}, {"a": 0})


def test_a_token_of_a_list_of_lines_may_be_any_sign_that_ends_no_line(tmp_path: Path) -> None:
    tokens = ["<a>", "\u2028", "\x85", "\x0c", "\x1c", " ", "", "b"]
    (tmp_path / "vocab.txt").write_bytes("\r\n".join([*tokens, ""]).encode())
    assert read_tokens(tmp_path) == {token: number for number, token in enumerate(tokens)}
    (tmp_path / "vocab.txt").write_text("\n".join(tokens))  # the last line may have no end
    (tmp_path / "added_tokens.json").write_text('{"<more>": 8}')
    assert read_tokens(tmp_path) == {**{token: number for number, token in enumerate(tokens)}, "<more>": 8}
