"""A checkpoint whose weights are not whole is refused in one sentence, before an engine is started on it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from safetensors.numpy import save, save_file

from serve.errors import WeightsBroken
from serve.running.doctor import examine, would_run
from serve.running.up import prepare_model
from serve.running.weights import INDEX, MAX_HEADER_BYTES, SINGLE, check_weights, expected_bytes, weight_problems
from serve.settings import ServeSettings
from tests.rows import for_each

TENSORS = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.ones(5, dtype=np.float16)}


def write_sharded(folder: Path) -> None:
    """Two shards and their index, as transformers writes them."""
    names = {name: f"model-0000{number}-of-00002.safetensors" for number, name in enumerate(TENSORS, 1)}
    for name, file in names.items():
        save_file({name: TENSORS[name]}, folder / file, metadata={"format": "pt"})
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 58}, "weight_map": names}))


def header(text: bytes, announced: int | None = None) -> bytes:
    """The beginning of a safetensors file."""
    return (len(text) if announced is None else announced).to_bytes(8, "little") + text


def test_whole_weights_are_accepted_in_one_file_and_in_shards(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / SINGLE)
    check_weights(tmp_path)
    (tmp_path / SINGLE).unlink()
    write_sharded(tmp_path)
    check_weights(tmp_path)


def test_no_weights_at_all_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WeightsBroken) as caught:
        check_weights(tmp_path)
    assert str(caught.value).startswith(
        f"the weights in {tmp_path} cannot be served: model.safetensors is missing: copy the model anew"
    )
    assert "--checkpoint" in str(caught.value)
    assert caught.value.exit_code == 2


def test_every_broken_shard_is_named_at_once(tmp_path: Path) -> None:
    write_sharded(tmp_path)
    first, second = sorted(tmp_path.glob("*.safetensors"))
    first.write_bytes(first.read_bytes()[:-1])
    second.unlink()
    problems = list(weight_problems(tmp_path))
    assert len(problems) == 2
    assert problems[0].startswith(first.name)
    assert problems[1] == f"{second.name} is missing"


def test_with_an_index_a_stray_single_file_does_not_stand_in_for_the_shards(tmp_path: Path) -> None:
    write_sharded(tmp_path)
    save_file(TENSORS, tmp_path / SINGLE)
    next(tmp_path.glob("model-*")).unlink()
    assert [problem.endswith("is missing") for problem in weight_problems(tmp_path)] == [True]


@pytest.mark.parametrize("change", [-1, 1])
def test_a_byte_too_few_or_too_many_is_reported_with_both_lengths(tmp_path: Path, change: int) -> None:
    whole = save(TENSORS)
    (tmp_path / SINGLE).write_bytes(whole[:change] if change < 0 else whole + b"x")
    (problem,) = weight_problems(tmp_path)
    assert problem == f"model.safetensors has {len(whole) + change} bytes where its header declares {len(whole)}"


@for_each(
    ("content", "words"),
    [
        (b"", "it is not a safetensors file"),
        (b"\x10\x00\x00", "it ends inside its header"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:77\n", "it is not a safetensors file"),
        (header(b"{}", MAX_HEADER_BYTES + 1), "it is not a safetensors file"),
        (header(b'{"a":', 400), "it ends inside its header"),
        (header(b'{"a": 1}'), "its header is not a safetensors header"),
        (header(b"[1, 2]"), "its header is not a safetensors header"),
        (header(b"\xff\xfe"), "its header is not a safetensors header"),
        (header(b"[" * 100_000), "its header is not a safetensors header"),
        (header(b'{"a": {"dtype": "F32", "shape": [1]}}'), "its header is not a safetensors header"),
        (header(b'{"a": {"data_offsets": [4, 0]}}'), "its header is not a safetensors header"),
        (header(b'{"a": {"data_offsets": [0, true]}}'), "its header is not a safetensors header"),
    ],
)
def test_what_is_not_a_safetensors_file_is_reported_as_such(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / SINGLE).write_bytes(content)
    assert list(weight_problems(tmp_path)) == [f"model.safetensors cannot be read ({words})"]


@for_each(
    ("text", "words"),
    [
        ("{oops", "Expecting property name"),
        ("[]", "it has no weight_map"),
        ('{"weight_map": {}}', "it has no weight_map"),
        ('{"weight_map": {"a": 7}}', "names 7, which is not a file of this folder"),
        (
            '{"weight_map": {"a": "../elsewhere.safetensors"}}',
            "names '../elsewhere.safetensors', which is not a file of this folder",
        ),
    ],
)
def test_an_index_that_cannot_be_used_is_the_problem_itself(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / INDEX).write_text(text)
    (problem,) = weight_problems(tmp_path)
    assert problem.startswith(f"{INDEX} cannot be read (")
    assert words in problem


def test_a_folder_in_the_place_of_the_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / SINGLE).mkdir()
    assert "Is a directory" in next(weight_problems(tmp_path))


def test_the_length_is_what_safetensors_writes_for_tensors_without_numbers_too(tmp_path: Path) -> None:
    for tensors in ({}, {"empty": np.zeros((0, 4), np.float32)}, TENSORS):
        save_file(tensors, tmp_path / SINGLE, metadata={"format": "pt"})
        assert expected_bytes(tmp_path / SINGLE) == (tmp_path / SINGLE).stat().st_size


@given(st.integers(min_value=0))
def test_a_file_that_was_cut_anywhere_is_never_taken_for_whole(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    whole = save(TENSORS)
    folder = tmp_path_factory.getbasetemp()
    (folder / SINGLE).write_bytes(whole[: cut % len(whole)])
    assert len(list(weight_problems(folder))) == 1


def checkpoint(small_checkpoint: Path, folder: Path, cut: int | None) -> Path:
    """A checkpoint with a tokenizer, a config and weights of which the last `cut` bytes are missing."""
    shutil.copytree(small_checkpoint, folder)
    (folder / "config.json").write_text("{}")
    (folder / SINGLE).write_bytes(save(TENSORS)[:cut])
    return folder


def test_up_refuses_a_broken_checkpoint_of_the_users_own_before_it_starts_an_engine(
    small_checkpoint: Path, tmp_path: Path
) -> None:
    broken = checkpoint(small_checkpoint, tmp_path / "broken", -3)
    env = {**os.environ, "CHIPALIGN_HOME": str(tmp_path / "home"), "CHIPALIGN_CORPORA": "none"}
    command = [sys.executable, "-m", "chipalign", "up", "--checkpoint", str(broken)]
    for part, port in zip(("gateway", "engine", "page"), (48211, 48212, 48213), strict=True):
        command += [f"--{part}-port", str(port)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith(f"chipalign up: the weights in {broken} cannot be served: model.safetensors has ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "home" / "logs").exists()  # no part was started


def test_the_weights_for_an_engine_elsewhere_are_not_looked_at(small_checkpoint: Path, tmp_path: Path) -> None:
    broken = str(checkpoint(small_checkpoint, tmp_path / "broken", -3))
    console = Console(file=io.StringIO())
    elsewhere = ServeSettings(engine_url="http://gpu:8000", checkpoint=broken)
    assert "served by http://gpu:8000" in asyncio.run(prepare_model(elsewhere, Path("unused.toml"), {}, console))
    with pytest.raises(WeightsBroken):
        asyncio.run(prepare_model(ServeSettings(checkpoint=broken), Path("unused.toml"), {}, console))


def test_doctor_judges_the_weights_as_up_does(small_checkpoint: Path, tmp_path: Path) -> None:
    broken = checkpoint(small_checkpoint, tmp_path / "broken", -3)
    whole = checkpoint(small_checkpoint, tmp_path / "whole", None)

    def model(**settings: str) -> tuple[bool, str]:
        findings = examine(ServeSettings(home=tmp_path / "home", **settings))  # type: ignore[arg-type]
        (finding,) = [finding for finding in findings if finding.what == "model"]
        return finding.ok and would_run(findings), finding.advice

    assert model(checkpoint=str(whole)) == (True, "")
    ok, advice = model(checkpoint=str(broken))
    assert not ok
    assert advice.startswith("model.safetensors has ")
    assert "CHIPALIGN_CHECKPOINT" in advice
    assert model(checkpoint=str(broken), engine_url="http://gpu:8000") == (True, "")
    assert model(checkpoint=str(tmp_path), engine_url="http://gpu:8000") == (
        False,
        "there is no tokenizer_config.json: is CHIPALIGN_CHECKPOINT right?",
    )


def test_doctor_says_that_up_merges_a_broken_demo_model_anew(small_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint(small_checkpoint, tmp_path / "models" / "chipalign-demo", -3)
    (finding,) = [finding for finding in examine(ServeSettings(home=tmp_path)) if finding.what == "model"]
    assert not finding.ok
    assert not finding.needed  # it is not an obstacle
    assert finding.advice.endswith("`chipalign up` merges it anew")
