"""rag.typed_json: what fits its types comes through unchanged, everything else is an error that names it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import pytest

from rag.typed_json import convert, parse_as
from tests.rows import for_each


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Whole:
    count: int
    parts: dict[str, Part]
    pair: tuple[str, int]
    names: tuple[str, ...] = ()
    url: str | None = None


WHOLE = Whole(3, {"a": Part("ä", 2.5), "b": Part("", 0)}, ("x", -1), ("one", "two"), None)


def test_what_was_written_comes_back() -> None:
    assert parse_as(Whole, json.dumps(asdict(WHOLE))) == WHOLE
    assert parse_as(list[str], '["a", "b"]') == ["a", "b"]
    assert parse_as(dict[str, str], b'{"a": "b"}') == {"a": "b"}


def test_a_whole_number_is_a_number_with_a_fraction_too() -> None:
    weight = parse_as(Part, '{"name": "a", "weight": 2}').weight
    assert (weight, type(weight)) == (2.0, float)


@for_each(
    ("kind", "value"),
    [
        (int, True),
        (int, 1.0),
        (int, "1"),
        (int, 2**63),
        (int, None),
        (float, float("nan")),
        (float, float("inf")),
        (float, 10**400),
        (float, True),
        (float, "1"),
        (str, 1),
        (str, None),
        (str, "\ud800"),
        (list[str], "ab"),
        (list[str], [1]),
        (dict[str, str], []),
        (dict[str, str], {"a": None}),
        (tuple[str, int], ["a"]),
        (tuple[str, int], ["a", 1, 1]),
        (tuple[str, ...], "ab"),
        (Part, {}),
        (Part, []),
        (Part, {"name": "a", "more": 1}),
        (Part, {"name": 1}),
        (str | None, 1),
    ],
)
def test_what_does_not_fit_is_an_error(kind: object, value: object) -> None:
    with pytest.raises(ValueError, match=r"is not of the type|has not the fields|missing"):
        convert(kind, value)


@for_each("text", ["", "{", "[" * 100_000, b"\xff", "9" * 5000])
def test_what_is_not_json_is_an_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  each has its own words
        parse_as(Part, text)


def test_an_error_does_not_repeat_a_long_value() -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        convert(int, "x" * 10_000)
    assert len(str(caught.value)) < 200
