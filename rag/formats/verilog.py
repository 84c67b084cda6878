"""Verilog and SystemVerilog to blocks: each module, interface, program, package and class with its comment and source.

A definition with ports has a list of them. pyslang parses and goes on after errors; what it cannot read at all becomes
plain code, and encrypted parts become a remark. It does not open files named by `include.

    parsed = parse_verilog("// Counts.\\nmodule count(input clk); endmodule\\n", "verilog")
    assert parsed.blocks[0].heading_path == ("module count",)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from rag.blocks import Block, Parsed, dedent_lines, fence_code
from rag.design.macros import MAX_MADE, count_made, hide_uses
from rag.design.protected import hide_encrypted
from rag.formats.script import clean_comment, code_pieces, parse_script

# The first is also the syntax of interfaces, programs and packages.
_DEFINITIONS = {"ModuleDeclarationSyntax", "ClassDeclarationSyntax", "UdpDeclarationSyntax"}
_DIRECTION = re.compile(r"\b(?:input|output|inout|ref)\b")
_COMMENTS = re.compile(r"/\*.*?(?:\*/|\Z)|//[^\n]*", re.DOTALL)
MAX_PORTS = 500  # a pad ring has some hundred; a longer list says nothing to a reader


@dataclass(frozen=True, slots=True)
class _Definition:
    """A module or the like: its bytes in the file from `start` to `end`, and each port's (name, direction and type)."""

    keyword: str
    name: str
    ports: tuple[tuple[str, str], ...]
    start: int
    end: int


def parse_verilog(text: str, language: str) -> Parsed:
    """Title "" and blocks in the order of the file. Never fails: without a single definition it is plain code."""
    text = hide_encrypted(text)
    source = text.expandtabs(4).encode("utf-8", "replace")
    is_large = count_made(text) > MAX_MADE
    definitions = _find_definitions(source, expands=not is_large)
    note = f"its macros make more than {MAX_MADE} characters and are not expanded" if is_large else ""
    if not definitions:
        return replace(parse_script(text, language), note=note)
    blocks: list[Block] = []
    position = 0
    for found in definitions:
        loose, comment = _split_comment(_lines(source[position : found.start]))
        blocks += code_pieces(loose, language)
        blocks += _describe(found, comment, _lines(source[found.start : found.end]), language)
        position = _skip_remark(source, found.end)
    return Parsed("", (*blocks, *code_pieces(_lines(source[position:]), language)), note)


def _skip_remark(source: bytes, position: int) -> int:
    """The end of the line where only a remark (`endmodule // name`) follows a definition on it."""
    end = source.find(b"\n", position)
    rest = source[position : end if end >= 0 else len(source)]
    return position + len(rest) if rest.lstrip().startswith(b"//") else position


def _lines(source: bytes) -> list[str]:
    return [line.rstrip() for line in source.decode("utf-8", "replace").split("\n")]


def _find_definitions(source: bytes, expands: bool = True) -> list[_Definition]:
    """The definitions that stand in this file itself, in its order; those that a macro makes are left out.

    expands: macros are expanded in them, as where one stands for the width of a port.
    """
    from pyslang import SourceManager
    from pyslang.syntax import SyntaxTree

    manager = SourceManager()
    # The same length, so that places agree: the parser would open any file that an include names.
    text = source.replace(b"`include", b"//nclude").decode("utf-8", "replace")
    buffer = manager.assignText("source", text if expands else hide_uses(text))
    try:
        tree = SyntaxTree.fromBuffer(buffer, manager)  # owns the text of all its nodes, which must not outlive it
    except RuntimeError:  # nested deeper than the parser goes
        return []
    found: list[_Definition] = []
    position = 0
    for node in (
        getattr(tree.root, "members", [tree.root]) if type(tree.root).__name__ not in _DEFINITIONS else [tree.root]
    ):
        place = node.sourceRange
        inside = place.start.buffer == buffer.id == place.end.buffer
        if type(node).__name__ in _DEFINITIONS and inside and position <= place.start.offset < place.end.offset:
            keyword, name, ports = _read_header(node)
            found.append(_Definition(keyword, name, ports, place.start.offset, place.end.offset))
            position = place.end.offset
    return found


def _describe(found: _Definition, comment: str, lines: list[str], language: str) -> list[Block]:
    path = (f"{found.keyword} {found.name}",)
    blocks = [Block("prose", comment, path)] if comment else []
    if found.ports:
        shown = [f"- `{port}`: {what}" if what else f"- `{port}`" for port, what in found.ports[:MAX_PORTS]]
        more = [f"- and {len(found.ports) - MAX_PORTS} more"] if len(found.ports) > MAX_PORTS else []
        blocks.append(Block("list", "\n".join([f"Ports of `{found.name}`:", *shown, *more]), path))
    return [*blocks, Block("code", fence_code(dedent_lines(lines), language), path)]


def _read_header(node: Any) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """Keyword, name and ports. A port without a direction of its own has that of the one before it."""
    if type(node).__name__ == "ClassDeclarationSyntax":
        return "class", node.name.valueText, ()
    if type(node).__name__ == "UdpDeclarationSyntax":
        return "primitive", node.name.valueText, ()
    header = node.header
    found: list[tuple[str, str]] = []
    if type(header.ports).__name__ == "AnsiPortListSyntax":
        for port in header.ports.ports:
            declarator = getattr(port, "declarator", None)
            if declarator is not None and declarator.name.valueText:
                what = _plain(str(getattr(port, "header", "")))
                found.append((declarator.name.valueText, what or (found[-1][1] if found else "")))
    elif header.ports is not None:  # declared in the body, as before Verilog-2001
        for member in node.members:
            if type(member).__name__ == "PortDeclarationSyntax" and _DIRECTION.search(str(member.header)):
                names = [item.name.valueText for item in member.declarators if hasattr(item, "name")]
                found += [(name, _plain(str(member.header))) for name in names if name]
    return header.moduleKeyword.valueText, header.name.valueText, tuple(found)


def _plain(text: str) -> str:
    return " ".join(_COMMENTS.sub(" ", text).split())


def _split_comment(lines: list[str]) -> tuple[list[str], str]:
    """Lines before a definition, without the comment that ends them; and that comment's text.

    Attributes and blank lines may follow it.
    """
    end = len(lines)
    while end and (
        not lines[end - 1].strip() or lines[end - 1].lstrip().startswith(("`timescale", "`default_nettype", "(*"))
    ):
        end -= 1
    start = end
    while start and lines[start - 1].lstrip().startswith("//"):
        start -= 1
    is_remark = start == end and end and lines[end - 1].rstrip().endswith("*/")
    if is_remark and not lines[end - 1].lstrip().startswith("/* [encrypted"):
        start -= 1
        while start and "/*" not in lines[start]:
            start -= 1
    comment = [re.sub(r"^\s*/\*+|\*+/\s*$|^\s*\*+", "", line) for line in lines[start:end]]
    return [*lines[:start], *lines[end:]], clean_comment(comment, "//")
