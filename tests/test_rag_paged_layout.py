"""rag.paged.layout: words on a page become the lines, columns and tables that a reader sees, and none is lost."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rag.paged.layout import Line, find_aligned_tables, join_words, order_lines
from tests.rows import for_each

Word = dict[str, Any]


def word(text: str, x0: float, bottom: float, size: float = 10, font: str = "Times", width: float = 5) -> Word:
    """A word whose letters are so wide."""
    x1 = x0 + width * len(text)
    return {"text": text, "x0": x0, "x1": x1, "top": bottom - size, "bottom": bottom, "size": size, "fontname": font}


def line(text: str, x0: float, top: float, width: float = 200, **more: Any) -> Line:
    return Line(text, x0, x0 + width, top, top + 10, 10, **more)


@for_each(
    ("words", "lines"),
    [
        ([word("hold", 30, 20), word("Fix", 10, 20)], ["Fix hold"]),
        ([word("below", 10, 40), word("above", 10, 20)], ["above", "below"]),
        ([word("Fix", 10, 20), word("hold", 60, 20)], ["Fix", "hold"]),  # a gap between columns
        ([word("x", 10, 20), word("2", 16, 17, size=6)], ["x^2"]),  # raised a little
        ([word("t", 10, 20), word("hold", 15, 22, size=6), word(",", 35, 20)], ["t_hold,"]),
        ([word("4", 10, 17, size=6), word("See", 15.2, 20)], ["4 See"]),  # a footnote
        ([word("a", 10, 20), word("b", 18, 17, size=9)], ["a b"]),  # nearly as large
        ([word("a", 10, 20, font="Courier"), word("b", 35, 20, font="Courier")], ["a    b"]),  # four blanks wide
        ([word("a", 10, 20, font="Courier"), word("b", 35, 20)], ["a", "b"]),
        ([], []),
    ],
)
def test_words_of_a_row_are_a_line_as_far_as_their_gaps_are_blanks(words: list[Word], lines: list[str]) -> None:
    assert [found.text for found in join_words(words)] == lines


def test_a_line_knows_its_place_its_size_and_its_letters() -> None:
    [found] = join_words([word("Long", 10, 20, size=12, font="Times-Bold"), word("x", 33, 20, font="ABCDEF+CMBX10")])
    assert (found.x0, found.x1, found.top, found.bottom) == (10, 38, 8, 20)
    assert (found.size, found.is_bold, found.is_mono) == (12, True, False)
    [plain] = join_words([word("a", 10, 20, font="Menlo-Bold"), word("b", 20, 20, font="Menlo")])
    assert (plain.is_bold, plain.is_mono) == (False, True)


@given(
    st.lists(
        st.builds(
            word,
            st.sampled_from(["hold", "a", "repair_timing"]),
            st.floats(0, 500),
            st.floats(10, 700),
            st.sampled_from([0.0, 6.0, 10.0, 24.0]),
            st.sampled_from(["Times", "Courier", "Helvetica-Bold"]),
        ),
        max_size=30,
    )
)
def test_no_word_is_lost_on_its_way_through_a_page(words: list[Word]) -> None:
    lines = join_words(words)
    ordered = find_aligned_tables(order_lines(lines))
    said = " ".join(found.text or " ".join(cell for row in found.rows for cell in row) for found in ordered)
    written = "".join(each["text"] for each in words)  # letters of two fonts may touch, and some are raised
    assert Counter(re.sub(r"[\s^\[\]()]|_(?!timing)", "", said)) == Counter(written)
    assert [found.top for found in lines] == sorted(found.top for found in lines)


def columns(count: int = 8) -> list[Line]:
    """Two full columns of text, from the top: each line is named by its column and place."""
    return [line(f"{side}{row}", x0, 100 + 12 * row) for row in range(count) for side, x0 in (("L", 50), ("R", 300))]


def test_two_full_columns_are_read_one_after_the_other() -> None:
    ordered = [found.text for found in order_lines(columns())]
    assert ordered == [f"{side}{row}" for side in "LR" for row in range(8)]


def test_what_crosses_the_gutter_parts_the_page_into_bands() -> None:
    title, middle = line("Title", 50, 50, width=450), line("A wide table", 50, 100 + 12 * 8, width=450)
    below = [replace(one, text=one.text.lower(), top=one.top + 120, bottom=one.bottom + 120) for one in columns()]
    ordered = [found.text for found in order_lines([*below, middle, *columns(), title])]
    assert ordered[0] == "Title"
    assert ordered[17] == "A wide table"
    assert ordered[1:9] == [f"L{row}" for row in range(8)]
    assert ordered[18:26] == [f"l{row}" for row in range(8)]


def test_short_cells_beside_each_other_are_rows_and_no_columns() -> None:
    sides = (("a", 50), ("b", 300))
    cells = [line(f"{side}{row}", x0, 100 + 12 * row, width=20) for row in range(8) for side, x0 in sides]
    ordered = order_lines(cells)
    assert [found.text for found in ordered] == [f"a{row}  b{row}" for row in range(8)]
    assert ordered[0].cells == ((50, "a0"), (300, "b0"))


def test_few_lines_beside_each_other_are_rows() -> None:
    assert [found.text for found in order_lines(columns(5))] == [f"L{row}  R{row}" for row in range(5)]


def row(top: float, *cells: tuple[float, str]) -> Line:
    return Line("  ".join(text for _, text in cells), cells[0][0], cells[-1][0] + 40, top, top + 10, 10, cells=cells)


def test_rows_whose_cells_begin_at_the_same_places_are_a_table() -> None:
    lines = [
        row(10, (50, "Option"), (150, "Meaning")),
        row(22, (50, "-hold"), (151, "Repairs hold")),
        line("violations.", 150, 34, width=50),  # it goes on in the second column
        row(46, (50, "-setup"), (149, "Repairs setup")),
        line("Text behind the table begins at its margin.", 50, 58),
    ]
    table, text = find_aligned_tables(lines)
    assert table.rows == (("Option", "Meaning"), ("-hold", "Repairs hold violations."), ("-setup", "Repairs setup"))
    assert (table.text, table.top, table.bottom) == ("", 10, 56)
    assert text.text.startswith("Text behind")


@for_each(
    "lines",
    [
        [row(10, (50, "a"), (150, "b")), row(22, (50, "c"), (150, "d"))],  # two rows may be chance
        [row(10 + 12 * n, (50 + 30 * n, "a"), (150 + 30 * n, "b")) for n in range(4)],  # their cells begin elsewhere
        [line("plain", 50, 10 + 12 * n) for n in range(5)],
        [],
    ],
)
def test_other_lines_stay_as_they_are(lines: list[Line]) -> None:
    assert find_aligned_tables(lines) == lines


def test_a_bold_headings_number_is_not_a_cell() -> None:
    heads = [
        Line(f"1.{n}  Head", 50, 300, 10.0 * n, 10.0 * n + 9, 10, is_bold=True, cells=((50, f"1.{n}."), (90, "Head")))
        for n in range(4)
    ]
    assert [found.text for found in find_aligned_tables(heads)] == [f"1.{n}. Head" for n in range(4)]
