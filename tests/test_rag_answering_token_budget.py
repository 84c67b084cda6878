"""rag.answering.token_budget: how much room passages have, and whose tokens are counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from rag.answering.token_budget import INSTRUCTION_TOKENS, Budget, find_counter, load_counter, tokens_left
from rag.errors import SourceUnusable
from rag.settings import RagSettings
from tests.rows import for_each


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint directory whose tokenizer counts words, cuts at three and has two control tokens."""
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken("<|im_start|>", special=True), AddedToken("<|im_end|>", special=True)])
    tokenizer.enable_truncation(3)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


@for_each(
    ("context", "window", "question", "room"),
    [
        (900, None, 50, 900),  # the window is not known: the setting alone counts
        (900, 8192, 50, 900),
        (900, 1000, 50, 1000 - 50 - 400 - INSTRUCTION_TOKENS),
        (None, 1000, 50, 1000 - 50 - 400 - INSTRUCTION_TOKENS),
        (None, 1000, 5000, 1000 - 5000 - 400 - INSTRUCTION_TOKENS),  # below 0: no passage fits
        (None, None, 50, 1_000_000),
    ],
)
def test_passages_get_what_the_window_and_the_setting_leave(
    context: int | None, window: int | None, question: int, room: int
) -> None:
    assert Budget(context, max_tokens=400, max_model_len=window).room(question) == room


@given(*[st.integers(0, 10_000)] * 3)
def test_question_passages_answer_and_instruction_fill_the_window_exactly(
    window: int, question: int, answer: int
) -> None:
    assert tokens_left(window, question, answer) + question + answer + INSTRUCTION_TOKENS == window


def test_a_checkpoints_tokenizer_counts_whole_texts_without_control_tokens(folder: Path) -> None:
    counter = load_counter(folder)
    assert counter is not None
    assert counter.count("one two three four five") == 5  # a tokenizer that truncates counts all the same
    assert counter.count("") == 0
    assert counter.special_tokens == ("<|im_end|>", "<|im_start|>")
    assert counter.source == str(folder)


def test_a_folder_without_a_readable_tokenizer_has_no_counter(tmp_path: Path) -> None:
    assert load_counter(tmp_path) is None
    for number, content in enumerate((b"", b"{}", b"\xff\xfe", b'{"version": "1.0", "model": {"type": "Odd"}}')):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "tokenizer.json").write_bytes(content)
        assert load_counter(folder) is None, content
    (tmp_path / "folder" / "tokenizer.json").mkdir(parents=True)
    assert load_counter(tmp_path / "folder") is None


def test_a_given_folder_must_hold_a_tokenizer_and_the_error_says_whose(folder: Path, tmp_path: Path) -> None:
    settings = RagSettings(home=tmp_path)
    assert find_counter(folder, "chat model", settings).source == str(folder)
    missing = tmp_path / "none"
    with pytest.raises(SourceUnusable, match=r"holds no tokenizer\.json .* folder of the chat model with --tokenizer"):
        find_counter(missing, "chat model", settings)


def test_without_a_folder_the_embedders_tokens_are_counted(tmp_path: Path) -> None:
    counter = find_counter(None, "chat model", RagSettings(home=tmp_path))
    assert counter.source.startswith("the embedder ")
    assert counter.special_tokens == ()
    assert 2 <= counter.count("clock tree") < counter.count("clock tree synthesis of a large block")
