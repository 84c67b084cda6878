"""The reference of an index as a file beside its passages: plain JSON, read at the first request.

An index from before the reference has no such file, or one of another version: then the reference is read from the
passages, once. No value in the file is trusted: each must have the type that its card says, or the index counts as
damaged.

    save_reference(reference, folder); StoredReference.load(folder, has_file=True, passages=chunks).get(["openroad"])
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag.documents import Chunk
from rag.errors import IndexCorrupt
from rag.reference.cards import Command, Message, Reference, Variable
from rag.typed_json import convert, parse_json

REFERENCE = "reference.json"
VERSION = 3  # of the extraction and the file's form; a file of another version is not used
PARTS_KEPT = 8  # choices of collections whose references are kept


@dataclass(frozen=True, slots=True)
class _File:
    """What the file holds."""

    version: int
    commands: tuple[Command, ...]
    variables: tuple[Variable, ...]
    messages: tuple[Message, ...]


def save_reference(reference: Reference, folder: Path) -> None:
    """Write the file.

    Raises OSError: it cannot be written.
    """
    content = _File(VERSION, reference.commands, reference.variables, reference.messages)
    (folder / REFERENCE).write_text(json.dumps(asdict(content), ensure_ascii=False), encoding="utf-8")


class StoredReference:
    """The reference of an open index, read or not yet read.

    Safe to use from many threads; the file may be removed meanwhile.
    """

    def __init__(self, content: NDArray[np.uint8] | None, passages: Sequence[Chunk], path: Path) -> None:
        self._content = content
        self._passages = passages
        self._path = path
        self._whole: Reference | None = None
        self._parts: dict[frozenset[str], Reference] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(cls, folder: Path, passages: Sequence[Chunk], *, has_file: bool) -> StoredReference:
        """Map what `save_reference` wrote, if there is such a file.

        Raises:
            IndexCorrupt: the file is damaged.
            OSError: the file cannot be read.
        """
        path = folder / REFERENCE
        try:
            return cls(np.memmap(path, dtype=np.uint8, mode="r") if has_file else None, passages, path)
        except ValueError as error:  # it is empty
            raise IndexCorrupt(f"{path} is not a reference ({error}): build the index again") from error

    def get(self, collections: Iterable[str]) -> Reference:
        """The reference of these collections.

        Raises IndexCorrupt: the file holds something else.
        """
        wanted = frozenset(collections)
        with self._lock:
            if self._whole is None:
                self._whole = self._read()
            if wanted not in self._parts:
                if len(self._parts) >= PARTS_KEPT:
                    self._parts.pop(next(iter(self._parts)))
                self._parts[wanted] = self._whole.within(wanted)
            return self._parts[wanted]

    def _read(self) -> Reference:
        content = self._parse()
        if content is None:
            from rag.reference.extraction import read_reference  # an index of today needs it only when it is built

            return read_reference(self._passages)
        return Reference(content.commands, content.variables, content.messages)

    def _parse(self) -> _File | None:
        """What the file holds; None if there is no file, or one of another version.

        Raises IndexCorrupt: it holds something else.
        """
        if self._content is None:
            return None
        try:
            data = parse_json(self._content.tobytes())
            return None if isinstance(data, dict) and data.get("version") != VERSION else convert(_File, data)
        except ValueError as error:
            raise IndexCorrupt(f"{self._path} is not a reference ({error}): build the index again") from error
