"""rag.measuring.growth_bench: the vectors have the statistics that they claim; a small run measures what it says."""

from __future__ import annotations

import json
import mmap
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rag.measuring.growth_bench import make_vectors, measure_growth, memory_mb

ROOT = Path(__file__).parent.parent


def test_vectors_are_clustered_as_passages_are() -> None:
    vectors, queries = make_vectors(3000, queries=50)
    assert vectors.shape == (3000, 384)
    assert queries.shape == (50, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    cosines = vectors @ vectors.T
    assert cosines.mean() == pytest.approx(0.2, abs=0.03)  # nearly all pairs are of two tools
    neighbours = np.sort(cosines, axis=1)[:, -20:-1]  # of about thirty passages of a document
    assert neighbours.mean() == pytest.approx(0.5, abs=0.08)
    assert np.array_equal(make_vectors(100, queries=1)[0], make_vectors(100, queries=1)[0])


def test_a_small_run_measures_an_exact_index(tmp_path: Path) -> None:
    measured = measure_growth(500, tmp_path)
    assert (measured["vectors"], measured["kind"], measured["recall_at_10"]) == (500, "flat", 1.0)
    assert measured["file_mb"] == pytest.approx(500 * 384 * 4 / 1e6, abs=0.1)
    assert measured["p99_ms"] >= measured["p50_ms"] >= 0


def test_the_command_gives_one_json_document(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rag.measuring.growth_bench", "100", "200", "--folder", str(tmp_path)]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [size["vectors"] for size in json.loads(lines[-1])["sizes"]] == [100, 200]
    assert len(lines) == 1
    assert list(tmp_path.iterdir()) == []


def test_memory_is_counted_by_who_wrote_it() -> None:
    before = memory_mb()["own"]
    # New pages; an array may get ones that were freed
    with mmap.mmap(-1, 32_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as block:
        block.write(b"x" * len(block))
        assert memory_mb()["own"] - before > 25
