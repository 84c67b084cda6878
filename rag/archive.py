"""Read .zip archives and tar archives (.gz, .bz2, .xz) as (path, content) pairs, safely: nothing is ever written where the archive says.

It extracts no links, devices or empty folders, and does not decide which files are wanted beyond the `wanted` predicate.

    for path, content in read_archive(Path("openroad.tar.gz"), wanted=lambda path: path.endswith(".md")): ...
"""

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from rag.errors import ArchiveUnsafe

ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar", ".zip")
# What a compressed tar holds of files that are not wanted must be unpacked to be passed over: so many times the allowed total.
_PASSED_TOTALS = 16


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """Where an archive is a bomb rather than a manual: a wanted documentation tree has a few megabytes."""

    files: int = 200_000
    file_bytes: int = 64 * 2**20
    total_bytes: int = 2 * 2**30


def is_archive(path: Path) -> bool:
    """Whether the name says that this is an archive that `read_archive` opens."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def archive_stem(path: Path) -> str:
    """The file name without its archive suffix: `openroad.tar.gz` gives `openroad`."""
    for suffix in ARCHIVE_SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem


def safe_path(name: str) -> str:
    """A member's name as a clean relative posix path ("" for the root). Raises ArchiveUnsafe for absolute paths and `..`."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if name.startswith(("/", "\\")) or ".." in parts or "\0" in name or (parts and parts[0].endswith(":")):
        raise ArchiveUnsafe(f"the archive names the file {name!r}, which would lie outside its folder: do not use this archive")
    return "/".join(part for part in parts if part != ".")


def read_archive(
    path: Path, wanted: Callable[[str], bool] = lambda _: True, limits: ArchiveLimits = ArchiveLimits(), cut_large: bool = False
) -> Iterator[tuple[str, bytes]]:
    """Yield (path, content) of each wanted regular file, in the archive's order; links and devices are passed over.

    Of a file larger than allowed, one byte more than the limit is read with `cut_large`. Raises ArchiveUnsafe for it otherwise, for a member
    outside the archive's own folder, for more than the other limits, and for a damaged or encrypted archive.
    """
    total = 0
    members = _zip_members(path) if path.name.lower().endswith(".zip") else _tar_members(path, _PASSED_TOTALS * limits.total_bytes)
    try:
        for number, (name, size, read) in enumerate(members):
            clean = safe_path(name)
            if number >= limits.files:
                raise ArchiveUnsafe(f"{path} holds more than {limits.files} files: unpack it and index the folder you need")
            if not clean or read is None or not wanted(clean):
                continue
            total += min(size, limits.file_bytes + 1) if cut_large else size
            if total > limits.total_bytes or (size > limits.file_bytes and not cut_large):
                raise ArchiveUnsafe(f"{path} is larger than allowed at {clean} (file {size} bytes, so far {total} of {limits.total_bytes} bytes)")
            yield clean, read(limits.file_bytes + 1)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ArchiveUnsafe(f"{path} is not an archive that can be read ({error}): get it again") from error
    except OSError as error:  # gzip reports damage as OSError
        raise ArchiveUnsafe(f"{path} cannot be read ({error}): get it again") from error


def strip_top_folder(files: dict[str, bytes]) -> dict[str, bytes]:
    """Without the one folder that holds everything, as the public host's archives have it; unchanged where there is none."""
    tops = {path.split("/", 1)[0] for path in files}
    if len(tops) != 1 or any("/" not in path for path in files):
        return files
    return {path.split("/", 1)[1]: content for path, content in files.items()}


_Member = tuple[str, int, Callable[[int], bytes] | None]  # name, size in bytes, read at most so many bytes


def _tar_members(path: Path, passed_bytes: int) -> Iterator[_Member]:
    with tarfile.open(path, mode="r:*") as tar:
        for member in tar:
            if tar.offset > passed_bytes:  # where the next member begins: going there would unpack everything before it
                raise ArchiveUnsafe(f"{path} unpacks to more than {passed_bytes} bytes at {member.name!r}: unpack it and index the folder you need")
            yield member.name, member.size, partial(_read_tar, tar, member) if member.isreg() else None


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
