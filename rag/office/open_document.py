"""OpenDocument to blocks: texts (.odt), sheets (.ods) under their names, slides (.odp) under their titles.

lxml reads the XML, which may name no entity and no other file. Comments, deleted text, pictures and macros are left
out; a footnote stands in brackets where it is called.

    parse_odt(Path("spec.odt").read_bytes()).blocks[0].heading_path
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Literal

from rag.blocks import Block, HeadingStack, Parsed, add_block, fence_code, pipe_table
from rag.errors import ParseFailed
from rag.office.excel import read_sheet
from rag.office.word import CODE_STYLE, DAMAGED, check_zip
from rag.raised import Place, mark_raised, write_raised
from rag.xml_tree import read_xml_tree

if TYPE_CHECKING:
    from lxml.etree import _Element

KIND = "OpenDocument text"

MAX_REPEATED = 100  # cells, rows or blanks that one element stands for
MAX_TABLE_CHARACTERS = 2**24  # of a table with all that is repeated; a sheet of 20,000 rows has a tenth
_MAX_DEPTH = 100  # of lists and sections; people stop at ten
_NAMES = "{urn:oasis:names:tc:opendocument:xmlns:%s:1.0}"
_TEXT, _TABLE, _STYLE, _OFFICE = (_NAMES % name for name in ("text", "table", "style", "office"))
_DRAWING, _SLIDES = _NAMES % "drawing", _NAMES % "presentation"
_PARTS = ("content.xml", "meta.xml", "META-INF/manifest.xml")
_SIGNS = {f"{_TEXT}tab": "\t", f"{_TEXT}line-break": "\n", f"{_TEXT}note": " ("}
_POSITION = re.compile(r"(?P<raised>super|[1-9]\d{0,2}%)|sub|-[1-9]\d{0,2}%")
_LEFT_OUT = frozenset({f"{_TEXT}tracked-changes", f"{_OFFICE}annotation", f"{_TEXT}table-of-content"})


def parse_odt(content: bytes) -> Parsed:
    """Title (a Title or first heading, else the document's property) and blocks.

    Raises ParseFailed: the message is the reason.
    """
    check_zip(content, "OpenDocument text", ".odt", "content.xml")
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            names = archive.namelist()
            parts = {name: archive.read(name) for name in _PARTS if name in names}
    except DAMAGED as error:
        raise ParseFailed(f"no {KIND} that can be read ({error})") from error
    if b"encryption-data" in parts.get("META-INF/manifest.xml", b""):
        raise ParseFailed("encrypted: save it without a password")

    root = read_xml_tree(parts.get("content.xml", b""), KIND)
    bodies = (root.find(f"{_OFFICE}body/{_OFFICE}{name}") for name in ("text", "spreadsheet", "presentation"))
    body = next((found for found in bodies if found is not None), None)
    if body is None:
        raise ParseFailed(f"no {KIND}: it has no body of text")
    _mark_spans(root)
    reader = _OdtReader(_find_styles(root))
    if body.tag == f"{_OFFICE}spreadsheet":
        reader.read_sheets(body)
    else:
        reader.read(body)
    reader.flush_code()
    meta = read_xml_tree(parts["meta.xml"], KIND) if "meta.xml" in parts else None
    title = meta.findtext(".//{http://purl.org/dc/elements/1.1/}title") if meta is not None else ""
    return Parsed(
        reader.headings.title or " ".join((title or "").split()),
        tuple(reader.blocks) or reader.headings.as_blocks(),
    )


def _find_styles(root: _Element) -> dict[str, str]:
    """What each style of the text itself is based on: people's changes to a paragraph make styles called P1, P2."""
    return {
        style.get(f"{_STYLE}name", ""): style.get(f"{_STYLE}parent-style-name", "")
        for style in root.iterfind(f"{_OFFICE}automatic-styles/{_STYLE}style")
    }


def _mark_spans(root: _Element) -> None:
    """Put marks around letters whose style raises or lowers them."""
    places: dict[str, Place] = {}
    for style in root.iterfind(f"{_OFFICE}automatic-styles/{_STYLE}style"):
        properties = style.find(f"{_STYLE}text-properties")
        position = properties.get(f"{_STYLE}text-position", "") if properties is not None else ""
        if found := _POSITION.match(position):
            places[style.get(f"{_STYLE}name", "")] = "raised" if found["raised"] else "lowered"
    for span in root.iter(f"{_TEXT}span") if places else ():
        if (place := places.get(span.get(f"{_TEXT}style-name", ""))) and not len(span):
            span.text = mark_raised(span.text or "", place)


class _OdtReader:
    """Collects `blocks`; neighbouring lines of code become one block."""

    def __init__(self, styles: dict[str, str]) -> None:
        self.headings = HeadingStack()
        self.blocks: list[Block] = []
        self._styles = styles
        self._code: list[str] = []
        self._slide = 0

    def read(self, element: Iterable[_Element], depth: int = 0) -> None:
        """Read what stands in the body, a section, or another frame around text."""
        for child in element:
            if child.tag in _LEFT_OUT:
                continue
            if child.tag == f"{_TEXT}h":
                self._enter(_level(child), _text_of(child))
            elif child.tag == f"{_TEXT}p":
                self._read_paragraph(child)
            elif child.tag == f"{_TEXT}list" and not _holds_heading(child):
                self._add("list", "\n".join(_list_lines(child, 0)))
            elif child.tag == f"{_TABLE}table":
                self._add("table", pipe_table(_rows_of(child)))
            elif child.tag == f"{_DRAWING}page":
                self._read_slide(child, depth)
            elif depth < _MAX_DEPTH:
                self.read(child, depth + 1)

    def read_sheets(self, body: _Element) -> None:
        """Read the sheets of a workbook, each under its name."""
        for table in body.iterchildren(f"{_TABLE}table"):
            self.blocks += read_sheet(_rows_of(table, keeps_empty=True), table.get(f"{_TABLE}name", ""))

    def _read_slide(self, page: _Element, depth: int) -> None:
        """Read a slide: its title, its text, and what the speaker says of it."""
        self.flush_code()
        self._slide += 1
        frames = list(page.iterchildren(f"{_DRAWING}frame"))
        titles = [frame for frame in frames if frame.get(f"{_SLIDES}class") == "title"]
        title = " ".join(" ".join(map(_text_of, frame.iter(f"{_TEXT}p"))) for frame in titles)
        self._enter(1 if self.headings.title is None else 2, title.strip() or f"Slide {self._slide}")
        for part in page:
            if part not in titles:
                self.read([part] if part.tag != f"{_SLIDES}notes" else part, depth + 1)

    def _read_paragraph(self, element: _Element) -> None:
        name = element.get(f"{_TEXT}style-name", "")
        style = f"{name} {self._styles.get(name, '')}".replace("_20_", " ")
        text = _text_of(element)
        if "Title" in style.split():
            self._enter(1, text)
        elif CODE_STYLE.search(style):
            self._code += text.split("\n")
        else:
            self._add("prose", text.strip())

    def _enter(self, level: int, heading: str) -> None:
        self.flush_code()
        if whole := self.headings.enter(level, heading):
            self._add("prose", whole)

    def _add(self, kind: Literal["prose", "list", "table"], text: str) -> None:
        self.flush_code()
        if text.strip():
            add_block(self.blocks, Block(kind, text, self.headings.path, self._slide or None))

    def flush_code(self) -> None:
        """End the code being collected."""
        lines, self._code = self._code, []
        if any(line.strip() for line in lines):
            text = fence_code([line.rstrip() for line in lines])
            self.blocks.append(Block("code", text, self.headings.path, self._slide or None))


def _holds_heading(element: _Element) -> bool:
    """Whether a list stands for the number of a heading: it begins with one."""
    first = next(element.iter(f"{_TEXT}p", f"{_TEXT}h"), None)
    return first is not None and first.tag == f"{_TEXT}h"


def _level(heading: _Element) -> int:
    level = heading.get(f"{_TEXT}outline-level", "1")
    return min(int(level), 10) if level.isdecimal() and len(level) < 4 else 1


def _text_of(element: _Element) -> str:
    """The text of a paragraph, with its blanks, tabs and line breaks."""
    from lxml import etree

    parts: list[str] = []
    left_out: list[_Element] = []
    for event, item in etree.iterwalk(element, events=("start", "end")):
        if event == "end":
            if left_out and left_out[-1] is item:
                left_out.pop()
            elif item.tag == f"{_TEXT}note" and not left_out:
                parts.append(")")
            if item is not element and not left_out:
                parts.append(item.tail or "")
            continue
        if item.tag in (f"{_OFFICE}annotation", f"{_TEXT}note-citation"):
            left_out.append(item)
        if not left_out:
            parts += [_SIGNS.get(item.tag, ""), _blanks(item), item.text or ""]
    return write_raised("".join(parts))


def _blanks(element: _Element) -> str:
    return " " * _repeated(element, f"{_TEXT}c") if element.tag == f"{_TEXT}s" else ""


def _repeated(element: _Element, name: str) -> int:
    """How often an element stands for itself."""
    count = element.get(name, "1")
    return min(max(int(count), 1), MAX_REPEATED) if count.isdecimal() and len(count) < 8 else 1


def _list_lines(element: _Element, depth: int) -> list[str]:
    """The items of a list as lines, inner lists indented."""
    lines: list[str] = []
    for item in element.iterchildren(f"{_TEXT}list-item", f"{_TEXT}list-header"):
        mark = f"{'  ' * min(depth, 8)}- "
        for child in item:
            if child.tag == f"{_TEXT}list" and depth < _MAX_DEPTH:
                lines += _list_lines(child, depth + 1)
            elif text := " ".join(_text_of(child).split()):
                lines.append(f"{mark}{text}")
                mark = " " * len(mark)
    return lines


def _rows_of(table: _Element, keeps_empty: bool = False) -> list[list[str]]:
    """The cells' text by rows; the rows of a repeated header and inner tables stand where they are.

    Raises ParseFailed: what is repeated makes too much.
    """
    rows: list[list[str]] = []
    room = MAX_TABLE_CHARACTERS
    for row in table.iter(f"{_TABLE}table-row"):
        cells: list[str] = []
        for cell in row.iterchildren(f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"):
            text = " ".join(" ".join(_text_of(part).split()) for part in _paragraphs(cell))
            cells += [re.sub(r" +", " ", text).strip()] * _repeated(cell, f"{_TABLE}number-columns-repeated")
        while cells and not cells[-1]:
            cells.pop()
        times = _repeated(row, f"{_TABLE}number-rows-repeated") if cells else int(keeps_empty)
        room -= times * (sum(map(len, cells)) + len(cells))
        if room < 0:
            raise ParseFailed(f"a table in it has more than {MAX_TABLE_CHARACTERS} characters: split it")
        rows += [cells] * times
    return rows


def _paragraphs(cell: _Element) -> Iterator[_Element]:
    """The paragraphs of a cell, also those of its lists; inner tables have rows of their own."""
    waiting = list(reversed(cell))
    while waiting:
        part = waiting.pop()
        if part.tag in (f"{_TEXT}p", f"{_TEXT}h"):
            yield part
        elif part.tag not in (*_LEFT_OUT, f"{_TABLE}table"):
            waiting += reversed(part)
