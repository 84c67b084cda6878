"""Child processes that read possibly hostile files under limits of memory and time, and the messages to and from them.

A message is a line of JSON and the bytes that it announces. It does not know what is read: `sandbox` and
`archive_members` do.

    child = start_child("rag.sources.sandbox", memory_bytes=2**31)
    write_message(child.stdin, {"name": "a.md"}, content); head, body = read_message(child.stdout)
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

Message = tuple[dict[str, Any], bytes]
Child = subprocess.Popen[bytes]


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


def explain_end(code: int, timeout_s: float) -> str:
    """Why a child ended before its work was done."""
    if code == -signal.SIGALRM:
        return f"reading it takes longer than {timeout_s:g} s"
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
    """In the child: set its memory limit; return the stream that messages come from and the one that they go to."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is not a message
    return sys.stdin.buffer, answers


def set_timer(timeout_s: float) -> None:
    """In the child: end it after so many seconds, in C code too, since nothing handles SIGALRM; 0 cancels the timer."""
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
