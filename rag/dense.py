"""The dense index: FAISS inner products over normalised vectors, which are cosines; exact, in FAISS's own file format.

It does not embed text. Approximate indexes are not needed below some hundred thousand chunks: an exact search over
10,000 vectors of 384 dimensions takes about a millisecond.

    dense = DenseIndex.build(vectors); rows, scores = dense.search(query_vector, k=50)
"""

from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from rag.errors import IndexCorrupt

Vectors = NDArray[np.float32]


class DenseIndex:
    """A flat inner-product index. Searching is read-only and may run in many threads at once."""

    def __init__(self, faiss_index: "faiss.IndexFlat") -> None:
        self._faiss_index = faiss_index

    @classmethod
    def build(cls, vectors: Vectors) -> "DenseIndex":
        """Index of `vectors`: shape (chunks, dimension), each of length 1."""
        faiss_index = faiss.IndexFlatIP(vectors.shape[1])
        faiss_index.add(np.ascontiguousarray(vectors, dtype=np.float32))
        return cls(faiss_index)

    @classmethod
    def load(cls, path: Path) -> "DenseIndex":
        """Read FAISS's file. Raises IndexCorrupt where it is none, or another kind of index."""
        try:
            faiss_index = faiss.read_index(str(path))
        except RuntimeError as error:
            raise IndexCorrupt(f"{path} is not a FAISS index that can be read ({str(error).splitlines()[0]}): build the index again") from error
        if not isinstance(faiss_index, faiss.IndexFlat) or faiss_index.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise IndexCorrupt(f"{path} holds a {type(faiss_index).__name__}, not a flat inner-product index: build the index again")
        return cls(faiss_index)

    def save(self, path: Path) -> None:
        """Write FAISS's own format. Raises OSError: FAISS's own writer can lose the error of a full disk when it closes the file."""
        with path.open("wb") as handle:
            handle.write(faiss.serialize_index(self._faiss_index).data)

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
        scores, rows = self._faiss_index.search(query.reshape(1, -1), min(k, self.count))
        return [int(row) for row in rows[0]], [float(score) for score in scores[0]]

    def vector(self, row: int) -> Vectors:
        """The vector of one row, shape (dimension,)."""
        return np.asarray(self._faiss_index.reconstruct(row), dtype=np.float32)

    def score(self, query: Vectors, row: int) -> float:
        """Cosine of `query` with one row, for rows that another ranking found."""
        return float(self.vector(row) @ query)
