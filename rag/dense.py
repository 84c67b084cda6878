"""The dense index: FAISS inner products over normalised vectors, which are cosines, in FAISS's own file format, memory-mapped.

Up to `FLAT_LIMIT` vectors it is exact. Above, vectors lie in inverted lists around k-means centroids (IVF) and a search reads the
lists nearest to the query: as many as it takes to find `TARGET_RECALL` of the exact answers, which is measured when it is built.
It does not embed text.

    dense = DenseIndex.build(vectors); rows, scores = dense.search(query_vector, k=50)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from rag.errors import IndexCorrupt

_faiss: Any = faiss  # its type stubs do not know the callback writer and the fields of search parameters
Vectors = NDArray[np.float32]
Mask = NDArray[np.bool_]

# One thread reads 50,000 vectors of 384 dimensions in 2.3 ms (rag.growth_bench); up to here exactness costs nothing that shows in an answer.
FLAT_LIMIT = 50_000
TARGET_RECALL = 0.99  # of the ten best; a hundredth above the 0.98 that is promised, for questions unlike the sample
LISTS_PER_ROOT = 4  # lists = 4 sqrt(n), FAISS's own guideline for 1 M vectors and less
POINTS_PER_LIST = 64  # vectors that train one centroid; FAISS warns below 39
_SAMPLE = 256  # queries that recall is measured with
_NOISE = 0.75  # length of what is added to a vector to make such a query: its cosine to the vector is 0.8, as a good question's is
# A second thread makes one question's search slower where another process keeps the cores busy: 24 ms instead of 2.3 ms over 50,000 vectors.
_QUERY_THREADS = 1


@dataclass(frozen=True, slots=True)
class DenseKind:
    """What kind of index it is, for the manifest. `recall_at_10` was measured against exact search when it was built."""

    kind: str  # "flat" (exact) or "ivf"
    lists: int = 0
    probes: int = 0
    recall_at_10: float = 1.0


class DenseIndex:
    """A flat or an IVF inner-product index, perhaps seen through a mask of rows. Searching is read-only and may run in many threads."""

    def __init__(self, faiss_index: Any, recall_at_10: float = 1.0, mask: Mask | None = None) -> None:
        self._faiss_index = faiss_index
        self._recall_at_10 = recall_at_10
        self._allowed = faiss_index.ntotal if mask is None else int(mask.sum())
        self._bits = None if mask is None else np.packbits(mask, bitorder="little")  # FAISS only points to them
        self._selector = None if self._bits is None else faiss.IDSelectorBitmap(len(self._bits), faiss.swig_ptr(self._bits))

    @classmethod
    def build(cls, vectors: Vectors, flat_limit: int = FLAT_LIMIT) -> "DenseIndex":
        """Index of `vectors`, shape (chunks, dimension), each of length 1; its kind follows from their number."""
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if len(vectors) > flat_limit:
            lists = _build_lists(vectors)
            return cls(lists, _choose_probes(lists, vectors))
        flat = faiss.IndexFlatIP(vectors.shape[1])
        flat.add(vectors)
        return cls(flat)

    @classmethod
    def load(cls, path: Path, recall_at_10: float = 1.0) -> "DenseIndex":
        """Map FAISS's file into memory; processes that map the same file share it. The recall is the manifest's, FAISS does not keep it.

        Raises IndexCorrupt where the file is none of FAISS's, or holds another kind of index.
        """
        try:
            faiss_index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise IndexCorrupt(f"{path} is not a FAISS index that can be read ({str(error).splitlines()[0]}): build the index again") from error
        if not isinstance(faiss_index, faiss.IndexFlat | faiss.IndexIVFFlat) or faiss_index.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise IndexCorrupt(f"{path} holds a {type(faiss_index).__name__}, not a flat or IVF inner-product index: build the index again")
        return cls(faiss_index, recall_at_10)

    def save(self, path: Path) -> None:
        """Write FAISS's own format. Raises OSError: FAISS's own file writer can lose the error of a full disk when it closes the file."""
        with path.open("wb") as handle:
            faiss.write_index(self._faiss_index, _faiss.PyCallbackIOWriter(handle.write))

    def within(self, mask: Mask) -> "DenseIndex":
        """The same index with only the rows that the mask, shape (rows,), allows; rows keep their numbers."""
        return DenseIndex(self._faiss_index, self._recall_at_10, mask)

    @property
    def kind(self) -> DenseKind:
        """What kind of index it is."""
        if isinstance(self._faiss_index, faiss.IndexFlat):
            return DenseKind("flat")
        return DenseKind("ivf", int(self._faiss_index.nlist), int(self._faiss_index.nprobe), self._recall_at_10)

    @property
    def count(self) -> int:
        """Number of vectors."""
        return int(self._faiss_index.ntotal)

    @property
    def dimension(self) -> int:
        """Length of each vector."""
        return int(self._faiss_index.d)

    def search(self, query: Vectors, k: int) -> tuple[list[int], list[float]]:
        """The `k` nearest rows, best first, and their cosines; `query` has shape (dimension,). Fewer where there are fewer."""
        with _threads(_QUERY_THREADS):
            scores, rows = self._faiss_index.search(query.reshape(1, -1), min(k, self.count), params=self._parameters())
        found = (rows[0] >= 0) & (rows[0] < self.count)  # FAISS fills up with -1
        return [int(row) for row in rows[0][found]], [float(score) for score in scores[0][found]]

    def _parameters(self) -> Any:
        """Of a selection of one row in ten, ten times the lists are read: what is asked for may lie in any of them."""
        if self._selector is None:
            return None
        if isinstance(self._faiss_index, faiss.IndexFlat):
            return _faiss.SearchParameters(sel=self._selector)
        probes = self._faiss_index.nprobe * -(-self.count // max(self._allowed, 1))
        return _faiss.SearchParametersIVF(sel=self._selector, nprobe=min(probes, self._faiss_index.nlist))

    def vector(self, row: int) -> Vectors:
        """The vector of one row, shape (dimension,)."""
        return np.asarray(self._faiss_index.reconstruct(row), dtype=np.float32)

    def vectors(self, start: int, stop: int) -> Vectors:
        """The vectors of the rows from `start` up to, not including, `stop`, shape (rows, dimension)."""
        return np.asarray(self._faiss_index.reconstruct_n(start, stop - start), dtype=np.float32)

    def score(self, query: Vectors, row: int) -> float:
        """Cosine of `query` with one row, for rows that another ranking found."""
        return float(self.vector(row) @ query)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many threads for FAISS calls of the calling thread, then again as many as before."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _build_lists(vectors: Vectors) -> "faiss.IndexIVFFlat":
    """An IVF index with the vectors themselves in its lists, so that scores are exact, and a map from rows to their places."""
    count, dimension = vectors.shape
    lists = 1 << round(np.log2(LISTS_PER_ROOT * np.sqrt(count)))
    faiss_index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dimension), dimension, lists, faiss.METRIC_INNER_PRODUCT)
    faiss_index.cp.spherical = True  # centroids of length 1, as the vectors have: else inner products favour the long ones
    sample = np.random.default_rng(0).choice(count, min(count, lists * POINTS_PER_LIST), replace=False)
    faiss_index.train(vectors[np.sort(sample)])
    faiss_index.add(vectors)
    faiss_index.make_direct_map(True)
    return faiss_index


def _choose_probes(faiss_index: "faiss.IndexIVFFlat", vectors: Vectors) -> float:
    """Set how many lists a search reads, the least power of two that reaches the target; returns the recall@10 it has."""
    random = np.random.default_rng(1)
    queries = vectors[random.choice(len(vectors), min(_SAMPLE, len(vectors)), replace=False)]
    noise = random.normal(size=queries.shape).astype(np.float32)
    queries = queries + _NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    queries = (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)
    exact = faiss.knn(queries, vectors, 10, metric=faiss.METRIC_INNER_PRODUCT)[1]
    faiss_index.nprobe, recall = 1, 0.0
    while True:
        recall = recall_of(faiss_index.search(queries, 10)[1], exact)
        if recall >= TARGET_RECALL or faiss_index.nprobe >= faiss_index.nlist:
            return recall
        faiss_index.nprobe = min(2 * faiss_index.nprobe, faiss_index.nlist)


def recall_of(found: NDArray[np.int64], exact: NDArray[np.int64]) -> float:
    """The share of the exact answers that were found, mean over queries; both have shape (queries, k)."""
    shares = [len(np.intersect1d(one, other)) / len(other) for one, other in zip(found, exact, strict=True)]
    return float(np.mean(shares))
