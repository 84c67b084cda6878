"""Twenty reports of mergekit's users, and what happens here: a test for each row of the table in docs/models.md."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from merge.commands.mergekit import convert_config
from merge.errors import MergeError
from merge.merging.card import render_card
from merge.merging.merger import merge_parents
from merge.merging.templates import read_template
from merge.recipe import ParentRef, Recipe, Slice
from merge.recipe_file import parse_recipe
from merge.settings import MergeSettings
from tests.tiny_models import (
    TEMPLATE,
    WORDS,
    make_recipe,
    read_tensors,
    rewrite_config,
    rewrite_tensors,
    write_adapter,
    write_llama,
    write_tokenizer,
)

EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
Q = "model.layers.0.self_attn.q_proj.weight"


class Pair:
    """Two parents, and their merge by a recipe."""

    def __init__(self, folder: Path, chip: dict[str, Any] | None = None, chat: dict[str, Any] | None = None) -> None:
        self.folder = folder
        self.chip = write_llama(folder / "chip", seed=1, **(chip or {}))
        self.chat = write_llama(folder / "chat", seed=2, **(chat or {}))

    def recipe(self, *adapters: Path, **values: Any) -> Recipe:
        """A recipe of the two."""
        return make_recipe(self.chip, self.chat, *adapters, **values)

    def merge(self, *adapters: Path, **values: Any) -> dict[str, torch.Tensor]:
        """The tensors of the merge, which is at `out`."""
        settings = MergeSettings(self.folder / "home")
        merge_parents(self.recipe(*adapters, **values), self.out, settings, render_card, force=True)
        return read_tensors(self.out)

    @property
    def out(self) -> Path:
        """Where the merge is."""
        return self.folder / "out"

    def refusal(self, *adapters: Path, **values: Any) -> str:
        """The sentence of a merge that is refused, of which nothing is left."""
        with pytest.raises(MergeError) as caught:
            self.merge(*adapters, **values)
        assert not self.out.exists()
        return str(caught.value)

    def config(self) -> dict[str, Any]:
        """The merge's config."""
        found: dict[str, Any] = json.loads((self.out / "config.json").read_text())
        return found


Check = Callable[[Pair], None]
REPORTS: dict[int, tuple[Check, dict[str, Any]]] = {}  # by number: what is seen here, and how the parents differ


def report(number: int, **parents: Any) -> Callable[[Check], Check]:
    """What is seen here of a report."""

    def decorate(check: Check) -> Check:
        REPORTS[number] = check, parents
        return check

    return decorate


@report(47)
def tokens_that_differ(pair: Pair) -> None:
    write_tokenizer(pair.chip, [*WORDS, "hold_slack", "via"])
    write_tokenizer(pair.chat, [*WORDS, "hello"])
    assert 'decide it with vocab = "chat" | "chip" | "union"' in pair.refusal()
    merged, theirs = pair.merge(vocab="union")[EMBEDDING], read_tensors(pair.chip)[EMBEDDING]
    table = json.loads((pair.out / "tokenizer.json").read_text())["model"]["vocab"]
    assert torch.equal(merged[table["via"]], theirs[len(WORDS) + 1])
    assert torch.equal(merged[table["hello"]], read_tensors(pair.chat)[EMBEDDING][len(WORDS)])


@report(139, chip={"vocab_size": 71})
def special_tokens_of_one_parent_are_kept(pair: Pair) -> None:
    write_tokenizer(pair.chip, [*WORDS, *(f"<{n}>" for n in range(60))])
    write_tokenizer(pair.chat, [*WORDS, *(f"<{n}>" for n in range(53))])
    assert pair.merge(vocab="chip")[EMBEDDING].shape == (71, 32)
    assert pair.config()["vocab_size"] == 71


@report(185)
def a_union_has_one_tokenizer(pair: Pair) -> None:
    write_tokenizer(pair.chip, [*WORDS, "via"])
    for side in (pair.chip, pair.chat):
        (side / "tokenizer.model").write_bytes(b"the table of one parent alone")
    pair.merge(vocab="union")
    assert (pair.out / "tokenizer.json").is_file()
    assert not (pair.out / "tokenizer.model").exists()


@report(425)
def rows_without_a_token_stay(pair: Pair) -> None:
    assert pair.merge()[EMBEDDING].shape == (64, 32)
    assert (pair.config()["vocab_size"], len(WORDS)) == (64, 11)


@report(428, chat={"vocab_size": 10}, chip={"vocab_size": 10})
def ids_beyond_the_last_row_are_refused(pair: Pair) -> None:
    assert "1 of the chat parent's tokens have no row in its embedding of 10" in pair.refusal()


@report(464, chip={"tie_word_embeddings": False})
def a_head_of_one_parent(pair: Pair) -> None:
    assert 'decide it with embeddings = "tied" | "untied"' in pair.refusal()
    assert HEAD not in pair.merge(embeddings="tied")
    merged, ours = pair.merge(embeddings="untied", method="linear", lam=0.5), read_tensors(pair.chip)
    torch.testing.assert_close(merged[HEAD], (ours[HEAD] + read_tensors(pair.chat)[EMBEDDING]) / 2)
    assert pair.config()["tie_word_embeddings"] is False


@report(211, chip={"intermediate_size": 56})
def sizes_that_differ(pair: Pair) -> None:
    said = pair.refusal()
    assert "intermediate_size: chip 56, chat 48" in said
    assert "[32, 56]" in said


@report(284)
def names_with_and_without_the_models_own_word(pair: Pair) -> None:
    plain = pair.merge()
    tensors = {f"bert.{name}": tensor for name, tensor in read_tensors(pair.chip).items()}
    save_file(tensors, pair.chip / "model.safetensors", metadata={"format": "pt"})
    pair.folder = pair.folder / "again"
    assert 'decide it with names = "chat" | "chip"' in pair.refusal(names="refuse")
    assert all(torch.equal(tensor, plain[name]) for name, tensor in pair.merge().items())


@report(239)
def names_of_another_release(pair: Pair) -> None:
    old = {"self_attn": "mixer", "mlp": "ffn", "model.layers": "layers.h", "embed_tokens": "wte", "norm": "ln"}
    tensors = read_tensors(pair.chip)
    save_file(
        {re.sub("|".join(old), lambda word: old[word[0]], name): tensor for name, tensor in tensors.items()},
        pair.chip / "model.safetensors",
        metadata={"format": "pt"},
    )
    for unmatched in ("refuse", "chat"):
        said = pair.refusal(unmatched=unmatched)
        assert "of the weights have the same name in both parents (50% are needed)" in said
        assert len(said) < 2000


@report(669)
def an_architecture_that_nobody_listed(pair: Pair) -> None:
    for side in (pair.chip, pair.chat):
        rewrite_config(side, model_type="of_next_year", architectures=["OfNextYearForCausalLM"])
    assert pair.merge().keys() == read_tensors(pair.chat).keys()


@report(576)
def a_text_model_into_one_that_sees(pair: Pair) -> None:
    plain, eyes = pair.merge(), {"model.visual.patch.weight": torch.randn(4, 4)}
    inner = {name.replace("model.", "model.language_model.", 1): t for name, t in read_tensors(pair.chat).items()}
    save_file(inner | eyes, pair.chat / "model.safetensors", metadata={"format": "pt"})
    pair.folder = pair.folder / "seeing"
    merged = pair.merge(names="chat", unmatched="chat")
    assert torch.equal(merged["model.visual.patch.weight"], eyes["model.visual.patch.weight"])
    assert torch.equal(merged[f"model.language_model.{Q[6:]}"], plain[Q])


@report(457)
def a_parent_in_four_bits(pair: Pair) -> None:
    rewrite_config(pair.chat, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
    rewrite_tensors(pair.chat, {Q: torch.zeros(512, 1, dtype=torch.uint8), f"{Q}.absmax": torch.ones(16)})
    assert "the chat parent is quantised (bitsandbytes), give its unquantised weights" in pair.refusal()


@report(275)
def generation_config_comes_along(pair: Pair) -> None:
    (pair.chat / "generation_config.json").write_text('{"eos_token_id": [1, 2]}')
    pair.merge()
    assert json.loads((pair.out / "generation_config.json").read_text())["eos_token_id"] == [1, 2]


@report(665)
def processors_come_along(pair: Pair) -> None:
    names = ("preprocessor_config.json", "video_preprocessor_config.json", "chat_template.json")
    for name in names:
        (pair.chat / name).write_text('{"a": 1}')
    pair.merge()
    assert all((pair.out / name).is_file() for name in names)


@report(589)
def the_chat_template_is_the_chat_parents(pair: Pair) -> None:
    assert "llama3 needs the tokens <|start_header_id|>" in pair.refusal(chat_template="llama3")
    pair.merge()
    assert read_template(pair.out) == read_template(pair.chat) == TEMPLATE


@report(327)
def one_kind_of_tensors_alone(pair: Pair) -> None:
    merged, chat = pair.merge(include=("*.q_proj.*",)), read_tensors(pair.chat)
    changed = {name for name, tensor in merged.items() if not torch.equal(tensor, chat[name])}
    assert changed == {name for name in chat if ".q_proj." in name}


@report(214)
def weights_that_do_not_sum_to_one(pair: Pair) -> None:
    config = "merge_method: linear\nparameters: {normalize: false}\nmodels:\n"
    config += "- {model: a, parameters: {weight: 0.1}}\n- {model: b, parameters: {weight: 1}}"
    with pytest.raises(MergeError, match="linear without normalize, with weights that do not sum to 1"):
        convert_config(yaml.safe_load(config), None, str)
    chip, chat = (ParentRef(str(side), weight=weight) for side, weight in ((pair.chip, 0.1), (pair.chat, 1.0)))
    merge_parents(
        Recipe(chip, chat, base=pair.folder, method="linear"),
        pair.out,
        MergeSettings(pair.folder / "home"),
        render_card,
    )
    ours, theirs = (read_tensors(side)[Q] for side in (pair.chip, pair.chat))
    torch.testing.assert_close(read_tensors(pair.out)[Q], (0.1 * ours + theirs) / 1.1)


@report(3)
def the_base_may_stand_among_the_models(pair: Pair) -> None:
    texts = []
    for models in ("{model: base}, ", ""):
        config = f"merge_method: ties\nbase_model: base\nmodels: [{models}{{model: a}}, {{model: b}}]\n"
        texts.append(convert_config(yaml.safe_load(config + "parameters: {weight: 1, density: 0.5}"), None, str).text)
    assert texts[0] == texts[1]


@report(398)
def layers_beyond_the_last_and_numbers_of_no_format(pair: Pair) -> None:
    assert "slice 1: layers [0, 2] reach beyond the parents' last layer, 1" in pair.refusal(slices=(Slice((0, 2)),))
    data = {"merge": {"dtype": "bfloat"}, "chip": {"model": "a"}, "chat": {"model": "b"}}
    with pytest.raises(MergeError, match=r"merge\.dtype is 'bfloat' .*bfloat16"):
        parse_recipe(data, base=Path(), source="r.toml")


@report(521)
def keys_that_an_adapter_lacks_or_has_for_nothing(pair: Pair) -> None:
    adapter = write_adapter(pair.folder / "adapter", pair.chip, seed=3)
    weights, whole = adapter / "adapter_model.safetensors", read_tensors(adapter)
    save_file({name: tensor for name, tensor in whole.items() if "v_proj" not in name}, weights)
    assert "its config trains v_proj, of which its weights hold nothing" in pair.refusal(adapter)
    extra = {f"base_model.model.extra.lora_{side}.weight": torch.ones(4, 4) for side in "AB"}
    save_file(whole | extra, weights)
    assert "the model has no tensor extra.weight" in pair.refusal(adapter)


@report(380)
def settings_of_positions(pair: Pair) -> None:
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    rewrite_config(pair.chip, rope_parameters={**scaling, "original_max_position_embeddings": 8192, "rope_theta": 5e5})
    assert "config rope: chip" in pair.refusal()
    pair.merge(config="chip")
    assert pair.config()["rope_parameters"]["factor"] == 8.0


@pytest.mark.parametrize("number", sorted(REPORTS))
def test_a_report_has_its_answer_here(number: int, tmp_path: Path) -> None:
    check, parents = REPORTS[number]
    check(Pair(tmp_path, **parents))


def test_the_table_of_the_guide_has_these_reports() -> None:
    guide = (Path(__file__).parents[1] / "docs/models.md").read_text()
    rows = re.findall(r"^\| \[(\d+)\]\(https://github\.com/arcee-ai/mergekit/issues/(\d+)\) \|", guide, re.M)
    assert [int(number) for number, _ in rows] == sorted(REPORTS)
    assert all(number == linked for number, linked in rows)
