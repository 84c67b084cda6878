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
    measure_large,
    merge_once,
    time_copies,
)
from merge.commands.bench_summary import compare_with_aims, summarise_bench, summarise_methods
from merge.commands.measured import run_measured, take_medians
from merge.commands.method_bench import COLUMNS, METHODS, WHOLE, measure_methods, measure_whole
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
    # the same tensor as a user merges it
    whole = measure_whole(tmp_path / "methods", rounds=1)
    assert tuple(whole) == WHOLE
    assert (whole["geodesic"]["wall_to_geodesic"], whole["geodesic"]["cpu_to_geodesic"]) == (1.0, 1.0)
    assert all(found["cpu_s"] > 0 and found["peak_mb"] > 0 for found in whole.values())
    assert not (tmp_path / "methods" / "merged").exists()


RUN = {"s": 4.0, "wall_s": 4.5, "cpu_s": 6.0, "peak_mb": 190}
DOCUMENT: dict[str, Any] = {
    "copy": {"s": 2.0},
    "ours": RUN,
    "mergekit": {**RUN, "s": 40.0, "wall_s": 40.0, "peak_mb": 4000},
    "sizes": [{"layers": 22, "parameters": 1.1e9, **RUN}],
    "large": [],
    "threads": {"1": RUN, "2": RUN},
    "methods": {
        "elements": 8,
        "1": {"geodesic": {"wall_ns": 6.0, "cpu_ns": 5.0, "wall_to_geodesic": 1.0, "cpu_to_geodesic": 1.0}},
        "2": {"geodesic": {"wall_ns": 4.0, "cpu_ns": 5.0, "wall_to_geodesic": 1.0, "cpu_to_geodesic": 1.0}},
    },
    "whole": {
        method: {**RUN, "wall_to_geodesic": wall, "cpu_to_geodesic": cpu}
        for method, wall, cpu in (("geodesic", 1.0, 1.0), ("ties", 2.9, 3.0), ("della", 3.01, 3.5))
    },
    "ratios": {"ours_to_copy": 2.0, "mergekit_to_ours": 8.9},
    "seconds_per_parameter_ratio_twice_as_deep": 1.0,
    "estimates": {"merges": [{"parameters": 8e9}]},
    "kills": {"killed": 3},
}


def test_what_is_asked_stands_beside_what_was_measured_in_one_table() -> None:
    rows = compare_with_aims(DOCUMENT)
    assert [(row["measured"], row["aim"], row["reached"]) for row in rows] == [
        (8.9, "at least 8", True),
        (2.0, "at most 1.5", False),
        (2.9, "at most 3", True),
        (3.0, "at most 3", True),
        (3.01, "at most 3", False),
        (3.5, "at most 3", False),
        (1.5, "at least 1", True),
        (190, "at most 250", True),
    ]
    printed = summarise_bench({**DOCUMENT, "aims": rows})
    table, _, rest = printed.partition("\n\n")
    assert [line.endswith("yes") for line in table.splitlines()[1:]] == [row["reached"] for row in rows]
    for label in ("plain copies", "mergekit slerp", "chipalign, 22 layers", "one large tensor, whole merge, della"):
        assert label in rest


def test_the_largest_merge_measured_is_held_to_the_memory_asked() -> None:
    large = {"layers": 32, "parameters": 8.03e9, **RUN, "peak_mb": 251}
    [*_, row] = compare_with_aims({**DOCUMENT, "large": [large]})
    assert (row["what"], row["reached"]) == ("peak memory at 8.0 B parameters, MB", False)
    assert "chipalign, 8.0 B parameters" in summarise_bench({**DOCUMENT, "large": [large], "aims": [row]})


def test_a_short_run_without_mergekit_and_threads_has_fewer_rows() -> None:
    methods = {key: found for key, found in DOCUMENT["methods"].items() if key != "2"}
    rows = compare_with_aims({**DOCUMENT, "ratios": {"ours_to_copy": 1.4}, "methods": methods})
    assert [row["what"].split(" ")[0] for row in rows] == ["ours", "ties", "ties", "della", "della", "peak"]


def test_a_large_pair_is_not_begun_where_the_disk_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merge.commands.bench.LARGE_BYTES", 1e18)
    said: list[str] = []
    with pytest.raises(BenchFailed, match=r"GB free, 8 B parameters need 1000000000$"):
        measure_large(tmp_path / "large", said.append)
    assert said == []
