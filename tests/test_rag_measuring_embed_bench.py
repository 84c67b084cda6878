"""rag.measuring.embed_bench: two ways over the passages of a real index, and their ratio.

How fast they are is nobody's promise here.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.errors import IndexNotFound
from rag.measuring.embed_bench import compare_embedding
from rag.settings import RagSettings


def test_the_ratio_is_that_of_the_rates(small_index: Path) -> None:
    found = compare_embedding(small_index, RagSettings(home=small_index.parent))
    assert set(found) == {"encode_per_s", "ours_per_s", "ratio", "bits"}
    assert found["bits"] in (8, 16, 32)
    assert found["encode_per_s"] > 0
    assert found["ratio"] == pytest.approx(found["ours_per_s"] / found["encode_per_s"], rel=0.05)


def test_without_an_index_there_is_nothing_to_embed(tmp_path: Path) -> None:
    with pytest.raises(IndexNotFound):
        compare_embedding(tmp_path, RagSettings(home=tmp_path))
