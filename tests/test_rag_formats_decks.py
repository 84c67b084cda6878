"""rag.formats.decks: rules and layers under their names, whatever deck it is, and XML that is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.blocks import Block
from rag.errors import ParseFailed
from rag.formats.decks import parse_deck, parse_technology
from rag.formats.parser import format_of
from tests.rows import for_each


@for_each(
    ("text", "headings"),
    [
        ("M1.W.1 {\n  INT M1 < 0.1\n}\nM1.S.1 { @ space\n  EXT M1 < 0.1\n}\n", ["rule M1.W.1", "rule M1.S.1"]),
        ('"VIA:1" { @ named in quotes\n  x\n}\n', ["rule VIA:1"]),
        ("M1.W.1 {\n  never closed\n", []),
        ('m1 = input(31, 0)\nm1.width(0.1).output("M1.W.1", "w")\n', []),  # of KLayout: no braces part its rules
        ("<klayout-macro><text>a = input(1, 0)</text></klayout-macro>", []),
    ],
)
def test_a_rule_stands_under_its_name(text: str, headings: list[str]) -> None:
    found = [block.heading_path[0] for block in parse_deck(text).blocks if block.heading_path]
    assert list(dict.fromkeys(found)) == headings
    assert parse_deck(text).blocks


@for_each(
    ("text", "language"),
    [
        ("LAYER M1 31\n", "svrf"),
        ("# DRC\nreport('a')\n", "ruby"),
        ('x.output("a")\n', "ruby"),
        ("# a\nVersion 1.2\n", "svrf"),
    ],
)
def test_the_language_of_a_deck_is_seen_from_its_text(text: str, language: str) -> None:
    assert parse_deck(text).blocks[-1].text.startswith(f"```{language}\n")


@for_each(
    ("text", "heading"),
    [
        ('Layer "M1" {\n  pitch = 1\n}\n', "layer M1"),
        ("CONDUCTOR M1 { THICKNESS = 0.1 }\n", "conductor M1"),
        ('ContactCode\t"VIA 1" {\n}\n', ""),  # a name with a blank is none
        ("M1 drawing 31 0\n", ""),
        ('tech\n  format 33\nend\ndrc\n  width m1 4 "a"\nend\n', "tech > drc"),
        ("layers(\n techLayers(\n  ( M1 31 )\n ) ;techLayers\n)\n", "layers techLayers"),
    ],
)
def test_a_layer_stands_under_its_name(text: str, heading: str) -> None:
    found = [" ".join(block.heading_path) for block in parse_technology(text).blocks]
    assert " > ".join(found) == heading


def test_klayouts_list_of_layers_is_a_table_with_its_groups() -> None:
    layer = "<name>{}</name><source>{}</source><fill-color>#ff0000</fill-color>"
    group = f"<group-members>{layer.format('b', '2/0')}</group-members>"
    text = f"<layer-properties><properties>{layer.format('a', '1/0')}{group}</properties></layer-properties>"
    (table,) = parse_technology(text).blocks
    assert table == Block(
        "table", "| layer | source | visible |\n| --- | --- | --- |\n| a | 1/0 |  |\n| b | 2/0 |  |", ()
    )


def test_other_xml_is_refused_and_entities_are_not_followed() -> None:
    for parse in (parse_deck, parse_technology):
        with pytest.raises(ParseFailed, match="XML of data"):
            parse("<technology><name>x</name></technology>")
        with pytest.raises(ParseFailed, match="no XML that can be read"):
            parse("<klayout-macro><text>")
    named = '<!DOCTYPE k [<!ENTITY e SYSTEM "file:///etc/hostname">]><klayout-macro><text>a&e;b</text></klayout-macro>'
    assert parse_deck(named).blocks[0].text in ("```ruby\nab\n```", "```ruby\na\n```")


@given(st.text('M1.{}<>"\n @#ax', max_size=200))
def test_no_deck_breaks_the_parser(text: str) -> None:
    for parse in (parse_deck, parse_technology):
        try:
            blocks = parse(text).blocks
        except ParseFailed:
            assert text.lstrip().startswith("<")
            continue
        words = [word for block in blocks for word in (*block.heading_path, block.text)]
        assert all(part in "".join(words) for part in text.replace("{", " ").split() if part.isalnum())


@for_each(
    ("name", "kind"),
    [
        ("pdk/ex12.drc", "rule deck"),
        ("m.lydrc", "rule deck"),
        ("ex12.map", "technology file"),
        ("cells.cdl.gz", "SPICE"),
        ("a.ILS", "SKILL"),
        ("lib.pm", "Perl"),
        ("diode.va", "Verilog"),
        ("wave.do", "Tcl"),
        ("run.log.12", "report"),
        ("drc.summary", "report"),
        ("route.1", "man page"),
        ("RELEASE_NOTES", "text"),
    ],
)
def test_what_a_process_kit_holds_is_known_by_its_name(name: str, kind: str) -> None:
    found = format_of(name)
    assert found
    assert found.name == kind


def test_a_list_of_layers_is_a_table_under_the_comment_that_names_its_columns() -> None:
    text = "# Map of cv22\n# layer purpose gds type\n#-------\nM1 drawing 31 0\nM1 pin 131 0 ; labels\n\n"
    text += "# vias\nV1 drawing 51 0\n"
    blocks = parse_technology(text).blocks
    assert [(block.kind, block.text) for block in blocks] == [
        ("prose", "Map of cv22"),
        (
            "table",
            "| layer | purpose | gds | type |  |\n| --- | --- | --- | --- | --- |\n| M1 | drawing | 31 | 0 |  |\n"
            "| M1 | pin | 131 | 0 | labels |",
        ),
        ("prose", "vias"),
        ("table", "| layer | purpose | gds | type |\n| --- | --- | --- | --- |\n| V1 | drawing | 51 | 0 |"),
    ]
    assert parse_technology("M1 drawing 31 0\nsome other words\n").blocks[0].kind == "code"


def test_parts_of_cadences_file_that_stand_in_each_other_keep_all_their_lines() -> None:
    text = '; a\ncontrols(\n techParams(\n  ( grid 0.001 ) ; "("\n )\n ( loose 1 )\n)\n'
    blocks = parse_technology(text).blocks
    assert [(block.heading_path, "grid" in block.text, "loose" in block.text) for block in blocks] == [
        ((), False, False),
        (("controls", "techParams"), True, False),
        (("controls",), False, True),
    ]


@given(st.lists(st.sampled_from(["a(", " b(", ")", "( c 1 )", "tech", "end", "d", "M1 x 3", "; e", '"('])))
def test_no_word_of_a_technology_file_is_lost(lines: list[str]) -> None:
    blocks = parse_technology("\n".join(lines)).blocks
    shown = " ".join(f"{' '.join(block.heading_path)} {block.text}" for block in blocks)
    assert all(word in shown for word in ("c 1", "M1", "3") if any(word in line for line in lines))
