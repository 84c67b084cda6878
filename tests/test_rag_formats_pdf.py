"""rag.formats.pdf and rag.paged.layout: text, tables, headings and pages of PDF files that reportlab writes."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reportlab.lib.pagesizes import A4
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Frame,
    PageTemplate,
    Paragraph,
    Preformatted,
    SimpleDocTemplate,
    Table,
    TableStyle,
)
from reportlab.platypus.flowables import Flowable, PageBreak

from rag.blocks import Parsed
from rag.documents import Document
from rag.errors import ParseFailed
from rag.formats.parser import read_file
from rag.formats.pdf import join_lines, parse_pdf
from rag.index.chunker import chunk_document
from rag.paged.layout import Line, find_aligned_tables, join_words, order_lines

STYLES = getSampleStyleSheet()
SENTENCE = "The global router assigns each net to a list of tiles before the detailed router draws wires on tracks. "


def draw(paint: Callable[[Canvas], None], **options: object) -> bytes:
    """A PDF whose pages `paint` draws."""
    stream = BytesIO()
    canvas = Canvas(stream, pagesize=A4, **options)
    paint(canvas)
    canvas.save()
    return stream.getvalue()


def flow(*parts: Flowable, title: str = "") -> bytes:
    """A PDF of running text."""
    stream = BytesIO()
    SimpleDocTemplate(stream, pagesize=A4, title=title or None).build(list(parts))
    return stream.getvalue()


def paragraph(text: str, style: str = "BodyText") -> Paragraph:
    return Paragraph(text, STYLES[style])


def manual() -> bytes:
    """Two chapters on three pages, with a table and a synopsis."""
    grid = TableStyle([("GRID", (0, 0), (-1, -1), 1, "black")])
    table = Table(
        [["Switch", "Description"], ["-guide_file", "The guides."], ["-verbose", "More messages."]], style=grid
    )
    return flow(
        paragraph("Router Manual", "Title"),
        paragraph(SENTENCE * 5),
        PageBreak(),
        paragraph("1 Global Route", "Heading1"),
        paragraph(SENTENCE * 3),
        Preformatted("global_route\n    [-guide_file file]\n    [-verbose]", STYLES["Code"]),
        table,
        PageBreak(),
        paragraph("2 Detailed Route", "Heading1"),
        paragraph("2.1 Tracks", "Heading2"),
        paragraph("Tracks are made by make_tracks."),
        paragraph(SENTENCE * 3),
    )


def test_headings_text_code_and_table_come_in_order_with_their_pages() -> None:
    parsed = parse_pdf(manual())
    assert parsed.title == "Router Manual"
    assert [(block.kind, block.heading_path, block.page) for block in parsed.blocks] == [
        ("prose", (), 1),
        ("prose", ("1 Global Route",), 2),
        ("code", ("1 Global Route",), 2),
        ("table", ("1 Global Route",), 2),
        ("prose", ("2 Detailed Route", "2.1 Tracks"), 3),
        ("prose", ("2 Detailed Route", "2.1 Tracks"), 3),
    ]
    assert parsed.blocks[0].text == (SENTENCE * 5).strip()
    assert parsed.blocks[2].text == "```\nglobal_route\n    [-guide_file file]\n    [-verbose]\n```"
    assert (
        parsed.blocks[3].text
        == "| Switch | Description |\n| --- | --- |\n| -guide_file | The guides. |\n| -verbose | More messages. |"
    )


def test_a_chunk_knows_the_page_it_begins_on() -> None:
    content = manual()
    parsed = read_file("router.pdf", content)[1]
    document = Document("docs", "router.pdf", parsed.title, None, None, "ISC", blocks=parsed.blocks)
    chunks = chunk_document(document, lambda text: len(text.split()), 80)
    assert [(chunk.page, chunk.text[:16]) for chunk in chunks if "make_tracks" in chunk.text] == [
        (3, "Tracks are made ")
    ]
    assert [chunk.page for chunk in chunks] == sorted(chunk.page or 0 for chunk in chunks)


def test_two_columns_are_read_one_after_the_other_below_their_title() -> None:
    stream = BytesIO()
    frames = [Frame(50, 50, 240, 650, id="left"), Frame(310, 50, 240, 650, id="right")]

    def title(canvas: Canvas, _: BaseDocTemplate) -> None:
        """The heading over both columns."""
        canvas.setFont("Helvetica-Bold", 20)
        canvas.drawString(120, 760, "A Heading Across The Whole Page")

    template = BaseDocTemplate(stream, pagesize=A4)
    template.addPageTemplates([PageTemplate(frames=frames, onPage=title)])
    template.build([paragraph(f"Paragraph {number} begins. {SENTENCE}") for number in range(24)])
    parsed = parse_pdf(stream.getvalue())
    assert parsed.title == "A Heading Across The Whole Page"
    numbers = [int(block.text.split()[1]) for block in parsed.blocks]
    assert numbers == list(range(24))


def test_running_heads_and_page_numbers_are_left_out() -> None:
    def paint(canvas: Canvas) -> None:
        """Five pages with a head and a foot."""
        for number in range(1, 6):
            canvas.drawString(60, 815, f"Router Manual    Chapter {number}")
            canvas.drawString(290, 25, f"Page {number + 10}")
            canvas.drawString(60, 500, f"Sentence of page {number}.")
            canvas.showPage()

    blocks = parse_pdf(draw(paint)).blocks
    assert [block.text for block in blocks] == [f"Sentence of page {number}." for number in range(1, 6)]
    assert [block.page for block in blocks] == [1, 2, 3, 4, 5]


def test_without_headings_the_pages_are_the_path_and_the_own_title_the_title() -> None:
    parsed = parse_pdf(flow(paragraph("First page."), PageBreak(), paragraph("Second page."), title="Data sheet"))
    assert parsed.title == "Data sheet"
    assert [(block.heading_path, block.text) for block in parsed.blocks] == [
        (("Page 1",), "First page."),
        (("Page 2",), "Second page."),
    ]


def test_bullets_are_items_of_one_list_and_divided_words_are_joined() -> None:
    def paint(canvas: Canvas) -> None:
        """A paragraph with a hyphen at a line's end, and three items."""
        for y, text in (
            (700, "The detailed rou-"),
            (688, "ter draws wires."),
            (660, "• first"),
            (648, "• second"),
            (636, "• third"),
        ):
            canvas.setFont("Helvetica", 10)
            canvas.drawString(60, y, text)

    blocks = parse_pdf(draw(paint)).blocks
    assert [(block.kind, block.text) for block in blocks] == [
        ("prose", "The detailed router draws wires."),
        ("list", "- first\n- second\n- third"),
    ]


def test_cells_without_rules_become_a_table_where_they_are_aligned() -> None:
    def paint(canvas: Canvas) -> None:
        """Four rows of three columns, the second row's description in two lines."""
        rows = [
            ("Name", "Unit", "What"),
            ("slew", "ns", "the time a"),
            ("", "", "signal takes"),
            ("cap", "pF", "the load"),
            ("res", "kOhm", "the wire"),
        ]
        for number, row in enumerate(rows):
            for x, text in zip((60, 180, 300), row, strict=True):
                canvas.drawString(x, 700 - 14 * number, text)

    (table,) = parse_pdf(draw(paint)).blocks
    assert table.text.splitlines() == [
        "| Name | Unit | What |",
        "| --- | --- | --- |",
        "| slew | ns | the time a signal takes |",
        "| cap | pF | the load |",
        "| res | kOhm | the wire |",
    ]


def test_a_scan_an_encrypted_file_and_no_pdf_are_named_with_the_reason() -> None:
    with pytest.raises(ParseFailed, match=r"scanned or drawn: its 1 pages hold no text; run text recognition"):
        parse_pdf(draw(lambda canvas: canvas.rect(50, 50, 100, 100)))
    locked = StandardEncryption("secret", ownerPassword="other", canPrint=0)
    with pytest.raises(ParseFailed, match="encrypted: save it without a password"):
        parse_pdf(draw(lambda canvas: canvas.drawString(60, 500, "x"), encrypt=locked))
    with pytest.raises(ParseFailed, match="no PDF"):
        parse_pdf(b"%!PS-Adobe-3.0")


def test_a_file_that_opens_without_a_password_is_read_though_it_may_not_be_printed() -> None:
    open_to_readers = StandardEncryption("", ownerPassword="other", canPrint=0)
    content = draw(lambda canvas: canvas.drawString(60, 500, "Read me."), encrypt=open_to_readers)
    assert [block.text for block in parse_pdf(content).blocks] == ["Read me."]


def test_turned_text_is_left_out() -> None:
    def paint(canvas: Canvas) -> None:
        """A sentence, and a watermark across the page."""
        canvas.drawString(60, 500, "The sentence.")
        canvas.rotate(45)
        canvas.drawString(300, 100, "CONFIDENTIAL")

    assert [block.text for block in parse_pdf(draw(paint)).blocks] == ["The sentence."]


def read_or_refuse(content: bytes) -> Parsed | None:
    """What a damaged file gives: blocks, or an error that the sandbox turns into a reason."""
    try:
        return parse_pdf(content)
    except Exception:
        return None


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_damaged_file_ends_in_blocks_or_an_error(data: st.DataObject) -> None:
    content = bytearray(manual())
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    read_or_refuse(bytes(content[: data.draw(st.integers(0, len(content)))]))


def word(text: str, x0: float, bottom: float, font: str = "Helvetica", size: float = 10.0) -> dict[str, object]:
    return {
        "text": text,
        "x0": x0,
        "x1": x0 + 5 * len(text),
        "top": bottom - size,
        "bottom": bottom,
        "fontname": font,
        "size": size,
    }


def test_words_of_one_line_are_joined_though_their_fonts_sit_differently() -> None:
    (line,) = join_words([word("runs", 90, 100), word("Use", 50, 100), word("route", 68, 100.6, "Courier")])
    assert (line.text, line.is_mono) == ("Use route runs", False)


def test_typewriter_text_keeps_its_blanks() -> None:
    (line,) = join_words([word("-a", 50, 100, "Courier"), word("all", 80, 100, "Courier")])
    assert (line.text, line.is_mono) == ("-a    all", True)


def test_short_cells_are_not_columns() -> None:
    cells = [Line("x" * 4, x, x + 20, 20.0 * row, 20.0 * row + 10, 10.0) for row in range(20) for x in (50.0, 400.0)]
    assert [line.text for line in order_lines(cells)] == ["xxxx  xxxx"] * 20
    assert len(find_aligned_tables(order_lines(cells))[0].rows) == 20


@given(st.lists(st.tuples(st.floats(0, 600), st.floats(0, 800), st.integers(1, 60)), max_size=40))
def test_ordering_loses_no_text(places: list[tuple[float, float, int]]) -> None:
    lines = [
        Line(f"w{number}", x, x + 5.0 * length, top, top + 10, 10.0) for number, (x, top, length) in enumerate(places)
    ]
    found = " ".join(
        " ".join((line.text, *(cell for row in line.rows for cell in row)))
        for line in find_aligned_tables(order_lines(lines))
    )
    assert sorted(found.split()) == sorted(line.text for line in lines)


def test_only_words_divided_by_a_hyphen_are_joined() -> None:
    lines = [Line(text, 0, 1, 0, 1, 10.0) for text in ("set the layer-", "adjustment of M1-", "M5 and -")]
    assert join_lines(lines) == "set the layeradjustment of M1- M5 and -"


def test_lists_that_open_in_each_other_without_end_are_refused() -> None:
    for opening in (b"[", b"[ ", b"<</a ", b"[<</Kids"):
        content = b"%PDF-1.7\n1 0 obj\n" + opening * 300_000 + b"\nendobj\ntrailer<</Root 1 0 R>>\n%%EOF"
        with pytest.raises(ParseFailed, match="lists in it stand more than 200 deep"):
            parse_pdf(content)


def test_raised_and_lowered_letters_stand_behind_their_word() -> None:
    text = "Leakage is below 10<super>-9</super> A at t<sub>setup</sub> of 5 mm<super>2</super>; <b>bold</b>, plain."
    assert parse_pdf(flow(paragraph(text))).blocks[0].text == (
        "Leakage is below 10^-9 A at t_setup of 5 mm^2; bold, plain."
    )


def slides(canvas: Canvas) -> None:
    """Slides of which head, text and foot stand in boxes, as LaTeX draws them."""
    for number, title in enumerate(("Plan it", "Place cells", "Build trees", "Route nets"), start=1):
        for y, height in ((770, 72), (40, 730), (0, 40)):
            canvas.rect(0, y, 595, height)
        canvas.line(200, 0, 200, 40)
        canvas.setFont("Helvetica", 20)
        canvas.drawString(50, 795, title)
        canvas.setFont("Helvetica", 10)
        for line in range(4):
            canvas.drawString(50, 700 - 12 * line, SENTENCE[:60])
        canvas.drawString(50, 15, "A. Author")
        canvas.drawString(250, 15, f"The flow {number} / 4")
        canvas.showPage()


def test_boxes_around_the_parts_of_a_slide_are_not_table() -> None:
    blocks = parse_pdf(draw(slides)).blocks
    assert {block.kind for block in blocks} == {"prose"}
    assert [block.heading_path for block in blocks][-1] == ("Route nets",)
    assert not any("Author" in block.text for block in blocks)
