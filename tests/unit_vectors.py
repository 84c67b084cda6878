"""Random vectors of length 1, the same in each run."""

from __future__ import annotations

import numpy as np

from rag.index.dense import Vectors


def unit_vectors(count: int, dimension: int = 16, seed: int = 7) -> Vectors:
    """Float32 vectors, [count, dimension], without any clusters."""
    vectors = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)
