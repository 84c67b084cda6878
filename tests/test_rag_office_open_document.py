"""rag.office.open_document: what people see of a text becomes blocks; repeated cells and nesting are bounded."""

from __future__ import annotations

import zipfile
from io import BytesIO

import pytest

from rag.blocks import Parsed
from rag.errors import ParseFailed
from rag.office.open_document import MAX_REPEATED, parse_odt
from tests.rows import for_each

NAMES = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "text", "table", "style")
)
META = (
    f'<office:document-meta {NAMES} xmlns:dc="http://purl.org/dc/elements/1.1/"><office:meta><dc:title>{{}}</dc:title>'
    "</office:meta></office:document-meta>"
)


def write(body: str, styles: str = "", **others: str) -> bytes:
    """A document with this body; `others` are further parts, by name without .xml."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(
            "content.xml",
            f"<office:document-content {NAMES}><office:automatic-styles>{styles}</office:automatic-styles>"
            f"<office:body><office:text>{body}</office:text></office:body></office:document-content>",
        )
        for name, text in others.items():
            archive.writestr(f"{name.replace('__', '/')}.xml", text)
    return content.getvalue()


def read(body: str, styles: str = "", **others: str) -> Parsed:
    return parse_odt(write(body, styles, **others))


def blocks(body: str, styles: str = "") -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in read(body, styles).blocks]


def test_headings_stand_over_what_comes_below_them() -> None:
    parsed = read(
        '<text:h text:outline-level="1">Flow</text:h><text:p>One.</text:p>'
        '<text:h text:outline-level="3">Deep</text:h><text:p>Two.</text:p>'
        '<text:h text:outline-level="2">Back</text:h><text:p>Three.</text:p>'
        '<text:h text:outline-level="9999">Odd</text:h><text:p>Four.</text:p>'
    )
    assert parsed.title == "Flow"
    assert [(block.heading_path, block.text) for block in parsed.blocks] == [
        ((), "One."),
        (("Deep",), "Two."),
        (("Back",), "Three."),
        (("Odd",), "Four."),
    ]


def test_a_document_without_headings_has_the_title_of_its_properties() -> None:
    assert read("<text:p>Text.</text:p>", meta=META.format("Pad \n ring")).title == "Pad ring"
    assert read("<text:h>Own</text:h><text:p>Text.</text:p>", meta=META.format("Pad ring")).title == "Own"


def test_blanks_tabs_and_line_ends_are_those_that_people_see() -> None:
    inner = "<text:span>in <text:span>it</text:span></text:span>"
    body = f'<text:p>a<text:s text:c="3"/>b<text:tab/>c<text:line-break/>d {inner}.</text:p>'
    assert blocks(body) == [("prose", "a   b\tc\nd in it.")]


NOTE = "<text:note><text:note-citation>1</text:note-citation><text:p>Why</text:p></text:note>"


@for_each(
    ("inside", "seen"),
    [
        ("<office:annotation><text:p>Hide me</text:p></office:annotation>", ""),
        (NOTE, " (Why)"),
        ("<text:bookmark/>", ""),
    ],
)
def test_comments_are_left_out_and_footnotes_stand_where_they_are_called(inside: str, seen: str) -> None:
    assert blocks(f"<text:p>Before{inside} after.</text:p>") == [("prose", f"Before{seen} after.")]


def test_deleted_text_and_the_list_of_contents_are_left_out() -> None:
    gone = "<text:changed-region><text:p>Gone</text:p></text:changed-region>"
    contents = "<text:table-of-content><text:p>1 Flow ... 3</text:p></text:table-of-content>"
    body = f"<text:tracked-changes>{gone}</text:tracked-changes>{contents}<text:p>Kept.</text:p>"
    assert blocks(body) == [("prose", "Kept.")]


def test_code_is_known_by_its_style_or_the_one_that_a_change_is_based_on() -> None:
    styles = '<style:style style:name="P1" style:parent-style-name="Preformatted_20_Text"/>'
    body = (
        '<text:p text:style-name="P1">set x 1</text:p><text:p text:style-name="Preformatted_20_Text">puts $x</text:p>'
        '<text:p text:style-name="P2">Prose.</text:p>'
    )
    code, prose = blocks(body, styles)
    assert (code[0], code[1].splitlines()[1:-1]) == ("code", ["set x 1", "puts $x"])
    assert prose == ("prose", "Prose.")


def test_inner_lists_are_indented_and_more_paragraphs_of_an_item_stand_below_it() -> None:
    inner = "<text:list><text:list-item><text:p>Inner</text:p></text:list-item></text:list>"
    body = (
        f"<text:list><text:list-item><text:p>First</text:p><text:p>More</text:p>{inner}</text:list-item>"
        "<text:list-item><text:p>Second</text:p></text:list-item></text:list>"
    )
    assert blocks(body) == [("list", "- First\n  More\n  - Inner\n- Second")]


def test_cells_that_stand_for_several_are_several_but_not_without_end() -> None:
    cell = "<table:table-cell{}><text:p>{}</text:p></table:table-cell>"
    repeated = cell.format(' table:number-columns-repeated="{}"', "0")
    rows = "<table:table-row>{}</table:table-row>"
    head = rows.format(cell.format("", "A") + cell.format("", "B") + "<table:covered-table-cell/>")
    [(kind, text)] = blocks(f"<table:table>{head}{rows.format(repeated.format(3))}</table:table>")
    assert kind == "table"
    assert text.splitlines() == ["| A | B |  |", "| --- | --- | --- |", "| 0 | 0 | 0 |"]
    [(_, text)] = blocks(f"<table:table>{rows.format(repeated.format(9_999_999))}</table:table>")
    assert text.splitlines()[0].count("0") == MAX_REPEATED


def test_items_and_inner_tables_of_a_cell_are_words_apart() -> None:
    cell = "<table:table-cell>{}</table:table-cell>"
    items = "".join(f"<text:list-item><text:p>{name}</text:p></text:list-item>" for name in ("-hold", "-setup"))
    inner = f"<table:table><table:table-row>{cell.format('<text:p>In</text:p>') * 2}</table:table-row></table:table>"
    row = cell.format(f"<text:p>Takes</text:p><text:list>{items}</text:list>") + cell.format(inner)
    [(_, text)] = blocks(f"<table:table><table:table-row>{row}</table:table-row></table:table>")
    assert text.splitlines() == ["| Takes -hold -setup |  |", "| --- | --- |", "| In | In |"]


def test_a_heading_that_its_number_puts_into_a_list_is_a_heading() -> None:
    numbered = '<text:list><text:list-item><text:h text:outline-level="2">Pads</text:h></text:list-item></text:list>'
    parsed = read(f"<text:h>Chip</text:h>{numbered}<text:p>Below.</text:p>")
    assert [(block.heading_path, block.text) for block in parsed.blocks] == [(("Pads",), "Below.")]


def test_what_is_nested_too_deep_ends_without_an_error() -> None:
    deep = "<text:section>" * 200 + "<text:p>Far in.</text:p>" + "</text:section>" * 200
    lists = "<text:list><text:list-item>" * 120 + "<text:p>x</text:p>" + "</text:list-item></text:list>" * 120
    assert ("prose", "After.") in blocks(f"{deep}{lists}<text:p>After.</text:p>")


@for_each(
    ("content", "reason"),
    [
        (b"not a zip", "OpenDocument"),
        (write("<text:p>open"), "no OpenDocument text that can be read"),
        (write("", **{"META-INF__manifest": "<encryption-data/>"}), "encrypted: save it without a password"),
    ],
)
def test_what_cannot_be_read_says_why(content: bytes, reason: str) -> None:
    with pytest.raises(ParseFailed, match=reason):
        parse_odt(content)


def test_an_entity_names_no_file() -> None:
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(
            "content.xml",
            '<!DOCTYPE x [<!ENTITY secret SYSTEM "file:///etc/hostname">]>'
            f"<office:document-content {NAMES}><office:body><office:text><text:p>It is &secret;.</text:p></office:text>"
            "</office:body></office:document-content>",
        )
    assert [block.text for block in parse_odt(content.getvalue()).blocks] == ["It is &secret;."]


@for_each(
    ("body", "found"),
    [
        ("", []),
        ("<text:p/>", []),
        ("<text:p> </text:p><text:h> </text:h>", []),
        ("<text:section><text:p>in</text:p></text:section>", [("prose", "in")]),
        ("<text:p>x<text:a>link</text:a>y</text:p>", [("prose", "xlinky")]),
        ("<text:p>a<text:soft-page-break/>b</text:p>", [("prose", "ab")]),
        ("<text:p>x<text:s text:c='abc'/>y<text:s text:c='-3'/>z</text:p>", [("prose", "x y z")]),
        ("<text:list/>", []),
        ("<text:h text:outline-level='2'>A</text:h>", [("list", "- A")]),
        ("<table:table/>", []),
    ],
)
def test_small_and_odd_bodies_are_read(body: str, found: list[tuple[str, str]]) -> None:
    assert blocks(body) == found


def test_lists_that_follow_each_other_are_one_and_code_keeps_its_blank_lines() -> None:
    one = "<text:list><text:list-item><text:p>{}</text:p></text:list-item></text:list>"
    assert blocks(one.format("a") + one.format("b")) == [("list", "- a\n- b")]
    assert blocks(f"{one.format('a')}<text:p>x</text:p>{one.format('b')}") == [
        ("list", "- a"),
        ("prose", "x"),
        ("list", "- b"),
    ]
    line = "<text:p text:style-name='Preformatted_20_Text'>{}</text:p>"
    assert blocks(line.format("a") + line.format("") + line.format("b")) == [("code", "```\na\n\nb\n```")]


def test_a_title_is_that_of_the_document_whatever_comes_first() -> None:
    parsed = read("<text:p text:style-name='Title'>Pads</text:p><text:h>One</text:h><text:p>x</text:p>")
    assert (parsed.title, parsed.blocks[0].heading_path) == ("Pads", ("One",))
    assert read("<text:p>x</text:p>").title == ""


def test_rows_of_a_repeated_header_are_rows_and_empty_columns_are_left_out() -> None:
    cell = "<table:table-cell><text:p>{}</text:p></table:table-cell>"
    empty = "<table:table-cell table:number-columns-repeated='90'/>"
    row = f"<table:table-row>{cell}{cell}{empty}</table:table-row>"
    head = f"<table:table-header-rows>{row.format('pin', 'layer')}</table:table-header-rows>"
    assert blocks(f"<table:table>{head}{row.format('A', 'M1|M2')}</table:table>") == [
        ("table", "| pin | layer |\n| --- | --- |\n| A | M1\\|M2 |")
    ]


def open_with(body: str) -> bytes:
    """A document of this body."""
    names = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for name in ("office", "text", "table", "drawing", "presentation")
    )
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(
            "content.xml",
            f"<office:document-content {names}><office:body>{body}</office:body></office:document-content>",
        )
    return stream.getvalue()


def row(*cells: str, more: str = "") -> str:
    inner = "".join(f"<table:table-cell><text:p>{cell}</text:p></table:table-cell>" for cell in cells)
    return f"<table:table-row{more}>{inner}</table:table-row>"


def test_sheets_stand_under_their_names_and_blank_rows_part_tables() -> None:
    rows = row("Bumps of the ring") + row("bump", "net") + row("A1", "VDD") + row() + row("corner", "V")
    twice = row("ss", "0.7", more=' table:number-rows-repeated="2"')
    sheet = f'<table:table table:name="Ring">{rows}{twice}</table:table>'
    blocks = parse_odt(open_with(f"<office:spreadsheet>{sheet}</office:spreadsheet>")).blocks
    assert [(block.kind, block.heading_path, block.text) for block in blocks] == [
        ("prose", ("Ring",), "Bumps of the ring"),
        ("table", ("Ring",), "| bump | net |\n| --- | --- |\n| A1 | VDD |"),
        ("table", ("Ring",), "| corner | V |\n| --- | --- |\n| ss | 0.7 |\n| ss | 0.7 |"),
    ]


def test_cells_that_are_repeated_too_often_are_refused() -> None:
    long = row("x" * 100_000, "y", more=' table:number-rows-repeated="99"') * 2
    with pytest.raises(ParseFailed, match="a table in it has more than"):
        parse_odt(
            open_with(f'<office:spreadsheet><table:table table:name="a">{long}</table:table></office:spreadsheet>')
        )


def test_slides_stand_under_their_titles_with_their_numbers() -> None:
    def frame(text: str, kind: str = "outline") -> str:
        """A frame of a slide."""
        box = f"<drawing:text-box><text:p>{text}</text:p></drawing:text-box>"
        return f'<drawing:frame presentation:class="{kind}">{box}</drawing:frame>'

    notes = f"<presentation:notes>{frame('Ask first.', 'notes')}</presentation:notes>"
    pages = f"{frame('Closure', 'title')}{frame('Week 12')}", f"{frame('-162 ps')}{frame('Timing', 'title')}{notes}"
    body = "".join(f"<drawing:page>{page}</drawing:page>" for page in pages)
    parsed = parse_odt(open_with(f"<office:presentation>{body}</office:presentation>"))
    assert parsed.title == "Closure"
    assert [(block.heading_path, block.page, block.text) for block in parsed.blocks] == [
        ((), 1, "Week 12"),
        (("Timing",), 2, "-162 ps"),
        (("Timing",), 2, "Ask first."),
    ]
