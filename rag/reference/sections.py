"""The passages of one document in order, as blocks of lines under their headings; what the chunker cut apart is joined again.

A line knows its passage and where it stands in it, so that whatever is read from it has a place. It reads no meaning.

    [block.kind for block in read_blocks(chunks_of_one_document)]  # ["prose", "code", "table"]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from rag.documents import Chunk
from rag.passages import FENCE, HEADING, ITEM, TABLE_RULE, cut_blocks, split_lines
from rag.reference.cards import Place

SectionKind = Literal["prose", "list", "table", "code"]
MOST_LINES = 400  # of a block: what is longer is data


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a passage; its first character is the passage's character `start`."""

    text: str
    start: int
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class SectionBlock:
    """Lines that stand together under `path`, the headings above them. Of code, the lines between the fences, with its `language`."""

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
        """Where the lines from `first` to `last` stand (all of them by default), as far as they are of one passage."""
        begun, ended = self.lines[first], self.lines[len(self.lines) - 1 if last is None else last]
        if ended.chunk is not begun.chunk:
            ended = [line for line in self.lines if line.chunk is begun.chunk][-1]
        return self.span(begun, 0, ended, len(ended.text))

    def span(self, begun: Line, column: int, ended: Line, end_column: int) -> Place:
        """From a column of one line to one of another, in the passage of the first."""
        chunk = begun.chunk
        end = ended.start + end_column if ended.chunk is chunk else begun.start + len(begun.text)
        return Place(chunk.chunk_id, chunk.path, chunk.title, self.path, begun.start + column, end)


def read_blocks(chunks: Iterable[Chunk]) -> Iterator[SectionBlock]:
    """The blocks of a document's passages. Code that goes on in the next passage, with an indented line, is one block; a table gets its header."""
    waiting: SectionBlock | None = None
    headed: SectionBlock | None = None  # the last table with a header
    for chunk in chunks:
        for block in _blocks_of(chunk):
            if waiting and block.begins_chunk and _goes_on(waiting, block):
                waiting = replace(waiting, lines=(*waiting.lines, *block.lines))
                continue
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
    """Whether code is the rest of the code before it: under the same headings, it begins indented, and both together are no data."""
    is_alike = before.kind == block.kind == "code" and (before.path, before.language) == (block.path, block.language)
    return is_alike and block.lines[0].text[:1].isspace() and len(before.lines) + len(block.lines) <= MOST_LINES


def has_header(block: SectionBlock) -> bool:
    """Whether it is a table whose second line is the rule under its header."""
    rule = block.lines[1].text if block.kind == "table" and len(block.lines) > 1 else ""
    return "-" in rule and TABLE_RULE.fullmatch(rule) is not None


def _blocks_of(chunk: Chunk) -> Iterator[SectionBlock]:
    """The blocks of one passage; its headings (`## `, one sign more a level) are put at the end of its path."""
    path, is_first = chunk.heading_path, True
    for start, end in cut_blocks(chunk.text):
        text = chunk.text[start:end]
        if heading := HEADING.fullmatch(text):
            level = (
                len(text) - len(text.lstrip("#")) - 2
            )  # `rag.chunker.render`: two signs and one for each heading above
            path = (*path[: max(level, 0)], heading[1])
            is_first = False
            continue
        lines = tuple(Line(text[first:last], start + first, chunk) for first, last in split_lines(text))
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
