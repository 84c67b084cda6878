"""The child process behind `archive`: lists the members of a .zip or tar archive and reads those that the parent wants.

Headers cost memory before any file is read: a PAX record, a map of holes, a directory of millions of names, an xz
dictionary. So all of it happens here, under a memory limit and, for each member, a time limit. It decides nothing about
names and writes no file.

    python -m rag.sources.archive_members MEMORY_BYTES PATH PASSED_BYTES TIMEOUT_S
"""

from __future__ import annotations

import lzma
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from rag.child import read_message, serve_parent, set_timer, write_message
from rag.errors import ArchiveUnsafe

MAX_HEADER_BYTES = 2**20  # of one PAX record or long name; paths have 4096 bytes at most
_Member = tuple[str, int, Callable[[int], bytes] | None]  # name, size in bytes, a reader of at most so many bytes
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    IndexError,
    KeyError,
    OverflowError,
)


def members(path: Path, passed_bytes: int) -> Iterator[_Member]:
    """Each member of an archive. Reading a member may raise its library's own errors.

    Raises ArchiveUnsafe: the message is the reason.
    """
    try:
        yield from _zip_members(path) if path.name.lower().endswith(".zip") else _tar_members(path, passed_bytes)
    except MemoryError as error:
        raise ArchiveUnsafe("takes more memory for its headers than allowed: do not use this archive") from error
    except OSError as error:  # gzip reports damage as OSError
        raise ArchiveUnsafe(f"cannot be read ({error.strerror or error}): get it again") from error
    except _DAMAGE as error:
        cause = str(error)[:200] or type(error).__name__
        raise ArchiveUnsafe(f"is not an archive that can be read ({cause}): get it again") from error


def _tar_members(path: Path, passed_bytes: int) -> Iterator[_Member]:
    with tarfile.open(path, mode="r:*", tarinfo=_BoundedHeader) as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # otherwise tarfile keeps every header
            if tar.offset > passed_bytes:  # where the next member begins: going there would unpack everything before it
                raise ArchiveUnsafe(
                    f"unpacks to more than {passed_bytes} bytes at {member.name[:200]!r} (CHIPALIGN_ARCHIVE_TOTAL_MB):"
                    " unpack it and index the folder you need"
                )
            yield member.name, member.size, partial(_read_tar, tar, member) if member.isreg() else None


class _BoundedHeader(tarfile.TarInfo):
    """A header that skips records larger than any header that describes a file."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        records = (
            tarfile.XHDTYPE,
            tarfile.XGLTYPE,
            tarfile.SOLARIS_XHDTYPE,
            tarfile.GNUTYPE_LONGNAME,
            tarfile.GNUTYPE_LONGLINK,
        )
        if self.type in records and self.size > MAX_HEADER_BYTES:
            raise ArchiveUnsafe(
                f"has a header of {self.size} bytes, more than {MAX_HEADER_BYTES}: do not use this archive"
            )
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise ArchiveUnsafe(f"stores {self.name[:200]!r} with holes: pack it without --sparse")
        member: tarfile.TarInfo = super()._proc_member(tar)  # type: ignore[misc]  # what tarfile has for subclasses
        return member

    def _proc_gnusparse_10(self, *_: object) -> None:
        raise ArchiveUnsafe(f"stores {self.name[:200]!r} with holes: pack it without --sparse")


def _read_tar(tar: tarfile.TarFile, member: tarfile.TarInfo, at_most: int) -> bytes:
    handle = tar.extractfile(member)
    return handle.read(at_most) if handle else b""


def _zip_members(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            is_link = (info.external_attr >> 16) & 0o170000 == 0o120000
            regular = not info.is_dir() and not is_link
            yield info.filename, info.file_size, partial(_read_zip, archive, info) if regular else None


def _read_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo, at_most: int) -> bytes:
    with archive.open(info) as handle:
        return handle.read(at_most)


def read_member(read: Callable[[int], bytes], at_most: int) -> bytes:
    """So many bytes of a member.

    Raises ArchiveUnsafe: the message is the reason.
    """
    try:
        return read(at_most)
    except MemoryError as error:
        raise ArchiveUnsafe("takes more memory to unpack than allowed: do not use this archive") from error
    except (OSError, *_DAMAGE) as error:
        cause = str(error)[:200] or type(error).__name__
        raise ArchiveUnsafe(f"is not an archive that can be read ({cause}): get it again") from error


def main(memory_bytes: int, path: Path, passed_bytes: int, timeout_s: float) -> None:
    """The child: names a member, reads as much of it as the answer says, and so on.

    The last message is empty or a reason.
    """
    messages, answers = serve_parent(memory_bytes)
    set_timer(timeout_s)
    reason = ""
    try:
        for name, size, read in members(path, passed_bytes):
            set_timer(0)
            write_message(answers, {"name": name, "size": size, "is_file": read is not None})
            answer = read_message(messages) if read else None
            set_timer(timeout_s)
            if read and answer and answer[0]["at_most"]:
                content = read_member(read, answer[0]["at_most"])
                set_timer(0)
                write_message(answers, {}, content)
                set_timer(timeout_s)
    except ArchiveUnsafe as error:
        reason = str(error)
    set_timer(0)
    write_message(answers, {"reason": reason})


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
