"""What the parsers make of a document: a title and a list of blocks, each with the headings above it.

It holds values and the small text operations that the parsers share; it knows no markup language.

    Block("code", "```tcl\nglobal_route\n```", ("Commands", "Global Route"))
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Literal

from rag.typed_json import to_json

BlockKind = Literal["prose", "list", "table", "code"]
MAX_HEADING_CHARACTERS = 120  # longer "headings" are markup accidents that would fill the chunk below them
_MOST_HEADS = 3  # rows of a head
_FENCES = re.compile(r"`{3,}")
CUT = " …"  # follows a heading that was cut


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, list, table or code fence in readable text (code keeps its fence lines), under `heading_path`.

    `page` counts from 1, where the file has pages.
    """

    kind: BlockKind
    text: str
    heading_path: tuple[str, ...]
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document's title and its blocks in reading order; the title is not repeated in the heading paths.

    `note` says which part of the file was not read ("" for none), and `encoding` in which it was recognised to be
    written ("" for UTF-8, and where the file says it itself); whoever builds the index sees both.
    """

    title: str
    blocks: tuple[Block, ...]
    note: str = ""
    encoding: str = ""


def write_parsed(parsed: Parsed) -> str:
    """As JSON Lines, the title first: `read_parsed` gives back an equal value.

    Processes exchange it and the cache stores it; a document that keeps no text of its own is hashed by it.
    """
    head = {"title": parsed.title, "note": parsed.note}
    rows: list[object] = [head | ({"encoding": parsed.encoding} if parsed.encoding else {})]
    rows += [[block.kind, block.text, block.heading_path, block.page] for block in parsed.blocks]
    return "\n".join(map(to_json, rows))


def read_parsed(text: str) -> Parsed:
    """What `write_parsed` wrote."""
    head, *rows = json.loads(f"[{text.replace(chr(10), ',')}]")  # JSON itself has no line ends
    blocks = tuple(Block(kind, content, tuple(heading_path), page) for kind, content, heading_path, page in rows)
    return Parsed(head["title"], blocks, head["note"], head.get("encoding", ""))


def add_block(blocks: list[Block], block: Block) -> None:
    """Append a block; a list that follows a list under the same headings on the same page extends it."""
    last = blocks[-1] if blocks else None
    if (
        last
        and last.kind == block.kind == "list"
        and (last.heading_path, last.page) == (block.heading_path, block.page)
    ):
        blocks[-1] = replace(last, text=f"{last.text}\n{block.text}")
    else:
        blocks.append(block)


def cut_heading(heading: str) -> str:
    """The heading, or as many of its words as fit, followed by `CUT`."""
    if len(heading) <= MAX_HEADING_CHARACTERS:
        return heading
    room = MAX_HEADING_CHARACTERS - len(CUT)
    begun = heading[: room + 1].rpartition(" ")[0] or heading[:room]
    return f"{begun}{CUT}"


def name_definition(names: Sequence[str]) -> tuple[str, str]:
    """The heading for what a document defines under these names, and all the names, one a line; "" where it has them.

    In a heading, a `lint_off [-rule <message>] ...` that is too long is called `lint_off`. Of many names, a heading has
    the first ones.
    """
    names = [" ".join(name.split()) for name in names if name.strip()]
    whole = ", ".join(names)
    if len(whole) <= MAX_HEADING_CHARACTERS:
        return whole, ""

    heading = ""
    for word in dict.fromkeys(name.split(" ", 1)[0] for name in names):
        longer = f"{heading}, {word}" if heading else word[:MAX_HEADING_CHARACTERS]
        if len(longer) > MAX_HEADING_CHARACTERS:
            break
        heading = longer
    return heading, "\n".join(f"`{name}`" for name in names)


class HeadingStack:
    """The headings above the reading position. The first level-1 heading is the title and stays out of the path."""

    def __init__(self) -> None:
        self.title: str | None = None
        self._all: list[str] = []
        self._open: list[tuple[int, str]] = []

    def enter(self, level: int, heading: str) -> str:
        """Open a heading; it closes all headings of its own level and deeper.

        Returns the whole heading where it was cut, so that the caller can put it into the text below; else "".
        """
        whole = " ".join(heading.split())
        heading = cut_heading(whole)
        while self._open and self._open[-1][0] >= level:
            self._open.pop()
        self._all += [heading] if heading else []
        if self.title is None and heading:
            self.title = heading
            if level == 1:
                return whole if whole != heading else ""
        if heading:
            self._open.append((level, heading))
        return whole if whole != heading else ""

    @property
    def path(self) -> tuple[str, ...]:
        """The open headings, outermost first."""
        return tuple(heading for _, heading in self._open)

    def as_blocks(self) -> tuple[Block, ...]:
        """All headings read so far as one list, the text of a document with nothing else; () where there are none."""
        return (Block("list", "\n".join(f"- {heading}" for heading in self._all), ()),) if self._all else ()


def dedent_lines(lines: list[str]) -> list[str]:
    """The lines without their common indentation, and without blank lines at both ends."""
    filled = [number for number, line in enumerate(lines) if line and not line.isspace()]
    if not filled:
        return []
    margin = min([len(lines[number]) - len(lines[number].lstrip()) for number in filled])
    return [line[margin:].rstrip() for line in lines[filled[0] : filled[-1] + 1]]


def fence_code(lines: list[str], language: str = "") -> str:
    """Code lines between fences longer than any run of backticks inside."""
    text = "\n".join(lines)
    longest = max(map(len, _FENCES.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return "\n".join([f"{fence}{language}", *lines, fence])


def squeeze_table(text: str) -> str:
    """Table cells without the padding that only aligns columns: it costs tokens and says nothing."""
    return "\n".join(
        re.sub(r"([-=]){4,}", r"\1\1\1", re.sub(r"(?<=\S)[ \t]{2,}", " ", line.strip()))
        for line in text.splitlines()
        if line.strip()
    )


def join_heads(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows of a table's head as one: what stands over a column, from the top, each name once."""
    return [
        " ".join(dict.fromkeys(filter(None, map(str.strip, column)))) for column in zip_longest(*rows, fillvalue="")
    ]


def join_short_head(rows: list[list[str]], heads: int) -> list[list[str]]:
    """The rows of a table, the first `heads` as one where they are two or three: more under a line are no head."""
    return [join_heads(rows[:heads]), *rows[heads:]] if 1 < heads <= _MOST_HEADS else rows


def pipe_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as a Markdown table with the first row as its header.

    Short rows are filled, empty columns left out, bars in cells escaped.
    """
    columns = [column for column in zip_longest(*rows, fillvalue="") if any(cell.strip() for cell in column)]
    cleaned = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in zip(*columns, strict=True)]
    lines = [f"| {' | '.join(row)} |" for row in cleaned]
    return "\n".join([lines[0], f"|{' --- |' * len(columns)}", *lines[1:]]) if columns else ""
