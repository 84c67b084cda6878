"""One process at a time, by a file that it holds locked; the system frees the lock whenever the process ends.

It knows nothing of the work done under the lock.

    with hold_lock(Path("index/.lock"), lambda error: SourceUnusable("..."), IndexBusy("...")): ...
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def hold_lock(lock: Path, unwritable: Callable[[OSError], Exception], busy: Exception) -> Iterator[None]:
    """Hold the file `lock`, made with its folder where it is missing.

    Raises what the caller raises: `unwritable(error)` where the file cannot be written, `busy` where another process
    holds it.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle = lock.open("w")
    except OSError as error:
        raise unwritable(error) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        yield
