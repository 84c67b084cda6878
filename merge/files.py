"""Opens files of somebody's model without blocking, and checks that the names in them can be shown.

It knows no format and loads no library, so that a command that only opens something answers at once.

    with open_stream(Path("model.safetensors")) as file: file.read(8)
"""

from __future__ import annotations

import os
import stat
from io import FileIO
from pathlib import Path

from merge.errors import CheckpointCorrupt, CheckpointNotFound

NAME_LIMIT = 500  # characters of a tensor's name; adapters' longest are near 150


def open_plain(path: Path) -> int:
    """A file descriptor to read from.

    The folder may be somebody else's: a pipe would block, and a device has no end, so neither is read.

    Raises:
        CheckpointNotFound
        CheckpointCorrupt: it is not a plain file, or cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointNotFound(f"{path} does not exist. Give a folder that holds a whole model") from None
    except OSError as error:
        raise CheckpointCorrupt(f"{path} cannot be read: {error.strerror}. Copy the file anew") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise CheckpointCorrupt(f"{path} is not a plain file. Copy the file anew")
    return fd


def open_stream(path: Path) -> FileIO:
    """The same as a file object without a buffer; raises the same."""
    return FileIO(open_plain(path))


def check_name(name: str, path: Path) -> None:
    """Raise CheckpointCorrupt for a tensor's name that cannot be shown or is too long."""
    if not name.isprintable():
        raise CheckpointCorrupt(f"{path} names a tensor {name[:NAME_LIMIT]!r}, which cannot be printed")
    if len(name) > NAME_LIMIT:
        raise CheckpointCorrupt(
            f"{path} names a tensor of {len(name)} characters ({NAME_LIMIT} are allowed): {name[:80]}..."
        )
