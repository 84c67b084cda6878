"""What a card says in words: a paragraph or a cell as one short line, and the default that it names.

It reads lines that the caller chose, and knows no command.

    shorten("Repairs hold\\n violations.")  # "Repairs hold violations."
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag.passages import ITEM
from rag.reference.tables import clean, read_default

LONGEST_DESCRIPTION = 600  # characters
SENTENCE_END = re.compile(r"(?<!e\.g)(?<!i\.e)[.!](?=\s+[A-Z`\"(]|\s*\Z)")


def shorten(text: str) -> str:
    """The text in one line of at most `LONGEST_DESCRIPTION` characters, cut after a sentence where possible."""
    line = clean(text[: 4 * LONGEST_DESCRIPTION])
    if len(line) <= LONGEST_DESCRIPTION:
        return line
    ends = [match.end() for match in SENTENCE_END.finditer(line, 0, LONGEST_DESCRIPTION)]
    return line[: ends[-1]] if ends else f"{line[: LONGEST_DESCRIPTION - 1].rstrip()}…"


def find_default(description: str, column: str = "") -> str:
    """The default with its unit, from its column or from the description; "" where there is none."""
    return " ".join(part.strip() for part in read_default(description, column) if part)[:100]


def read_first_paragraph(lines: Sequence[str]) -> str:
    """What a usage text says below the synopsis; "" where options follow at once."""
    found: list[str] = []
    for line in lines:
        if not line.strip() and found:
            break
        if line.strip():
            found.append(line.strip())
    text = " ".join(found)
    return "" if text[:1] in "-+[<" else shorten(text)


def read_first_item(lines: Sequence[str]) -> str:
    """What the first item inside a list's item says; "" where it holds none."""
    first = lines[0] if lines else ""
    item = ITEM.match(first)
    return shorten(first[item.end() - 1 :]) if item and item[1] else ""
