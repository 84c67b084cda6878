"""rag.office.excel: cells as people see them, and workbooks that cannot be read."""

from __future__ import annotations

import zipfile
from datetime import date, datetime
from io import BytesIO
from typing import Any

import pytest
from openpyxl import Workbook

from rag.errors import ParseFailed
from rag.office import excel
from rag.office.excel import parse_excel
from rag.office.word import MAX_TAGS
from tests.rows import for_each


def workbook(*rows: list[Any]) -> bytes:
    book = Workbook()
    sheet = book.active
    sheet.title = "Data"
    for row in rows:
        sheet.append(row)
    stream = BytesIO()
    book.save(stream)
    return stream.getvalue()


@for_each(
    ("value", "shown"),
    [(1.0, "1"), (0.14, "0.14"), (True, "TRUE"), (date(2026, 3, 1), "2026-03-01"), ("a\n b", "a b")],
)
def test_a_cell_is_shown_as_people_see_it(value: Any, shown: str) -> None:
    [block] = parse_excel(workbook(["name", "value"], ["x", value])).blocks
    assert block.text.split("\n")[-1] == f"| x | {shown} |"


def test_a_time_of_day_is_kept() -> None:
    assert "2026-03-01 12:30:00" in parse_excel(workbook(["a", datetime(2026, 3, 1, 12, 30)])).blocks[0].text


def test_rows_beyond_the_limit_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(excel, "MAX_ROWS", 3)
    parsed = parse_excel(workbook(*([number, number] for number in range(5))))
    assert (parsed.blocks[0].text.count("\n"), parsed.note) == (3, "its first 3 rows")


@for_each(
    ("content", "reason"),
    [
        (b"\xd0\xcf\x11\xe0" + b"\0" * 90, "encrypted, or of the old format: save it as .xlsx"),
        (b"text", "no Excel workbook: it is not a zip archive"),
        (workbook(["a"])[:-400], "no Excel workbook"),
    ],
)
def test_a_file_that_is_not_a_workbook_is_named(content: bytes, reason: str) -> None:
    with pytest.raises(ParseFailed, match=reason):
        parse_excel(content)


def test_a_workbook_of_more_strings_than_memory_should_hold_is_refused() -> None:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", b"<si><t>a</t></si>" * (MAX_TAGS // 4 + 1))
    with pytest.raises(ParseFailed, match=f"its xl/sharedStrings.xml has more than {MAX_TAGS} tags"):
        parse_excel(stream.getvalue())


@for_each(
    ("value", "number_format", "shown"),
    [
        (0.5, "0%", "50%"),
        (0.1234, "0.00%", "12.34%"),
        (1, "0%", "100%"),
        (0.07, "0.0 %", "7%"),
        (0.5, "0.00", "0.5"),
        ("0.5", "0%", "0.5"),
    ],
)
def test_a_percentage_is_shown_as_one(value: Any, number_format: str, shown: str) -> None:
    book = Workbook()
    book.active.append(["name", "share"])
    book.active.append(["x", value])
    book.active["B2"].number_format = number_format
    stream = BytesIO()
    book.save(stream)
    [block] = parse_excel(stream.getvalue()).blocks
    assert block.text.split("\n")[-1] == f"| x | {shown} |"
