"""`chipalign merge` as it is typed: what it prints, what it exits with, and what Ctrl-C and kill -9 leave behind."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from merge.arithmetic.geodesic import TensorResult
from merge.commands.merge_arguments import build_parser, find_recipe
from merge.commands.merge_commands import SUBCOMMANDS, merge
from merge.commands.progress import LINE_EVERY_S, Bar, Lines, make_watcher
from merge.errors import MergeError, RecipeError
from merge.merging.report import read_report
from tests.processes import running
from tests.rows import for_each
from tests.tiny_models import write_adapter, write_llama

ROOT = Path(__file__).parents[1]
KILLS = 6
RESULT = TensorResult("t", (1,), 1.0, 1.0, 0.1, "geodesic")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe file beside its two parents."""
    write_llama(tmp_path / "chip", seed=1)
    write_llama(tmp_path / "chat", seed=2)
    path = tmp_path / "r.toml"
    path.write_text('[merge]\nname = "tiny"\n[chip]\nmodel = "chip"\n[chat]\nmodel = "chat"\n')
    return path


def start(*arguments: str, home: Path) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    code = "import sys; from merge.commands.merge_commands import merge; sys.exit(merge(sys.argv[1:]))"
    env = {**os.environ, "CHIPALIGN_HOME": str(home), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def write_larger_pair(folder: Path) -> Path:
    """Two models of 13 M parameters, so that a merge takes long enough to be killed in it."""
    for name, seed in (("chip", 1), ("chat", 2)):
        write_llama(folder / name, seed, hidden_size=256, intermediate_size=1024, num_hidden_layers=10, vocab_size=8192)
    path = folder / "r.toml"
    path.write_text('[merge]\ndtype = "float32"\n[chip]\nmodel = "chip"\n[chat]\nmodel = "chat"\n')
    return path


def test_json_is_one_document_on_stdout_and_progress_is_on_stderr(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = recipe.parent / "out"
    assert merge([str(recipe), "--out", str(out), "--json"]) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert (document["checkpoint_dir"], document["reused"], document["name"], document["lam"]) == (
        str(out),
        False,
        "tiny",
        0.6,
    )
    assert document["tensors"] == 20
    assert document["theta_degrees"]["max"] >= document["theta_degrees"]["median"] > 0
    assert document["seconds"] >= 0
    assert "merging 20 tensors" in printed.err


def test_summary_states_tensors_angles_seconds_and_place(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = recipe.parent / "out"
    merge([str(recipe), "--out", str(out)])
    first = capsys.readouterr().out
    assert first.startswith("merged: tiny, lam = 0.6, float32\n20 tensors, ")
    assert "degrees in the median" in first
    assert first.endswith(f" s\n{out}\n")
    merge([str(recipe), "--out", str(out)])
    assert capsys.readouterr().out.startswith("already merged: tiny")
    merge([str(recipe), "--out", str(out), "--force"])
    assert capsys.readouterr().out.startswith("merged: tiny")


def test_parents_can_be_given_as_options(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = recipe.parent
    write_adapter(folder / "adapter", folder / "chip", seed=3)
    arguments = [
        "--chip",
        str(folder / "chip"),
        "--instruct",
        str(folder / "chat"),
        "--chip-adapter",
        str(folder / "adapter"),
        "--lam",
        "0.25",
    ]
    assert merge([*arguments, "--out", str(folder / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lam"] == 0.25
    report = read_report(folder / "out")
    assert report is not None
    assert report["parents"]["chip"]["adapter"]["ref"] == str(folder / "adapter")


def test_weights_are_cut_into_files_of_a_size(recipe: Path) -> None:
    out = recipe.parent / "out"
    assert merge([str(recipe), "--out", str(out), "--shard-gb", "0.00001"]) == 0
    shards = sorted(out.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert (out / "model.safetensors.index.json").is_file()
    AutoModelForCausalLM.from_pretrained(out)


def test_options_decide_what_a_recipe_decides() -> None:
    arguments = [
        "--chip",
        "a",
        "--instruct",
        "b",
        "--chat-adapter",
        "c",
        "--chat-adapter",
        "d",
        "--method",
        "slerp",
        "--vocab",
        "union",
    ]
    recipe = find_recipe(build_parser().parse_args([*arguments, "--config", "chip"]))
    assert (recipe.chat.adapters, recipe.chip.adapters) == (("c", "d"), ())
    assert (recipe.method, recipe.vocab, recipe.config, recipe.lam) == ("slerp", "union", "chip", 0.6)


def test_the_help_is_one_screen_and_names_the_subcommands() -> None:
    lines = build_parser(SUBCOMMANDS).format_help().splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 120
    assert "inspect | verify | sweep | search | convert | bench" in " ".join(lines)


@for_each(
    ("arguments", "complaint"),
    [
        ([], "--chip, --instruct missing"),
        (["--chip", "a"], "--instruct missing"),
        (["r.toml", "--lam", "0.5", "--chip", "a"], "--chip, --lam cannot go with a recipe file"),
        (["--chip", "a", "--instruct", "b", "--lam", "2"], "merge.lam is 2.0"),
        (["no-such.toml"], "no such recipe file"),
    ],
)
def test_wrong_arguments_are_one_clear_error(arguments: list[str], complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint) as caught:
        find_recipe(build_parser().parse_args([*arguments, "--out", "out"]))
    assert "\n" not in str(caught.value)


def test_a_missing_out_is_exit_two(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        merge(["r.toml"])
    assert caught.value.code == 2
    assert "--out" in capsys.readouterr().err


def test_help_needs_no_torch() -> None:
    code = (
        "import sys, merge.commands.merge_commands; merge.commands.merge_commands.build_parser().format_help(); "
        "sys.exit('torch' in sys.modules or 'rich' in sys.modules)"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
        ).returncode
        == 0
    )


def test_a_merge_of_safetensors_needs_neither_torch_nor_a_drawing_library(recipe: Path) -> None:
    """Methods with and without a base, an adapter, verify, inspect and sweep, where importing torch fails as if it were
    not installed.
    """
    folder = recipe.parent
    write_llama(folder / "base", seed=4)
    write_adapter(folder / "adapter", folder / "chip", seed=3)
    recipe.write_text(recipe.read_text().replace('model = "chip"', 'model = "chip"\nadapter = "adapter"'))
    (folder / "ties.toml").write_text(
        recipe.read_text().replace('name = "tiny"', 'method = "ties"') + '[base]\nmodel = "base"\n'
    )
    commands = [
        [str(recipe), "--out", str(folder / "out"), "--json"],
        [str(folder / "ties.toml"), "--out", str(folder / "ties"), "--json"],
        ["verify", str(folder / "out"), "--from", str(folder), "--json"],
        ["sweep", str(recipe), "--lam", "0,1", "--out", str(folder / "sweep"), "--json"],
    ]
    absent = ("torch", "transformers", "matplotlib", "rich", "tokenizers")
    code = (
        f"import sys, json; sys.modules.update(dict.fromkeys({absent!r})); "
        "from merge.commands.merge_commands import merge; "
        "sys.exit(max(merge(command) for command in json.loads(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(commands)


def test_a_device_without_torch_is_one_clear_error(recipe: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.argv[0] = 'chipalign'; import chipalign; "
        "sys.exit(chipalign.main(sys.argv[1:]))"
    )
    arguments = ["merge", str(recipe), "--out", str(recipe.parent / "out"), "--device", "cuda"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.endswith("device 'cuda' needs torch, which is not installed. Use cpu\n")


def test_every_error_of_a_merge_carries_exit_code_two(recipe: Path) -> None:
    (recipe.parent / "chip" / "model.safetensors").write_bytes(b"")
    with pytest.raises(MergeError) as caught:
        merge([str(recipe), "--out", str(recipe.parent / "out")])
    assert caught.value.exit_code == 2
    assert not (recipe.parent / "out").exists()


def test_lines_are_written_every_few_seconds_only() -> None:
    stream, now = io.StringIO(), [0.0]
    lines = Lines(stream, clock=lambda: now[0])
    for second in range(12):
        now[0] = float(second)
        lines.advance(RESULT, second * 1_000_000, 12_000_000)
    assert stream.getvalue().splitlines() == ["merging 5 of 12 MB", "merging 10 of 12 MB"]
    assert LINE_EVERY_S == 5.0


def test_a_bar_is_drawn_on_a_terminal_only() -> None:
    assert isinstance(make_watcher(io.StringIO()), Lines)
    stream = io.StringIO()
    with Bar(stream) as bar:
        bar.say("a step")
        bar.advance(RESULT, 500_000, 1_000_000)
        bar.advance(RESULT, 1_000_000, 1_000_000)
    assert "a step" in stream.getvalue()
    assert "1.0/1.0 MB" in stream.getvalue()


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    recipe = write_larger_pair(tmp_path)
    with running(start(str(recipe), "--out", str(tmp_path / "out"), home=tmp_path / "home")) as process:
        assert process.stderr is not None
        while "merging" not in (line := process.stderr.readline()):
            assert line, "ended before it merged"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode != 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chat", "chip", "r.toml"]


def test_kill_at_any_moment_leaves_no_folder_that_loads_and_the_next_run_cleans_up(tmp_path: Path) -> None:
    recipe, out = write_larger_pair(tmp_path), tmp_path / "out"
    pause = random.Random(0)
    killed = 0
    for _ in range(KILLS):
        with running(start(str(recipe), "--out", str(out), "--force", home=tmp_path / "home")) as process:
            assert process.stderr is not None
            while "merging" not in (line := process.stderr.readline()):
                assert line, "ended before it merged"
            time.sleep(pause.uniform(0, 0.15))
        killed += process.returncode == -signal.SIGKILL
        for folder in (path for path in tmp_path.iterdir() if path.name.startswith((".out", "out"))):
            assert folder.name != "out" or read_report(out) is not None  # it is there only when it is whole
            if folder.name != "out":
                with pytest.raises((OSError, ValueError)):
                    AutoModelForCausalLM.from_pretrained(folder)
    assert killed
    with running(start(str(recipe), "--out", str(out), "--force", home=tmp_path / "home")) as process:
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chat", "chip", "out", "r.toml"]
    AutoModelForCausalLM.from_pretrained(out)
