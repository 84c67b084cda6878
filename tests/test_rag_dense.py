"""rag.dense: real FAISS against a plain matrix product."""

from pathlib import Path

import faiss
import numpy as np
import pytest

from rag.dense import DenseIndex, Vectors
from rag.errors import IndexCorrupt


def unit_vectors(count: int) -> Vectors:
    vectors = np.random.default_rng(7).normal(size=(count, 16)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def test_search_finds_what_the_matrix_product_ranks_first() -> None:
    vectors = unit_vectors(50)
    query = unit_vectors(51)[50]
    rows, scores = DenseIndex.build(vectors).search(query, 10)
    products = vectors @ query
    assert rows == [int(row) for row in np.argsort(-products)[:10]]
    assert scores == pytest.approx(sorted(products, reverse=True)[:10], abs=1e-6)


def test_fewer_vectors_than_asked_for() -> None:
    assert len(DenseIndex.build(unit_vectors(3)).search(unit_vectors(1)[0], 10)[0]) == 3


def test_score_of_one_row_is_its_cosine() -> None:
    vectors = unit_vectors(5)
    dense = DenseIndex.build(vectors)
    assert dense.score(vectors[2], 2) == pytest.approx(1)
    assert dense.score(vectors[2], 4) == pytest.approx(float(vectors[2] @ vectors[4]), abs=1e-6)
    assert (dense.count, dense.dimension) == (5, 16)


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    vectors = unit_vectors(20)
    DenseIndex.build(vectors).save(tmp_path / "dense.faiss")
    assert DenseIndex.load(tmp_path / "dense.faiss").search(vectors[3], 5) == DenseIndex.build(vectors).search(vectors[3], 5)


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no index at all, but long enough to have a header" * 10)
    with pytest.raises(IndexCorrupt, match="not a FAISS index"):
        DenseIndex.load(tmp_path / "text")


def test_another_kind_of_index_is_refused(tmp_path: Path) -> None:
    faiss.write_index(faiss.IndexFlatL2(16), str(tmp_path / "l2"))
    faiss.write_index(faiss.IndexHNSWFlat(16, 4), str(tmp_path / "hnsw"))
    for name in ("l2", "hnsw"):
        with pytest.raises(IndexCorrupt, match="not a flat or IVF inner-product index"):
            DenseIndex.load(tmp_path / name)
