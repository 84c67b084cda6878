"""Progress of long work on stderr: a bar on a terminal, a line at every few percent elsewhere.

It computes nothing and knows no work; whoever works calls what it gives.

    with show_progress() as progress:
        build_index(documents, out, settings, embedder, progress)
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Progress = Callable[[str, int, int], None]  # stage ("chunk", "embed"), done, total
_PLAIN_STEP = 5  # without a terminal: a line every so many percent


@contextmanager
def show_progress() -> Iterator[Progress]:
    """A function that is told stage, done and total, and shows them; one bar or series of lines per stage."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _show_lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(stage: str, done: int, total: int) -> None:
            """Move the stage's bar."""
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield show


def _show_lines() -> Progress:
    shown: dict[str, int] = {}

    def show(stage: str, done: int, total: int) -> None:
        """Write a line where the stage has come a step further."""
        percent = 100 * done // total
        if done == total or percent >= shown.get(stage, 0) + _PLAIN_STEP:
            shown[stage] = percent
            sys.stderr.write(f"{stage}: {done} of {total}\n")

    return show
