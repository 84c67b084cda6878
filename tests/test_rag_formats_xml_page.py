"""rag.formats.xml_page: HTML in XML, DocBook and DITA are pages; data is refused by name."""

from __future__ import annotations

import pytest

from rag.errors import ParseFailed
from rag.formats.xml_page import parse_xml
from tests.rows import for_each


@for_each(
    "text",
    [
        "<html xmlns='http://www.w3.org/1999/xhtml'><head><title>Grow</title></head><body><p>Text.</p></body></html>",
        "<page><title>Grow</title><content>&lt;p&gt;Text.&lt;/p&gt;</content></page>",
        "<page><title>Grow</title><content><![CDATA[<p>Text.</p>]]></content></page>",
        "<article xmlns='http://docbook.org/ns/docbook'><info><title>Grow</title></info><para>Text.</para></article>",
        "<?xml version='1.0' encoding='iso-8859-1'?><!DOCTYPE topic><topic><title>Grow</title><p>Text.</p></topic>",
    ],
)
def test_a_page_has_its_title_and_text(text: str) -> None:
    parsed = parse_xml(text.encode())
    assert (parsed.title, [block.text for block in parsed.blocks]) == ("Grow", ["Text."])


def test_sections_inside_each_other_are_headings_inside_each_other() -> None:
    section = "<section><title>S</title><para>P.</para></section>"
    text = f"<book><title>B</title><chapter><title>C</title>{section}</chapter></book>"
    assert parse_xml(text.encode()).blocks[0].heading_path == ("C", "S")


def test_words_in_unknown_elements_of_a_paragraph_stay_in_it() -> None:
    text = "<topic><p>The <product>Quill</product> <xref>guide</xref>.</p><note><p>Mind it.</p></note></topic>"
    assert [block.text for block in parse_xml(text.encode()).blocks] == ["The Quill guide.", "Note: Mind it."]


@for_each(
    ("text", "reason"),
    [
        ("<component><name>x</name><value>3</value></component>", "XML of data .* <component>"),
        ("no xml", "no XML"),
        ("", "empty"),
    ],
)
def test_what_is_not_a_page_is_named(text: str, reason: str) -> None:
    with pytest.raises(ParseFailed, match=reason):
        parse_xml(text.encode())


def test_entities_are_not_expanded() -> None:
    bomb = '<!DOCTYPE a [<!ENTITY x "' + "y" * 1000 + '"><!ENTITY z "' + "&x;" * 1000 + '">]><a><p>T &z; end</p></a>'
    assert len(str(parse_xml(bomb.encode()))) < 1000


def shown(text: str) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in parse_xml(text.encode()).blocks]


@for_each(
    ("body", "blocks"),
    [
        ("<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>", [("list", "- a\n- b\n  - c")]),
        ("<itemizedlist><listitem><para>a</para></listitem></itemizedlist>", [("list", "- a")]),
        ("<steps><step><cmd>Do.</cmd><info>So.</info></step></steps>", [("list", "1. Do. So.")]),
        ("<programlisting>a &lt; b\n  c</programlisting>", [("code", "```\na < b\n  c\n```")]),
        ("<codeblock><![CDATA[if (a && b)]]></codeblock>", [("code", "```\nif (a && b)\n```")]),
        ("<p><codeph>a_b</codeph> or <option>-x</option></p>", [("prose", "`a_b` or `-x`")]),
        ("<p>1 &lt; 2 &amp; 3</p>", [("prose", "1 < 2 & 3")]),
        ("<p>a<!-- gone -->b<?pi gone?>c</p>", [("prose", "abc")]),
        ("<note type='tip'>Plain.</note>", [("prose", "Tip: Plain.")]),
        ("<caution><para>Mind.</para></caution>", [("prose", "Caution: Mind.")]),
        ("<p>x</p><related-links><p>Else</p></related-links>", [("prose", "x")]),
        ("<p>x<indexterm>gone</indexterm>y</p>", [("prose", "xy")]),
        (
            "<simpletable><sthead><stentry>a</stentry><stentry>b</stentry></sthead>"
            "<strow><stentry>1</stentry><stentry>2</stentry></strow></simpletable>",
            [("table", "| a | b |\n| --- | --- |\n| 1 | 2 |")],
        ),
    ],
)
def test_elements_of_docbook_and_dita_mean_what_html_means(body: str, blocks: list[tuple[str, str]]) -> None:
    assert shown(f"<topic><title>T</title>{body}</topic>") == blocks


def test_terms_stand_over_their_definitions() -> None:
    entry = "<varlistentry><term>-a</term><listitem><para>Does a.</para></listitem></varlistentry>"
    [block] = parse_xml(f"<article><title>T</title><variablelist>{entry}</variablelist></article>".encode()).blocks
    assert (block.heading_path, block.text) == (("-a",), "Does a.")


def test_cells_that_span_rows_and_columns_stand_in_each_and_a_caption_above() -> None:
    rows = (
        "<row><entry>1</entry><entry morerows='1'>2</entry></row><row><entry>3</entry></row>"
        "<row><entry namest='c1' nameend='c2'>wide</entry></row>"
    )
    head = "<thead><row><entry>a</entry><entry>b</entry></row></thead>"
    table = f"<table><title>Cap</title><tgroup cols='2'>{head}<tbody>{rows}</tbody></tgroup></table>"
    caption, cells = shown(f"<article><title>T</title>{table}</article>")
    assert caption == ("prose", "Cap")
    assert cells[1].split("\n")[2:4] == ["| 1 | 2 |", "| 3 | 2 |"]
    assert "wide" in cells[1].split("\n")[4]


@for_each(
    ("text", "reason"),
    [
        ("<topic><title>T</title><p>a", "damaged in line 1 (Premature end of data"),
        ("<topic>\n<title>T</title>\n<p>a</p></topic><x/>", "damaged in line 3 (Extra content at the end"),
        ("<topic><title>T</title><p>a</b></p></topic>", "damaged in line 1 ("),
        ("<topic><title>T</title><p>a</p></topic>", ""),
    ],
)
def test_a_damaged_page_is_read_and_says_where_it_is_damaged(text: str, reason: str) -> None:
    parsed = parse_xml(text.encode())
    assert [block.text for block in parsed.blocks] == ["a"]
    assert parsed.note.startswith(reason)
    assert bool(parsed.note) is bool(reason)


@for_each("codec", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_page_that_declares_no_encoding_is_read_in_its_own(codec: str) -> None:
    text = "<topic><title>Größe</title><p>Breite der Leiterbahn für Größe 3: 5 µm ± 5 %</p></topic>"
    parsed = parse_xml(text.encode(codec))
    assert (parsed.title, parsed.blocks[0].text) == ("Größe", "Breite der Leiterbahn für Größe 3: 5 µm ± 5 %")


def test_very_deep_elements_keep_their_words() -> None:
    text = f"<topic><title>T</title>{'<section>' * 240}<p>deep words</p>{'</section>' * 240}</topic>"
    assert "deep words" in " ".join(block.text for block in parse_xml(text.encode()).blocks)
