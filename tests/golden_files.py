"""Where the golden documents lie, and those among them that are made here, since nobody can read their bytes.

content = MADE["sheet.pdf"]()
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from datetime import date, datetime
from io import BytesIO
from pathlib import Path

import docx
from docx.document import Document as WordDocument
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from docx.table import Table
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
        [
            (60, 430, "2. Use", 16, ""),
            (60, 405, "Three steps start it:", 10, ""),
            (60, 390, "•  Raise EN.", 10, ""),
            (60, 376, "•  Wait for PG, which takes some milli-", 10, ""),
            (70, 364, "seconds.", 10, ""),
            (60, 350, "•  Load VOUT.", 10, ""),
            (60, 325, "set_voltage -pin VOUT 1.2", 9, "mono"),
            (60, 313, "  report_voltage", 9, "mono"),
            (60, 290, "Its registers, without rules:", 10, ""),
            *(
                (x, y, text, 10, "")
                for y, row in (
                    (270, "Name Address Reset"),
                    (256, "CTRL 0x00 0x01"),
                    (242, "STAT 0x04 0x00"),
                    (228, "TRIM 0x08 0x7F"),
                )
                for x, text in zip((60, 160, 260), row.split(), strict=True)
            ),
            (60, 195, "This paragraph goes on over the page and", 10, ""),
        ],
        [
            (60, 430, "ends here.", 10, ""),
            (60, 405, "2.1. Noise", 12, "-Bold"),
            (60, 385, "Below 5 µV at 25 °C; see section 1.6.", 10, ""),
        ],
    ]
    for number, texts in enumerate(pages, start=1):
        for x, y, text, size, style in ((60, 480, "HP7 data sheet", 8, ""), (330, 20, str(number), 8, ""), *texts):
            canvas.setFont("Courier" if style == "mono" else f"Helvetica{style}", size)
            canvas.drawString(x, y, text)
        if number == 3:
            canvas.grid([60, 160, 260], [250, 270, 290])
        if not texts:
            canvas.drawImage(ImageReader(Image.new("RGB", (8, 8), "grey")), 40, 60, 320, 380)
        canvas.showPage()
    canvas.save()
    return stream.getvalue()


def word() -> bytes:
    """A specification with headings, lists, tables, code, a link, a footer, a box, and a text that was deleted."""
    document = docx.Document()
    document.core_properties.title = "never shown: the title stands in the text"
    document.add_heading("Clock specification", 0)
    document.add_heading("Limits", 1)
    document.add_paragraph("The clock has these limits:")
    document.add_paragraph("period 10 ns", style="List Bullet")
    document.add_paragraph("jitter 50 ps", style="List Bullet")
    document.add_paragraph("of any ten periods", style="List Bullet 2")
    _add_rows(document, (("corner", "skew"), ("ss", "0.045"), ("ff", "0.030")))
    document.add_heading("Sources", 2)
    document.add_paragraph("Choose one of the sources:")
    document.add_paragraph("crystal", style="List Number")
    document.add_paragraph("PLL, see below", style="List Number")
    split = document.add_paragraph("A word in ")
    split.add_run("bo").bold = True
    split.add_run("ld").italic = True
    split.add_run(" letters\tand a tab; 5\u00a0µm.")
    deleted = parse_xml(f'<w:del {nsdecls("w")} w:id="1"><w:r><w:delText>never shown</w:delText></w:r></w:del>')
    split._p.append(deleted)
    inserted = parse_xml(f'<w:ins {nsdecls("w")} w:id="2"><w:r><w:t> Inserted.</w:t></w:r></w:ins>')
    split._p.append(inserted)
    code = document.add_paragraph()
    code.add_run("create_clock -period 10").font.name = "Courier New"
    second = document.add_paragraph()
    second.add_run("  set_clock_uncertainty 0.05").font.name = "Courier New"
    box = document.add_table(rows=1, cols=1)
    box.cell(0, 0).text = "Never gate this clock."
    document.add_heading("Registers", 1)
    document.add_paragraph("Table 1: Registers of the PLL", style="Caption")
    table = _add_rows(
        document, (("name", "address", "reset"), ("DIV", "0x10", "4"), ("LOCK", "0x14", "|"), ("", "", ""))
    )
    table.cell(3, 0).merge(table.cell(3, 2)).text = "all others are reserved"
    document.add_paragraph("")
    document.sections[0].footer.paragraphs[0].text = "never shown: a footer"
    document.add_page_break()
    document.add_heading("Last section", 3)
    document.add_paragraph("It ends here.", style="Intense Quote")
    stream = BytesIO()
    document.save(stream)
    return stream.getvalue()


def _add_rows(document: WordDocument, rows: Sequence[Sequence[str]]) -> Table:
    table = document.add_table(rows=0, cols=len(rows[0]))
    for row in rows:
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    return table


def excel() -> bytes:
    """A workbook with tables, captions, dates, formulas, merged cells, an empty and a hidden sheet."""
    book = Workbook()
    sheet = book.active
    sheet.title = "Pins"
    for row in (["Pads of the ring"], ["pin", "layer", "width"], ["VDD", "met5", 1.6], ["VSS", "met5", 2.0], []):
        sheet.append(row)
    for row in (["corner", "count"], ["ss", 3]):
        sheet.append(row)
    book.create_sheet("Empty")
    other = book.create_sheet("Owners")
    other.append(["block", "owner", "since", "done"])
    other.append(["dma", "A. Bee", date(2026, 3, 7), True])
    other.append(["pll", "B. Cee | D. Dee", datetime(2026, 3, 7, 14, 30), False])
    other.append(["pads", "line one\nline two", None, "=1+1"])
    other.append([])
    other.append(["All owners are asked before a mask is changed."])
    merged = book.create_sheet("Signs & units")
    merged.append(["limit", None, "unit"])
    merged.merge_cells("A1:B1")
    merged.append([0.1, 1e-12, "µm"])
    merged.append([1234567, 0.30000000000000004, "°C"])
    merged.append([None, None, None, "far right"])
    hidden = book.create_sheet("Hidden")
    hidden.append(["never", "shown"])
    hidden.sheet_state = "hidden"
    stream = BytesIO()
    book.save(stream)
    return stream.getvalue()


def open_document() -> bytes:
    """A text with headings, lists, tables, code, a footnote, a section, a comment and a deleted text."""
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        archive.writestr("content.xml", ODT_CONTENT)
    return stream.getvalue()


_URNS = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for name in ("office", "text", "table", "style", "drawing")
)
ODT_CONTENT = f"""<?xml version="1.0" encoding="UTF-8"?>
<office:document-content {_URNS}><office:automatic-styles>
<style:style style:name="P1" style:family="paragraph" style:parent-style-name="Preformatted_20_Text"/>
<style:style style:name="P2" style:family="paragraph" style:parent-style-name="Title"/>
</office:automatic-styles><office:body><office:text>
<text:tracked-changes><text:p>never shown</text:p></text:tracked-changes>
<text:p text:style-name="P2">Reset <text:span>plan</text:span></text:p>
<text:table-of-content><text:index-body><text:p>Domains 1</text:p></text:index-body></text:table-of-content>
<text:h text:outline-level="1">Domains</text:h>
<text:p>Each domain has a reset<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>Active
low.</text:p></text:note-body></text:note> of its own<office:annotation><text:p>never shown</text:p>
</office:annotation>; core<text:s text:c="2"/>and<text:tab/>pads.</text:p>
<text:list><text:list-item><text:p>core, after the PLL</text:p><text:list><text:list-item><text:p>CPU</text:p>
</text:list-item></text:list></text:list-item><text:list-item><text:p>pads</text:p></text:list-item></text:list>
<text:p text:style-name="P1">assign rst = por_n &amp;</text:p>
<text:p text:style-name="P1"><text:s text:c="2"/>locked;</text:p>
<text:section><text:h text:outline-level="2">Order</text:h><text:p>First line<text:line-break/>second line</text:p>
</text:section>
<table:table table:name="Delays"><table:table-header-rows><table:table-row><table:table-cell><text:p>domain</text:p>
</table:table-cell><table:table-cell><text:p>clocks</text:p></table:table-cell></table:table-row></table:table-header-rows>
<table:table-row><table:table-cell><text:p>core</text:p></table:table-cell><table:table-cell><text:p>16</text:p>
<text:p>at least</text:p></table:table-cell></table:table-row><table:table-row>
<table:table-cell table:number-columns-spanned="2"><text:p>all others: none</text:p></table:table-cell>
<table:covered-table-cell/></table:table-row></table:table>
<text:h text:outline-level="1">Checks</text:h>
<text:p>Release a reset on the falling edge, never with <text:a>the clock</text:a>; 5 µs are enough.</text:p>
</office:text></office:body></office:document-content>
"""


def presentation() -> bytes:
    """Slides out of the order of their files, with points, a table, a code box, notes, a number and a hidden slide."""
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        order = "".join(f'<p:sldId r:id="r{number}"/>' for number in (2, 1, 3))
        archive.writestr(
            "ppt/presentation.xml", f"<p:presentation {_PML}><p:sldIdLst>{order}</p:sldIdLst></p:presentation>"
        )
        archive.writestr(
            "ppt/_rels/presentation.xml.rels", _links({f"r{n}": f"slides/slide{n}.xml" for n in (1, 2, 3)})
        )
        for number, (more, shapes) in enumerate(PPTX_SLIDES, start=1):
            tree = f"<p:cSld><p:spTree>{shapes}</p:spTree></p:cSld>"
            archive.writestr(f"ppt/slides/slide{number}.xml", f"<p:sld {_PML}{more}>{tree}</p:sld>")
        archive.writestr("ppt/slides/_rels/slide1.xml.rels", _links({"r1": "../notesSlides/notesSlide1.xml"}))
        notes = _shape("sldNum", "7") + _shape("body", "Ask the CAD team before a retry.")
        archive.writestr("ppt/notesSlides/notesSlide1.xml", f"<p:notes {_PML}>{notes}</p:notes>")
    return stream.getvalue()


def _links(targets: dict[str, str]) -> str:
    items = "".join(f'<Relationship Id="{name}" Target="{target}"/>' for name, target in targets.items())
    return (
        f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{items}</Relationships>'
    )


def _shape(role: str, *paragraphs: str) -> str:
    """A box on a slide: `role` is that of its placeholder, "" for a box of its own; a blank begins a deeper point."""
    place = f'<p:ph type="{role}"/>' if role not in ("", "points") else '<p:ph idx="1"/>' if role else ""
    texts = "".join(
        f'<a:p><a:pPr lvl="{int(text[0] == " ")}"/>{text if "<a:" in text else f"<a:r><a:t>{text}</a:t></a:r>"}</a:p>'
        for text in paragraphs
    )
    return f"<p:sp><p:nvSpPr><p:nvPr>{place}</p:nvPr></p:nvSpPr><p:txBody>{texts}</p:txBody></p:sp>"


_PML = " ".join(
    f'xmlns:{name}="http://schemas.openxmlformats.org/{schema}"'
    for name, schema in (
        ("p", "presentationml/2006/main"),
        ("a", "drawingml/2006/main"),
        ("r", "officeDocument/2006/relationships"),
    )
)
_POWER = '<a:r><a:t>Leakage: 10</a:t></a:r><a:r><a:rPr baseline="30000"/><a:t>-9</a:t></a:r><a:r><a:t> A</a:t></a:r>'


def _row(*cells: str) -> str:
    inner = "".join(f"<a:tc><a:txBody><a:p><a:r><a:t>{cell}</a:t></a:r></a:p></a:txBody></a:tc>" for cell in cells)
    return f"<a:tr>{inner}</a:tr>"


_CELLS = _row("corner", "slack [ps]") + _row("ss", "-162") + _row("ff", "40")
PPTX_SLIDES = (
    (
        "",
        _shape("points", "Setup fails in one corner:", " the divider, see CV-140", "Hold is clean")
        + _shape("title", "Timing")
        + f"<p:graphicFrame><a:graphic><a:tbl>{_CELLS}</a:tbl></a:graphic></p:graphicFrame>"
        + _shape("sldNum", "2"),
    ),
    ("", _shape("ctrTitle", "Closure", "of heron") + _shape("subTitle", "CAD team, week 12") + _shape("", _POWER)),
    (' show="0"', _shape("title", "Hidden") + _shape("points", "never shown")),
)

MADE = {
    "sheet.pdf": pdf,
    "spec.docx": word,
    "pins.xlsx": excel,
    "plan.odt": open_document,
    "review.pptx": presentation,
}
