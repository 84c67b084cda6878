"""rag.raised: powers, indices and footnotes as people write them without raised letters, in every format with some."""

from __future__ import annotations

import zipfile
from io import BytesIO

import docx
from hypothesis import given
from hypothesis import strategies as st

from rag.design.latex import parse_latex
from rag.formats.html_page import parse_html
from rag.formats.markdown import parse_markdown
from rag.formats.python_code import parse_python
from rag.formats.rst import parse_rst
from rag.office.open_document import parse_odt
from rag.office.word import parse_docx
from rag.raised import mark_raised, write_raised
from tests.golden_files import ODT_CONTENT
from tests.rows import for_each


@for_each(
    ("before", "letters", "expected"),
    [
        ("below 10", "-9", "below 10^-9"),
        ("10", "−9", "10^−9"),
        ("a 2", "32", "a 2^32"),
        ("cm", "2", "cm^2"),
        ("5 µm", "2", "5 µm^2"),
        ("E = mc", "2", "E = mc^2"),
        ("(a + b)", "2", "(a + b)^2"),
        ("x", "n+1", "x^(n+1)"),
        ("5 mils", "2", "5 mils^2"),
        ("the limit", "2", "the limit[2]"),
        ("is reached.", "1", "is reached.[1]"),
        ("tools", "1, 2", "tools[1, 2]"),
        ("", "1", "[1]"),
        ("note", "*", "note*"),
        ("the 1", "st", "the 1st"),
        ("Corvid", "®", "Corvid®"),
        ("Heron", "TM", "Heron™"),
    ],
)
def test_what_is_raised_is_a_power_a_footnote_or_a_sign(before: str, letters: str, expected: str) -> None:
    assert write_raised(f"{before}{mark_raised(letters)}") == expected


@for_each(
    ("before", "letters", "expected"),
    [
        ("t", "setup", "t_setup"),
        ("V", "DD", "VDD"),
        ("V", "th", "V_th"),
        ("H", "2", "H2"),
        ("log", "2", "log_2"),
        ("a", "i,j", "a_(i,j)"),
        ("Al(OH)", "3", "Al(OH)3"),
    ],
)
def test_what_is_lowered_is_a_part_of_the_name(before: str, letters: str, expected: str) -> None:
    assert write_raised(f"{before}{mark_raised(letters, 'lowered')}") == expected


def test_raised_letters_in_raised_letters_are_all_written() -> None:
    inner = f"x{mark_raised('2')}"
    assert write_raised(f"e{mark_raised(inner)}") == "e^(x^2)"


@given(st.text(alphabet="a1 .\ue020\ue021\ue022\ue023"), st.text(alphabet="a1 .\ue020\ue023"))
def test_no_mark_is_left_in_any_text(before: str, letters: str) -> None:
    written = write_raised(f"{before}{mark_raised(letters)}\ue023")
    assert not set(written) & set("\ue020\ue021\ue022\ue023")


def read_word() -> str:
    """A paragraph with a raised and a lowered run."""
    document = docx.Document()
    paragraph = document.add_paragraph("10")
    paragraph.add_run("-9").font.superscript = True
    paragraph.add_run(" A at t")
    paragraph.add_run("setup").font.subscript = True
    stream = BytesIO()
    document.save(stream)
    return parse_docx(stream.getvalue()).blocks[0].text


def read_open_document() -> str:
    """The same as OpenDocument."""
    styles = "".join(
        f'<style:style style:name="{name}"><style:text-properties style:text-position="{place} 58%"/></style:style>'
        for name, place in (("T1", "super"), ("T2", "-33%"))
    )
    text = '<text:p>10<text:span text:style-name="T1">-9</text:span> A at t<text:span text:style-name="T2">setup'
    head = ODT_CONTENT.partition("<office:automatic-styles>")[0]
    body = f"<office:automatic-styles>{styles}</office:automatic-styles><office:body><office:text>{text}</text:span>"
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("content.xml", f"{head}{body}</text:p></office:text></office:body></office:document-content>")
    return parse_odt(stream.getvalue()).blocks[0].text


def test_every_format_with_raised_letters_keeps_what_they_mean() -> None:
    texts = {
        "HTML": parse_html(b"<body><p>10<sup>-9</sup> A at t<sub>setup</sub></p></body>").blocks[0].text,
        "Markdown": parse_markdown("10<sup>-9</sup> A at t<sub>setup</sub>").blocks[0].text,
        "reST": parse_rst("10\\ :sup:`-9` A at t\\ :sub:`setup`").blocks[0].text,
        "docstring": parse_python('"""10\\ :sup:`-9` A at t\\ :sub:`setup`"""'.replace("\\", "\\\\")).blocks[0].text,
        "LaTeX": parse_latex("10\\textsuperscript{-9} A at t\\textsubscript{setup}").blocks[0].text,
        "Word": read_word(),
        "OpenDocument": read_open_document(),
    }
    assert texts == dict.fromkeys(texts, "10^-9 A at t_setup")


def test_a_raised_link_of_a_page_is_a_footnote_whatever_it_stands_behind() -> None:
    page = (
        b'<body><p>In 2<sup><a href="#f">3</a></sup> and 4<a href="#g"><sup>5</sup></a> steps<sup>6</sup>.</p></body>'
    )
    assert parse_html(page).blocks[0].text == "In 2[3] and 4[5] steps[6]."


def test_struck_text_of_a_page_is_shown_as_struck() -> None:
    assert parse_html(b"<body><p>Use <del>-old</del> -new.</p></body>").blocks[0].text == "Use ~~-old~~ -new."
