"""A table that one test goes through: every row is tried, and all that fail are reported at once.

It is for rows that differ in their data alone. Cases that take different ways, or that share what they change, stay
`pytest.mark.parametrize`.

    @for_each(("text", "number"), [("1", 1), ("2", 2)])
    def test_a_number_is_read(text: str, number: int) -> None:
        assert int(text) == number
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

SHOWN = 20  # rows that a failing test shows
WIDTH = 300  # characters of a row
LINES = 8  # of what a row's failure says

Test = Callable[..., None]


def for_each(names: str | tuple[str, ...], rows: Iterable[Any]) -> Callable[[Test], Test]:
    """Give a test the values `names` of each row; fixtures are the same for all rows, but `tmp_path` is a new folder.

    names: one name, then a row is its value, or several, then a row has a value for each.
    """
    keys = (names,) if isinstance(names, str) else names
    table = [(row,) if isinstance(names, str) else tuple(row) for row in rows]
    assert table, f"no rows of {', '.join(keys)}"

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def run(**fixtures: Any) -> None:
            failures: list[tuple[str, BaseException]] = []
            for number, row in enumerate(table):
                try:
                    test(**_renew(fixtures, number), **dict(zip(keys, row, strict=True)))
                except (Exception, pytest.fail.Exception) as error:
                    failures.append((_describe(keys, row, error), error))
            if failures:
                shown = [text for text, _ in failures[:SHOWN]]
                raise AssertionError("\n".join([f"{len(failures)} of {len(table)} rows fail:", *shown])) from failures[
                    0
                ][1]

        signature = inspect.signature(test)
        fixtures = [parameter for name, parameter in signature.parameters.items() if name not in keys]
        run.__signature__ = signature.replace(parameters=fixtures)  # type: ignore[attr-defined]
        return run

    return decorate


def _renew(fixtures: dict[str, Any], number: int) -> dict[str, Any]:
    """The fixtures, with a folder of the row's own in the place of `tmp_path`."""
    if not isinstance(folder := fixtures.get("tmp_path"), Path):
        return fixtures
    (own := folder / str(number)).mkdir()
    return {**fixtures, "tmp_path": own}


def _describe(keys: tuple[str, ...], row: tuple[Any, ...], error: BaseException) -> str:
    values = ", ".join(f"{key}={value!r}" for key, value in zip(keys, row, strict=True))
    lines = (f"{type(error).__name__}: {error}").splitlines()[:LINES]
    return "\n".join([f"- {values[:WIDTH]}", *(f"    {line}" for line in lines)])
