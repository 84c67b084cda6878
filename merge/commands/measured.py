"""Runs a command and measures it: wall time, CPU time, peak memory. Part of `chipalign merge bench`.

This file stays small and imports no numpy: on Linux a child's peak memory starts at its parent's.

    used, printed = run_measured([sys.executable, "-m", "chipalign", "merge", "recipe.toml", "--out", "merged"])
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from merge.errors import BenchFailed


def run_measured(command: Sequence[str]) -> tuple[dict[str, Any], str]:
    """({wall seconds, CPU seconds, peak memory with mapped pages}, stdout) of a command.

    The disks have nothing left to write when it starts.

    Raises BenchFailed: it ends with another code than 0.
    """
    os.sync()
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.perf_counter() - started
    if process.returncode != 0:
        raise BenchFailed(f"`{' '.join(command)}` ended with {process.returncode}. Run it by hand to see why")
    return {
        "wall_s": round(wall_s, 2),
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "peak_mb": round(used.ru_maxrss / 1024),
    }, printed


def take_medians(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The median of each figure; the largest for memory."""
    return {key: (max if key == "peak_mb" else statistics.median)(run[key] for run in runs) for key in runs[0]}
