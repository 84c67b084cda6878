"""Cuts a passage into units that a person would quote: a sentence, list item, table row, definition or code block.

Each has its exact place in the passage, and what introduces it: a lead-in that ends with a colon, the header of its
table, the heading above it. It reads the text of chunks, which is plain Markdown, and scores nothing.

    [unit.kind for unit in cut_units("Run it so:\\n\\n```tcl\\npdngen\\n```")]   # ["sentence", "code"]
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rag.passages import BORDER, FENCE, HEADING, ITEM, TABLE_RULE, Span, cut_blocks, split_lines, table_header

UnitKind = Literal["sentence", "item", "row", "definition", "code"]

# A sentence ends at its stop, with what closes behind it, before white space and whatever can open the next one.
_SENTENCE_END = re.compile(r"[.!?][\"')\]`*]*(?=\s+[A-Z\d`\"'(\[*_$<-])")
NO_END = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|fig|eq|sec|no|approx|resp|incl)|(?:^|\s)[A-Z])\.$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Unit:
    """`text[start:end]` of a passage. Units of one `block` (a paragraph, a list, a table, a fence) stand together.

    `lead` is the paragraph that introduces a list, table or code; `header` that of a row's table; `heading` the line
    above it all.
    """

    kind: UnitKind
    start: int
    end: int
    block: int
    lead: Span | None = None
    header: Span | None = None
    heading: Span | None = None

    @property
    def context(self) -> tuple[Span, ...]:
        """What a reader needs beside the unit, in the order of the passage."""
        return tuple(span for span in (self.heading, self.lead, self.header) if span)


def cut_units(text: str) -> list[Unit]:
    """The units of a passage in reading order.

    Together with headings, headers and blank lines they are the whole passage.
    """
    units: list[Unit] = []
    heading: Span | None = None
    before: Span | None = None  # the paragraph just above, where it ends with a colon

    for number, (start, end) in enumerate(cut_blocks(text)):
        block = text[start:end]
        if HEADING.fullmatch(block):
            heading, before = (start, end), None
            continue

        found = [Unit(kind, first, last, number, heading=heading) for kind, first, last in _cut_block(block, start)]
        header = table_header(block, start) if found and found[0].kind == "row" else None
        is_introduced = bool(found) and found[0].kind != "sentence"
        lead = before if is_introduced else None
        units += [Unit(unit.kind, unit.start, unit.end, number, lead, header, heading) for unit in found]
        before = (found[-1].start, end) if found and found[-1].kind == "sentence" and block.endswith(":") else None

    return units


def _cut_block(block: str, at: int) -> Iterator[tuple[UnitKind, int, int]]:
    """The units of one block that begins at `at`."""
    if FENCE.match(block):
        yield "code", at, at + len(block)
    elif block.startswith("|"):
        header = table_header(block, at)
        for start, end in split_lines(block):
            if (header is None or at + start >= header[1]) and not TABLE_RULE.fullmatch(block[start:end]):
                yield "row", at + start, at + end
    elif BORDER.match(block):
        yield "code", at, at + len(block)  # a table whose columns are aligned is quoted as it stands
    elif ITEM.match(block):
        yield from (("item", at + start, at + end) for start, end in _items(block))
    elif _is_definition(block):
        yield "definition", at, at + len(block)
    else:
        yield from (("sentence", at + start, at + end) for start, end in _sentences(block))


def _items(block: str) -> Iterator[Span]:
    """The outermost items of a list, each with what stands below it."""
    margin = len(block) - len(block.lstrip())
    starts = [
        start for start, end in split_lines(block) if (item := ITEM.match(block[start:end])) and len(item[1]) <= margin
    ]
    for start, end in zip(starts, [*starts[1:], len(block) + 1], strict=True):
        yield start, end - 1


def _is_definition(block: str) -> bool:
    """A term on one line and what it means below, indented."""
    first, *rest = block.split("\n")
    return bool(rest) and not first.startswith(" ") and all(line.startswith((" ", "\t")) for line in rest)


def _sentences(block: str) -> Iterator[Span]:
    start = 0
    for stop in _SENTENCE_END.finditer(block):
        if NO_END.search(block, max(start, stop.start() - 8), stop.start() + 1):
            continue
        yield start, stop.end()
        start = stop.end() + len(block[stop.end() :]) - len(block[stop.end() :].lstrip())
    if start < len(block):
        yield start, len(block)
