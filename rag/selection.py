"""A part of an index: which rows the named collections have, and BM25 over those rows alone. `DenseIndex.within` does the same for vectors.

It reads no files. A name without a version means all versions: `openroad` selects `openroad`, `openroad@2.0` and `openroad@3.0`.

    names = select_collections(["openroad"], index.collections); mask = mask_of(names, first_rows, count)
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from rag.bm25 import Bm25Index
from rag.errors import CollectionUnknown

Mask = NDArray[np.bool_]  # shape (rows,)
VERSION_MARK = "@"


def select_collections(wanted: Iterable[str], known: Iterable[str]) -> list[str]:
    """The known collections that the wanted names mean. Raises CollectionUnknown, which lists every unknown name and the known ones."""
    known = sorted(known)
    chosen: set[str] = set()
    unknown = []
    for name in dict.fromkeys(wanted):
        meant = [one for one in known if one == name or one.partition(VERSION_MARK)[0] == name]
        chosen.update(meant)
        if not meant:
            unknown.append(repr(name))
    if unknown:
        raise CollectionUnknown(f"the index holds no collection {', '.join(unknown)}; it holds {', '.join(known)}")
    return sorted(chosen)


def mask_of(rows: Mapping[str, tuple[int, int]], names: Iterable[str], count: int) -> Mask:
    """True for the rows of the named collections; `rows` maps each to its first row and the one after its last."""
    mask = np.zeros(count, dtype=np.bool_)
    for name in names:
        start, stop = rows[name]
        mask[start:stop] = True
    return mask


class SelectedBm25(Bm25Index):
    """A BM25 index in which no term stands in any row outside the mask. Weights stay those of the whole index, so scores compare."""

    def __init__(self, whole: Bm25Index, mask: Mask) -> None:
        self.__dict__.update(whole.__dict__)  # shares vocabulary and arrays, which are never changed
        self._mask = mask

    def scores(self, query: str) -> NDArray[np.float32]:
        """BM25 score of every row, shape (rows,); 0 outside the mask."""
        return np.where(self._mask, super().scores(query), np.float32(0))

    def _rows_of(self, term: str) -> NDArray[np.int32]:
        rows = super()._rows_of(term)
        return rows[self._mask[rows]]
