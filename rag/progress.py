"""Progress of long work on stderr: bars on a terminal, else a line at every few percent.

It measures nothing; whoever works calls what it is given.

    with show_progress() as progress: build_index(documents, index_dir, settings, embedder, progress)
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Show = Callable[[str, int, int], None]  # stage ("chunk", "embed", "search"), done, total
_PLAIN_STEP = 5  # without a terminal: a line every so many percent


@contextmanager
def show_progress() -> Iterator[Show]:
    """A function that shows how far each stage is, for as long as the work takes."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_progress()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(stage: str, done: int, total: int) -> None:
            """Move the stage's bar."""
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield show


def _plain_progress() -> Show:
    shown: dict[str, int] = {}

    def show(stage: str, done: int, total: int) -> None:
        """Write a line where the stage has come a step further."""
        percent = 100 * done // total
        if done == total or percent >= shown.get(stage, 0) + _PLAIN_STEP:
            shown[stage] = percent
            sys.stderr.write(f"{stage}: {done} of {total}\n")

    return show
