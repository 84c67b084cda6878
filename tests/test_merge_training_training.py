"""Training for real: a two-layer Llama, peft, kill -9 in the middle; what comes of it is a parent of a merge."""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from merge.errors import OutputRefused
from merge.training.training import FULL, LORA, Options, Phase, Report, Trainer, _look_steps, pace, train
from merge.training.training_data import Example
from tests.processes import running
from tests.tiny_models import write_llama

torch.set_num_threads(1)
TRAINED = [Example(tuple((7 * number + step * step) % 60 for step in range(6 + number % 5)), 3) for number in range(24)]
HELD_OUT = [Example(tuple((5 * number + step) % 60 for step in range(8)), 4) for number in range(4)]
PHASE = Phase(TRAINED, HELD_OUT, 2.0)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "base", seed=1)


def show(done: int, total: int, note: str = "") -> None:
    """Say nothing."""


def options(weights: str = LORA, **changes: float) -> Options:
    return Options(
        weights=weights,
        rank=2,
        alpha=4,
        batch_tokens=32,
        learning_rate=float(changes.get("learning_rate", 1e-2)),
        patience=100,
    )


@pytest.mark.parametrize("weights", [LORA, FULL])
def test_training_lowers_the_loss_of_what_it_is_trained_on(base: Path, tmp_path: Path, weights: str) -> None:
    report = train(base, "base", [PHASE], options(weights), tmp_path / "out", show)
    count = len(report.losses) // 4
    assert sum(report.losses[-count:]) < sum(report.losses[:count])
    assert report.looks[0][0] == 0
    assert report.looks[-1][0] == len(report.losses)


def test_the_loss_is_that_of_the_learnt_tokens_alone(base: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    batch = TRAINED[:3]
    found = Trainer(base, "base", options(FULL), tmp_path / "none").look([batch])
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    losses = []
    with torch.inference_mode():
        for example in batch:  # one by one, without padding, token by token
            logs = torch.log_softmax(model(torch.tensor([example.ids])).logits[0].double(), dim=-1)
            losses += [
                -float(logs[place - 1, example.ids[place]])
                for place in range(len(example.ids) - example.learnt, len(example.ids))
            ]
    assert found == pytest.approx(sum(losses) / len(losses), rel=2e-2)  # products may be in bfloat16


def test_an_adapter_is_a_parent_of_a_merge(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "adapter"
    train(base, "base", [PHASE], options(), out, show)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        '[merge]\nname = "tiny"\n[chip]\nmodel = "base"\nadapter = "adapter"\n[chat]\nmodel = "base"\n',
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "chipalign", "merge", str(recipe), "--out", str(tmp_path / "merged"), "--json"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "CHIPALIGN_HOME": str(tmp_path / "home")},
    )
    assert json.loads(done.stdout)["lam"] == 0.6
    merged, before = load_file(tmp_path / "merged" / "model.safetensors"), load_file(base / "model.safetensors")
    assert any(not torch.equal(merged[name].float(), before[name].float()) for name in before)


def test_full_weights_become_a_checkpoint_with_the_tensors_of_its_base(tmp_path: Path) -> None:
    """Tied embeddings are written once: with them twice it could not be merged with its base."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base, out = write_llama(tmp_path / "half", seed=1, dtype=torch.bfloat16), tmp_path / "model"
    train(base, "base", [PHASE], options(FULL), out, show)
    trained, before = AutoModelForCausalLM.from_pretrained(out), AutoModelForCausalLM.from_pretrained(base)
    assert trained.dtype == before.dtype
    assert not torch.equal(trained.get_input_embeddings().weight, before.get_input_embeddings().weight)
    assert load_file(out / "model.safetensors").keys() == load_file(base / "model.safetensors").keys()
    assert len(AutoTokenizer.from_pretrained(out)) == len(AutoTokenizer.from_pretrained(base))


KILLED = """
import os, signal, sys
from pathlib import Path
import merge.training.training as training
from tests.test_merge_training_training import PHASE, options
training.SAVE_EVERY_S = 0.0  # after each step
def show(done, total, note=""):
    sys.stdout.write(f"{done}\\n"); sys.stdout.flush()
base, out, weights = sys.argv[1:]
training.train(Path(base), "base", [PHASE], options(weights), Path(out), show)
"""


@pytest.mark.parametrize("weights", [LORA, FULL])
def test_training_that_is_killed_goes_on_to_the_same_weights(base: Path, tmp_path: Path, weights: str) -> None:
    undisturbed = train(base, "base", [PHASE], options(weights), tmp_path / "whole", show)
    out = tmp_path / "killed"
    command = [sys.executable, "-c", KILLED, str(base), str(out), weights]
    with running(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == len(undisturbed.losses) // 2:
                process.kill()
                break
    assert not out.exists()
    report = train(base, "base", [PHASE], options(weights), out, show)
    assert report.losses == undisturbed.losses
    assert report.looks == undisturbed.looks
    assert report.tokens == undisturbed.tokens
    name = "adapter_model.safetensors" if weights == LORA else "model.safetensors"
    first, second = load_file(tmp_path / "whole" / name), load_file(out / name)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "killed", "whole"]  # nothing else is left


def test_unfinished_training_of_something_else_is_refused(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    trainer = Trainer(base, "base", options(), tmp_path / "out.training")
    trainer.save({"key": {"rank": 64}, "losses": [], "looks": [], "tokens": 0, "seconds": 0.0})
    with pytest.raises(OutputRefused, match=r"rank 64 there, 2 now"):
        train(base, "base", [PHASE], options(), out, show)


def test_a_kept_state_that_is_whole_is_taken_though_its_renaming_was_killed(base: Path, tmp_path: Path) -> None:
    trainer = Trainer(base, "base", options(), tmp_path / "out.training")
    trainer.save({"key": {"rank": 64}, "losses": [], "looks": [], "tokens": 0, "seconds": 0.0})
    (tmp_path / "out.training").rename(tmp_path / "out.training.new")
    with pytest.raises(OutputRefused, match="unfinished training of something else"):  # it was read
        train(base, "base", [PHASE], options(), tmp_path / "out", show)


def test_it_stops_where_looks_do_not_get_better(base: Path, tmp_path: Path) -> None:
    hasty = Options(rank=2, alpha=4, batch_tokens=32, learning_rate=5.0, patience=2)  # at such a rate nothing is learnt
    report = train(base, "base", [Phase(TRAINED, HELD_OUT, 8.0)], hasty, tmp_path / "out", show)
    assert len(report.losses) < len(Phase(TRAINED, HELD_OUT, 8.0).plan(hasty))
    assert report.best[0] < report.looks[-1][0]


def test_stuck_means_that_the_last_looks_are_all_worse() -> None:
    looks = [(0, 3.0), (1, 2.0), (2, 2.5), (3, 2.4)]
    assert not Report(looks=looks).is_stuck(3)
    assert Report(looks=looks).is_stuck(2)
    assert not Report(looks=[*looks, (4, 1.9)]).is_stuck(2)


def test_a_phase_reads_each_example_as_often_as_it_says() -> None:
    plan = Phase(TRAINED, HELD_OUT, 2.0).plan(options())
    read = [example for batch in plan for example in batch]
    assert all(read.count(example) == 2 for example in TRAINED)
    half = Phase(TRAINED, HELD_OUT, 0.5).plan(options())
    assert len(half) == round(len(plan) / 4)


def test_the_learning_rate_rises_then_falls_to_a_tenth() -> None:
    paces = [pace(number, 100) for number in range(100)]
    assert paces[0] == pytest.approx(0.2)
    assert paces[5] == 1.0
    assert paces[-1] == pytest.approx(0.1, abs=0.01)
    assert paces[52] == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi * 47 / 95)) / 2)
    assert all(later <= earlier for earlier, later in itertools.pairwise(paces[5:]))


def test_looks_lie_in_the_last_phase_and_at_the_end() -> None:
    looks = _look_steps(100, 220)
    assert min(looks) == 110
    assert max(looks) == 220
    assert len(looks) == 12
    assert _look_steps(0, 1) == {1}


class Killed(BaseException):
    """Stands for a kill between two steps."""


def test_other_data_of_the_same_sizes_is_not_taken_up(base: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int, note: str = "") -> None:
        """Killed after a look, so that there is a state."""
        if done == 6:
            raise Killed

    with pytest.raises(Killed):
        train(base, "base", [PHASE], options(), tmp_path / "out", stop)
    assert (tmp_path / "out.training").is_dir()
    other = [Example(tuple((number + 1) % 60 for number in example.ids), example.learnt) for example in TRAINED]
    with pytest.raises(OutputRefused, match="data_hash"):
        train(base, "base", [Phase(other, HELD_OUT, 2.0)], options(), tmp_path / "out", show)
    write_llama(base, seed=2)
    with pytest.raises(OutputRefused, match="weights_hash"):
        train(base, "base", [PHASE], options(), tmp_path / "out", show)


def test_a_kill_while_the_state_is_removed_loses_nothing(base: Path, tmp_path: Path) -> None:
    out, state, kept = tmp_path / "out", tmp_path / "out.training", tmp_path / "kept"

    def copy(done: int, total: int, note: str = "") -> None:
        """Keep the state of the step before the last look, which is what such a kill leaves at the least."""
        if state.is_dir():
            shutil.copytree(state, kept, dirs_exist_ok=True)

    train(base, "base", [PHASE], options(), out, copy)
    before = load_file(out / "adapter_model.safetensors")
    steps = len(PHASE.plan(options()))
    notes = json.loads((kept / "notes.json").read_text())
    notes["losses"] += [1.0] * (steps - len(notes["losses"]))  # as after the last step
    (kept / "notes.json").write_text(json.dumps(notes))
    kept.rename(state)
    train(base, "base", [PHASE], options(), out, show)
    after = load_file(out / "adapter_model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not state.exists()


def test_a_kill_at_the_early_stop_trains_no_further(base: Path, tmp_path: Path) -> None:
    hasty, phase = (
        Options(rank=2, alpha=4, batch_tokens=32, learning_rate=5.0, patience=2),
        Phase(TRAINED, HELD_OUT, 8.0),
    )
    whole = train(base, "base", [phase], hasty, tmp_path / "whole", show)
    state, kept = tmp_path / "out.training", tmp_path / "kept"
    best, best_kept = tmp_path / "out.best", tmp_path / "best-kept"

    def copy(done: int, total: int, note: str = "") -> None:
        """Keep what lies there before each step's own saving."""
        for folder, copied in ((state, kept), (best, best_kept)):
            if folder.is_dir():
                shutil.copytree(folder, copied, dirs_exist_ok=True)

    train(base, "base", [phase], hasty, tmp_path / "out", copy)
    shutil.rmtree(tmp_path / "out")
    notes = json.loads((kept / "notes.json").read_text())
    notes |= {"losses": whole.losses, "looks": whole.looks}  # as at the stop
    (kept / "notes.json").write_text(json.dumps(notes))
    kept.rename(state)
    best_kept.rename(best)
    assert train(base, "base", [phase], hasty, tmp_path / "out", show).losses == whole.losses
