"""What a person pipes into a question on a terminal, such as a log.

It reads standard input to its end and no further than its limit. A file that something else has begun to read, as a
shell's loop does with its list of questions, is left to that.

    question = join_question("why does this fail?", read_pasted(sys.stdin))
"""

from __future__ import annotations

import io
import os
import select
import stat
import sys
from typing import TextIO

from ui.errors import PastedNotText, PastedShared, PastedTooLong, PastedUnreadable
from ui.pasted import MAX_BYTES, decode_pasted, is_text

NOTICE_AFTER_S = 1.0


def read_pasted(stream: TextIO | None) -> str:
    """The text of `stream`; "" where it is a terminal, at which a person sits, or closed.

    Raises PastedShared, PastedNotText, PastedTooLong, PastedUnreadable.
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
    if not is_text(read):
        raise PastedNotText("Standard input")
    return decode_pasted(read)


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
