"""merge.command_line: what the types of arguments take and refuse."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable

import pytest

from merge.command_line import factor, natural, positive
from tests.rows import for_each


@for_each(
    ("kind", "text", "value"),
    [
        (positive, "1", 1),
        (positive, "500", 500),
        (natural, "0", 0),
        (natural, "7", 7),
        (factor, "0.5", 0.5),
        (factor, "1e-6", 1e-6),
        (factor, "1000", 1000),
    ],
)
def test_what_is_in_range_is_taken(kind: Callable[[str], float], text: str, value: float) -> None:
    assert kind(text) == value


@for_each(
    ("kind", "text"),
    [
        *((positive, text) for text in ("0", "-1", "1.5", "", "ten")),
        *((natural, text) for text in ("-1", "0.5", "x")),
        *((factor, text) for text in ("0", "-0.1", "1001", "nan", "inf", "")),
    ],
)
def test_what_is_not_is_refused_in_words(kind: Callable[[str], float], text: str) -> None:
    with pytest.raises(ArgumentTypeError, match=rf"'{text}' is not a (whole )?number (from|above) [01]"):
        kind(text)
