"""Parses files in a child process, so that a hostile or damaged file can neither crash nor stop the program.

The child has a memory limit, ends itself when a file takes longer than allowed, and starts again for the next file. It
receives a name and a content and no path on disk; it asks the parent for the text that a file includes. It does not
protect against code execution in a parser, which has this user's rights.

    with Sandbox(timeout_s=60, memory_bytes=2**31) as sandbox:
        own_text, parsed = sandbox.read("manual.pdf", content)
"""

from __future__ import annotations

import sys
from functools import partial
from types import TracebackType
from typing import IO

from rag.blocks import Parsed, read_parsed, write_parsed
from rag.child import (
    Child,
    Message,
    end_child,
    explain_end,
    read_message,
    serve_parent,
    set_timer,
    start_child,
    write_message,
)
from rag.errors import ParseFailed
from rag.formats.includes import ReadText
from rag.formats.parser import read_file

MAX_TEXT_BYTES = 64 * 2**20  # of one document's text or blocks; the Bible has 4 MiB, the longest standard 20
_ENCODING = ("utf-8", "surrogatepass")


class Sandbox:
    """Starts its child at the first file, and again after a file that ended it. `timeout_s` is per file."""

    def __init__(self, timeout_s: float, memory_bytes: int) -> None:
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._child: Child | None = None

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(
        self, name: str, content: bytes, is_whole: bool = True, included: ReadText = lambda _: None
    ) -> tuple[str | None, Parsed]:
        """`rag.formats.parser.read_file` in the child.

        Raises ParseFailed: the message is the reason, also after a crash, too much time or too much memory.
        """
        if self._child is None:
            self._child = start_child("rag.sources.sandbox", self._memory_bytes)
        child = self._child
        try:
            write_message(child.stdin, {"name": name, "is_whole": is_whole, "timeout_s": self._timeout_s}, content)
            answer = read_message(child.stdout)
            while answer is not None and "include" in answer[0]:
                text = included(answer[0]["include"])
                write_message(child.stdin, {"found": text is not None}, (text or "").encode(*_ENCODING))
                answer = read_message(child.stdout)
        except BrokenPipeError:
            answer = None
        if answer is None:
            self._child = None
            raise ParseFailed(explain_end(end_child(child), self._timeout_s))
        return _unpack(answer)

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            end_child(child)


def _unpack(answer: Message) -> tuple[str | None, Parsed]:
    """The file's own text, where it is kept, and its blocks.

    Raises ParseFailed: the child sent a reason.
    """
    head, body = answer
    if head["failed"]:
        raise ParseFailed(body.decode(*_ENCODING))
    own_text = body[: head["text_bytes"]].decode(*_ENCODING) if head["keeps_text"] else None
    return own_text, read_parsed(body[head["text_bytes"] :].decode(*_ENCODING))


def _answer(name: str, content: bytes, is_whole: bool, included: ReadText) -> tuple[bytes | None, bytes]:
    """The file's own text, where it is kept, and the blocks.

    Raises ParseFailed: any error in a parser counts against that one file.
    """
    try:
        text, parsed = read_file(name, content, is_whole, included)
        own_text = None if text is None else text.encode(*_ENCODING)
        blocks = write_parsed(parsed).encode(*_ENCODING)
    except ParseFailed:
        raise
    except MemoryError:
        raise ParseFailed("reading it takes more memory than a parser may have") from None
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
    return answer[1].decode(*_ENCODING) if answer and answer[0]["found"] else None


def main(memory_bytes: int) -> None:
    """The child: answers files on standard input until it closes. What a library prints is discarded."""
    messages, answers = serve_parent(memory_bytes)
    while (message := read_message(messages)) is not None:
        head, content = message
        set_timer(head["timeout_s"])
        try:
            own_text, blocks = _answer(head["name"], content, head["is_whole"], partial(_ask, messages, answers))
        except ParseFailed as error:
            set_timer(0)
            write_message(answers, {"failed": True}, str(error).encode(*_ENCODING))
            continue
        set_timer(0)
        text = own_text or b""
        head = {"failed": False, "keeps_text": own_text is not None, "text_bytes": len(text)}
        write_message(answers, head, text + blocks)


if __name__ == "__main__":
    main(int(sys.argv[1]))
