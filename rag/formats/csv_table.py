"""Comma- or tab-separated values to one table under its header row, which the chunker cuts between rows.

The csv module reads them. It guesses no types and computes nothing.

    parse_csv("pin,layer\nA,M1\n").blocks[0].text.startswith("| pin | layer |")
"""

from __future__ import annotations

import csv
import re
from io import StringIO
from itertools import takewhile

from rag.blocks import Block, Parsed, pipe_table
from rag.errors import ParseFailed

MAX_COLUMNS = 1000
_SAMPLE_CHARACTERS = 16_384
_DECLARED = re.compile(r"\"?sep=(?P<mark>[^\w\s\"]|\t)\"?[ \t]*\n", re.IGNORECASE)


def parse_csv(text: str) -> Parsed:
    """One table.

    The separator is the one that occurs most evenly in the first lines.

    Raises ParseFailed: the file is damaged.
    """
    declared = _DECLARED.match(text)  # what spreadsheets read it by
    text = text[declared.end() :] if declared else text
    separator = declared["mark"] if declared else _find_separator(text[:_SAMPLE_CHARACTERS])
    try:
        rows = [
            row
            for row in csv.reader(StringIO(text, newline=""), delimiter=separator)
            if any(cell.strip() for cell in row)
        ]
    except csv.Error as error:
        raise ParseFailed(f"no table of values separated by {separator!r} ({error})") from error
    if max(map(len, rows), default=0) > MAX_COLUMNS:
        raise ParseFailed(f"a table of more than {MAX_COLUMNS} columns is data and no document")
    width = max(map(len, rows), default=0)
    # Titles over the table, not its header
    titles = list(takewhile(lambda row: width > 1 and sum(1 for cell in row if cell.strip()) == 1, rows[:3]))
    blocks = [Block("prose", " ".join(row).strip(), ()) for row in titles]
    body = rows[len(titles) :]
    return Parsed("", (*blocks, *((Block("table", pipe_table(body), ()),) if body else ())))


def _find_separator(sample: str) -> str:
    """The separator that occurs in most of the first lines; a comma where none does."""
    lines = [line for line in sample.splitlines()[:50] if line.strip()]
    counts = {mark: sum(1 for line in lines if mark in line) for mark in (",", "\t", ";", "|")}
    return max(counts, key=lambda mark: (counts[mark], sum(line.count(mark) for line in lines)))
