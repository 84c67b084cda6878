"""LEF, Liberty, DEF and SPEF to what people ask of them: the header, and the list of layers, macros or cells.

A line reader for those few statements, which passes over shapes, timing tables and nets. It checks nothing: that is the tools' work.

    parse_eda_data("VERSION 5.8 ;\nLAYER M1\n  TYPE ROUTING ;\nEND M1\n", "lef").blocks[0].text == "VERSION 5.8"
"""

import re
from collections import Counter
from collections.abc import Iterator

from rag.blocks import Block, Parsed, pipe_table
from rag.errors import ParseFailed

MAX_ROWS = 5000  # a standard-cell library has some hundred to two thousand cells
MAX_HEADER_LINES = 200
MAX_STATEMENT_CHARACTERS = 300
_NAMES_PER_CELL = 40  # pins shown per macro or cell

_LIBERTY_GROUP = re.compile(r'\s*([a-z_]+)\s*\(\s*"?([^")]*)"?\s*\)\s*\{')
_LIBERTY_VALUE = re.compile(r'\s*([a-z_]+)\s*(?::\s*"?([^";]*)"?\s*;?|\(([^)]*)\)\s*;)')
_CELL_VALUES = ("area", "cell_leakage_power", "cell_footprint")


def parse_eda_data(text: str, kind: str) -> Parsed:
    """Title and blocks of a file of `kind` lef, liberty, def or spef. Raises ParseFailed for a file that has none of its statements."""
    parsed = {"lef": _parse_lef, "liberty": _parse_liberty, "def": _parse_def, "spef": _parse_spef}[kind](text)
    if not parsed.blocks:
        raise ParseFailed(f"no {kind.upper() if kind != 'liberty' else 'Liberty'} file: it has none of its statements")
    return parsed


def _header(statements: list[str]) -> list[Block]:
    shown = [statement[:MAX_STATEMENT_CHARACTERS] for statement in statements[:MAX_HEADER_LINES]]
    return [Block("prose", "\n".join(shown), ())] if shown else []


def _tables(heading: str, columns: tuple[str, ...], rows: list[list[str]]) -> list[Block]:
    """A table under `heading`, which says how many rows there are and how many are shown."""
    if not rows:
        return []
    filled = [number for number in range(len(columns)) if any(row[number] for row in rows)]
    shown = [[row[number] for number in filled] for row in ([*columns], *rows[:MAX_ROWS])]
    counted = f"{len(rows)} {heading.lower()}" + (f", the first {MAX_ROWS} are listed" if len(rows) > MAX_ROWS else "")
    return [Block("prose", f"{counted}.", (heading,)), Block("table", pipe_table(shown), (heading,))]


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES_PER_CELL} more" if len(names) > _NAMES_PER_CELL else ""
    return " ".join(names[:_NAMES_PER_CELL]) + more


def _statements(text: str) -> Iterator[list[str]]:
    """The words of each line, without comments and the closing `;`."""
    for line in text.splitlines():
        words = line[:MAX_STATEMENT_CHARACTERS].split("#", 1)[0].replace(";", " ").split()
        if words:
            yield words


def _parse_lef(text: str) -> Parsed:
    header: list[str] = []
    layers: list[list[str]] = []
    sites: list[list[str]] = []
    macros: list[list[str]] = []
    pins: list[str] = []
    inside = ("", "")  # what is open: LAYER, VIA, SITE, MACRO and its name
    for words in _statements(text):
        keyword, rest = words[0].upper(), words[1:]
        name = rest[0] if rest else ""
        if inside[0]:
            if keyword == "END" and name == inside[1]:
                if inside[0] == "MACRO":
                    macros[-1][3] = _names(pins)
                inside = ("", "")
            elif inside[0] == "MACRO":
                _note_macro(keyword, rest, macros[-1], pins)
            elif inside[0] == "LAYER" and keyword in ("TYPE", "DIRECTION", "PITCH", "WIDTH"):
                layers[-1][("TYPE", "DIRECTION", "PITCH", "WIDTH").index(keyword) + 1] = " ".join(rest)
            elif inside[0] == "SITE" and keyword in ("CLASS", "SIZE"):
                sites[-1][("CLASS", "SIZE").index(keyword) + 1] = " ".join(rest)
            elif inside[0] == "UNITS" and keyword != "END":
                header.append(f"UNITS {' '.join(words)}")
        elif keyword in ("LAYER", "SITE", "MACRO", "VIA", "VIARULE", "NONDEFAULTRULE", "SPACING", "PROPERTYDEFINITIONS", "UNITS"):
            inside = (keyword, name or keyword)
            pins = []
            if keyword in ("LAYER", "SITE", "MACRO"):
                {"LAYER": layers, "SITE": sites, "MACRO": macros}[keyword].append([name, "", "", "", ""])
        elif keyword not in ("END", "BEGINEXT", "ENDEXT"):
            header.append(" ".join(words))
    blocks = _header(header) if header and (layers or macros or re.search(r"^\s*VERSION\b", text, re.MULTILINE)) else []
    blocks += _tables("Layers", ("layer", "type", "direction", "pitch", "width"), layers)
    blocks += _tables("Sites", ("site", "class", "size"), [site[:3] for site in sites])
    blocks += _tables("Macros", ("macro", "class", "size", "pins"), [macro[:4] for macro in macros])
    return Parsed("", tuple(blocks))


def _note_macro(keyword: str, rest: list[str], macro: list[str], pins: list[str]) -> None:
    if keyword == "CLASS":
        macro[1] = " ".join(rest)
    elif keyword == "SIZE":
        macro[2] = " ".join(rest)
    elif keyword == "PIN" and rest:
        pins.append(rest[0])


def _liberty_statements(text: str) -> Iterator[str]:
    """Groups up to their `{`, values up to their `;` and closing braces, cut to a length; comments and line ends are taken out."""
    before, *commented = text.replace("\\\n", " ").split("/*")
    plain = " ".join([before, *(part.partition("*/")[2] for part in commented)])
    for line in plain.split("\n"):
        for part in re.findall(r"[^{};]*[{};]|[^{};]+", line):
            yield part if len(part) <= MAX_STATEMENT_CHARACTERS else part[:MAX_STATEMENT_CHARACTERS] + part[-1]


def _parse_liberty(text: str) -> Parsed:
    """Groups are counted by their braces; a library's values are its header, a cell's name, area, leakage and pins a row."""
    library = ""
    header: list[str] = []
    cells: list[list[str]] = []
    pins: list[str] = []
    others: Counter[str] = Counter()
    depth = 0
    for line in _liberty_statements(text):
        group = _LIBERTY_GROUP.match(line)
        value = None if group else _LIBERTY_VALUE.match(line)
        if group and depth == 0 and group[1] == "library":
            library = group[2].strip()
        elif group and depth == 1 and group[1] == "cell":
            pins = []
            cells.append([group[2].strip(), "", "", "", ""])
        elif group and depth == 1:
            others[group[1]] += 1
        elif group and depth == 2 and group[1] in ("pin", "bus", "bundle") and cells:
            pins.append(group[2].strip())
            cells[-1][4] = _names(pins)
        elif value and depth == 1:
            header.append(f"{value[1]}: {(value[2] or value[3] or '').strip()}")
        elif value and depth == 2 and value[1] in _CELL_VALUES and cells:
            cells[-1][_CELL_VALUES.index(value[1]) + 1] = (value[2] or "").strip()
        depth = max(0, depth + line.count("{") - line.count("}"))
    if not library:
        return Parsed("", ())
    header += [f"{count} groups {name}" for name, count in sorted(others.items())]
    blocks = [Block("prose", f"Liberty library {library}.", ()), *_header(header)]
    return Parsed(library, (*blocks, *_tables("Cells", ("cell", "area", "leakage", "footprint", "pins"), cells)))


def _parse_def(text: str) -> Parsed:
    """The statements before the first section, and how many of each thing the sections declare."""
    header: list[str] = []
    counts: list[list[str]] = []
    section = ""
    for words in _statements(text):
        keyword = words[0].upper()
        if section:
            section = "" if keyword == "END" and words[1:2] == [section] else section
        elif keyword in (
            "COMPONENTS",
            "PINS",
            "NETS",
            "SPECIALNETS",
            "VIAS",
            "BLOCKAGES",
            "REGIONS",
            "GROUPS",
            "FILLS",
            "PINPROPERTIES",
            "SCANCHAINS",
        ):
            section = words[0]
            counts.append([keyword, words[1] if len(words) > 1 else ""])
        elif keyword == "PROPERTYDEFINITIONS":
            section = words[0]
        elif keyword not in ("END", "ROW", "TRACKS", "GCELLGRID"):
            header.append(" ".join(words))
    is_def = any(line.startswith(("DESIGN ", "DIEAREA ", "UNITS DISTANCE ")) for line in header)
    design = next((line.split()[1] for line in header if line.startswith("DESIGN ")), "")
    return Parsed(design, (*_header(header), *_tables("Sections", ("section", "count"), counts)) if is_def else ())


def _parse_spef(text: str) -> Parsed:
    """The header up to the first net, and how many ports and nets the part that is read has."""
    header: list[str] = []
    counts: Counter[str] = Counter()
    for line in text.splitlines():
        keyword = line.split(maxsplit=1)[0] if line.strip() else ""
        if keyword == "*D_NET":
            counts["nets"] += 1
        elif re.fullmatch(r"\*[A-Z]+_?[A-Z_0-9]*", keyword) and not counts["nets"] and keyword not in ("*NAME_MAP", "*PORTS", "*END"):
            header.append(line.strip().lstrip("*").replace('"', ""))
    is_spef = any(line.startswith(("SPEF ", "T_UNIT ")) for line in header)
    design = next((line.split(maxsplit=1)[1] for line in header if line.startswith("DESIGN ")), "")
    rows = [[name, str(count)] for name, count in counts.items()]
    return Parsed(design, (*_header(header), *_tables("Contents", ("what", "count"), rows)) if is_spef else ())
