"""YAML, TOML, INI, JSON and makefiles to blocks: each section, table or target under its name, comments as prose.

The text stays as it is written, comments included, since a value's meaning stands in the comment above it. Only JSON is
parsed, which has no comments; a list of equal records becomes a table. Nothing is run and no name is expanded.

    parse_settings("# Cores.\\nflow:\\n  a: 1\\n  b: 2\\n", "yaml").blocks[0].text == "Cores."
"""

from __future__ import annotations

import json
import re
from typing import Any

from rag.blocks import MAX_HEADING_CHARACTERS, Block, Parsed, dedent_lines, fence_code, pipe_table

LEAST_LINES = 3  # of a section with a heading of its own; shorter ones stay together
PIECE_LINES = 24
MAX_ROWS = 5000
MAX_COLUMNS = 50
MAX_DEPTH = 50  # of parts in parts; people stop at ten
_STARTS = {
    "yaml": re.compile(r"(?P<name>\"[^\"\n]+\"|'[^'\n]+'|[A-Za-z_][^\s:#]*(?: [^\s:#]+){0,5})\s*:(?:\s|$)"),
    "toml": re.compile(r"\[{1,2}(?P<name>[^\[\]\n]+)\]{1,2}\s*(?:[#;].*)?$"),
    "make": re.compile(
        r"(?!\.[A-Z])(?P<name>[^\s:=#][^:=#\n]*)::?(?![=:])(?!\s*[\w.]+\s*[:?+]?=)|define\s+(?P<word>\S+)"
    ),
}


def parse_settings(text: str, language: str) -> Parsed:
    """Title "" and blocks of a file in `language` yaml, toml (also INI) or make. Never fails."""
    lines = [line.rstrip() for line in text.expandtabs(8 if language == "make" else 4).splitlines()]
    starts = [number for number, line in enumerate(lines) if _STARTS[language].match(line)]
    blocks: list[Block] = []
    loose: list[str] = []  # lines of sections too short for a heading
    done = 0

    for number, start in enumerate(starts):
        end = _section_end(lines, starts[number + 1] if number + 1 < len(starts) else len(lines))
        above = _comment_start(lines, start, done)
        loose += lines[done:above]
        if end - start < LEAST_LINES:
            loose += lines[above:end]
        else:
            blocks += _pieces(loose, language, ())
            loose = []
            blocks += _read_section(lines, above, start, end, language)
        done = end
    return Parsed("", (*blocks, *_pieces([*loose, *lines[done:]], language, ())))


def _section_end(lines: list[str], next_start: int) -> int:
    """Where a section ends: above the comment of the next one."""
    return _comment_start(lines, next_start, 0) if next_start < len(lines) else next_start


def _comment_start(lines: list[str], start: int, least: int) -> int:
    """The first line of the comment directly above a line, which is not indented."""
    while start > least and lines[start - 1].startswith(("#", ";")):
        start -= 1
    return start


def _read_section(lines: list[str], above: int, start: int, end: int, language: str) -> list[Block]:
    found = _STARTS[language].match(lines[start])
    names = found.groupdict() if found else {}
    name = (names.get("name") or names.get("word") or lines[start]).strip("\"' ")
    path = (name[:MAX_HEADING_CHARACTERS],)
    comment = "\n".join(line.lstrip("#; ").rstrip() for line in lines[above:start]).strip()
    prose = [Block("prose", comment, path)] if re.search(r"\w", comment) else []
    return [*prose, *_pieces(lines[start:end], language, path)]


def _pieces(lines: list[str], language: str, path: tuple[str, ...]) -> list[Block]:
    """Lines as code, in pieces that end at blank lines."""
    pieces: list[list[str]] = [[]]
    for line in lines:
        if not line and len(pieces[-1]) >= PIECE_LINES // 2:
            pieces.append([])
        else:
            pieces[-1].append(line)
    name = "makefile" if language == "make" else language
    return [
        Block("code", fence_code(dedent_lines(piece), name), path)
        for piece in pieces
        if any(re.search(r"\w", line) for line in piece)
    ]


def parse_json(text: str) -> Parsed:
    """Title "" and blocks: each larger part of an object under its name.

    What is not JSON, very deep, or has a name twice in one object is read as lines.
    """
    try:
        value = json.loads(text, parse_float=_keep, parse_int=_keep, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        value = None
    if value is None or _is_deep(value):
        return Parsed("", tuple(_pieces(text.splitlines(), "json", ())))
    return Parsed("", tuple(_read_json(value)))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of names and values.

    Raises ValueError: it has a name twice, and would keep the last value alone.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice")
    return found


def _is_deep(value: Any) -> bool:
    """Whether lists and objects stand so deep in each other that their indentation would be most of the text."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [item for item in level if isinstance(item, dict | list)]
        level = [part for item in level for part in (item.values() if isinstance(item, dict) else item)]
    return bool(level)


def _keep(number: str) -> str:
    """A number as it is written, between marks that are no text's: 0.10 is not 0.1 in a quote."""
    return f"\ue000{number}\ue001"


def _read_json(value: Any) -> list[Block]:
    if not isinstance(value, dict):
        return _read_value(value, ())
    small = {name: part for name, part in value.items() if not isinstance(part, dict | list) or len(_dump(part)) < 80}
    blocks = _read_value(small, ()) if small else []
    for name, part in value.items():
        if name not in small:
            heading = " ".join(name.split())[:MAX_HEADING_CHARACTERS]
            blocks += _read_value(part, (heading,) if heading else ())
    return blocks


def _read_value(value: Any, path: tuple[str, ...]) -> list[Block]:
    """A list of flat records as a table, everything else as code."""
    if isinstance(value, list) and len(value) > 1 and all(_is_flat(item) for item in value):
        columns = list(dict.fromkeys(name for item in value for name in item))
        if len(columns) <= MAX_COLUMNS and len(value) <= MAX_ROWS:
            rows = [[_cell(item.get(name)) for name in columns] for item in value]
            return [Block("table", pipe_table([columns, *rows]), path)]
    lines = _dump(value, indent=2).splitlines()
    return [Block("code", fence_code(lines, "json"), path)]


def _is_flat(item: Any) -> bool:
    return isinstance(item, dict) and bool(item) and not any(isinstance(part, dict | list) for part in item.values())


def _cell(value: Any) -> str:
    return "" if value is None else value.strip("\ue000\ue001") if isinstance(value, str) else _dump(value)


def _dump(value: Any, indent: int | None = None) -> str:
    return re.sub(r'"\ue000([^"\ue001]*)\ue001"', r"\1", json.dumps(value, ensure_ascii=False, indent=indent))
