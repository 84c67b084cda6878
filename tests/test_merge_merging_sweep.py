"""Several lams in one pass: each checkpoint is the one that a merge of its own makes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from merge.commands.merge_commands import merge
from merge.errors import OutputRefused, RecipeError, TensorNotFinite
from merge.merging.card import render_card
from merge.merging.merger import merge_parents, merge_sweep
from merge.merging.sweep import parse_lams, plan_sweep
from merge.settings import MergeSettings
from tests.rows import for_each
from tests.tiny_models import make_recipe, read_tensors, rewrite_tensors, write_llama


@for_each(
    ("text", "lams"),
    [
        ("0.0:1.0:0.1", [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        ("0:1:0.4", [0.0, 0.4, 0.8]),
        ("0.5:0.5:1", [0.5]),
        ("0.6", [0.6]),
        ("1,0,.5,0.5", [0.0, 0.5, 1.0]),
    ],
)
def test_ranges_hold_both_ends_and_plain_decimals(text: str, lams: list[float]) -> None:
    assert parse_lams(text) == lams


NO_RANGES = [
    "",
    ":",
    "a",
    "0:1",
    "0:1:0",
    "0:1:-0.1",
    "1:0:0.1",
    "0:2:1",
    "-0.1",
    "nan",
    "0:inf:1",
    "0:1:nan",
    "0:1:1e-9",
    "0:1:0.1:2",
]


@for_each("text", NO_RANGES)
def test_what_is_not_a_range_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="--lam"):
        parse_lams(text)


def test_a_sweep_gives_what_single_merges_give(tmp_path: Path) -> None:
    recipe = make_recipe(
        write_llama(tmp_path / "chip", seed=1), write_llama(tmp_path / "chat", seed=2), dtype="bfloat16"
    )
    jobs = plan_sweep(recipe, parse_lams("0:1:0.25"), tmp_path / "sweep")
    settings = MergeSettings(tmp_path / "home")
    assert [outcome.reused for outcome in merge_sweep(jobs, settings, render_card)] == [False] * 5
    for single, out in jobs:
        merge_parents(single, tmp_path / "single", settings, render_card)
        assert {p.name: p.read_bytes() for p in out.iterdir()} == {
            p.name: p.read_bytes() for p in (tmp_path / "single").iterdir()
        }
    (tmp_path / "sweep" / "lam-0.5" / "config.json").unlink()
    assert [outcome.reused for outcome in merge_sweep(jobs, settings, render_card)] == [True, True, False, True, True]


def test_a_sweep_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    recipe = make_recipe(write_llama(tmp_path / "chip", seed=1), write_llama(tmp_path / "chat", seed=2))
    rewrite_tensors(tmp_path / "chip", {"model.norm.weight": torch.full((32,), float("nan"))})
    with pytest.raises(TensorNotFinite):
        merge_sweep(plan_sweep(recipe, [0.0, 0.5], tmp_path / "sweep"), MergeSettings(tmp_path / "home"), render_card)
    assert list((tmp_path / "sweep").iterdir()) == []


def test_a_sweep_replaces_nothing_that_is_not_ours(tmp_path: Path) -> None:
    recipe = make_recipe(write_llama(tmp_path / "chip", seed=1), write_llama(tmp_path / "chat", seed=2))
    (tmp_path / "sweep" / "lam-0.5").mkdir(parents=True)
    (tmp_path / "sweep" / "lam-0.5" / "notes.txt").write_text("mine")
    with pytest.raises(OutputRefused, match=r"lam-0\.5 exists"):
        merge_sweep(plan_sweep(recipe, [0.0, 0.5], tmp_path / "sweep"), MergeSettings(tmp_path / "home"), render_card)
    assert [path.name for path in (tmp_path / "sweep").iterdir()] == ["lam-0.5"]


def test_a_soup_has_one_lam_only(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"a soup is lam = 0\.5"):
        plan_sweep(make_recipe(tmp_path, tmp_path, method="soup"), [0.5], tmp_path)


def test_the_command_names_every_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chip, chat = (write_llama(tmp_path / name, seed) for name, seed in (("chip", 1), ("chat", 2)))
    (tmp_path / "r.toml").write_text(
        '[merge]\nname = "tiny"\ndtype = "float32"\n[chip]\nmodel = "chip"\n[chat]\nmodel = "chat"\n'
    )
    arguments = ["sweep", str(tmp_path / "r.toml"), "--lam", "0,1", "--out", str(tmp_path / "s")]
    assert merge([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["checkpoint_dir"] for row in document["checkpoints"]] == [
        str(tmp_path / "s" / "lam-0"),
        str(tmp_path / "s" / "lam-1"),
    ]
    for folder, parent in ((tmp_path / "s" / "lam-0", chat), (tmp_path / "s" / "lam-1", chip)):
        expected = read_tensors(parent)
        assert all(torch.equal(tensor, expected[name]) for name, tensor in read_tensors(folder).items())
    assert merge(arguments) == 0
    assert "(was there already)" in capsys.readouterr().out
