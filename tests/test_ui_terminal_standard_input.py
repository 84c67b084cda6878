"""Standard input as part of a question: read to its end, up to a limit, without what colours a terminal."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from tests.rows import for_each
from ui.errors import PastedNotText, PastedShared, PastedTooLong, PastedUnreadable
from ui.pasted import MAX_BYTES
from ui.terminal.standard_input import read_pasted


def piped(text: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(text))


@for_each(
    ("sent", "read"),
    [
        (b"", ""),
        (b"[ERROR GRT-0116] congestion\n", "[ERROR GRT-0116] congestion"),
        (b"a\r\nb\n\n", "a\nb"),
        (b"\x1b[1;31mError\x1b[0m: \x1b[Kx", "Error: x"),
        (b"\xff caf\xc3\xa9", "� café"),
        (b"  indented\n\tcode\n", "  indented\n\tcode"),
        ("a\u202eb".encode(), "ab"),
    ],
)
def test_piped_text_is_read_as_a_person_saw_it(sent: bytes, read: str) -> None:
    assert read_pasted(piped(sent)) == read


def test_text_as_long_as_the_limit_is_read_and_more_is_refused() -> None:
    assert len(read_pasted(piped(b"a" * MAX_BYTES))) == MAX_BYTES
    with pytest.raises(PastedTooLong, match=r"more than 1 MB: give the part that matters"):
        read_pasted(piped(b"a" * (MAX_BYTES + 1)))


def test_endless_text_is_read_no_further_than_the_limit() -> None:
    with Path("/dev/zero").open() as endless, pytest.raises(PastedTooLong):
        read_pasted(endless)


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(PastedNotText, match=r"^Standard input holds no text, so nothing was asked: give a log"):
        read_pasted(piped(b"\x7fELF\x02\x01\x01\0"))


def test_closed_input_and_a_terminal_are_not_text() -> None:
    assert read_pasted(None) == ""
    ours, theirs = os.openpty()
    with os.fdopen(theirs) as terminal:
        assert read_pasted(terminal) == ""
    os.close(ours)


def test_input_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with (
        (tmp_path / "x").open("w") as unreadable,
        pytest.raises(PastedUnreadable, match="Standard input cannot be read"),
    ):
        read_pasted(unreadable)


def test_file_that_something_else_reads_is_left_to_it(tmp_path: Path) -> None:
    (tmp_path / "questions").write_text("What is skew?\nWhat is slack?\n")
    with (tmp_path / "questions").open() as shared:
        os.read(shared.fileno(), len("What is skew?\n"))
        with pytest.raises(PastedShared, match=r"a loop or another command has begun to read: add -n"):
            read_pasted(shared)
        assert os.read(shared.fileno(), 100) == b"What is slack?\n"
        assert read_pasted(shared) == ""  # nothing is left that the other could miss
    with (tmp_path / "questions").open() as own:
        assert read_pasted(own) == "What is skew?\nWhat is slack?"
