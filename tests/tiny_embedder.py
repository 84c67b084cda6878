"""An embedder that needs no model: a text's vector is the sum of its words' directions, which a hash draws. For tests of everything around it.

TinyEmbedder().embed(["hold buffers"])  # shape (1, 32), length 1
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from rag.embedder import Progress, Vectors

DIMENSION = 32


class TinyEmbedder:
    """Texts with common words have near vectors; `texts` lists what was embedded."""

    name = "tiny"
    dimension = DIMENSION
    max_tokens = 512

    def __init__(self, fingerprint: str = "tiny-1") -> None:
        self.fingerprint = fingerprint
        self.texts: list[str] = []

    def count_tokens(self, text: str) -> int:
        """Words of the text."""
        return len(text.split())

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """Vectors of length 1, shape (texts, 32)."""
        self.texts += texts
        vectors = np.array([self._embed(text) for text in texts], dtype=np.float32)
        if progress:
            progress(len(texts), len(texts))
        return vectors

    def _embed(self, text: str) -> Vectors:
        total = np.sum([_direction(word) for word in text.lower().split()] or [_direction("")], axis=0)
        return np.asarray(total / np.linalg.norm(total), dtype=np.float32)


def _direction(word: str) -> Vectors:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
    return np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)
