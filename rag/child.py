"""Child processes that read possibly hostile files under limits of memory and time, and the messages to and from them.

A message is a line of JSON and the bytes that it announces. It does not know what is read: `sandbox`, `cutting` and
`archive_members` do.

    with ChildPool("rag.sources.sandbox", memory_bytes=2**31) as pool:
        head, body = pool.ask({"name": "a.md", "timeout_s": 60}, content)
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any

Message = tuple[dict[str, Any], bytes]
Child = subprocess.Popen[bytes]
Reply = Callable[[dict[str, Any]], Message | None]
OUT_OF_MEMORY = 77  # the exit code of a child that ends for want of memory


class ChildEnded(Exception):
    """A child ended before it answered; `code` is its exit code, or the signal that ended it as a negative number."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class ChildPool:
    """Children of one module, each of which answers one message at a time. Safe to call from many threads.

    A child is started where all others are busy, and waits for the next message afterwards.
    """

    def __init__(self, module: str, memory_bytes: int, *arguments: str) -> None:
        self._start = partial(start_child, module, memory_bytes, *arguments)
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        self._busy: list[Child] = []
        self._is_closed = False

    def __enter__(self) -> ChildPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, head: dict[str, Any], body: bytes = b"", reply: Reply = lambda _: None) -> Message:
        """A child's answer to one message. `reply` gives what the child asks for before that, and None for the answer.

        Raises ChildEnded.
        """
        child = self._take()
        try:
            answer = _converse(child, head, body, reply)
        except BaseException:  # its answer would be taken for that to the next message
            self._drop(child)
            raise
        if answer is None:
            raise ChildEnded(self._drop(child))
        with self._lock:
            self._busy.remove(child)
            self._idle.append(child)
        return answer

    def close(self) -> None:
        """End all children, also those at work."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
            for child in self._busy:  # whoever waits for it drops it
                child.kill()
        for child in idle:
            end_child(child)

    def _take(self) -> Child:
        with self._lock:
            if self._is_closed:
                raise ChildEnded(-signal.SIGKILL)
            child = self._idle.pop() if self._idle else self._start()
            self._busy.append(child)
        return child

    def _drop(self, child: Child) -> int:
        with self._lock:
            self._busy.remove(child)
        return end_child(child)


def _converse(child: Child, head: dict[str, Any], body: bytes, reply: Reply) -> Message | None:
    """What a child answers in the end; None where it ends before."""
    try:
        write_message(child.stdin, head, body)
        while (answer := read_message(child.stdout)) is not None and (found := reply(answer[0])) is not None:
            write_message(child.stdin, *found)
    except BrokenPipeError:
        return None
    return answer


def start_child(module: str, memory_bytes: int, *arguments: str) -> Child:
    """Run `python -m module MEMORY_BYTES ARGUMENTS`, which begins with `serve_parent`; discard what it prints."""
    command = [sys.executable, "-m", module, str(memory_bytes), *arguments]
    root = Path(__file__).resolve().parent.parent
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    return subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe, stderr=null)


def end_child(child: Child) -> int:
    """End the child unless it has ended, and return its exit code, or the signal that ended it as a negative number."""
    child.kill()
    child.communicate()
    return child.returncode


def explain_end(code: int, timeout_s: float, work: str = "reading") -> str:
    """Why a child ended before its work was done."""
    if code == -signal.SIGALRM:
        return f"{work} it takes longer than {timeout_s:g} s (CHIPALIGN_PARSE_TIMEOUT_S)"
    if code == OUT_OF_MEMORY:
        return f"{work} it takes more memory than allowed (CHIPALIGN_PARSE_MEMORY_MB)"
    if code < 0:
        return f"its parser crashed ({signal.Signals(-code).name}): it is probably damaged"
    return f"its parser ended with exit code {code}"


def write_message(stream: IO[bytes] | None, head: dict[str, Any], body: bytes = b"") -> None:
    """Send one message.

    Raises BrokenPipeError: the other side has ended.
    """
    assert stream is not None
    stream.write(json.dumps({**head, "bytes": len(body)}).encode() + b"\n" + body)
    stream.flush()


def read_message(stream: IO[bytes] | None) -> Message | None:
    """The next message; None where the other side has ended."""
    assert stream is not None
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    head: dict[str, Any] = json.loads(line)
    body = stream.read(head["bytes"])
    return (head, body) if len(body) == head["bytes"] else None


def serve_parent(memory_bytes: int) -> tuple[IO[bytes], IO[bytes]]:
    """In the child: set its memory limit; return the stream that messages come from and the one that they go to.

    Where the machine allows less (`ulimit -v`), that is the limit.
    """
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = memory_bytes if most == resource.RLIM_INFINITY else min(memory_bytes, most)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is not a message
    return sys.stdin.buffer, answers


def set_timer(timeout_s: float) -> None:
    """In the child: end it after so many seconds, in C code too, since nothing handles SIGALRM; 0 cancels the timer."""
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
