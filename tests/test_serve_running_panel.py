"""The panel on a terminal is redrawn in place, and shows what settings and logs hold as text, not as rich's markup."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from serve.running.panel import Display, render
from serve.running.supervisor import Part, State, find_cause
from tests.rows import for_each


def state(name: str, text: str = "ready") -> State:
    return State(Part(name, ["true"], {}, Path("/logs") / f"{name}.log", "http://127.0.0.1:9/"), text)


def test_on_a_terminal_a_change_redraws_the_panel_and_prints_no_line() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100)
    states = [state("engine"), state("page")]
    with Display(console, [("model", "demo")]) as display:
        display.show(states)
        states[0].text = "ended with status -9; restart 1 in 1 s"
        display.report(states[0], states)
    shown = stream.getvalue()
    assert shown.count("ChipAlign is running") >= 2
    assert "engine: ended" not in shown
    assert "restart 1 in 1 s" in shown
    assert "\x1b[" in shown  # moved back over the old panel


@for_each("value", ["[bold]x[/bold]", "[/no such tag]", ":smile:", "/home/a[1]/models"])
def test_square_brackets_in_names_are_shown_as_they_are(value: str) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=100)
    with Display(console, [("model", value)]) as display:
        display.show([state("engine", value)])
        display.report(state("engine", value), [])
    assert stream.getvalue().count(value) == 3


def test_a_value_longer_than_the_terminal_is_folded_and_nothing_of_it_is_lost() -> None:
    stream = io.StringIO()
    path = "/srv/" + "a-long-folder-name/" * 8
    Console(file=stream, width=60).print(render([("logs", path)], []))
    assert path in "".join(
        line.strip("│╭╮╰╯─ ").removeprefix("logs").strip() for line in stream.getvalue().splitlines()
    )


@for_each(
    ("log", "cause"),
    [
        ("", "it wrote nothing"),
        ("\n \n", "it wrote nothing"),
        ("starting\nout of luck\n", "out of luck"),
        ("ValueError: first\n  at x\nRuntimeError: Engine core initialization failed\n", "ValueError: first"),
        (
            "RuntimeError: x\nchipalign serve: there is no index in /i: build one\n",
            "chipalign serve: there is no index in /i: build one",
        ),
        ("(EngineCore pid=7) torch.OutOfMemoryError: no memory left\nbye\n", "OutOfMemoryError: no memory left"),
        ("\udcff broken bytes", "\ufffd broken bytes"),
    ],
)
def test_the_cause_of_an_end_is_our_last_word_or_the_first_exception_or_last_line(
    tmp_path: Path, log: str, cause: str
) -> None:
    path = tmp_path / "engine.log"
    path.write_bytes(log.encode("utf-8", "surrogateescape"))
    assert find_cause(path) == cause
    assert find_cause(tmp_path / "none.log") == "it wrote nothing"
