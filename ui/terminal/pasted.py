"""What a person pastes or pipes into a question: a log, an error, a piece of a script.

It reads standard input to its end and no further than its limit; what the text says is the gateway's to read. A file
that something else has begun to read, as a shell's loop does with its list of questions, is left to that.

    question = join_question("why does this fail?", read_pasted(sys.stdin))
"""

from __future__ import annotations

import io
import os
import re
import select
import stat
import sys
from typing import TextIO

from ui.errors import PastedShared, PastedTooLong, PastedUnreadable
from ui.plain_text import plain

MAX_BYTES = 1_000_000  # some 10,000 lines of a log
NOTICE_AFTER_S = 1.0
_COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")  # ECMA-48: what a tool's log has to colour its words


def read_pasted(stream: TextIO | None) -> str:
    """The text of `stream`; "" where it is a terminal, at which a person sits, or closed.

    Raises PastedShared, PastedTooLong, PastedUnreadable.
    """
    if stream is None or stream.isatty():
        return ""
    try:
        if _is_shared(stream):
            raise PastedShared
        _hint_if_waiting(stream)
        read = stream.buffer.read(MAX_BYTES + 1)
    except OSError as error:
        raise PastedUnreadable(error.strerror or str(error)) from error
    if len(read) > MAX_BYTES:
        raise PastedTooLong(MAX_BYTES)
    return plain(_COLOURS.sub("", read.decode("utf-8", "replace"))).strip("\n")


def join_question(question: str, pasted: str) -> str:
    """The question, and below it what was pasted; either may be missing."""
    return "\n\n".join(part for part in (question.strip(), pasted) if part.strip())


def _is_shared(stream: TextIO) -> bool:
    """Whether something else has read a first part of the file, and would miss the rest."""
    try:
        file = stream.fileno()
        kind = os.fstat(file)
        return stat.S_ISREG(kind.st_mode) and 0 < os.lseek(file, 0, os.SEEK_CUR) < kind.st_size
    except io.UnsupportedOperation:  # a text in memory
        return False


def _hint_if_waiting(stream: TextIO) -> None:
    """Say on a terminal that standard input is read and nothing comes: it may be held open by mistake."""
    if sys.stderr.isatty() and not select.select([stream], [], [], NOTICE_AFTER_S)[0]:
        sys.stderr.write("Reading standard input to its end; Ctrl-D ends it.\n")
