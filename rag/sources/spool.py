"""Holds the files of archives on the disk, one after the other in one temporary file that has no name.

with Spool() as spool:
    start = spool.write(b"content")
    spool.read(start, size=7, at_most=4) == b"cont"
"""

from __future__ import annotations

import os
import tempfile
from types import TracebackType
from typing import IO


class Spool:
    """Makes its file at the first write, in the folder for temporary files (`TMPDIR`). Any thread may read."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._end = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()

    def write(self, content: bytes) -> int:
        """Add a content and return where it begins.

        Raises OSError: the disk is full.
        """
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # it is closed with the spool
        start = self._end
        while self._end < start + len(content):
            self._end += os.pwrite(self._file.fileno(), content[self._end - start :], self._end)
        return start

    def read(self, start: int, size: int, at_most: int) -> bytes:
        """So many bytes at most of the content of this size that begins there.

        Raises OSError.
        """
        if self._file is None:
            return b""
        return os.pread(self._file.fileno(), min(size, at_most), start)
