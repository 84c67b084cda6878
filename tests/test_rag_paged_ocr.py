"""rag.paged.ocr: pages that are pictures are read by a program called tesseract and marked; failures are named."""

from __future__ import annotations

import stat
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from rag.blocks import Block
from rag.errors import ParseFailed
from rag.formats.pdf import parse_pdf

# Stands in for the program: says what it was asked, and how many pictures it got.
TESSERACT = """#!/bin/sh
printf 'Languages %s, picture %s.\\n\\nThe be-\\nhaviour.\\n\\n~\\n' "$4" "$(/usr/bin/head -c 4 | /usr/bin/tail -c 3)"
"""


def scanned(pages: int, text: str = "") -> bytes:
    stream = BytesIO()
    canvas = Canvas(stream, pagesize=(300, 400))
    for number in range(pages):
        if text and not number:
            canvas.drawString(40, 300, text)
        else:
            canvas.drawImage(ImageReader(Image.new("RGB", (8, 8), "grey")), 0, 0, 300, 400)
        canvas.showPage()
    canvas.save()
    return stream.getvalue()


@pytest.fixture
def tesseract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "tesseract"
    program.write_text(TESSERACT)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    return program


def test_pages_that_are_pictures_are_read_and_marked(tesseract: Path) -> None:
    parsed = parse_pdf(scanned(2, "A page of text."), "eng+deu")
    assert parsed.blocks[1:] == (
        Block("prose", "Languages eng+deu, picture PNG.", ("Page 2, read by OCR",), 2),
        Block("prose", "The behaviour.", ("Page 2, read by OCR",), 2),
    )
    assert parsed.note == ""
    assert parse_pdf(scanned(1), "eng").blocks[0].page == 1


def test_without_languages_the_pages_are_named(tesseract: Path) -> None:
    assert "of pages 2-3 the pictures are not read" in parse_pdf(scanned(3, "A page of text.")).note
    with pytest.raises(ParseFailed, match=r"run text recognition \(OCR\)"):
        parse_pdf(scanned(1))


def test_a_program_that_is_missing_or_fails_is_named(tesseract: Path) -> None:
    tesseract.write_text("#!/bin/sh\necho no such language >&2\nexit 1\n")
    with pytest.raises(ParseFailed, match=r"text recognition in the languages 'xyz' fails \(no such language\)"):
        parse_pdf(scanned(1), "xyz")
    tesseract.unlink()
    with pytest.raises(ParseFailed, match="tesseract is not installed: apt install tesseract-ocr"):
        parse_pdf(scanned(1), "eng")
