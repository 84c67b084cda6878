"""Reports and logs of tools to blocks: titles between rulers as headings, tables and timing paths whole.

It knows the forms that reports share (rulers, columns, bars, a path from its start point to its slack), and no single
tool. A table with bars becomes a table whose header is repeated where it is cut; other columns keep their form.

    parse_report("==== \nPower\n====\n\nTotal 1.5 W\n").blocks[0].heading_path == ("Power",)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest

from rag.blocks import (
    MAX_HEADING_CHARACTERS,
    Block,
    Parsed,
    cut_heading,
    dedent_lines,
    fence_code,
    join_short_head,
    pipe_table,
)

_COLOUR = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\^_])")  # of a terminal, and its other commands
PIECE_LINES = 40  # of running output without blank lines
_RULER = re.compile(r"\s*(?:([=\-*#~_+])\1{3,}|[+|](?:[-=+|: ]{3,}))\s*")
_TITLE_LINE = re.compile(r"\s*([=\-*#~])\1{2,} +(?P<title>\S.*?) +\1{3,}\s*")  # `=== Resources ===`
_SEMICOLON_RULER = re.compile(r"\+-[-+]*\+")
_SEMICOLON_ROW = re.compile(r";(?: .*)? ;")
_BARRED_TITLE = re.compile(r"\| (?P<title>\S.{0,200})")  # over `| -----`, both between rulers, as Vivado writes it
_COLUMN_RULER = re.compile(r"\s*-{2,}(?: +-{2,})+\s*")
_COLUMNS = re.compile(r"\S {2,}\S|\S\t+\S")
_BAR_ROW = re.compile(r"\s*\|.*\|\s*")
_PATH = re.compile(r"\s*(?:Startpoint|Source):\s*(\S+)")
_ENDPOINT = re.compile(r"\s*(?:Endpoint|Destination):\s*(\S+)")
_SLACK_FIRST = re.compile(r"\s*Slack \((?:MET|VIOLATED)\)\s*:")
_SLACK = re.compile(r"\s*slack\b.*\d|.*\bslack\s*\(\w+\)", re.IGNORECASE)
_MOST_PATH_LINES = 1000
_MOST_BANNER = 10  # lines between rulers
_LONGEST_TITLE = 500  # characters of a line in which a title is looked for
# `--- SUMMARY` under a ruler of the same sign, `Path 1: VIOLATED Setup Check`: both stand also without a blank above
_SIGNED_TITLE = re.compile(r"\s*(?P<sign>[=\-*#~])(?P=sign){2,} +(?P<title>\S.*?)(?: +(?P=sign){3,})?\s*")
_NUMBERED_PATH = re.compile(r"\s*(?P<title>Path \d{1,6}: (?:VIOLATED|MET)\b.*)")
_BANNER_LINE = re.compile(r"\s*(?P<sign>[#*])(?P=sign)?(?:\s.*)?")
_PROGRESS = re.compile(r"[^|\n]{0,80}\b\d{1,3}%\|.*")  # a bar, of which a log has each state
_SPACED_LETTERS = re.compile(r"(?<=\b\w) (?=\w\b)")
_NUMBERED = re.compile(r"\d{1,3}(?:\.\d{1,3})*\.? +[A-Z].{0,80}")


def parse_report(text: str) -> Parsed:
    """Title "" and blocks in the order of the file. Never fails."""
    lines = [line.expandtabs(8).rstrip() for line in _COLOUR.sub("", text.replace("\f", "\n")).split("\n")]
    lines = [line for line, after in zip_longest(lines, lines[1:]) if not _is_passed(line, after or "")]
    if any(map(_SEMICOLON_RULER.fullmatch, lines)):
        beside = zip(["", *lines], lines, [*lines[1:], ""], strict=False)
        lines = [_write_bars(line) if before or after else line for before, line, after in beside]
    while lines and not lines[-1]:
        lines.pop()
    lines = lines[:-1] if lines[-2:] == ["", "1"] else lines  # what a command of Tcl returned
    blocks: list[Block] = []
    section: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    position = 0
    while position < len(lines):
        if not lines[position]:
            position += 1
            continue
        heading, after = _read_heading(lines, position)
        if heading:
            inner = lines[position + 1 : after - 1] if _RULER.fullmatch(lines[position]) else []
            banner = [line.strip() for line in inner if line.strip("|- ")]
            section = path = (heading,)
            position = after
            blocks += [Block("prose", "\n".join(banner), path)] if len(banner) > 1 else []
            continue
        if numbered := _NUMBERED_PATH.fullmatch(lines[position]):
            path, position = (*section, cut_heading(numbered["title"])), position + 1
            continue
        if end := _banner_end(lines, position):
            banner = [_read_banner_line(line) for line in lines[position + 1 : end - 1]]
            blocks += [Block("prose", "\n".join(filter(None, banner)), path)] if any(banner) else []
            position = end
            continue
        end = _path_end(lines, position) or _paragraph_end(lines, position)
        blocks += _read_part(lines[position:end], path)
        position = end
    return Parsed("", tuple(blocks) or ((Block("prose", path[0], ()),) if path else ()))


def _write_bars(line: str) -> str:
    """A row between semicolons, as Quartus writes them, as one between bars."""
    return re.sub(r"(?<=\s);(?=\s)|^;|;$", "|", line) if _SEMICOLON_ROW.fullmatch(line) else line


def _is_passed(line: str, after: str) -> bool:
    """Whether a line is a state of a bar of progress that the next line goes beyond."""
    return bool("%|" in line and _PROGRESS.fullmatch(line) and _PROGRESS.fullmatch(after))


def _banner_end(lines: list[str], position: int) -> int:
    """The place after a box of signs around some lines, which begins here; 0 where none does."""
    ruler = lines[position]
    if not _RULER.fullmatch(ruler) or ruler.strip()[0] not in "#*":
        return 0
    for number in range(position + 1, min(position + _MOST_BANNER + 10, len(lines))):
        if lines[number] == ruler:
            return number + 1 if number > position + 1 else 0
        if not _BANNER_LINE.fullmatch(lines[number]):
            return 0
    return 0


def _read_banner_line(line: str) -> str:
    """A line of a box without its signs, and `L V S   R E P O R T` as words."""
    return " ".join(_SPACED_LETTERS.sub("", line.strip().strip("#*").strip()).split())


def _read_heading(lines: list[str], position: int) -> tuple[str, int]:
    """A title between two rulers, which further lines may follow there, over one with a blank line below, or in one.

    Returns it and the place after it; "" and 0 where there is none.
    """
    window = [line[:_LONGEST_TITLE] for line in [*lines[position : position + 3], "", "", ""][:3]]
    barred = _BARRED_TITLE.fullmatch(window[1]) if _RULER.fullmatch(window[0]) else None
    if barred and set(window[2]) == set("| -") and lines[position + 3 : position + 4] == [lines[position]]:
        return _clean(barred["title"]), position + 4
    if (found := _TITLE_LINE.fullmatch(window[0])) and _is_title(found["title"]):
        return _clean(found["title"]), position + 1
    if _begins_section(lines, position) and (found := _SIGNED_TITLE.fullmatch(window[1])):
        is_closed = window[2].strip() and not window[2].strip().strip(found["sign"])
        return _clean(found["title"]), position + (3 if is_closed else 2)
    if window[0] == window[2] and window[1].isupper() and _RULER.fullmatch(window[0]):  # in the middle of its line
        window[1] = " ".join(window[1].split())
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


def _begins_section(lines: list[str], position: int) -> bool:
    """Whether a ruler stands here over a title that begins with the same sign."""
    if position + 1 >= len(lines) or not _RULER.fullmatch(lines[position]):
        return False
    found = _SIGNED_TITLE.fullmatch(lines[position + 1][:_LONGEST_TITLE])
    return bool(found and found["sign"] == lines[position].strip()[0] and _is_title(found["title"]))


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
    if not _begins_path(lines, position):
        return 0
    for number in range(position + 1, min(len(lines), position + _MOST_PATH_LINES)):
        if _begins_path(lines, number):
            return number
        if _SLACK.match(lines[number]):
            return number + 1
    return 0


def _begins_path(lines: list[str], position: int) -> bool:
    """Whether a timing path begins here: with its start point, or with its slack above its source."""
    if _PATH.match(lines[position]):
        return not lines[position].lstrip().startswith("Source")
    return bool(_SLACK_FIRST.match(lines[position])) and any(map(_PATH.match, lines[position + 1 : position + 4]))


def _paragraph_end(lines: list[str], position: int) -> int:
    """The place of the next blank line; one under a table's header, or between its rows, does not count."""
    end = _blank_after(lines, position)
    while _is_header(lines[position:end]) and end + 1 < len(lines) and _COLUMNS.search(lines[end + 1]):
        position, end = end + 1, _blank_after(lines, end + 1)
    has_columns = any(_COLUMN_RULER.fullmatch(line) for line in lines[position:end])
    while has_columns and _is_row(lines, end + 1):
        end = _blank_after(lines, end + 1)
    return end


def _is_row(lines: list[str], position: int) -> bool:
    """Whether a row of a table stands here, under which no ruler makes it a header."""
    if position >= len(lines) or _begins_path(lines, position):
        return False
    row, below, second = [*lines[position : position + 3], "", "", ""][:3]
    is_head = _is_ruler(row) or _is_ruler(below) or (_is_ruler(second) and not re.search(r"\d", below))
    return not is_head and len(re.split(" {2,}", row.strip())) > 2


def _is_ruler(line: str) -> bool:
    return bool(_RULER.fullmatch(line) or _COLUMN_RULER.fullmatch(line))


def _blank_after(lines: list[str], position: int) -> int:
    """The next blank line; or the line where a section or a path begins without one above it."""
    start = position
    while position < len(lines) and lines[position]:
        begins = _begins_section(lines, position) or _begins_path(lines, position)
        begins |= bool(_NUMBERED_PATH.fullmatch(lines[position]))
        if position > start and begins:
            break
        position += 1
    return position


def _is_header(lines: list[str]) -> bool:
    """Whether lines are the head of a table: names of columns over a ruler."""
    return 2 <= len(lines) <= 3 and bool(_COLUMNS.search(lines[0])) and bool(_RULER.fullmatch(lines[-1]))


def _read_part(lines: list[str], path: tuple[str, ...]) -> Iterator[Block]:
    """The blocks of a paragraph: a timing path, a table, output in pieces, or prose."""
    if start := next(filter(None, map(_PATH.match, lines[:4])), None) if _begins_path(lines, 0) else None:
        ends = next((found[1] for line in lines[:20] if (found := _ENDPOINT.match(line))), "")
        heading = f"Path {start[1]} to {ends}"[:MAX_HEADING_CHARACTERS] if ends else f"Path {start[1]}"
        yield Block("code", fence_code(dedent_lines(lines)), (*path, heading[:MAX_HEADING_CHARACTERS]))
        return

    first = next((number for number, line in enumerate(lines) if _BAR_ROW.fullmatch(line)), len(lines))
    bars = [line for line in lines[first:] if _BAR_ROW.fullmatch(line)]
    last = next((number for number in range(len(lines), 0, -1) if _is_barred(lines[number - 1])), 0)
    if len(bars) > 1 and all(map(_is_barred, lines[first:last])):
        above, below = (
            [line.strip() for line in part if not _RULER.fullmatch(line)] for part in (lines[:first], lines[last:])
        )
        if above:
            yield Block("prose", "\n".join(above), path)
        title, rows = _read_bars(lines[first:last])
        if title:
            yield Block("prose", title, path)
        yield Block("table", pipe_table(rows), path)
        if below:
            yield Block("prose", "\n".join(below), path)
        return

    is_form = any(_COLUMNS.search(line.strip()) or _RULER.fullmatch(line) for line in lines)
    if not is_form and len(lines) <= 3:
        yield Block("prose", "\n".join(line.strip() for line in lines), path)
        return
    is_table = any(_COLUMN_RULER.fullmatch(line) or _RULER.fullmatch(line) for line in lines)
    step = len(lines) if is_table else PIECE_LINES
    for number in range(0, len(lines), step):
        yield Block("code", fence_code(dedent_lines(lines[number : number + step])), path)


def _is_barred(line: str) -> bool:
    return bool(_BAR_ROW.fullmatch(line) or _RULER.fullmatch(line))


def _read_bars(lines: list[str]) -> tuple[str, list[list[str]]]:
    """The title in a table with bars ("" without one), and its cells.

    Up to three rows above its first ruler are one header; below a title, rows that no ruler parts have none.
    """
    rows: list[list[str]] = []
    rulers: list[int] = []  # the number of rows above each
    for line in lines:
        if not _RULER.fullmatch(line):
            rows.append(line.strip().strip("|").split("|"))
        elif rows:
            rulers.append(len(rows))

    title = ""
    if rulers[:1] == [1] and len(rows) > 1 and len(rows[0]) == 1 < len(rows[1]):
        title, rulers = rows.pop(0)[0].strip(), [count - 1 for count in rulers[1:]]
    heads = rulers[0] if rulers else 0
    if heads == len(rows):
        return title, [[""] * len(rows[0]), *rows] if title else rows
    return title, join_short_head(rows, heads)
