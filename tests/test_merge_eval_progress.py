"""merge.eval_progress: lines for a log, by a clock that the test turns; a bar on a terminal."""

import os
import pty
import subprocess
import sys

import pytest

from merge.eval_progress import LINE_EVERY_S, _plain_lines, show_count


def test_a_log_gets_a_line_every_few_seconds_and_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    now = [100.0]
    show = _plain_lines("answered", clock=lambda: now[0])
    for done in range(11, 31):  # ten were there already
        show(done, 30)
        now[0] += LINE_EVERY_S / 4
    # 5 s for four answers; at 15 of 30 the other fifteen take 18.75 s
    assert capsys.readouterr().err.splitlines() == [
        "answered: 11 of 30",
        "answered: 15 of 30, 19 s left",
        "answered: 19 of 30, 14 s left",
        "answered: 23 of 30, 9 s left",
        "answered: 27 of 30, 4 s left",
        "answered: 30 of 30",
    ]


def test_without_a_terminal_lines_are_written_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with show_count("answered") as show:
        show(1, 1)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "answered: 1 of 1\n")


def test_a_terminal_gets_a_bar_and_stdout_nothing() -> None:
    reader, terminal = pty.openpty()
    code = "from merge.eval_progress import show_count\nwith show_count('answered') as show: show(3, 7)"
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run([sys.executable, "-c", code], stderr=terminal, stdout=subprocess.PIPE, env=env, check=True)
    os.close(terminal)
    drawn = os.read(reader, 65536).decode()
    os.close(reader)
    assert done.stdout == b""
    assert "answered" in drawn
    assert "3/7" in drawn
