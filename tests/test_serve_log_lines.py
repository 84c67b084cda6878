"""What is logged breaks no line and steers no terminal."""

from __future__ import annotations

import io
import logging

from rag.printable import printable
from serve.log_lines import LineFormatter


def test_characters_that_are_not_printable_are_written_as_escapes() -> None:
    assert printable("plain ü 你") == "plain ü 你"
    assert printable("a\nb\x1b[2J\u202e\x85") == "a\\nb\\x1b[2J\\u202e\\x85"


def test_a_message_is_one_line_and_a_traceback_keeps_its_own() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter("%(levelname)s %(message)s"))
    log = logging.Logger("some library")
    log.addHandler(handler)
    log.warning("asked for %s", "x\nERROR \x1b]0;owned\x07")
    try:
        raise ValueError("\x1b[31mred")
    except ValueError:
        log.exception("failed")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "WARNING asked for x\\nERROR \\x1b]0;owned\\x07"
    assert lines[1:3] == ["ERROR failed", "Traceback (most recent call last):"]
    assert lines[-1] == "ValueError: \\x1b[31mred"
