"""Rule decks and technology files to blocks: rules and layers under their names, lists of layers as tables.

Decks are read as scripts: of Calibre (SVRF) or of KLayout (Ruby, also within its XML). It checks nothing.

    parse_deck("M1.W.1 {\n  @ width of M1\n  INT M1 < 0.018\n}\n").blocks[0].heading_path == ("rule M1.W.1",)
"""

from __future__ import annotations

import re
from itertools import groupby

from rag.blocks import Block, Parsed, pipe_table
from rag.errors import ParseFailed
from rag.formats.script import clean_comment, code_pieces, parse_script
from rag.xml_tree import read_xml_tree

_RUBY = re.compile(r"^\s*(?:report\(|\w+ = (?:input|polygons|labels)\()|\.output\(", re.MULTILINE)
_MAP_ROW = re.compile(r"[^\s{}();=]+(?:\s+[^\s{}();=]+){1,6}\s+\d{1,5}(?:\s*[#;].*)?")
# A part of Cadence's file (`techLayers(`), or of Magic's (`drc` until `end`)
_PART = re.compile(r"\s*(?P<name>[A-Za-z]\w*)\s*\(\s*(?:;.*)?")
_QUIET = re.compile(r'"[^"\n]*"|;.*')  # what holds no structure
_MOST_PARTS = 3  # in each other that are headings
_LAYER_PARTS = ("name", "source", "visible")  # of a layer in KLayout's list; the others are colours


def parse_deck(text: str) -> Parsed:
    """Title "" and blocks: each rule under its name.

    Raises ParseFailed: it is XML and no macro of KLayout's.
    """
    if not text.lstrip().startswith("<"):
        return parse_script(text, "ruby" if _RUBY.search(text) else "svrf")
    root = read_xml_tree(text.encode(), "XML")
    code = parse_script((root.findtext("text") or "").strip(), "ruby").blocks
    if root.tag != "klayout-macro" or not code:
        raise ParseFailed("XML of data, or a macro without code")
    about = " ".join((root.findtext("description") or "").split())
    return Parsed("", (Block("prose", about, ()), *code) if about else code)


def parse_technology(text: str) -> Parsed:
    """Title "" and blocks: each layer or other part under its name; KLayout's list of layers as a table.

    Raises ParseFailed: it is XML and no list of layers.
    """
    if not text.lstrip().startswith("<"):
        lines = [line.rstrip() for line in text.expandtabs(8).splitlines()]
        blocks = _read_map(lines) or _read_parts(lines)
        return Parsed("", tuple(blocks)) if blocks else parse_script(text, "techfile")
    layers = [
        [" ".join((layer.findtext(part) or "").split()) for part in _LAYER_PARTS]
        for layer in read_xml_tree(text.encode(), "XML").iter("properties", "group-members")
    ]
    rows = [row for row in layers if row[0] or row[1]]
    if not rows:
        raise ParseFailed("XML of data, and no list of layers")
    return Parsed("", (Block("table", pipe_table([["layer", "source", "visible"], *rows]), ()),))


def _read_map(lines: list[str]) -> list[Block]:
    """A list of layers and their numbers as tables, a comment of as many words above it as their header; [] for others.

    Comments are prose.
    """
    data = [line for line in lines if line.strip() and line.lstrip()[0] not in "#;"]
    if len(data) < 2 or not all(_MAP_ROW.fullmatch(line.strip()) for line in data):
        return []
    blocks: list[Block] = []
    header: list[str] = []
    for is_comment, run in groupby((line for line in lines if line.strip()), lambda line: line.lstrip()[0] in "#;"):
        part = [line.strip() for line in run]
        if is_comment:
            words = clean_comment(part, part[0][0]).split("\n")
            names = next((line.split() for line in reversed(words) if line), [])
            header = names if len(names) > 2 else header
            kept = words if header is not names else [line for line in words if line.split() != names]
            blocks += [Block("prose", "\n".join(kept).strip(), ())] if any(kept) else []
            continue
        rows = [_read_row(line) for line in part]
        width = max(map(len, rows))
        named = header if len(header) == min(map(len, rows)) else [""] * width
        blocks.append(Block("table", pipe_table([named, *rows]), ()))
    return blocks


def _read_row(line: str) -> list[str]:
    """The words of a row, and a remark behind them as one."""
    found = re.match(r"(?P<words>[^#;]*)(?:[#;]\s*(?P<remark>.*))?", line)
    words = found["words"].split() if found else [line]
    return [*words, found["remark"]] if found and found["remark"] else words


def _read_parts(lines: list[str]) -> list[Block]:
    """The parts of a file of Cadence's or Magic's under their names; [] for others."""
    sections = [line for line in lines if line and line[0] not in "#; \t"]
    if sections[:1] == ["tech"] and "end" in sections:
        return _read_sections(lines)
    if not any(line[:1].isalpha() and _PART.fullmatch(line) for line in lines):
        return []
    blocks: list[Block] = []
    piece: list[str] = []
    path: tuple[str, ...] = ()
    depth = 0

    def flush() -> None:
        """End the part being collected; brackets alone say nothing."""
        nonlocal piece
        blocks.extend(code_pieces(piece, "techfile", path))
        piece = []

    for line in lines:
        opened = _PART.fullmatch(line)
        plain = _QUIET.sub("", line)
        before, depth = depth, max(depth + plain.count("(") - plain.count(")"), 0)
        if opened and before == len(path) < _MOST_PARTS:
            flush()
            path = (*path, opened["name"])
        elif depth < len(path):
            piece += [line] if plain.strip(" )") else []
            flush()
            path = path[:depth]
        else:
            piece.append(line)
    flush()
    return blocks


def _read_sections(lines: list[str]) -> list[Block]:
    """The sections of Magic's file, each from its name to its `end`."""
    blocks: list[Block] = []
    piece: list[str] = []
    path: tuple[str, ...] = ()
    for line in lines:
        if line == "end" or (not path and re.fullmatch(r"[a-z]\w*", line)):
            blocks += code_pieces(piece, "techfile", path)
            piece, path = [], () if line == "end" else (line,)
        else:
            piece.append(line)
    return [*blocks, *code_pieces(piece, "techfile", path)]
