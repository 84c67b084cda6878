"""The body of a request as an object of a known shape; what is wrong with it is one sentence and the field at fault.

It reads no HTTP and knows no API.

    request = check_shape(ChatRequest, read_object(body))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from serve.errors import RequestError
from serve.strict_json import read_json

MOST_VALUES = 200_000  # in a request; ten thousand messages with their parts, and the schemas of a thousand tools
Shape = TypeVar("Shape", bound=BaseModel)


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a body holds. Raises RequestError: it holds something else."""
    try:
        data = read_json(body.decode("utf-8-sig"), MOST_VALUES)
    except ValueError as error:
        raise RequestError(f"The request body is not JSON that can be read: {error}.") from None
    if not isinstance(data, dict):
        raise RequestError(f"The request body must be a JSON object, not {type(data).__name__}.")
    return data


def check_shape(shape: type[Shape], data: Mapping[str, Any]) -> Shape:
    """The object in its shape. Raises RequestError: a field is wrong; names it, its value and what we expect."""
    try:
        return shape.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        param = ".".join(map(str, first["loc"]))
        problem = (
            "is missing"
            if first["type"] == "missing"
            else f"is {shorten(first['input'])}: {first['msg'][:1].lower()}{first['msg'][1:]}"
        )
        raise RequestError(f"'{param}' {problem}.", param) from None


def shorten(value: Any) -> str:
    """A value for an error message, never longer than a line."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
