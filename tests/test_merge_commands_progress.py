"""merge.commands.progress, style and pareto: what a log and a terminal see, and pictures in both themes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from matplotlib import rcParams
from matplotlib.figure import Figure

from merge.commands.progress import LINE_EVERY_S, Bar, Lines, make_watcher
from merge.commands.style import THEMES, faint, ink, plain, save_themes


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_a_line_every_few_seconds_and_each_step_at_once() -> None:
    now = [0.0]
    log = io.StringIO()
    with Lines(log, lambda: now[0], "reading") as watcher:
        watcher.move(1_000_000, 9_000_000)
        now[0] = LINE_EVERY_S - 0.1
        watcher.move(2_000_000, 9_000_000)
        now[0] = LINE_EVERY_S
        watcher.move(3_000_000, 9_000_000)
        watcher.say("chip parent: \x1b[2J")
        now[0] += LINE_EVERY_S - 0.1
        watcher.move(4_000_000, 9_000_000)  # a step was said a moment ago
    assert log.getvalue() == "reading 3 of 9 MB\nchip parent: \\x1b[2J\n"


def test_a_terminal_gets_a_bar_once_something_moves() -> None:
    screen = Terminal()
    with make_watcher(screen, "merging") as watcher:
        assert isinstance(watcher, Bar)
        watcher.say("reading [bold]parents[/bold]")
        assert "merging" not in screen.getvalue()
        watcher.move(5, 10)
    assert "[bold]parents" in screen.getvalue()  # nothing in a name is markup
    assert "merging" in screen.getvalue()
    assert isinstance(make_watcher(io.StringIO()), Lines)


def test_pictures_are_written_light_and_dark_and_leave_the_settings_alone(tmp_path: Path) -> None:
    before = dict(rcParams)
    seen: list[tuple[str, str]] = []

    def draw() -> Figure:
        seen.append((ink(), faint()))
        figure = Figure(figsize=(1, 1))
        figure.suptitle(plain("costs $5 and $6\x07"))
        return figure

    paths = save_themes({"a.png": draw, "b.png": draw}, tmp_path / "pictures")
    assert [path.name for path in paths] == ["a.png", "b.png", "a-dark.png", "b-dark.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    assert seen == [(str(theme["text.color"]), str(theme["grid.color"])) for theme in THEMES.values() for _ in "ab"]
    assert dict(rcParams) == before


def test_the_same_picture_has_the_same_bytes(tmp_path: Path) -> None:
    def draw() -> Figure:
        return Figure(figsize=(1, 1))

    first, second = (save_themes({"a.png": draw}, tmp_path / name)[0].read_bytes() for name in ("one", "two"))
    assert first == second


@pytest.mark.parametrize(("title", "drawn"), [("a $x$", r"a \$x\$"), ("a\nb", r"a\nb"), ("\u00b5", "\u00b5")])
def test_a_title_is_drawn_as_it_is_written(title: str, drawn: str) -> None:
    assert plain(title) == drawn
