"""PowerPoint presentations (.pptx, .pptm) to blocks: each slide under its title, with its number as the page.

lxml reads the XML, which may name no entity and no other file. Speaker's notes stand behind their slide. Pictures,
diagrams, charts, hidden slides, numbers and feet of slides are left out, and no macro is run.

    parse_slides(Path("review.pptx").read_bytes()).blocks[0].page == 1
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING

from rag.blocks import Block, BlockKind, HeadingStack, Parsed, pipe_table
from rag.errors import ParseFailed
from rag.office.word import DAMAGED, MAX_TAGS, check_zip
from rag.raised import mark_raised, write_raised
from rag.xml_tree import read_xml_tree

if TYPE_CHECKING:
    from lxml.etree import _Element

KIND = "PowerPoint presentation"
MAX_SLIDES = 5000

_SCHEMAS = "http://schemas.openxmlformats.org"
_SLIDE = f"{{{_SCHEMAS}/presentationml/2006/main}}"
_DRAWN = f"{{{_SCHEMAS}/drawingml/2006/main}}"
_LINK = f"{{{_SCHEMAS}/officeDocument/2006/relationships}}id"
_MAIN = "ppt/presentation.xml"
_NUMBERED = re.compile(r"ppt/slides/slide(\d{1,6})\.xml")
_TITLES = frozenset({"title", "ctrTitle"})
_LEFT_OUT = frozenset({"sldNum", "ftr", "dt", "hdr", "sldImg"})  # numbers, feet, dates, heads, pictures of slides


def parse_slides(content: bytes) -> Parsed:
    """Title (of the first slide) and blocks.

    Raises ParseFailed: the message is the reason.
    """
    check_zip(content, KIND, ".pptx")
    reader = _SlideReader()
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            paths = _list_slides(archive)
            for number, path in enumerate(paths[:MAX_SLIDES], start=1):
                _read_slide(archive, path, number, reader)
    except DAMAGED as error:
        raise ParseFailed(f"no {KIND} that can be read ({error})") from error
    note = f"its first {MAX_SLIDES} slides" if len(paths) > MAX_SLIDES else ""
    return Parsed(reader.headings.title or "", tuple(reader.blocks) or reader.headings.as_blocks(), note)


def _read_part(archive: zipfile.ZipFile, path: str) -> _Element | None:
    """A part of the presentation; None where it is missing.

    Raises ParseFailed: it is damaged, or has more tags than memory should hold.
    """
    if path not in archive.namelist():
        return None
    content = archive.read(path)
    if content.count(b"<") > MAX_TAGS:
        raise ParseFailed(f"its {path} has more than {MAX_TAGS} tags: split it")
    return read_xml_tree(content, KIND)


def _links_of(archive: zipfile.ZipFile, path: str) -> dict[str, str]:
    """The parts that a part names, by the name that it gives them."""
    folder, name = posixpath.split(path)
    links = _read_part(archive, f"{folder}/_rels/{name}.rels")
    return {
        link.get("Id", ""): posixpath.normpath(posixpath.join(folder, link.get("Target", ""))).lstrip("/")
        for link in (links.iterchildren("{*}Relationship") if links is not None else ())
    }


def _list_slides(archive: zipfile.ZipFile) -> list[str]:
    """The paths of the slides in their order; by their numbers where the presentation does not say it."""
    root, links = _read_part(archive, _MAIN), _links_of(archive, _MAIN)
    named = [links.get(item.get(_LINK, ""), "") for item in root.iter(f"{_SLIDE}sldId")] if root is not None else []
    found = {name: int(number[1]) for name in archive.namelist() if (number := _NUMBERED.fullmatch(name))}
    paths = [name for name in dict.fromkeys(named) if name in archive.NameToInfo]
    if not paths and not found:
        raise ParseFailed(f"no {KIND}: it has no slides")
    return paths or sorted(found, key=lambda name: found[name])


def _read_slide(archive: zipfile.ZipFile, path: str, number: int, reader: _SlideReader) -> None:
    root = _read_part(archive, path)
    if root is None or root.get("show") in ("0", "false"):
        return
    reader.read(root, number)
    for name in _links_of(archive, path).values():
        notes = _read_part(archive, name) if "/notesSlide" in name else None
        if notes is not None:
            reader.read_notes(notes)


class _SlideReader:
    """Collects `blocks` of the slides, one after the other."""

    def __init__(self) -> None:
        self.headings = HeadingStack()
        self.blocks: list[Block] = []
        self._number = 0

    def read(self, slide: _Element, number: int) -> None:
        """Read a slide; its title comes first, wherever it stands."""
        self._number = number
        shapes = list(slide.iter(f"{_SLIDE}sp", f"{_SLIDE}graphicFrame"))
        titles = [" ".join(_lines_of(shape)) for shape in shapes if _role_of(shape) in _TITLES]
        whole = self.headings.enter(1 if self.headings.title is None else 2, " ".join(titles) or f"Slide {number}")
        self._add("prose", whole)
        for shape in shapes:
            if shape.tag == f"{_SLIDE}graphicFrame":
                for table in shape.iter(f"{_DRAWN}tbl"):
                    self._add("table", pipe_table(_rows_of(table)))
            elif _role_of(shape) not in _TITLES | _LEFT_OUT:
                self._add_text(shape)

    def read_notes(self, notes: _Element) -> None:
        """Read what the speaker says of the last slide."""
        texts = [line for shape in notes.iter(f"{_SLIDE}sp") if _role_of(shape) == "body" for line in _lines_of(shape)]
        self._add("prose", f"Notes: {' '.join(texts)}" if texts else "")

    def _add_text(self, shape: _Element) -> None:
        """The text of a shape: a list where it has several paragraphs, which slides show as points."""
        lines = [(_level_of(part), " ".join(_text_of(part).split())) for part in shape.iter(f"{_DRAWN}p")]
        lines = [(level, text) for level, text in lines if text]
        if len(lines) == 1:
            self._add("prose", lines[0][1])
        else:
            self._add("list", "\n".join(f"{'  ' * level}- {text}" for level, text in lines))

    def _add(self, kind: BlockKind, text: str) -> None:
        if text.strip():
            self.blocks.append(Block(kind, text, self.headings.path, self._number))


def _role_of(shape: _Element) -> str:
    """What a shape is for, as its placeholder says; "" for a box of its own, "body" for a slide's text."""
    place = shape.find(f"{_SLIDE}nvSpPr/{_SLIDE}nvPr/{_SLIDE}ph")
    return "" if place is None else place.get("type", "body")


def _level_of(paragraph: _Element) -> int:
    """How deep a point stands, from 0."""
    properties = paragraph.find(f"{_DRAWN}pPr")
    level = properties.get("lvl", "0") if properties is not None else "0"
    return min(int(level), 8) if level.isdecimal() and len(level) < 3 else 0


def _lines_of(shape: _Element) -> Iterator[str]:
    for paragraph in shape.iter(f"{_DRAWN}p"):
        if text := " ".join(_text_of(paragraph).split()):
            yield text


def _text_of(paragraph: _Element) -> str:
    """The text of a paragraph, with its line breaks, and with its raised and lowered letters as they are written."""
    parts: list[str] = []
    for item in paragraph.iter(f"{_DRAWN}t", f"{_DRAWN}br", f"{_DRAWN}tab"):
        if item.tag != f"{_DRAWN}t":
            parts.append("\n" if item.tag == f"{_DRAWN}br" else "\t")
            continue
        run = item.getparent()
        properties = run.find(f"{_DRAWN}rPr") if run is not None else None
        baseline = properties.get("baseline", "0") if properties is not None else "0"
        text = item.text or ""
        if re.fullmatch(r"-?[1-9]\d{0,9}%?", baseline):
            text = mark_raised(text, "lowered" if baseline[0] == "-" else "raised")
        parts.append(text)
    return write_raised("".join(parts))


def _rows_of(table: _Element) -> list[list[str]]:
    return [
        [" ".join(" ".join(_lines_of(cell)).split()) for cell in row.iterchildren(f"{_DRAWN}tc")]
        for row in table.iterchildren(f"{_DRAWN}tr")
    ]
