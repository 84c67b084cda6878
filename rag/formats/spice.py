"""SPICE and Spectre to blocks: the sections of a library of models above its models and subcircuits.

A section is a corner (`.lib TT` to `.endl`, `section tt` to `endsection`). What stands in it is read as a script.

    parse_spice(".lib TT\n.model n nmos\n.endl\n", "spice").blocks[0].heading_path == ("lib TT", "model n")
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from rag.blocks import Block, Parsed
from rag.formats.script import parse_script

_OPENINGS = {
    "spice": re.compile(r"\s*\.(?P<kind>lib)\s+(?P<name>[^\s'\"]+)\s*(?:\$.*)?", re.IGNORECASE),
    "spectre": re.compile(r"\s*(?P<kind>section)\s+(?P<name>\S+)\s*(?://.*)?"),
}
_CLOSINGS = {"spice": re.compile(r"\s*\.endl\b", re.IGNORECASE), "spectre": re.compile(r"\s*endsection\b")}
_COMMENTS = {"spice": "*", "spectre": "//"}
# What no Liberty file has; its libraries are called .lib too
_SPECTRE = re.compile(r"^[ \t]*(?:simulator[ \t]+lang\b|(?:section|library)[ \t]+[\w.-]+[ \t]*$)", re.MULTILINE)
_SPICE = re.compile(r"^[ \t]*\.(?:lib|model|subckt|param|inc(?:lude)?)\b", re.MULTILINE | re.IGNORECASE)


def find_language(text: str) -> str:
    """In which language a library of models is written: spice or spectre; "" where it is none."""
    return "spectre" if _SPECTRE.search(text) else "spice" if _SPICE.search(text) else ""


def parse_spice(text: str, language: str) -> Parsed:
    """Title "" and blocks in the order of the file; `language` is spice or spectre. Never fails."""
    lines = text.splitlines()
    blocks: list[Block] = []
    done = 0
    for heading, start, end in _sections(lines, language):
        above = start
        while above > done and lines[above - 1].lstrip().startswith(_COMMENTS[language]):
            above -= 1
        blocks += _read(lines[done:above], language)
        inner = _read([*lines[above:start], "", *lines[start + 1 : end]], language)
        blocks += (replace(block, heading_path=(heading, *block.heading_path)) for block in inner)
        done = end + 1
    return Parsed("", (*blocks, *_read(lines[done:], language)))


def _sections(lines: list[str], language: str) -> Iterator[tuple[str, int, int]]:
    """The heading of each section, and the places of the lines that open and close it."""
    opened: tuple[str, int] | None = None
    for number, line in enumerate(lines):
        if found := _OPENINGS[language].fullmatch(line):
            opened = f"{found['kind'].lower()} {found['name']}", number
        elif opened and _CLOSINGS[language].match(line):
            yield *opened, number
            opened = None


def _read(lines: list[str], language: str) -> tuple[Block, ...]:
    return parse_script("\n".join(lines), language).blocks
