"""Plain text to blocks: numbered and underlined headings, lists, aligned lines that keep their form, and pages.

Form feeds part the pages. It guesses no other structure: a short line alone stays a paragraph.

    parse_text("1. Routing\n\nText.\n\n1.1 Global\n\nMore.\n").blocks[-1].heading_path == ("1. Routing", "1.1 Global")
"""

from __future__ import annotations

import re

from rag.blocks import MAX_HEADING_CHARACTERS, Block, BlockKind, Parsed, dedent_lines, fence_code

_NUMBER = re.compile(r"(?P<number>(?:\d{1,3}|[A-Z])(?:\.\d{1,3})*)\.?[ \t]+(?P<words>\S.*)")
_UNDERLINE = re.compile(r"([=\-~^*#])\1{2,}\s*")
_SHORT_UNDERLINE = re.compile(r"([=\-~^*#])\1?\s*")  # of a title of one or two letters
_LEVELS = "=#*-~^"  # of underlines, outermost first, in the order that most texts use
_ITEM = re.compile(r"\s*(?:[-*+•]|\(?(?:\d{1,3}|[A-Za-z])[.)])\s+\S")
_COLUMNS = re.compile(r"\S {3,}\S.* {3,}\S|\S\t+\S|[|+]-{3,}|^\s*\|.*\|\s*$")


def parse_text(text: str) -> Parsed:
    """Title "" and blocks. Never fails. Blocks have pages where the text has form feeds."""
    pages = text.split("\f")
    open_headings: list[tuple[int, str]] = []
    blocks: list[Block] = []
    for number, page in enumerate(pages, start=1):
        at = number if len(pages) > 1 else None
        paragraphs = re.split(r"\n(?:[ \t]*\n)+", page.replace("\r\n", "\n"))
        for index, part in enumerate(paragraphs):
            lines = part.strip("\n").split("\n")
            lines = _enter_heading(lines, open_headings, is_alone=index + 1 < len(paragraphs) or number < len(pages))
            path = tuple(heading for _, heading in open_headings)
            blocks += _make_blocks(lines, path, at)
    return Parsed("", tuple(blocks) or tuple(Block("prose", heading, ()) for _, heading in open_headings))


def _enter_heading(lines: list[str], open_headings: list[tuple[int, str]], is_alone: bool) -> list[str]:
    """Open the heading that a paragraph is or begins with; return the lines after it."""
    lines = lines[1:] if _is_overlined(lines) and (is_alone or len(lines) > 3) else lines
    first = lines[0].strip()
    if not first or len(first) > MAX_HEADING_CHARACTERS:
        return lines

    if (
        len(lines) > 1
        and not _UNDERLINE.fullmatch(first)
        and (_UNDERLINE.fullmatch(lines[1]) or (first.isalnum() and _SHORT_UNDERLINE.fullmatch(lines[1])))
        and len(lines[1].strip()) >= min(len(first), 4)
    ):
        level, rest = _LEVELS.index(lines[1].strip()[0]) + 1, lines[2:]
    else:
        numbered = _NUMBER.fullmatch(first)
        is_heading = (
            numbered
            and len(lines) == 1
            and is_alone
            and lines[0][:1] != " "
            and len(first.split()) <= 12
            and first[-1] not in ".;:,?!"
        )
        if not numbered or not is_heading or not re.match(r"[A-Z`_]|\w+_\w", numbered["words"]):
            return lines
        level, rest = numbered["number"].count(".") + 1, []

    while open_headings and open_headings[-1][0] >= level:
        open_headings.pop()
    open_headings.append((level, first))
    return rest


def _is_overlined(lines: list[str]) -> bool:
    """Whether a title between two equal lines of one sign begins here, and no row of a table."""
    if len(lines) < 3 or not _UNDERLINE.fullmatch(lines[0]) or lines[0].strip() != lines[2].strip():
        return False
    words = lines[1].strip()
    return bool(re.search(r"[^\W\d]", words)) and not _UNDERLINE.fullmatch(words) and not re.search(r"\S {2,}\S", words)


def _make_blocks(lines: list[str], path: tuple[str, ...], page: int | None) -> list[Block]:
    text = "\n".join(lines).strip("\n")
    if not text.strip():
        return []
    kind: BlockKind = "list" if _ITEM.match(lines[0]) else "prose"
    aligned = sum(1 for line in lines if _COLUMNS.search(line))
    if len(lines) > 1 and 2 * aligned > len(lines):  # a table or a drawing in characters
        return [Block("code", fence_code(dedent_lines([line.expandtabs(8) for line in lines])), path, page)]
    return [Block(kind, "\n".join(dedent_lines(lines)), path, page)]
