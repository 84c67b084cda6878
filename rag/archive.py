"""Read .tar.gz and .zip archives as (path, content) pairs, safely: nothing is ever written where the archive says.

It extracts no links, devices or empty folders, and does not decide which files are wanted beyond the `wanted` predicate.

    for path, content in read_archive(Path("openroad.tar.gz"), wanted=lambda path: path.endswith(".md")): ...
"""

import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from rag.errors import ArchiveUnsafe

ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip")
MAX_FILES = 200_000
MAX_FILE_BYTES = 64 * 2**20
# A wanted documentation tree is a few megabytes; this is the line at which an archive is a bomb rather than a manual.
MAX_TOTAL_BYTES = 2 * 2**30


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


def read_archive(path: Path, wanted: Callable[[str], bool] = lambda _: True, max_total_bytes: int = MAX_TOTAL_BYTES) -> Iterator[tuple[str, bytes]]:
    """Yield (path, content) of each wanted regular file, in the archive's order; links and devices are passed over.

    Raises ArchiveUnsafe for a member outside the archive's own folder, for more than the limits, and for a damaged archive.
    """
    total = 0
    members = _zip_members(path) if path.name.lower().endswith(".zip") else _tar_members(path)
    try:
        for number, (name, size, read) in enumerate(members):
            clean = safe_path(name)
            if number >= MAX_FILES:
                raise ArchiveUnsafe(f"{path} holds more than {MAX_FILES} files: unpack it and index the folder you need")
            if not clean or read is None or not wanted(clean):
                continue
            total += size
            if size > MAX_FILE_BYTES or total > max_total_bytes:
                raise ArchiveUnsafe(f"{path} is larger than allowed at {clean} (file {size} bytes, so far {total} of {max_total_bytes} bytes)")
            yield clean, read()
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ArchiveUnsafe(f"{path} is not an archive that can be read ({error}): get it again") from error
    except OSError as error:  # gzip reports damage as OSError
        raise ArchiveUnsafe(f"{path} cannot be read ({error}): get it again") from error


def strip_top_folder(files: dict[str, bytes]) -> dict[str, bytes]:
    """Without the one folder that holds everything, as the public host's archives have it; unchanged where there is none."""
    tops = {path.split("/", 1)[0] for path in files}
    if len(tops) != 1 or any("/" not in path for path in files):
        return files
    return {path.split("/", 1)[1]: content for path, content in files.items()}


_Member = tuple[str, int, Callable[[], bytes] | None]


def _tar_members(path: Path) -> Iterator[_Member]:
    with tarfile.open(path, mode="r:*") as tar:
        for member in tar:
            yield member.name, member.size, partial(_read_tar, tar, member) if member.isreg() else None


def _read_tar(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    handle = tar.extractfile(member)
    return handle.read() if handle else b""


def _zip_members(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            is_link = (info.external_attr >> 16) & 0o170000 == 0o120000
            regular = not info.is_dir() and not is_link
            yield info.filename, info.file_size, partial(archive.read, info) if regular else None
