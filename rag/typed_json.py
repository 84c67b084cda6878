"""JSON from a file that somebody else may have written, as one of our dataclasses, with every value's type checked.

It opens no file and knows no dataclass by name.

    record = parse_as(DocumentRecord, '{"collection": "notes", "path": "a.md", ...}')
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import is_dataclass
from functools import cache
from reprlib import repr as shorten
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
to_json = json.JSONEncoder(ensure_ascii=False).encode  # one for all: `json.dumps` would make one a call
_SURROGATE = re.compile("[\ud800-\udfff]")  # half of a sign, which no file and no answer can hold
_LARGEST = 2**63  # numbers stay below it, as the arrays that they count do


def parse_as(kind: type[T], text: str | bytes) -> T:
    """The JSON text as a `kind`: a dataclass, or a list, dict, str, int, float or bool of such.

    Raises ValueError: the message says what is wrong.
    """
    converted: T = convert(kind, parse_json(text))
    return converted


def parse_json(text: str | bytes) -> Any:
    """The JSON text as it is.

    Raises ValueError: it is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def convert(kind: Any, value: Any) -> Any:
    """The parsed value as a `kind`; a list becomes a tuple where that is the type.

    Raises ValueError: the message says what is wrong.
    """
    if is_dataclass(kind):
        return _convert_fields(kind, value)
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if origin in (Union, UnionType):  # such as `str | None`
        [kind] = [one for one in inner if one is not type(None)]
        return None if value is None else convert(kind, value)
    if origin is tuple and isinstance(value, list):
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        if len(kinds) == len(value):
            return tuple(convert(one, item) for one, item in zip(kinds, value, strict=True))
    if origin is list and isinstance(value, list):
        return [convert(inner[0], item) for item in value]
    if origin is dict and isinstance(value, dict):
        return {convert(inner[0], name): convert(inner[1], item) for name, item in value.items()}
    if _fits(kind, value):
        return float(value) if kind is float else value
    raise ValueError(f"{shorten(value)} is not of the type {getattr(kind, '__name__', kind)}")


def _convert_fields(kind: Any, value: Any) -> Any:
    hints = _hints(kind)
    if not isinstance(value, dict) or not value.keys() <= hints.keys():
        raise ValueError(f"{shorten(value)} has not the fields of a {kind.__name__}")
    fields = {name: convert(hints[name], item) for name, item in value.items()}
    try:
        return kind(**fields)
    except TypeError as error:  # a field is missing
        raise ValueError(f"{error}") from error


def _fits(kind: Any, value: Any) -> bool:
    """Whether the value is of that simple type, and can be counted with or written out."""
    if kind is float:
        return type(value) in (int, float) and abs(value) < _LARGEST and math.isfinite(value)
    if kind is bool:
        return type(value) is bool
    if kind is int:
        return type(value) is int and abs(value) < _LARGEST
    return kind is str and isinstance(value, str) and not _SURROGATE.search(value)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)
