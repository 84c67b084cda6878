"""tests.conftest: with `-k`, only the test files are read that can hold such a test."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import files_holding

HERE = Path(__file__)
OTHERS = HERE.parent / "test_rows.py"


def test_a_word_leaves_the_files_that_hold_it_in_text_or_name() -> None:
    assert files_holding("a_word_leaves_THE_files_that_hold_it") == {HERE}
    assert OTHERS in files_holding("test_rows")
    assert OTHERS not in files_holding("a_word_leaves_the_files_that_hold_it and every_row_is_tried")
    assert {HERE, OTHERS} <= files_holding("a_word_leaves_the_files_that_hold_it or (every_row_is_tried)")


def test_where_every_file_may_hold_a_test_all_are_read() -> None:
    assert files_holding("") == files_holding("not slow") == frozenset()
    assert files_holding("zz" + "zz") == frozenset()
