"""The outermost blocks of a Markdown text with their lines, as markdown-it finds them, and without its tokens inside.

A list of a hundred thousand short items costs markdown-it a nested parse and a dozen tokens each, which nobody here
reads: runs of plain items and rows of tables are passed over, and tokens inside a block are not kept. Where blocks end
is what markdown-it says; a test compares both.

    [token.map for token in outer_tokens("# A\n\n- b\n- c\n", {})][0] == [0, 1]
"""

from __future__ import annotations

import re
from typing import Any, Literal

from markdown_it import MarkdownIt
from markdown_it.common.utils import mdTrim
from markdown_it.rules_block import StateBlock, list_block, table
from markdown_it.rules_block.table import MAX_AUTOCOMPLETED_CELLS, escapedSplit
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

# An item that can only be one line of text: what follows its mark begins no other block.
_NO_DIGITS = dict.fromkeys(map(ord, "0123456789"))
_PLAIN_ITEM = re.compile(
    r"(?P<mark> {0,3}(?:[-*+]|\d{1,9}[.)]) {1,4})"
    r"(?:[^\W\d_]|\d+(?![\d.)])|`(?!`)|\*\*[\w`]|\[(?!.*\]:)|[\"'($/,;%@])"
)


class _OuterBlocks(StateBlock):
    """markdown-it's state, which keeps only the tokens of the outermost blocks, and the texts of their headings."""

    def push(self, ttype: str, tag: str, nesting: Literal[-1, 0, 1]) -> Token:
        """A token, which is kept where it is an outermost one or a heading's text."""
        if nesting < 0:
            self.level -= 1
        token = Token(ttype, tag, nesting, level=self.level, block=True)
        if self.level == 0 or (ttype == "inline" and self.level == 1 and self.tokens[-1].type == "heading_open"):
            self.tokens.append(token)
        if nesting > 0:
            self.level += 1
        return token


def outer_tokens(text: str, references: dict[str, Any]) -> list[Token]:
    """The tokens of the outermost blocks, and after that of a heading its text; the targets of links are added."""
    parser = MarkdownIt("commonmark").enable("table").disable(["inline", "text_join"])
    parser.core.ruler.at("block", _read_blocks)
    parser.block.ruler.at("list", _read_list, {"alt": ["paragraph", "reference", "blockquote"]})
    parser.block.ruler.at("table", _read_table, {"alt": ["paragraph", "reference"]})
    return parser.parse(text, references)


def _read_blocks(state: StateCore) -> None:
    if state.src:
        blocks = _OuterBlocks(state.src, state.md, state.env, state.tokens)
        state.md.block.tokenize(blocks, blocks.line, blocks.lineMax)


def _read_list(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A list from the last of its first plain items on: those before are known to be items of the same list."""
    first = start if silent or state.level else _last_plain_item(state, start, end)
    begun = len(state.tokens)
    if not list_block(state, first, end, silent):
        return False
    if first > start:
        state.tokens[begun].map = [start, state.line]
    return True


def _last_plain_item(state: StateBlock, start: int, end: int) -> int:
    """The last line of the run of plain items that begins here; `start` itself where there is none."""
    found = _PLAIN_ITEM.match(state.src, state.bMarks[start], state.eMarks[start])
    if not found or state.blkIndent:
        return start
    mark = found["mark"].translate(_NO_DIGITS)
    last = start
    while last + 1 < end:
        found = _PLAIN_ITEM.match(state.src, state.bMarks[last + 1], state.eMarks[last + 1])
        if not found or found["mark"].translate(_NO_DIGITS) != mark:
            break
        last += 1
    return last


def _read_table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A table: its head and first row by markdown-it, and the rows below them as long as it would go on."""
    begun = len(state.tokens)
    if not table(state, start, min(end, start + 3), silent):
        return False
    if silent or state.line < start + 3:
        return True

    head = _count_cells(state, start)
    missing = head - _count_cells(state, start + 2)
    before, state.parentType = state.parentType, "table"
    line = state.line
    while line < end and not _ends_table(state, line, end):
        missing += head - _count_cells(state, line)
        if missing > MAX_AUTOCOMPLETED_CELLS:
            break
        line += 1
    state.parentType = before
    state.line = line
    if len(state.tokens) > begun:
        state.tokens[begun].map = [start, line]
    return True


def _ends_table(state: StateBlock, line: int, end: int) -> bool:
    """Whether a line below a table's first row is not a row of it."""
    if state.sCount[line] < state.blkIndent or not _row(state, line) or state.is_code_block(line):
        return True
    if state.src[state.bMarks[line] + state.tShift[line]] == "|":
        return False
    return any(rule(state, line, end, True) for rule in state.md.block.ruler.getRules("blockquote"))


def _count_cells(state: StateBlock, line: int) -> int:
    """How many cells a row of a table has."""
    row = _row(state, line)
    cells = escapedSplit(row) if "\\" in row else row.split("|")
    cells = cells[1:] if cells[0] == "" else cells
    return len(cells) - (cells[-1:] == [""])


def _row(state: StateBlock, line: int) -> str:
    return mdTrim(state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]])
