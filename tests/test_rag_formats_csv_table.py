"""rag.formats.csv_table: one table under its header, whatever parts its cells, and titles above it."""

from __future__ import annotations

import csv
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.errors import ParseFailed
from rag.formats.csv_table import MAX_COLUMNS, parse_csv
from tests.rows import for_each

TABLE = "| pin | layer |\n| --- | --- |\n| A | M1 |"


@for_each("mark", [",", ";", "\t", "|"])
def test_the_mark_between_cells_is_found(mark: str) -> None:
    [block] = parse_csv(f"pin{mark}layer\nA{mark}M1\n").blocks
    assert (block.kind, block.text, block.heading_path) == ("table", TABLE, ())


@for_each("end", ["\n", "\r\n", "\r"])
def test_any_end_of_a_line_ends_a_row(end: str) -> None:
    assert parse_csv(f"pin,layer{end}A,M1{end}").blocks[0].text == TABLE
    assert parse_csv(f"pin,layer{end}{end},{end}A,M1").blocks[0].text == TABLE


def test_decimal_commas_do_not_part_cells_where_semicolons_do() -> None:
    assert parse_csv("pin;width\nA;0,14\nB;1,5\n").blocks[0].text.splitlines()[2:] == ["| A | 0,14 |", "| B | 1,5 |"]


def test_quoted_cells_hold_marks_quotes_and_ends_of_lines() -> None:
    text = 'pin,note\nA,"x, y"\nB,"he said ""no"""\nC,"two\nlines"\nD,a|b\n'
    assert parse_csv(text).blocks[0].text.splitlines()[2:] == [
        "| A | x, y |",
        '| B | he said "no" |',
        "| C | two lines |",
        "| D | a\\|b |",
    ]


@for_each(
    ("text", "titles", "header"),
    [
        ("Pads\npin,layer\nA,M1\n", ["Pads"], "| pin | layer |"),
        ("Pads,\n,of May\npin,layer\nA,M1\n", ["Pads", "of May"], "| pin | layer |"),
        ("Pads\n\npin,layer\nonly,\nA,M1\n", ["Pads"], "| pin | layer |"),
        ("pin,layer\nonly,\nA,M1\n", [], "| pin | layer |"),
        ("pin\nA\n", [], "| pin |"),
    ],
)
def test_rows_of_one_cell_above_a_table_are_its_titles(text: str, titles: list[str], header: str) -> None:
    *above, table = parse_csv(text).blocks
    assert [(block.kind, block.text) for block in above] == [("prose", title) for title in titles]
    assert table.text.startswith(f"{header}\n")


def test_a_short_row_is_filled_and_a_long_one_kept() -> None:
    assert parse_csv("a,b\n1\n1,2,3\n").blocks[0].text.splitlines() == [
        "| a | b |  |",
        "| --- | --- | --- |",
        "| 1 |  |  |",
        "| 1 | 2 | 3 |",
    ]


@for_each("text", ["", "\n\n", ",,\n", " , \n"])
def test_a_file_without_a_cell_has_no_block(text: str) -> None:
    assert parse_csv(text).blocks == ()


def test_too_many_columns_and_a_huge_cell_are_named() -> None:
    assert parse_csv(",".join("a" * MAX_COLUMNS)).blocks
    with pytest.raises(ParseFailed, match=f"more than {MAX_COLUMNS} columns is data"):
        parse_csv(",".join("a" * (MAX_COLUMNS + 1)))
    with pytest.raises(ParseFailed, match=r"separated by ',' \(field larger"):
        parse_csv(f"a,b\n{'x' * 200_000},1\n")


CELL = st.text(alphabet='aä1"\n ', min_size=1, max_size=6).map(lambda cell: f"w{cell}w")


@settings(max_examples=50)
@given(st.integers(2, 4).flatmap(lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1)))
def test_what_the_csv_module_writes_is_read(rows: list[list[str]]) -> None:
    written = StringIO()
    csv.writer(written, delimiter="\t").writerows(rows)
    [block] = parse_csv(written.getvalue()).blocks
    shown = block.text.splitlines()
    assert len(shown) == len(rows) + 1
    for line, row in zip([shown[0], *shown[2:]], rows, strict=True):
        assert line == f"| {' | '.join(' '.join(cell.split()) for cell in row)} |"


@for_each("first", ["sep=;\n", '"sep=;"\n', "SEP=; \n"])
def test_the_sign_that_a_spreadsheet_names_is_no_row(first: str) -> None:
    (block,) = parse_csv(f"{first}a,b;c\n1,5;2\n").blocks
    assert block.text == "| a,b | c |\n| --- | --- |\n| 1,5 | 2 |"
