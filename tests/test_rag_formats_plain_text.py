"""rag.formats.plain_text and rag.formats.csv_table: headings, pages, aligned lines of text; tables of values."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.blocks import Block
from rag.errors import ParseFailed
from rag.formats.csv_table import MAX_COLUMNS, parse_csv
from rag.formats.parser import parse_document
from rag.formats.plain_text import parse_text
from rag.index.chunker import chunk_document
from tests.rows import for_each

TEXT = """Overview of the flow.

1. Synthesis

The netlist is made.

1.1 Mapping

Cells are chosen.
- fast ones
- small ones

Floorplan
=========

Name      Width    Height
core      100      200
ring      10       20

Pads
----
They are placed first.

2. This is a sentence that goes on and is therefore no heading.

3 wires are routed
"""


def test_numbered_and_underlined_headings_make_the_path() -> None:
    assert list(parse_text(TEXT).blocks) == [
        Block("prose", "Overview of the flow.", ()),
        Block("prose", "The netlist is made.", ("1. Synthesis",)),
        Block("prose", "Cells are chosen.\n- fast ones\n- small ones", ("1. Synthesis", "1.1 Mapping")),
        Block(
            "code", "```\nName      Width    Height\ncore      100      200\nring      10       20\n```", ("Floorplan",)
        ),
        Block("prose", "They are placed first.", ("Floorplan", "Pads")),
        Block("list", "2. This is a sentence that goes on and is therefore no heading.", ("Floorplan", "Pads")),
        Block("prose", "3 wires are routed", ("Floorplan", "Pads")),
    ]


def test_form_feeds_are_pages_which_reach_the_chunks() -> None:
    text = "First page.\n\f\nSecond page.\n\fThird page.\n"
    assert [(block.text, block.page) for block in parse_text(text).blocks] == [
        ("First page.", 1),
        ("Second page.", 2),
        ("Third page.", 3),
    ]
    document = parse_document("docs", "a.txt", "a.txt", text, None, "ISC")
    assert [chunk.page for chunk in chunk_document(document, lambda part: len(part.split()), 4)] == [1, 2, 3]
    assert parse_text("No pages.").blocks[0].page is None


def test_a_text_of_headings_alone_is_not_empty() -> None:
    assert [block.text for block in parse_text("Title\n=====\n").blocks] == ["Title"]


@given(st.text(alphabet="1.2 ABab=-~\n\f\t|*", max_size=200))
def test_no_word_of_a_text_is_lost(text: str) -> None:
    blocks = parse_text(text).blocks
    kept = " ".join(" ".join((block.text, *block.heading_path)) for block in blocks)
    assert {word for word in text.split() if word.isalnum() and word.isalpha()} <= set(kept.split()) | set(
        "".join(kept).split()
    )


def test_values_become_a_table_under_its_header() -> None:
    (block,) = parse_csv('pin,layer,"what, and why"\nA,M1,"in|put"\n\nZ,M2,"two\nlines"\n').blocks
    assert block.text.splitlines() == [
        "| pin | layer | what, and why |",
        "| --- | --- | --- |",
        "| A | M1 | in\\|put |",
        "| Z | M2 | two lines |",
    ]


@for_each("separator", ["\t", ";", "|", ","])
def test_the_separator_is_found(separator: str) -> None:
    (block,) = parse_csv(f"net{separator}cap\nclk{separator}0.5\n").blocks
    assert block.text == "| net | cap |\n| --- | --- |\n| clk | 0.5 |"


def test_a_title_over_the_header_is_prose() -> None:
    blocks = parse_csv("Timing corners,,\ncorner,voltage,temperature\nss,0.72,125\n").blocks
    assert [block.kind for block in blocks] == ["prose", "table"]
    assert blocks[0].text == "Timing corners"
    assert blocks[1].text.startswith("| corner | voltage | temperature |\n")


def test_a_long_table_is_cut_between_rows_under_its_header() -> None:
    text = "pin,layer\n" + "".join(f"p{number},M{number % 9}\n" for number in range(200))
    document = parse_document("docs", "pins.csv", "pins.csv", text, None, "ISC")
    chunks = chunk_document(document, lambda part: len(part.split()), 60)
    assert len(chunks) > 10
    assert all(chunk.text.startswith("| pin | layer |\n| --- | --- |\n| p") for chunk in chunks)
    assert sum(chunk.text.count("| p") - 1 for chunk in chunks) == 200


def test_too_many_columns_are_data() -> None:
    with pytest.raises(ParseFailed, match=f"more than {MAX_COLUMNS} columns"):
        parse_csv("1," * (MAX_COLUMNS + 1))


@given(st.text(alphabet='a,;\t"|\n\r\\', max_size=100))
def test_no_values_break_the_parser(text: str) -> None:
    with suppress(ParseFailed):
        assert all(block.kind in ("prose", "table") for block in parse_csv(text).blocks)


@for_each(
    ("text", "path"),
    [
        ("-------\nLicence\n-------\n\nText.\n", ("Licence",)),
        ("=======\nLicence\n=======\nText.\n", ("Licence",)),
        ("IO\n--\n\nText.\n", ("IO",)),
        ("-------\na    b\n-------\n\nText.\n", ()),
        ("-------\n12\n-------\n\nText.\n", ()),
        ("wide\n--\n\nText.\n", ()),
    ],
)
def test_a_title_between_two_lines_or_of_two_letters_is_a_heading(text: str, path: tuple[str, ...]) -> None:
    assert parse_text(text).blocks[-1].heading_path == path
