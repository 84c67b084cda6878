"""Responses in the memory of one process: the oldest make room for new ones, and all end with the process.

It writes no file.

    store = MemoryResponses()
    store.add(StoredResponse("resp_1", None, input=[...], response={...}))
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import astuple
from threading import Lock

from serve.store.responses import StoredResponse

MOST_RESPONSES = 10_000
MOST_BYTES = 64 * 1024 * 1024  # of all responses; one of a question has some 20 KiB, most of it passages


class MemoryResponses:
    """A `serve.store.responses.ResponseStore` up to a number and a size."""

    def __init__(self, most_responses: int = MOST_RESPONSES, most_bytes: int = MOST_BYTES) -> None:
        self._most_responses = most_responses
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def add(self, stored: StoredResponse) -> None:
        """Keep a response; one of the same id is replaced. One that is too large alone is not kept."""
        written = json.dumps(astuple(stored), ensure_ascii=False).encode(errors="replace")
        with self._lock:
            self._forget(stored.response_id)
            self._kept[stored.response_id] = written
            self._bytes += len(written)
            while len(self._kept) > self._most_responses or self._bytes > self._most_bytes:
                self._forget(next(iter(self._kept)))

    def find(self, response_id: str) -> StoredResponse | None:
        """The response of this id, or None."""
        with self._lock:
            written = self._kept.get(response_id)
        return None if written is None else StoredResponse(*json.loads(written))

    def chain(self, response_id: str, most: int) -> list[StoredResponse]:
        """The response and those before it, the first one first; [] where it is unknown."""
        turns: list[StoredResponse] = []
        wanted: str | None = response_id
        while wanted and len(turns) < most and (found := self.find(wanted)):
            turns.append(found)
            wanted = found.previous_id
        return turns[::-1]

    def delete(self, response_id: str) -> bool:
        """Delete a response; whether it was there."""
        with self._lock:
            return self._forget(response_id)

    def _forget(self, response_id: str) -> bool:
        written = self._kept.pop(response_id, None)
        self._bytes -= len(written or b"")
        return written is not None
