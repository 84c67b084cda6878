"""rag.index.dense: real FAISS against a plain matrix product, exact and by codes, whole and through a mask."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import IndexCorrupt
from rag.index.dense import (
    MIN_RESCORED,
    TARGET_RECALL,
    DenseIndex,
    codes_path,
    draw_questions,
    recall_of,
)
from rag.index.manifest import DenseKind
from tests.rows import for_each
from tests.unit_vectors import unit_vectors

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def coded() -> DenseIndex:
    """4000 vectors without any clusters, with codes: the hardest case for them."""
    return DenseIndex.build(unit_vectors(4000), flat_limit=1000)


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
    assert dense.scores(vectors[2], [2])[0] == pytest.approx(1)
    assert dense.scores(vectors[2], [4])[0] == pytest.approx(float(vectors[2] @ vectors[4]), abs=1e-6)
    assert np.array_equal(dense.vectors([3, 1, 1]), vectors[[3, 1, 1]])
    assert (dense.count, dense.dimension) == (5, 16)


def test_up_to_the_limit_it_is_exact_and_above_it_has_codes(coded: DenseIndex) -> None:
    assert DenseIndex.build(unit_vectors(1000), flat_limit=1000).kind == DenseKind("flat")
    assert coded.kind.kind == "pq"
    assert MIN_RESCORED <= coded.kind.rescored <= 4000


def test_codes_find_what_exact_search_finds(coded: DenseIndex) -> None:
    vectors = unit_vectors(4000)
    queries = unit_vectors(100, seed=8)
    exact = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    found = np.array([coded.search(query, 10)[0] for query in queries])
    assert coded.kind.recall_at_10 >= TARGET_RECALL
    assert recall_of(found, exact) >= 0.98
    rows, scores = coded.search(vectors[17], 3)
    assert rows[0] == 17
    assert scores == pytest.approx([float(vectors[row] @ vectors[17]) for row in rows], abs=1e-6)


def test_vectors_beside_codes_are_the_vectors_themselves(coded: DenseIndex) -> None:
    vectors = unit_vectors(4000)
    assert np.array_equal(coded.vectors(range(100, 140)), vectors[100:140])
    assert np.array_equal(coded.vectors([3999])[0], vectors[3999])


@given(st.lists(st.booleans(), min_size=30, max_size=30), st.integers(1, 40))
def test_through_a_mask_it_is_the_index_without_the_other_rows(allowed: list[bool], k: int) -> None:
    vectors, mask = unit_vectors(30), np.array(allowed)
    query = unit_vectors(1, seed=9)[0]
    rows, scores = DenseIndex.build(vectors).within(mask).search(query, k)
    ranked = [int(row) for row in np.argsort(-(vectors @ query)) if mask[row]][:k]
    assert rows == ranked
    assert scores == pytest.approx([float(vectors[row] @ query) for row in ranked], abs=1e-6)


@pytest.mark.parametrize("step", [2, 50, 4000])
def test_a_selection_beside_codes_is_searched_exactly(coded: DenseIndex, step: int) -> None:
    vectors, mask = unit_vectors(4000), np.arange(4000) % step == 0
    queries = unit_vectors(50, seed=8)
    products = np.where(mask, queries @ vectors.T, -2)
    k = min(10, int(mask.sum()))
    exact = np.argsort(-products, axis=1)[:, :k]
    selected = coded.within(mask)
    assert recall_of(np.array([selected.search(query, k)[0] for query in queries]), exact) == 1


def test_a_selection_of_nearly_all_rows_is_searched_by_the_codes(coded: DenseIndex) -> None:
    vectors, mask = unit_vectors(4000), np.arange(4000) % 10 != 0
    queries = draw_questions(vectors)
    exact = np.argsort(-np.where(mask, queries @ vectors.T, -2), axis=1)[:, :10]
    selected = coded.within(mask)
    found = [selected.search(query, 10) for query in queries]
    assert all(mask[row] for rows, _ in found for row in rows)
    assert {len(rows) for rows, _ in found} == {10}
    assert recall_of(np.array([rows for rows, _ in found]), exact) >= 0.98


def test_nothing_is_found_in_an_empty_selection(coded: DenseIndex) -> None:
    assert coded.within(np.zeros(4000, dtype=np.bool_)).search(unit_vectors(1)[0], 5) == ([], [])


@pytest.mark.parametrize("limit", [10, 1000])
def test_saved_and_loaded_it_is_the_same(tmp_path: Path, limit: int) -> None:
    vectors = unit_vectors(200)
    built = DenseIndex.build(vectors, flat_limit=limit)
    built.save(tmp_path / "dense.faiss")
    loaded = DenseIndex.load(tmp_path / "dense.faiss", built.kind)
    assert loaded.search(vectors[3], 5) == built.search(vectors[3], 5)
    assert loaded.kind == built.kind
    (tmp_path / "dense.faiss").unlink()
    assert np.array_equal(loaded.vectors(range(200)), vectors)  # an open index needs its file's name no more


def test_the_same_vectors_make_the_same_index() -> None:
    first, second = (DenseIndex.build(unit_vectors(500), flat_limit=100) for _ in range(2))
    query = unit_vectors(1, seed=9)[0]
    assert (first.kind, first.search(query, 9)) == (second.kind, second.search(query, 9))


MEMORY = """
    import sys
    from pathlib import Path
    import numpy as np
    from rag.index.dense import DenseIndex
    from rag.measuring.growth_bench import memory_mb

    before = memory_mb()
    dense = DenseIndex.load(Path(sys.argv[1]))
    dense.search(np.ones(256, dtype=np.float32), 5)
    after = memory_mb()
    print(after["own"] - before["own"], after["shared"] - before["shared"])
"""


def test_the_vectors_of_an_open_index_are_shared_memory(tmp_path: Path) -> None:
    path = tmp_path / "dense.faiss"
    DenseIndex.build(unit_vectors(20_000, 256)).save(path)  # 20 MB
    code = "\n".join(line.removeprefix("    ") for line in MEMORY.splitlines())
    shown = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ},
    ).stdout
    own, shared = map(float, shown.split())
    assert shared > 18
    assert own < 5


def test_searching_leaves_the_number_of_threads_as_it_was(coded: DenseIndex) -> None:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    try:
        coded.search(unit_vectors(1)[0], 5)
        assert faiss.omp_get_max_threads() == 3
    finally:
        faiss.omp_set_num_threads(before)


def test_a_full_disk_is_an_os_error(tmp_path: Path) -> None:
    dense = DenseIndex.build(unit_vectors(2000))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            dense.save(tmp_path / "dense.faiss")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no index at all, but long enough to have a header" * 10)
    with pytest.raises(IndexCorrupt, match="not a FAISS index"):
        DenseIndex.load(tmp_path / "text")


@for_each("limit", [10, 1000])
@for_each("kept", [0.1, 0.9, 0.99])
def test_a_cut_file_is_refused(tmp_path: Path, limit: int, kept: float) -> None:
    path = tmp_path / "dense.faiss"
    built = DenseIndex.build(unit_vectors(200), flat_limit=limit)
    built.save(path)
    last = max(tmp_path.iterdir(), key=lambda file: len(file.name))  # the codes, where there are any
    last.write_bytes(last.read_bytes()[: int(last.stat().st_size * kept)])
    with pytest.raises(IndexCorrupt, match="not a FAISS index"):
        DenseIndex.load(path, built.kind)


def test_codes_of_another_index_are_refused(tmp_path: Path) -> None:
    for count in (200, 210):
        DenseIndex.build(unit_vectors(count), flat_limit=10).save(tmp_path / f"{count}.faiss")
    codes_path(tmp_path / "210.faiss").replace(codes_path(tmp_path / "200.faiss"))
    with pytest.raises(IndexCorrupt, match=r"does not hold the codes of 200\.faiss"):
        DenseIndex.load(tmp_path / "200.faiss", DenseKind("pq", 256))


def test_another_kind_of_index_is_refused(tmp_path: Path) -> None:
    faiss.write_index(faiss.IndexFlatL2(16), str(tmp_path / "l2"))
    faiss.write_index(faiss.IndexHNSWFlat(16, 4), str(tmp_path / "hnsw"))
    for name in ("l2", "hnsw"):
        with pytest.raises(IndexCorrupt, match="not a flat inner-product index"):
            DenseIndex.load(tmp_path / name)


def test_recall_is_the_mean_share_of_exact_answers() -> None:
    exact = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert recall_of(np.array([[4, 3, 2, 1], [5, 9, 10, -1]]), exact) == pytest.approx(0.625)


def test_a_file_that_is_gone_is_distinguished_from_a_damaged_one(tmp_path: Path) -> None:
    """A build that ends while a reader opens removes the old files: the reader must know that it has to look again."""
    with pytest.raises(FileNotFoundError):
        DenseIndex.load(tmp_path / "dense.faiss")
    (tmp_path / "dense.faiss").write_bytes(b"no index")
    with pytest.raises(IndexCorrupt, match="not a FAISS index"):
        DenseIndex.load(tmp_path / "dense.faiss")
