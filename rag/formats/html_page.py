"""The main content of an HTML page, also from Sphinx, Doxygen or a Confluence export, to blocks with heading paths.

lxml parses and mends broken markup. Navigation, sidebars, footers, "edit this page" and scripts are left out. It
fetches nothing.

    parse_html(b"<title>Router</title><h1>Router</h1><p>It routes.</p>").blocks[0].text == "It routes."
"""

from __future__ import annotations

import codecs
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from rag.blocks import Block, BlockKind, HeadingStack, Parsed, fence_code, join_heads, name_definition, pipe_table
from rag.encodings import read_text
from rag.errors import ParseFailed
from rag.formats.page_tree import BLOCK_TAGS, HEADINGS, holds_blocks, is_signpost_text, prepare_tree, squeeze
from rag.raised import Place, mark_raised

if TYPE_CHECKING:
    from lxml.html import HtmlElement

# Where documentation generators put a page's own text, the surest first; without any of them the whole body is read.
_MAIN = (
    "//main",
    "//*[@role='main']",
    "//*[@id='main-content']",  # Confluence
    "//div[contains(concat(' ', @class, ' '), ' contents ')]",  # Doxygen
    "//article",
    "//body",
)
_PARTED = BLOCK_TAGS | {"br"}  # these begin on a line of their own
_CODE_TAGS = frozenset({"code", "tt", "kbd", "samp"})
_STRUCK_TAGS = frozenset({"del", "s", "strike"})  # between the marks of Markdown, as what is gone
_RAISED_TAGS: dict[str, Place] = {"sup": "raised", "sub": "lowered"}
_LANGUAGE = re.compile(r"(?:highlight-|language-|lang-|brush:\s*)([\w+-]+)")
_DECLARED = re.compile(rb"charset\s*=|<\?xml[^>]*encoding", re.IGNORECASE)
MAX_TAGS = 2_000_000  # of a page; a tree of them takes some 200 MiB, a manual on one page has a fourth
# libxml2 itself stops at 256; a page for people has at most 30 levels. Deeper content is read as plain text.
_MAX_DEPTH = 150
_LONGEST_REPEATED = 200  # characters of a cell that stands in each row that it spans


def parse_html(content: bytes) -> Parsed:
    """The title (a first <h1>, else <title>) and the blocks of a page.

    Raises ParseFailed: the content is not HTML.
    """
    import lxml.etree
    from lxml import html

    check_tags(content)
    content, encoding, guessed = _find_encoding(content)
    try:
        root = html.document_fromstring(
            content, parser=html.HTMLParser(encoding=encoding, remove_comments=True, remove_pis=True)
        )
    except (lxml.etree.LxmlError, ValueError) as error:
        raise ParseFailed(
            f"no HTML that can be read ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        ) from error
    page_title = " ".join((root.findtext(".//title") or "").split())
    return replace(read_tree(root, page_title), encoding=guessed)


def check_tags(content: bytes) -> None:
    """Look at a page before it becomes a tree.

    Raises ParseFailed: it has more tags than memory should hold.
    """
    if content.count(b"<") > MAX_TAGS:
        raise ParseFailed(f"it has more than {MAX_TAGS} tags: split it")


def read_tree(root: HtmlElement, page_title: str) -> Parsed:
    """The title and the blocks of a page that was parsed to a tree; `page_title` is what its head calls it."""
    prepare_tree(root)
    reader = _PageReader()
    reader.read(next((found for path in _MAIN for found in root.xpath(path)[:1] if found.text_content().strip()), root))
    blocks = tuple(block for block in reader.blocks if block.text.strip())
    first = reader.headings.title or ""
    title = reader.main_heading or (first if reader.has_logo else "") or page_title or first
    return Parsed(title, blocks or reader.headings.as_blocks())


def _find_encoding(content: bytes) -> tuple[bytes, str | None, str]:
    """The page's bytes, their encoding, and the one that was guessed.

    None for what the page itself declares; without such a declaration it is guessed.

    Raises ParseFailed: it is binary or empty.
    """
    has_mark = content.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if not has_mark and _DECLARED.search(content[:4096]) and not _is_utf8(content):
        return content, None, ""
    decoded = read_text(content)
    return decoded.text.encode("utf-8"), "utf-8", decoded.encoding


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class _PageReader:
    """Walks a tree and collects `blocks`. One instance per page."""

    def __init__(self) -> None:
        self.headings = HeadingStack()
        self.main_heading = ""  # the first heading, where it is an <h1>
        self.has_logo = False  # an <h1> is a picture alone, which says nothing of this page
        self.blocks: list[Block] = []
        self._objects: tuple[str, ...] = ()  # the terms whose definitions are being read
        self._label = ""  # an admonition's name, waiting for its first paragraph

    def read(self, element: HtmlElement, depth: int = 0) -> None:
        """Read an element's children: runs of inline ones become paragraphs, the others are read by their kind."""
        if depth > _MAX_DEPTH:
            self._add("prose", squeeze(element.text_content()))
            return
        inline = [element.text or ""]
        for child in element:
            if _is_of_blocks(child):
                self._flush(inline)
                self._read_block(child, depth + 1)
            else:
                inline.append(inline_text(child))
            inline.append(child.tail or "")
        self._flush(inline)

    def _flush(self, inline: list[str]) -> None:
        text = squeeze("".join(inline))
        inline.clear()
        if not is_signpost_text(text):
            self._add("prose", text)

    def _read_block(self, element: HtmlElement, depth: int) -> None:
        tag = element.tag
        classes = element.get("class", "").lower()

        if tag == "h1" and not element.text_content().strip() and next(element.iter("img"), None) is not None:
            self.has_logo = True
        elif tag in HEADINGS:
            self._objects = ()
            is_first = self.headings.title is None
            whole = self.headings.enter(
                int(tag[1]), squeeze(inline_text(element)).replace("`", "").rstrip("¶#").strip()
            )
            self._add("prose", whole)
            if is_first and tag == "h1":
                self.main_heading = self.headings.title or ""
        elif tag == "pre":
            self._add_code(element)
        elif tag == "table" and not _is_layout(element):
            self._add("prose", " ".join(squeeze(inline_text(caption)) for caption in element.iterchildren("caption")))
            self._add("table", pipe_table(_read_rows(element)))
        elif tag in ("ul", "ol") and not any(
            child.tag in ("pre", "table", "h1", "h2", "h3", "h4", "dl") for child in element.iter()
        ):
            self._add("list", "\n".join(_list_lines(element)))
        elif tag == "dl":
            self._read_definitions(element, depth)
        elif "admonition-title" in classes:
            self._label = squeeze(inline_text(element)).rstrip(":") + ": "
        else:
            self.read(element, depth)

    def _read_definitions(self, element: HtmlElement, depth: int) -> None:
        """A list of terms: each term stands over its definition like a heading.

        So a search finds an option with its description.
        """
        outer, terms = self._objects, list[str]()
        bare: list[str] = []  # terms that nothing defines
        heading = ""
        for child in element.iter("dt", "dd"):
            if child.getparent() is not element and child.getparent().getparent() is not element:  # of an inner list
                continue
            if child.tag == "dt":
                terms.append(squeeze(inline_text(child)).replace("`", "").rstrip("¶#").strip())
                continue
            if not child.text_content().strip() and next(child.iter("img"), None) is None:
                bare += terms
                terms = []
                continue
            self._objects = outer
            self._add_terms(bare)
            heading, whole = name_definition(terms) if terms else (heading, "")  # of several definitions
            self._objects = (*outer, heading) if heading else outer
            bare, terms = [], []
            self._add("prose", whole)
            self.read(child, depth)
        self._objects = outer
        self._add_terms([*bare, *terms])

    def _add_terms(self, terms: list[str]) -> None:
        """Terms without a definition, which are still worth finding."""
        if any(terms):
            self._add("prose", "\n".join(f"`{term}`" for term in terms if term))

    def _add(self, kind: BlockKind, text: str) -> None:
        if not text.strip():
            return
        if self._label and kind == "prose":
            text, self._label = self._label + text, ""
        self.blocks.append(Block(kind, text, self.headings.path + self._objects))

    def _add_code(self, element: HtmlElement) -> None:
        names = " ".join(
            f"{item.get('class', '')} {item.get('data-syntaxhighlighter-params', '')}"
            for item in (element, *element.iterchildren("code"), *list(element.iterancestors())[:2])
        )
        language = _LANGUAGE.search(names)
        lines = "".join(element.itertext()).expandtabs(8).strip("\n").splitlines()
        name = language[1] if language and language[1] not in ("default", "none", "text", "notranslate") else ""
        if any(line.strip() for line in lines):
            self._add("code", fence_code([line.rstrip() for line in lines], name))


def _is_of_blocks(element: HtmlElement) -> bool:
    """Whether an element is a block or contains one (a link around a heading, a span around a table)."""
    return isinstance(element.tag, str) and (element.tag in BLOCK_TAGS or holds_blocks(element))


def inline_text(element: HtmlElement) -> str:
    """An element's text: code in backticks, pictures as their description, blanks between lines and parts.

    Raised and lowered letters have marks (`rag.raised`).
    """
    parts: list[str] = []
    code_depth = 0
    raised: list[int] = []  # where the letters begin that are raised or lowered
    for event, item in _events(element):
        if event == "start":
            if item.tag in _CODE_TAGS:
                code_depth += 1
                parts.append("`" if code_depth == 1 else "")
            parts.append(item.get("alt", "") if item.tag == "img" else "\n" if item.tag in _PARTED else "")
            parts.append("~~" if item.tag in _STRUCK_TAGS else " (" if item.tag == "rt" else "")
            if item.tag in _RAISED_TAGS:
                raised.append(len(parts))
            parts.append(item.text or "" if isinstance(item.tag, str) else "")
        else:
            if item.tag in _RAISED_TAGS:
                start = raised.pop()
                parts[start:] = [mark_raised("".join(parts[start:]), _place_of(item))]
            if item.tag in _CODE_TAGS:
                parts.append("`" if code_depth == 1 else "")
                code_depth -= 1
            parts.append("~~" if item.tag in _STRUCK_TAGS else ")" if item.tag == "rt" else "")
            parts.append("\n" if item.tag in BLOCK_TAGS else "")
            parts.append("" if item is element else item.tail or "")
    return "".join(parts).replace("``", "").replace("~~~~", "")


def _place_of(element: HtmlElement) -> Place:
    """Where letters stand: a link that is raised is a footnote's mark."""
    place = _RAISED_TAGS[element.tag]
    is_link = next(element.iter("a"), None) is not None or element.getparent().tag == "a"
    return "footnote" if place == "raised" and is_link else place


def _events(element: HtmlElement) -> list[tuple[str, HtmlElement]]:
    from lxml import etree

    return list(etree.iterwalk(element, events=("start", "end")))


def _is_layout(table: HtmlElement) -> bool:
    """Whether a table only places things: it holds a table, headings or code lines, or has one row and one cell."""
    if next(table.iterdescendants("table", "pre", "h1", "h2", "h3"), None) is not None:
        return True
    return len(list(table.iterdescendants("td", "th"))) < 2


def _read_rows(table: HtmlElement) -> list[list[str]]:
    """The cells' text by rows.

    A cell that spans rows stands in each of them. One that spans columns fills the first, or in a head all of them; a
    head of several rows becomes one.
    """
    rows: list[list[str]] = []
    heads = 0
    goes_on = True  # a head without <thead>: below its first row, where a cell of it spans others
    above: dict[int, tuple[int, str]] = {}  # by column: the cells that go on into this row, and for how many rows more
    for row in table.iter("tr"):
        in_head = row.getparent().tag == "thead" or (goes_on and row.find("td") is None)
        cells: list[str] = []
        below = {column: (more - 1, text) for column, (more, text) in above.items() if more > 1}
        for cell in row.iterchildren("td", "th"):
            _go_on(cells, above)
            text = squeeze(inline_text(cell))
            width, height = (_read_span(cell, name) for name in ("colspan", "rowspan"))
            for shown in (text, *[text if in_head else ""] * (width - 1)):
                if height > 1:
                    below[len(cells)] = height - 1, shown if len(shown) <= _LONGEST_REPEATED else ""
                cells.append(shown)
        _go_on(cells, above)
        above = below
        if any(cells):
            rows.append(cells)
            heads += in_head
            goes_on = in_head and any(cell.get("colspan") or cell.get("rowspan") for cell in row)
    return [join_heads(rows[:heads]), *rows[heads:]] if heads > 1 else rows


def _read_span(cell: HtmlElement, name: str) -> int:
    """How many columns or rows a cell spans, at most 100."""
    span = cell.get(name, "1")
    return min(max(int(span), 1), 100) if span.isdecimal() and len(span) < 5 else 1


def _go_on(cells: list[str], above: dict[int, tuple[int, str]]) -> None:
    """Append the cells of the rows above that go on at this place."""
    while len(cells) in above:
        cells.append(above[len(cells)][1])


def _list_depth(item: HtmlElement, outermost: HtmlElement) -> int:
    """How many lists an item is in, up to `outermost`; at most 8 are shown."""
    depth = 0
    for above in item.iterancestors("ul", "ol"):
        depth += 1
        if above is outermost or depth == 8:
            break
    return depth


def _first_number(parent: HtmlElement) -> int:
    start = parent.get("start", "1") if parent is not None else "1"
    return int(start) if start.isdecimal() and len(start) < 7 else 1


def _list_lines(element: HtmlElement) -> list[str]:
    """A list's items as Markdown lines, inner lists indented. `element` contains no code and no table."""
    lines: list[str] = []
    counts: dict[HtmlElement, int] = {}  # the number of the last item

    for item in element.iter("li"):
        parent = item.getparent()
        depth = _list_depth(item, element)
        counts[parent] = counts.get(parent, _first_number(parent) - 1) + 1
        mark = f"{counts[parent]}." if parent is not None and parent.tag == "ol" else "-"

        own = [item.text or ""]
        for child in item:
            own.append(
                ""
                if child.tag in ("ul", "ol")
                else f" {inline_text(child)} "
                if child.tag in BLOCK_TAGS
                else inline_text(child)
            )
            own.append(child.tail or "")

        if text := squeeze("".join(own)):
            lines.append(f"{'  ' * (depth - 1)}{mark} {text}")
    return lines
