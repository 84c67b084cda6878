"""Perl with its documentation (POD) to blocks: sections and options as headings, prose without marks, the code between.

It knows the marks of perlpod, and runs nothing.

    clean("B<-n> shows C<N> rules") == "-n shows `N` rules"
"""

from __future__ import annotations

import re

from rag.blocks import Block, BlockKind, HeadingStack, Parsed, add_block, dedent_lines, fence_code, name_definition
from rag.formats.script import parse_script

_POD = re.compile(r"^=[a-zA-Z]\w*[^\n]*(?:\n(?!=cut\b)[^\n]*)*(?:\n=cut\b[^\n]*)?", re.MULTILINE)
_COMMAND = re.compile(r"=(?P<name>[a-zA-Z]\w*)\s*(?P<text>.*)", re.DOTALL)
_BULLET = re.compile(r"(?P<mark>\*|\d{1,3}\.?)(?:\s+(?P<text>.*)|\s*$)", re.DOTALL)
_SIGNS = {"lt": "<", "gt": ">", "sol": "/", "verbar": "|", "amp": "&", "quot": '"', "nbsp": " "}
_INNERMOST = re.compile(r"([A-Z])(?:<([^<>\n]{0,500})>|<< {1,8}([^\n]{0,500}?) {1,8}>>)")
_MOST_LEVELS = 5  # of marks in marks


def parse_perl(text: str, language: str) -> Parsed:
    """Title "" and blocks in the order of the file. Never fails."""
    blocks: list[Block] = []
    headings = HeadingStack()
    headings.enter(1, "Perl")  # its place is the file's name's; sections stand below it
    position = 0
    for found in _POD.finditer(text):
        blocks += parse_script(text[position : found.start()], language).blocks
        blocks += _read_pod(found[0], headings)
        position = found.end()
    return Parsed("", (*blocks, *parse_script(text[position:], language).blocks))


def clean(text: str) -> str:
    """Text without the marks of POD: code in backticks, links as their words."""
    for _ in range(_MOST_LEVELS):
        before = text
        text = _INNERMOST.sub(_show, text)
        if text == before:
            break
    return text.replace("\ue000", "<").replace("\ue001", ">")


def _show(found: re.Match[str]) -> str:
    kind, words = found[1], found[2] if found[2] is not None else found[3]
    if kind == "E":
        sign = _SIGNS.get(words, f"&{words};")
        return {"<": "\ue000", ">": "\ue001"}.get(sign, sign)
    if kind in "XZ":
        return ""
    if kind == "L":
        return words.partition("|")[0] if "|" in words else words.strip("/")
    words = words.replace("<", "\ue000").replace(">", "\ue001") if found[2] is None else words
    return f"`{words}`" if kind == "C" else words if kind in "BIFS" else f"{kind}\ue000{words}\ue001"


def _read_pod(text: str, headings: HeadingStack) -> list[Block]:
    """The blocks of one stretch of documentation."""
    blocks: list[Block] = []
    names: list[str] = []  # of items that wait for what is said of them
    item, bullet = "", ""

    def add(kind: BlockKind, words: str) -> None:
        """Add a part under the sections and the item that are open."""
        if words.strip():
            add_block(blocks, Block(kind, words, (*headings.path, item) if item else headings.path))

    for paragraph in re.split(r"\n[ \t]*\n+", text):
        command = _COMMAND.fullmatch(paragraph.strip("\n"))
        name, words = (command["name"], command["text"]) if command else ("", paragraph)
        if name.startswith("head"):
            item = ""
            level = int(name[4:]) if name[4:].isdecimal() and len(name) < 6 else 1
            add("prose", headings.enter(level + 1, clean(words).replace("`", "")))
        elif name == "item":
            found = _BULLET.fullmatch(words)
            if found and found["text"]:
                add("list", f"- {' '.join(clean(found['text']).split())}")
            elif found:
                bullet = "- "
            else:
                names.append(clean(words).replace("`", ""))
        elif name in ("over", "back", "cut", "pod", "encoding", "begin", "end", "for"):
            item = "" if name == "back" else item
        elif words.strip():
            if names:
                item, whole = name_definition(names)
                names = []
                add("prose", whole)
            if words[0] in " \t":
                add("code", fence_code(dedent_lines(words.expandtabs(8).split("\n"))))
            else:
                add("list" if bullet else "prose", f"{bullet}{' '.join(clean(words).split())}")
            bullet = ""
    if names:
        add("prose", "\n".join(f"`{name}`" for name in names))
    return blocks
