"""Shows how many questions are answered, or steps are done: a bar on a terminal, a plain line every few seconds
elsewhere. It does neither.

    with show_count("answered") as show: show(3, 277)
    with show_count("trained") as show: show(3, 277, "loss 1.2")

The bar is rich's, which is imported where there is a terminal to draw on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Show(Protocol):
    """Told how much is done, of how much, and what else there is to say."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show it."""


LINE_EVERY_S = 5.0  # between plain lines: often enough to see life, rare enough for a log


@contextmanager
def show_count(what: str) -> Iterator[Show]:
    """A function that shows on stderr how far `what` is, for as long as the work takes."""
    if not sys.stderr.isatty():
        yield _plain_lines(what)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
    ) as bars:
        task = bars.add_task(what, total=None, note="")

        def show(done: int, total: int, note: str = "") -> None:
            """Move the bar."""
            bars.update(task, completed=done, total=total, note=note)

        yield show


def _plain_lines(what: str, clock: Callable[[], float] = time.monotonic) -> Show:
    first: list[tuple[float, int]] = []  # when and at what count the work began
    last = [float("-inf")]

    def show(done: int, total: int, note: str = "") -> None:
        """Write a line if the last was long ago, or this is the end."""
        now = clock()
        if not first:
            first.append((now, done))
        if done < total and now - last[0] < LINE_EVERY_S:
            return
        last[0] = now
        began, before = first[0]
        left = f", {(now - began) / (done - before) * (total - done):.0f} s left" if before < done < total else ""
        sys.stderr.write(f"{what}: {done} of {total}{f', {note}' if note else ''}{left}\n")
        sys.stderr.flush()

    return show
