"""Parses files in child processes, so that a hostile or damaged file can neither crash nor stop the program.

A child has a memory limit, ends itself when a file takes longer than allowed, and another takes its place. It receives
a name and a content and no path on disk; it asks the parent for the text that a file includes. It does not protect
against code execution in a parser, which has this user's rights.

    with Sandbox(settings) as sandbox:
        own_text, parsed = sandbox.read("manual.pdf", content)
"""

from __future__ import annotations

import os
import sys
from functools import partial
from types import TracebackType
from typing import IO, Any

from rag.blocks import Parsed, read_parsed, write_parsed
from rag.child import (
    OUT_OF_MEMORY,
    ChildEnded,
    ChildPool,
    Message,
    explain_end,
    read_message,
    serve_parent,
    set_timer,
    write_message,
)
from rag.errors import ParseFailed
from rag.formats.includes import ReadText
from rag.formats.parser import read_file
from rag.settings import RagSettings

MAX_TEXT_BYTES = 64 * 2**20  # of one document's text or blocks; the Bible has 4 MiB, the longest standard 20
_NAMES = ("utf-8", "surrogatepass")  # and reasons with names in them
_TEXT = ("utf-8", "replace")  # half a surrogate pair, which JSON and PDF can name, is not text that can be stored


class Sandbox:
    """Reads one file in a child, with the limits of the settings. Safe to call from many threads.

    It starts as many children as there are callers at a time.
    """

    def __init__(self, settings: RagSettings) -> None:
        self._settings = settings
        self._pool = ChildPool("rag.sources.sandbox", settings.parse_memory_mb * 2**20)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(
        self, name: str, content: bytes, is_whole: bool = True, included: ReadText = lambda _: None
    ) -> tuple[str | None, Parsed]:
        """`rag.formats.parser.read_file` in a child.

        Raises ParseFailed: the message is the reason, also after a crash, too much time or too much memory.
        """
        timeout_s = self._settings.parse_limit_s(len(content))

        def find(head: dict[str, Any]) -> Message | None:
            """The text of another file that the child asks for; None where it has its answer."""
            if "include" not in head:
                return None
            text = included(head["include"])
            return {"found": text is not None}, (text or "").encode(*_TEXT)

        try:
            head = {"name": name, "is_whole": is_whole, "timeout_s": timeout_s, "ocr": self._settings.ocr}
            return _unpack(self._pool.ask(head, content, find))
        except ChildEnded as error:
            raise ParseFailed(explain_end(error.code, timeout_s)) from None

    def close(self) -> None:
        """End the children."""
        self._pool.close()


def _unpack(answer: Message) -> tuple[str | None, Parsed]:
    """The file's own text, where it is kept, and its blocks.

    Raises ParseFailed: the child sent a reason.
    """
    head, body = answer
    if head["failed"]:
        raise ParseFailed(body.decode(*_NAMES))
    own_text = body[: head["text_bytes"]].decode(*_TEXT) if head["keeps_text"] else None
    return own_text, read_parsed(body[head["text_bytes"] :].decode(*_TEXT))


def _answer(name: str, content: bytes, is_whole: bool, included: ReadText, ocr: str = "") -> tuple[bytes | None, bytes]:
    """The file's own text, where it is kept, and the blocks.

    Raises ParseFailed: any error in a parser counts against that one file.
    """
    try:
        text, parsed = read_file(name, content, is_whole, included, ocr)
        own_text = None if text is None else text.encode(*_TEXT)
        blocks = write_parsed(parsed).encode(*_TEXT)
    except ParseFailed:
        raise
    except MemoryError:
        raise ParseFailed(explain_end(OUT_OF_MEMORY, 0)) from None
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise ParseFailed(f"damaged, or of a form that is not read ({type(error).__name__}: {reason})") from error
    if max(len(own_text or b""), len(blocks)) > MAX_TEXT_BYTES:
        raise ParseFailed(f"it holds more than {MAX_TEXT_BYTES} bytes of text")
    return own_text, blocks


def _ask(messages: IO[bytes], answers: IO[bytes], name: str) -> str | None:
    """The text of another file of the source, which the parent reads; None where it is missing."""
    write_message(answers, {"include": name})
    answer = read_message(messages)
    return answer[1].decode(*_TEXT) if answer and answer[0]["found"] else None


def main(memory_bytes: int) -> None:
    """The child: answers files on standard input until it closes. What a library prints is discarded."""
    messages, answers = serve_parent(memory_bytes)
    try:
        _serve(messages, answers)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # the usual end would need memory


def _serve(messages: IO[bytes], answers: IO[bytes]) -> None:
    while (message := read_message(messages)) is not None:
        head, content = message
        set_timer(head["timeout_s"])
        try:
            included = partial(_ask, messages, answers)
            own_text, blocks = _answer(head["name"], content, head["is_whole"], included, head["ocr"])
        except ParseFailed as error:
            set_timer(0)
            write_message(answers, {"failed": True}, str(error).encode(*_NAMES))
            continue
        set_timer(0)
        text = own_text or b""
        head = {"failed": False, "keeps_text": own_text is not None, "text_bytes": len(text)}
        write_message(answers, head, text + blocks)


if __name__ == "__main__":
    main(int(sys.argv[1]))
