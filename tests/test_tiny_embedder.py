"""The embedder of tests: deterministic, of length 1, near for common words."""

from __future__ import annotations

import numpy as np
import pytest

from rag.embedding.embedder import TextEmbedder
from tests.tiny_embedder import DIMENSION, TinyEmbedder


def test_it_is_an_embedder_whose_vectors_distinguish_texts() -> None:
    embedder: TextEmbedder = TinyEmbedder()
    near, same, far = embedder.embed(["hold buffers", "buffers hold", "antenna diodes"])
    assert near.shape == (DIMENSION,)
    assert np.linalg.norm(far) == pytest.approx(1)
    assert float(near @ same) == pytest.approx(1, abs=1e-6)
    assert float(near @ far) < 0.8
    assert embedder.count_tokens("hold buffers") == 2
