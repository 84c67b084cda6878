"""Jobs in lines: those of one line run one after the other, those of different lines at the same time, up to a limit.

It knows nothing of Slack or of what the jobs do.

    lines = Lines(at_once=4)
    lines.put(("C1", "1700000000.1"), answer)
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor

log = logging.getLogger("chipalign.slack")
Job = Callable[[], None]


class Lines:
    """Runs every job that is put into it, in threads of its own."""

    def __init__(self, at_once: int) -> None:
        self._workers = ThreadPoolExecutor(at_once, thread_name_prefix="line")
        self._lines: dict[Hashable, deque[Job]] = {}  # a line is here as long as it has an unfinished job
        self._lock = threading.Lock()

    def put(self, line: Hashable, job: Job) -> None:
        """Run `job` when the jobs put into its line before are over.

        Raises RuntimeError: the lines are closed.
        """
        with self._lock:
            if line in self._lines:
                self._lines[line].append(job)
                return
            self._workers.submit(self._run, line)
            self._lines[line] = deque([job])

    def close(self) -> None:
        """Take no more jobs, and wait until all are over."""
        self._workers.shutdown()

    def _run(self, line: Hashable) -> None:
        """Run the jobs of a line until it is empty."""
        while True:
            with self._lock:
                job = self._lines[line][0]
            try:
                job()
            except Exception:  # the outermost place: one question that fails must not stop the others
                log.exception("a question failed")
            with self._lock:
                self._lines[line].popleft()
                if not self._lines[line]:
                    del self._lines[line]
                    return
