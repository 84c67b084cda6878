"""rag.office.word: real .docx files that python-docx writes, and hostile ones."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from io import BytesIO
from typing import Any

import docx
import pytest
from docx.enum.style import WD_STYLE_TYPE
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.blocks import Block
from rag.errors import ParseFailed
from rag.office.word import MAX_TAGS, parse_docx
from tests.rows import for_each

DOCUMENT = "word/document.xml"


def save(document: Any) -> bytes:
    stream = BytesIO()
    document.save(stream)
    return stream.getvalue()


def replace_part(content: bytes, name: str, part: bytes) -> bytes:
    """The same .docx with another part."""
    stream = BytesIO()
    with zipfile.ZipFile(BytesIO(content)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            new.writestr(info.filename, part if info.filename == name else old.read(info))
    return stream.getvalue()


def specification() -> Any:
    """A document with every kind of block."""
    document = docx.Document()
    document.add_heading("Block specification", 0)
    document.add_paragraph("The block counts.")
    document.add_heading("Interface", 1)
    document.add_heading("Ports", 2)
    table = document.add_table(rows=3, cols=2)
    for row, cells in zip(table.rows, (("Port", "Width"), ("clk", "1"), ("data|q", "8")), strict=True):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    document.add_paragraph("first", style="List Bullet")
    document.add_paragraph("inner", style="List Bullet 2")
    document.add_paragraph("second", style="List Number")
    document.styles.add_style("Source Code", WD_STYLE_TYPE.PARAGRAPH)
    document.add_paragraph("create_clock \\", style="Source Code")
    document.add_paragraph("    -period 10", style="Source Code")
    run = document.add_paragraph().add_run("report_checks")
    run.font.name = "Courier New"
    document.add_heading("Timing", 1)
    document.add_paragraph("Slack must be positive.")
    return document


def test_every_kind_of_block_under_its_headings() -> None:
    parsed = parse_docx(save(specification()))
    assert parsed.title == "Block specification"
    ports = ("Interface", "Ports")
    assert list(parsed.blocks) == [
        Block("prose", "The block counts.", ()),
        Block("table", "| Port | Width |\n| --- | --- |\n| clk | 1 |\n| data\\|q | 8 |", ports),
        Block("list", "- first\n  - inner\n- second", ports),
        Block("code", "```\ncreate_clock \\\n    -period 10\nreport_checks\n```", ports),
        Block("prose", "Slack must be positive.", ("Timing",)),
    ]


def test_without_a_heading_the_title_is_the_documents_property() -> None:
    document = docx.Document()
    document.core_properties.title = "Pad ring"
    document.add_paragraph("Text.")
    assert parse_docx(save(document)).title == "Pad ring"


def test_links_and_insertions_are_read_and_deletions_are_not() -> None:
    document = docx.Document()
    paragraph = document.add_paragraph("Use ")
    for name, tag, text in (
        ("w:ins", "w:t", "the new "),
        ("w:del", "w:delText", "the old "),
        ("w:hyperlink", "w:t", "router"),
    ):
        change, run, words = OxmlElement(name), OxmlElement("w:r"), OxmlElement(tag)
        words.text = text
        words.set(qn("xml:space"), "preserve")
        run.append(words)
        change.append(run)
        paragraph._p.append(change)
    assert [block.text for block in parse_docx(save(document)).blocks] == ["Use the new router"]


def test_a_box_of_one_cell_is_a_paragraph_and_merged_cells_keep_their_place() -> None:
    document = docx.Document()
    document.add_table(rows=1, cols=1).cell(0, 0).text = "Warning: check the corner."
    table = document.add_table(rows=2, cols=3)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "Corner"
    table.cell(0, 2).text = "Voltage"
    for column, text in enumerate(("ss", "125C", "0.72")):
        table.cell(1, column).text = text
    blocks = parse_docx(save(document)).blocks
    assert blocks[0] == Block("prose", "Warning: check the corner.", ())
    assert blocks[1].text == "| Corner | Voltage |  |\n| --- | --- | --- |\n| ss | 125C | 0.72 |"


@for_each(
    ("content", "reason"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "encrypted, or of the old format: save it as .docx"),
        (b"this is text", "not a zip archive"),
        (save(specification())[:5000], "not a zip archive"),
    ],
)
def test_what_is_not_a_word_document_is_named(content: bytes, reason: str) -> None:
    with pytest.raises(ParseFailed, match=reason):
        parse_docx(content)


def test_a_zip_without_a_document_is_named() -> None:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.txt", "x")
    with pytest.raises(ParseFailed, match="no Word document that can be read"):
        parse_docx(stream.getvalue())


def test_entities_that_multiply_are_not_expanded() -> None:
    entities = "".join(f'<!ENTITY e{number} "{f"&e{number - 1};" * 10}">' for number in range(1, 12))
    body = (
        f'<?xml version="1.0"?><!DOCTYPE w [<!ENTITY e0 "bomb">{entities}]><w:document '
        'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        "<w:body><w:p><w:r><w:t>&e11;</w:t></w:r></w:p></w:body></w:document>"
    )
    bomb = replace_part(save(docx.Document()), DOCUMENT, body.encode())
    try:
        blocks = parse_docx(bomb).blocks
    except ParseFailed:
        return
    assert sum(len(block.text) for block in blocks) < 1000


def test_no_file_on_disk_is_read_through_an_entity() -> None:
    body = (
        '<?xml version="1.0"?><!DOCTYPE w [<!ENTITY e SYSTEM "file:///etc/passwd">]><w:document '
        'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        "<w:body><w:p><w:r><w:t>a&e;</w:t></w:r></w:p></w:body></w:document>"
    )
    blocks = parse_docx(replace_part(save(docx.Document()), DOCUMENT, body.encode())).blocks
    assert "root" not in "".join(block.text for block in blocks)


def test_a_document_that_unpacks_to_too_much_is_refused() -> None:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(5):
            archive.writestr(f"word/{number}.xml", b"\0" * (60 * 2**20))
    assert len(stream.getvalue()) < 2**20
    with pytest.raises(ParseFailed, match="unpacked it has more than"):
        parse_docx(stream.getvalue())


def test_deeply_nested_xml_is_refused_without_a_crash() -> None:
    names = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    body = f"<w:document {names}><w:body>{'<w:tbl><w:tr><w:tc>' * 3000}x"
    with pytest.raises(ParseFailed, match="no Word document that can be read"):
        parse_docx(replace_part(save(docx.Document()), DOCUMENT, body.encode()))


CONTENT = save(specification())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_named(data: st.DataObject) -> None:
    content = bytearray(CONTENT)
    for _ in range(data.draw(st.integers(1, 10))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ParseFailed):
        assert all(block.text.strip() for block in parse_docx(bytes(content)).blocks)


def test_a_document_of_more_tags_than_memory_holds_is_refused_before_it_is_read() -> None:
    bomb = replace_part(save(docx.Document()), DOCUMENT, b"<w:p/>" * (MAX_TAGS + 1))
    with pytest.raises(ParseFailed, match=f"its word/document.xml has more than {MAX_TAGS} tags"):
        parse_docx(bomb)


def test_text_in_controls_for_content_is_read_and_a_table_of_contents_is_not() -> None:
    document = docx.Document()
    document.styles.add_style("toc 1", WD_STYLE_TYPE.PARAGRAPH)
    document.add_paragraph("Clocks\t3", style="toc 1")
    inside = document.add_paragraph("The owner of this block is the CAD team.")
    control, content = OxmlElement("w:sdt"), OxmlElement("w:sdtContent")
    inside._p.addprevious(control)
    control.append(content)
    content.append(inside._p)
    document.add_paragraph("After it.")

    texts = [block.text for block in parse_docx(save(document)).blocks]
    assert texts == ["The owner of this block is the CAD team.", "After it."]


def test_text_that_was_moved_stands_once() -> None:
    document = docx.Document()
    paragraph = document.add_paragraph("Moved.")
    (run,) = paragraph.runs
    old, new = OxmlElement("w:moveFrom"), OxmlElement("w:moveTo")
    paragraph._p.append(old)
    old.append(run._r)
    paragraph._p.append(new)
    new.append(docx.Document().add_paragraph("Moved.").runs[0]._r)
    assert [block.text for block in parse_docx(save(document)).blocks] == ["Moved."]
