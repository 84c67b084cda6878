"""Reports and logs of tools to blocks: titles between rulers as headings, tables and timing paths whole.

It knows the forms that reports share (rulers, columns, bars, a path from its start point to its slack), and no single
tool. A table with bars becomes a table whose header is repeated where it is cut; other columns keep their form.

    parse_report("==== \nPower\n====\n\nTotal 1.5 W\n").blocks[0].heading_path == ("Power",)
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rag.blocks import MAX_HEADING_CHARACTERS, Block, Parsed, dedent_lines, fence_code, pipe_table

_COLOUR = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\^_])")  # of a terminal, and its other commands
PIECE_LINES = 40  # of running output without blank lines
_RULER = re.compile(r"\s*(?:([=\-*#~_+])\1{3,}|[+|](?:[-=+|: ]{3,}))\s*")
_TITLE_LINE = re.compile(r"\s*([=\-*#~])\1{2,} +(?P<title>\S.*?) +\1{3,}\s*")  # `=== Resources ===`
_COLUMN_RULER = re.compile(r"\s*-{2,}(?: +-{2,})+\s*")
_COLUMNS = re.compile(r"\S {2,}\S|\S\t+\S")
_BAR_ROW = re.compile(r"\s*\|.*\|\s*")
_PATH = re.compile(r"\s*Startpoint:\s*(\S+)")
_ENDPOINT = re.compile(r"\s*Endpoint:\s*(\S+)")
_SLACK = re.compile(r"\s*slack\b.*\d|.*\bslack\s*\(\w+\)", re.IGNORECASE)
_MOST_PATH_LINES = 1000
_MOST_BANNER = 10  # lines between rulers
_NUMBERED = re.compile(r"\d{1,3}(?:\.\d{1,3})*\.? +[A-Z].{0,80}")


def parse_report(text: str) -> Parsed:
    """Title "" and blocks in the order of the file. Never fails."""
    lines = [line.expandtabs(8).rstrip() for line in _COLOUR.sub("", text.replace("\f", "\n")).split("\n")]
    blocks: list[Block] = []
    path: tuple[str, ...] = ()
    position = 0
    while position < len(lines):
        if not lines[position]:
            position += 1
            continue
        heading, after = _read_heading(lines, position)
        if heading:
            banner = [line.strip() for line in lines[position + 1 : after - 1] if _RULER.fullmatch(lines[position])]
            path, position = (heading,), after
            blocks += [Block("prose", "\n".join(banner), path)] if len(banner) > 1 else []
            continue
        end = _path_end(lines, position) or _paragraph_end(lines, position)
        blocks += _read_part(lines[position:end], path)
        position = end
    return Parsed("", tuple(blocks) or ((Block("prose", path[0], ()),) if path else ()))


def _read_heading(lines: list[str], position: int) -> tuple[str, int]:
    """A title between two rulers, which further lines may follow there, over one with a blank line below, or in one.

    Returns it and the place after it; "" and 0 where there is none.
    """
    window = [*lines[position : position + 3], "", "", ""][:3]
    if (found := _TITLE_LINE.fullmatch(window[0])) and _is_title(found["title"]):
        return _clean(found["title"]), position + 1
    if _RULER.fullmatch(window[0]) and _is_title(window[1]):
        ends = range(position + 2, min(position + _MOST_BANNER, len(lines)))
        end = next((number for number in ends if _RULER.fullmatch(lines[number])), 0)
        is_banner = window[0].strip()[0] in "*#" and end and lines[end] == window[0]  # no table has such rulers
        if end and (is_banner or all(map(_is_title, lines[position + 1 : end]))):
            return _clean(window[1]), end + 1
    if _is_title(window[0]) and _RULER.fullmatch(window[1]):
        is_underlined = window[1][0] in "=-" and len(window[1]) == len(window[0])
        if not window[2] or is_underlined:
            return _clean(window[0]), position + 2
    return "", 0


def _is_title(line: str) -> bool:
    words = _clean(line)
    return (
        bool(re.search(r"[^\W\d]", words))
        and len(words) <= MAX_HEADING_CHARACTERS
        and not _RULER.fullmatch(line)
        and not _BAR_ROW.fullmatch(line)
        and (not _COLUMNS.search(words) or bool(_NUMBERED.fullmatch(words)))
    )


def _clean(line: str) -> str:
    return " ".join(line.strip().strip("#*=").split()) if not _COLUMNS.search(line.strip()) else line.strip()


def _path_end(lines: list[str], position: int) -> int:
    """The place after a timing path that begins here, with the line of its slack; 0 where none begins."""
    if not _PATH.match(lines[position]):
        return 0
    for number in range(position + 1, min(len(lines), position + _MOST_PATH_LINES)):
        if _PATH.match(lines[number]):
            return number
        if _SLACK.match(lines[number]):
            return number + 1
    return 0


def _paragraph_end(lines: list[str], position: int) -> int:
    """The place of the next blank line; a blank line under a table's header does not count."""
    end = _blank_after(lines, position)
    while _is_header(lines[position:end]) and end + 1 < len(lines) and _COLUMNS.search(lines[end + 1]):
        position, end = end + 1, _blank_after(lines, end + 1)
    return end


def _blank_after(lines: list[str], position: int) -> int:
    while position < len(lines) and lines[position]:
        position += 1
    return position


def _is_header(lines: list[str]) -> bool:
    """Whether lines are the head of a table: names of columns over a ruler."""
    return 2 <= len(lines) <= 3 and bool(_COLUMNS.search(lines[0])) and bool(_RULER.fullmatch(lines[-1]))


def _read_part(lines: list[str], path: tuple[str, ...]) -> Iterator[Block]:
    """The blocks of a paragraph: a timing path, a table, output in pieces, or prose."""
    if start := _PATH.match(lines[0]):
        ends = next((found[1] for line in lines[:20] if (found := _ENDPOINT.match(line))), "")
        heading = f"Path {start[1]} to {ends}"[:MAX_HEADING_CHARACTERS] if ends else f"Path {start[1]}"
        yield Block("code", fence_code(dedent_lines(lines)), (*path, heading[:MAX_HEADING_CHARACTERS]))
        return

    first = next((number for number, line in enumerate(lines) if _BAR_ROW.fullmatch(line)), len(lines))
    bars = [line for line in lines[first:] if _BAR_ROW.fullmatch(line)]
    if len(bars) > 1 and all(_BAR_ROW.fullmatch(line) or _RULER.fullmatch(line) for line in lines[first:]):
        above = [line for line in lines[:first] if not _RULER.fullmatch(line)]
        rows = [line.strip().strip("|").split("|") for line in bars if not _RULER.fullmatch(line)]
        if above:
            yield Block("prose", "\n".join(line.strip() for line in above), path)
        yield Block("table", pipe_table(rows), path)
        return

    is_form = any(_COLUMNS.search(line.strip()) or _RULER.fullmatch(line) for line in lines)
    if not is_form and len(lines) <= 3:
        yield Block("prose", "\n".join(line.strip() for line in lines), path)
        return
    is_table = any(_COLUMN_RULER.fullmatch(line) or _RULER.fullmatch(line) for line in lines)
    step = len(lines) if is_table else PIECE_LINES
    for number in range(0, len(lines), step):
        yield Block("code", fence_code(dedent_lines(lines[number : number + step])), path)
