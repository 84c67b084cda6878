"""The merge as a whole on two-layer Llamas: what comes out, when it is reused, and what each bad input leaves behind:
nothing.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from blake3 import blake3
from transformers import AutoModelForCausalLM, AutoTokenizer

from merge.arithmetic.choice import find_arithmetic
from merge.arithmetic.dtypes import BFLOAT16, FLOAT32
from merge.arithmetic.geodesic import TensorResult, interpolate
from merge.errors import (
    CheckpointCorrupt,
    MergeError,
    OutputFull,
    OutputRefused,
    ParentsMismatch,
    TensorNotFinite,
    TensorOverflow,
    TensorsDiffer,
    TensorsOpposite,
)
from merge.merging.card import render_card
from merge.merging.merger import Outcome, Watcher, merge_parents
from merge.merging.report import REPORT
from merge.models.staging import check_room
from merge.recipe import ParentRef, Recipe
from merge.settings import MergeSettings
from tests.tiny_models import (
    make_recipe,
    read_arrays,
    read_tensors,
    rewrite_config,
    rewrite_tensors,
    to_array,
    write_adapter,
    write_llama,
)

ARITHMETIC = find_arithmetic("cpu")


@pytest.fixture
def parents(tmp_path: Path) -> tuple[Path, Path]:
    """A chip and a chat model."""
    return write_llama(tmp_path / "chip", seed=1), write_llama(tmp_path / "chat", seed=2)


def run(recipe: Recipe, out: Path, **options: Any) -> Outcome:
    return merge_parents(recipe, out, MergeSettings(out.parent / "home"), render_card, **options)


def siblings(out: Path) -> list[str]:
    return sorted(path.name for path in out.parent.iterdir())


def same_bytes(one: Path, other: Path) -> bool:
    return {p.name: p.read_bytes() for p in one.iterdir()} == {p.name: p.read_bytes() for p in other.iterdir()}


def test_every_tensor_is_merged_alike(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    run(make_recipe(*parents), tmp_path / "out")
    chip, chat, merged = (read_arrays(folder) for folder in (*parents, tmp_path / "out"))
    assert merged.keys() == chip.keys()
    assert "lm_head.weight" not in merged  # tied: the embeddings are there once
    for name, tensor in merged.items():
        assert np.array_equal(tensor, interpolate(chip[name], chat[name], 0.6, FLOAT32, ARITHMETIC)[0])


@pytest.mark.parametrize(("lam", "parent"), [(0.0, 1), (1.0, 0)])
def test_lam_zero_and_one_return_a_parent_to_the_last_bit(
    tmp_path: Path, parents: tuple[Path, Path], lam: float, parent: int
) -> None:
    run(make_recipe(*parents, lam=lam), tmp_path / "out")
    expected = read_tensors(parents[parent])
    assert all(torch.equal(tensor, expected[name]) for name, tensor in read_tensors(tmp_path / "out").items())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_transformers_loads_and_generates(tmp_path: Path, parents: tuple[Path, Path], dtype: str) -> None:
    run(make_recipe(*parents, dtype=dtype), tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert model.dtype == getattr(torch, dtype)
    messages = [{"role": "user", "content": "fix hold"}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    assert tokenizer.decode(prompt["input_ids"][0]) == "user : fix hold assistant :"
    assert model.generate(**prompt, max_new_tokens=3, do_sample=False).shape[1] > prompt["input_ids"].shape[1]


def test_config_tokenizer_and_template_are_the_chat_parents(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    chip, chat = parents
    (chip / "chat_template.jinja").write_text("the chip parent's")
    rewrite_config(chat, torch_dtype="float32", _name_or_path="somewhere/else", max_position_embeddings=256)
    run(make_recipe(chip, chat, dtype="bfloat16"), tmp_path / "out")
    for name in ("chat_template.jinja", "tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (chat / name).read_bytes()
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["dtype"], config["max_position_embeddings"]) == ("bfloat16", 256)
    assert not config.keys() & {"torch_dtype", "_name_or_path"}


def test_untied_biased_and_mixed_dtype_parents_merge(tmp_path: Path) -> None:
    shape: dict[str, Any] = {"tie_word_embeddings": False, "attention_bias": True}
    chip = write_llama(tmp_path / "chip", seed=1, dtype=torch.bfloat16, **shape)
    chat = write_llama(tmp_path / "chat", seed=2, dtype=torch.float16, **shape)
    bias = "model.layers.0.self_attn.q_proj.bias"
    rewrite_tensors(chat, {bias: torch.ones(32, dtype=torch.float16)})
    outcome = run(make_recipe(chip, chat, dtype="bfloat16"), tmp_path / "out")
    assert outcome.report is not None
    results = {result.name: result for result in outcome.report.tensors}
    assert results["lm_head.weight"].branch == "geodesic"
    assert results[bias].branch == "zero"  # fresh biases are zero
    assert results["model.layers.1.self_attn.q_proj.bias"].branch == "equal"
    merged = read_tensors(tmp_path / "out")
    ours, theirs = (read_arrays(folder)["lm_head.weight"] for folder in (chip, chat))
    expected, _ = interpolate(ours, theirs, 0.6, BFLOAT16, ARITHMETIC)
    assert np.array_equal(to_array(merged["lm_head.weight"]), expected)
    assert not merged[bias].any()


def test_sharded_parents_and_a_sharded_output_hold_the_same_numbers(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    sharded = write_llama(tmp_path / "sharded", seed=1, shards_of="10KB")
    run(make_recipe(*parents), tmp_path / "one")
    run(make_recipe(sharded, parents[1]), tmp_path / "many", shard_bytes=10_000)
    assert len(list((tmp_path / "many").glob("model-*-of-*.safetensors"))) > 2
    one, many = (read_tensors(tmp_path / name) for name in ("one", "many"))
    assert all(torch.equal(one[name], many[name]) for name in one)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "many").dtype == torch.float32


def test_an_adapter_is_folded_without_rounding(tmp_path: Path) -> None:
    base = write_llama(tmp_path / "base", seed=1, dtype=torch.bfloat16)
    adapter = write_adapter(tmp_path / "adapter", base, seed=2)
    outcome = run(make_recipe(base, base, adapter, lam=1.0), tmp_path / "out")
    folded = read_tensors(tmp_path / "out")["model.layers.0.self_attn.v_proj.weight"]
    assert not torch.equal(folded, folded.bfloat16().float())
    assert outcome.totals["branches"] == {"equal": 14, "geodesic": 6}


def test_merging_with_oneself_changes_nothing(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    outcome = run(make_recipe(parents[1], parents[1]), tmp_path / "out")
    assert outcome.totals["branches"] == {"equal": outcome.totals["tensors"]}
    assert all(torch.equal(t, read_tensors(parents[1])[name]) for name, t in read_tensors(tmp_path / "out").items())


def test_two_runs_write_the_same_bytes(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    for name in ("a", "b"):
        run(make_recipe(*parents), tmp_path / name)
    assert same_bytes(tmp_path / "a", tmp_path / "b")


def test_report_says_what_was_merged_and_what_came_of_it(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    outcome = run(make_recipe(*parents), tmp_path / "out")
    document = json.loads((tmp_path / "out" / REPORT).read_text())
    assert document["recipe"] == {"method": "geodesic", "lam": 0.6, "dtype": "float32", "name": "chipalign-merge"}
    assert document["totals"] == outcome.totals
    assert document["totals"]["tensors"] == len(document["tensors"]) == 20
    assert document["versions"]["torch"].startswith("2.")
    for name, file in document["files"].items():
        raw = (tmp_path / "out" / name).read_bytes()
        if name == "model.safetensors":
            head = raw[: 8 + int.from_bytes(raw[:8], "little")]
            assert file == {"bytes": len(raw), "header_blake3": blake3(head).hexdigest()}
        else:
            assert file == {"bytes": len(raw), "blake3": blake3(raw).hexdigest()}
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= document["files"].keys()
    chip, merged = read_tensors(parents[0]), read_tensors(tmp_path / "out")
    for tensor in document["tensors"]:
        assert tensor["blake3"] == blake3(merged[tensor["name"]].numpy().tobytes()).hexdigest()
        assert tensor["merged_norm"] == pytest.approx(merged[tensor["name"]].double().norm().item(), rel=1e-12)
        assert tensor["lam"] == 0.6
        assert tensor["shape"] == list(chip[tensor["name"]].shape)
        assert tensor["chip_norm"] == pytest.approx(chip[tensor["name"]].double().norm().item(), rel=1e-12)
        assert 0 <= tensor["theta"] <= math.pi


def test_card_names_parents_recipe_and_licences(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    (parents[0] / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    (parents[1] / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    outcome = run(make_recipe(*parents, name="my-merge"), tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert outcome.report is not None
    assert outcome.report.theta is not None
    for part in (
        outcome.report.parents.chip.blake3,
        outcome.report.parents.chat.blake3,
        "# my-merge",
        "| geodesic | 0.6 | float32 |",
        "vllm serve my-merge",
    ):
        assert part in card
    assert f"{outcome.report.theta.median:.2f} degrees in the median" in card
    assert "license: other\nlicense_name: apache-2.0-and-cc-by-4.0\n" in card


def test_card_claims_no_licence_where_a_parent_states_none(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    (parents[1] / "README.md").write_text("---\nlicense: mit\n---\n")
    run(make_recipe(*parents), tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "\nlicense:" not in card
    assert "| not stated |" in card


def test_the_watcher_hears_every_tensor_and_all_bytes(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    class Listener(Watcher):
        def __init__(self) -> None:
            self.heard: list[tuple[str, int, int]] = []

        def advance(self, result: TensorResult, done_bytes: int, total_bytes: int) -> None:
            self.heard.append((result.name, done_bytes, total_bytes))

    listener = Listener()
    run(make_recipe(*parents), tmp_path / "out", watcher=listener)
    assert sorted(name for name, _, _ in listener.heard) == sorted(read_tensors(parents[0]))
    assert listener.heard[-1][1] == listener.heard[-1][2]


def test_the_same_merge_is_not_made_twice(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    first = run(make_recipe(*parents), tmp_path / "out")
    before = (tmp_path / "out" / "model.safetensors").stat().st_ino
    again = run(make_recipe(*parents), tmp_path / "out")
    assert (again.reused, again.totals) == (True, first.totals)
    assert (tmp_path / "out" / "model.safetensors").stat().st_ino == before
    assert not run(make_recipe(*parents), tmp_path / "out", force=True).reused


def test_parents_that_moved_are_still_the_same_parents(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    run(make_recipe(*parents), tmp_path / "out")
    moved = parents[0].rename(tmp_path / "elsewhere")
    assert run(make_recipe(moved, parents[1]), tmp_path / "out").reused


def test_any_change_of_recipe_parent_or_output_merges_anew(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    chip, chat = parents
    recipe, out = make_recipe(chip, chat), tmp_path / "out"
    run(recipe, out)
    assert not run(replace(recipe, lam=0.5), out).reused
    assert not run(replace(recipe, lam=0.5, dtype="bfloat16"), out).reused
    assert not run(recipe, out).reused
    rewrite_tensors(chip, {"model.norm.weight": torch.full((32,), 2.0)})
    assert not run(recipe, out).reused
    (chat / "chat_template.jinja").write_text("another")
    assert not run(recipe, out).reused
    (out / "tokenizer.json").write_text("{}")
    assert not run(recipe, out).reused
    (out / "model.safetensors").unlink()
    assert not run(recipe, out).reused
    adapter = write_adapter(tmp_path / "adapter", chip, seed=3)
    assert not run(make_recipe(chip, chat, adapter), out).reused
    assert run(make_recipe(chip, chat, adapter), out).reused
    assert not [name for name in siblings(out) if name.startswith(".")]


@pytest.mark.parametrize("content", ["notes.txt", REPORT])
@pytest.mark.parametrize("force", [False, True])
def test_a_folder_that_is_not_ours_is_never_replaced(
    tmp_path: Path, parents: tuple[Path, Path], content: str, force: bool
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / content).write_text('{"kind": "something else"}')
    with pytest.raises(OutputRefused, match="not a merged checkpoint of ours"):
        run(make_recipe(*parents), out, force=force)
    assert (out / content).read_text() == '{"kind": "something else"}'


def test_a_file_and_a_parent_are_refused_as_output_and_an_empty_folder_is_not(
    tmp_path: Path, parents: tuple[Path, Path]
) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputRefused, match="not a merged checkpoint of ours"):
        run(make_recipe(*parents), tmp_path / "file")
    with pytest.raises(OutputRefused, match="is one of the parents"):
        run(make_recipe(*parents), parents[0])
    (tmp_path / "empty").mkdir()
    assert not run(make_recipe(*parents), tmp_path / "empty").reused


def break_not_finite(chip: Path) -> None:
    tensor = read_tensors(chip)["model.embed_tokens.weight"]
    tensor[3, 5] = math.nan
    rewrite_tensors(chip, {"model.embed_tokens.weight": tensor})


def break_truncated(chip: Path) -> None:
    path = chip / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def break_shape(chip: Path) -> None:
    rewrite_tensors(chip, {"model.norm.weight": torch.ones(31), "model.layers.0.input_layernorm.weight": None})


BREAKS = [
    (break_not_finite, TensorNotFinite, "chip parent: tensor model.embed_tokens.weight holds nan at flat position 101"),
    (break_truncated, CheckpointCorrupt, "of a file of"),
    (break_shape, ParentsMismatch, "2 mismatches"),
]


@pytest.mark.parametrize(("spoil", "error", "sentence"), BREAKS)
@pytest.mark.parametrize("earlier", [False, True])
def test_bad_parents_leave_the_output_as_it_was(
    tmp_path: Path, parents: tuple[Path, Path], spoil: Any, error: type[MergeError], sentence: str, earlier: bool
) -> None:
    out = tmp_path / "out"
    if earlier:
        run(make_recipe(*parents, lam=0.1), out)
    before = {path.name: path.read_bytes() for path in out.iterdir()} if earlier else None
    spoil(parents[0])
    with pytest.raises(error, match=sentence):
        run(make_recipe(*parents), out)
    assert siblings(out) == sorted(["chat", "chip", *(["out"] if earlier else [])])
    assert before == ({path.name: path.read_bytes() for path in out.iterdir()} if earlier else None)


def test_float16_overflow_is_refused_by_name(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    for folder in parents:
        rewrite_tensors(folder, {"model.norm.weight": torch.full((32,), 70000.0)})
    with pytest.raises(TensorOverflow, match=r"model\.norm\.weight: a merged value is beyond float16"):
        run(make_recipe(*parents, dtype="float16"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_whole_numbers_are_copied_if_equal_and_refused_if_not(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    for folder in parents:
        rewrite_tensors(folder, {"buffer": torch.tensor([1, -2, 3])})
    outcome = run(make_recipe(*parents), tmp_path / "out")
    assert outcome.totals["branches"]["copied"] == 1
    assert read_tensors(tmp_path / "out")["buffer"].tolist() == [1, -2, 3]
    rewrite_tensors(parents[0], {"buffer": torch.tensor([1, -2, 4])})
    with pytest.raises(TensorsDiffer, match="tensor buffer is I64"):
        run(make_recipe(*parents), tmp_path / "out")


def test_a_merge_larger_than_the_disk_is_refused_before_it_starts(tmp_path: Path) -> None:
    check_room(tmp_path, 1, "the merge")
    with pytest.raises(OutputFull, match=r"GB free, the merge needs 1000000000\.0 GB"):
        check_room(tmp_path, 10**18, "the merge")


def test_a_number_that_changes_its_sign_is_merged_on_a_line(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    for folder, value in zip(parents, (0.3, -0.1), strict=True):
        rewrite_tensors(folder, {"model.gate": torch.tensor([value]), "model.scale": torch.tensor(abs(value))})
    outcome = run(make_recipe(*parents), tmp_path / "out")
    assert outcome.report is not None
    branches = {result.name: result.branch for result in outcome.report.tensors}
    assert (branches["model.gate"], branches["model.scale"]) == ("linear", "geodesic")
    merged = read_tensors(tmp_path / "out")
    assert merged["model.gate"].item() == pytest.approx(0.6 * 0.3 - 0.4 * 0.1)
    assert merged["model.scale"].item() == pytest.approx(0.3**0.6 * 0.1**0.4)


def test_a_number_that_changes_its_sign_stops_neither_slerp_nor_a_mean(
    tmp_path: Path, parents: tuple[Path, Path]
) -> None:
    chip, chat = parents
    third = write_llama(tmp_path / "third", seed=3)
    for folder, value in ((chip, 0.3), (chat, -0.1), (third, 0.05)):
        rewrite_tensors(folder, {"model.gate": torch.tensor([value])})

    def merge_gate(recipe: Recipe) -> float:
        """The number in the merge."""
        run(recipe, tmp_path / "out")
        return float(read_tensors(tmp_path / "out")["model.gate"])

    assert merge_gate(make_recipe(chip, chat, method="slerp")) == pytest.approx(0.6 * 0.3 - 0.4 * 0.1)
    from_third = make_recipe(chip, chat, method="slerp", base_model=ParentRef(str(third)))
    assert merge_gate(from_third) == pytest.approx(0.05 + 0.6 * 0.25 - 0.4 * 0.15)
    ours, theirs, more = (
        ParentRef(str(folder), weight=weight) for folder, weight in ((chip, 0.5), (chat, 0.3), (third, 0.2))
    )
    weighed = replace(make_recipe(chip, chat), chip=ours, chat=theirs, more=(more,))
    assert merge_gate(weighed) == pytest.approx(0.5 * 0.3 - 0.3 * 0.1 + 0.2 * 0.05)


def test_a_place_that_cannot_be_taken_is_refused_before_a_parent_is_downloaded(
    tmp_path: Path, parents: tuple[Path, Path]
) -> None:
    recipe = make_recipe(Path("org/chip-8b"), parents[1])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    for out, said in (
        (tmp_path / "mine", "is not a merged checkpoint of ours"),
        (tmp_path / "file" / "out", "cannot be written"),
        (parents[1], "is one of the parents"),
    ):
        with pytest.raises(OutputRefused, match=said):
            run(recipe, out)


def test_opposite_tensors_name_what_takes_one_parents(tmp_path: Path, parents: tuple[Path, Path]) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    rewrite_tensors(parents[0], {name: -read_tensors(parents[1])[name]})
    with pytest.raises(TensorsOpposite, match=r'exclude = \["model\.layers\.0\.mlp\.up_proj\.weight"\]'):
        run(make_recipe(*parents), tmp_path / "out")
    run(make_recipe(*parents, exclude=(name,)), tmp_path / "out")
