"""The dense index: FAISS inner products over normalised vectors, which are cosines, memory-mapped.

Its files have FAISS's own format. Up to `FLAT_LIMIT` vectors every search compares all of them. Above, it scans codes
of a quarter of a byte per number (product quantisation), and compares only the best of those by their vectors: as many
as it takes to find `TARGET_RECALL` of the exact answers, measured when the index is built. It does not embed text.

    dense = DenseIndex.build(vectors); rows, scores = dense.search(query_vector, k=50)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from rag.errors import IndexCorrupt
from rag.index.manifest import DenseKind

_faiss: Any = faiss  # its type stubs do not know the callback writer, the fields of search parameters and the fast scan
Vectors = NDArray[np.float32]
Mask = NDArray[np.bool_]

DENSE = "dense.faiss"  # in a generation's folder

# One thread compares 50,000 vectors of 384 dimensions in 2.3 ms (rag.measuring.growth_bench); up to here exactness
# costs nothing that shows in an answer.
FLAT_LIMIT = 50_000
TARGET_RECALL = 0.995  # of the ten best, on a sample of sums of three passages; 0.98 is promised
MIN_RESCORED = 256
RESCORED_PER_HIT = (
    20  # at least: 50 hits from 1,024 of 100,000 vectors (rag.measuring.growth_bench's) have a recall of 0.98
)
# A mask that allows this share of the rows is applied to what the codes find
NEARLY_ALL = 0.75
_TRAINING = 20_000  # vectors that the codes are learnt from; FAISS itself uses no more than 4096
_BLOCK = 32  # rows that a scan of the codes takes at a time: FAISS's default
_SAMPLE = 256  # queries that recall is measured with
_SUMMED = 3  # passages in the sum that makes such a query: it lies between passages, as questions do
# A second thread makes a search slower where another process keeps the cores busy, since the two wait for each other at
# every step: 24 ms instead of 2.3 ms over 50,000 vectors; learning the codes takes 114 s instead of 1.0 s.
_THREADS = 1


class DenseSearch(Protocol):
    """What an index needs of its vectors, wherever they lie: here in FAISS files, in rag.index.milvus in Milvus."""

    @property
    def kind(self) -> DenseKind:
        """How it searches."""

    @property
    def place(self) -> str:
        """The address of the Milvus that holds the vectors; empty where they are files of the index."""

    @property
    def count(self) -> int:
        """Number of vectors."""

    @property
    def dimension(self) -> int:
        """Length of each vector."""

    def within(self, mask: Mask, collections: Sequence[str]) -> DenseSearch:
        """The same with only the rows that the mask, shape (rows,), allows: those of the named collections."""

    def search(self, query: Vectors, k: int) -> tuple[list[int], list[float]]:
        """The `k` nearest rows, best first, and their cosines."""

    def scores(self, query: Vectors, rows: Sequence[int]) -> list[float]:
        """Cosines of `query` with rows that another ranking found."""

    def vectors(self, rows: Sequence[int]) -> Vectors:
        """The vectors of these rows, shape (rows, dimension), in their order."""


class DenseIndex:
    """A flat inner-product index with or without codes, perhaps seen through a mask of rows.

    Searching may run in many threads at once.
    """

    def __init__(
        self, flat: faiss.IndexFlat, codes: Any = None, kind: DenseKind | None = None, mask: Mask | None = None
    ) -> None:
        self._flat = flat
        self._codes = codes
        self.kind = kind or DenseKind()
        self._vectors: Vectors = _faiss.rev_swig_ptr(
            _faiss.downcast_index(flat).get_xb(), flat.ntotal * flat.d
        ).reshape(flat.ntotal, flat.d)
        self._mask = mask
        self._bits = None if mask is None else np.packbits(mask, bitorder="little")  # FAISS only points to them
        self._selector = (
            None if self._bits is None else faiss.IDSelectorBitmap(len(self._bits), faiss.swig_ptr(self._bits))
        )

    @classmethod
    def build(cls, vectors: Vectors, flat_limit: int = FLAT_LIMIT) -> DenseIndex:
        """Index of `vectors`, shape (chunks, dimension), each of length 1; its kind follows from their number."""
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        flat = faiss.IndexFlatIP(vectors.shape[1])
        flat.add(vectors)
        if len(vectors) <= flat_limit:
            return cls(flat)
        with _threads(_THREADS):
            codes = _learn_codes(vectors)
        return cls(flat, codes, _choose_rescored(flat, codes, vectors))

    @classmethod
    def load(cls, path: Path, kind: DenseKind | None = None) -> DenseIndex:
        """Map FAISS's file into memory; processes that map the same file share it.

        The codes, a sixteenth of it, are read into each process.

        Raises:
            IndexCorrupt: a file is not one that `save` wrote.
            OSError: a file is missing or cannot be read.
        """
        _refuse_foreign_flat(path)
        flat = _read(path)
        if kind is None or kind.kind == "flat":
            return cls(flat)
        _refuse_foreign_codes(path, flat.d, flat.ntotal)
        return cls(flat, _read(codes_path(path)), kind)

    def save(self, path: Path) -> None:
        """Write FAISS's own format, codes to a file beside it.

        Raises OSError: a file cannot be written; FAISS's own writer can lose the error of a full disk.
        """
        for faiss_index, target in ((self._flat, path), (self._codes, codes_path(path))):
            if faiss_index is not None:
                with target.open("wb") as handle:
                    faiss.write_index(faiss_index, _faiss.PyCallbackIOWriter(handle.write))

    def within(self, mask: Mask, collections: Sequence[str] = ()) -> DenseIndex:
        """The same index with only the rows that the mask, shape (rows,), allows; rows keep their numbers.

        It compares each of them, but keeps to the codes where nearly all rows are allowed. The collections' names are
        for Milvus.
        """
        codes = self._codes if mask.mean() >= NEARLY_ALL else None
        return DenseIndex(self._flat, codes, self.kind, mask)

    @property
    def place(self) -> str:
        """Empty: the vectors are files of the index."""
        return ""

    @property
    def count(self) -> int:
        """Number of vectors."""
        return int(self._flat.ntotal)

    @property
    def dimension(self) -> int:
        """Length of each vector."""
        return int(self._flat.d)

    def search(self, query: Vectors, k: int) -> tuple[list[int], list[float]]:
        """The `k` nearest rows, best first, and their cosines; `query` has shape (dimension,).

        Fewer where there are fewer.
        """
        with _threads(_THREADS):
            if self._codes is not None:
                rows, scores = _search_codes(self._codes, self._vectors, query, k, self.kind.rescored, self._mask)
            else:
                parameters = _faiss.SearchParameters(sel=self._selector) if self._selector else None
                (scores,), (rows,) = self._flat.search(query.reshape(1, -1), min(k, self.count), params=parameters)
        found = rows >= 0  # FAISS fills up with -1
        return [int(row) for row in rows[found]], [float(score) for score in scores[found]]

    def vectors(self, rows: Sequence[int]) -> Vectors:
        """The vectors of these rows, shape (rows, dimension), in their order."""
        return np.array(self._vectors[np.asarray(rows, dtype=np.int64)])

    def scores(self, query: Vectors, rows: Sequence[int]) -> list[float]:
        """Cosines of `query` with rows that another ranking found."""
        return [float(score) for score in self.vectors(rows) @ query]


@dataclass(frozen=True, slots=True)
class FaissFiles:
    """Keeps the vectors of each generation as FAISS files in its folder."""

    @property
    def place(self) -> str:
        """Empty: the vectors are files of the index."""
        return ""

    def check(self) -> None:
        """Files need no server."""

    def write(self, folder: Path, vectors: Vectors, collections: Sequence[str]) -> DenseKind:
        """Index the vectors, shape (rows, dimension), into `folder`; rows are filtered by a mask, not by collection.

        Raises OSError.
        """
        dense = DenseIndex.build(vectors)
        dense.save(folder / DENSE)
        return dense.kind

    def holds(self, folder: Path) -> bool:
        """Whether the folder has the file of the vectors."""
        return (folder / DENSE).exists()

    def open(self, folder: Path, kind: DenseKind) -> DenseIndex:
        """Map the files.

        Raises IndexCorrupt, OSError.
        """
        return DenseIndex.load(folder / DENSE, kind)

    def drop(self, folder: Path) -> None:
        """Nothing: the files are removed with the folder."""


def codes_path(path: Path) -> Path:
    """The file of the codes of an index file: dense.codes.faiss of dense.faiss."""
    return path.with_suffix(".codes.faiss")


# FAISS trusts its files, of any of its many kinds. So we hand it a file only if header and length are those that we
# write.
# Kind, dimension d, vectors n, two numbers that mean nothing, whether it is trained, metric
_HEADER = struct.Struct("<4siqqqBi")
_LENGTH = struct.Struct("<Q")  # of the numbers that follow
_QUANTIZER = struct.Struct("<QQQQ")  # d, parts of a vector, bits of a part, numbers in the centroids that follow
# Implementation, rows in a block and in a query's (0: FAISS's choice); n and parts, rounded up; bytes of codes
_SCAN = struct.Struct("<iiiQQQ")


def _refuse_foreign_flat(path: Path) -> None:
    """Raise IndexCorrupt where the file is not that of a flat inner-product index."""
    with path.open("rb") as handle:
        head = handle.read(_HEADER.size + _LENGTH.size)
    if len(head) == _HEADER.size + _LENGTH.size:
        kind, d, n, *_, metric = _HEADER.unpack_from(head)
        [numbers] = _LENGTH.unpack_from(head, _HEADER.size)
        if (
            (kind, metric, numbers) == (b"IxFI", faiss.METRIC_INNER_PRODUCT, d * n)
            and d > 0
            and path.stat().st_size == len(head) + 4 * d * n
        ):
            return
    raise IndexCorrupt(
        f"{path} is not a FAISS index that can be read, or not a flat inner-product index: build the index again"
    )


def _refuse_foreign_codes(vectors: Path, dimension: int, count: int) -> None:
    """Raise IndexCorrupt where the file beside the vectors does not hold their codes, as `_learn_codes` makes them."""
    path = codes_path(vectors)
    parts = _parts_of(dimension)
    centroids = 16 * dimension  # four bits a part
    rows, even_parts = -(-count // _BLOCK) * _BLOCK, parts + parts % 2

    expected = [
        (b"IPfs", dimension, count, faiss.METRIC_INNER_PRODUCT),
        (dimension, parts, 4, centroids),
        (0, _BLOCK, 0, rows, even_parts, rows * even_parts // 2),
    ]

    after = _HEADER.size + _QUANTIZER.size + 4 * centroids
    if path.stat().st_size == after + _SCAN.size + rows * even_parts // 2:
        with path.open("rb") as handle:
            head = handle.read(after + _SCAN.size)
        kind, d, n, *_, metric = _HEADER.unpack_from(head)
        if [
            (kind, d, n, metric),
            _QUANTIZER.unpack_from(head, _HEADER.size),
            _SCAN.unpack_from(head, after),
        ] == expected:
            return

    raise IndexCorrupt(
        f"{path} is not a FAISS index that can be read, or does not hold the codes of {vectors.name}: build the index "
        "again"
    )


def _read(path: Path) -> Any:
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        # A build has replaced the generation and its file is gone: stat raises the error on which the caller takes the
        # new one
        path.stat()
        raise IndexCorrupt(
            f"{path} is not a FAISS index that can be read ({str(error).splitlines()[0]}): build the index again"
        ) from error


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Set the number of threads for FAISS calls of the calling thread, and restore it afterwards."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _learn_codes(vectors: Vectors) -> Any:
    """Four bits for each two numbers of a vector, scanned with SIMD look-ups.

    Andre et al., "Cache locality is not enough", 2015.
    """
    count, dimension = vectors.shape
    codes = _faiss.IndexPQFastScan(dimension, _parts_of(dimension), 4, faiss.METRIC_INNER_PRODUCT, _BLOCK)
    sample = np.random.default_rng(0).choice(count, min(count, _TRAINING), replace=False)
    codes.train(vectors[np.sort(sample)])
    codes.add(vectors)
    return codes


def _parts_of(dimension: int) -> int:
    """Parts of a vector that get a code each: of two numbers, or of one where they do not go into pairs."""
    return dimension // 2 if dimension % 2 == 0 else dimension


def _search_codes(
    codes: Any, vectors: Vectors, query: Vectors, k: int, rescored: int, mask: Mask | None = None
) -> tuple[NDArray[np.int64], Vectors]:
    """The `k` best rows that the mask allows, and their exact scores, among those that the codes rank first."""
    wanted = max(rescored, RESCORED_PER_HIT * k)
    if mask is not None:
        wanted = int(wanted / NEARLY_ALL)  # as many then remain
    candidates = codes.search(query.reshape(1, -1), min(wanted, len(vectors)))[1][0]
    rows = np.sort(candidates[(candidates >= 0) & (candidates < len(vectors))])
    rows = rows if mask is None else rows[mask[rows]]
    scores = vectors[rows] @ query
    best = np.argsort(-scores, kind="stable")[:k]
    return rows[best], scores[best]


def _choose_rescored(flat: faiss.IndexFlat, codes: Any, vectors: Vectors) -> DenseKind:
    """How many vectors a search compares after the codes: the least power of two that is enough on a sample."""
    queries = draw_questions(vectors)
    exact = flat.search(queries, 10)[1]
    rescored, recall = MIN_RESCORED // 2, 0.0
    while recall < TARGET_RECALL and rescored < len(vectors):
        rescored *= 2
        with _threads(_THREADS):
            found = [_search_codes(codes, vectors, query, 10, rescored)[0] for query in queries]
        recall = recall_of(np.array(found), exact)
    return DenseKind("pq", rescored, round(recall, 4))


def draw_questions(vectors: Vectors) -> Vectors:
    """Vectors that lie as questions do, to measure recall with: sums of passages, of length 1.

    The same passages always give the same ones.
    """
    random = np.random.default_rng(1)
    questions = np.sum([vectors[random.integers(0, len(vectors), _SAMPLE)] for _ in range(_SUMMED)], axis=0)
    return np.asarray(questions / np.linalg.norm(questions, axis=1, keepdims=True), dtype=np.float32)


def recall_of(found: NDArray[np.int64], exact: NDArray[np.int64]) -> float:
    """The share of the exact answers that were found, mean over queries; both have shape (queries, k)."""
    shares = [len(np.intersect1d(one, other)) / len(other) for one, other in zip(found, exact, strict=True)]
    return float(np.mean(shares))
