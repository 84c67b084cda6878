"""Reads files of questions: one JSON object a line; checks each line and reports all errors at once.

The evaluations say what a question must hold.

    prompts = read_lines(path, parse_prompt, key=lambda prompt: prompt.key)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rag.errors import QuestionsUnusable, reason_of

Item = TypeVar("Item")
_SHOWN = 5  # problems that an error lists; the others are counted


def read_lines(
    path: Path, parse: Callable[[dict[str, Any]], Item], key: Callable[[Item], int | str]
) -> dict[int | str, Item]:
    """The items of a file by key, in order; empty lines are skipped. parse: raises ValueError if an object is wrong.

    Raises QuestionsUnusable: lines are bad (names each), or the file is unreadable or holds no question.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise QuestionsUnusable(f"{path}: it cannot be read ({reason_of(error)})") from None

    items: dict[int | str, Item] = {}
    problems = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            item = parse(_parse_object(line))
            if key(item) in items:
                raise ValueError(f"the key {key(item)!r} stands in an earlier line too")
            items[key(item)] = item
        except ValueError as error:
            problems.append(f"line {number}: {error}")

    if not problems and not items:
        problems.append("it holds no question")
    if problems:
        raise QuestionsUnusable(f"{path}: {list_problems(problems, ' lines')}")
    return items


def list_problems(problems: Sequence[str], unit: str = "") -> str:
    """The first problems, and the number of the others with its unit, such as " lines"."""
    more = len(problems) - _SHOWN
    return "; ".join([*problems[:_SHOWN], *([f"and {more} more{unit}"] if more > 0 else [])])


def _parse_object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("half a character (a lone surrogate), which cannot be sent") from None
    except ValueError as error:
        raise ValueError(f"not JSON ({error})") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def field_of(row: dict[str, Any], name: str, *kinds: type) -> Any:
    """A field of an object, of one of the kinds. Raises ValueError: it is missing or of another kind."""
    value = row.get(name)
    if not isinstance(value, kinds) or isinstance(value, bool):
        names = " or ".join(
            {"str": "text", "int": "a whole number", "list": "a list", "dict": "an object"}[kind.__name__]
            for kind in kinds
        )
        raise ValueError(f'"{name}" is missing' if name not in row else f'"{name}" is not {names}')
    return value
