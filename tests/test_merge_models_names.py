"""Parents whose tensors are the same under other names are reported in a sentence, merged where the recipe says so, and
never half-merged.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from merge.commands.merge_commands import merge
from merge.commands.preview import preview_merge
from merge.errors import MergeError, ParentsMismatch
from merge.merging.card import render_card
from merge.merging.merger import merge_parents
from merge.merging.verify import VerifyOptions, verify_checkpoint
from merge.models.names import describe_names, match_names
from merge.recipe import Recipe
from merge.settings import MergeSettings
from tests.tiny_models import make_recipe, read_tensors, rewrite_config, rewrite_tensors, write_llama

Rename = Callable[[str], str]
PREFIXES = ("_orig_mod.", "module.", "base_model.model.", "_orig_mod.module.", "language_model.")


def rename(folder: Path, new: Rename) -> Path:
    """The folder with its tensors under other names."""
    tensors = {new(name): tensor for name, tensor in read_tensors(folder).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture
def parents(tmp_path: Path) -> tuple[Path, Path]:
    """A chip and a chat model."""
    return write_llama(tmp_path / "chip", seed=1), write_llama(tmp_path / "chat", seed=2)


def run(recipe: Recipe, out: Path) -> dict[str, torch.Tensor]:
    """What a merge writes."""
    merge_parents(recipe, out, MergeSettings(out.parent / "home"), render_card, force=True)
    return read_tensors(out)


def refusal(recipe: Recipe, out: Path) -> str:
    """The sentence of a merge that is refused, the same in a dry run; nothing is written."""
    with pytest.raises(ParentsMismatch) as caught:
        run(recipe, out)
    with pytest.raises(ParentsMismatch) as looked:
        preview_merge(recipe, MergeSettings(out.parent / "home"), say=lambda text: None)
    assert str(looked.value) == str(caught.value)
    assert not out.exists()
    return str(caught.value)


@pytest.mark.parametrize(
    ("new", "words", "allowed"),
    [
        (lambda name: name.removeprefix("model."), "without `model.`", '"chat" | "chip"'),
        (lambda name: name.replace("model.", "model.language_model.", 1), "with `language_model.`", '"chat" | "chip"'),
        *((lambda name, p=prefix: p + name, f"with `{prefix}`", None) for prefix in PREFIXES),
        (lambda name: name.replace(".mlp.", "._orig_mod.mlp."), "with `_orig_mod.`", '"chat"'),
    ],
)
def test_a_prefix_is_reported_in_one_sentence_with_what_accepts_it(
    tmp_path: Path, parents: tuple[Path, Path], new: Rename, words: str, allowed: str | None
) -> None:
    expected = run(make_recipe(*parents), tmp_path / "plain")
    chip, chat = parents
    rename(chip, new)
    changed = len(read_tensors(chip).keys() - read_tensors(chat).keys())
    for unmatched in ("refuse", "chat", "chip", "union"):
        text = refusal(make_recipe(chip, chat, unmatched=unmatched, names="refuse"), tmp_path / "out")
        assert (
            f"1 mismatch: the chip parent's {changed} tensors are the chat parent's {words} (decide it with names = "
            f"{allowed or ''}" in text
        )
        assert "unmatched" not in text
    for recipe in (make_recipe(chip, chat, names="chat"), make_recipe(chip, chat)):
        merged = run(recipe, tmp_path / f"out-{recipe.names}")
        assert merged.keys() == expected.keys()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in merged.items())


def test_an_inner_model_may_give_its_names_and_its_class_or_take_the_other(
    tmp_path: Path, parents: tuple[Path, Path]
) -> None:
    chip, chat = parents
    rename(chip, lambda name: name.removeprefix("model."))
    rewrite_config(chip, architectures=["LlamaModel"])
    assert "config architectures: chip ['LlamaModel'], chat ['LlamaForCausalLM'] (decide it with names" in refusal(
        make_recipe(chip, chat, names="refuse"), tmp_path / "o"
    )
    for names, architecture in (("chat", "LlamaForCausalLM"), ("chip", "LlamaModel")):
        merged = run(make_recipe(chip, chat, names=names), tmp_path / f"by-{names}")
        assert merged.keys() == read_tensors(chat if names == "chat" else chip).keys()
        assert json.loads((tmp_path / f"by-{names}" / "config.json").read_text())["architectures"] == [architecture]
        assert f"where the parents differ, names: {names}" in (tmp_path / f"by-{names}" / "README.md").read_text()


def test_what_a_trainer_left_in_the_names_is_never_kept(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    rename(parents[0], lambda name: "_orig_mod." + name)
    assert 'names = "chat")' in refusal(make_recipe(*parents, names="chip"), tmp_path / "out")
    for names in ("chat", "exact"):
        assert 'names = "chip")' in refusal(make_recipe(*parents[::-1], names=names), tmp_path / "out")


def test_names_that_differ_alone_are_merged_and_warned_of(
    tmp_path: Path, parents: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHIPALIGN_HOME", str(tmp_path / "home"))
    rename(parents[0], lambda name: "_orig_mod." + name)
    recipe = tmp_path / "r.toml"
    recipe.write_text(f'[merge]\nmethod = "linear"\n[chip]\nmodel = "{parents[0]}"\n[chat]\nmodel = "{parents[1]}"\n')
    assert merge([str(recipe), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().err
    assert "with `_orig_mod.`: they are merged as the same, under the chat parent's names" in said
    assert read_tensors(tmp_path / "out").keys() == read_tensors(parents[1]).keys()


def test_names_of_which_one_has_no_counterpart_are_decided_by_the_recipe(
    tmp_path: Path, parents: tuple[Path, Path]
) -> None:
    rename(parents[0], lambda name: "_orig_mod." + name)
    tensors = read_tensors(parents[0])
    tensors.pop(min(tensors))
    save_file(tensors, parents[0] / "model.safetensors", metadata={"format": "pt"})
    assert "decide it with names" in refusal(make_recipe(*parents), tmp_path / "out")


def test_a_merge_under_other_names_is_verified_and_inspected(
    tmp_path: Path, parents: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rename(parents[0], lambda name: "module." + name)
    run(make_recipe(*parents, names="chat"), tmp_path / "out")
    verified = verify_checkpoint(
        tmp_path / "out", VerifyOptions(sample=None), MergeSettings(tmp_path / "home"), lambda text: None
    )
    assert verified.problems == ()
    assert len(verified.recomputed) == len(read_tensors(parents[1]))
    monkeypatch.setenv("CHIPALIGN_HOME", str(tmp_path / "home"))
    assert merge(["inspect", "--chip", str(parents[0]), "--instruct", str(parents[1])]) == 0
    capsys.readouterr()
    recipe = tmp_path / "r.toml"
    recipe.write_text(f'[merge]\nnames = "chat"\n[chip]\nmodel = "{parents[0]}"\n[chat]\nmodel = "{parents[1]}"\n')
    assert merge(["inspect", str(recipe), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["tensors"]) == len(read_tensors(parents[1]))


@pytest.mark.parametrize("unmatched", ["refuse", "chat", "chip", "union"])
def test_a_merge_of_strangers_is_refused_whatever_the_recipe_says(
    tmp_path: Path, parents: tuple[Path, Path], unmatched: str
) -> None:
    rename(parents[0], lambda name: name.replace("layers.", "stages."))
    text = refusal(make_recipe(*parents, unmatched=unmatched), tmp_path / "out")
    assert "only 12% of the weights have the same name in both parents (50% are needed)" in text
    assert (
        "18 in the chip parent, such as model.stages.0.input_layernorm.weight and 18 in the chat parent, such as "
        "model.layers.0." in text
    )
    assert "unmatched" not in text


def test_a_verified_report_whose_parents_no_longer_fit_is_not_approved(
    tmp_path: Path, parents: tuple[Path, Path]
) -> None:
    run(make_recipe(*parents), tmp_path / "out")
    rename(parents[0], lambda name: "x." + name)
    try:
        problems = verify_checkpoint(
            tmp_path / "out", VerifyOptions(sample=None), MergeSettings(tmp_path / "home"), lambda text: None
        ).problems
    except MergeError as error:
        problems = (str(error),)
    assert problems


def test_vocabularies_that_share_no_token_are_not_merged(tmp_path: Path) -> None:
    shape: dict[str, Any] = {"vocab_size": 512, "num_hidden_layers": 1}
    chip, chat = (write_llama(tmp_path / name, seed, **shape) for name, seed in (("chip", 1), ("chat", 2)))
    for folder, words in ((chip, "c"), (chat, "i")):
        document = json.loads((folder / "tokenizer.json").read_text())
        document["model"]["vocab"] = {f"{words}{n}": n for n in range(3, 512)} | {"<s>": 0, "</s>": 1, "<unk>": 2}
        (folder / "tokenizer.json").write_text(json.dumps(document))
    text = refusal(make_recipe(chip, chat, vocab="chat"), tmp_path / "out")
    assert "the vocabularies share 3 of 512 rows, so that only" in text


def test_what_the_recipe_keeps_out_is_its_will_and_is_said(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    for values, share, words in (
        (
            {"include": ("*norm*",)},
            160,
            "0.9% of the weights were combined; the others are one parent's, as the recipe says.",
        ),
        ({"lam": 1.0}, 0, "No weights were combined: each is one parent's, as the recipe says."),
        ({}, None, ""),
    ):
        outcome = merge_parents(
            make_recipe(*parents, **values), tmp_path / "out", MergeSettings(tmp_path / "home"), render_card, force=True
        )
        assert outcome.totals["combined"] == (outcome.totals["parameters"] if share is None else share)
        card = (tmp_path / "out" / "README.md").read_text()
        assert words in card
        assert ("weights were combined" in card) == bool(words)


def test_a_mismatch_in_every_layer_is_one_line_with_its_count(tmp_path: Path) -> None:
    chip, chat = (
        write_llama(tmp_path / name, 1, num_hidden_layers=30, hidden_size=8, intermediate_size=8)
        for name in ("chip", "chat")
    )
    rewrite_tensors(chat, {f"model.layers.{n}.mlp.gate.bias": torch.ones(8) for n in range(30)})
    text = refusal(make_recipe(chip, chat), tmp_path / "out")
    assert "tensor model.layers.*.mlp.gate.bias is in the chat parent only (decide it with unmatched" in text
    assert "(30 times)" in text
    assert len(text) < 400


def test_names_are_matched_only_where_nothing_but_wrappers_differs() -> None:
    assert match_names({"encoder.layers.0.w", "a.w"}, {"decoder.layers.0.w", "b.w"}) == {}
    assert match_names({"layers.0.w"}, {"model.layers.1.w"}) == {}
    assert match_names({"model.w", "module.w"}, {"language_model.w"}) == {}  # either could be meant
    found = match_names(
        {"visual.w", "model.layers.0.w", "lm_head.w"},
        {"model.visual.w", "model.language_model.layers.0.w", "lm_head.w"},
    )
    assert found == {"visual.w": "model.visual.w", "model.layers.0.w": "model.language_model.layers.0.w"}
    assert (
        describe_names(found, "chip", "chat")
        == "the chip parent's 1 tensor is the chat parent's without `language_model.`, 1 tensor is the chat parent's"
        " without `model.`"
    )


def test_a_head_that_was_lost_is_not_made_of_the_embedding(tmp_path: Path) -> None:
    chip, chat = (
        write_llama(tmp_path / name, seed, tie_word_embeddings=False) for name, seed in (("chip", 1), ("chat", 2))
    )
    rewrite_config(chip, tie_word_embeddings=False)
    rewrite_config(chat, tie_word_embeddings=False)
    rewrite_tensors(chip, {"lm_head.weight": None})
    rename(chip, lambda name: name.removeprefix("model."))
    for embeddings in ("refuse", "tied", "untied"):
        text = refusal(make_recipe(chip, chat, names="chat", embeddings=embeddings), tmp_path / "out")
        assert "tensor lm_head.weight is in the chat parent only (decide it with unmatched" in text
    merged = run(make_recipe(chip, chat, names="chat", unmatched="chat"), tmp_path / "out")
    assert torch.equal(merged["lm_head.weight"], read_tensors(chat)["lm_head.weight"])
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"] is False
