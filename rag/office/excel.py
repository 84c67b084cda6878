"""Excel workbooks (.xlsx, .xlsm) to blocks: each sheet under its name, its cells as tables that blank rows part.

openpyxl reads them, values and not formulas: a formula that was never computed is an empty cell. Charts, pictures and
hidden sheets are left out, and no macro is run.

    parse_excel(Path("pins.xlsx").read_bytes()).blocks[0].heading_path == ("Pins",)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import date, datetime, time
from io import BytesIO
from typing import Any

from rag.blocks import Block, Parsed, pipe_table
from rag.errors import ParseFailed
from rag.office.word import DAMAGED, check_zip

MAX_ROWS = 20_000  # of all sheets together
MAX_COLUMNS = 200
MAX_CELL_CHARACTERS = 2000


def parse_excel(content: bytes) -> Parsed:
    """Title "" and a heading for each sheet; a note where rows are left out.

    Raises ParseFailed: the message is the reason.
    """
    check_zip(content, "Excel workbook", ".xlsx", "xl/sharedStrings.xml")
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    blocks: list[Block] = []
    room = MAX_ROWS
    try:
        book = load_workbook(BytesIO(content), read_only=True, data_only=True)
        for sheet in (sheet for sheet in book.worksheets if sheet.sheet_state == "visible"):
            rows = list(_read_rows(sheet.iter_rows(max_col=MAX_COLUMNS), room))
            room -= len(rows)
            blocks += read_sheet(rows, sheet.title)
        book.close()
    except (*DAMAGED, InvalidFileException, LookupError, TypeError, AttributeError) as error:
        raise ParseFailed(f"no Excel workbook that can be read ({error})") from error
    return Parsed("", tuple(blocks), f"its first {MAX_ROWS} rows" if room <= 0 else "")


def _read_rows(rows: Iterable[tuple[Any, ...]], at_most: int) -> Iterator[list[str]]:
    """The rows as text, without empty cells at their ends."""
    for number, row in enumerate(rows):
        if number == at_most:
            return
        cells = [_write_cell(cell) for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        yield cells


def _write_cell(cell: Any) -> str:
    """What a cell shows; a number that is shown as a percentage stands as one."""
    value = cell.value
    if not isinstance(value, int | float) or isinstance(value, bool):
        return _write(value)
    with suppress(LookupError):  # a style that the workbook lacks
        if "%" in (cell.number_format or ""):
            return f"{_write(round(value * 100.0, 10))}%"
    return _write(value)


def _write(value: Any) -> str:
    """A cell as a person sees it: whole numbers without a point, dates without midnight."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime):
        return value.isoformat(" ").removesuffix(" 00:00:00")
    if isinstance(value, date | time):
        return value.isoformat()
    return " ".join(str(value).split())[:MAX_CELL_CHARACTERS]


def read_sheet(rows: list[list[str]], name: str) -> Iterator[Block]:
    """The tables of a sheet; a row of one cell over a table is its caption."""
    table: list[list[str]] = []
    for row in [*rows, []]:
        if len(row) > 1 or (table and row):
            table.append(row)
            continue
        yield from _finish(table, name)
        table = []
        if row:
            yield Block("prose", row[0], (name,))


def _finish(table: list[list[str]], name: str) -> Iterator[Block]:
    if table:
        yield Block("table", pipe_table(table), (name,))
