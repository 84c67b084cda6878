"""Rule decks and technology files to blocks: rules and layers under their names, lists of layers as tables.

Decks are read as scripts: of Calibre (SVRF) or of KLayout (Ruby, also within its XML). It checks nothing.

    parse_deck("M1.W.1 {\n  @ width of M1\n  INT M1 < 0.018\n}\n").blocks[0].heading_path == ("rule M1.W.1",)
"""

from __future__ import annotations

import re

from rag.blocks import Block, Parsed, pipe_table
from rag.errors import ParseFailed
from rag.formats.script import parse_script
from rag.xml_tree import read_xml_tree

_RUBY = re.compile(r"^\s*(?:report\(|\w+ = (?:input|polygons|labels)\()|\.output\(", re.MULTILINE)
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
        return parse_script(text, "techfile")
    layers = [
        [" ".join((layer.findtext(part) or "").split()) for part in _LAYER_PARTS]
        for layer in read_xml_tree(text.encode(), "XML").iter("properties", "group-members")
    ]
    rows = [row for row in layers if row[0] or row[1]]
    if not rows:
        raise ParseFailed("XML of data, and no list of layers")
    return Parsed("", (Block("table", pipe_table([["layer", "source", "visible"], *rows]), ()),))
