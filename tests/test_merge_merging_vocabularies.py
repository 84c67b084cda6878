"""Tokenizers with the same words that cut text differently are found, and those that only look different are not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merge.merging.pairing import check_pair
from merge.merging.vocabularies import (
    EMBEDDINGS,
    VOCABULARY_TENSORS,
    check_ids,
    check_rows,
    check_takeover,
    compare_cutting,
    compare_vocabularies,
    describe_lack,
    find_chat_tokens,
    find_embedding,
    find_vocabulary,
)
from merge.models.checkpoint import Checkpoint, TensorReader, TensorSpec
from merge.models.vocabulary import Vocabulary, read_tokens
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
def test_the_same_cuts_written_otherwise_are_not_difference(
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


def vocabulary(rows: int, *tokens: str, first: int = 0) -> Vocabulary:
    return Vocabulary(rows, {token: number for number, token in enumerate(tokens, start=first)})


@for_each(
    ("chip", "chat", "texts"),
    [
        (vocabulary(3, "a", "b"), vocabulary(9, "a", "b"), []),  # rows are padding here, and decided elsewhere
        (None, vocabulary(3, "a"), []),
        (None, None, []),
        (vocabulary(3, "a", "b"), vocabulary(3, "a"), ["only the chip parent has 1 token: 'b'"]),
        (vocabulary(3), vocabulary(3, "a", "é"), ["only the chat parent has 2 tokens: 'a', 'é'"]),
        (vocabulary(3, "a", "b"), vocabulary(3, "b", "a"), ["the parents give other ids to 2 tokens: 'a', 'b'"]),
        (
            vocabulary(9, "a", "b", "c", "d", "e"),
            vocabulary(9, "a"),
            ["only the chip parent has 4 tokens: 'b', 'c', 'd', ..."],
        ),
        (
            vocabulary(9, "a", "x"),
            vocabulary(9, "y", "a"),
            [
                "only the chip parent has 1 token: 'x'",
                "only the chat parent has 1 token: 'y'",
                "the parents give other ids to 1 token: 'a'",
            ],
        ),
        (vocabulary(3, "\n"), vocabulary(3), ["only the chip parent has 1 token: '\\n'"]),
    ],
)
def test_tokens_of_one_parent_alone_and_other_ids_are_counted_with_examples(
    chip: Vocabulary | None, chat: Vocabulary | None, texts: list[str]
) -> None:
    found = compare_vocabularies(chip, chat)
    assert [each.text for each in found] == [f"tokenizer: {text}" for text in texts]
    assert {each.setting for each in found} <= {"vocab"}


def test_a_further_parent_is_called_by_its_side() -> None:
    (found,) = compare_vocabularies(vocabulary(2, "a", "b"), vocabulary(2, "a"), "third")
    assert found.text == "tokenizer: only the third parent has 1 token: 'b'"


TOKENS = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 9), max_size=6)


@settings(max_examples=50)
@given(TOKENS, TOKENS)
def test_vocabularies_are_alike_only_where_every_id_is_and_from_both_sides(
    ours: dict[str, int], theirs: dict[str, int]
) -> None:
    chip, chat = Vocabulary(10, ours), Vocabulary(10, theirs)
    there, back = compare_vocabularies(chip, chat), compare_vocabularies(chat, chip)
    assert (not there) is (ours == theirs)
    assert len(there) == len(back)
    counted = sum(int(number) for each in there for number in re.findall(r"(\d+) token", each.text))
    assert counted == len([token for token in ours | theirs if ours.get(token) != theirs.get(token)])


@for_each(
    ("vocabulary", "said"),
    [
        (None, None),
        (vocabulary(2, "a", "b"), None),
        (vocabulary(5, "a", "b"), None),
        (vocabulary(0), None),
        (
            vocabulary(1, "a", "b"),
            "1 of the chat parent's tokens have no row in its embedding of 1, the first is 'b' with",
        ),
        (vocabulary(2, "a", "b", "c", "d"), "2 of the chat parent's tokens .* the first is 'c' with id 2"),
        (vocabulary(2, "x", first=7), "1 of .* the first is 'x' with id 7"),
    ],
)
def test_ids_beyond_the_rows_are_refused_with_the_first(vocabulary: Vocabulary | None, said: str | None) -> None:
    found = check_ids(vocabulary)
    assert len(found) == (said is not None)
    if said is not None:
        assert re.search(said, found[0])
        assert found[0].endswith("Give the tokenizer that belongs to the weights")


@for_each(
    ("name", "is_embedding", "is_by_token"),
    [
        ("model.embed_tokens.weight", True, True),
        ("embed_tokens.weight", True, True),
        ("transformer.wte.weight", True, True),
        ("gpt_neox.embed_in.weight", True, True),
        ("tok_embeddings.weight", True, True),
        ("lm_head.weight", False, True),
        ("lm_head.bias", False, True),
        ("model.lm_head.weight", False, True),
        ("embed_out.weight", False, True),
        ("cls.predictions.bias", False, True),
        ("cls.predictions.decoder.weight", False, True),
        ("lm_head.decoder.bias", False, True),
        ("decoder.bias", False, True),
        ("vocab_projector.bias", False, True),
        ("model.layers.61.shared_head.head.weight", False, True),
        ("model.embed_tokens_per_layer.weight", False, True),
        ("cls.predictions.transform.dense.bias", False, False),
        ("lm_head.dense.weight", False, False),
        ("model.decoder.bias", False, False),
        ("transformer.wpe.weight", False, False),
        ("model.embed_tokens.bias", False, False),
        ("model.embed_tokens_extra.weight", False, False),
        ("model.layers.0.mlp.up_proj.weight", False, False),
        ("lm_head.weight.scale", False, False),
        ("xlm_head.weight", False, False),
        ("", False, False),
    ],
)
def test_tensors_with_a_row_for_each_token_are_known_by_name(name: str, is_embedding: bool, is_by_token: bool) -> None:
    assert (EMBEDDINGS.fullmatch(name) is not None) is is_embedding
    assert (VOCABULARY_TENSORS.fullmatch(name) is not None) is is_by_token
    assert find_embedding(["first.weight", name, "last.weight"]) == (name if is_embedding else None)


class Headers:
    """A source of which only headers are looked at."""

    def __init__(self, folder: Path, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]) -> None:
        self.folder, self.config = folder, config
        self.specs = {name: TensorSpec(name, "F32", shape, folder, 0) for name, shape in shapes.items()}

    def tensor(self, name: str) -> TensorReader:
        """Nobody reads one here."""
        raise AssertionError(name)


def test_a_head_of_another_number_of_rows_than_the_embedding_is_named(tmp_path: Path) -> None:
    shapes = {"embed_tokens.weight": (8, 2), "lm_head.weight": (9, 2), "lm_head.bias": (8,), "norm.weight": (2,)}
    found = check_rows({"chip": (Headers(tmp_path, shapes, {}), vocabulary(8))})
    assert found == [
        "tensor lm_head.weight of the chip parent has 9 rows, its embedding 8. Give a parent whose rows agree"
    ]
    assert check_rows({"chat": (Headers(tmp_path, {**shapes, "lm_head.weight": (8, 2)}, {}), vocabulary(8))}) == []


def test_a_vocabulary_needs_a_tokenizer_and_an_embedding(tmp_path: Path) -> None:
    source = Headers(tmp_path, {"embed_tokens.weight": (8, 2)}, {})
    assert find_vocabulary(source) is None
    assert "the chip parent has no tokenizer.json" in describe_lack(source, "chip")
    (tmp_path / "vocab.json").write_text('{"a": 0, "b": 1}')
    assert find_vocabulary(source) == Vocabulary(8, {"a": 0, "b": 1})
    odd = Headers(tmp_path, {"table": (8, 2), "embed_tokens.weight": ()}, {})
    assert find_vocabulary(odd) is None
    assert "the chip parent has no embedding of a name that is known" in describe_lack(odd, "chip")


@for_each(
    ("config", "generation", "template", "needed"),
    [
        ({}, None, None, set()),
        ({"eos_token_id": 1}, None, None, {"b"}),
        ({"eos_token_id": [1, 2]}, {"pad_token_id": 0}, None, {"a", "b", "<c>"}),
        ({"eos_token_id": True, "bos_token_id": None, "pad_token_id": "1", "sep_token_id": 99}, None, None, set()),
        ({"text_config": {"eos_token_id": 1}, "image_token_index": 0}, None, None, {"a", "b"}),
        ({}, None, "{{ '<c>' }} and a and b", {"<c>"}),  # a and b are text, not marks
        ({}, None, "[INST] {{ x }}", {"[INST]"}),
        ({"hidden_size": 1}, {"max_length": 1}, None, set()),
    ],
)
def test_tokens_that_chatting_needs_are_those_of_the_template_and_the_settings(
    tmp_path: Path, config: dict[str, Any], generation: Any, template: str | None, needed: set[str]
) -> None:
    tokens = vocabulary(9, "a", "b", "<c>", "[INST]", "<not used>")
    source = Headers(tmp_path, {}, config)
    if generation is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(generation))
    if template is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    assert find_chat_tokens(source, tokens) == needed
    if template is not None:
        (tmp_path / "chat_template.jinja").write_text("{{ nothing }}")  # which stands before the config's
        assert find_chat_tokens(source, tokens) == set()


def test_a_takeover_that_drops_what_chatting_needs_is_refused(tmp_path: Path) -> None:
    chip, chat = vocabulary(9, "a"), vocabulary(9, "a", "<|end|>", "<|x|>", "<|y|>", "<|z|>")
    source = Headers(tmp_path, {}, {"eos_token_id": [1, 2, 3, 4]})
    (found,) = check_takeover("chip", source, source, chip, chat)
    assert found.startswith('vocab = "chip" drops 4 tokens')
    assert "need: '<|end|>', '<|x|>', '<|y|>', ..." in found
    assert found.endswith('Use vocab = "union"')
    assert check_takeover("chip", source, source, chat, chat) == []
    assert check_takeover("chat", source, source, chip, chat) == []
    (found,) = check_takeover("union", source, source, chip, chat)
    assert "the chip parent has none" in found
