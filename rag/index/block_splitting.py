"""Cuts a block that is too long for a chunk: between table rows, lines of code, list items or sentences.

Each part of a table gets its header, each part of code its fence. It knows no sections and counts tokens with the
function it is given.

    parts = split_block(block, budget=220, count=embedder.count_tokens, overlap=32)
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TypeVar

from rag.blocks import Block

Count = Callable[[str], int]
Item = TypeVar("Item")
AnyBlock = TypeVar("AnyBlock", bound=Block)
# Word-piece tokenizers count a "word" of more than 100 characters (base64, a minified file) as one unknown token, and
# blanks as none. So we never let a token stand for more than this many characters. English prose has 4 to 5; no chunk
# of the pinned corpora has 8.
CHARACTERS_PER_TOKEN = 16
_SENTENCE_END = re.compile(r"(?<=[.!?:;])\s+(?=[A-Z`\"'(\[*-])")
_TABLE_BORDER = re.compile(r"[=+-]{3,}+[=+ -]*+")  # of reStructuredText, squeezed
_AHEAD = 2  # times as many units as are expected to fit are looked at; if all fit, the next ones are
_HEADER_LINES = 6  # the first lines of a table that may be its header
ITEM_START = re.compile(r"(?:[-*+]|#\.|\d+[.)])\s+")
_CELL_BORDER = re.compile(r"(?<!\\)\|")


def split_block(block: AnyBlock, budget: int, count: Count, overlap: int = 0) -> list[AnyBlock]:
    """The block itself where it fits, else pieces of at most `budget` tokens.

    Cuts lie between table rows, code lines, list items or sentences.
    """
    if count(block.text) <= budget:
        return [block]
    if block.kind == "code":
        texts = _split_code(block.text, budget, count)
    elif block.kind == "table":
        texts = _split_table(block.text, budget, count)
    elif block.kind == "list":
        texts = _join(_even_out(_group(list_items(block.text), "\n", budget, count), "\n", budget, count), "\n")
    else:
        texts = _join(_group(_SENTENCE_END.split(block.text), " ", budget, count, overlap), " ")
    return [replace(block, text=text) for text in texts]


def _join(groups: Sequence[Sequence[str]], joiner: str) -> list[str]:
    return [joiner.join(group) for group in groups]


def _split_code(text: str, budget: int, count: Count) -> list[str]:
    """Every piece gets the fence lines again, so that each is code by itself.

    They are left out where they take more than a third of the room.
    """
    opening, *body, closing = text.split("\n")
    room = budget - count(f"{opening}\n\n{closing}")
    if room < budget - budget // 3:
        return _join(_group(body, "\n", budget, count), "\n")
    groups = _even_out(_group(body, "\n", room, count, choose=outermost_line), "\n", room, count, outermost_line)
    return ["\n".join((opening, part.strip("\n"), closing)) for part in _join(groups, "\n") if part.strip()]


def outermost_line(lines: Sequence[str]) -> int:
    """The number of the line, in the later half and best the last, that a piece of code should begin with.

    That is one below a blank line, else one that is indented least.
    """
    best, least = len(lines) - 1, math.inf
    for number in range(len(lines) - 1, (len(lines) - 1) // 2, -1):
        line = lines[number]
        indent = -1 if not lines[number - 1].strip() else len(line) - len(line.lstrip())
        if line.strip() and indent < least:
            best, least = number, indent
    return best


def _split_table(text: str, budget: int, count: Count) -> list[str]:
    """Every piece gets the header again, and parts of a row its first cell.

    A table whose header takes over half of the room is cut between columns first; of two columns it loses its header.
    """
    lines = text.split("\n")
    header = _table_header(lines)
    if header and count("\n".join(header)) > budget // 2:
        if parts := _split_columns(lines, budget, count):
            return [piece for part in parts for piece in _split_table(part, budget, count)]
        header = []
    room = budget - count("\n".join(header)) if header else budget
    rows = _grid_rows(lines[len(header) :]) if lines[0].startswith("+") else lines[len(header) :]
    rows = [
        part
        for row in rows
        for part in (_split_row(row, room, count) if row.startswith("|") and count(row) > room else [row])
    ]
    groups = _even_out(_group(rows, "\n", room, count), "\n", room, count)
    return ["\n".join([*header, part]) for part in _join(groups, "\n")]


def _split_columns(lines: Sequence[str], budget: int, count: Count) -> list[str]:
    """A wide Markdown table as several, each with its first column; [] for one of two columns, and for other tables."""
    if not lines[0].startswith("|"):
        return []
    rows = [_CELL_BORDER.split(line.strip().removeprefix("|").removesuffix("|")) for line in lines]
    width = len(rows[0])
    if width <= 2:
        return []
    groups: list[list[int]] = [[]]
    for column in range(1, width):
        longer = [0, *groups[-1], column]
        if groups[-1] and count(_write_row([rows[0][number] for number in longer])) > budget // 4:
            groups.append([])
        groups[-1].append(column)
    if len(groups) == 1:
        return []
    filled = [[*row, *[" "] * (width - len(row))] for row in rows]
    return ["\n".join(_write_row([row[number] for number in (0, *group)]) for row in filled) for group in groups]


def _grid_rows(lines: Sequence[str]) -> list[str]:
    """The rows of a grid table, each with the border below it."""
    rows: list[list[str]] = [[]]
    for line in lines:
        rows[-1].append(line)
        if _TABLE_BORDER.fullmatch(line):
            rows.append([])
    return ["\n".join(row) for row in rows if row]


def _split_row(row: str, room: int, count: Count) -> list[str]:
    """Split a row: each part gets the first cell, if there is room, and some sentences of the longest cell."""
    cells = _CELL_BORDER.split(row.strip().removeprefix("|").removesuffix("|"))
    longest = max(range(1, len(cells)), key=lambda number: len(cells[number]), default=0)
    first = ["" if number == longest else cell for number, cell in enumerate(cells)]
    others = [cell if number == 0 else "" for number, cell in enumerate(cells)]
    left = room - count(_write_row(first))
    if not longest or not cells[0].strip() or left < room // 2:
        return [row]

    texts = _join(_group(_SENTENCE_END.split(cells[longest].strip()), " ", left, count), " ")
    frames = [first, *[others] * (len(texts) - 1)]
    return [
        _write_row([*frame[:longest], f" {text} ", *frame[longest + 1 :]])
        for frame, text in zip(frames, texts, strict=True)
    ]


def _write_row(cells: Sequence[str]) -> str:
    return f"|{'|'.join(cell or ' ' for cell in cells)}|"


def _table_header(lines: list[str]) -> list[str]:
    """The header rows with the rule under them: Markdown's two lines, or reStructuredText's up to its second border."""
    if len(lines) > 2 and re.fullmatch(r"[|:\s-]+", lines[1]):
        return lines[:2]
    if not _TABLE_BORDER.fullmatch(lines[0]):
        return []
    rules = [
        number
        for number, line in enumerate(lines[1:_HEADER_LINES], start=1)
        if "=" in line and _TABLE_BORDER.fullmatch(line)
    ]
    return lines[: rules[0] + 1] if rules and rules[0] < len(lines) - 1 else []


def list_items(text: str) -> list[str]:
    """A list's top-level items, each with the lines below it."""
    items: list[list[str]] = []
    for line in text.split("\n"):
        if not items or ITEM_START.match(line):
            items.append([])
        items[-1].append(line)
    return ["\n".join(item) for item in items]


def _group(
    units: Sequence[str],
    joiner: str,
    budget: int,
    count: Count,
    overlap: int = 0,
    choose: Callable[[Sequence[str]], int] | None = None,
) -> list[list[str]]:
    """Group units greedily to at most `budget` tokens each; a unit that is too large alone is cut finer.

    With `overlap`, a group begins with the last unit of the group before, if that has at most so many tokens. `choose`
    gets the units of a full group and the next unit; it says which of them, the first excepted, begins the next group.
    """
    waiting = deque(units)
    cut = 0  # how many of the first in `waiting` are parts of a cut unit: they are not cut again
    groups: list[list[str]] = []
    group: list[str] = []
    guess = 1

    while waiting:
        ahead = _look_ahead(waiting, budget, _AHEAD * max(guess, _AHEAD))
        taken = longest_prefix(ahead, partial(_fits_after, group, joiner, budget, count), guess)
        if taken == 0 and not cut and count(waiting[0]) > budget:
            parts = _cut_unit(waiting.popleft(), budget, count)
            waiting.extendleft(reversed(parts))
            cut = len(parts)
            continue

        if taken == 0 and group and choose:
            kept = choose([*group, waiting[0]])
            cut += len(group) - kept if cut else 0
            waiting.extendleft(reversed(group[kept:]))
            groups.append(group[:kept])
            group = []
            guess = kept
            continue

        if taken == 0 and group:
            groups.append(group)
            last, part = group[-1], waiting[0]
            repeat = (
                overlap > 0 and len(group) > 1 and count(last) <= overlap and count(joiner.join((last, part))) <= budget
            )
            group = [last] if repeat else []
            guess = len(groups[-1])
            continue

        taken = max(taken, 1)
        group = group + ahead[:taken]
        for _ in range(taken):
            waiting.popleft()
        cut = max(0, cut - taken)
        guess = 1
    return [group for group in (*groups, group) if group]


def _even_out(
    groups: list[list[str]],
    joiner: str,
    budget: int,
    count: Count,
    choose: Callable[[Sequence[str]], int] | None = None,
) -> list[list[str]]:
    """The groups; evens out the last two where the last has less than half the budget.

    So no hit holds one row alone. `choose`: as in `_group`.
    """
    if len(groups) < 2 or count(joiner.join(groups[-1])) >= budget // 2:
        return groups
    before, last = list(groups[-2]), list(groups[-1])
    while len(before) > 1:
        if count(joiner.join([before[-1], *last])) > min(budget, count(joiner.join(before[:-1]))):
            break
        last.insert(0, before.pop())
    if choose and len(before) > 1:
        kept = choose([*before, last[0]])
        before, last = before[:kept], [*before[kept:], *last]
    return [*groups[:-2], before, last] if count(joiner.join(last)) <= budget else groups


def _fits_after(group: Sequence[str], joiner: str, budget: int, count: Count, more: Sequence[str]) -> bool:
    return count(joiner.join([*group, *more])) <= budget


def _look_ahead(waiting: deque[str], budget: int, most: int) -> list[str]:
    """The first of the waiting units: one more than the budget can hold by their characters, and at most so many."""
    room = (budget + 1) * CHARACTERS_PER_TOKEN
    ahead: list[str] = []
    for unit in islice(waiting, most):
        ahead.append(unit)
        room -= len(unit) + 1
        if room < 0:
            break
    return ahead


def longest_prefix(items: Sequence[Item], fits: Callable[[Sequence[Item]], bool], guess: int) -> int:
    """How many of the first items fit together; looks around `guess` first.

    Items that do not fit must not fit with more items either.
    """
    least, too_many = 0, len(items) + 1
    step, size = 1, min(max(guess, 1), len(items))
    while too_many - least > 1:
        if fits(items[:size]):
            least = size
        else:
            too_many = size
        if least == 0:
            size = max(too_many - step, 1)
        elif too_many > len(items):
            size = min(least + step, len(items))
        else:
            size = (least + too_many) // 2
        step *= 2
    return least


def _cut_unit(unit: str, budget: int, count: Count) -> list[str]:
    """A row, line, item or sentence that is too large: at its line ends, else between words, else characters."""
    for separator in ("\n", " "):
        parts = unit.split(separator)
        if len(parts) > 1:
            return _join(_group(parts, separator, budget, count), separator)
    # A single "word" of more than `budget` tokens is data (base64, a long bus): any cut is as good as another.
    lengths = [max(budget, 1) * CHARACTERS_PER_TOKEN]
    while lengths[-1] > 1:
        lengths.append(lengths[-1] // 2)
    parts, start, size = [], 0, 0
    while start < len(unit):
        while size and count(unit[start : start + lengths[size - 1]]) <= budget:
            size -= 1
        while size < len(lengths) - 1 and count(unit[start : start + lengths[size]]) > budget:
            size += 1
        parts.append(unit[start : start + lengths[size]])
        start += lengths[size]
    return parts
