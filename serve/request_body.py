"""The body of a request as an object of a known shape; what is wrong with it is one sentence and the field at fault.

It reads no HTTP and knows no API.

    request = check_shape(ChatRequest, read_object(body))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, StrictStr, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from serve.errors import RequestError
from serve.strict_json import read_json

MOST_VALUES = 200_000  # in a request; ten thousand messages with their parts, and the schemas of a thousand tools
CODES = {  # pydantic's names for what is wrong, and OpenAI's
    "missing": "missing_required_parameter",
    "extra_forbidden": "unknown_parameter",
    "too_short": "empty_array",
    "too_long": "array_above_max_length",
    "string_too_long": "string_above_max_length",
    "literal_error": "invalid_value",
    "value_error": "invalid_value",
}
LIMITS = {  # by pydantic's names, with what to give
    "too_short": "give at least {min_length}",
    "too_long": "give at most {max_length}",
    "string_too_short": "give at least {min_length} characters",
    "string_too_long": "give at most {max_length} characters",
}
FAULT = "fault"  # the kind of pydantic's errors that hold a Fault
MOST_KINDS = 10  # that a field may have
WANTED = "Input should be a valid "  # how pydantic says which type it wants
BOUNDS = {"greater_than_equal": "below_min_value", "less_than_equal": "above_max_value"}
Shape = TypeVar("Shape", bound=BaseModel)
Steps = tuple[int | str, ...]  # from a field of a request to what is wrong within it
NOTHING = object()


class Fault(Exception):
    """What is wrong within a field that is read by hand: `steps` lead from the field to the value at fault."""

    def __init__(self, steps: Steps, value: Any, advice: str, code: str = "invalid_type") -> None:
        super().__init__(advice)
        self.steps, self.value, self.advice, self.code = steps, value, advice, code

    @classmethod
    def of_field(cls, given: Mapping[str, Any], steps: Steps, advice: str, code: str = "invalid_type") -> Fault:
        """What is wrong with a field of an object, which may lack it."""
        if (name := str(steps[-1])) in given:
            return cls(steps, given[name], advice, code)
        return cls(steps, NOTHING, advice, CODES["missing"])

    def as_refusal(self, place: str) -> RequestError:
        """The refusal of the request that has the field at this place."""
        param = param_of([place, *self.steps])
        problem = "is missing" if self.value is NOTHING else f"is {shorten(self.value)}"
        return RequestError(f"'{param}' {problem}: {self.advice}.", param, self.code)

    def as_pydantic(self) -> PydanticCustomError:
        """The same as an error that `check_shape` reads again."""
        return PydanticCustomError(FAULT, FAULT, {FAULT: self})


def _storable(text: str) -> str:
    """Refuse the character that PostgreSQL cannot hold."""
    if "\x00" in text:
        raise ValueError("it holds a character that is not text")
    return text


Words = Annotated[StrictStr, AfterValidator(_storable)]  # a text of a request that is kept


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a body holds; an empty one has no fields. Raises RequestError: it holds something else."""
    try:
        data = read_json(body.decode("utf-8-sig").strip() or "{}", MOST_VALUES)
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
        raise _refusal(error, data) from None


def _refusal(error: ValidationError, data: Mapping[str, Any]) -> RequestError:
    """The first fault, in OpenAI's terms: the field, its value, what to give, and a code."""
    faults = error.errors(include_url=False)
    fault, steps = faults[0], _steps(faults[0], data)
    param = param_of(steps)
    if fault["type"] == FAULT:
        found: Fault = fault["ctx"][FAULT]
        return found.as_refusal(param)
    said = fault["msg"].removeprefix("Value error, ")
    if fault["type"] in ("model_type", "dict_type"):
        said = "give an object"
    elif fault["type"] in LIMITS:
        said = LIMITS[fault["type"]].format(**fault["ctx"])
    elif said.startswith(WANTED):  # one fault for each type that the field may have
        same = [each["msg"] for each in faults[:MOST_KINDS] if _steps(each, data) == steps]
        kinds = [each.removeprefix(WANTED).partition(",")[0] for each in same if each.startswith(WANTED)]
        said = f"give a valid {' or '.join(dict.fromkeys(kinds))}"
    problem = (
        "is missing" if fault["type"] == "missing" else f"is {shorten(fault['input'])}: {said[:1].lower()}{said[1:]}"
    )
    return RequestError(f"'{param}' {problem}.", param, _code(fault))


def _steps(fault: ErrorDetails, data: Any) -> Steps:
    """The steps to what is wrong that lead through the data; pydantic's others name kinds that a value may have."""
    place = fault["loc"]
    taken: list[int | str] = []
    for number, step in enumerate(place, start=1):
        if (isinstance(data, Mapping) and step in data) or (isinstance(data, list) and isinstance(step, int)):
            data = data[step]  # type: ignore[index]
            taken.append(step)
        elif fault["type"] in ("missing", FAULT) and number == len(place):
            taken.append(step)
    return tuple(taken)


def param_of(place: Iterable[int | str]) -> str:
    """A field's place as OpenAI writes it: messages[0].role."""
    path = ""
    for step in place:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path


def _code(fault: ErrorDetails) -> str:
    """OpenAI's name for what is wrong."""
    kind = fault["type"]
    if kind in BOUNDS:
        return f"{'integer' if isinstance(fault['input'], int) else 'decimal'}_{BOUNDS[kind]}"
    if kind in CODES:
        return CODES[kind]
    return "invalid_type" if kind.endswith(("_type", "_parsing", "_from_float")) else kind


def shorten(value: Any) -> str:
    """A value for an error message, never longer than a line."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
