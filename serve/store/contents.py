"""The contents of uploaded files: HOME/files/FILE_ID/NAME, whole or not there at all.

A file is written beside its place and moved there once its row is in the store; so whatever is killed when, a sweep
knows what to do with what it left. It reads no row.

    incoming = contents.begin("file-1", "manual.pdf"); incoming.write(b"..."); incoming.seal(); incoming.place()
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rag.home import make_home
from rag.index.manifest import flush
from serve.errors import StoreFull, StoreUnavailable

FOLDER = "files"
ARRIVING, LEAVING = ".part", ".gone"  # the endings of folders whose file has no row yet, and no longer
MOST_NAME_BYTES = 200  # most file systems allow 255
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class Incoming:
    """A file that arrives: written, sealed, and, once its row is in the store, put in its place; or aborted."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._work = folder.with_name(f"{folder.name}{ARRIVING}")
        self.bytes = 0
        with _explained():
            make_home(folder.parent.parent)
            folder.parent.mkdir(mode=0o700, exist_ok=True)
            self._work.mkdir()
            self._path = self._work / name
            self._handle = self._path.open("xb")

    def write(self, data: bytes) -> None:
        """Write the next bytes. Raises StoreFull, StoreUnavailable."""
        with _explained():
            self._handle.write(data)
        self.bytes += len(data)

    def seal(self) -> None:
        """Bring the whole file to the disk. Raises StoreFull, StoreUnavailable."""
        with _explained():
            self._handle.close()
            for path in (self._path, self._work, self._folder.parent):
                flush(path)

    def place(self) -> None:
        """Put the file in its place; if that never happens, the next sweep does it. Raises StoreUnavailable."""
        with _explained():
            self._work.rename(self._folder)
            flush(self._folder.parent)

    def abort(self) -> None:
        """Leave nothing of the file."""
        with suppress(OSError):  # the rest of a full disk's file
            self._handle.close()
        shutil.rmtree(self._work, ignore_errors=True)


class Contents:
    """The folder of all files."""

    def __init__(self, home: Path) -> None:
        self.folder = home / FOLDER

    def begin(self, file_id: str, name: str) -> Incoming:
        """Begin to write a file. Raises StoreFull, StoreUnavailable."""
        return Incoming(self.folder / file_id, name)

    def path(self, file_id: str, name: str) -> Path:
        """Where a file lies."""
        return self.folder / file_id / name

    def hide(self, file_id: str) -> None:
        """Take a file from its place, before its row is deleted. Raises StoreUnavailable."""
        with _explained(), suppress(FileNotFoundError):
            (self.folder / file_id).rename(self.folder / f"{file_id}{LEAVING}")

    def remove_hidden(self, file_id: str) -> None:
        """Remove a file that was hidden, after its row was deleted. Raises StoreUnavailable."""
        with _explained(), suppress(FileNotFoundError):
            shutil.rmtree(self.folder / f"{file_id}{LEAVING}")
            flush(self.folder)

    def sweep(self, known: Container[str], older_than_s: float) -> None:
        """Finish what killed uploads and deletions have begun: a file is there if it is `known`, and else it is not.

        Younger ones may still be under way.
        """
        oldest = time.time() - older_than_s
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            file_id, suffix = path.stem, path.suffix
            if suffix not in (ARRIVING, LEAVING) or path.stat().st_ctime > oldest:
                continue
            if file_id not in known:
                shutil.rmtree(path, ignore_errors=True)
            elif not (self.folder / file_id).exists():
                path.rename(self.folder / file_id)


def safe_name(name: str) -> str:
    """A file's name without the folders before it and without signs that a file system or a terminal chokes on.

    Its ending stays, since that is its type.
    """
    bare = _UNSAFE.sub("", re.split(r"[/\\]", name)[-1]).strip()
    if not bare.strip("."):
        return "file"
    stem, dot, ending = bare.rpartition(".")
    stem, ending = (stem, f"{dot}{ending}") if 0 < len(ending.encode()) <= 20 and stem else (bare, "")
    room = MOST_NAME_BYTES - len(ending.encode())
    return stem.encode()[:room].decode(errors="ignore") + ending


@contextmanager
def _explained() -> Iterator[None]:
    """An error of the file system as one of ours."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StoreFull(
                "There is no room left for the file on the gateway's disk; nothing of it was kept: make room in the "
                "home folder (CHIPALIGN_HOME)."
            ) from error
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StoreUnavailable(
            f"The gateway cannot write the folder '{FOLDER}' of its home ({reason}): make the home folder "
            "(CHIPALIGN_HOME) writable."
        ) from error
