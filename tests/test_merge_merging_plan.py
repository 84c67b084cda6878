"""What becomes of each tensor: schedules of lam, what is merged at all, sources, segments, and the bytes they move."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from merge.errors import ParentsMismatch, RecipeError
from merge.merging.pairing import Pair, check_pair
from merge.merging.plan import TensorPlan, count_traffic, make_plan, summarise_plan
from merge.models.checkpoint import Checkpoint
from merge.recipe import Recipe, Rule
from tests.tiny_models import make_recipe, read_tensors, rewrite_tensors, write_llama, write_tokenizer

EMBEDDING, NORM, HEAD = "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"


def up(layer: int) -> str:
    return f"model.layers.{layer}.mlp.up_proj.weight"


@pytest.fixture
def parents(tmp_path: Path) -> tuple[Path, Path]:
    """A chip and a chat model of two layers."""
    return write_llama(tmp_path / "chip", seed=1), write_llama(tmp_path / "chat", seed=2)


def pair_of(chip: Path, chat: Path, base: Path | None = None, **values: Any) -> tuple[Recipe, Pair]:
    recipe = make_recipe(chip, chat, **values)
    return recipe, check_pair(
        Checkpoint.open(chip), Checkpoint.open(chat), recipe, None if base is None else Checkpoint.open(base)
    )


def plans_of(chip: Path, chat: Path, **values: Any) -> dict[str, TensorPlan]:
    return {plan.name: plan for plan in make_plan(*pair_of(chip, chat, **values))}


def test_without_a_schedule_every_tensor_is_merged_alike(parents: tuple[Path, Path]) -> None:
    plans = plans_of(*parents, dtype="bfloat16")
    assert plans.keys() == read_tensors(parents[0]).keys()
    assert {(plan.lam, plan.method, plan.dtype, plan.rows) for plan in plans.values()} == {
        (0.6, "geodesic", "BF16", None)
    }
    assert all(plan.chip == plan.chat == name and plan.base is None for name, plan in plans.items())


def test_what_is_not_included_or_is_excluded_stays_the_chat_parents(parents: tuple[Path, Path]) -> None:
    plans = plans_of(*parents, include=("model.layers.*",), exclude=("*norm*",))
    merged = {name for name, plan in plans.items() if plan.method == "geodesic"}
    assert merged == {name for name in plans if "layers" in name and "norm" not in name}
    assert all((plan.method, plan.lam) == ("copy", 0.0) for name, plan in plans.items() if name not in merged)


def test_patterns_and_layers_that_fit_nothing_are_all_named(parents: tuple[Path, Path]) -> None:
    with pytest.raises(RecipeError) as caught:
        plans_of(
            *parents,
            include=("layers.*",),
            exclude=("*.nrom.*",),
            schedule=(Rule(0.5, tensors="x*"), Rule(0.5, layers=(1, 2))),
        )
    text = str(caught.value)
    for part in (
        "include 'layers.*' fits no tensor",
        "exclude '*.nrom.*'",
        "schedule 1: tensors 'x*'",
        "schedule 2: layers [1, 2] reach beyond",
    ):
        assert part in text
    assert "a name is for example model.layers.0.input_layernorm.weight" in text


def test_whole_numbers_are_identical_and_keep_their_dtype(parents: tuple[Path, Path]) -> None:
    for folder in parents:
        rewrite_tensors(folder, {"buffer": torch.tensor([1, 2])})
    plan = plans_of(*parents, dtype="bfloat16")["buffer"]
    assert (plan.method, plan.dtype, plan.n_bytes) == ("identical", "I64", 16)


@pytest.mark.parametrize(("unmatched", "kept"), [("chat", {"b"}), ("chip", {"a"}), ("union", {"a", "b"})])
def test_tensors_of_one_parent_are_kept_as_the_recipe_says(
    parents: tuple[Path, Path], unmatched: str, kept: set[str]
) -> None:
    rewrite_tensors(parents[0], {"a": torch.ones(3)})
    rewrite_tensors(parents[1], {"b": torch.ones(3)})
    plans = plans_of(*parents, unmatched=unmatched)
    assert plans.keys() & {"a", "b"} == kept
    for name in kept:
        plan, side = plans[name], "chip" if name == "a" else "chat"
        assert (plan.method, plan.lam, getattr(plan, side)) == ("copy", float(side == "chip"), name)
        assert [getattr(segment, side) for segment in plan.segments()] == [0]


def test_a_tied_parents_head_is_its_embedding(tmp_path: Path) -> None:
    chip, chat = (
        write_llama(tmp_path / "chip", seed=1, tie_word_embeddings=False),
        write_llama(tmp_path / "chat", seed=2),
    )
    plan = plans_of(chip, chat, embeddings="untied")[HEAD]
    assert (plan.chip, plan.chat) == (HEAD, EMBEDDING)
    assert HEAD not in plans_of(chip, chat, embeddings="tied")


def test_a_setting_for_a_difference_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    chip, chat = (
        write_llama(tmp_path / name, seed=n, tie_word_embeddings=False) for n, name in enumerate(("chip", "chat"))
    )
    decisions = {"embeddings": "tied", "vocab": "union", "unmatched": "chip", "config": "chip"}
    assert plans_of(chip, chat, **decisions) == plans_of(chip, chat)


def test_segments_follow_the_rows(tmp_path: Path) -> None:
    chip, chat = write_llama(tmp_path / "chip", seed=1, vocab_size=70), write_llama(tmp_path / "chat", seed=2)
    plan = plans_of(chip, chat, vocab="union")[EMBEDDING]
    assert plan.shape == (64, 32)
    assert [(s.out, s.count, s.chip, s.chat) for s in plan.segments()] == [
        (0, 11 * 32, 0, 0),
        (11 * 32, 53 * 32, None, 11 * 32),
    ]
    assert plans_of(chip, chat, vocab="chip")[EMBEDDING].shape == (70, 32)


def test_segments_of_plain_and_empty_tensors() -> None:
    plain = TensorPlan("t", (3, 4), 0.6, "geodesic", chip="t", chat="t")
    (segment,) = plain.segments()
    assert (segment.out, segment.count, segment.chip, segment.chat, segment.base) == (0, 12, 0, 0, None)
    assert TensorPlan("t", (0, 4), 0.6, "geodesic", chip="t", chat="t").segments() == ()
    assert TensorPlan("t", (), 0.6, "geodesic", chip="t", chat="t").numel == 1


def test_a_base_is_named_for_the_methods_that_need_it(parents: tuple[Path, Path], tmp_path: Path) -> None:
    base = write_llama(tmp_path / "base", seed=3)
    recipe, pair = pair_of(*parents, base, method="ties")
    assert {plan.base for plan in make_plan(recipe, pair)} == set(read_tensors(base))


def test_traffic_is_the_bytes_of_all_that_is_read_and_written(parents: tuple[Path, Path], tmp_path: Path) -> None:
    def size(folder: Path) -> int:
        return sum(tensor.nbytes for tensor in read_tensors(folder).values())

    recipe, pair = pair_of(*parents, dtype="bfloat16")
    traffic = count_traffic(make_plan(recipe, pair), pair)
    assert (traffic.read, traffic.write) == (2 * size(parents[0]), size(parents[0]) // 2)
    recipe, pair = pair_of(*parents, write_llama(tmp_path / "base", seed=3, dtype=torch.bfloat16), method="dare")
    assert count_traffic(make_plan(recipe, pair), pair).read == 2 * size(parents[0]) + size(parents[0]) // 2


def test_the_summary_has_a_row_per_kind_and_method(parents: tuple[Path, Path]) -> None:
    recipe, pair = pair_of(*parents, lam=(0.2, 0.8), exclude=("*layernorm*",))
    rows = summarise_plan(make_plan(recipe, pair))
    assert [(row["kind"], row["method"], row["tensors"], row["lam"]) for row in rows] == [
        ("attention", "geodesic", 8, [0.2, 0.8]),
        ("MLP", "geodesic", 6, [0.2, 0.8]),
        ("embeddings", "geodesic", 1, [0.2, 0.2]),
        ("norms", "copy", 4, [0.0, 0.0]),
        ("norms", "geodesic", 1, [0.8, 0.8]),
    ]
    assert sum(row["bytes"] for row in rows) == sum(tensor.nbytes for tensor in read_tensors(parents[0]).values())


def test_a_base_that_does_not_fit_is_reported_with_the_rest(parents: tuple[Path, Path], tmp_path: Path) -> None:
    base = write_llama(tmp_path / "base", seed=3, num_hidden_layers=1, intermediate_size=64)
    write_tokenizer(base, ("<s>", "</s>", "<unk>"))
    with pytest.raises(ParentsMismatch) as caught:
        pair_of(*parents, base, method="ties")
    text = str(caught.value)
    for part in (
        "base model, config num_hidden_layers: base 1, chat 2",
        "base model, tensor model.layers.1.input_layernorm.weight is not there, and the same of 8 more names",
        f"base model, tensor {up(0)}: base has shape [64, 32], chat [48, 32]",
        "base model, tokenizer: only the chat parent has 8 tokens: 'fix', 'hold', 'slack', ...",
    ):
        assert part in text
    assert re.search(r"base model.*\n", text) is None


@pytest.mark.parametrize(
    ("chip", "chat", "dtype", "output"),
    [
        (torch.bfloat16, torch.bfloat16, "auto", "BF16"),
        (torch.float32, torch.bfloat16, "auto", "F32"),
        (torch.float16, torch.float16, "auto", "F16"),
        (torch.float16, torch.bfloat16, "auto", "BF16"),
        (torch.float64, torch.bfloat16, "auto", "F32"),
        (torch.float32, torch.float32, "bfloat16", "BF16"),
    ],
)
def test_the_output_is_as_wide_as_the_wider_parent_unless_the_recipe_says(
    tmp_path: Path, chip: torch.dtype, chat: torch.dtype, dtype: str, output: str
) -> None:
    folders = [
        write_llama(tmp_path / side, seed, dtype=kind, num_hidden_layers=1)
        for side, seed, kind in (("chip", 1, chip), ("chat", 2, chat))
    ]
    assert {plan.dtype for plan in plans_of(folders[0], folders[1], dtype=dtype).values()} == {output}


def test_what_is_kept_in_float32_within_half_precision_stays_so(tmp_path: Path) -> None:
    shape: dict[str, Any] = {"dtype": torch.bfloat16, "num_hidden_layers": 2}
    chip, chat = (write_llama(tmp_path / side, seed, **shape) for side, seed in (("chip", 1), ("chat", 2)))
    wide = torch.linspace(10.12, 10.13, 32)
    for folder in (chip, chat):
        rewrite_tensors(folder, {"model.norm.weight": wide})
    for folder, name in ((chat, up(0)), (chip, up(1))):  # a trainer may have left it in the chip parent
        rewrite_tensors(folder, {name: read_tensors(folder)[name].float()})
    for dtype, rest in (("auto", "BF16"), ("float16", "F16")):
        plans = plans_of(chip, chat, dtype=dtype)
        assert (plans[NORM].dtype, plans[up(0)].dtype, plans[up(1)].dtype) == ("F32", "F32", rest)
    plans = plans_of(chip, chat, dtypes=(("*embed*", "float32"), ("*norm*", "bfloat16")), dtype="bfloat16")
    assert (plans[NORM].dtype, plans[up(0)].dtype, plans[EMBEDDING].dtype) == ("BF16", "F32", "F32")


def test_patterns_that_leave_nothing_to_merge_are_refused(parents: tuple[Path, Path]) -> None:
    cases: list[dict[str, Any]] = [{"exclude": ("*",)}, {"include": (NORM,), "exclude": ("*norm*",)}]
    for patterns in cases:
        with pytest.raises(RecipeError, match="leave no tensor to merge: the output would be a copy"):
            plans_of(*parents, **patterns)
