"""Server-sent events, the wire form of a stream (WHATWG HTML, section 9.2), as far as OpenAI's API uses them.

It knows nothing of HTTP or of what the events mean.

    async for data in read_events(response.aiter_lines()): ...
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

DONE = "[DONE]"  # OpenAI's last event


async def read_events(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yield the data of each event; several data lines of one event are joined by newlines, comments and other fields are passed over.

    An event that the end of the stream cuts off (no blank line behind it) is dropped, as the specification says.
    """
    data: list[str] = []
    async for line in lines:
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            yield "\n".join(data)
            data = []


def write_event(data: dict[str, Any] | str) -> bytes:
    """One event on the wire; JSON has no raw newline, so one data line holds it."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode()
