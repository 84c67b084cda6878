"""PDF to blocks with heading paths and page numbers: text in reading order, tables, code, headings by their font size.

pdfplumber (on pdfminer.six) reads; `rag.paged` orders. Lines that repeat at the top or bottom of pages are left out.
It reads no pictures or formulas: it names the pages that are pictures, and refuses a file of nothing else, with the
advice to run text recognition first.

    parse_pdf(Path("manual.pdf").read_bytes()).blocks[0].page == 1
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

from rag.blocks import (
    MAX_HEADING_CHARACTERS,
    Block,
    BlockKind,
    HeadingStack,
    Parsed,
    add_block,
    dedent_lines,
    fence_code,
    pipe_table,
)
from rag.errors import ParseFailed
from rag.paged.layout import Line, find_aligned_tables, join_words, order_lines
from rag.paged.ocr import recognize_pages
from rag.paged.streams import StreamTooLarge, bound_streams

if TYPE_CHECKING:
    from pdfplumber.page import Page

MAX_PAGES = 10_000
MAX_RULES = 2000  # lines and boxes on a page; more is a drawing, in which the search for tables takes minutes
MAX_CHARACTERS = 60_000  # on a page; the densest table of a data sheet has 15,000
MARGIN = 0.1  # of the page's height at its top and bottom: the place of running heads
HEADING_RATIO = 1.08  # a heading is at least this much larger than the text
_BULLET = re.compile(r"^(?:[•▪◦‣●○■□–]|[-*](?= ))\s*|^\(?(?:\d{1,2}|[a-z])[.)]\s+")
_NUMBERED = re.compile(r"^(?:(?:Chapter|Section|Appendix)\s+)?(?:\d{1,3}|[A-Z])(?:\.\d{1,3})*\.?\s+\S")
_UNKNOWN_GLYPH = re.compile(r"\(cid:\d+\)")  # pdfminer writes it for a glyph that its font does not explain
_BULLET_GLYPH = "(cid:127)"  # the bullet of Windows' encoding, which pdfminer does not know
_LEADER = re.compile(r"(?:\. ?){5,}")  # the dots of a table of contents
_NUMBER = re.compile(r"\d+|\b[ivxl]+\b")
_LONGEST_WORD = 60
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_EDGE_NUMBER = re.compile(r"^(\d{1,5})\b|\b(\d{1,5})$")
# Lists and dictionaries that open in each other; pdfminer keeps a few hundred bytes for each
_DEEP = re.compile(rb"(?>(?:\[|<<\s*/\w{0,50})\s*){200}")
_USELESS_TITLE = re.compile(r"^(?:untitled|microsoft word - .*|.*\.(?:docx?|indd|tex|dvi|fm|pdf)|\W*)$", re.IGNORECASE)


_CONTENTS = re.compile(r"(?:table of )?contents|inhalt(?:sverzeichnis)?|table des matières|目次|目录", re.IGNORECASE)
# A measure in large letters ("10 mm²") is not a heading.
_MEASURE = re.compile(
    r"[<>≤≥~±]?\s*\d[\d.,]*\s*(?:[×x]\s*\d[\d.,]*\s*)?"
    r"(?:[munpfkMGT]?(?:m|A|V|W|Hz|s|F|Ω|ohms?|B|b|bits?|bytes?|J|H)[²³]?|[muµn]m[²³]?|µ[mAVWsF]|dB[mc]?|°C|K|%|ppm|sq)"
)
FRAME = 0.6  # of a page's area: what is as large and has few rows, or most of its text in one cell, is not a table
FEW_ROWS = 3
LEAST_PICTURE = 0.3  # of a page's area; a smaller picture stands beside text
MANY_CURVES = 200  # on a page: letters drawn as curves, or a drawing
LEAST_LETTERS = 60  # on a page with a large picture, of which less text is only its caption or its head


@dataclass(frozen=True, slots=True)
class _PageText:
    """A page's lines; `pictured`: the share of its area that its pictures cover."""

    number: int
    height: float
    lines: list[Line]
    pictured: float = 0.0


def parse_pdf(content: bytes, ocr: str = "") -> Parsed:
    """Title, blocks with their pages, and a note of the pages that could not be read.

    ocr: languages in which the text of pages that are pictures is recognized; "": it is not.

    Raises ParseFailed: the message is the reason.
    """
    pages, damaged, title = _read_pages(content)
    if not any(page.lines for page in pages) and not (ocr and pages):
        if damaged or not pages:
            raise ParseFailed(f"damaged: none of its {len(damaged)} pages can be read{_say_why(damaged)}")
        raise ParseFailed(
            f"scanned or drawn: its {len(pages)} pages hold no text; run text recognition (OCR) on it first"
        )
    pages = _drop_running_lines(pages)
    pictures = [page.number for page in pages if _is_picture(page)]
    recognized = recognize_pages(content, pictures, ocr) if ocr and pictures else {}
    pictures = [number for number in pictures if not recognized.get(number)]
    if len(pictures) == len(pages):
        raise ParseFailed(
            f"scanned or drawn: its {len(pages)} pages are pictures; run text recognition (OCR) on it first"
        )
    body_size = _body_size(pages)
    assembler = _Assembler(_heading_sizes(pages, body_size), body_size, _vocabulary(pages))
    for page in pages:
        assembler.read(page)
    assembler.flush()
    found = assembler.headings.title or ""
    notes = [f"{_name_pages([*damaged])} cannot be read{_say_why(damaged)}"] if damaged else []
    notes += [f"of {_name_pages(pictures)} the pictures are not read: run text recognition (OCR)"] if pictures else []
    blocks = [*assembler.blocks, *_write_recognized(recognized)]
    blocks.sort(key=lambda block: block.page or 0)
    return Parsed(found if found or not title else title, tuple(blocks), "; ".join(notes))


def _write_recognized(recognized: dict[int, list[str]]) -> Iterator[Block]:
    """The paragraphs of pages that are pictures, under a heading that says so: letters may be wrong."""
    for number, paragraphs in recognized.items():
        for text in paragraphs:
            yield Block("prose", text, (f"Page {number}, read by OCR",), number)


def _is_picture(page: _PageText) -> bool:
    """Whether a page is a picture with at most a caption, or a head that all pages have."""
    letters = sum(len(line.text) + sum(map(len, (cell for row in line.rows for cell in row))) for line in page.lines)
    return page.pictured >= LEAST_PICTURE and letters < LEAST_LETTERS


def _name_pages(numbers: list[int]) -> str:
    """Page numbers as ranges: "pages 1, 4-32"; of many ranges the first."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in ranges[:20]]
    more = f" and more, {len(numbers)} in all" if len(ranges) > 20 else ""
    return f"page{'s' if len(numbers) > 1 else ''} {', '.join(shown)}{more}"


def _vocabulary(pages: list[_PageText]) -> frozenset[str]:
    """All words of the document in lower case, also those with hyphens inside."""
    texts = (line.text for page in pages for line in page.lines)
    return frozenset(word.lower() for text in texts for word in _WORD.findall(text))


def _say_why(damaged: dict[int, str]) -> str:
    """The limits that pages met, in brackets; "" for none."""
    reasons = sorted({reason for reason in damaged.values() if reason})
    return f" ({'; '.join(reasons)})" if reasons else ""


def _read_pages(content: bytes) -> tuple[list[_PageText], dict[int, str], str]:
    """The pages' lines, the pages that cannot be read with the limit that each met, and the title in the metadata."""
    import pdfplumber
    from pdfminer.pdfdocument import PDFEncryptionError, PDFPasswordIncorrect
    from pdfplumber.utils.exceptions import PdfminerException

    bound_streams()
    if b"%PDF-" not in content[:1024]:
        raise ParseFailed("no PDF: it does not begin as one")
    if _DEEP.search(content):
        raise ParseFailed("damaged: lists in it stand more than 200 deep")
    try:
        pdf = pdfplumber.open(BytesIO(content))
        count = len(pdf.pages)
    except (PDFPasswordIncorrect, PDFEncryptionError, PdfminerException) as error:
        cause = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
        if isinstance(cause, PDFPasswordIncorrect):
            raise ParseFailed("encrypted: save it without a password") from error
        raise ParseFailed(f"damaged, or encrypted in an unknown way ({type(cause).__name__})") from error
    if count > MAX_PAGES:
        raise ParseFailed(f"it has {count} pages, more than {MAX_PAGES}: split it")
    pages: list[_PageText] = []
    damaged: dict[int, str] = {}
    with pdf:
        for number, page in enumerate(pdf.pages, start=1):
            try:
                pages.append(_PageText(number, float(page.height), _read_lines(page), _pictured(page)))
            except MemoryError:
                raise
            except StreamTooLarge as error:
                damaged[number] = f"unpacked it has {error}"
            except Exception:  # pdfminer fails in many ways on a damaged page; the others are worth reading
                damaged[number] = ""
            finally:
                page.close()
        title = pdf.metadata.get("Title") if isinstance(pdf.metadata, dict) else ""
    text = " ".join(title.replace("\0", "").split()) if isinstance(title, str) else ""
    return pages, damaged, "" if _USELESS_TITLE.match(text) else text[:MAX_HEADING_CHARACTERS]


def _read_lines(page: Page) -> list[Line]:
    """The lines and tables of a page in reading order.

    Turned text (watermarks, axes) and whatever lies outside the page are left out.
    """
    from rag.paged.letters import load_letters

    load_letters(page, MAX_CHARACTERS)
    level = page.filter(_is_level) if any(not _is_level(char) for char in page.chars) else page
    words = level.extract_words(extra_attrs=["size", "fontname"], x_tolerance_ratio=0.15)
    words = [{**word, "text": _UNKNOWN_GLYPH.sub("", word["text"].replace(_BULLET_GLYPH, "•"))} for word in words]
    words = [
        word for word in words if word["text"] and 0 <= word["x0"] <= page.width and -1 <= word["top"] <= page.height
    ]
    tables = _ruled_tables(page)
    outside = [word for word in words if not any(_is_inside(word, table) for table in tables)]
    return find_aligned_tables(order_lines([*join_words(outside), *tables]))


def _pictured(page: Page) -> float:
    """The share of a page that its pictures cover, at most 1; pictures over each other count twice.

    Letters drawn as curves are a picture of the whole page.
    """
    if len(page.curves) >= MANY_CURVES:
        return 1.0
    area = sum(
        max(min(image["x1"], page.width) - max(image["x0"], 0), 0)
        * max(min(image["bottom"], page.height) - max(image["top"], 0), 0)
        for image in page.images
    )
    return min(float(area / (page.width * page.height)), 1.0) if page.width and page.height else 0.0


def _is_level(item: dict[str, Any]) -> bool:
    """Whether an object on the page is not a letter of turned text."""
    matrix = item.get("matrix")
    return item["object_type"] != "char" or matrix is None or (matrix[0] > 0 and abs(matrix[1]) < 0.1 * matrix[0])


def _ruled_tables(page: Page) -> list[Line]:
    """Tables drawn with lines, of at least two rows and columns, mostly filled."""
    if not 3 <= len(page.rects) + len(page.lines) + len(page.curves) <= MAX_RULES:
        return []
    found = []
    for table in page.find_tables():
        rows = [tuple(_join_cell(cell or "") for cell in row) for row in table.extract(x_tolerance_ratio=0.15)]
        rows = [row for row in rows if any(row)]
        cells = [cell for row in rows for cell in row]
        if len(rows) < 2 or len(rows[0]) < 2 or 3 * sum(1 for cell in cells if cell) < len(cells):
            continue
        x0, top, x1, bottom = table.bbox
        is_large = (x1 - x0) * (bottom - top) > FRAME * page.width * page.height
        if is_large and (len(rows) <= FEW_ROWS or 2 * max(map(len, cells)) > sum(map(len, cells))):
            continue  # boxes around a page's head, text and foot, as slides have them
        found.append(Line("", x0, x1, top, bottom, size=10.0, rows=tuple(rows)))
    return found


def _join_cell(text: str) -> str:
    """A cell's lines as one; a word hyphenated at the end of a line is joined."""
    return " ".join(re.sub(r"(?<=[a-z]{2})[-\u2010\u00ad]\n(?=[a-z]{2})", "", text).split())


def _is_inside(word: dict[str, float], table: Line) -> bool:
    x, y = (word["x0"] + word["x1"]) / 2, (word["top"] + word["bottom"]) / 2
    return table.x0 <= x <= table.x1 and table.top <= y <= table.bottom


def _drop_running_lines(pages: list[_PageText]) -> list[_PageText]:
    """The pages without tables of contents and without running heads and feet.

    A running line stands in the margin and has the page's number at an end, or, numbers aside, stands on a third of the
    pages.
    """

    def is_marginal(page: _PageText, line: Line) -> bool:
        """Whether a line stands where heads and feet stand."""
        return not line.rows and (line.bottom < MARGIN * page.height or line.top > (1 - MARGIN) * page.height)

    margins = [(page.number, line.text) for page in pages for line in page.lines if is_marginal(page, line)]
    counts = Counter(_NUMBER.sub("#", text) for _, text in set(margins))
    offsets = Counter(offset for number, text in margins for offset in _offsets(number, text))
    least = max(3, len(pages) / 3)
    printed = {offset for offset, count in offsets.items() if count >= least}

    def keep(page: _PageText, line: Line) -> bool:
        """Whether a line belongs to the text."""
        if _LEADER.search(line.text):
            return False
        if not is_marginal(page, line):
            return True
        repeated = counts[_NUMBER.sub("#", line.text)] >= least or _NUMBER.sub("", line.text).strip(" -–|.") in (
            "",
            "Page",
        )
        return not repeated and printed.isdisjoint(_offsets(page.number, line.text))

    return [replace(page, lines=[line for line in page.lines if keep(page, line)]) for page in pages]


def _offsets(number: int, text: str) -> set[int]:
    """How far the numbers at both ends of a line are from the page's number.

    Printed page numbers have the same offset on all pages.
    """
    return {int(first or last) - number for first, last in _EDGE_NUMBER.findall(text)}


def _body_size(pages: list[_PageText]) -> float:
    sizes: Counter[float] = Counter()
    for line in _text_lines(pages):
        sizes[line.size] += len(line.text) if not line.is_mono else 0
    return max(sizes, key=lambda size: sizes[size], default=10.0)


def _text_lines(pages: list[_PageText]) -> Iterator[Line]:
    return (line for page in pages for line in page.lines if not line.rows)


def _heading_sizes(pages: list[_PageText], body_size: float) -> dict[float, int]:
    """Font sizes of headings, with their level: the largest is 1.

    A size that a tenth of the text has is not a heading's.
    """
    letters: Counter[float] = Counter()
    for line in _text_lines(pages):
        letters[line.size] += len(line.text)
    total = sum(letters.values())
    sizes = [
        size for size in letters if size >= HEADING_RATIO * body_size and (10 * letters[size] < total or total < 2000)
    ]
    return {size: min(level, 5) for level, size in enumerate(sorted(sizes, reverse=True), start=1)}


class _Assembler:
    """Joins lines to `blocks`: a paragraph ends at a gap, at another kind of line, or where a list item begins."""

    def __init__(self, heading_sizes: dict[float, int], body_size: float, words: frozenset[str] = frozenset()) -> None:
        self.headings = HeadingStack()
        self._words = words
        self.blocks: list[Block] = []
        self._sizes = heading_sizes
        self._body = body_size
        self._page = 1
        self._kind = ""  # of the lines being collected: prose, list, code, heading
        self._lines: list[Line] = []
        self._start_page = 1
        self._last_page = 1

    def read(self, page: _PageText) -> None:
        """Read one page; a paragraph may go on from the one before."""
        self._page = page.number
        for line in page.lines:
            if line.rows:
                self.flush()
                self._start_page = self._page
                self._add("table", pipe_table(line.rows))
                continue
            kind = self._kind_of(line)
            if self._lines and not self._goes_on(line, kind):
                self.flush()
            if not self._lines:
                self._kind, self._start_page = kind, self._page
            self._lines.append(line)
            self._last_page = self._page

    def _kind_of(self, line: Line) -> str:
        if line.is_mono:
            return "code"
        if self._level(line):
            return "heading"
        return "list" if _BULLET.match(line.text) else "prose"

    def _level(self, line: Line) -> int:
        """The level of a heading, 0 for other text.

        A bold numbered line as large as the text is one level below the larger headings.
        """
        is_label = len(re.findall(r"\w", line.text)) < 2  # the letter of a drawing
        if len(line.text) > MAX_HEADING_CHARACTERS or not re.search(r"[^\W\d]", line.text) or line.cells or is_label:
            return 0
        if _MEASURE.fullmatch(line.text.strip()):
            return 0
        if line.size in self._sizes:
            return self._sizes[line.size]
        if (
            line.is_bold
            and line.size >= self._body
            and _NUMBERED.match(line.text)
            and not line.text.endswith((".", ":", ";"))
        ):
            return len(self._sizes) + 1
        return 0

    def _goes_on(self, line: Line, kind: str) -> bool:
        """Whether a line belongs to those before it."""
        last = self._lines[-1]
        gap = line.top - last.bottom
        turned = self._page != self._last_page or gap < -last.size / 2  # to the next page or column
        if kind == "heading" or self._kind == "heading":
            return (
                kind == self._kind
                and line.size == last.size
                and not turned
                and gap < 0.8 * line.size
                and not _NUMBERED.match(line.text)
            )
        if kind == "list" and line.x0 <= self._lines[0].x0 + line.size:
            return False
        same = kind == self._kind or (kind == "prose" and self._kind == "list")
        if kind == "code" and same:
            return turned or gap < 2 * line.size
        if turned:
            return same and not re.search(r"[.:!?]$", last.text)
        return same and gap < 0.75 * max(line.size, last.size) and abs(line.size - last.size) < 1.5

    def flush(self) -> None:
        """End the block being collected."""
        lines, self._lines = self._lines, []
        if not lines:
            return
        if self._kind == "heading":
            heading = " ".join(line.text for line in lines)
            # What a table of contents is called closes the section before it, and stands over nothing.
            self.headings.enter(max(self._level(lines[0]), 1), "" if _CONTENTS.fullmatch(heading) else heading)
        elif self._kind == "code":
            self._add("code", fence_code(_indent(lines)))
        elif self._kind == "list":
            self._add(
                "list",
                (
                    "- " + _BULLET.sub("", join_lines(lines, self._words))
                    if not re.match(r"\(?\w", lines[0].text)
                    else join_lines(lines, self._words)
                ),
            )
        else:
            self._add("prose", join_lines(lines, self._words))

    def _add(self, kind: BlockKind, text: str) -> None:
        if text.strip():
            add_block(self.blocks, Block(kind, text, self._path(), self._start_page))

    def _path(self) -> tuple[str, ...]:
        """The headings, or the page where the file has no headings."""
        return self.headings.path if self._sizes else (f"Page {self._start_page}",)


def join_lines(lines: list[Line], words: frozenset[str] = frozenset()) -> str:
    """The lines of a paragraph as one; a word hyphenated at the end of a line is joined.

    The hyphen stays where the document writes the word with it elsewhere ("low-power"), and never without it.
    """
    text = lines[0].text
    for line in lines[1:]:
        left = re.search(r"([^\W\d_]*[a-zà-ÿ]{2})[-\u2010\u00ad]$", text[-_LONGEST_WORD:])
        right = re.match(r"[a-zà-ÿ]{2,}", line.text)
        if not left or not right:
            text = f"{text} {line.text}"
            continue
        whole, parted = (f"{left[1]}{mark}{right[0]}".lower() for mark in ("", "-"))
        keeps_hyphen = parted in words and whole not in words and not text.endswith("\u00ad")
        text = f"{text[:-1]}{'-' if keeps_hyphen else ''}{line.text}"
    return text.replace("\u00ad", "")


def _indent(lines: list[Line]) -> list[str]:
    """Lines of code with their indentation, measured in the width of their own letters."""
    left = min(line.x0 for line in lines)
    width = max(min((line.x1 - line.x0) / max(len(line.text), 1) for line in lines), 1.0)
    return dedent_lines([" " * min(round((line.x0 - left) / width), 80) + line.text for line in lines])
