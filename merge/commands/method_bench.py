"""What each method costs beside the geodesic, on one large tensor of bfloat16, by one thread and by all.

Part of `chipalign merge bench`. The ratios are of wall time and of CPU time; the tensor is synthetic: a base, and two
parents a tenth of its size apart from it.

    measure_methods(Path("folder"), elements=1 << 26, rounds=3)  # the arithmetic, with reading, writing and hashing
    measure_whole(Path("folder"), rounds=3)  # `chipalign merge` of the same tensor
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from merge.commands.measured import run_measured, take_medians

COLUMNS = 4096
SIDES = ("base", "chip", "chat")
WHOLE = ("geodesic", "ties", "dare", "della")  # as whole merges
METHODS = ("geodesic", "linear", "task_arithmetic", "ties", "dare", "della")
NAME = "tensor"
NOISE = 1 << 22  # random numbers that the tensor is cut from


def measure_methods(folder: Path, elements: int, rounds: int) -> dict[str, Any]:
    """Medians of nanoseconds an element, and the ratios to the geodesic's, by number of threads and method."""
    rows = max(elements // COLUMNS, 1)
    make_triple(folder, rows)
    make_triple(folder / "small", 1)
    for method in METHODS:  # what loads libraries and loops is not a part of the first measurement
        merge_one(folder / "small", 1, method, 1)
    counts = sorted({1, os.cpu_count() or 1})
    runs: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for threads in counts:
            for method in METHODS:
                runs.setdefault((threads, method), []).append(merge_one(folder, rows, method, threads))
    document: dict[str, Any] = {"elements": rows * COLUMNS}
    for threads in counts:
        medians = {
            method: [statistics.median(times) for times in zip(*runs[threads, method], strict=True)]
            for method in METHODS
        }
        document[str(threads)] = {
            method: {
                "wall_ns": round(wall / rows / COLUMNS * 1e9, 2),
                "cpu_ns": round(cpu / rows / COLUMNS * 1e9, 2),
                "wall_to_geodesic": round(wall / medians["geodesic"][0], 2),
                "cpu_to_geodesic": round(cpu / medians["geodesic"][1], 2),
            }
            for method, (wall, cpu) in medians.items()
        }
    return document


def make_triple(folder: Path, rows: int) -> None:
    """Write the base and both parents, a tensor each."""
    import numpy as np

    from merge.arithmetic.dtypes import BFLOAT16
    from merge.arithmetic.geodesic import CHUNK
    from merge.models.checkpoint import TensorSpec
    from merge.models.writing import CheckpointWriter

    spec = TensorSpec(NAME, "BF16", (rows, COLUMNS), folder, 0)
    noise = np.random.default_rng(0).standard_normal(NOISE + CHUNK, np.float32) * np.float32(0.02)
    for number, side in enumerate(SIDES):
        (folder / side).mkdir(parents=True)
        (folder / side / "config.json").write_text("{}")
        with CheckpointWriter(folder / side, [spec]) as writer:
            for at in range(0, spec.numel, CHUNK):
                count = min(CHUNK, spec.numel - at)
                first, second = (noise[place % NOISE :][:count] for place in (7 * at, 3 * at + 1000 * number))
                distance = np.float32(0.1 if number else 0.0)
                writer.write(NAME, at, (first + distance * second).astype(BFLOAT16))
            writer.finish()


def merge_one(folder: Path, rows: int, method: str, threads: int) -> tuple[float, float]:
    """The seconds of wall and of CPU time that one merge of the tensor takes."""
    from merge.arithmetic.choice import find_arithmetic
    from merge.merging.pairing import Pair
    from merge.merging.passes import merge_tensor
    from merge.merging.piece_threads import PieceThreads
    from merge.merging.plan import TensorPlan
    from merge.models.checkpoint import Checkpoint
    from merge.models.writing import CheckpointWriter
    from merge.recipe import BASE_METHODS, Parameters

    arithmetic = find_arithmetic("cpu")
    with ExitStack() as stack:
        base, chip, chat = (stack.enter_context(Checkpoint.open(folder / side)) for side in SIDES)
        pair = Pair(chip, chat, base if method in BASE_METHODS else None)
        plan = TensorPlan(
            NAME, (rows, COLUMNS), 0.6, method, chip=NAME, chat=NAME, base=None if pair.base is None else NAME
        )
        (folder / "out").mkdir(exist_ok=True)
        writer = stack.enter_context(CheckpointWriter(folder / "out", [plan.spec]))
        mapped = stack.enter_context(PieceThreads(threads)).map if threads > 1 else map
        wall, cpu = time.perf_counter(), time.process_time()
        merge_tensor([(plan, writer)], pair, Parameters(), arithmetic, mapped)
        return time.perf_counter() - wall, time.process_time() - cpu


def measure_whole(folder: Path, rounds: int) -> dict[str, Any]:
    """Medians of `chipalign merge` of the tensor that measure_methods left, by method, and the ratios to the geodesic.

    Hashing the parents and the start count here; all threads share the tensor.
    """
    runs: dict[str, list[dict[str, Any]]] = {}
    for _ in range(rounds):
        for method in WHOLE:
            runs.setdefault(method, []).append(merge_whole(folder, method))
    medians = {method: take_medians(each) for method, each in runs.items()}
    for found in medians.values():
        for kind in ("wall", "cpu"):
            found[f"{kind}_to_geodesic"] = round(found[f"{kind}_s"] / medians["geodesic"][f"{kind}_s"], 2)
    return medians


def merge_whole(folder: Path, method: str) -> dict[str, Any]:
    """Merge the tensor once, as a user does."""
    recipe, out = folder / f"{method}.toml", folder / "merged"
    sides = [side for side in SIDES if side != "base" or method != "geodesic"]
    models = "".join(f'[{side}]\nmodel = "{side}"\n' for side in sides)
    recipe.write_text(f'[merge]\nmethod = "{method}"\n{models}')
    used, _ = run_measured([sys.executable, "-m", "chipalign", "merge", str(recipe), "--out", str(out), "--json"])
    shutil.rmtree(out)
    return used
