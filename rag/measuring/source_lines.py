"""The lines of a file, taken without its parser, each with the rule by which its format leaves it out, if one does.

docs/documents.md names the rules. Of zips, pages and PDF these are the lines of their text.
It reads in this process and without limits: it is for sources of one's own.

    next(read_lines("a.rst", b".. todo:: later")).left_out == "directives that say nothing"
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from io import BytesIO
from typing import Any

from rag.design.protected import hide_armour, hide_encrypted
from rag.encodings import read_text
from rag.formats.parser import format_of

_COMMENT = re.compile(r"\s*\.\.(?:\s+(?![\[_|])(?![\w:.+-]+::).*)?$")  # of reStructuredText
_SILENT = re.compile(
    r"\s*(?:\.\. (?:\|[^|]*\| )?|`{3,}\{|:{3,}\{)"
    r"(?:toctree|todo|todolist|contents|image|raw|index|role|default-role|highlight|meta|program|bibliography|date|"
    r"literalinclude|include|mermaid|auto\w+|tableofcontents|figure)\b",
    re.IGNORECASE,
)
_WITH_DIRECTIVES = frozenset({"Markdown", "reStructuredText"})
_PICTURE = re.compile(r"^\s*\.\. (\|[^|]+\|) image::", re.MULTILINE)  # of reStructuredText, by its name
_HEADING = re.compile(r" {0,3}#{1,6} ")  # of Markdown
# What a line begins with that its format's marks make of it: names and options of directives, targets, comments, tags.
_MARKUP = {
    "Markdown": re.compile(r"\s*(?:% |`{3,}|~{3,}|:{3,}|:[\w-]+:|<|\[[^\]]+\]:|\(|!\[|\{|[\w-]+:\s|\|? ?:?-)"),
    "reStructuredText": re.compile(r"\s*(?:\.\. |:[\w -]+:|__ )"),
    "LaTeX": re.compile(r"\s*(?:%|\\)"),
    "man page": re.compile(r"[.']|[lcrnb|\s]+\.$|.*;$|ignored |T\}$|.*T\{$"),
    "shell": re.compile(r"#!"),
    "Python": re.compile(r"#!|#.{0,50}coding[:=]"),
    "Perl": re.compile(r"#!|=[a-z]\w*"),
    "SPICE": re.compile(r"\s*(?:\.endl|endsection)\b", re.IGNORECASE),  # the heading says which section it was
    "Tcl": re.compile(r"#!"),
    "technology file": re.compile(r"[a-z]\w*$|\s*\)+\s*(?:;.*)?$|\s*\w+\s*\(\s*(?:;.*)?$"),
    "report": re.compile(r"(?:.*%\||1$)"),
}
# Roles, link targets, tags, commands, fonts and attributes within a line
_INLINE = re.compile(
    r":[\w:.+-]+:(?=`)|\s<[^<>`]*>(?=`)|~[\w.]+\.(?=\w)|\]\([^()]*\)|</?[a-zA-Z][^<>]*>"
    r"|\\(?:f\[\w+\]|f[BIRP]|\*?\(..|[a-zA-Z]+)|\{[#.][^{}]*\}|&\w+;|\(cid:\d+\)|\|\w+\|"
)
MAX_UNPACKED = 2**26  # bytes of a .gz
_DATA = frozenset({"Liberty", "LEF", "DEF", "SPEF"})
_DECKS = frozenset({"rule deck", "technology file"})  # some of them XML
# How the formats that have encrypted parts call their language
_ENCRYPTED = {"Verilog": "verilog", "SystemVerilog": "verilog", "VHDL": "vhdl", "SPICE": "spice", "rule deck": "svrf"}
_PARTS = re.compile(
    r"word/(?:document|footnotes|comments|header\d*|footer\d*)\.xml|content\.xml"
    r"|xl/(?:sharedStrings|worksheets/sheet\d+)\.xml|ppt/(?:slides/slide|notesSlides/notesSlide)\d+\.xml"
)
_HIDDEN = frozenset({"tracked-changes", "annotation", "table-of-content", "del", "txbxContent"})
_SIDE_PARTS = re.compile(r"word/(?:footnotes|comments|header|footer)")


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line of a file, and by which rule its format leaves it out where it is not read ("" for none)."""

    text: str
    left_out: str


def show_words(line: str) -> str:
    """A line without the marks within it."""
    return _INLINE.sub(" ", line)


def read_lines(name: str, content: bytes) -> Iterator[SourceLine]:
    """The lines of a file. Raises ParseFailed: it is not text."""
    if name.lower().endswith(".gz"):
        with suppress(zlib.error):
            content = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(content, MAX_UNPACKED)
    found = format_of(name)
    kind = found.name if found else ""
    if kind == "PDF":
        return _lines_of_pdf(content)
    if content.startswith(b"PK"):
        return _lines_of_zip(content)
    text = read_text(content).text
    if kind == "notebook":
        return _lines_of_notebook(text)
    if kind in ("HTML", "XML"):
        return _lines_of_page(text)
    if kind in _DATA or (kind in _DECKS and text.lstrip().startswith("<")):
        return (SourceLine(line, "data that is not kept") for line in text.splitlines())
    if kind in _ENCRYPTED:
        shown = set(hide_encrypted(hide_armour(text), _ENCRYPTED[kind]).splitlines())
        lines = _lines_of_text(text, kind)
        return (line if line.text in shown else SourceLine(line.text, "encrypted parts") for line in lines)
    return _lines_of_text(text, kind)


def _lines_of_text(text: str, kind: str) -> Iterator[SourceLine]:
    """The lines of marked-up text; what is indented below a directive that says nothing belongs to it."""
    markup = _MARKUP.get(kind)
    pictures = _PICTURE.findall(text) if kind == "reStructuredText" else []
    silent, reason = -1, ""  # the indentation of such a directive or comment, and which of both it is
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if line.strip() and indent <= silent:
            silent = -1
        is_directive = kind in _WITH_DIRECTIVES and _SILENT.match(line) is not None
        if silent < 0 and (is_directive or (kind == "reStructuredText" and _COMMENT.match(line))):
            silent, reason = indent, "directives that say nothing" if is_directive else "comments"
        if silent >= 0:
            yield SourceLine(line, reason)
        elif any(name in line for name in pictures) and not re.search(r"\w", _drop(pictures, line)):
            yield SourceLine(line, "pictures")
        elif kind == "Markdown" and _HEADING.match(line):
            yield SourceLine(line, "headings with nothing below them")
        else:
            yield SourceLine(line, "lines of markup" if markup and markup.match(line) else "")


def _drop(names: list[str], line: str) -> str:
    """The line without these names."""
    return reduce(lambda rest, name: rest.replace(name, ""), names, line)


def _lines_of_notebook(text: str) -> Iterator[SourceLine]:
    """The lines of a notebook's cells, and of what they printed as text."""
    for cell in json.loads(text)["cells"]:
        outputs = cell.get("outputs") or []
        shown = [cell["source"], *(output.get("text", output.get("evalue", "")) for output in outputs)]
        for part in shown:
            yield from _lines_of_text("".join(part), "Markdown")


def _lines_of_page(text: str) -> Iterator[SourceLine]:
    """The texts of a page; those in its navigation, scripts and forms are left out."""
    from lxml import html

    from rag.formats.page_tree import leave_out

    text = re.sub(r"^\s*<\?xml[^>]*\?>|(?s:<(draft-comment|remark|indexterm)\b.*?</\1>)", "", text)
    root = html.document_fromstring(text.encode(), parser=html.HTMLParser(encoding="utf-8"))
    whole = [part for part in root.itertext() if part.strip()]
    leave_out(root)
    kept = {part for part in root.itertext() if part.strip()}
    for part in whole:
        yield SourceLine(part, "" if part in kept else "what surrounds a page's text")


def _lines_of_zip(content: bytes) -> Iterator[SourceLine]:
    """The paragraphs of an office document, also of its notes, heads and feet."""
    from lxml import etree

    with zipfile.ZipFile(BytesIO(content)) as archive:
        hidden_sheets = _hidden_sheets(archive)
        for name in filter(_PARTS.fullmatch, archive.namelist()):
            parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
            root = etree.fromstring(archive.read(name), parser)
            left_out = "notes, heads and feet" if _SIDE_PARTS.match(name) else ""
            left_out = "hidden sheets" if name in hidden_sheets else left_out
            for element in root.iter("{*}p", "{*}h", "{*}si", "{*}is"):
                above = list(element.iterancestors("*"))
                hidden = any(etree.QName(item).localname in _HIDDEN for item in above)
                rule = "numbers, feet and hidden slides" if any(map(_is_hidden_shape, above)) else left_out
                yield SourceLine("".join(_texts_of(element)), "comments and deleted text" if hidden else rule)


def _is_hidden_shape(element: Any) -> bool:
    """Whether an element is a slide that is not shown, or a place on one for its number or foot."""
    place = element.find("{*}nvSpPr/{*}nvPr/{*}ph") if element.tag.endswith("}sp") else None
    return element.get("show") == "0" or (place is not None and place.get("type") in ("sldNum", "ftr", "dt"))


def _hidden_sheets(archive: zipfile.ZipFile) -> set[str]:
    """The parts of a workbook that nobody sees; sheets are numbered in the order in which it names them."""
    book = archive.read("xl/workbook.xml") if "xl/workbook.xml" in archive.namelist() else b""
    sheets = enumerate(re.findall(rb"<(?:\w+:)?sheet\s[^>]*>", book), start=1)
    return {
        f"xl/worksheets/sheet{number}.xml"
        for number, sheet in sheets
        if b'state="visible"' not in sheet and b"state=" in sheet
    }


def _texts_of(paragraph: Any) -> Iterator[str]:
    """The texts of a paragraph, without those of the paragraphs of a note or comment within it."""
    yield paragraph.text or ""
    for child in paragraph:
        if child.tag.rpartition("}")[2] not in ("p", "h", "annotation", "note", "delText"):
            yield " " if child.tag.rpartition("}")[2] in ("tab", "line-break", "s") else ""
            yield from _texts_of(child)
        yield child.tail or ""


def _lines_of_pdf(content: bytes) -> Iterator[SourceLine]:
    """The lines of a PDF's pages; heads, feet and lists of contents are left out."""
    import pdfplumber

    with pdfplumber.open(BytesIO(content)) as pdf:
        pages = [(page.extract_text() or "").splitlines() for page in pdf.pages]
    counts = Counter(re.sub(r"\d+", "#", line) for lines in pages for line in dict.fromkeys(lines))
    for lines in pages:
        for line in re.sub(r"\S+-\n\S+", "", "\n".join(lines)).split("\n"):  # without divided words
            repeated = counts[re.sub(r"\d+", "#", line)] >= 3
            is_contents = bool(re.search(r"(?:\. ?){5,}|^Contents$", line))
            yield SourceLine(line, "heads, feet and contents" if repeated or is_contents or line.isdecimal() else "")
