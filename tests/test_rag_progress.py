"""rag.progress without a terminal; test_rag_commands_corpus_commands.py sees the bar on one, where a build draws it."""

import pytest

from rag.progress import show_progress


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
