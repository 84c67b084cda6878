"""OpenAI's filters of a search: comparisons of a file's attributes, joined by `and` and `or`.

A comparison holds between values of one kind alone: a text is neither greater nor less than a number. An attribute that
a file lacks differs from every value.

    is_wanted(parse({"type": "eq", "key": "version", "value": "2.0"}), {"version": "2.0"})  # True
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StrictBool, StrictFloat, StrictInt, StrictStr

Value = StrictStr | StrictBool | StrictInt | StrictFloat
Compare = Callable[[Any, Any], bool]
ORDERS: dict[str, Compare] = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


class Comparison(BaseModel):
    """One attribute beside a value, or beside several."""

    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    key: str = Field(max_length=64)
    value: Value | Annotated[list[Value], Field(max_length=1000)]


class Compound(BaseModel):
    """Filters of which all must hold, or any."""

    type: Literal["and", "or"]
    filters: list[Comparison | Compound] = Field(max_length=100)


Filter = Comparison | Compound


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
