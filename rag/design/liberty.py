"""Liberty, in the dialects that vendors write, to the library's header and the list of its cells.

Braces may stand on their own lines, a `;` may be missing, names and expressions may stand without quotes. It reads
names, areas, leakage and pins; it skips timing tables and checks nothing. A number of cells is stated only where the
library was followed to its closing brace.

    read_liberty("library (typical)\n{ cell (INV) { area : 0.8 } }").cells == [["INV", "0.8", "", "", ""]]
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from rag.blocks import CUT

_NAMES_PER_CELL = 40  # pins shown per cell
_CELL_VALUES = ("area", "cell_leakage_power", "cell_footprint")
_PINS = frozenset({"pin", "bus", "bundle"})
_MAX_ARGUMENT = 2000  # characters of a group's names or of a value; longer ones are tables, which are skipped

# Strings and comments may hold any sign. `open` and `left` match those that are never closed.
_OPAQUE = re.compile(r'"(?:[^"\\]|\\(?:.|\Z))*(?:"|(?P<open>\Z))|/\*.*?(?:\*/|(?P<left>\Z))|//[^\n]*', re.DOTALL)
_SIGNS = "{}();: \t\n"
# While a string is read, its structural signs are replaced by signs of Unicode's private area.
_HIDDEN = str.maketrans({sign: chr(0xE000 + number) for number, sign in enumerate(_SIGNS)} | {"\t": chr(0xE006)})
_SHOWN = str.maketrans({chr(0xE000 + number): sign for number, sign in enumerate(_SIGNS)} | {chr(0xE008): " "})
_NAME = r"(?<!\w)[A-Za-z_]\w*+"
_LIST = rf"\([^(){{}};]{{0,{_MAX_ARGUMENT}}}\)"
# A value ends at `;`, at a brace, at the line's end, or where the next statement begins on the same line.
_STATEMENT = re.compile(
    rf"(?P<group>{_NAME})\s*+(?P<arguments>{_LIST})\s*+\{{"
    rf"|(?P<name>{_NAME})\s*+(?::|=(?!=))[ \t]*+(?P<value>(?:(?!\s{_NAME}\s*+(?::|=(?!=)|{_LIST}\s*+\{{))[^;{{}}\n])*+)"
    rf"|(?P<list>{_NAME})\s*+(?P<items>{_LIST})"
    r"|(?P<brace>[{}])"
)


@dataclass(slots=True)
class Liberty:
    """What was read of a file: the library's name, its header lines, its cells as (name, area, leakage, footprint,
    pins), its other groups with their number. `is_followed`: every brace stood where one was expected.
    """

    names: list[str] = field(default_factory=list)
    header: list[str] = field(default_factory=list)
    cells: list[list[str]] = field(default_factory=list)
    groups: Counter[str] = field(default_factory=Counter)
    is_followed: bool = True


def read_liberty(text: str) -> Liberty:
    """The libraries of a file. Without one, `names` is empty."""
    text, is_closed = _hide_strings(text.replace("\\\r\n", " ").replace("\\\n", " "))
    found = Liberty(is_followed=is_closed)
    open_groups: list[str] = []  # "" for one that is not understood
    pins: list[str] = []

    for statement in _STATEMENT.finditer(text):
        if statement["brace"] == "}":
            found.is_followed &= bool(open_groups)
            closed = open_groups.pop() if open_groups else ""
            if closed == "cell" and len(open_groups) == 1 and found.cells:
                found.cells[-1][4] = _list_names(pins)
        elif statement["brace"]:
            found.is_followed &= len(open_groups) > 1
            open_groups.append("")
        elif group := statement["group"]:
            if (len(open_groups), group) == (1, "cell"):
                pins = []
            _enter(found, group, list(_names(statement["arguments"])), open_groups, pins)
            open_groups.append(group)
        elif len(open_groups) == 1:
            name = statement["name"] or statement["list"]
            found.header.append(f"{name}: {_show(statement['value'] or (statement['items'] or '')[1:-1])}")
        elif len(open_groups) == 2 and open_groups[1] == "cell" and statement["name"] in _CELL_VALUES:
            found.cells[-1][_CELL_VALUES.index(statement["name"]) + 1] = _show(statement["value"])

    found.is_followed &= not open_groups and len(found.names) == 1
    if "cell" in open_groups and found.cells:  # its further pins are not known
        found.cells[-1][4] = (_list_names(pins) + CUT).strip()
    return found


def _enter(found: Liberty, group: str, names: list[str], above: list[str], pins: list[str]) -> None:
    """Note a group that opens inside the groups `above`."""
    depth = len(above)
    if depth == 0 and group == "library":
        found.names.append(" ".join(names))
    elif depth == 0:
        found.is_followed = False
    elif depth == 1 and group == "cell":
        found.cells.append([" ".join(names), "", "", "", ""])
    elif depth == 1:
        found.groups[group] += 1
    elif depth == 2 and above[1] == "cell" and group in _PINS:
        pins += names


def _hide_strings(text: str) -> tuple[str, bool]:
    """The text without comments, each string free of structural signs; and whether all are closed."""
    left_open = False

    def replace_one(found: re.Match[str]) -> str:
        """A string with its signs replaced, or a blank for a comment."""
        nonlocal left_open
        left_open |= any(place is not None for place in found.groups())
        return found[0].translate(_HIDDEN) if found[0][0] == '"' else " "

    return _OPAQUE.sub(replace_one, text), not left_open


def _show(value: str) -> str:
    """A value without its quotes, its signs restored; a quote within it stays, a line that goes on is one."""
    text = re.sub(r"\\\s*\n", " ", value.translate(_SHOWN))
    return " ".join(re.sub(r'\\(")|"', r"\1", text).split())


def _names(arguments: str) -> Iterator[str]:
    """The names in a group's parentheses."""
    return (name for part in arguments[1:-1].split(",") if (name := _show(part)))


def _list_names(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES_PER_CELL} more" if len(names) > _NAMES_PER_CELL else ""
    return " ".join(names[:_NAMES_PER_CELL]) + more
