"""Options in usage texts, man pages and lists: an option begins a line, its description stands beside or below it.

It reads the lines of one block and knows no command; `extraction` finds out whose options they are.

    read_usage(["  -t, --top <module>", "        use this module as top"])[0].names
    # (("-t", "<module>"), ("--top", "<module>"))
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rag.reference.synopses import OPTION, read_option_names

_COLUMNS = re.compile(r" {2,}|\t+")  # between an option and what it does
_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s+(?=\S)")
# `-hold`: what it does;  **-hold** - what it does;  `-hold` what it does;  `-t`, `--top`: what both do
_DESCRIBED = re.compile(
    r"\**`+(?P<code>[^`]{1,120}(?:`+\**(?:, ?| / | or )\**`+[^`]{1,120}){0,4})`+\**"
    r"(?:\s*[:\u2013\u2014]\s*|\s+-+\s+|\s+)(?P<description>\S.*)",
    re.DOTALL,
)
_BARE_DESCRIBED = re.compile(
    r"\**(?P<code>[-+]\S{1,60}?)\**(?:\s*:\s+|\s+[-\u2013\u2014]+\s+)(?P<description>\S.*)", re.DOTALL
)
# The same at the beginning of a paragraph, where a sentence may begin with an option too.
_DEFINED = re.compile(
    r"\**`+(?P<code>[-+][^`]{1,120})`+\**(?:\s*:\s+|\s+[-\u2013\u2014]+\s+)(?P<description>\S.*)", re.DOTALL
)
LONGEST_LINE = 400


@dataclass(frozen=True, slots=True)
class Usage:
    """Options that share a description, with what they take, and the lines `first` to `last` of their block."""

    names: tuple[tuple[str, str], ...]
    description: str
    first: int
    last: int


def read_usage(lines: Sequence[str]) -> list[Usage]:
    """The options of a usage text. An option without a word beside or below it shares that of the next one."""
    found: list[Usage] = []
    waiting: list[tuple[str, str]] = []
    begun, number = 0, 0
    while number < len(lines):
        names, first_words = _split_option(lines[number])
        if not names:
            waiting, number = [], number + 1
            continue

        begun = number if not waiting else begun
        end = _end_of(lines, number)
        body = [line.strip() for line in lines[number + 1 : end]]
        description = " ".join(filter(None, [first_words, *body]))
        waiting += names
        if description:
            found.append(Usage(tuple(waiting), description, begun, max(end - 1, number)))
            waiting = []
        number = end
    return found


def _split_option(line: str) -> tuple[list[tuple[str, str]], str]:
    """The options that a line begins with, and their description on the same line."""
    bare = line.strip().replace("`", "")
    if len(line) > LONGEST_LINE or not OPTION.match(bare):
        return [], ""
    spec, _, description = _partition(bare)
    names = read_option_names(spec)
    if not names and description:
        return [], ""
    return names, description


def _partition(bare: str) -> tuple[str, str, str]:
    """The line before, in and after the first gap of two blanks."""
    gap = _COLUMNS.search(bare)
    return (bare[: gap.start()], gap[0], bare[gap.end() :]) if gap else (bare, "", "")


def _end_of(lines: Sequence[str], number: int) -> int:
    """The number after the last line that is indented deeper than line `number`; blank lines between them count."""
    margin = _indent(lines[number])
    end = after = number + 1
    while after < len(lines):
        line = lines[after]
        if line.strip():
            if _indent(line) <= margin:
                break
            end = after + 1
        after += 1
    return end


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def read_definition(lines: Sequence[str]) -> list[Usage]:
    """The options that a paragraph begins with, where it says what they do: "`-hold`: repair hold"."""
    text = " ".join(line.strip() for line in lines)
    found = _DEFINED.fullmatch(text) if len(text) <= 4 * LONGEST_LINE else None
    names = read_option_names(found["code"]) if found else []
    return [Usage(tuple(names), found["description"], 0, len(lines) - 1)] if found and names else []


def read_items(lines: Sequence[str]) -> list[Usage]:
    """The options of a list whose items begin with them: "- `-hold`: repair hold"; other items are skipped."""
    starts = [number for number, line in enumerate(lines) if _ITEM.match(line)]
    found = []
    for first, after in pairwise([*starts, len(lines)]):
        head, *more = lines[first:after]
        item = _ITEM.match(head)
        text = " ".join([head[item.end() :] if item else head, *(line.strip() for line in more)]).strip()
        described = (
            _DESCRIBED.fullmatch(text) or _BARE_DESCRIBED.fullmatch(text) if len(text) <= 4 * LONGEST_LINE else None
        )
        names = read_option_names(re.sub(r"[`*]{2,}|`", "", described["code"])) if described else []
        if described and names:
            found.append(Usage(tuple(names), described["description"], first, after - 1))
    return found
