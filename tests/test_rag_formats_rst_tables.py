"""rag.formats.rst_tables: rows and cells as docutils reads them, and no table where there is none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rag.formats.rst_tables import (
    TAB,
    join_header,
    read_csv_table,
    read_list_table,
    read_simple_table,
    spread_cells,
)
from tests.rows import for_each


def lines(text: str) -> list[str]:
    return text.strip("\n").split("\n")


@for_each(
    ("text", "rows"),
    [
        ("* - a\n  - b\n* - c\n  - d", [["a", "b"], ["c", "d"]]),
        ("- * a\n  * b", [["a", "b"]]),
        ("* - a\n    goes on\n  -\n  - c", [["a goes on", "", "c"]]),
        ("*   - wide\n    - apart", [["wide", "apart"]]),
        ("* - a\n\n  - b", [["a", "b"]]),
        ("* - .. _target:\n  - b", [[".. _target:", "b"]]),
        ("* - a\n    .. _target:\n  - b", [["a", "b"]]),  # a link's target says nothing
        ("* - a\n\n    - item of a cell\n  - b", [["a - item of a cell", "b"]]),
        ("prose", []),
        ("  - b", []),  # no row has begun
    ],
)
def test_a_list_table_has_a_row_for_each_outer_item(text: str, rows: list[list[str]]) -> None:
    assert read_list_table(text.split("\n")) == rows


@for_each(
    ("text", "options", "rows"),
    [
        ("a, b\nc, d", {}, [["a", "b"], ["c", "d"]]),
        ("M1      0.1", {"delim": "tab", "header": '"Layer"      "Min"'}, [["Layer", "Min"], ["M1", "0.1"]]),
        ('"one, two", b', {}, [["one, two", "b"]]),
        ('"say ""x""", b', {}, [['say "x"', "b"]]),
        ("a, b", {"header": "H1, H2"}, [["H1", "H2"], ["a", "b"]]),
        ("a; b", {"delim": ";"}, [["a", "b"]]),
        ("a; b", {"delim": ";", "header": "H1; H2"}, [["H1", "H2"], ["a", "b"]]),
        ("a; b", {"delim": ";", "header": "H1, H2"}, [["H1", "H2"], ["a", "b"]]),  # of other signs than the rows
        ("a b", {"delim": "space"}, [["a", "b"]]),
        (f"a{TAB}b c", {"delim": "tab"}, [["a", "b c"]]),
        ("a    b c", {"delim": "tab"}, [["a", "b c"]]),  # tabs that became blanks
        ("'a, b', c", {"quote": "'"}, [["a, b", "c"]]),
        ("\n , \n a, b", {}, [["a", "b"]]),  # rows that say nothing
        ("a, b", {"delim": "::"}, []),
        ("a, b", {"quote": "''"}, []),
        ("", {}, []),
        ("", {"header": "H1, H2"}, [["H1", "H2"]]),
    ],
)
def test_a_csv_table_is_read_with_its_options(text: str, options: dict[str, str], rows: list[list[str]]) -> None:
    assert read_csv_table(text.split("\n"), options) == rows


SIMPLE = """
=====  =====  ==========
Option        What
------------  ----------
name   value  it does
=====  =====  ==========
-a            one
              goes on
\\      5      two
-b     6      three words of text
=====  =====  ==========
"""


def test_a_simple_table_joins_its_header_and_rows_that_go_on() -> None:
    assert read_simple_table(lines(SIMPLE)) == [
        ["Option name", "value", "What it does"],
        ["-a", "", "one goes on"],
        ["", "5", "two"],
        ["-b", "6", "three words of text"],
    ]


@for_each(
    ("text", "rows"),
    [
        ("==  ==\na   b\n==  ==", [["", ""], ["a", "b"]]),  # it has no header
        ("==  ==\na   b\n==  ==\n1   2\n==  ==", [["a", "b"], ["1", "2"]]),
        ("==  ==\nlong text\n==  ==", [["", ""], ["long text", ""]]),  # text across a border stays where it begins
        ("==  ==\na   b", []),
        ("a   b\n==  ==\n1   2\n==  ==", []),
        ("", []),
    ],
)
def test_a_table_lies_between_borders(text: str, rows: list[list[str]]) -> None:
    assert read_simple_table(text.split("\n")) == rows


@given(st.lists(st.lists(st.text("abc 1", max_size=6).map(str.strip), min_size=3, max_size=3), min_size=1, max_size=6))
def test_what_is_written_as_a_simple_table_is_read_again(rows: list[list[str]]) -> None:
    rows = [[f"x{row[0]}", *row[1:]] for row in rows]  # a row without a first cell would go on the one above
    widths = [max(len(row[number]) for row in rows) or 1 for number in range(3)]
    border = "  ".join("=" * width for width in widths)
    body = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    read = read_simple_table([border, "  ".join("h".ljust(width) for width in widths), border, *body, border])
    assert [[" ".join(cell.split()) for cell in row] for row in read[1:]] == [
        [" ".join(cell.split()) for cell in row] for row in rows
    ]


@given(st.text("=-+ a\n*\\,", max_size=60))
def test_no_text_breaks_a_reader_and_rows_are_even(text: str) -> None:
    given_lines = text.split("\n")
    simple = read_simple_table(given_lines)
    assert len({len(row) for row in simple}) <= 1
    for rows in (read_list_table(given_lines), read_csv_table(given_lines, {})):
        assert all(set(cell) <= set(text) | {" "} for row in rows for cell in row)


@for_each(
    ("body", "options", "rows"),
    [
        ("* - a\n  - b\n* -\n  - (um)\n* - M1\n  - 2", {"header-rows": "2"}, [["a", "b (um)"], ["M1", "2"]]),
        ("* - a\n  - b\n* - M1\n  - 2", {"header-rows": "1"}, [["a", "b"], ["M1", "2"]]),
        ("* - a\n  - b", {}, [["", ""], ["a", "b"]]),
        ("* - a\n* - b", {"header-rows": "9"}, [["a b"]]),
        ("* - a\n  - .. note:: Only\n\n      here.", {"header-rows": "0"}, [["", ""], ["a", "Note: Only here."]]),
    ],
)
def test_the_rows_of_a_head_are_one(body: str, options: dict[str, str], rows: list[list[str]]) -> None:
    assert join_header(read_list_table(body.split("\n")), options) == rows


@for_each(
    ("rows", "spread"),
    [
        ([[":rspan:`1` 0", "EN"], ["MODE"], ["1", "X"]], [["0", "EN"], ["0", "MODE"], ["1", "X"]]),
        ([["a", ":cspan:`1` b"], ["c", "d", "e"]], [["a", "b", ""], ["c", "d", "e"]]),
        ([["a", "b :rspan:`2`"], ["c"], ["d"], ["e", "f"]], [["a", "b"], ["c", "b"], ["d", "b"], ["e", "f"]]),
    ],
)
def test_a_cell_of_a_flat_table_stands_in_each_row_that_it_spans(
    rows: list[list[str]], spread: list[list[str]]
) -> None:
    assert spread_cells(rows) == spread


def test_an_escaped_quote_is_a_quote() -> None:
    options = {"quote": "'", "escape": "\\", "header-rows": "1"}
    assert read_csv_table(["'a','it\\'s, so'"], options) == [["a", "it's, so"]]
