"""Tables of a manual: what the first column holds (options, variables, commands), the rows, and the stated defaults.

It reads one table in Markdown, as all parsers write it, and knows no document.

    read_table("| Option | Meaning |\\n|---|---|\\n| `-hold` | Repair hold. |").rows[0].cells[1]  # "Repair hold."
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

from rag.reference.sections import LONGEST_ROW

# What stands in a table's first column, by its header.
_ROLES = {
    "switch name": "option",
    "switch": "option",
    "option": "option",
    "options": "option",
    "flag": "option",
    "argument name": "argument",
    "argument": "argument",
    "parameter": "parameter",
    "variable": "variable",
    "variable name": "variable",
    "command": "command",
    "commands": "command",
    "command name": "command",
    "pass": "pass",
    "abbreviation": "abbreviation",
    "term": "term",
    "keyword": "keyword",
    "construct": "construct",
    "statement": "statement",
}
# Further headers from which the cards are read.
_MORE_ROLES = {
    "flags": "option",
    "switches": "option",
    "arguments": "argument",
    "parameters": "parameter",
    "command line option": "option",
    "command-line option": "option",
    "option name": "option",
    "parameter name": "parameter",
    "key": "option",
    "environment variable": "variable",
    "variables": "variable",
    "make variable": "variable",
    "tcl variable": "variable",
    "message": "message",
    "message id": "message",
    "id": "message",
    "code": "message",
    "error code": "message",
    "warning": "message",
    "error": "message",
    "number": "message",
}
DESCRIPTIONS = frozenset({"description", "purpose", "meaning", "what it does", "use", "effect", "role", "content"})
CAUSES = frozenset({"cause", "likely cause", "usual cause", "causes", "typical reason"})
DEFAULTS = ("default", "default value")
STAGES = ("stage", "stages", "used in", "step", "flow stage")
OF_COMMAND = re.compile(r"(option|argument)s? of `([^`]+)`?")
NO_VALUE = frozenset(
    {"", "-", "--", "\u2013", "\u2014", "n/a", "na", "required", "no default"}
)  # what tables write where there is no default

_VALUE = r"(?:`(?P<code>[^`]+)`|\"(?P<text>[^\"]+)\"|(?P<plain>-?\d+(?:\.\d+)?(?:e[+-]?\d+)?[a-z%]*|true|false|none))"
_UNIT = (
    r"(?P<unit> "
    r"(?:[munpf]?[msF]|microns?|ohms?|volts?|seconds?|minutes?|percent|degrees|pixels|sites?|tracks?|rows|"
    r"layers|iterations|DBU)\b)?"
)
# A value that continues ("2 * pitch", "`30` times", "5, or the fanout", "`a` if set") is only a part of the default.
_DEFAULT = re.compile(
    rf"\bdefault(?:s to |(?: value)?(?: is |: ?| )){_VALUE}{_UNIT}"
    r"(?=[.,;)]+(?:\s|$)|\s*$| \()(?!,? \(?(?:or|unless|except|for|when|if|with|and in)\b)",
    re.IGNORECASE,
)
_DEFAULT_MENTION = re.compile(r"\bdefault(?:s to|(?: value)?(?: is|:))\s", re.IGNORECASE)
_CELLS = re.compile(r"(?<!\\)\|")
# Only HTML's own: `<file>` is what a manual calls a value. Code is matched first, so that nothing in it is.
_CODE_OR_TAG = re.compile(
    r"(`[^`]*`)|</?(?:a|b|br|code|em|font|i|kbd|p|pre|small|span|strong|sub|sup|tt|u)(?:\s[^<>]*)?/?>", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class TableRow:
    """The cleaned cells of a row, and the number of its line in the table."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its header in lower case.

    `role` says what the first column holds, None where the header does not say. `owner` is the command that the header
    names: "Option of `repair_timing`". Rows have as many cells as the header, and the first two say something.
    """

    header: tuple[str, ...]
    role: str | None
    owner: str
    rows: tuple[TableRow, ...]

    def column(self, titles: frozenset[str] | tuple[str, ...]) -> int:
        """The number of the first column with one of these titles; -1 where there is none."""
        return next((number for number, title in enumerate(self.header) if title in titles), -1)


def read_table(text: str, *, more_roles: bool = False) -> Table:
    """A table in Markdown; without rows where the text is not a table of at least two columns.

    `more_roles` accepts further headers of first columns.
    """
    lines = text.strip().split("\n")
    titles = split_row(lines[0])
    if len(lines) < 3 or len(titles) < 2:
        return Table((), None, "", ())

    header = tuple(cell.lower().strip("` ") for cell in titles)
    of = OF_COMMAND.match(header[0])
    role = "symptom" if CAUSES.intersection(header[1:]) else _ROLES.get(of[1] if of else header[0])
    if more_roles and role in (None, "symptom"):
        role = _MORE_ROLES.get(header[0], role)
    rows = []
    for number, line in enumerate(lines[2:], start=2):
        cells = split_row(line) if len(line) <= LONGEST_ROW else []
        if len(cells) == len(header) and all(map(says_something, cells[:2])):
            rows.append(TableRow(number, tuple(cells)))
    return Table(header, role, of[2] if of else "", tuple(rows))


def split_row(line: str) -> list[str]:
    """The cells of a line, cleaned; an escaped bar is one sign of its cell."""
    return [clean(cell) for cell in _CELLS.split(line.strip().removeprefix("|").removesuffix("|"))]


def says_something(cell: str) -> bool:
    """Whether a cell is neither empty nor "-"."""
    return re.search(r"\w", cell) is not None


def clean(text: str) -> str:
    """A cell or a paragraph as running text: one line, single blanks and backticks.

    Emphasis, link targets and HTML are removed.
    """
    text = html.unescape(re.sub(r"<br\s*/?>", " ", text)).replace("\\|", "|").replace("\\_", "_").replace("**", "")
    text = re.sub(r"``([^`\n]+)``", r"`\1`", text)
    text = _CODE_OR_TAG.sub(lambda match: match[1] or "", text)
    return re.sub(r"\s+\.(?=[A-Z]|$)", ". ", " ".join(text.split())).strip()


def read_default(description: str, column: str = "") -> tuple[str, str]:
    """The default with its unit, ("`20`", " microns"): from its column, else from the description.

    ("", "") where neither states it.
    """
    default, unit = column.strip("` "), ""
    if not default:
        found = [
            (match["code"] or match["text"] or match["plain"], match["unit"] or "")
            for match in _DEFAULT.finditer(description)
        ]
        if len(set(found)) == 1 and len(_DEFAULT_MENTION.findall(description)) <= len(found):
            default, unit = found[0]
    return ("", "") if default.lower() in NO_VALUE else (default, unit)
