"""Renders chat templates in a process with limits (`template_worker`), started when needed and again when it died.

It counts no tokens.

    text = TemplateRenderer().render("{{ messages[0].content }}", {"messages": [{"role": "user", "content": "Hi"}]})
"""

from __future__ import annotations

import json
import threading
import weakref
from typing import Any

from rag.child import Child, end_child, read_message, start_child, write_message
from serve.tokens.template_worker import MEMORY_BYTES, TIMEOUT_S


class TemplateRefused(Exception):
    """The template refuses the conversation or fails on it; the message is its reason."""


class TemplateTooCostly(TemplateRefused):
    """Rendering exceeds the time, memory or text that a conversation may take."""


class TemplateRenderer:
    """Renders one conversation at a time. Safe to call from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: Child | None = None

    def render(self, template: str, variables: dict[str, Any]) -> str:
        """The text that the template makes of the variables, which are JSON.

        Raises TemplateRefused, TemplateTooCostly.
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
        """The worker's answer; None if it died, and then the next request starts another."""
        worker = self._worker or self._start()
        try:
            write_message(worker.stdin, {}, request)
            answer = read_message(worker.stdout)
        except OSError:  # it died before it had read all
            answer = None
        if answer is None:
            end_child(worker)
            self._worker = None
            return None
        return answer[1]

    def _start(self) -> Child:
        """A worker; it ends with this object, or at the latest with this process, whose end of the pipe it reads."""
        self._worker = start_child("serve.tokens.template_worker", MEMORY_BYTES, str(TIMEOUT_S))
        weakref.finalize(self, end_child, self._worker)
        return self._worker
