"""Reads JSON from an untrusted client or engine in bounded time and memory, and only what can be written again.

It knows nothing of the JSON's meaning.

    read_json('{"messages": []}', most_values=200_000)
"""

from __future__ import annotations

import json
import math
import re
from itertools import islice
from typing import Any, Literal

MAX_DEPTH = 64  # levels of arrays and objects; OpenAI's own bodies have about ten, a tool's schema a dozen more
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # possessive, and also without its end: linear time
_BRACKET = re.compile(r"[\[\]{}]")


def read_json(text: str, most_values: int, surrogates: Literal["strict", "replace"] = "strict") -> Any:
    """The value that the text holds.

    `surrogates`: whether half a surrogate pair (an emoji cut in two) is refused or becomes a question mark.

    Raises ValueError: it is not JSON (RFC 8259, so neither NaN nor Infinity), or holds a number beyond a float, more
    values than `most_values`, or levels deeper than MAX_DEPTH. The message completes a sentence about the text.
    """
    _check_size(text, most_values)
    value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    if "\\ud" in text or "\\uD" in text:
        try:
            value = json.loads(json.dumps(value, ensure_ascii=False).encode(errors=surrogates))
        except UnicodeEncodeError as error:
            half = ascii(error.object[error.start])[1:-1]
            raise ValueError(
                f"it holds {half}, half of a character, as in a text that was cut within an emoji"
            ) from None
    return value


def write_json(value: Any) -> bytes:
    """The value as compact UTF-8. Raises ValueError: it is not JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _check_size(text: str, most_values: int) -> None:
    """Count and measure the arrays and objects before making any: a value costs up to a hundred times its bytes."""
    if text.count(",") + text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    bare = _STRING.sub("", text)
    depth = 0
    for bracket in islice(_BRACKET.finditer(bare), most_values):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested too deeply, over {MAX_DEPTH} levels")
    if bare.count(",") + bare.count("[") + bare.count("{") > most_values:
        raise ValueError(f"it holds more than {most_values:,} values")


def _refuse_constant(name: str) -> None:
    """Refuse NaN and Infinity, which are not JSON (RFC 8259) though Python reads them."""
    raise ValueError(f"{name} is not a JSON value")


def _finite(text: str) -> float:
    """A number with a fraction or an exponent; refuses 1e999, which would be infinite."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is not a number that can be written again")
    return value
