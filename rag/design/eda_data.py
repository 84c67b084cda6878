"""LEF, Liberty, DEF and SPEF to what people ask of them: the header, and the list of layers, macros or cells.

It reads those few statements line by line and skips shapes, timing tables and nets. It checks nothing: that is the
tools' work. It states a number of cells, macros or nets only where the file is complete and could be followed to its
end.

    parse_eda_data("VERSION 5.8 ;\nLAYER M1\n  TYPE ROUTING ;\nEND M1\n", "lef").blocks[0].text == "VERSION 5.8"
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from rag.blocks import CUT, Block, Parsed, fence_code, pipe_table
from rag.counted import counted
from rag.design.liberty import read_liberty
from rag.errors import ParseFailed

MAX_ROWS = 5000  # a standard-cell library has some hundred to two thousand cells
MAX_HEADER_LINES = 200
MAX_STATEMENT_CHARACTERS = 1000
MAX_RULE_LINES = 300  # shown of a layer; those of small nodes have some hundred
_NAMES_PER_CELL = 40  # pins shown per macro or cell

_LEF_OPAQUE = re.compile(r'"[^"]*(?:"|(?P<open>\Z))|#[^\n]*')
# What has no `;` behind it, where the next statement stands on the same line
_LEF_JOINED = re.compile(r"\b((?:MACRO|PIN|SITE|END)[ \t]+[^\s;]+)[ \t]+(?=[A-Za-z])", re.IGNORECASE)
_HIDDEN = str.maketrans("{}; \t\n", "\ue000\ue001\ue002\ue003\ue003\ue003")
_SHOWN = str.maketrans("\ue000\ue001\ue002\ue003", "{}; ")
_DEF_SECTIONS = frozenset(
    """
    COMPONENTS PINS NETS SPECIALNETS VIAS BLOCKAGES REGIONS GROUPS FILLS PINPROPERTIES SCANCHAINS NONDEFAULTRULES STYLES
    SLOTS
    """.split()
)
_LAYER_COLUMNS = ("TYPE", "DIRECTION", "PITCH", "WIDTH")
_LEF_RULES = ("LAYER", "NONDEFAULTRULE")
_LEF_SECTIONS = (
    "LAYER",
    "SITE",
    "MACRO",
    "VIA",
    "VIARULE",
    "NONDEFAULTRULE",
    "SPACING",
    "PROPERTYDEFINITIONS",
    "UNITS",
    "BEGINEXT",
)
_IN_PART = " (in part)"  # behind the title of what was not followed to its end: each citation carries it
_NOT_FOLLOWED = "its structure could not be followed to its end, so nothing is counted"


def parse_eda_data(text: str, kind: str, is_whole: bool = True) -> Parsed:
    """Title and blocks of a file of `kind` lef, liberty, def or spef; `is_whole` is false where its end is missing.

    Raises ParseFailed: the file has no statement of its kind.
    """
    parsed = {"lef": _parse_lef, "liberty": _parse_liberty, "def": _parse_def, "spef": _parse_spef}[kind](
        text, is_whole
    )
    if not parsed.blocks:
        raise ParseFailed(f"no {kind.upper() if kind != 'liberty' else 'Liberty'} file: it has none of its statements")
    return replace(parsed, note="") if not is_whole else parsed  # the reader says how much of it was read


def _header(statements: list[str]) -> list[Block]:
    shown = [statement[:MAX_STATEMENT_CHARACTERS] for statement in statements[:MAX_HEADER_LINES]]
    return [Block("prose", "\n".join(shown), ())] if shown else []


def _tables(heading: str, columns: tuple[str, ...], rows: list[list[str]], is_followed: bool) -> list[Block]:
    """A table under `heading`, which says how many rows there are, where that is known, and how many are shown."""
    if not rows:
        return []
    filled = [number for number in range(len(columns)) if any(row[number] for row in rows)]
    shown = [[row[number] for number in filled] for row in ([*columns], *rows[:MAX_ROWS])]
    total = counted(len(rows), heading.lower()[:-1]) + (
        f", the first {MAX_ROWS} are listed" if len(rows) > MAX_ROWS else ""
    )
    if not is_followed:
        total = (
            f"Some of the {heading.lower()}; how many there are is not known, since the file was not followed to "
            "its end"
        )
    return [Block("prose", f"{total}.", (heading,)), Block("table", pipe_table(shown), (heading,))]


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES_PER_CELL} more" if len(names) > _NAMES_PER_CELL else ""
    return " ".join(names[:_NAMES_PER_CELL]) + more


def _statements(text: str) -> Iterator[list[str]]:
    """The words of each statement: a line, or what its `;` part."""
    for line in text.splitlines():
        for statement in line.split(";"):
            if words := statement[:MAX_STATEMENT_CHARACTERS].split():
                yield words


def _take_out(opaque: re.Pattern[str], text: str) -> tuple[str, bool]:
    """The text without comments, each string on one line and free of structural signs; and whether all are closed."""
    left_open = False

    def replace_one(found: re.Match[str]) -> str:
        """A string with its signs replaced, or a blank for a comment."""
        nonlocal left_open
        left_open |= any(place is not None for place in found.groups())
        return found[0].translate(_HIDDEN) if found[0][0] == '"' else " "

    return opaque.sub(replace_one, text), not left_open


def _show(blocks: list[Block]) -> tuple[Block, ...]:
    """The blocks with the signs in strings restored."""
    return tuple(replace(block, text=block.text.translate(_SHOWN)) for block in blocks)


def _parse_lef(text: str, is_whole: bool) -> Parsed:
    text, is_closed = _take_out(_LEF_OPAQUE, text)
    text = _LEF_JOINED.sub(r"\1\n", text)
    is_followed = is_whole and is_closed  # until a keyword stands where none is expected
    header: list[str] = []
    layers: list[list[str]] = []
    rules: dict[str, list[str]] = {}  # the statements of each layer, and of rules that are not the default
    sites: list[list[str]] = []
    macros: list[list[str]] = []
    pins: list[str] = []
    inside = ("", "")  # what is open: LAYER, VIA, SITE, MACRO and its name

    for words in _statements(text):
        keyword, rest = words[0].upper(), words[1:]
        name = rest[0] if rest else ""
        if inside[0]:
            if inside[0] in _LEF_RULES and (keyword, name) != ("END", inside[1]):
                rules[f"{inside[0].lower()} {inside[1]}"].append(" ".join(words))
            if (keyword == "END" and name == inside[1]) or (keyword, inside[0]) == ("ENDEXT", "BEGINEXT"):
                if inside[0] == "MACRO":
                    macros[-1][3] = _names(pins)
                is_followed &= len(words) <= 2
                inside = ("", "")
            elif inside[0] == "MACRO":
                is_followed &= keyword != "MACRO"
                _note_macro(keyword, rest, macros[-1], pins)
            elif inside[0] == "LAYER" and keyword in _LAYER_COLUMNS:
                at = _LAYER_COLUMNS.index(keyword) + 1
                layers[-1][at] = layers[-1][at] or " ".join(rest)  # further widths are rows of a table of spacings
            elif inside[0] == "SITE" and keyword in ("CLASS", "SIZE"):
                sites[-1][("CLASS", "SIZE").index(keyword) + 1] = " ".join(rest)
            elif inside[0] == "UNITS" and keyword != "END":
                header.append(f"UNITS {' '.join(words)}")
        elif keyword in _LEF_SECTIONS:
            inside = (keyword, name or keyword)
            is_followed &= "END" not in (word.upper() for word in rest)
            pins = []
            if keyword in _LEF_RULES:
                rules[f"{keyword.lower()} {inside[1]}"] = []
            if keyword in ("LAYER", "SITE", "MACRO"):
                {"LAYER": layers, "SITE": sites, "MACRO": macros}[keyword].append([name, "", "", "", ""])
        elif keyword != "END":
            is_followed &= not any(word.upper() in _LEF_SECTIONS for word in rest)
            header.append(" ".join(words))

    is_followed &= not inside[0]
    blocks = _header(header) if header and (layers or macros or re.search(r"^\s*VERSION\b", text, re.MULTILINE)) else []
    blocks += _tables("Layers", ("layer", "type", "direction", "pitch", "width"), layers, is_followed)
    blocks += _show_rules(rules) if blocks else []
    blocks += _tables("Sites", ("site", "class", "size"), [site[:3] for site in sites], is_followed)
    blocks += _tables("Macros", ("macro", "class", "size", "pins"), [macro[:4] for macro in macros], is_followed)
    return Parsed("", _show(blocks), "" if is_followed else _NOT_FOLLOWED)


def _show_rules(rules: dict[str, list[str]]) -> Iterator[Block]:
    """The statements of each layer under its name; those of which the table of layers says all are left out."""
    for name, lines in rules.items():
        if len(lines) > 1:
            more = [f"{CUT.strip()} and {len(lines) - MAX_RULE_LINES} more"] if len(lines) > MAX_RULE_LINES else []
            yield Block("code", fence_code([*lines[:MAX_RULE_LINES], *more]), ("Layers", name))


def _note_macro(keyword: str, rest: list[str], macro: list[str], pins: list[str]) -> None:
    if keyword == "CLASS":
        macro[1] = " ".join(rest)
    elif keyword == "SIZE":
        macro[2] = " ".join(rest)
    elif keyword == "PIN" and rest:
        pins.append(rest[0])


def _parse_liberty(text: str, is_whole: bool) -> Parsed:
    """The library's values become the header; a cell's name, area, leakage and pins become a row."""
    found = read_liberty(text)
    if not found.names:
        return Parsed("", ())

    is_followed = is_whole and found.is_followed
    groups = [
        f"{counted(count, 'group')} {name}" if is_followed else f"groups {name}"
        for name, count in sorted(found.groups.items())
    ]
    cells = f", {counted(len(found.cells), 'cell')}" if is_followed else ""
    name = ", ".join(found.names) + ("" if is_followed else _IN_PART)
    blocks = [Block("prose", f"Liberty library {name}{cells}.", ()), *_header([*found.header, *groups])]
    blocks += _tables("Cells", ("cell", "area", "leakage", "footprint", "pins"), found.cells, is_followed)
    return Parsed(name, tuple(blocks), "" if is_followed else _NOT_FOLLOWED)


def _parse_def(text: str, is_whole: bool) -> Parsed:
    """The statements before the first section, and how many of each thing the sections declare."""
    text, is_closed = _take_out(_LEF_OPAQUE, text)
    header: list[str] = []
    counts: list[list[str]] = []
    section = ""
    listed = 0  # things of the section that is open; each begins with a dash

    for words in _statements(text):
        keyword = words[0].upper()
        if section:
            listed += keyword == "-"
            is_end = keyword == "END" and words[1:2] == [section]
            if is_end and listed and counts and counts[-1][1].isdecimal() and int(counts[-1][1]) != listed:
                counts[-1][1] += f", but {listed} are listed"
            section = "" if is_end else section
        elif keyword in _DEF_SECTIONS:
            section, listed = words[0], 0
            counts.append([keyword, words[1] if len(words) > 1 else ""])
        elif keyword == "PROPERTYDEFINITIONS":
            section, listed = words[0], 0
        elif keyword not in ("END", "ROW", "TRACKS", "GCELLGRID"):
            header.append(" ".join(words))

    is_followed = is_whole and is_closed and not section
    is_def = any(line.startswith(("DESIGN ", "DIEAREA ", "UNITS DISTANCE ")) for line in header)
    design = next((line.split()[1] for line in header if line.startswith("DESIGN ")), "")
    blocks = [*_header(header), *_tables("Sections", ("section", "count"), counts, is_followed)] if is_def else []
    title = f"{design.translate(_SHOWN)}{_IN_PART if design and not is_followed else ''}"
    return Parsed(title, _show(blocks), "" if is_followed else _NOT_FOLLOWED)


def _parse_spef(text: str, is_whole: bool) -> Parsed:
    """The header up to the first net, and how many nets there are."""
    header: list[str] = []
    nets = 0
    is_open = False  # a net that its `*END` has not closed
    is_followed = is_whole

    for line in text.splitlines():
        keyword = line.split(maxsplit=1)[0] if line.strip() else ""
        if keyword in ("*D_NET", "*R_NET"):
            is_followed &= not is_open
            is_open = True
            nets += 1
        elif keyword == "*END":
            is_open = False
        elif re.fullmatch(r"\*[A-Z]+_?[A-Z_0-9]*", keyword) and not nets and keyword not in ("*NAME_MAP", "*PORTS"):
            header.append(line.strip().lstrip("*").replace('"', ""))

    is_spef = any(line.startswith(("SPEF ", "T_UNIT ")) for line in header)
    design = next((line.split(maxsplit=1)[1] for line in header if line.startswith("DESIGN ")), "")
    is_followed &= not is_open
    unknown = "Some of the nets; how many there are is not known, since the file was not followed to its end."
    total = f"{counted(nets, 'net')}." if is_followed else unknown
    blocks = [*_header(header), *([Block("prose", total, ("Nets",))] if nets else [])] if is_spef else []
    title = f"{design}{_IN_PART if design and not is_followed else ''}"
    return Parsed(title, tuple(blocks), "" if is_followed else _NOT_FOLLOWED)
