"""Progress of long work on stderr: bars on a terminal, plain lines elsewhere.

    with show_progress() as progress: build_index(documents, index_dir, settings, embedder, progress)
    with show_count("trained") as show: show(3, 277, "loss 1.2")

It measures nothing; the worker calls the function that it is given. `show_progress` is for the stages of one work,
`show_count` for one count, whose last line stays. rich draws the bars; it is imported only for a terminal.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Show = Callable[[str, int, int], None]  # stage ("chunk", "embed", "search"), done, total
_PLAIN_STEP = 5  # stages without a terminal: a line every so many percent
LINE_EVERY_S = 5.0  # between plain lines of a count: often enough to see life, rare enough for a log


class ShowCount(Protocol):
    """Takes how much is done, of how much, and a note."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show it."""


@contextmanager
def show_progress() -> Iterator[Show]:
    """A function that shows how far each stage is, for as long as the work takes."""
    if not sys.stderr.isatty():
        yield _plain_stages()
        return
    with _draw_bars(transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int) -> None:
            """Move the stage's bar."""
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, note="")
            bars.update(tasks[stage], completed=done, total=total)

        yield show


@contextmanager
def show_count(what: str) -> Iterator[ShowCount]:
    """A function that shows how far `what` is, and how long the rest will take, for as long as the work takes."""
    if not sys.stderr.isatty():
        yield _plain_count(what)
        return
    with _draw_bars(transient=False) as bars:
        task = bars.add_task(what, total=None, note="")

        def show(done: int, total: int, note: str = "") -> None:
            """Move the bar."""
            bars.update(task, completed=done, total=total, note=note)

        yield show


def _draw_bars(transient: bool) -> AbstractContextManager[Progress]:
    """Bars of one form; transient ones disappear when the work is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True), transient=transient)


def _plain_stages() -> Show:
    shown: dict[str, int] = {}

    def show(stage: str, done: int, total: int) -> None:
        """Write a line where the stage has advanced by a step."""
        percent = 100 * done // total
        if done == total or percent >= shown.get(stage, 0) + _PLAIN_STEP:
            shown[stage] = percent
            sys.stderr.write(f"{stage}: {done} of {total}\n")

    return show


def _plain_count(what: str, clock: Callable[[], float] = time.monotonic) -> ShowCount:
    first: list[tuple[float, int]] = []  # when the work began, and at what count
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
