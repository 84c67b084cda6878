"""Notices when files of sources change: by the system's own notices, or by looking, on drives that give none.

It reads no documents. What one save or one checkout changes comes as one notice, once it has been quiet for a moment.

    with Watcher([Path("docs")], ignored=Path("my-index")) as watcher:
        while watcher.wait(): ...
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

QUIET_MS = 2000  # changes that follow each other faster are one
LOOK_MS = 500  # whether to stop
LOOK_REMOTE_MS = 5000  # on a drive without notices
# File systems whose files other machines change without a notice here
_REMOTE = frozenset("nfs nfs4 cifs smb3 smbfs 9p afs ceph glusterfs lustre fuse.sshfs fuse.glusterfs".split())


class Watcher:
    """Watches folders and single files from its start on; what changes while nobody waits is not lost."""

    def __init__(self, paths: Sequence[Path], ignored: Path) -> None:
        """ignored: a folder whose changes do not count, since they are ours."""
        self._paths = [path.resolve() for path in paths]
        self._ignored = ignored.resolve()
        self._stopped = threading.Event()
        self._changes = self._watch()
        self._first = next(self._changes)  # the watch begins here, not with the first wait

    def __enter__(self) -> Watcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the waiting; any thread may call it."""
        self._stopped.set()

    def wait(self) -> set[Path]:
        """The paths that have changed, once some have; none after `stop`."""
        first, self._first = self._first, set()
        return first or next(filter(None, self._changes), set())

    def _watch(self) -> Iterator[set[Path]]:
        """What has changed, every now and then; nothing mostly.

        A single file is looked at, since an editor puts another file in its place.
        """
        files = [path for path in self._paths if not path.is_dir()]
        before = [_stamp(file) for file in files]
        for changes in self._watch_folders([path for path in self._paths if path not in files]):
            now = [_stamp(file) for file in files]
            yield changes | {file for file, old, new in zip(files, before, now, strict=True) if old != new}
            before = now

    def _watch_folders(self, folders: list[Path]) -> Iterator[set[Path]]:
        if not folders:
            yield set()
            while not self._stopped.wait(LOOK_MS / 1000):
                yield set()
            return

        from watchfiles import watch

        for changes in watch(
            *folders,
            watch_filter=lambda _, name: self._counts(Path(name), folders),
            debounce=QUIET_MS,
            step=QUIET_MS // 4,
            stop_event=self._stopped,
            rust_timeout=LOOK_MS,
            yield_on_timeout=True,
            force_polling=any(is_remote(folder) for folder in folders) or None,
            poll_delay_ms=LOOK_REMOTE_MS,
            ignore_permission_denied=True,
        ):
            yield {Path(name) for _, name in changes}

    def _counts(self, changed: Path, folders: list[Path]) -> bool:
        """Whether a path is a source's; hidden files and our own index are not."""
        if changed.is_relative_to(self._ignored):
            return False
        below = [changed.relative_to(folder) for folder in folders if changed.is_relative_to(folder)]
        return any(not any(part.startswith(".") for part in path.parts) for path in below)


def _stamp(file: Path) -> tuple[int, int, int]:
    """Changes when the file does."""
    try:
        found = file.stat()
    except OSError:
        return 0, 0, 0
    return found.st_ino, found.st_size, found.st_mtime_ns


def is_remote(path: Path, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Whether a path lies on a drive of another machine."""
    try:
        lines = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return False
    resolved = path.resolve()
    places = [(len(line[1]), line[2]) for line in lines if len(line) > 2 and resolved.is_relative_to(line[1])]
    return bool(places) and max(places)[1] in _REMOTE
