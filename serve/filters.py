"""OpenAI's filters of a search: comparisons of a file's attributes, joined by `and` and `or`.

A comparison holds between values of one kind alone: a text is neither greater nor less than a number. An attribute that
a file lacks differs from every value.

    is_wanted(read_filter({"type": "eq", "key": "version", "value": "2.0"}, "filters"), {"version": "2.0"})  # True
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, Field, StrictBool, StrictFloat, StrictInt, StrictStr, TypeAdapter
from pydantic import ValidationError as Invalid

from serve.errors import RequestError
from serve.request_body import shorten

MOST_PARTS = 100  # of a filter: each is held against every file
FIELDS = ("type", "key", "value", "filters")  # of a filter; other steps to a fault are names of its kinds
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
    filters: list[Annotated[Comparison | Compound, Field(discriminator="type")]] = Field(max_length=MOST_PARTS)


Filter = Comparison | Compound


def _bounded(wanted: Filter | None) -> Filter | None:
    """Refuse a filter of too many parts."""
    if wanted is not None and count_parts(wanted) > MOST_PARTS:
        raise ValueError(f"it has more than {MOST_PARTS} parts")
    return wanted


_Told = Annotated[Filter, Field(discriminator="type")]  # by its type, so that an error says what is wrong with it
WantedFilter = Annotated[_Told | None, AfterValidator(_bounded)]  # of a request
_READER: TypeAdapter[Filter | None] = TypeAdapter(WantedFilter)


def read_filter(given: Any, place: str) -> Filter | None:
    """A filter that stands at this place in a request. Raises RequestError: it is none, and where it is wrong."""
    try:
        return _READER.validate_python(given)
    except Invalid as error:
        fault = error.errors(include_url=False)[0]
        steps = [step for step in fault["loc"] if isinstance(step, int) or step in FIELDS]
        param, value, said = place, fault["input"], fault["msg"].removeprefix("Value error, ")
        if fault["type"].startswith("union_tag"):
            steps, value = [*steps, "type"], value.get("type")
            said = f"give one of {', '.join([*get_args(Comparison.model_fields['type'].annotation), 'and', 'or'])}"
        param += "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
        raise RequestError(f"'{param}' is {shorten(value)}: {said[:1].lower()}{said[1:]}.", param) from None


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
