"""The passages of one document in order, as blocks of lines under their headings; what the chunker cut is joined again.

A line knows its passage and its position in it, so that whatever is read from it has a place. It interprets nothing.

    [block.kind for block in read_blocks(chunks_of_one_document)]  # ["prose", "code", "table"]
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from rag.documents import Chunk
from rag.passages import FENCE, HEADING, ITEM, TABLE_RULE, cut_blocks, split_lines
from rag.reference.cards import Place

SectionKind = Literal["prose", "list", "table", "code"]
MOST_LINES = 400  # of a block; a longer one is data
_CELL_BORDER = re.compile(r"(?<!\\)\|")
_NAMED = re.compile(r"For `(?P<name>[^`]+)`:")
LONGEST_ROW = 4000  # characters of a table's row


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a passage, from its character `start` to `end`.

    The text of a row that was cut includes its rest from the next passage.
    """

    text: str
    start: int
    end: int
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class SectionBlock:
    """Lines that stand together under `path`, the headings above them.

    For code, these are the lines between the fences, with the `language`.
    """

    kind: SectionKind
    lines: tuple[Line, ...]
    path: tuple[str, ...]
    language: str = ""
    begins_chunk: bool = False

    @property
    def text(self) -> str:
        """The lines in one."""
        return "\n".join(line.text for line in self.lines)

    def place(self, first: int = 0, last: int | None = None) -> Place:
        """Where the lines from `first` to `last` stand (by default all), as far as they belong to one passage."""
        begun, ended = self.lines[first], self.lines[len(self.lines) - 1 if last is None else last]
        if ended.chunk is not begun.chunk:
            ended = [line for line in self.lines if line.chunk is begun.chunk][-1]
        return self._place(begun.chunk, begun.start, ended.end)

    def span(self, line: int, start: int, end: int) -> Place:
        """The columns `start` to `end` of a line."""
        found = self.lines[line]
        return self._place(found.chunk, found.start + start, found.start + end)

    def _place(self, chunk: Chunk, start: int, end: int) -> Place:
        return Place(chunk.chunk_id, chunk.path, chunk.title, self.path, start, end)


def read_blocks(chunks: Iterable[Chunk]) -> Iterator[SectionBlock]:
    """The blocks of a document's passages.

    Code that continues in the next passage with an indented line is one block; so is a table's row. A table without a
    header gets that of the table before.
    """
    waiting: SectionBlock | None = None
    headed: SectionBlock | None = None  # the last table with a header

    for chunk in chunks:
        blocks = list(_blocks_of(chunk))
        if waiting:
            waiting, blocks = _take_rest(waiting, _drop_name(waiting, blocks))

        for block in blocks:
            if waiting and block.begins_chunk and _goes_on(waiting, block):
                waiting = replace(waiting, lines=(*waiting.lines, *block.lines))
                continue
            if waiting and _is_cut(waiting, headed) and block.path == waiting.path:
                if block.begins_chunk and has_header(block) and len(block.lines) == 2:
                    continue  # the header again, over the rest of the row
                rest = block.lines if block.kind == "prose" else block.lines[2:3] if has_header(block) else ()
                if block.kind == "prose" or (rest and _count_bars(rest[0]) < _count_bars(block.lines[0])):
                    waiting = replace(waiting, lines=(*waiting.lines[:-1], _join_row(waiting.lines[-1], rest)))
                    if block.kind == "prose" or len(block.lines) == 3:
                        continue
                    block = replace(block, lines=(*block.lines[:2], *block.lines[3:]))

            if has_header(block):
                headed = block
            elif block.kind == "table" and headed and headed.path == block.path:
                block = replace(block, lines=(*headed.lines[:2], *block.lines))

            if waiting:
                yield waiting
            waiting = block
    if waiting:
        yield waiting


def _goes_on(before: SectionBlock, block: SectionBlock) -> bool:
    """Whether code is the rest of the code before it.

    It begins indented, under the same headings, and both together are not data.
    """
    is_alike = before.kind == block.kind == "code" and (before.path, before.language) == (block.path, block.language)
    return is_alike and block.lines[0].text[:1].isspace() and len(before.lines) + len(block.lines) <= MOST_LINES


def _drop_name(before: SectionBlock, blocks: list[SectionBlock]) -> list[SectionBlock]:
    """A passage's blocks without the line that says whose synopsis goes on in it (`rag.index.chunker`)."""
    named = _NAMED.fullmatch(blocks[0].text) if len(blocks) > 1 and before.kind == blocks[1].kind == "code" else None
    if named and before.text.lstrip().startswith(named["name"]):
        return [replace(blocks[1], begins_chunk=True), *blocks[2:]]
    return blocks


def _take_rest(table: SectionBlock, blocks: list[SectionBlock]) -> tuple[SectionBlock, list[SectionBlock]]:
    """A table with the rest of its last row, where the next passage begins with it, and the passage's other blocks."""
    at = next((number for number, block in enumerate(blocks[:3]) if block.kind != "prose"), 0)
    if not blocks or blocks[at].path != table.path or not _repeats_row(table, blocks[at]):
        return table, blocks
    header, first, others = blocks[at].lines[:2], blocks[at].lines[2], blocks[at].lines[3:]
    row = replace(table.lines[-1], text=_join_cells(table.lines[-1].text, first.text))
    left = [*blocks[:at], replace(blocks[at], lines=(*header, *others))] if others else []
    return replace(table, lines=(*table.lines[:-1], row)), [*left, *blocks[at + 1 :]]


def _repeats_row(table: SectionBlock, block: SectionBlock) -> bool:
    """Whether a table begins with the rest of another's last row: its first cell and one more (`rag.index.chunker`)."""
    if not (has_header(table) and has_header(block) and len(table.lines) > 2 and len(block.lines) > 2):
        return False
    row, rest = (_CELL_BORDER.split(piece.lines[at].text.strip().strip("|")) for piece, at in ((table, -1), (block, 2)))
    return (
        row[0].strip() == rest[0].strip() != ""
        and len(row) == len(rest) > 1
        and sum(map(bool, map(str.strip, rest))) == 2
    )


def _join_cells(row: str, rest: str) -> str:
    """A row with the cells of its rest appended to its own; both have the same first cell."""
    pairs = zip(_CELL_BORDER.split(row), _CELL_BORDER.split(rest), strict=False)
    cells = [
        cell if number < 2 else f"{cell.rstrip()} {more.strip()}".rstrip() for number, (cell, more) in enumerate(pairs)
    ]
    return "|".join(cells)[:LONGEST_ROW]


def _is_cut(table: SectionBlock, headed: SectionBlock | None) -> bool:
    """Whether the last row of a table has fewer cells than its header."""
    if table.kind != "table" or headed is None or headed.path != table.path or len(table.lines) < 3:
        return False
    return _count_bars(table.lines[-1]) < _count_bars(headed.lines[0])


def _count_bars(row: Line) -> int:
    """How many bars part the cells of a row; those at both ends may be missing."""
    return row.text.strip().removeprefix("|").removesuffix("|").count("|")


def _join_row(row: Line, rest: Iterable[Line]) -> Line:
    """The row with its rest; its place stays that of its beginning."""
    return replace(row, text=f"{row.text} {' '.join(line.text for line in rest)}"[:LONGEST_ROW])


def has_header(block: SectionBlock) -> bool:
    """Whether it is a table whose second line is the rule under its header."""
    rule = block.lines[1].text if block.kind == "table" and len(block.lines) > 1 else ""
    return "-" in rule and TABLE_RULE.fullmatch(rule) is not None


def _blocks_of(chunk: Chunk) -> Iterator[SectionBlock]:
    """The blocks of one passage; its headings (`## `, one sign more a level) extend its path."""
    path, is_first = chunk.heading_path, True
    for start, end in cut_blocks(chunk.text):
        text = chunk.text[start:end]
        if heading := HEADING.fullmatch(text):
            level = (
                len(text) - len(text.lstrip("#")) - 2
            )  # two signs, and one more for each heading above (`rag.index.chunker`)
            path = (*path[: max(level, 0)], heading[1])
            is_first = False
            continue
        lines = tuple(Line(text[first:last], start + first, start + last, chunk) for first, last in split_lines(text))
        yield from _make_block(lines, path, is_first)
        is_first = False


def _make_block(lines: tuple[Line, ...], path: tuple[str, ...], is_first: bool) -> Iterator[SectionBlock]:
    first = lines[0].text
    if fence := FENCE.match(first):
        is_closed = len(lines) > 1 and not lines[-1].text.strip().strip(fence[1][0])
        body = lines[1:-1] if is_closed else lines[1:]
        language = first.strip().strip("`~").strip().lower()
        if body and len(body) <= MOST_LINES:
            yield SectionBlock("code", body, path, language, is_first)
    elif len(lines) <= MOST_LINES:
        kind: SectionKind = "table" if first.startswith("|") else "list" if ITEM.match(first) else "prose"
        yield SectionBlock(kind, lines, path, "", is_first)
