"""Shows how a merge goes on: a bar on a terminal, plain lines every few seconds elsewhere. It computes nothing.

    with make_watcher(sys.stderr) as watcher:
        merge_parents(recipe, out, settings, render_card, watcher=watcher)

rich draws the bar, and is imported only for a terminal.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from merge.arithmetic.geodesic import TensorResult
from merge.errors import printable
from merge.merging.merger import Watcher

LINE_EVERY_S = 5.0  # between plain lines: often enough to see life, rare enough for a log


class Drawing(Watcher):
    """A watcher with a beginning and an end."""

    def move(self, done_bytes: int, total_bytes: int) -> None:
        """Show the progress."""

    def advance(self, result: TensorResult, done_bytes: int, total_bytes: int) -> None:
        """A tensor was written."""
        self.move(done_bytes, total_bytes)

    def __enter__(self) -> Drawing:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Nothing to end."""


class Bar(Drawing):
    """A progress bar of bytes."""

    def __init__(self, stream: TextIO, verb: str = "merging") -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = (TextColumn(verb), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(file=stream))
        self._task = self._progress.add_task(verb, total=None, visible=False)

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._progress.console.print(printable(text), markup=False, highlight=False)

    def move(self, done_bytes: int, total_bytes: int) -> None:
        """Move the bar."""
        self._progress.start()  # not before: other libraries draw their own bars while a parent is converted
        self._progress.update(self._task, completed=done_bytes, total=total_bytes, visible=True)

    def __exit__(self, *exc_info: object) -> None:
        self._progress.stop()


class Lines(Drawing):
    """A line per step, and one every few seconds in between."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic, verb: str = "merging") -> None:
        self._verb = verb
        self._stream = stream
        self._clock = clock
        self._last = clock()

    def say(self, text: str) -> None:
        """A line, at once."""
        self._last = self._clock()
        self._stream.write(printable(text) + "\n")
        self._stream.flush()

    def move(self, done_bytes: int, total_bytes: int) -> None:
        """A line, if the last was long ago."""
        if self._clock() - self._last >= LINE_EVERY_S:
            self.say(f"{self._verb} {done_bytes / 1e6:.0f} of {total_bytes / 1e6:.0f} MB")


def make_watcher(stream: TextIO, verb: str = "merging") -> Drawing:
    """A bar on a terminal, lines in a log. verb: what is being done."""
    return Bar(stream, verb) if stream.isatty() else Lines(stream, verb=verb)
