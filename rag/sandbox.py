"""Parses files in a child process of its own, so that a hostile or damaged one can neither crash nor stop whoever reads the source.

The child ends itself when a file takes longer than allowed, has a limit of memory, and is started again for the next file. It is told no
path on disk: only a name and a content. It is no defence against code execution in a parser, which has this user's rights.

    with Sandbox(timeout_s=60, memory_bytes=2**31) as sandbox:
        sandbox.parse("manual.pdf", content)
"""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import IO

from rag.blocks import Parsed, read_parsed, write_parsed
from rag.errors import ParseFailed
from rag.parser import parse_file

MAX_TEXT_BYTES = 64 * 2**20  # of one document's blocks; the Bible has 4 MiB, the longest standard 20


class Sandbox:
    """Starts its child at the first file, and again after one that ended it. `timeout_s` is per file."""

    def __init__(self, timeout_s: float, memory_bytes: int) -> None:
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def parse(self, name: str, content: bytes) -> Parsed:
        """`rag.parser.parse_file` over there. Raises ParseFailed with the reason, also for a crash, too long or too much memory."""
        child = self._started()
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            head = {"name": name, "bytes": len(content), "timeout_s": self._timeout_s}
            child.stdin.write(json.dumps(head).encode() + b"\n" + content)
            child.stdin.flush()
            answer = _read_message(child.stdout)
        except BrokenPipeError:
            answer = None
        if answer is None:
            raise ParseFailed(self._explain_end(child))
        head, body = answer
        if head["failed"]:
            raise ParseFailed(body.decode("utf-8", "surrogatepass"))
        return read_parsed(body.decode("utf-8", "surrogatepass"))

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.communicate()

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._child is None:
            command = [sys.executable, "-m", "rag.sandbox", str(self._memory_bytes)]
            root = Path(__file__).resolve().parent.parent
            pipe, null = subprocess.PIPE, subprocess.DEVNULL
            self._child = subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe, stderr=null)
        return self._child

    def _explain_end(self, child: "subprocess.Popen[bytes]") -> str:
        """Why the child ended in the middle of a file."""
        self.close()
        if child.returncode == -signal.SIGALRM:
            return f"reading it takes longer than {self._timeout_s:g} s"
        if child.returncode < 0:
            return f"its parser crashed ({signal.Signals(-child.returncode).name}): it is probably damaged"
        return f"its parser ended with exit code {child.returncode}"


def _read_message(stream: IO[bytes]) -> tuple[dict[str, object], bytes] | None:
    """One line of JSON and the bytes it announces; None where the other side has ended."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    head: dict[str, object] = json.loads(line)
    size = head["bytes"]
    assert isinstance(size, int)
    body = stream.read(size)
    return (head, body) if len(body) == size else None


def _answer(name: str, content: bytes) -> tuple[bool, str]:
    """(whether it failed, the written blocks or the reason). Any error in a parser is about that one file."""
    try:
        text = write_parsed(parse_file(name, content))
    except ParseFailed as error:
        return True, str(error)
    except MemoryError:
        return True, "reading it takes more memory than a parser may have"
    except Exception as error:
        return True, f"damaged, or of a form that is not read ({type(error).__name__}: {' '.join(str(error).split())[:120]})"
    too_long = len(text) > MAX_TEXT_BYTES
    return too_long, f"it holds more than {MAX_TEXT_BYTES} bytes of text" if too_long else text


def main(memory_bytes: int) -> None:
    """The child: answers files on standard input until it closes. What a library prints goes nowhere."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while (message := _read_message(sys.stdin.buffer)) is not None:
        head, content = message
        signal.setitimer(signal.ITIMER_REAL, float(str(head["timeout_s"])))  # SIGALRM, not handled, ends the process in C code too
        failed, text = _answer(str(head["name"]), content)
        body = text.encode("utf-8", "surrogatepass")
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(json.dumps({"failed": failed, "bytes": len(body)}).encode() + b"\n" + body)
        answers.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
