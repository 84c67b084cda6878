"""Late interaction: compares a passage with a question token by token, not by its one vector.

Each token of the question is compared with the passage's nearest token (Khattab & Zaharia, "ColBERT", SIGIR 2020). Of a
passage's token vectors only the signs are kept, a bit for each number: 48 bytes for a token of 384 dimensions; on our
questions they find as much as the numbers themselves. A question's tokens weigh more the rarer they are among the
passages. It embeds nothing and chooses no candidates: it scores the rows that it is given.

    late = LateIndex.build([pack_tokens(embedded) for embedded in ...], dimension=384)
    [scores] = late.score([question], rows)  # about the mean cosine of the question's tokens with their nearest ones
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.arrays import is_rising, map_array
from rag.embedding.embedder import Embedded, Vectors
from rag.errors import IndexCorrupt
from rag.index.bm25 import idf

Bits = NDArray[np.uint8]
Ids = NDArray[np.uint32]
# The cosine of a vector with its own signs, for normally distributed numbers. A score is divided by it, to be one of
# cosines.
SIGN_COSINE = math.sqrt(2 / math.pi)
LATE_FILES = ("late_bits.npy", "late_ids.npy", "late_starts.npy", "late_weights.npy")


@dataclass(frozen=True, slots=True)
class PackedTokens:
    """The tokens of one passage: their ids, shape (tokens,), and the signs of their vectors.

    The signs have shape (tokens, dimension / 8).
    """

    ids: Ids
    bits: Bits


def pack_tokens(embedded: Embedded) -> PackedTokens:
    """What is kept of a passage's tokens."""
    return PackedTokens(embedded.token_ids.astype(np.uint32), np.packbits(embedded.token_vectors >= 0, axis=1))


class LateIndex:
    """Tokens of all passages, row by row, memory-mapped where it was loaded. Read-only once built; thread-safe."""

    def __init__(self, bits: Bits, ids: Ids, starts: NDArray[np.int64], weights: Vectors, dimension: int) -> None:
        self._bits = bits
        self._ids = ids
        self._starts = starts
        self._weights = weights
        self._dimension = dimension

    @classmethod
    def build(cls, passages: Sequence[PackedTokens], dimension: int) -> LateIndex:
        """Index of the passages, in the order of their rows.

        A token's weight is its idf; a token that no passage has weighs as much as the rarest.
        """
        starts = np.cumsum([0, *(len(passage.ids) for passage in passages)], dtype=np.int64)
        bits = np.concatenate(
            [np.zeros((0, -(-dimension // 8)), dtype=np.uint8), *(passage.bits for passage in passages)]
        )
        ids = np.concatenate([np.zeros(0, dtype=np.uint32), *(passage.ids for passage in passages)])
        holding = np.bincount(
            np.concatenate([np.zeros(0, dtype=np.uint32), *(np.unique(passage.ids) for passage in passages)])
        )
        # The first weight is that of tokens beyond the others
        weights = np.array([idf(len(passages), int(count)) for count in (0, *holding)], dtype=np.float32)
        return cls(bits, ids, starts, weights, dimension)

    @property
    def has_tokens(self) -> bool:
        """Whether the embedder gave any: not every one can."""
        return len(self._ids) > 0

    def row(self, row: int) -> PackedTokens:
        """The tokens of one passage."""
        part = slice(self._starts[row], self._starts[row + 1])
        return PackedTokens(np.array(self._ids[part]), np.array(self._bits[part]))

    def score(self, questions: Sequence[Embedded], rows: Sequence[int]) -> list[list[float]]:
        """Score each row for each question: the weighted mean of each token's nearest cosine.

        The mean is over the question's tokens. A row without tokens, and a question without any, scores 0.
        """
        scores = []
        for question, nearest in zip(questions, self.nearest(questions, rows), strict=True):
            weights = self.weights(question.token_ids)
            total = weights.sum()
            scores.append([float(score) for score in weights @ nearest / total] if total else [0.0] * len(rows))
        return scores

    def nearest(self, questions: Sequence[Embedded], rows: Sequence[int]) -> list[Vectors]:
        """For each question, about the cosine of each of its tokens with the nearest of each row, shape (tokens, rows).

        Products are with signs, scaled so that they are about cosines; they are 0 for a row without tokens. Passages
        are unpacked once for all questions, since unpacking takes longer than comparing.
        """
        taken = np.array(rows, dtype=np.int64)
        starts = self._starts[taken]
        sizes = self._starts[taken + 1] - starts
        filled = np.flatnonzero(sizes)
        starts, sizes = starts[filled], sizes[filled]
        tokens = np.concatenate(
            [np.zeros((0, self._dimension), dtype=np.float32), *(question.token_vectors for question in questions)]
        )
        nearest = np.zeros((len(tokens), len(rows)), dtype=np.float32)
        if len(filled) and len(tokens):
            # This loads torch: a backend without token vectors does without
            from rag.embedding.eight_bit import multiply_bits

            firsts = np.cumsum(sizes) - sizes  # where each row's tokens begin among those of all
            packed = self._bits[np.repeat(starts - firsts, sizes) + np.arange(sizes.sum())]
            signs = np.unpackbits(packed, axis=1, count=self._dimension)
            products = 2 * multiply_bits(tokens, signs) - tokens.sum(axis=1, keepdims=True)  # with 1 and -1 for 1 and 0
            best = np.maximum.reduceat(products, firsts, axis=1)  # shape (all questions' tokens, rows)
            nearest[:, filled] = best / (SIGN_COSINE * math.sqrt(self._dimension))
        ends = np.cumsum([len(question.token_ids) for question in questions])
        return np.split(nearest, ends[:-1]) if questions else []

    def weights(self, token_ids: NDArray[np.int64]) -> Vectors:
        """What each token of a question weighs, shape (tokens,): its idf among the passages."""
        weights: Vectors = self._weights[np.where(token_ids < len(self._weights) - 1, token_ids + 1, 0)]
        return weights

    def signs(self, row: int) -> Vectors:
        """The vectors of one passage's tokens as far as they are kept, shape (tokens, dimension).

        Each has about the length of a cosine's.
        """
        bits = np.unpackbits(self.row(row).bits, axis=1, count=self._dimension)
        return (2.0 * bits.astype(np.float32) - 1.0) / np.float32(SIGN_COSINE * math.sqrt(self._dimension))

    def save(self, folder: Path) -> None:
        """Write four .npy arrays into `folder`."""
        arrays: tuple[NDArray[Any], ...] = (self._bits, self._ids, self._starts, self._weights)
        for name, array in zip(LATE_FILES, arrays, strict=True):
            np.save(folder / name, array, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, count: int, dimension: int) -> LateIndex:
        """Open what `save` wrote, arrays memory-mapped.

        Raises IndexCorrupt: they do not fit together or are not of `count` passages.
        """
        try:
            bits = map_array(folder / LATE_FILES[0], np.dtype(np.uint8), -(-dimension // 8))
            ids = map_array(folder / LATE_FILES[1], np.dtype(np.uint32))
            starts = map_array(folder / LATE_FILES[2], np.dtype(np.int64))
            weights = map_array(folder / LATE_FILES[3], np.dtype(np.float32))
        except ValueError as error:
            raise IndexCorrupt(
                f"the token vectors in {folder} cannot be read ({error}), or do not fit together: build the index again"
            ) from error
        if len(starts) != count + 1 or len(bits) != len(ids) or not is_rising(starts, len(ids)) or not len(weights):
            raise IndexCorrupt(f"the token vectors in {folder} do not fit together: build the index again")
        return cls(bits, ids, starts, np.array(weights), dimension)
