"""The chunks of an index, one JSON line each in a memory-mapped file; each is parsed only when asked for.

It does not search. Rows are numbered as in the dense and the BM25 index.

    store = ChunkStore.load(folder); store[3].text; store.find(chunk_id)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from rag.arrays import is_rising, map_array
from rag.documents import Chunk
from rag.errors import IndexCorrupt
from rag.typed_json import parse_as

CHUNKS = "chunks.jsonl"
OFFSETS = "chunk_offsets.npy"
IDS = "chunk_ids.npy"
CHUNK_FILES = frozenset({CHUNKS, OFFSETS, IDS})  # what `save_chunks` writes


def save_chunks(chunks: Iterable[Chunk], folder: Path) -> None:
    """Write the chunks' lines, where each line begins, and their ids as numbers (16 hex digits are 64 bits).

    Raises OSError.
    """
    offsets, ids = [0], []
    with (folder / CHUNKS).open("wb") as handle:
        for chunk in chunks:
            handle.write(json.dumps(asdict(chunk), ensure_ascii=False).encode() + b"\n")
            offsets.append(handle.tell())
            ids.append(int(chunk.chunk_id, 16))
    np.save(folder / OFFSETS, np.array(offsets, dtype=np.int64), allow_pickle=False)
    np.save(folder / IDS, np.array(ids, dtype=np.uint64), allow_pickle=False)


class ChunkStore(Sequence[Chunk]):
    """The chunks in the order of their rows.

    Safe to read from many threads; the files may be removed while it is open.
    """

    def __init__(
        self, text: NDArray[np.uint8], offsets: NDArray[np.int64], ids: NDArray[np.uint64], path: Path
    ) -> None:
        self._text = text
        self._offsets = offsets
        self._ids = ids
        self._path = path

    @classmethod
    def load(cls, folder: Path) -> ChunkStore:
        """Map what `save_chunks` wrote.

        Raises:
            IndexCorrupt: the files are not those that `save_chunks` writes.
            OSError: a file cannot be opened.
        """
        path = folder / CHUNKS
        try:
            text = np.memmap(path, dtype=np.uint8, mode="r")
            offsets = map_array(folder / OFFSETS, np.dtype(np.int64))
            ids = map_array(folder / IDS, np.dtype(np.uint64))
        except ValueError as error:
            problem = f"the files of the chunks in {folder} cannot be read ({error}), or do not fit together"
            raise IndexCorrupt(f"{problem}: build the index again") from error
        if not (len(offsets) == len(ids) + 1 and is_rising(offsets, len(text))):
            raise IndexCorrupt(f"the files of the chunks in {folder} do not fit together: build the index again")
        return cls(text, offsets, ids, path)

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, row: int) -> Chunk: ...
    @overload
    def __getitem__(self, row: slice) -> list[Chunk]: ...
    def __getitem__(self, row: int | slice) -> Chunk | list[Chunk]:
        """The chunk of a row, or those of several.

        Raises IndexCorrupt: a line is not a chunk.
        """
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        row = range(len(self))[row]  # raises IndexError, and counts negative rows from the end
        line = self._text[self._offsets[row] : self._offsets[row + 1]].tobytes()
        try:
            return parse_as(Chunk, line)
        except ValueError as error:
            raise IndexCorrupt(
                f"line {row + 1} of {self._path} is not a chunk ({error}): build the index again"
            ) from error

    def __iter__(self) -> Iterator[Chunk]:
        return (self[row] for row in range(len(self)))

    def bytes_of(self, start: int, stop: int) -> int:
        """Bytes of the lines of the rows from `start` up to, not including, `stop`."""
        return int(self._offsets[stop] - self._offsets[start])

    def ids_of(self, start: int, stop: int) -> list[str]:
        """The ids of the rows from `start` up to, not including, `stop`; no line is parsed."""
        return [f"{number:016x}" for number in self._ids[start:stop].tolist()]

    def find(self, chunk_id: str) -> int | None:
        """The row of the chunk with this id, or None. Compares all ids: 0.5 ms for a million."""
        try:
            rows = np.flatnonzero(self._ids == np.uint64(int(chunk_id, 16)))
        except (ValueError, OverflowError):  # not a hexadecimal number, or one of more than 64 bits
            return None
        return int(rows[0]) if len(rows) and self[int(rows[0])].chunk_id == chunk_id else None
