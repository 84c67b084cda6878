"""What the bench computes from its measurements, and what it leaves out of them; the measuring itself is `chipalign
merge bench`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from merge.commands.bench import (
    START,
    estimate_all,
    estimate_merge,
    list_tensors,
    make_pair,
    merge_once,
    run_measured,
    take_medians,
    time_copies,
)
from merge.commands.method_bench import COLUMNS, METHODS, measure_methods, summarise_methods
from merge.errors import BenchFailed
from merge.models.checkpoint import Checkpoint

ROOT = Path(__file__).parents[1]
SHAPE = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 32,
}


def test_the_start_that_is_left_out_loads_nothing_that_computes() -> None:
    code = f"{START}; import sys; print(sorted({{'torch', 'numpy', 'numba', 'rich', 'tokenizers'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_seconds_are_wall_time_less_the_start_alone(tmp_path: Path) -> None:
    make_pair(tmp_path, 2, SHAPE)
    run = merge_once(tmp_path)
    assert run["s"] == pytest.approx(run["wall_s"] - run["start_s"], abs=0.011)
    assert run["parameters"] == sum(int(np.prod(shape)) for _, shape in list_tensors(2, SHAPE))
    assert run["peak_mb"] > 0
    assert not (tmp_path / "out").exists()


def test_a_synthetic_pair_differs_by_a_tenth(tmp_path: Path) -> None:
    make_pair(tmp_path, 1, SHAPE)
    assert len(list((tmp_path / "chat").glob("*.safetensors"))) > 1
    with Checkpoint.open(tmp_path / "chip") as chip, Checkpoint.open(tmp_path / "chat") as chat:
        for name, spec in chat.specs.items():
            ours, theirs = (source.tensor(name).read(0, spec.numel).astype(np.float64) for source in (chip, chat))
            assert 0.01 < np.linalg.norm(ours - theirs) / np.linalg.norm(theirs) < 1.0
    assert time_copies(tmp_path)["s"] >= 0
    assert not list(tmp_path.glob("copy-*"))  # what it wrote is gone


def test_medians_are_of_each_figure_and_memory_is_the_most() -> None:
    runs = [{"s": 1.0, "peak_mb": 5}, {"s": 9.0, "peak_mb": 7}, {"s": 2.0, "peak_mb": 6}]
    assert take_medians(runs) == {"s": 2.0, "peak_mb": 7}


def test_a_command_that_fails_is_reported_by_name() -> None:
    with pytest.raises(BenchFailed, match=r"-c raise SystemExit\(3\)` ended with 3"):
        run_measured([sys.executable, "-c", "raise SystemExit(3)"])


def test_an_estimate_is_bytes_over_rate_and_cpu_time_over_cores() -> None:
    found = estimate_merge(70e9, 4.8, cores=48, storage_gb_s=3.0)
    assert found == {
        "parameters": 70e9,
        "cpu_s": 7.0,
        "storage_s": 140.0,
        "storage_uncached_s": 326.7,
        "binds": "storage",
    }
    assert estimate_merge(70e9, 4.8, cores=1, storage_gb_s=30.0)["binds"] == "cores"


def test_estimates_take_the_cpu_time_between_two_sizes_and_not_the_start() -> None:
    sizes: list[dict[str, Any]] = [
        {"parameters": 1e9, "cpu_s": 6.0},
        {"parameters": 2e9, "cpu_s": 99.0},
        {"parameters": 3e9, "cpu_s": 14.0},
    ]
    found = estimate_all(sizes)
    assert found["cpu_ns_per_parameter"] == 4.0
    assert [merge["parameters"] for merge in found["merges"]] == [8e9, 70e9, 405e9]


def test_every_method_is_measured_on_one_tensor_beside_the_geodesic(tmp_path: Path) -> None:
    document = measure_methods(tmp_path / "methods", elements=3 * COLUMNS, rounds=1)
    assert document.pop("elements") == 3 * COLUMNS
    assert "1" in document
    for methods in document.values():
        assert tuple(methods) == METHODS
        assert methods["geodesic"]["wall_to_geodesic"] == 1.0
        assert all(found["wall_ns"] > 0 for found in methods.values())
    assert len(summarise_methods(document)) == len(METHODS) * len(document)
