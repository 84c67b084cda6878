"""The letters of a PDF page as pdfplumber gives them, made directly where pdfminer makes an object of each first.

A page of a data sheet has some thousand letters, and nearly all of the time goes into them. Only what `pdf` and the
words and tables of pdfplumber look at is kept. Numbers are calculated in pdfminer's order, so that they are the same.

    load_letters(page, most=60_000)  # before anything is asked of the page
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pdfminer.converter import PDFPageAggregator
from pdfminer.pdffont import PDFUnicodeNotDefined
from pdfminer.pdfinterp import PDFPageInterpreter
from pdfplumber.page import fix_fontname_bytes

if TYPE_CHECKING:
    from pdfminer.pdffont import PDFFont
    from pdfplumber.page import Page


def load_letters(page: Page, most: int) -> None:
    """Read a page, which then has its letters and all its other objects. Of a damaged page pdfminer raises anything.

    Raises TooManyLetters: it has more than `most`.
    """
    device = _Letters(page, most)
    PDFPageInterpreter(page.pdf.rsrcmgr, device).process_page(page.page_obj)
    page._layout = device.get_result()
    page._objects = page.parse_objects()
    if device.letters:
        page._objects["char"] = [*device.letters, *page._objects.get("char", ())]


class TooManyLetters(ValueError):
    """A page has more letters than a page of text has."""


class _Letters(PDFPageAggregator):  # type: ignore[misc]  # pdfminer is not looked into
    """Collects the letters of a page that stand beside each other; those of vertical fonts pdfminer collects itself."""

    def __init__(self, page: Page, most: int) -> None:
        super().__init__(page.pdf.rsrcmgr, pageno=page.page_number, laparams=None)
        self.letters: list[dict[str, Any]] = []
        self._most = most
        self._fonts: dict[int, _Glyphs] = {}
        self._left, self._top = page.mediabox[:2]
        self._height = page.height
        self._pages_top = page.initial_doctop

    def render_string_horizontal(
        self,
        seq: Any,
        matrix: tuple[float, ...],
        pos: tuple[float, float],
        font: PDFFont,
        fontsize: float,
        scaling: float,
        charspace: float,
        wordspace: float,
        rise: float,
        dxscale: float,
        ncs: Any,
        graphicstate: Any,
    ) -> tuple[float, float]:
        """Collect the letters of a string; the place behind it."""
        a, b, c, d, e, f = matrix
        x, y = pos
        glyphs = self._fonts.setdefault(id(font), _Glyphs(font, self))
        low = font.get_descent() * fontsize + rise
        upright = a * d * scaling > 0 and b * c <= 0
        is_level = b == 0 == c  # then all letters of the string have the same heights
        heights = self._heights(d * low + (y * d + f), d * (low + fontsize) + (y * d + f)) if is_level else {}
        is_later = False
        for part in seq:
            if isinstance(part, (int, float)):
                x -= part * dxscale
                is_later = True
            elif isinstance(part, bytes):
                for code in font.decode(part):
                    x += charspace if is_later else 0
                    text, width = glyphs[code]
                    advance = width * fontsize * scaling
                    place = (a, b, c, d, x * a + y * c + e, x * b + y * d + f)
                    if is_level:
                        near, far = place[4], a * advance + place[4]
                        near, far = (near, far) if near <= far else (far, near)
                    else:
                        near, far, heights = self._turn(place, advance, low, low + fontsize)
                    self.letters.append(
                        {
                            "object_type": "char",
                            "matrix": place,
                            "x0": near + self._left,
                            "x1": far + self._left,
                            "width": far - near,
                            **heights,
                            "text": text,
                            "fontname": glyphs.name,
                            "upright": upright,
                            "adv": advance,
                        }
                    )
                    x += advance
                    x += wordspace if code == 32 else 0
                    is_later = True
        if len(self.letters) > self._most:
            raise TooManyLetters(f"more than {self._most} letters on a page")
        return x, y

    def _turn(
        self, matrix: tuple[float, ...], width: float, low: float, high: float
    ) -> tuple[float, float, dict[str, float]]:
        """The left and right end, and the heights, of a letter whose box is turned by its matrix."""
        a, b, c, d, e, f = matrix
        xs = (a * 0 + c * low + e, a * width + c * low + e, a * width + c * high + e, a * 0 + c * high + e)
        ys = (b * 0 + d * low + f, b * width + d * low + f, b * width + d * high + f, b * 0 + d * high + f)
        return min(xs), max(xs), self._heights(min(ys), max(ys))

    def _heights(self, foot: float, head: float) -> dict[str, float]:
        """Where a letter stands whose box has these ends, which may be in any order."""
        y0, y1 = min(foot, head), max(foot, head)
        top = (self._height - y1) + self._top
        return {
            "y0": y0,
            "y1": y1,
            "height": y1 - y0,
            "size": y1 - y0,
            "top": top,
            "bottom": (self._height - y0) + self._top,
            "doctop": self._pages_top + top,
        }


class _Glyphs(dict[int, tuple[str, float]]):
    """The text and the width of each code of a font, found once, and the font's `name`."""

    def __init__(self, font: PDFFont, device: PDFPageAggregator) -> None:
        super().__init__()
        self._font = font
        self._device = device
        self.name = fix_fontname_bytes(font.fontname) if isinstance(font.fontname, bytes) else font.fontname

    def __missing__(self, code: int) -> tuple[str, float]:
        try:
            text = self._font.to_unichr(code)
            assert isinstance(text, str)
        except PDFUnicodeNotDefined:
            text = self._device.handle_undefined_char(self._font, code)
        self[code] = text, self._font.char_width(code)
        return self[code]
