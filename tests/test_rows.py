"""tests.rows: every row is tried, all that fail are reported, and a row has a folder of its own."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from tests.rows import for_each


def test_every_row_is_tried_and_all_that_fail_are_reported() -> None:
    tried = []

    @for_each(("text", "number"), [("1", 1), ("2", 3), ("x", 4), ("5", 5)])
    def read(text: str, number: int) -> None:
        tried.append(text)
        assert int(text) == number

    with pytest.raises(AssertionError, match=r"^2 of 4 rows fail:\n- text='2', number=3\n") as caught:
        read()
    assert tried == ["1", "2", "x", "5"]
    assert "- text='x', number=4\n    ValueError: invalid literal" in str(caught.value)
    assert isinstance(caught.value.__cause__, AssertionError)


def test_what_should_raise_and_does_not_fails() -> None:
    @for_each("text", ["1", "x"])
    def refuse(text: str) -> None:
        with pytest.raises(ValueError, match="invalid"):
            int(text)

    with pytest.raises(AssertionError, match=r"1 of 2 rows fail:\n- text='1'\n    Failed: "):
        refuse()


@for_each("number", [1, 2])
@for_each("letter", "ab")
def test_tables_stand_upon_one_another_and_each_row_has_a_folder(number: int, letter: str, tmp_path: Path) -> None:
    assert list(tmp_path.iterdir()) == []
    (tmp_path / f"{letter}{number}").write_text("x")


def test_pytest_sees_the_fixtures_alone() -> None:
    def check(row: int, tmp_path: Path) -> None:
        """Nothing."""

    assert list(inspect.signature(for_each("row", [1])(check)).parameters) == ["tmp_path"]


def test_a_table_without_rows_is_refused() -> None:
    with pytest.raises(AssertionError, match="no rows of row"):
        for_each("row", [])
