"""rag.progress: lines for a log, those of a count by a clock that the test turns, and a bar on a terminal; the bars of
stages are seen in test_rag_commands_corpus_commands.py, where a build draws them.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from rag.progress import LINE_EVERY_S, _plain_count, show_count, show_progress


def test_without_a_terminal_a_line_is_written_every_few_percent_and_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with show_progress() as progress:
        for done in range(1, 201):
            progress("embed", done, 200)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "embed: 10 of 200"
    assert lines[-1] == "embed: 200 of 200"
    assert len(lines) == 20


def test_each_stage_has_its_own_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress() as progress:
        progress("chunk", 1, 1)
        progress("embed", 1, 1)
    assert capsys.readouterr().err == "chunk: 1 of 1\nembed: 1 of 1\n"


def test_a_count_gets_a_line_every_few_seconds_and_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    now = [100.0]
    show = _plain_count("answered", clock=lambda: now[0])
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


def test_without_a_terminal_a_count_is_written_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with show_count("answered") as show:
        show(1, 1, "loss 1.2")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "answered: 1 of 1, loss 1.2\n")


def test_on_a_terminal_a_count_is_a_bar_and_stdout_gets_nothing() -> None:
    reader, terminal = pty.openpty()
    code = "from rag.progress import show_count\nwith show_count('answered') as show: show(3, 7)"
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run([sys.executable, "-c", code], stderr=terminal, stdout=subprocess.PIPE, env=env, check=True)
    os.close(terminal)
    drawn = os.read(reader, 65536).decode()
    os.close(reader)
    assert done.stdout == b""
    assert "answered" in drawn
    assert "3/7" in drawn
