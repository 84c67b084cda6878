"""A text that goes with a question: a log, an error, a piece of a script. Pure: bytes in, a question's text out.

It opens no file (`ui.terminal.standard_input` and the page do), and what a log says is the gateway's to read.

    question = join_question("why does this fail?", decode_pasted(b"[ERROR GRT-0118] Routing congestion too high."))
"""

from __future__ import annotations

import codecs
import re

from ui.errors import AttachedTooLong, PastedNotText
from ui.plain_text import plain

MAX_BYTES = 1_000_000  # some 10,000 lines of a log
# ECMA-48: what a tool's log has to colour its words
_COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def decode_pasted(pasted: bytes | bytearray) -> str:
    """The text as a person sees it: UTF-8, or UTF-16 with its mark, without colours and what steers a terminal."""
    mark, encoding = next((known for known in _MARKS if pasted.startswith(known[0])), (b"", "utf-8"))
    text = pasted.removeprefix(mark).decode(encoding, "replace")
    return plain(_COLOURS.sub("", text)).strip("\n")


def is_text(pasted: bytes | bytearray) -> bool:
    """Whether bytes are a text at all: a layout, a database or an archive has zero bytes."""
    return b"\0" not in pasted or pasted.startswith(tuple(mark for mark, _ in _MARKS))


def read_attached(name: str, attached: bytes | bytearray) -> str:
    """The text of a file that goes with a question. Raises AttachedTooLong, PastedNotText."""
    if len(attached) > MAX_BYTES:
        raise AttachedTooLong(name, MAX_BYTES)
    if not is_text(attached):
        raise PastedNotText(name)
    return decode_pasted(attached)


def join_question(question: str, *pasted: str) -> str:
    """The question, and below it what was pasted, text by text; any of them may be missing."""
    return "\n\n".join(part for part in (question.strip(), *pasted) if part.strip())
