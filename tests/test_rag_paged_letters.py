"""rag.paged.letters: each letter as pdfplumber itself finds it, to the last bit."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pdfplumber
import pytest
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from rag.paged.letters import TooManyLetters, load_letters
from tests.golden_files import MADE

KEYS = tuple("text fontname size upright matrix x0 x1 top bottom doctop width height adv".split())


def draw() -> bytes:
    """Letters of all kinds: spaced, raised, squeezed, turned, mirrored, in forms, of two bytes."""
    stream = BytesIO()
    canvas = Canvas(stream, pagesize=A4, cropBox=(10, 20, 500, 800))
    text = canvas.beginText(50, 700)
    text.setFont("Helvetica", 11)
    text.setCharSpace(1.5)
    text.setWordSpace(4)
    text.textLine("Spaced words (in brackets) \\ and µm")
    text.setHorizScale(70)
    text.setRise(5)
    text.textLine("squeezed and raised")
    canvas.drawText(text)
    canvas.saveState()
    canvas.rotate(30)
    canvas.drawString(200, 300, "turned")
    canvas.restoreState()
    canvas.saveState()
    canvas.scale(-1, 1)
    canvas.drawString(-300, 400, "mirrored")
    canvas.restoreState()
    canvas.beginForm("logo")
    canvas.drawString(100, 100, "in a form")
    canvas.endForm()
    canvas.doForm("logo")
    pdfmetrics.registerFont(UnicodeCIDFont("HeiseiMin-W3"))
    canvas.setFont("HeiseiMin-W3", 12)
    canvas.drawString(60, 500, "配線 routing")
    canvas.rect(50, 50, 100, 100)
    canvas.showPage()
    canvas.setPageRotation(90)
    canvas.drawString(70, 70, "a page on its side")
    canvas.showPage()
    canvas.showPage()
    canvas.save()
    return stream.getvalue()


def letters(page: Any) -> list[dict[str, Any]]:
    return [{key: letter[key] for key in KEYS} for letter in page.chars]


@pytest.mark.parametrize("content", [draw(), MADE["sheet.pdf"]()], ids=["kinds", "sheet"])
def test_each_letter_is_that_of_pdfplumber(content: bytes) -> None:
    with pdfplumber.open(BytesIO(content)) as expected, pdfplumber.open(BytesIO(content)) as found:
        assert sum(len(page.chars) for page in expected.pages) > 90
        for ours, theirs in zip(found.pages, expected.pages, strict=True):
            load_letters(ours, most=10_000)
            assert letters(ours) == letters(theirs)
            assert len(ours.rects) == len(theirs.rects)
            assert ours.extract_words(extra_attrs=["size"]) == theirs.extract_words(extra_attrs=["size"])


def test_letters_of_a_vertical_font_are_left_to_pdfminer() -> None:
    content = draw().replace(b"/UniJIS-UCS2-H", b"/UniJIS-UCS2-V")
    assert b"UCS2-V" in content
    with pdfplumber.open(BytesIO(content)) as expected, pdfplumber.open(BytesIO(content)) as found:
        load_letters(found.pages[0], most=10_000)
        assert sorted(map(str, letters(found.pages[0]))) == sorted(map(str, letters(expected.pages[0])))


def test_a_page_of_too_many_letters_is_given_up() -> None:
    with pdfplumber.open(BytesIO(draw())) as found, pytest.raises(TooManyLetters, match="more than 5 letters"):
        load_letters(found.pages[0], most=5)
