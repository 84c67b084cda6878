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
def test_what_is_no_page_is_named(text: str, reason: str) -> None:
    with pytest.raises(ParseFailed, match=reason):
        parse_xml(text.encode())


def test_entities_are_not_expanded() -> None:
    bomb = '<!DOCTYPE a [<!ENTITY x "' + "y" * 1000 + '"><!ENTITY z "' + "&x;" * 1000 + '">]><a><p>T &z; end</p></a>'
    assert len(str(parse_xml(bomb.encode()))) < 1000
