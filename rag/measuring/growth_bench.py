"""Measures how the dense index grows: recall against exact search, latency, memory and build time.

It varies the number of synthetic clustered vectors. It measures the files as they are used: built, written, mapped into
memory by a fresh process, and searched one question at a time. The last line on stdout is one JSON document.

    python -m rag.measuring.growth_bench 10000 100000 --folder bench/
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import faiss
import numpy as np

from rag.command_line import run_module
from rag.index.dense import DenseIndex, Vectors, recall_of
from rag.index.manifest import DenseKind

DIMENSION = 384  # of the embedder that is shipped
QUERIES = 200
TOP_K = 10
PASSAGES_PER_DOCUMENT = 30
TOOLS = 100
# Lengths of the parts of a vector: what all texts have in common, what a tool's texts share, what a document's share,
# and its own. Their squares add up to the mean cosines that the shipped embedder gives to two passages of the handbook
# and the five pinned corpora: of different collections 0.20, of one collection 0.26, of one document 0.48.
_COMMON, _TOOL, _DOCUMENT, _OWN = 0.45, 0.24, 0.47, 0.72
# The variances of the directions fall as exp(-j / 33), which is as uneven as those of these passages: they count as 66
# equal dimensions.
_DECAY = 33.0


def make_vectors(
    count: int, dimension: int = DIMENSION, queries: int = QUERIES, seed: int = 0
) -> tuple[Vectors, Vectors]:
    """Vectors, shape (count, dimension), and queries near some of them, shape (queries, dimension); all of length 1."""
    random = np.random.default_rng(seed)
    tools = _COMMON * _directions(random, 1, dimension) + _TOOL * _directions(random, TOOLS, dimension)
    documents = _DOCUMENT * _directions(random, max(count // PASSAGES_PER_DOCUMENT, 1), dimension)
    documents += tools[random.integers(0, TOOLS, len(documents))]
    of_document = random.integers(0, len(documents), count + queries)
    vectors = np.empty((count + queries, dimension), dtype=np.float32)
    # A block at a time, since the intermediate values take as much memory again
    for start in range(0, len(vectors), 100_000):
        part = vectors[start : start + 100_000]
        part[:] = documents[of_document[start : start + len(part)]] + _OWN * _directions(random, len(part), dimension)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return vectors[:count], vectors[count:]


def _directions(random: np.random.Generator, count: int, dimension: int) -> Vectors:
    """Random directions, shape (count, dimension), of length 1."""
    vectors = random.standard_normal((count, dimension), dtype=np.float32)
    vectors *= np.exp(-np.arange(dimension, dtype=np.float32) / (2 * _DECAY))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def measure_growth(count: int, folder: Path) -> dict[str, Any]:
    """Build, write and search an index of `count` vectors; times in s or ms, memory in MB of 10^6 bytes."""
    vectors, queries = make_vectors(count)
    exact = faiss.knn(queries, vectors, TOP_K, metric=faiss.METRIC_INNER_PRODUCT)[1]

    started = time.perf_counter()
    dense = DenseIndex.build(vectors)
    build_s = time.perf_counter() - started
    dense.save(folder / "dense.faiss")
    np.save(folder / "queries.npy", queries)
    (folder / "kind.json").write_text(json.dumps(asdict(dense.kind)), encoding="utf-8")
    del dense, vectors

    searched = _search_in_a_fresh_process(folder)
    found = np.array(searched.pop("rows"), dtype=np.int64)

    return {
        "vectors": count,
        "dimension": DIMENSION,
        "build_s": round(build_s, 2),
        "build_peak_mb": peak_mb(),
        "file_mb": round(sum(path.stat().st_size for path in folder.glob("*.faiss")) / 1e6, 1),
        "recall_at_10": round(recall_of(found, exact), 4),
        **searched,
    }


def _search_in_a_fresh_process(folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "rag.measuring.growth_bench", "--search", str(folder)]
    document: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return document


def search_saved(folder: Path) -> dict[str, Any]:
    """Open a written index and search each query by itself; return rows, latencies and memory.

    It searches once in all rows and once through a mask of every tenth row.
    """
    queries = np.load(folder / "queries.npy")
    before = memory_mb()
    started = time.perf_counter()
    dense = DenseIndex.load(
        folder / "dense.faiss", DenseKind(**json.loads((folder / "kind.json").read_text(encoding="utf-8")))
    )
    open_ms = 1000 * (time.perf_counter() - started)

    rows, latencies = _time_searches(dense, queries)
    after = memory_mb()
    tenth = dense.within(np.arange(dense.count) % 10 == 0)
    _, filtered = _time_searches(tenth, queries)

    return {
        "kind": dense.kind.kind,
        "rescored": dense.kind.rescored,
        "open_ms": round(open_ms, 2),
        "p50_ms": round(float(np.median(latencies)), 2),
        "p99_ms": round(float(np.quantile(latencies, 0.99)), 2),
        "filtered_p50_ms": round(float(np.median(filtered)), 2),
        "own_mb": round(after["own"] - before["own"], 1),
        "shared_mb": round(after["shared"] - before["shared"], 1),
        "rows": rows,
    }


def _time_searches(dense: DenseIndex, queries: Vectors) -> tuple[list[list[int]], list[float]]:
    """Rows and milliseconds of each query; the first one is asked twice, so that mapping the file is not counted."""
    dense.search(queries[0], TOP_K)
    rows, latencies = [], []
    for query in queries:
        started = time.perf_counter()
        rows.append(dense.search(query, TOP_K)[0])
        latencies.append(1000 * (time.perf_counter() - started))
    return rows, latencies


def memory_mb() -> dict[str, float]:
    """This process's memory (Linux).

    `own` is written by it and counts for every process, `shared` is mapped from files and counts once.
    """
    fields = dict(line.split(":", 1) for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    kilobytes = {name: int(value.split()[0]) for name, value in fields.items()}
    return {"own": kilobytes["Anonymous"] / 1e3, "shared": (kilobytes["Rss"] - kilobytes["Anonymous"]) / 1e3}


def peak_mb() -> int:
    """The most memory that this process has had, in MB."""
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure each size in a process of its own, so that one's peak memory is not the next one's."""
    parser = argparse.ArgumentParser(
        prog="python -m rag.measuring.growth_bench",
        description="Recall, latency, memory and build time by number of vectors.",
    )
    parser.add_argument(
        "sizes", nargs="*", type=int, default=[10_000, 100_000], metavar="VECTORS", help="default: 10000 100000"
    )
    parser.add_argument(
        "--folder", type=Path, help="where the files go while they are measured (default: a temporary folder)"
    )
    parser.add_argument("--search", type=Path, help=argparse.SUPPRESS)  # the part that runs in a fresh process

    args = parser.parse_args(argv)
    if args.search:
        document: dict[str, Any] = search_saved(args.search)
    elif len(args.sizes) == 1:
        with TemporaryDirectory(dir=args.folder) as folder:
            document = measure_growth(args.sizes[0], Path(folder))
    else:
        document = {"queries": QUERIES, "sizes": [_measure_apart(size, args.folder) for size in args.sizes]}
    sys.stdout.write(json.dumps(document) + "\n")
    return 0


def _measure_apart(size: int, folder: Path | None) -> dict[str, Any]:
    sys.stderr.write(f"{size} vectors\n")
    command = [
        sys.executable,
        "-m",
        "rag.measuring.growth_bench",
        str(size),
        *(["--folder", str(folder)] if folder else []),
    ]
    document: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return document


if __name__ == "__main__":
    run_module(main)
