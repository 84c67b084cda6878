"""What `chipalign up` shows: one panel with the addresses, the model, the index and the state of every part.

It only draws. On a terminal it redraws the panel in place; elsewhere it prints the panel once, and then each change as
a line.

    with Display(Console(), facts) as display: display.show(states)
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from serve.running.supervisor import State


def render(facts: Sequence[tuple[str, str]], states: Sequence[State]) -> Panel:
    """The panel: the facts, one row per part, and how to stop."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, Text(value))
    for state in states:
        table.add_row(state.part.name, Text(state.text, style="green" if state.text == "ready" else "yellow"))
    table.add_row("stop", "Ctrl-C")
    return Panel(table, title="ChipAlign is running", expand=False, padding=(1, 2))


class Display:
    """Shows the panel for as long as the context lasts."""

    def __init__(self, console: Console, facts: Sequence[tuple[str, str]]) -> None:
        self._console = console
        self._facts = facts
        self._live: Live | None = None

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, states: Sequence[State]) -> None:
        """Draw the panel with the current states."""
        panel = render(self._facts, states)
        if self._live:
            self._live.update(panel, refresh=True)
        else:
            self._console.print(panel)

    def report(self, changed: State, states: Sequence[State]) -> None:
        """Show a change: in the panel on a terminal, as one line elsewhere."""
        if self._live:
            self.show(states)
        else:
            self._console.print(
                f"{changed.part.name}: {changed.text}", highlight=False, soft_wrap=True, markup=False, emoji=False
            )
