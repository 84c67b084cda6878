"""Server-sent events, the wire form of a stream (WHATWG HTML, section 9.2), as far as OpenAI's API uses them.

It knows nothing of HTTP or of the events' meaning.

    async for data in read_events(response.aiter_bytes()): ...
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

DONE = "[DONE]"  # OpenAI's last event
# For a line and for an event, which has millions with the log-probabilities of a whole prompt
MAX_EVENT_BYTES = 8 * 1024 * 1024


class EventTooLarge(ValueError):
    """A line or an event that does not end."""


async def read_lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Lines of a byte stream, ended by LF or CRLF.

    Not `str.splitlines`, which also cuts at U+2028 and others that JSON may hold unescaped.

    Raises EventTooLarge.
    """
    rest, searched = bytearray(), 0  # each byte is searched once, however small the pieces are
    async for piece in pieces:
        rest += piece
        start = 0
        while (end := rest.find(b"\n", max(start, searched))) >= 0:
            yield rest[start:end].removesuffix(b"\r").decode(errors="replace")
            start = end + 1
        del rest[:start]
        searched = len(rest)
        if searched > MAX_EVENT_BYTES:
            raise EventTooLarge(f"a line of more than {MAX_EVENT_BYTES // 1024 // 1024} MiB")
    if rest:
        yield rest.decode(errors="replace")


async def read_events(pieces: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Yield the data of each event, several data lines joined by newlines; skips comments and other fields.

    An event that the end of the stream cuts off (no blank line after it) is dropped, as the specification says.

    Raises EventTooLarge: a line or an event does not end.
    """
    data: list[str] = []
    size = 0
    async for line in read_lines(pieces):
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
            size += len(line)
            if size > MAX_EVENT_BYTES:
                raise EventTooLarge(f"an event of more than {MAX_EVENT_BYTES // 1024 // 1024} MiB")
        elif not line and data:
            yield "\n".join(data)
            data, size = [], 0


def write_event(data: dict[str, Any] | str, name: str = "") -> bytes:
    """One event on the wire, with its name if it has one; JSON has no raw newline, so one data line holds it."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {text}\n\n".encode()
