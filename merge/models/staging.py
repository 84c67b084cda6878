"""A folder that appears whole or not at all: it is filled under a temporary name and renamed at the end.

It knows nothing of the folder's content. One process at a time can stage one folder; what a dead process left is
removed, or handed to a caller that can resume it.

    with staged_folder(Path("out")) as folder:
        (folder / "config.json").write_text("{}")
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from merge.errors import OutputBusy, OutputFull, OutputRefused


@contextmanager
def staged_folder(target: Path, *, keep_leftover: bool = False) -> Iterator[Path]:
    """Yield an empty sibling `.<name>.partial` of `target`; rename it at a good end, else remove it.

    keep_leftover: do not empty what a killed process left there; the caller looks into it and keeps or empties it. A
    folder that is at `target` is replaced at that moment; the caller decides whether it may be. The operating system
    releases the lock when a process dies, however it dies, so a leftover is never mistaken for a folder in use. A link
    to a folder stays; the folder that it leads to is replaced.

    Raises:
        OutputBusy, OutputFull
        OutputRefused: the folder cannot be written.
    """
    if target.is_symlink() or target.name in ("", ".."):
        target = target.resolve()
    if not target.name:
        raise OutputRefused(f"{target} is not a place for a folder of ours. Choose another place")

    staging = target.with_name(f".{target.name}.partial")
    retired = target.with_name(f".{target.name}.replaced")
    try:
        lock = _lock_folder(staging, target)
    except OSError as error:
        raise OutputRefused(f"{target} cannot be written: {error.strerror}. Choose another place") from error

    done = False
    try:
        if not keep_leftover:
            empty_folder(staging)
        _settle_retired(retired, target)
        yield staging
        if target.exists():
            target.rename(retired)
        staging.rename(target)
        done = True
        _settle_retired(retired, target)
    except OSError as error:
        if is_full(error):
            raise OutputFull(
                f"no room left for {target}. Free some space or choose another place; nothing was left behind"
            ) from error
        raise OutputRefused(
            f"{target} cannot be written: {error.strerror or error}. Choose another place; nothing was left behind"
        ) from error
    finally:
        if not done:
            shutil.rmtree(staging, ignore_errors=True)
        os.close(lock)


def check_room(folder: Path, needed_bytes: int, what: str) -> None:
    """Raise OutputFull if the disk of `folder` has less than `needed_bytes` free for what is to be written there."""
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise OutputFull(
            f"{folder.parent} has {_describe(free_bytes)} free, {what} needs {_describe(needed_bytes)}. Free some "
            "space or choose another place"
        )


def is_full(error: OSError) -> bool:
    """Whether a disk, a quota or a limit of files is what stopped a write."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _describe(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.1f} MB"


def _settle_retired(retired: Path, target: Path) -> None:
    """Remove the replaced folder; bring it back if a process died before its successor was in place."""
    if retired.exists() and not target.exists():
        retired.rename(target)
    shutil.rmtree(retired, ignore_errors=True)


def _lock_folder(staging: Path, target: Path) -> int:
    """Create and lock the folder; try again where its owner renamed or removed it between the two."""
    while True:
        staging.mkdir(parents=True, exist_ok=True)
        fd = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        if os.fstat(fd).st_uid != os.geteuid():  # it may hold links to what only we may write
            os.close(fd)
            raise OutputRefused(f"{staging} belongs to another user. Have it removed, or choose another place")
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), staging.stat()):
                return fd
        except BlockingIOError:
            os.close(fd)
            raise OutputBusy(f"another run is writing {target}. Wait for it to end, or choose another place") from None
        except FileNotFoundError:
            pass
        os.close(fd)


def empty_folder(folder: Path) -> None:
    """Remove everything in a folder, but not the folder."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
