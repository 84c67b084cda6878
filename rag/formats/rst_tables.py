"""The tables of reStructuredText as rows of cells: list-table, csv-table, and tables drawn with borders of `=`.

It cleans no inline markup and opens no file; `includes` puts the rows of a csv-table's file into its body.

    read_simple_table(["==  ==", "a   b", "==  ==", "1   2", "==  =="]) == [["a", "b"], ["1", "2"]]
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence

_BORDER = re.compile(r"=+(?: +=+)*\s*")
_UNDERLINE = re.compile(r"-+(?: +-+)*\s*")  # joins header cells above it
_TARGET = re.compile(r"\s*\.\. _[^:]+:\s*$")  # a link's target, which says nothing to a reader
TAB = "\u2409"  # stands for a tab in a table's file: tabs are blanks in reStructuredText
_MARKS = {"tab": TAB, "space": " "}


def read_list_table(lines: list[str]) -> list[list[str]]:
    """The rows of a `list-table`: `* - ` or `- - ` begins a row, `- ` below the inner sign begins its other cells."""
    rows: list[list[str]] = []
    margin = 0  # of the signs that begin a cell
    for line in lines:
        begun = re.match(r"(?P<outer>[*-]\s+)(?P<cell>[*-](?:\s+(?P<first>.*)|$))|\s+[*-](?:\s+(?P<other>.*)|$)", line)
        if begun and begun["cell"]:
            margin = begun.start("cell")
            rows.append([begun["first"] or ""])
        elif begun and rows and len(line) - len(line.lstrip()) == margin:
            rows[-1].append(begun["other"] or "")
        elif rows and line.strip() and not _TARGET.match(line):
            rows[-1][-1] = f"{rows[-1][-1]} {line.strip()}".strip()
    return rows


def read_csv_table(lines: Sequence[str], options: Mapping[str, str]) -> list[list[str]]:
    """The rows of a `csv-table`, with those of its `:header:` before them; [] where they are no such values."""
    mark = options.get("delim", ",").strip() or ","
    mark = _MARKS.get(mark.lower(), mark)
    if mark == TAB and not any(TAB in line for line in lines):
        lines = [re.sub(r" {2,}", TAB, line) for line in lines]
    quote = (options.get("quote") or '"').strip()
    if len(mark) != 1 or len(quote) != 1:
        return []
    try:
        body = [
            [cell.strip() for cell in row]
            for row in csv.reader(
                (f"{line}\n" for line in lines), delimiter=mark, quotechar=quote, skipinitialspace=mark != " "
            )
            if any(cell.strip() for cell in row)
        ]
        header = next(csv.reader([options.get("header") or ""], delimiter=mark, skipinitialspace=True), [])
        if mark != "," and len(header) == 1 < max(map(len, body), default=0):  # of other signs than the rows
            header = next(csv.reader([options["header"]], skipinitialspace=True), [])
    except csv.Error:
        return []
    return [[cell.strip() for cell in header], *body] if header else body


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


def _cut(line: str, columns: Sequence[int]) -> list[str]:
    """The cells of a line; text that crosses a column's start stays in the column where it began."""
    starts = [start for start in columns if start == 0 or line[start - 1 : start].strip() == ""]
    cells = dict.fromkeys(columns, "")
    for start, end in zip(starts, [*starts[1:], len(line)], strict=True):
        cells[start] = line[start:end].strip()
    return list(cells.values())
