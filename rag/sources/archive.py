"""Reads .zip archives and tar archives (.gz, .bz2, .xz) as (path, content) pairs, and writes no file.

A child process opens them (`archive_members`); this file holds the limits and the rules for names.

It extracts no links, devices or empty folders, and leaves it to the `wanted` predicate which files are wanted.

    for path, content in read_archive(Path("openroad.tar.gz"), wanted=lambda path: path.endswith(".md")): ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from rag.child import Child, Message, end_child, explain_end, read_message, start_child, write_message
from rag.errors import ArchiveUnsafe
from rag.printable import printable

Item = TypeVar("Item")
ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar", ".zip")
# Unwanted files in a compressed tar must be unpacked to be skipped: so many times the allowed total.
_PASSED_TOTALS = 16
# The child holds Python, the list of 200,000 files of a zip and the dictionary of the strongest xz, together some 300
# MiB, and a file in four copies.
_BASE_BYTES = 512 * 2**20
_COPIES = 4
_NAME_CHARACTERS = 4096  # of a path on Linux
_ALL_NAMES_CHARACTERS = 64 * 2**20  # 200,000 names of three hundred characters


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """Where an archive is a bomb rather than a manual: a wanted documentation tree has a few megabytes."""

    files: int = 200_000
    file_bytes: int = 64 * 2**20
    total_bytes: int = 2 * 2**30
    timeout_s: float = 300.0  # for each file


def is_archive(path: Path) -> bool:
    """Whether the name is that of an archive that `read_archive` opens."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def archive_stem(path: Path) -> str:
    """The file name without its archive suffix: `openroad.tar.gz` gives `openroad`."""
    for suffix in ARCHIVE_SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem


def safe_path(name: str) -> str:
    """A member's name as a clean relative posix path ("" for the root).

    Raises ArchiveUnsafe: the name is absolute or contains `..`.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if name.startswith(("/", "\\")) or ".." in parts or "\0" in name or (parts and parts[0].endswith(":")):
        raise ArchiveUnsafe(
            f"the archive names the file {name!r}, which would lie outside its folder: do not use this archive"
        )
    return "/".join(part for part in parts if part != ".")


def read_archive(
    path: Path,
    wanted: Callable[[str], bool] = lambda _: True,
    limits: ArchiveLimits = ArchiveLimits(),
    cut_large: bool = False,
) -> Iterator[tuple[str, bytes]]:
    """Yield (path, content) of each wanted regular file, in the archive's order; links and devices are skipped.

    With `cut_large`, a file larger than allowed is read up to one byte more than its limit.

    Raises ArchiveUnsafe: a member is outside the archive's own folder, the archive exceeds a limit (without `cut_large`
    also that of one file), or it is damaged or encrypted.
    """
    memory = _BASE_BYTES + _COPIES * limits.file_bytes
    arguments = (str(path.resolve()), str(_PASSED_TOTALS * limits.total_bytes), str(limits.timeout_s))
    child = start_child("rag.sources.archive_members", memory, *arguments)
    try:
        yield from _read_wanted(child, path, wanted, limits, cut_large)
    except BrokenPipeError:
        raise ArchiveUnsafe(f"{path}: {explain_end(end_child(child), limits.timeout_s)}") from None
    finally:
        end_child(child)


def _read_wanted(
    child: Child, path: Path, wanted: Callable[[str], bool], limits: ArchiveLimits, cut_large: bool
) -> Iterator[tuple[str, bytes]]:
    """Answer the child's members one after the other.

    Raises BrokenPipeError: the child ends before the archive does.
    """
    total = number = named = 0
    while (head := _next_head(child, path)) is not None:
        name, size = head["name"], head["size"]
        named += len(name)
        if len(name) > _NAME_CHARACTERS or named > _ALL_NAMES_CHARACTERS:
            raise ArchiveUnsafe(f"{path} holds names that are too long, as {name[:80]!r}...: do not use this archive")
        clean = safe_path(name)
        number += 1
        if number > limits.files:
            raise ArchiveUnsafe(
                f"{path} holds more than {limits.files} files (CHIPALIGN_ARCHIVE_FILES): unpack it and index the "
                "folder you need"
            )

        if not head["is_file"]:
            continue
        if not clean or not wanted(clean):
            write_message(child.stdin, {"at_most": 0})
            continue

        total += min(size, limits.file_bytes + 1) if cut_large else size
        if total > limits.total_bytes or (size > limits.file_bytes and not cut_large):
            sizes = f"file {size} bytes, so far {total} of {limits.total_bytes} bytes"
            variables = "CHIPALIGN_ARCHIVE_TOTAL_MB, CHIPALIGN_ARCHIVE_FILE_MB"
            raise ArchiveUnsafe(f"{path} is larger than allowed at {printable(clean)} ({sizes}; {variables})")
        write_message(child.stdin, {"at_most": limits.file_bytes + 1})
        _, content = _next_message(child, path)
        yield clean, content


def _next_head(child: Child, path: Path) -> dict[str, Any] | None:
    """The next member; None after the last one."""
    head, _ = _next_message(child, path)
    return None if "reason" in head else head


def _next_message(child: Child, path: Path) -> Message:
    """The child's next message.

    Raises:
        ArchiveUnsafe: the child sent its reason.
        BrokenPipeError: the child ended without a reason.
    """
    message = read_message(child.stdout)
    if message is None:
        raise BrokenPipeError
    if reason := message[0].get("reason"):
        raise ArchiveUnsafe(f"{path} {reason}")
    return message


def strip_top_folder(files: dict[str, Item]) -> dict[str, Item]:
    """The files without the one folder that holds them all, as in the public host's archives; else unchanged."""
    tops = {path.split("/", 1)[0] for path in files}
    if len(tops) != 1 or any("/" not in path for path in files):
        return files
    return {path.split("/", 1)[1]: content for path, content in files.items()}
