"""The tables of reStructuredText as rows of cells: list-table, csv-table, tables between borders, and drawn grids.

It cleans no inline markup and opens no file; `includes` puts the rows of a csv-table's file into its body.

    read_simple_table(["==  ==", "a   b", "==  ==", "1   2", "==  =="]) == [["a", "b"], ["1", "2"]]
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import pairwise

from rag.blocks import join_heads

_BORDER = re.compile(r"=+(?: +=+)*\s*")
_UNDERLINE = re.compile(r"-+(?: +-+)*\s*")  # joins header cells above it
_TARGET = re.compile(r"\s*\.\. _[^:]+:\s*$")  # a link's target, which says nothing to a reader
_ADMONITION = re.compile(r"^\.\. (?P<name>note|warning|important|tip|caution|hint|danger|attention|error)::")
_SPAN = re.compile(r":(?P<way>[rc])span:`(?P<more>\d{1,4})`")
TAB = "\u2409"  # stands for a tab in a table's file: tabs are blanks in reStructuredText
_GOES_ON = "\0"  # in a column that a cell on its left spans
MAX_COLUMNS = 200  # of a table that is drawn
_MARKS = {"tab": TAB, "space": " "}


def read_list_table(lines: list[str]) -> list[list[str]]:
    """The rows of a `list-table`: `* - ` or `- - ` begins a row, `- ` below the inner sign begins its other cells."""
    rows: list[list[str]] = []
    margin = 0  # of the signs that begin a cell
    for line in lines:
        begun = re.match(r"(?P<outer>[*-]\s+)(?P<cell>[*-](?:\s+(?P<first>.*)|$))|\s+[*-](?:\s+(?P<other>.*)|$)", line)
        if begun and begun["cell"]:
            margin = begun.start("cell")
            rows.append([_add_line("", begun["first"] or "")])
        elif begun and rows and len(line) - len(line.lstrip()) == margin:
            rows[-1].append(_add_line("", begun["other"] or ""))
        elif rows and line.strip() and not _TARGET.match(line):
            rows[-1][-1] = _add_line(rows[-1][-1], line.strip())
    return rows


def _add_line(cell: str, line: str) -> str:
    """A cell with one more line, an admonition as it is shown."""
    return f"{cell} {_ADMONITION.sub(_label, line)}".strip()


def _label(found: re.Match[str]) -> str:
    return f"{found['name'].capitalize()}:"


def spread_cells(rows: list[list[str]]) -> list[list[str]]:
    """The rows of a `flat-table`, in which a cell that spans rows (`:rspan:`1``) stands in each of them.

    Of one that spans columns (`:cspan:`) the others are empty.
    """
    spread: list[list[str]] = []
    below: dict[int, tuple[int, str]] = {}  # by column: for how many rows more a cell goes on
    for row in rows:
        cells: list[str] = []
        after: dict[int, tuple[int, str]] = {}
        for cell in [*row, None]:
            while len(cells) in below:
                more, text = below.pop(len(cells))
                after.update({len(cells): (more - 1, text)} if more > 1 else {})
                cells.append(text)
            if cell is not None:
                spans = {found["way"]: min(int(found["more"]), MAX_COLUMNS) for found in _SPAN.finditer(cell)}
                text = " ".join(_SPAN.sub("", cell).split())
                after.update({len(cells): (spans["r"], text)} if spans.get("r") else {})
                cells += [text, *[""] * spans.get("c", 0)]
        spread.append(cells)
        below = after
    return spread


def read_csv_table(lines: Sequence[str], options: Mapping[str, str]) -> list[list[str]]:
    """The rows of a `csv-table`, with those of its `:header:` before them; [] where they are not such values."""
    mark = options.get("delim", ",").strip() or ","
    mark = _MARKS.get(mark.lower(), mark)
    heads = options.get("header") or ""
    if mark == TAB and not any(TAB in line for line in lines):  # tabs became blanks
        lines = [re.sub(r" {2,}", TAB, line) for line in lines]
        heads = re.sub(r" {2,}|(?<=\") +(?=\")", TAB, heads)
    quote = (options.get("quote") or '"').strip()
    escape = (options.get("escape") or "").strip()[:1] or None
    if len(mark) != 1 or len(quote) != 1:
        return []
    try:
        body = [
            [cell.strip() for cell in row]
            for row in csv.reader(
                (f"{line}\n" for line in lines),
                delimiter=mark,
                quotechar=quote,
                escapechar=escape,
                doublequote=escape is None,
                skipinitialspace=mark != " ",
            )
            if any(cell.strip() for cell in row)
        ]
        header = next(csv.reader([heads], delimiter=mark, skipinitialspace=True), [])
        if mark != "," and len(header) == 1 < max(map(len, body), default=0):  # of other signs than the rows
            header = next(csv.reader([options["header"]], skipinitialspace=True), [])
    except csv.Error:
        return []
    return [[cell.strip() for cell in header], *body] if header else body


def join_header(rows: list[list[str]], options: Mapping[str, str]) -> list[list[str]]:
    """The rows of a table directive under one header: of `:header-rows:` joined, or empty where it has none."""
    count = options.get("header-rows", "").strip()
    heads = int(count) if count.isdecimal() and len(count) < 3 else 0
    if not rows or options.get("header"):
        return rows
    return [join_heads(rows[:heads]) if heads else [""] * len(rows[0]), *rows[heads:]]


def read_simple_table(lines: Sequence[str]) -> list[list[str]]:
    """The rows of a table between borders of `=`, its header first, which is empty where it has none.

    A row without a first cell continues the one above. [] where the borders do not part the columns.
    """
    borders = [number for number, line in enumerate(lines) if _BORDER.fullmatch(line)]
    if len(borders) < 2 or borders[0] != 0:
        return []
    columns = [column.start() for column in re.finditer("=+", lines[0])]
    header_end = borders[1] if len(borders) > 2 else 0
    header = [""] * len(columns)
    for line in lines[1:header_end]:
        if not _UNDERLINE.fullmatch(line):
            header = [f"{above} {cell}".strip() for above, cell in zip(header, _cut(line, columns), strict=True)]

    rows: list[list[str]] = []
    for line in lines[header_end + 1 :]:
        if not line.strip() or _BORDER.fullmatch(line) or _UNDERLINE.fullmatch(line):
            continue
        cells = _cut(line, columns)
        if rows and not cells[0]:
            rows[-1] = [f"{above} {cell}".strip() for above, cell in zip(rows[-1], cells, strict=True)]
        else:
            rows.append(["" if cell == "\\" else cell for cell in cells])
    return [header, *rows]


def read_grid_table(lines: Sequence[str]) -> list[list[str]]:
    """The rows of a table drawn with `+`, `-` and `|`, its header first, which is empty where it has none.

    A cell that spans rows stands in each of them; of one that spans columns the others are empty. [] where the lines
    draw no such table.
    """
    lines = [_widen(line.rstrip()) for line in lines]
    edges = sorted({at for line in lines if line.startswith("+") for at, sign in enumerate(line) if sign == "+"})
    if not 2 <= len(edges) <= MAX_COLUMNS or any(line[:1] not in ("+", "|") for line in lines):
        return []
    columns = list(pairwise(edges))
    rows: list[list[str]] = []
    heads = 0
    cells = [""] * len(columns)
    goes_on: set[tuple[int, int]] = set()  # rows and columns that a cell on the left spans
    for line in lines[1:]:
        parts = _cut_grid(line, columns)
        goes_on |= {(len(rows), at) for at, part in enumerate(parts) if part == _GOES_ON}
        parts = ["" if part == _GOES_ON else part for part in parts]
        for at, part in enumerate(parts):
            cells[at] = f"{cells[at]} {part}".strip() if part else cells[at]
        if None not in parts:
            continue
        if any(cells):
            rows.append(cells)
        heads = len(rows) if line.startswith("+=") else heads
        cells = ["" if part is None else cell for part, cell in zip(parts, cells, strict=True)]
    for number, at in sorted(goes_on):
        if number < heads and not rows[number][at]:
            rows[number][at] = rows[number][at - 1]
    header = [" ".join(dict.fromkeys(filter(None, column))) for column in zip(*rows[:heads], strict=True)]
    return [header or [""] * len(columns), *rows[heads:]] if len(rows) > heads else []


def _cut_grid(line: str, columns: Sequence[tuple[int, int]]) -> list[str | None]:
    """The part of a line in each column: None where a border ends the cell, a mark where one goes on."""
    begun = [at for at, (left, _) in enumerate(columns) if line[left : left + 1] in ("|", "+")]
    parts: list[str | None] = [_GOES_ON] * len(columns)
    for at, after in zip(begun, [*begun[1:], len(columns)], strict=True):
        segment = line[columns[at][0] + 1 : columns[after - 1][1]]
        if re.fullmatch(r"-+|=+", segment):
            parts[at:after] = [None] * (after - at)
        else:
            parts[at] = " ".join(segment.replace("\0", "").split())
    return parts


def _widen(line: str) -> str:
    """The line with a mark behind each sign that takes two columns."""
    if line.isascii():
        return line
    return "".join(f"{sign}\0" if unicodedata.east_asian_width(sign) in "WF" else sign for sign in line)


def _cut(line: str, columns: Sequence[int]) -> list[str]:
    """The cells of a line; text that crosses a column's start stays in the column where it began."""
    starts = [start for start in columns if start == 0 or line[start - 1 : start].strip() == ""]
    cells = dict.fromkeys(columns, "")
    for start, end in zip(starts, [*starts[1:], len(line)], strict=True):
        cells[start] = line[start:end].strip()
    return list(cells.values())
