"""Word documents (.docx, .docm) to blocks with heading paths: headings, paragraphs, lists, tables, code by its style.

python-docx reads them; macros are not run. It leaves out comments, footnotes, text boxes, deleted text and pictures,
and does not read the old .doc format.

    parse_docx(Path("spec.docx").read_bytes()).blocks[0].heading_path
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING

from rag.blocks import Block, HeadingStack, Parsed, fence_code, pipe_table
from rag.errors import ParseFailed
from rag.raised import Place, mark_raised, write_raised

if TYPE_CHECKING:
    from docx.document import Document as WordDocument
    from docx.oxml.xmlchemy import BaseOxmlElement
    from docx.table import Table
    from docx.text.paragraph import Paragraph

# A .docx is a zip of XML and pictures. A specification of a thousand pages has some 20 MiB of XML; ten times that is a
# bomb.
MAX_UNPACKED_BYTES = 256 * 2**20
MAX_PARTS = 10_000
MAX_TAGS = 4_000_000  # of a part; a tree of them takes some 350 MiB, a manual of 1,000 pages has a fourth
# What zipfile raises of a damaged archive, at whatever place it is read
DAMAGED = (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, RuntimeError)
_OLD_OFFICE = b"\xd0\xcf\x11\xe0"  # a compound file: .doc or .xls, or a newer one behind a password
_TYPES = "[Content_Types].xml"
_MAIN_TYPE = re.compile(
    rb"application/vnd\.(?:ms-word\.(?:document|template)\.macroEnabled\.main"
    rb"|openxmlformats-officedocument\.wordprocessingml\.template\.main)\+xml",
    re.IGNORECASE,
)
_PLAIN_TYPE = b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_HEADING = re.compile(r"(?:heading|überschrift|titre) ?([1-9])", re.IGNORECASE)
CODE_STYLE = re.compile(r"code|source|preformatted|listing|macro|verbatim|terminal|console", re.IGNORECASE)
_CONTENTS = re.compile(r"(?:toc|inhaltsverzeichnis|table of contents|tm) ?(?:\d|heading|überschrift)", re.IGNORECASE)
_PLACES: dict[str, Place] = {"superscript": "raised", "subscript": "lowered"}
_CODE_FONT = re.compile(r"courier|consolas|mono|menlo", re.IGNORECASE)
_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_ELSEWHERE = frozenset({f"{_WORD}txbxContent", f"{_WORD}moveFrom"})  # a text box; text that stands where it moved to
_AROUND = frozenset(f"{_WORD}{name}" for name in ("sdt", "sdtContent", "customXml", "smartTag", "ins", "moveTo"))


def parse_docx(content: bytes) -> Parsed:
    """Title (a Title or first heading, else the document's property) and blocks.

    Raises ParseFailed: the message is the reason.
    """
    check_zip(content, "Word document", ".docx", "word/document.xml")
    document = _open(content)
    reader = _WordReader()
    for item in _inner_content(document):
        reader.read(item)
    reader.flush()
    blocks = tuple(reader.blocks) or reader.headings.as_blocks()
    return Parsed(reader.headings.title or (document.core_properties.title or "").strip(), blocks)


def check_zip(content: bytes, name: str, suffix: str, tree: str = "") -> None:
    """Look at an office document's table of parts before it is unpacked, and at the part that is kept whole (`tree`).

    Raises ParseFailed: it is encrypted, damaged, or a bomb.
    """
    if content.startswith(_OLD_OFFICE):
        raise ParseFailed(f"encrypted, or of the old format: save it as {suffix} without a password")
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            parts = archive.infolist()
            if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED_BYTES:
                raise ParseFailed(f"unpacked it has more than {MAX_UNPACKED_BYTES} bytes or {MAX_PARTS} parts")
            large = [part for part in parts if part.filename == tree and part.file_size > MAX_TAGS]
            if any(archive.read(part).count(b"<") > MAX_TAGS for part in large):
                raise ParseFailed(f"its {tree} has more than {MAX_TAGS} tags: split it")
    except DAMAGED as error:
        raise ParseFailed(f"no {name}: it is not a zip archive ({error})") from error


def _without_macros(content: bytes) -> bytes:
    """A document that may hold macros, or a template, called a plain document: python-docx opens no other."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        types = archive.read(_TYPES) if _TYPES in archive.namelist() else b""
        plain = _MAIN_TYPE.sub(_PLAIN_TYPE, types)
        if plain == types:
            return content
        copy = BytesIO()
        with zipfile.ZipFile(copy, "w") as written:
            for part in archive.infolist():
                written.writestr(part, plain if part.filename == _TYPES else archive.read(part))
    return copy.getvalue()


def _open(content: bytes) -> WordDocument:
    import docx
    from docx.opc.exceptions import OpcError
    from lxml import etree

    try:
        return docx.Document(BytesIO(_without_macros(content)))
    except (*DAMAGED, OpcError, etree.LxmlError, KeyError, AttributeError) as error:
        raise ParseFailed(f"no Word document that can be read ({error})") from error


def _inner_content(document: WordDocument) -> Iterator[Paragraph | Table]:
    """The paragraphs and tables of the body, also those in controls for content, which templates put around them."""
    from docx.table import Table
    from docx.text.paragraph import Paragraph

    waiting = list(reversed(document.element.body))
    while waiting:
        part = waiting.pop()
        if part.tag == f"{_WORD}p":
            yield Paragraph(part, document._body)
        elif part.tag == f"{_WORD}tbl":
            yield Table(part, document._body)
        elif part.tag in _AROUND:
            waiting += reversed(part)


class _WordReader:
    """Collects `blocks`; neighbouring list items become one list, neighbouring lines of code one code block."""

    def __init__(self) -> None:
        self.headings = HeadingStack()
        self.blocks: list[Block] = []
        self._items: list[str] = []
        self._code: list[str] = []

    def read(self, item: Paragraph | Table) -> None:
        """Read one paragraph or table."""
        if hasattr(item, "rows"):
            self.flush()
            rows = [
                [_text_of(cell) for cell in row.iterchildren(f"{_WORD}tc")]
                for row in item._element.iterchildren(f"{_WORD}tr")
            ]
            self._add_table([row for row in rows if any(cell.strip() for cell in row)])
            return

        text = _text_of(item._element)
        style = (item.style.name or "") if item.style is not None else ""
        heading = _HEADING.match(style)

        if _CONTENTS.match(style):
            return
        if heading or style.lower() in ("title", "titel"):
            self.flush()
            whole = self.headings.enter(int(heading[1]) if heading else 1, text)
            if whole:
                self.blocks.append(Block("prose", whole, self.headings.path))
        elif CODE_STYLE.search(style) or _is_typed(item):
            self._flush_list()
            self._code += text.split("\n")
        elif text.strip() and _is_item(item, style):
            self._flush_code()
            self._items.append(f"{'  ' * _level(item, style)}- {' '.join(text.split())}")
        elif text.strip():
            self.flush()
            self.blocks.append(Block("prose", text.strip(), self.headings.path))

    def flush(self) -> None:
        """End the list or code block being collected."""
        self._flush_list()
        self._flush_code()

    def _flush_list(self) -> None:
        if self._items:
            self.blocks.append(Block("list", "\n".join(self._items), self.headings.path))
            self._items = []

    def _flush_code(self) -> None:
        code = "\n".join(self._code).expandtabs(8).strip("\n")
        if code.strip():
            self.blocks.append(
                Block("code", fence_code([line.rstrip() for line in code.split("\n")]), self.headings.path)
            )
        self._code = []

    def _add_table(self, rows: list[list[str]]) -> None:
        """A table of one cell is a box around text, often code."""
        if len(rows) == 1 and len(rows[0]) == 1:
            self.blocks.append(Block("prose", rows[0][0].strip(), self.headings.path))
        elif rows:
            self.blocks.append(Block("table", pipe_table(rows), self.headings.path))


def _text_of(element: BaseOxmlElement) -> str:
    """The text of a paragraph or cell, with links and accepted insertions.

    Deletions (another tag) and text boxes are left out.
    """
    parts: list[str] = []
    for item in element.iter():
        if item.tag == f"{_WORD}t":
            if not any(above.tag in _ELSEWHERE for above in item.iterancestors()):
                parts.append(_show_place(item))
        elif item.tag == f"{_WORD}tab":
            parts.append("\t")
        elif item.tag in (f"{_WORD}br", f"{_WORD}cr") or (item.tag == f"{_WORD}p" and item is not element):
            parts.append("\n")
        elif item.tag == f"{_WORD}noBreakHyphen":
            parts.append("-")
    return write_raised("".join(parts)).strip("\n")


def _show_place(text: BaseOxmlElement) -> str:
    """The letters of a run, with marks where they are raised or lowered."""
    run = text.getparent()
    found = run.find(f"{_WORD}rPr/{_WORD}vertAlign") if run is not None else None
    place = _PLACES.get(found.get(f"{_WORD}val", "")) if found is not None else None
    return mark_raised(text.text or "", place) if place else text.text or ""


def _is_typed(paragraph: Paragraph) -> bool:
    """Whether all of a paragraph's runs have a typewriter font."""
    runs = [run for run in paragraph.runs if run.text.strip()]
    return bool(runs) and all(_CODE_FONT.search(run.font.name or "") for run in runs)


def _is_item(paragraph: Paragraph, style: str) -> bool:
    properties = paragraph._p.pPr
    return style.lower().startswith("list") or (properties is not None and properties.numPr is not None)


def _level(paragraph: Paragraph, style: str) -> int:
    """How deep a list item stands, from 0: by its numbering, else by the digit of a style such as `List Bullet 2`."""
    properties = paragraph._p.pPr
    numbering = properties.numPr if properties is not None else None
    if numbering is not None and numbering.ilvl is not None:
        return min(int(numbering.ilvl.val), 8)
    return int(style[-1]) - 1 if style[-1:].isdecimal() and style[-1] != "0" else 0
