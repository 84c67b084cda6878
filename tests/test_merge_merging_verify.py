"""A checkpoint that was tampered with, or that never was what it claims, is distinguished from one that is."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from merge.commands.merge_commands import merge
from merge.errors import CheckpointCorrupt, CheckpointNotFound
from merge.merging.card import render_card
from merge.merging.merger import merge_parents
from merge.merging.report import REPORT
from merge.merging.verify import Verification, VerifyOptions, verify_checkpoint
from merge.models.checkpoint import read_header
from merge.recipe import Parameters, ParentRef, Recipe
from merge.settings import MergeSettings
from tests.tiny_models import make_recipe, read_tensors, rewrite_tensors, write_adapter, write_llama

ALL = VerifyOptions(sample=None)


def verify(folder: Path, options: VerifyOptions = ALL) -> Verification:
    return verify_checkpoint(folder, options, MergeSettings(folder.parent / "home"), say=lambda text: None)


def make(folder: Path, recipe: Recipe) -> Path:
    merge_parents(recipe, folder / "out", MergeSettings(folder / "home"), render_card, shard_bytes=20_000)
    return folder / "out"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A merged checkpoint of several shards, in bfloat16."""
    return make(
        tmp_path,
        make_recipe(write_llama(tmp_path / "chip", seed=1), write_llama(tmp_path / "chat", seed=2), dtype="bfloat16"),
    )


def rewrite_report(out: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads((out / REPORT).read_text())
    change(document)
    (out / REPORT).write_text(json.dumps(document))


def test_a_fresh_checkpoint_is_what_it_claims(out: Path) -> None:
    found = verify(out)
    assert found.problems == ()
    assert (found.hashed, len(found.recomputed)) == (20, 20)


def test_a_sample_is_drawn_from_all_tensors(out: Path) -> None:
    samples = [verify(out, VerifyOptions(sample=3, seed=seed)).recomputed for seed in range(6)]
    assert {len(sample) for sample in samples} == {3}
    assert len(set(samples)) > 1


RECIPES: list[dict[str, Any]] = [
    {"method": "soup"},
    {"lam": (0.2, 0.9)},
    {"method": "linear", "exclude": ("*norm*",)},
    {"method": "ties", "base_model": "base", "parameters": Parameters(density=0.3)},
    {"method": "della", "base_model": "base", "parameters": Parameters(seed=7)},
]


@pytest.mark.parametrize("values", RECIPES, ids=lambda values: str(next(iter(values.values()))))
def test_every_kind_of_recipe_is_rebuilt_from_its_report(tmp_path: Path, values: dict[str, Any]) -> None:
    chip, chat, base = (write_llama(tmp_path / name, seed) for name, seed in (("chip", 1), ("chat", 2), ("base", 3)))
    given: dict[str, Any] = {
        key: ParentRef(str(base)) if key == "base_model" else value for key, value in values.items()
    }
    found = verify(make(tmp_path, make_recipe(chip, chat, **given)))
    assert found.problems == ()
    assert len(found.recomputed) == 20


def test_a_folded_adapter_is_folded_again(tmp_path: Path) -> None:
    base = write_llama(tmp_path / "base", seed=1, dtype=torch.bfloat16)
    adapter = write_adapter(tmp_path / "adapter", base, seed=2)
    assert verify(make(tmp_path, make_recipe(base, base, adapter, dtype="bfloat16"))).problems == ()


def age(out: Path) -> None:
    """Give a report the hashes that it would have had before BLAKE3."""

    def change(document: dict[str, Any]) -> None:
        document["format"] = 6
        for name, file in document["files"].items():
            raw = (out / name).read_bytes()
            if "header_blake3" in file:
                head = raw[: 8 + int.from_bytes(raw[:8], "little")]
                document["files"][name] = {"bytes": len(raw), "header_sha256": hashlib.sha256(head).hexdigest()}
            else:
                document["files"][name] = {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
        weights = read_tensors(out)
        for tensor in document["tensors"]:
            del tensor["blake3"]
            raw = weights[tensor["name"]].contiguous().view(torch.uint8).numpy().tobytes()
            tensor["sha256"] = hashlib.sha256(raw).hexdigest()

    rewrite_report(out, change)


def flip_weight(out: Path) -> None:
    path = sorted(out.glob("*.safetensors"))[0]
    spec = next(iter(read_header(path).values()))
    with path.open("r+b") as file:
        file.seek(spec.offset + 3)
        byte = file.read(1)
        file.seek(spec.offset + 3)
        file.write(bytes([byte[0] ^ 1]))


def rename_tensor(out: Path) -> None:
    path = sorted(out.glob("*.safetensors"))[0]
    raw = path.read_bytes()
    name = next(iter(read_header(path))).encode()
    path.write_bytes(raw.replace(name, name[:-1] + b"_", 1))


def cut_file(out: Path) -> None:
    path = sorted(out.glob("*.safetensors"))[0]
    path.write_bytes(path.read_bytes()[:-4])


def change_config(out: Path) -> None:
    path = out / "config.json"
    path.write_bytes(path.read_bytes().replace(b"32", b"64", 1))


def add_weights(out: Path) -> None:
    shutil.copy(sorted(out.glob("*.safetensors"))[0], out / "another.safetensors")


TAMPERINGS = [
    (flip_weight, "has another blake3 than the report says"),
    (rename_tensor, "has another header than the report says"),
    (rename_tensor, "is missing"),
    (cut_file, "bytes, the report says"),
    (change_config, "config.json has another blake3"),
    (add_weights, "another.safetensors is not in the report"),
    (lambda out: (out / "tokenizer.json").unlink(), "tokenizer.json is missing"),
]


@pytest.mark.parametrize(("tamper", "complaint"), TAMPERINGS)
def test_every_tampering_is_found_without_the_parents(out: Path, tamper: Callable[[Path], Any], complaint: str) -> None:
    tamper(out)
    found = verify(out, VerifyOptions(sample=0))
    assert any(complaint in problem for problem in found.problems), found.problems
    assert found.recomputed == ()


def test_a_merge_that_was_reported_with_sha256_is_still_verified(out: Path) -> None:
    age(out)
    found = verify(out)
    assert (found.problems, found.hashed, len(found.recomputed)) == ((), 20, 20)
    rewrite_report(out, lambda document: document["recipe"].update(lam=0.61))
    problems = verify(out).problems
    assert len([problem for problem in problems if "computed anew, has another sha256" in problem]) > 10


@pytest.mark.parametrize(("tamper", "complaint"), TAMPERINGS)
def test_tampering_is_found_by_an_older_report_too(out: Path, tamper: Callable[[Path], Any], complaint: str) -> None:
    age(out)
    tamper(out)
    found = verify(out, VerifyOptions(sample=0))
    assert any(complaint.replace("blake3", "sha256") in problem for problem in found.problems), found.problems


def test_weights_whose_report_was_made_to_fit_are_found_by_computing_them_anew(out: Path) -> None:
    def lie(document: dict[str, Any]) -> None:
        document["tensors"][3]["merged_norm"] *= 1.001

    rewrite_report(out, lie)
    assert [problem for problem in verify(out).problems if "merged_norm" in problem]
    rewrite_report(out, lambda document: document["recipe"].update(lam=0.61))
    problems = verify(out).problems
    assert len([problem for problem in problems if "computed anew, has another blake3" in problem]) > 10


def test_other_versions_are_named_where_something_differs(out: Path) -> None:
    rewrite_report(out, lambda document: document["versions"].update(torch="1.0"))
    assert verify(out).problems == ()
    rewrite_report(out, lambda document: document["recipe"].update(lam=0.61))
    assert any("other versions: torch 1.0 then" in problem for problem in verify(out).problems)


def test_a_parent_that_changed_is_named(out: Path) -> None:
    rewrite_tensors(out.parent / "chip", {"model.norm.weight": torch.ones(32)})
    [problem] = verify(out).problems
    assert "the chip parent" in problem
    assert "is not the one that was merged" in problem


def test_a_parent_that_moved_is_found_where_it_is_said_to_be(out: Path) -> None:
    moved = (out.parent / "chip").rename(out.parent / "elsewhere")
    with pytest.raises(CheckpointNotFound, match=r"chip parent: no such folder.*--from DIR says where it starts"):
        verify(out)
    assert verify(out, VerifyOptions(sample=None, refs={"chip": str(moved)})).problems == ()


def test_a_folder_without_a_report_cannot_be_verified(out: Path) -> None:
    rewrite_report(out, lambda document: document.update(format=1))
    with pytest.raises(CheckpointCorrupt, match="has format 1"):
        verify(out)
    (out / REPORT).unlink()
    with pytest.raises(CheckpointNotFound, match=r"no merge_report\.json"):
        verify(out)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("tensors"),
        lambda d: d.update(files=3),
        lambda d: d["recipe"].pop("method"),
        lambda d: d["files"]["config.json"].pop("blake3"),
        lambda d: d["tensors"][0].pop("blake3"),
    ],
)
def test_a_report_that_is_not_as_it_was_written_is_refused(out: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    rewrite_report(out, change)
    with pytest.raises(CheckpointCorrupt, match="is not as it was written"):
        verify(out)


def test_a_report_that_names_files_elsewhere_reads_none_of_them(out: Path) -> None:
    rewrite_report(out, lambda document: document["files"].update({"../chip/config.json": {"bytes": 1, "blake3": "x"}}))
    assert "the report names a file '../chip/config.json' outside the folder" in verify(out).problems


def test_the_command_answers_by_exit_code_and_one_document(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert merge(["verify", str(out), "--all"]) == 0
    assert (
        capsys.readouterr().out
        == f"{out} is what its report claims: 8 files, 20 tensors hashed, 20 computed anew\n".replace(
            "8 files", f"{len(json.loads((out / REPORT).read_text())['files'])} files"
        )
    )
    flip_weight(out)
    assert merge(["verify", str(out), "--no-parents", "--json"]) == 2
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert (document["ok"], len(document["problems"])) == (False, 1)
    assert document["problems"][0] in printed.err
