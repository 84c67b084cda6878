"""An embedder that needs no model: a text's vector is the sum of its words' directions, which a hash draws.

It is for tests of everything around an embedder.

    TinyEmbedder().embed(["hold buffers"])  # shape (1, 32), length 1
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from rag.embedding.embedder import Embedded, Progress, TokenPlaces, Vectors
from rag.embedding.token_counter import TokenCounter

DIMENSION = 32
TOKENS = 10_000


class TinyEmbedder:
    """Texts with common words have near vectors; `texts` lists what was embedded."""

    name = "tiny"
    dimension = DIMENSION
    max_tokens = 512
    counter: TokenCounter | None = None  # no other process counts words

    def __init__(self, fingerprint: str = "tiny-1") -> None:
        self.fingerprint = fingerprint
        self.texts: list[str] = []

    def count_tokens(self, text: str) -> int:
        """Words of the text."""
        return len(text.split())

    def token_places(self, text: str) -> TokenPlaces:
        """The places of the words in the text, shape (words, 2)."""
        return np.array([match.span() for match in re.finditer(r"\S+", text)], dtype=np.int64).reshape(-1, 2)

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """Vectors of length 1, shape (texts, 32)."""
        return np.array([embedded.vector for embedded in self.embed_tokens(texts, progress)], dtype=np.float32)

    def embed_tokens(self, texts: Sequence[str], progress: Progress | None = None) -> Iterator[Embedded]:
        """Each text in the order of `texts`; its tokens are its words."""
        self.texts += texts
        for row, text in enumerate(texts):
            words = text.lower().split()
            tokens = np.array([_direction(word) for word in words or [""]], dtype=np.float32)
            total = tokens.sum(axis=0)
            ids = np.array([_number(word) % TOKENS for word in words], dtype=np.int64)
            yield Embedded(row, total / np.linalg.norm(total), ids, tokens[: len(words)])
        if progress:
            progress(len(texts), len(texts))


def _number(word: str) -> int:
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")


def _direction(word: str) -> Vectors:
    direction = np.random.default_rng(_number(word)).normal(size=DIMENSION)
    return np.asarray(direction / np.linalg.norm(direction), dtype=np.float32)
