"""The list of an index's documents: one line each, in the order of their rows, parsed at first use.

The list stays readable while it is open, also where its file has been removed since. It reads no chunk.

    StoredDocuments.load(folder).get()[0].name
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag.errors import IndexCorrupt
from rag.typed_json import parse_as

DOCUMENTS = "documents.jsonl"


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """What an index keeps of a document besides its chunks.

    `chunks` is their number, `characters` the length of the document's text.
    """

    collection: str
    path: str
    hash: str
    chunks: int
    characters: int
    licence: str
    version: str
    date: str

    @property
    def name(self) -> str:
        """Collection and path, as `Document.name`."""
        return f"{self.collection}/{self.path}"


def save_documents(records: Iterable[DocumentRecord], folder: Path) -> None:
    """Write the list. Raises OSError."""
    with (folder / DOCUMENTS).open("w", encoding="utf-8") as handle:
        handle.writelines(json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in records)


def read_documents(folder: Path) -> list[DocumentRecord]:
    """The records of a generation's documents, in the order of their rows.

    Raises IndexCorrupt, OSError.
    """
    return _parse((folder / DOCUMENTS).read_bytes(), folder / DOCUMENTS)


class StoredDocuments:
    """The list of an open index, read or not yet read. Safe to use from many threads."""

    def __init__(self, content: NDArray[np.uint8], path: Path) -> None:
        self._content = content
        self._path = path
        self._records: Sequence[DocumentRecord] | None = None
        self._lock = threading.Lock()

    @classmethod
    def load(cls, folder: Path) -> StoredDocuments:
        """Map what `save_documents` wrote.

        Raises:
            IndexCorrupt: the file is empty.
            OSError: the file cannot be read.
        """
        path = folder / DOCUMENTS
        try:
            return cls(np.memmap(path, dtype=np.uint8, mode="r"), path)
        except ValueError as error:
            raise IndexCorrupt(f"{path} is not a list of documents ({error}): build the index again") from error

    def get(self) -> Sequence[DocumentRecord]:
        """The documents in the order of their rows. Raises IndexCorrupt."""
        with self._lock:
            if self._records is None:
                self._records = _parse(self._content.tobytes(), self._path)
            return self._records


def _parse(content: bytes, path: Path) -> list[DocumentRecord]:
    try:
        return [parse_as(DocumentRecord, line) for line in content.splitlines()]
    except ValueError as error:
        raise IndexCorrupt(f"{path} holds a line that is not a document ({error}): build the index again") from error
