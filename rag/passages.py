"""The text of a passage, plain Markdown, cut into blocks, each with its exact place.

Blocks are paragraphs, lists, tables, fences of code and headings. It reads what the chunker wrote and opens no file,
and knows nothing of what a block says. Its time is linear in the text.

    [text[start:end] for start, end in cut_blocks(text)]
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Span = tuple[int, int]  # the first character, and the one after the last

FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
HEADING = re.compile(r"#{1,6} +(\S.*)")
# What a list item begins with: a sign, or a number, a letter or a Roman number; `No.` and `it.` begin a sentence
MARKER = r"(?:[-*+]|#\.|\(?(?:\d{1,3}[a-z]?|[A-Za-z]|[ivxIVX]{2,4})[.)])\s+"
ITEM = re.compile(rf"(\s*){MARKER}\S")
TABLE_RULE = re.compile(r"\|?[\s:|+=-]+\|?")
BORDER = re.compile(r"[+=-][+=\s-]*[+=-]")  # of a table in reStructuredText


def cut_blocks(text: str) -> Iterator[Span]:
    """Paragraphs, lists, tables and fences; headings are blocks of their own. An open fence goes to the end."""
    lines = list(split_lines(text))
    number = 0
    while number < len(lines):
        start, end = lines[number]
        line = text[start:end]
        if not line.strip():
            number += 1
            continue

        last = number
        if fence := FENCE.match(line):
            last += 1
            while last < len(lines) - 1 and not closes_fence(text[slice(*lines[last])], fence[1]):
                last += 1
            last = min(last, len(lines) - 1)
        elif not HEADING.match(line):
            while last + 1 < len(lines) and _goes_on(text[slice(*lines[last + 1])], line):
                last += 1
        yield start, lines[last][1]
        number = last + 1


def split_lines(text: str) -> Iterator[Span]:
    """Where each line stands, without its end."""
    start = 0
    for line in text.split("\n"):
        yield start, start + len(line)
        start += len(line) + 1


def closes_fence(line: str, fence: str) -> bool:
    """Whether a line ends a fence: at least as long, of the same sign, and nothing else."""
    bare = line.strip()
    return len(bare) >= len(fence) and not bare.strip(fence[0])


def _goes_on(line: str, first: str) -> bool:
    """Whether a line belongs to the block that began with `first`.

    A list and a table begin anew even without a blank line.
    """
    if not line.strip() or FENCE.match(line) or HEADING.match(line):
        return False
    is_list, is_table = bool(ITEM.match(first)), first.startswith("|")
    if line.startswith("|") != is_table:
        return False
    return is_list or not (ITEM.match(line) and not first[:1].isspace())


def table_header(block: str, at: int) -> Span | None:
    """The first two lines of a Markdown table, or None where the second is not a rule."""
    lines = block.split("\n", 2)
    if len(lines) < 2 or not TABLE_RULE.fullmatch(lines[1]):
        return None
    return at, at + len(lines[0]) + 1 + len(lines[1])
