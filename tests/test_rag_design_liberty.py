"""rag.design.liberty: libraries as vendors write them, and no number of what could not be followed to its end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.design.liberty import read_liberty
from tests.rows import for_each

WHOLE = 'library (typical) { time_unit : "1ns"; cell (INV) { area : 0.8; pin (A) { direction : input; } } }'


@for_each(
    ("text", "cells"),
    [
        (WHOLE, [["INV", "0.8", "", "", "A"]]),
        ("library(t)\n{\ncell (INV)\n{\narea : 0.8\n}\n}", [["INV", "0.8", "", "", ""]]),  # braces and no ;
        ("library (t) { cell (INV) { area : 0.8 cell_leakage_power : 2 } }", [["INV", "0.8", "2", "", ""]]),
        ('library (t) { cell ("INV X1") { cell_footprint : "inv"; } }', [["INV X1", "", "", "inv", ""]]),
        ("library (t) { cell (B) { bus (D) {} bundle (Q, QN) {} } }", [["B", "", "", "", "D Q QN"]]),
        ("library (t) { cell (A) {} cell (B) {} }", [["A", "", "", "", ""], ["B", "", "", "", ""]]),
        ("library (t) { cell (A) { /* area : 9; } */ area : 1; // area : 2\n } }", [["A", "1", "", "", ""]]),
        ('library (t) { cell (A) { note : "} area : 9;"; area : 1; } }', [["A", "1", "", "", ""]]),
        ("library (t) { cell (A) { pin (Y) { t () { values (1, \\\n 2); } } area : 1; } }", [["A", "1", "", "", "Y"]]),
        ("library (t) { cell (A) { area : 0.5 * 2; } }", [["A", "0.5 * 2", "", "", ""]]),
        ("library (t) { cell (A) { area = 1.5; pad_cell = true\n } }", [["A", "1.5", "", "", ""]]),
        ("library (t) { }", []),
        ("", []),
    ],
)
def test_cells_are_read_in_each_dialect(text: str, cells: list[list[str]]) -> None:
    assert read_liberty(text).cells == cells


def test_the_header_and_other_groups_are_kept_apart_from_cells() -> None:
    found = read_liberty(
        'library ("my lib") { delay_model : table_lookup; capacitive_load_unit (1, pf); '
        "lu_table_template (a) { variable_1 : x; } lu_table_template (b) {} "
        "operating_conditions (tt) { process : 1; } }"
    )
    assert found.names == ["my lib"]
    assert found.header == ["delay_model: table_lookup", "capacitive_load_unit: 1, pf"]
    assert found.groups == {"lu_table_template": 2, "operating_conditions": 1}
    assert found.is_followed


def test_many_pins_are_counted_beyond_those_that_are_shown() -> None:
    pins = "".join(f"pin (P{number}) {{}} " for number in range(50))
    [cell] = read_liberty(f"library (t) {{ cell (A) {{ {pins} }} }}").cells
    assert cell[4].startswith("P0 P1 ")
    assert cell[4].endswith(" P39 and 10 more")


@for_each(
    "text",
    [
        WHOLE[:-1],
        WHOLE + "}",
        WHOLE + WHOLE,
        WHOLE.replace('"1ns"', '"1ns'),
        WHOLE.replace("cell (INV)", "/* cell (INV)"),
        WHOLE.replace("cell (INV)", "cell (INV) (X)"),
        "define (a, b, c);",
        "cell (INV) { area : 1; }",
        "other (x) { }",
        "",
    ],
)
def test_what_was_not_followed_to_its_closing_brace_is_known(text: str) -> None:
    assert read_liberty(WHOLE).is_followed
    assert not read_liberty(text).is_followed


@pytest.mark.parametrize("cut", range(0, len(WHOLE), 7))
def test_a_library_that_is_cut_anywhere_is_read_as_far_as_it_goes(cut: int) -> None:
    found = read_liberty(WHOLE[:cut])
    assert not found.is_followed
    assert len(found.cells) == (1 if "cell (INV) {" in WHOLE[:cut] else 0)


def test_the_pins_of_a_cell_that_is_cut_off_are_marked_as_not_all() -> None:
    [cell] = read_liberty("library (t) { cell (A) { pin (CK) {} pin (D) { direction : inp").cells
    assert cell[4] == "CK D …"


SIGNS = ["library (t) {", "cell (A) {", "}", "area : 1", ";", '"', "/*", "*/", "pin (", ")", "\\\n"]


@given(st.lists(st.sampled_from(SIGNS)))
def test_any_sequence_of_signs_is_read_and_counts_no_more_cells_than_are_written(signs: list[str]) -> None:
    found = read_liberty(" ".join(signs))
    assert len(found.cells) <= signs.count("cell (A) {")
    assert all(len(cell) == 5 for cell in found.cells)


def test_quotes_within_a_value_stay_and_a_line_that_goes_on_is_one() -> None:
    found = read_liberty('library (t) {\n comment : "a \\"quoted\\" { brace \\\n  and more" ;\n}\n')
    assert found.header == ['comment: a "quoted" { brace and more']
    assert found.is_followed
