"""What a model is trained on: which tokens are learnt, what is left out, which documents are held out, batches."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from merge.errors import TrainingDataUnusable
from merge.training.training_data import (
    HELD_OUT,
    Text,
    Triplet,
    encode_triplets,
    is_held_out,
    pack_texts,
    part,
    plan_epoch,
    read_texts,
    read_triplets,
)
from rag.command_line import write_jsonl
from tests.rows import for_each
from tests.tiny_models import write_tokenizer

MESSAGES = ({"role": "user", "content": "fix hold"},)


@pytest.fixture
def tokenizer(tmp_path: Path) -> Any:
    """One of a few words, with a chat template that closes no turn."""
    write_tokenizer(tmp_path / "tokenizer")
    return AutoTokenizer.from_pretrained(tmp_path / "tokenizer")


def triplet(answer: str = "with repair_timing", document: str = "a") -> Triplet:
    return Triplet(MESSAGES, answer, "answer", document, "BSD-3-Clause")


def write_lines(path: Path, *rows: object) -> Path:
    write_jsonl(path, rows)
    return path


def test_the_answer_and_its_end_are_learnt_and_nothing_before_them(tokenizer: Any) -> None:
    [example], too_long = encode_triplets([triplet()], tokenizer, 64)
    assert too_long == 0
    assert tokenizer.convert_ids_to_tokens(example.ids[-example.learnt :]) == ["with", "repair_timing", "</s>"]
    assert tokenizer.convert_ids_to_tokens(example.ids[: -example.learnt]) == [
        "user",
        ":",
        "fix",
        "hold",
        "assistant",
        ":",
    ]


def test_a_template_that_closes_the_turn_gets_no_second_end(tokenizer: Any) -> None:
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] + ' : ' + m['content'] + ' </s> ' }}{% endfor %}{% if "
        "add_generation_prompt %}assistant :{% endif %}"
    )
    [example], _ = encode_triplets([triplet()], tokenizer, 64)
    assert tokenizer.convert_ids_to_tokens(example.ids[-example.learnt :]) == ["with", "repair_timing", "</s>"]


def test_a_triplet_that_is_too_long_is_left_out_whole(tokenizer: Any) -> None:
    [example], _ = encode_triplets([triplet()], tokenizer, 64)
    length = len(example.ids)
    assert encode_triplets([triplet()], tokenizer, length) == ([example], 0)
    assert encode_triplets([triplet()], tokenizer, length - 1) == ([], 1)


def test_a_template_that_rewrites_the_prompt_is_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = "{{ messages | length }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(TrainingDataUnusable, match="changes a prompt once it is answered"):
        encode_triplets([triplet()], tokenizer, 64)


def test_a_tokenizer_without_a_template_is_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    with pytest.raises(TrainingDataUnusable, match="has no chat template"):
        encode_triplets([triplet()], tokenizer, 64)


def test_packing_keeps_every_token_in_order_and_closes_each_text(tokenizer: Any) -> None:
    names = [name for name in map(str, range(100)) if not is_held_out(name)][:5]
    texts = [Text("fix hold slack with repair_timing", name, "ISC") for name in names]
    examples = pack_texts(texts, tokenizer, 8)
    joined = [token for example in examples for token in example.ids]
    assert tokenizer.convert_ids_to_tokens(joined) == ["fix", "hold", "slack", "with", "repair_timing", "</s>"] * 5
    assert [len(example.ids) for example in examples] == [8, 8, 8, 6]
    # The first token has nothing to be predicted from
    assert all(example.learnt == len(example.ids) - 1 for example in examples)


def test_held_out_texts_are_packed_apart(tokenizer: Any) -> None:
    names = [str(number) for number in range(60)]
    trained, held_out = (
        pack_texts(some, tokenizer, 9) for some in part([Text("fix hold", name, "ISC") for name in names])
    )
    assert sum(len(example.ids) for example in held_out) == 3 * sum(map(is_held_out, names)) > 0
    assert sum(len(example.ids) for example in trained) == 3 * sum(not is_held_out(name) for name in names)


def test_about_every_tenth_document_is_held_out_and_always_the_same_ones() -> None:
    names = [f"document-{number}" for number in range(2000)]
    held_out = [name for name in names if is_held_out(name)]
    assert len(names) / HELD_OUT * 0.8 < len(held_out) < len(names) / HELD_OUT * 1.2
    assert held_out == [name for name in names if is_held_out(name)]
    trained, others = part(triplet(document=name) for name in names)
    assert [other.document for other in others] == held_out
    assert len(trained) + len(others) == len(names)


@given(lengths=st.lists(st.integers(2, 60), min_size=1, max_size=80), seed=st.integers(0, 5), epoch=st.integers(0, 3))
def test_an_epoch_has_every_sequence_once_in_batches_that_fit(lengths: list[int], seed: int, epoch: int) -> None:
    batches = plan_epoch(lengths, 64, seed, epoch)
    assert sorted(number for batch in batches for number in batch) == list(range(len(lengths)))
    assert all(len(batch) * max(lengths[number] for number in batch) <= 64 for batch in batches)
    assert batches == plan_epoch(lengths, 64, seed, epoch)


def test_a_sequence_longer_than_a_batch_comes_by_itself() -> None:
    assert sorted(plan_epoch([10, 100, 12], 64, 0, 0)) == [[0, 2], [1]]


def test_batches_hold_little_padding_and_epochs_differ() -> None:
    lengths = [10 + (37 * number) % 90 for number in range(600)]
    batches = plan_epoch(lengths, 1000, 0, 0)
    padded = sum(len(batch) * max(lengths[number] for number in batch) for batch in batches)
    assert padded < 1.1 * sum(lengths)
    assert plan_epoch(lengths, 1000, 0, 1) != batches != plan_epoch(lengths, 1000, 1, 0)
    longest = [max(lengths[number] for number in batch) for batch in batches]
    assert any(later < earlier for earlier, later in pairwise(longest))  # lengths do not simply rise over the epoch


def test_files_are_read_with_what_is_noted_of_them(tmp_path: Path) -> None:
    texts = write_lines(
        tmp_path / "texts.jsonl",
        {"text": "fix hold", "source": "docs/a.md", "licence": "ISC"},
        {"text": "slack", "source": "b"},
    )
    assert read_texts([texts]) == [Text("fix hold", "docs/a.md", "ISC"), Text("slack", "b", "unknown")]
    row = {
        "kind": "template",
        "messages": [*MESSAGES],
        "answer": "slack",
        "source": {"document": "a.md", "licence": "ISC"},
        "id": "x",
    }
    assert read_triplets([write_lines(tmp_path / "triplets.jsonl", row)]) == [
        Triplet(MESSAGES, "slack", "template", "a.md", "ISC")
    ]


@for_each(
    "row",
    [
        {"answer": "slack", "source": {"document": "a"}},
        {"messages": [], "answer": "slack", "source": {"document": "a"}},
        {"messages": [*MESSAGES], "answer": " ", "source": {"document": "a"}},
        {"messages": [*MESSAGES], "answer": "slack", "source": "a"},
        {"messages": [{"role": "user"}], "answer": "slack", "source": {"document": "a"}},
        ["slack"],
        7,
    ],
)
def test_a_line_that_is_not_a_triplet_is_named(tmp_path: Path, row: object) -> None:
    good = {"messages": [*MESSAGES], "answer": "slack", "source": {"document": "a"}}
    path = write_lines(tmp_path / "triplets.jsonl", good, row)
    with pytest.raises(TrainingDataUnusable, match=r"triplets\.jsonl:2 \("):
        read_triplets([path])


def test_an_error_lists_some_lines_and_counts_the_others(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "texts.jsonl", *({"text": number, "source": "a"} for number in range(8)))
    with pytest.raises(TrainingDataUnusable, match=r":1 .*:5 .* and 3 more: mend them"):
        read_texts([path])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataUnusable, match=r"nowhere\.jsonl cannot be read"):
        read_texts([tmp_path / "nowhere.jsonl"])


def test_signs_that_unicode_counts_as_line_ends_do_not_end_a_line(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    text = "one\u2028two\u0085three\u2029four"  # JSON writes none of them as an escape
    path.write_text(
        json.dumps({"text": text, "source": "d", "licence": "ISC"}, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    assert [read.text for read in read_texts([path])] == [text]
