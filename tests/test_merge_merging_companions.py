"""What goes with the weights: whose tokenizer, whose template, whose ids, whose config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from merge.arithmetic.plain import NumpyArithmetic
from merge.errors import ParentsMismatch
from merge.merging.card import render_card
from merge.merging.companions import are_chat_parents, make_config, prepare_companions
from merge.merging.merger import merge_parents
from merge.merging.pairing import Pair, check_pair
from merge.merging.verify import VerifyOptions, verify_checkpoint
from merge.models.checkpoint import Checkpoint
from merge.models.folded import open_source
from merge.recipe import Slice
from merge.settings import MergeSettings
from tests.tiny_models import WORDS, make_recipe, read_tensors, rewrite_config, write_llama, write_tokenizer

# Lacks slack, with, repair_timing
CHIP_WORDS = ("<s>", "</s>", "<unk>", "net", "via", "fix", "hold", "user", "assistant", ":")


@pytest.fixture
def parents(tmp_path: Path) -> tuple[Path, Path]:
    """A chip model with other words and rows than the chat model's."""
    chip, chat = (
        write_llama(tmp_path / "chip", seed=1, vocab_size=12),
        write_llama(tmp_path / "chat", seed=2, vocab_size=11),
    )
    write_tokenizer(chip, CHIP_WORDS)
    return chip, chat


def open_pair(chip: Path, chat: Path, **values: Any) -> Pair:
    return check_pair(Checkpoint.open(chip), Checkpoint.open(chat), make_recipe(chip, chat, **values))


def merge(chip: Path, chat: Path, out: Path, **values: Any) -> None:
    merge_parents(make_recipe(chip, chat, **values), out, MergeSettings(out.parent / "home"), render_card)


@pytest.mark.parametrize(("vocab", "rows"), [("chat", 11), ("chip", 12), ("union", 13)])
def test_transformers_loads_each_vocabulary_and_every_token_has_its_row(
    tmp_path: Path, parents: tuple[Path, Path], vocab: str, rows: int
) -> None:
    merge(*parents, tmp_path / "out", vocab=vocab, lam=0.5, method="linear")
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(tmp_path / "out"),
        AutoTokenizer.from_pretrained(tmp_path / "out"),
    )
    assert model.config.vocab_size == model.get_input_embeddings().weight.shape[0] == rows
    table = tokenizer.get_vocab()
    assert set(table) == {"chat": {*WORDS}, "chip": {*CHIP_WORDS}, "union": {*WORDS, *CHIP_WORDS}}[vocab]
    chip, chat, merged = (read_tensors(folder)["model.embed_tokens.weight"] for folder in (*parents, tmp_path / "out"))
    for token, row in table.items():
        sources = [
            matrix[words.index(token)] for matrix, words in ((chip, CHIP_WORDS), (chat, WORDS)) if token in words
        ]
        assert merged[row].tolist() == pytest.approx((sum(sources) / len(sources)).tolist(), abs=1e-6)
    messages = [{"role": "user", "content": "fix hold"}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    assert tokenizer.decode(prompt["input_ids"][0]) == "user : fix hold assistant :"
    assert model.generate(**prompt, max_new_tokens=2, do_sample=False).shape[0] == 1


def test_a_union_leaves_out_other_forms_of_the_table(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    (parents[1] / "vocab.json").write_text("{}")
    pair = open_pair(*parents, vocab="union")
    assert "vocab.json" not in prepare_companions(make_recipe(*parents, vocab="union"), pair).files
    taken = prepare_companions(make_recipe(*parents, vocab="chat"), open_pair(*parents, vocab="chat"))
    assert "vocab.json" in taken.files


def test_the_chip_vocabulary_moves_the_chat_parents_ids_and_keeps_its_template(parents: tuple[Path, Path]) -> None:
    chip, chat = parents
    write_tokenizer(chip, ("<unk>", "</s>", "<s>", *CHIP_WORDS[3:]))
    (chat / "generation_config.json").write_text(
        json.dumps({"bos_token_id": 0, "eos_token_id": [1, 2], "temperature": 0.5})
    )
    (chat / "chat_template.jinja").write_text("the chat parent's")
    recipe = make_recipe(chip, chat, vocab="chip")
    files = prepare_companions(recipe, open_pair(chip, chat, vocab="chip")).files
    assert json.loads(files["generation_config.json"]) == {
        "bos_token_id": 2,
        "eos_token_id": [1, 0],
        "temperature": 0.5,
    }
    assert json.loads(files["config.json"])["eos_token_id"] == 0  # <unk>, which is 2 in the chat parent
    assert files["chat_template.jinja"] == b"the chat parent's"
    assert files["tokenizer.json"] == (chip / "tokenizer.json").read_bytes()


def test_a_chip_vocabulary_without_what_chatting_needs_is_refused(parents: tuple[Path, Path]) -> None:
    chip, chat = parents
    table = json.loads((chip / "tokenizer.json").read_text())
    table["model"]["vocab"] = {word: number for number, word in enumerate(("<unk>", *CHIP_WORDS[3:]))}
    table["added_tokens"] = []
    (chip / "tokenizer.json").write_text(json.dumps(table))
    (chat / "generation_config.json").write_text(json.dumps({"bos_token_id": 0, "eos_token_id": 1}))
    with pytest.raises(ParentsMismatch, match=r"vocab = \"chip\" drops 2 tokens.*'</s>', '<s>'.*Use vocab = \"union\""):
        open_pair(chip, chat, vocab="chip")


def test_the_config_is_the_chat_parents_but_for_what_the_recipe_decides(tmp_path: Path) -> None:
    chip = write_llama(
        tmp_path / "chip",
        seed=1,
        rope_parameters={"rope_theta": 5e5, "rope_type": "default"},
        max_position_embeddings=64,
    )
    chat = write_llama(tmp_path / "chat", seed=2)
    rewrite_config(chat, _name_or_path="somewhere", torch_dtype="float16")
    for whose, theta in (("chat", 1e4), ("chip", 5e5)):
        config = make_config(make_recipe(chip, chat, config=whose), open_pair(chip, chat, config=whose))
        assert config["rope_parameters"]["rope_theta"] == theta
        assert (config["max_position_embeddings"], config["dtype"]) == (128, "float32")
        assert not config.keys() & {"_name_or_path", "torch_dtype"}


@pytest.mark.parametrize(("embeddings", "tied"), [("tied", True), ("untied", False)])
@pytest.mark.parametrize("untied_side", ["chip", "chat"])
def test_tied_and_untied_parents_merge_either_way(
    tmp_path: Path, embeddings: str, tied: bool, untied_side: str
) -> None:
    folders = {
        side: write_llama(tmp_path / side, seed=n, tie_word_embeddings=side != untied_side)
        for n, side in enumerate(("chip", "chat"))
    }
    merge(folders["chip"], folders["chat"], tmp_path / "out", embeddings=embeddings, method="linear", lam=0.5)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert model.config.tie_word_embeddings is tied
    merged = read_tensors(tmp_path / "out")
    assert ("lm_head.weight" in merged) is not tied
    if not tied:
        heads = [read_tensors(folders[side]) for side in ("chip", "chat")]
        expected = sum(tensors.get("lm_head.weight", tensors["model.embed_tokens.weight"]) for tensors in heads) / 2
        assert merged["lm_head.weight"].tolist() == [pytest.approx(row, abs=1e-6) for row in expected.tolist()]


def test_a_parents_folder_is_found_through_its_adapter_too(tmp_path: Path) -> None:
    from contextlib import ExitStack

    from tests.tiny_models import write_adapter

    base = write_llama(tmp_path / "base", seed=1)
    with ExitStack() as stack:
        assert (
            open_source(base, [write_adapter(tmp_path / "adapter", base, seed=2)], stack, NumpyArithmetic()).folder
            == base
        )


def test_all_files_of_the_chat_parent_that_are_not_weights_come_along(tmp_path: Path) -> None:
    chip, chat = (write_llama(tmp_path / name, seed) for name, seed in (("chip", 1), ("chat", 2)))
    (chat / "additional_chat_templates").mkdir()
    wanted = ("image_processor.json", "tool.model", "LICENSE", "additional_chat_templates/tools.jinja")
    left = ("modeling_own.py", "state.pkl", "runs/")
    (chat / "runs").mkdir()
    for name in (*wanted, *left[:2], "trainer_state.json", "pytorch_model.bin", "card.png", ".gitattributes"):
        (chat / name).write_text('{"auto_map": {"A": "b.A"}, "size": 4}' if name.endswith(".json") else "x")
    found = prepare_companions(make_recipe(chip, chat), open_pair(chip, chat))
    assert {*wanted} | {"config.json", "generation_config.json", "tokenizer.json"} <= found.files.keys()
    assert not found.files.keys() & {*left, "trainer_state.json", "pytorch_model.bin", "card.png", ".gitattributes"}
    assert (found.left, found.code) == (left, ("image_processor.json",))
    assert json.loads(found.files["image_processor.json"]) == {"size": 4}
    merge(chip, chat, tmp_path / "out")
    assert all((tmp_path / "out" / name).read_bytes() == found.files[name] for name in wanted)
    assert (
        verify_checkpoint(
            tmp_path / "out", VerifyOptions(sample=0), MergeSettings(tmp_path / "home"), lambda text: None
        ).problems
        == ()
    )


def test_code_is_copied_only_where_the_recipe_says_so(tmp_path: Path) -> None:
    chip, chat = (write_llama(tmp_path / name, seed) for name, seed in (("chip", 1), ("chat", 2)))
    (chat / "modeling_own.py").write_text("1")
    rewrite_config(chat, auto_map={"AutoModel": "modeling_own.Model"})
    found = prepare_companions(make_recipe(chip, chat, code=True), open_pair(chip, chat))
    assert found.files["modeling_own.py"] == b"1"
    assert json.loads(found.files["config.json"])["auto_map"] == {"AutoModel": "modeling_own.Model"}
    assert (found.left, found.code) == ((), ())


def test_a_vocabulary_that_grows_is_written_where_the_config_has_it(tmp_path: Path) -> None:
    chip, chat = (
        write_llama(tmp_path / name, seed, vocab_size=n) for name, seed, n in (("chip", 1, 70), ("chat", 2, 64))
    )
    write_tokenizer(chip, [*WORDS, *(f"c{n}" for n in range(58))])
    nested = {"text_config": {"vocab_size": 64, "dtype": "bfloat16"}, "audio_config": {"vocab_size": 9}}
    for inner, outer in ((nested, None), ({**nested, "vocab_size": 64}, 69), ({"vocab_size": 64}, 69)):
        for folder in (chip, chat):
            config = json.loads((folder / "config.json").read_text())
            config = {k: v for k, v in config.items() if k not in ("vocab_size", "text_config", "audio_config")} | inner
            (folder / "config.json").write_text(json.dumps(config))
        config = make_config(make_recipe(chip, chat, vocab="union"), open_pair(chip, chat, vocab="union"))
        assert config.get("vocab_size") == outer
        if "text_config" in inner:
            assert config["text_config"] == {"vocab_size": 69, "dtype": "float32"}
            assert config["audio_config"] == {"vocab_size": 9}


def is_untouched(chip: Path, chat: Path, **values: Any) -> bool:
    pair = open_pair(chip, chat, **values)
    return are_chat_parents(prepare_companions(make_recipe(chip, chat, **values), pair), pair)


def test_what_goes_with_the_weights_is_the_chat_parents_unless_something_changed(tmp_path: Path) -> None:
    chip, chat = (write_llama(tmp_path / name, seed) for name, seed in (("chip", 1), ("chat", 2)))
    assert is_untouched(chip, chat)
    rewrite_config(chat, torch_dtype="float16", _name_or_path="/home/someone")
    assert is_untouched(chip, chat, dtype="bfloat16")
    assert not is_untouched(chip, chat, chat_template="{{ messages }}")

    rewrite_config(chip, rms_norm_eps=0.25)
    assert is_untouched(chip, chat, config="chat")
    assert not is_untouched(chip, chat, config="chip")
    assert not is_untouched(chip, chat, config="chat", slices=(Slice((0, 0)),))

    (chat / "modeling_own.py").write_text("")
    assert not is_untouched(chip, chat, config="chat")
    assert is_untouched(chip, chat, config="chat", code=True)
    rewrite_config(chat, auto_map={"AutoConfig": "modeling_own.Own"})
    assert not is_untouched(chip, chat, config="chat")


def test_another_vocabulary_is_not_the_chat_parents(parents: tuple[Path, Path]) -> None:
    assert [is_untouched(*parents, vocab=vocab) for vocab in ("chat", "chip", "union")] == [True, False, False]
