"""A merge that is killed, at whatever moment, is taken up by the next run and ends as if nothing had happened."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from merge.arithmetic.geodesic import TensorResult
from merge.commands.kill_bench import kill_repeatedly, read_folder
from merge.merging.card import render_card
from merge.merging.journal import JOURNAL, Journal, is_taken_up
from merge.merging.merger import Watcher, merge_parents
from merge.recipe import Recipe
from merge.settings import MergeSettings
from tests.attack import Attack
from tests.tiny_models import make_recipe, write_llama

RESULT = TensorResult("t", (2, 3), 1.0, 2.0, 0.1, "geodesic", 1.5, "aa", 0.6)


class Listener(Watcher):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def run(recipe: Recipe, out: Path, **options: Any) -> list[str]:
    """Merge, and what was said on the way."""
    listener = Listener()
    merge_parents(recipe, out, MergeSettings(out.parent / "home"), render_card, watcher=listener, **options)
    return listener.said


@pytest.mark.attack
def test_kills_end_in_the_bytes_of_an_undisturbed_run(tmp_path: Path, attack: Attack) -> None:
    shape: dict[str, Any] = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 20, "vocab_size": 8192}
    chip, chat = (write_llama(tmp_path / name, seed, **shape) for name, seed in (("chip", 1), ("chat", 2)))
    tries = attack.times(8, full=60)
    kills = kill_repeatedly(chip, chat, tmp_path / "out", tries)
    assert kills.killed == tries
    assert kills.taken_up > tries / 10
    assert len(list((tmp_path / "out").glob("model-*.safetensors"))) > 1
    AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    attack.report("merges killed and taken up", tries, [])  # a failure is raised where it is found


@pytest.fixture
def interrupted(tmp_path: Path) -> tuple[Recipe, Path, dict[str, bytes]]:
    """A recipe, the folder that a killed run of it left (without its last tensors), and what a whole run gives."""
    recipe = make_recipe(write_llama(tmp_path / "chip", seed=1), write_llama(tmp_path / "chat", seed=2))
    partial, listener = tmp_path / ".out.partial", Listener()

    class Dying(Watcher):
        def advance(self, result: TensorResult, done_bytes: int, total_bytes: int) -> None:
            listener.said.append(result.name)
            if len(listener.said) == 8:
                shutil.copytree(partial, tmp_path / "left")

    merge_parents(recipe, tmp_path / "out", MergeSettings(tmp_path / "home"), render_card, watcher=Dying(), threads=1)
    expected = read_folder(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "left").rename(partial)
    return recipe, tmp_path / "out", expected


def test_finished_tensors_are_taken_up(interrupted: tuple[Recipe, Path, dict[str, bytes]]) -> None:
    recipe, out, expected = interrupted
    assert any("taking up a merge that was interrupted" in text for text in run(recipe, out))
    assert read_folder(out) == expected


def test_a_merge_that_an_older_version_began_is_begun_anew(interrupted: tuple[Recipe, Path, dict[str, bytes]]) -> None:
    recipe, out, expected = interrupted
    path = out.with_name(".out.partial") / JOURNAL
    path.write_text(path.read_text().replace('"blake3"', '"sha256"'))
    assert not any("taking up" in text for text in run(recipe, out))
    assert read_folder(out) == expected


def test_a_tensor_whose_bytes_did_not_reach_the_disk_is_merged_anew(
    interrupted: tuple[Recipe, Path, dict[str, bytes]],
) -> None:
    recipe, out, expected = interrupted
    path = out.with_name(".out.partial") / "model.safetensors.part"
    head = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    with path.open("r+b") as file:  # as after a power cut: the journal was written, the tensors were not
        file.seek(head)
        file.write(bytes(path.stat().st_size - head))
    assert any("taking up" in text for text in run(recipe, out))
    assert read_folder(out) == expected


def test_a_run_that_died_while_it_gave_the_files_their_names_is_taken_up(
    interrupted: tuple[Recipe, Path, dict[str, bytes]],
) -> None:
    recipe, out, expected = interrupted
    partial = out.with_name(".out.partial")
    (partial / "model.safetensors.part").rename(partial / "model.safetensors")
    (partial / "README.md").write_text("of the run that died")
    assert any("taking up" in text for text in run(recipe, out))
    assert read_folder(out) == expected


@pytest.mark.parametrize("change", [{"lam": 0.5}, {"name": "other"}, {"dtype": "bfloat16"}])
def test_another_recipe_starts_afresh(
    interrupted: tuple[Recipe, Path, dict[str, bytes]], change: dict[str, Any]
) -> None:
    recipe, out, _ = interrupted
    assert not any("taking up" in text for text in run(replace(recipe, **change), out))
    run(replace(recipe, **change), out.with_name("fresh"))
    assert read_folder(out) == read_folder(out.with_name("fresh"))


def test_other_parents_start_afresh(interrupted: tuple[Recipe, Path, dict[str, bytes]], tmp_path: Path) -> None:
    recipe, out, expected = interrupted
    chip = write_llama(tmp_path / "third", seed=3)
    assert not any("taking up" in text for text in run(make_recipe(chip, Path(recipe.chat.model)), out))
    assert read_folder(out) != expected


def test_a_half_written_line_is_dropped_and_the_next_stands_by_itself(tmp_path: Path) -> None:
    with Journal.open(tmp_path, "k") as journal:
        journal.add(RESULT)
    path = tmp_path / JOURNAL
    path.write_text(path.read_text() + '{"name": "u", "shape": [1')
    with Journal.open(tmp_path, "k") as journal:
        assert journal.done == {"t": RESULT}
        journal.add(replace(RESULT, name="v"))
    with Journal.open(tmp_path, "k") as journal:
        assert list(journal.done) == ["t", "v"]


@pytest.mark.parametrize("text", ["", "{", '{"key": "other"}\n', "\x00" * 100, '["k"]\n'])
def test_a_journal_of_another_merge_or_none_knows_of_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / JOURNAL).write_text(text)
    assert not is_taken_up(tmp_path, "k")
    with Journal.open(tmp_path, "k") as journal:
        assert journal.done == {}
    assert is_taken_up(tmp_path, "k")


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_the_number_of_threads_does_not_show_in_the_bytes(tmp_path: Path, threads: int) -> None:
    recipe = make_recipe(
        *(write_llama(tmp_path / name, seed, dtype=torch.bfloat16) for name, seed in (("chip", 1), ("chat", 2)))
    )
    for folder, number in (("one", 1), ("many", threads)):
        run(recipe, tmp_path / folder, threads=number)
    assert read_folder(tmp_path / "one") == read_folder(tmp_path / "many")
