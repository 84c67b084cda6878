"""Where the golden documents lie, and those among them that are made here, since nobody can read their bytes.

content = MADE["sheet.pdf"]()
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import docx
from openpyxl import Workbook
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

GOLDEN = Path(__file__).parent / "golden"


def pdf() -> bytes:
    """A data sheet: contents, a section number apart, a divided word, a table, and a page that is a picture."""
    stream = BytesIO()
    canvas = Canvas(stream, pagesize=(400, 500), pageCompression=0)
    pages: list[list[tuple[float, float, str, float, str]]] = [
        [(60, 400, "HP7 Regulator", 24, ""), (60, 360, "10 mm²", 16, ""), (60, 330, "The part.", 10, "")],
        [(60, 420, "Contents", 16, ""), (60, 390, "1.6. Limits . . . . . . . . . 3", 10, "")],
        [
            (60, 420, "1.6.", 10, "-Bold"),
            (110, 420, "Limits", 10, "-Bold"),
            (60, 400, "Its thermal be-", 10, ""),
            (60, 388, "haviour is that of a low-", 10, ""),
            (60, 376, "power part, and low-power parts stay cool.", 10, ""),
            *((x, y, text, 10, "") for x, y, text in ((65, 275, "supply"), (165, 275, "max"))),
            *((x, y, text, 10, "") for x, y, text in ((65, 255, "VDD"), (165, 255, "2.0 V"))),
        ],
        [],
    ]
    for number, texts in enumerate(pages, start=1):
        for x, y, text, size, style in ((60, 480, "HP7 data sheet", 8, ""), (330, 20, str(number), 8, ""), *texts):
            canvas.setFont(f"Helvetica{style}", size)
            canvas.drawString(x, y, text)
        if number == 3:
            canvas.grid([60, 160, 260], [250, 270, 290])
        if not texts:
            canvas.drawImage(ImageReader(Image.new("RGB", (8, 8), "grey")), 40, 60, 320, 380)
        canvas.showPage()
    canvas.save()
    return stream.getvalue()


def word() -> bytes:
    """A specification with headings, a list, a table and code."""
    document = docx.Document()
    document.add_heading("Clock specification", 0)
    document.add_heading("Limits", 1)
    document.add_paragraph("The clock has these limits:")
    document.add_paragraph("period 10 ns", style="List Bullet")
    document.add_paragraph("jitter 50 ps", style="List Bullet")
    table = document.add_table(rows=0, cols=2)
    for row in (("corner", "skew"), ("ss", "0.045"), ("ff", "0.030")):
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    stream = BytesIO()
    document.save(stream)
    return stream.getvalue()


def excel() -> bytes:
    """A workbook with two tables on a sheet, and another sheet."""
    book = Workbook()
    sheet = book.active
    sheet.title = "Pins"
    for row in (["Pads of the ring"], ["pin", "layer", "width"], ["VDD", "met5", 1.6], ["VSS", "met5", 2.0], []):
        sheet.append(row)
    for row in (["corner", "count"], ["ss", 3]):
        sheet.append(row)
    book.create_sheet("Empty")
    other = book.create_sheet("Owners")
    other.append(["block", "owner"])
    other.append(["dma", "A. Bee"])
    stream = BytesIO()
    book.save(stream)
    return stream.getvalue()


MADE = {"sheet.pdf": pdf, "spec.docx": word, "pins.xlsx": excel}
