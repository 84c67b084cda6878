"""tests.conftest: which test files are read with `-k`, and in which order files begin."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.conftest import LONGEST, files_holding, pytest_collection_modifyitems

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


def test_the_longest_files_begin_first_then_attacks_then_those_with_most_tests() -> None:
    begun = ["a", "b", "b", LONGEST[1], "c", "c", LONGEST[0], "test_attack_x"]
    items: list[Any] = [SimpleNamespace(path=HERE.parent / f"{name}.py", place=n) for n, name in enumerate(begun)]
    pytest_collection_modifyitems(items)
    assert [item.path.stem for item in items] == [*LONGEST[:2], "test_attack_x", "b", "b", "c", "c", "a"]
    assert [item.place for item in items] == [6, 3, 7, 1, 2, 4, 5, 0]  # tests of a file keep their order


def test_every_file_that_begins_first_exists() -> None:
    assert [name for name in LONGEST if not (HERE.parent / f"{name}.py").is_file()] == []
