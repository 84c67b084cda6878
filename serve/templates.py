"""Chat templates, rendered by a process with limits (`template_worker`), which is started when it is needed and again when it has died.

It counts no tokens.

    text = TemplateRenderer().render("{{ messages[0].content }}", {"messages": [{"role": "user", "content": "Hi"}]})
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

from serve.template_worker import TIMEOUT_S, read_frame, write_frame

WORKER = Path(__file__).with_name("template_worker.py")


class TemplateRefused(Exception):
    """The template refuses the conversation, or fails on it; the message is its reason."""


class TemplateTooCostly(TemplateRefused):
    """Rendering takes more time, memory or text than a conversation may."""


class TemplateRenderer:
    """Renders one conversation at a time. Safe to call from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def render(self, template: str, variables: dict[str, Any]) -> str:
        """The text that the template makes of the variables, which are JSON.

        Raises:
            TemplateRefused, TemplateTooCostly
        """
        request = json.dumps({"template": template, "variables": variables}, ensure_ascii=False, default=str).encode()
        with self._lock:
            answer = self._exchange(request)
        if answer is None:
            raise TemplateTooCostly(f"it takes longer than {TIMEOUT_S} s or too much memory")
        said: dict[str, str] = json.loads(answer)
        if "failed" in said:
            raise TemplateTooCostly(said["failed"])
        if "refused" in said:
            raise TemplateRefused(said["refused"])
        return said["text"]

    def _exchange(self, request: bytes) -> bytes | None:
        """What the worker answers; None where it died over it, and then the next request starts another."""
        process = self._process or self._start()
        assert process.stdin is not None  # both are pipes
        assert process.stdout is not None
        try:
            write_frame(process.stdin, request)
            answer = read_frame(process.stdout)
        except OSError:  # it died before it had read all
            answer = None
        if answer is None:
            _end(process)
            self._process = None
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        """A worker; it ends with this object, and at the latest with this process, whose end of the pipe it reads."""
        command = [sys.executable, "-P", str(WORKER)]  # -P: the files beside it are no modules of its own
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        weakref.finalize(self, _end, self._process)
        return self._process


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a worker, whatever it does."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what it did not read any more
                pipe.close()
