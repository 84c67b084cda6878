"""Text of documents, models and servers without the characters that steer what shows it. Pure: strings in, strings out.

It knows no markup: `ui.escaping` does. It removes what moves a terminal's cursor or sets its title, what reorders
letters so that code reads as something else than it is, and what cannot be written as UTF-8 at all.

    print(plain("red \\x1b[31mtext"))   # red [31mtext
"""

from __future__ import annotations

import re

Span = tuple[int, int]  # the first character, and the one after the last

_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and newline: they begin a terminal's commands
    # Embeddings, overrides and isolates: they reorder letters (https://trojansource.codes)
    "\u202a-\u202e\u2066-\u2069"
    "\ud800-\udfff]"  # halves of surrogate pairs, which JSON can hold and no file or socket can
)


def plain(text: str) -> str:
    """`text` with its lines and tabs, without control characters, reordering of letters and halves of characters."""
    return _STEERING.sub("", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """`plain(text)` as one line, each run of blanks a single space: titles, paths and sentences."""
    return " ".join(plain(text).split())


def move_span(text: str, span: Span) -> Span | None:
    """Where a span of `text` lies in `plain(text)`, without blanks at its ends; None where nothing is left of it."""
    start, end = span
    if not 0 <= start < end <= len(text):
        return None
    before, inside = len(plain(text[:start])), plain(text[start:end])
    kept = inside.strip()
    first = before + len(inside) - len(inside.lstrip())
    return (first, first + len(kept)) if kept else None
