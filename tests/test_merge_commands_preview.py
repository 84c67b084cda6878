"""`merge --dry-run`, `merge inspect` and `merge --plots` as they are typed: what they print, what they write, and what
they do not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from merge.commands.merge_commands import merge
from merge.commands.plots import FOLDER, PICTURES
from merge.commands.preview import preview_merge
from merge.errors import CheckpointNotFound, ParentsMismatch, RecipeError
from merge.merging.card import render_card
from merge.merging.merger import Outcome, merge_parents
from merge.recipe import BASE_METHODS, ParentRef
from merge.settings import MergeSettings
from tests.tiny_models import make_recipe, read_tensors, rewrite_tensors, write_llama, write_tokenizer


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe file beside its two parents."""
    write_llama(tmp_path / "chip", seed=1)
    write_llama(tmp_path / "chat", seed=2)
    path = tmp_path / "r.toml"
    path.write_text(
        '[merge]\nname = "tiny"\nlam = [0.2, 0.8]\nexclude = ["*norm*"]\n[chip]\nmodel = "chip"\n[chat]\nmodel ='
        ' "chat"\n'
    )
    return path


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def run(tmp_path: Path, out: str, **values: Any) -> Outcome:
    recipe = make_recipe(tmp_path / "chip", tmp_path / "chat", **values)
    return merge_parents(recipe, tmp_path / out, MergeSettings(tmp_path / "home"), render_card)


def test_a_dry_run_shows_the_plan_and_the_bytes_and_touches_nothing(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(recipe.parent)
    assert merge([str(recipe), "--dry-run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    size = sum(tensor.nbytes for tensor in read_tensors(recipe.parent / "chip").values())
    assert (document["dry_run"], document["tensors"], document["read_bytes"], document["write_bytes"]) == (
        True,
        20,
        2 * size,
        size,  # as the parents: float32
    )
    assert [(row["kind"], row["method"]) for row in document["plan"]] == [
        ("attention", "geodesic"),
        ("MLP", "geodesic"),
        ("embeddings", "geodesic"),
        ("norms", "copy"),
    ]
    assert merge([str(recipe), "--dry-run", "--out", str(recipe.parent / "out")]) == 0
    text = capsys.readouterr().out
    assert "tiny: what would be merged" in text
    assert text.endswith("nothing was written\n")
    assert snapshot(recipe.parent) == before


def test_a_dry_run_shows_how_the_vocabulary_is_made(recipe: Path) -> None:
    write_tokenizer(recipe.parent / "chip", ("<s>", "</s>", "<unk>", "net"))
    document = preview_merge(
        make_recipe(recipe.parent / "chip", recipe.parent / "chat", vocab="union"), MergeSettings(recipe.parent), print
    )
    assert document["vocabulary"] == {"rows": 64, "merged": 3, "chip_only": 1, "chat_only": 60}


def test_a_dry_run_refuses_what_a_merge_would_refuse(recipe: Path) -> None:
    write_llama(recipe.parent / "chip", seed=1, vocab_size=70)
    with pytest.raises(ParentsMismatch, match="2 mismatches: config vocab_size"):
        merge([str(recipe), "--dry-run"])
    recipe.write_text(recipe.read_text().replace("*norm*", "*nrom*"))
    write_llama(recipe.parent / "chip", seed=1)
    with pytest.raises(RecipeError, match="exclude '\\*nrom\\*' fits no tensor"):
        merge([str(recipe), "--dry-run"])


@pytest.mark.parametrize(
    ("ref", "complaint"), [("org/name", "a dry run downloads nothing"), ("m.gguf", "m.gguf is not converted yet")]
)
def test_a_dry_run_fetches_and_converts_nothing(recipe: Path, ref: str, complaint: str) -> None:
    (recipe.parent / "m.gguf").write_bytes(b"GGUF")
    refs = make_recipe(recipe.parent / "chip", recipe.parent / "chat")
    settings = MergeSettings(recipe.parent / "home")
    with pytest.raises(CheckpointNotFound, match=complaint):
        preview_merge(type(refs)(chip=ParentRef(ref), chat=refs.chat, base=recipe.parent), settings, print)
    assert not (recipe.parent / "home").exists()


def test_inspect_prints_a_table_and_writes_pictures(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = recipe.parent / "pictures"
    assert merge(["inspect", str(recipe), "--out", str(pictures)]) == 0
    printed = capsys.readouterr()
    assert "tiny: chip against chat, lam = 0.2 to 0.8 over depth" in printed.out
    assert "attention" in printed.out
    assert "measuring both parents" in printed.err
    assert {path.name.replace("-dark", "") for path in pictures.iterdir()} == set(PICTURES)


def test_inspect_takes_parents_as_options_and_prints_one_json_document(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(recipe.parent)
    assert (
        merge(["inspect", "--chip", str(recipe.parent / "chip"), "--instruct", str(recipe.parent / "chat"), "--json"])
        == 0
    )
    document = json.loads(capsys.readouterr().out)
    assert (document["lam"], document["pictures"], len(document["tensors"])) == (0.6, [], 20)
    assert [kind["kind"] for kind in document["kinds"]] == ["attention", "MLP", "embeddings", "norms"]
    assert snapshot(recipe.parent) == before


def test_plots_stand_beside_the_card_that_shows_them(recipe: Path) -> None:
    out = recipe.parent / "out"
    merge([str(recipe), "--out", str(out), "--plots"])
    card = (out / "README.md").read_text()
    for name in PICTURES:
        assert f"](pictures/{name})" in card
        assert (out / FOLDER / name).read_bytes().startswith(b"\x89PNG")
    (out / FOLDER / PICTURES[0]).unlink()
    merge([str(recipe), "--out", str(out), "--plots"])  # there already: only the pictures are drawn
    assert (out / FOLDER / PICTURES[0]).exists()
    merge([str(recipe), "--out", str(recipe.parent / "plain")])
    assert not (recipe.parent / "plain" / FOLDER).exists()
    assert "pictures/" not in (recipe.parent / "plain" / "README.md").read_text()


@pytest.mark.parametrize("method", ["linear", "soup", *BASE_METHODS])
def test_every_method_merges_folders_into_one_that_reports_it(recipe: Path, method: str) -> None:
    folder = recipe.parent
    base = ParentRef(str(write_llama(folder / "base", seed=3))) if method in BASE_METHODS else None
    outcome = run(folder, "out", method=method, base_model=base, lam=0.5)
    chip, chat, merged = (read_tensors(folder / name) for name in ("chip", "chat", "out"))
    same = {name: torch.allclose(merged[name], (chip[name] + chat[name]) / 2, atol=1e-6) for name in merged}
    assert all(same.values()) is (method in ("linear", "soup", "task_arithmetic"))
    document = json.loads((folder / "out" / "merge_report.json").read_text())
    assert document["recipe"]["method"] == method
    assert ("base" in document["parents"]) is (method in BASE_METHODS)
    assert set(outcome.totals["branches"]) == {"linear" if base is None else "mixed"}
    assert f"| {method} | 0.5 | float32 |" in (folder / "out" / "README.md").read_text()


@pytest.mark.parametrize("method", ["ties", "dare", "della"])
def test_threads_do_not_decide_what_is_dropped(recipe: Path, method: str) -> None:
    folder = recipe.parent
    base = ParentRef(str(write_llama(folder / "base", seed=3)))
    made = make_recipe(folder / "chip", folder / "chat", method=method, base_model=base)
    for threads in (1, 2):
        merge_parents(made, folder / f"out{threads}", MergeSettings(folder / "home"), render_card, threads=threads)
    one, two = (read_tensors(folder / f"out{threads}") for threads in (1, 2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_excluded_tensors_and_those_of_one_parent_are_copied_to_the_last_bit(recipe: Path) -> None:
    folder = recipe.parent
    rewrite_tensors(folder / "chip", {"only.weight": torch.randn(5)})
    run(folder, "out", exclude=("*mlp*",), unmatched="union")
    chip, chat, merged = (read_tensors(folder / name) for name in ("chip", "chat", "out"))
    assert torch.equal(merged["only.weight"], chip["only.weight"])
    for name, tensor in merged.items():
        if name != "only.weight":
            assert torch.equal(tensor, chat[name]) is ("mlp" in name)


def test_the_card_states_schedule_parameters_and_decisions(recipe: Path) -> None:
    from merge.recipe import Parameters, Rule

    folder = recipe.parent
    write_tokenizer(folder / "chip", ("<s>", "</s>", "<unk>", "net"))
    base = ParentRef(str(write_llama(folder / "base", seed=3)))
    write_tokenizer(folder / "base", ("<s>", "</s>", "<unk>"))
    rules = (Rule(0.4, (0, 0), "*.mlp.*"), Rule((0.1, 0.9), (0, 1)))
    run(
        folder,
        "out",
        method="ties",
        base_model=base,
        vocab="union",
        schedule=rules,
        exclude=("*norm*",),
        parameters=Parameters(density=0.3),
    )
    card = (folder / "out" / "README.md").read_text()
    for part in (
        "by TIES on a common base model",
        "- density: 0.3",
        "- schedule 1: lam = 0.4 for layers 0 to 0 and tensors `*.mlp.*`",
        "- schedule 2: lam = 0.1 to 0.9 over depth for layers 0 to 1",
        "chat parent's: `*norm*`",
        "- where the parents differ, vocab: union",
        "- vocabulary: 64 rows, matched by token: 3 merged, 1 the chip parent's alone, 60 the chat parent's alone",
        "The tokenizer holds the chat parent's tokens and after them the chip parent's",
        "| base | ",
    ):
        assert part in card
    document = json.loads((folder / "out" / "merge_report.json").read_text())
    assert document["vocabulary"] == {"rows": 64, "merged": 3, "chip_only": 1, "chat_only": 60}
