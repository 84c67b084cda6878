"""OpenAI's filters of a search: comparisons of a file's attributes, joined by `and` and `or`.

A comparison holds between values of one kind alone: a text is neither greater nor less than a number. An attribute that
a file lacks differs from every value.

    is_wanted(read_filter({"type": "eq", "key": "version", "value": "2.0"}, "filters"), {"version": "2.0"})  # True
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainValidator

from serve.request_body import Fault, Steps

MOST_PARTS = 100  # of a filter: each is held against every file
MOST_VALUES = 1000  # of a comparison
LONGEST_KEY = 64
Value = str | bool | int | float
Compare = Callable[[Any, Any], bool]
ORDERS: dict[str, Compare] = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}
COMPARISONS, JOINS = ("eq", "ne", *ORDERS, "in", "nin"), ("and", "or")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One attribute beside a value, or beside several."""

    type: str
    key: str
    value: Value | list[Value]


@dataclass(frozen=True, slots=True)
class Compound:
    """Filters of which all must hold, or any."""

    type: str
    filters: tuple[Filter, ...]


Filter = Comparison | Compound


def read_filter(given: Any, place: str) -> Filter | None:
    """A filter that stands at this place in a request. Raises RequestError: it is none, and where it is wrong."""
    try:
        return _read_whole(given)
    except Fault as fault:
        raise fault.as_refusal(place) from None


def _read_whole(given: Any) -> Filter | None:
    """A filter, or none. Raises Fault."""
    found = None if given is None else _read(given, ())
    if found and count_parts(found) > MOST_PARTS:
        raise Fault((), given, f"give a filter of at most {MOST_PARTS} parts", "array_above_max_length")
    return found


def _read(given: Any, steps: Steps) -> Filter:
    """The filter that these steps lead to. Raises Fault."""
    if not isinstance(given, Mapping):
        raise Fault(steps, given, "give an object with 'type', 'key' and 'value', or with 'type' and 'filters'")
    kind = given.get("type")
    if kind in JOINS:
        return Compound(kind, _read_parts(given, (*steps, "filters")))
    if kind not in COMPARISONS:
        raise Fault.of_field(
            given, (*steps, "type"), f"give one of {', '.join((*COMPARISONS, *JOINS))}", "invalid_value"
        )
    key = given.get("key")
    if not isinstance(key, str):
        raise Fault.of_field(given, (*steps, "key"), "give the name of an attribute")
    if len(key) > LONGEST_KEY:
        raise Fault((*steps, "key"), key, f"give at most {LONGEST_KEY} characters", "string_above_max_length")
    return Comparison(kind, key, _read_value(given, (*steps, "value")))


def _read_parts(given: Mapping[str, Any], steps: Steps) -> tuple[Filter, ...]:
    """The filters that are joined. Raises Fault."""
    parts = given.get("filters")
    if not isinstance(parts, list):
        raise Fault.of_field(given, steps, "give a list of filters")
    if len(parts) > MOST_PARTS:
        raise Fault(steps, parts, f"give at most {MOST_PARTS} filters", "array_above_max_length")
    return tuple(_read(part, (*steps, number)) for number, part in enumerate(parts))


def _read_value(given: Mapping[str, Any], steps: Steps) -> Value | list[Value]:
    """What an attribute is compared with. Raises Fault."""
    value = given.get("value")
    if isinstance(value, Value):
        return value
    if not isinstance(value, list):
        raise Fault.of_field(given, steps, "give a text, a number, true or false, or a list of such")
    if len(value) > MOST_VALUES:
        raise Fault(steps, value, f"give at most {MOST_VALUES:,} values", "array_above_max_length")
    for number, each in enumerate(value):
        if not isinstance(each, Value):
            raise Fault((*steps, number), each, "give a text, a number, true or false")
    return value


def _validate(given: Any) -> Filter | None:
    """The same as a field of a model of pydantic's."""
    try:
        return _read_whole(given)
    except Fault as fault:
        raise fault.as_pydantic() from None


WantedFilter = Annotated[Filter | None, PlainValidator(_validate)]  # of a request


def count_parts(wanted: Filter) -> int:
    """Comparisons and joins of a filter together."""
    return 1 + sum(map(count_parts, wanted.filters)) if isinstance(wanted, Compound) else 1


def is_wanted(wanted: Filter, attributes: Mapping[str, Any]) -> bool:
    """Whether a file with these attributes passes the filter."""
    if isinstance(wanted, Compound):
        parts = (is_wanted(part, attributes) for part in wanted.filters)
        return all(parts) if wanted.type == "and" else any(parts)
    found = attributes.get(wanted.key)
    values = wanted.value if isinstance(wanted.value, list) else [wanted.value]
    if wanted.type in ("eq", "in"):
        return any(_equals(found, value) for value in values)
    if wanted.type in ("ne", "nin"):
        return not any(_equals(found, value) for value in values)
    return all(_kind(found) == _kind(value) and ORDERS[wanted.type](found, value) for value in values)


def _equals(found: Any, value: Any) -> bool:
    return _kind(found) == _kind(value) and bool(found == value)


def _kind(value: Any) -> str:
    """Text, number, truth or nothing; in Python true is a number too."""
    if isinstance(value, bool):
        return "truth"
    return "number" if isinstance(value, int | float) else "text" if isinstance(value, str) else "nothing"
