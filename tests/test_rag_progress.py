"""rag.progress without a terminal; with one it is drawn in test_rag_index_commands."""

import pytest

from rag.progress import show_progress


def test_a_line_is_written_every_few_percent_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress() as progress:
        for done in range(1, 1001):
            progress("embed", done, 1000)
        progress("chunk", 1, 1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "embed: 50 of 1000"
    assert lines[-2:] == ["embed: 1000 of 1000", "chunk: 1 of 1"]
    assert len(lines) == 21
