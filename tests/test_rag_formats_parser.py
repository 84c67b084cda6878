"""rag.formats.markdown, rag.formats.rst and rag.formats.parser: documents to blocks with heading paths."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.blocks import Block, fence_code, squeeze_table, write_parsed
from rag.formats.markdown import parse_markdown
from rag.formats.parser import FORMATS, format_of, parse, parse_document, read_file
from rag.formats.rst import parse_rst
from tests.rows import for_each

MARKDOWN = """---
layout: page
---
# Global Routing

The `grt` module, see [the paper](https://example.org/p.pdf) ![logo](x.png).

```{note}
Brackets mean optional.
```

## Commands

### Global Route

<!-- checker: skip -->
```tcl
global_route
    [-guide_file out_file]
```

| Switch Name     | Description        |
| --------------- | ------------------ |
| `-guide_file`   | The guides.        |

:::{Tip}
Use more threads.
:::

- one
- two
"""

RST = """
.. _top:

=========
Warnings
=========

Text with :ref:`a link <target>`, :vlopt:`--trace`, ``code``, `site <https://example.org>`_ \
and :vlopt:`-L \\<f\\> <-L>`.

.. note::

   Take care.

List
====

.. option:: CASEX

.. option:: CASEZ

   Use something else:

   .. code-block:: sv

      casex (a)

Sub
---

Literal::

   yosys -p

.. unknowndirective:: Title
   :option: x

   Body of it.

.. todo:: never shown

========= ======
Cell      Does
========= ======
``$add``  adds

``$sub``  subtracts
========= ======

.. comment that is not text
   nor this

#. First item.

   .. code-block:: sv

      // lint_off
"""


def shape(blocks: tuple[Block, ...]) -> list[tuple[str, tuple[str, ...]]]:
    return [(block.kind, block.heading_path) for block in blocks]


def test_markdown_gives_title_kinds_and_heading_paths() -> None:
    parsed = parse_markdown(MARKDOWN)
    path = ("Commands", "Global Route")
    assert parsed.title == "Global Routing"
    assert shape(parsed.blocks) == [
        ("prose", ()),
        ("prose", ()),
        ("code", path),
        ("table", path),
        ("prose", path),
        ("list", path),
    ]


def test_markdown_text_reads_without_marks() -> None:
    texts = [block.text for block in parse_markdown(MARKDOWN).blocks]
    assert texts[0] == "The `grt` module, see the paper logo."
    assert texts[1] == "Note: Brackets mean optional."
    assert texts[2] == "```tcl\nglobal_route\n    [-guide_file out_file]\n```"
    assert texts[3] == "| Switch Name | Description |\n| --- | --- |\n| `-guide_file` | The guides. |"
    assert texts[4] == "Tip:\nUse more threads."
    assert "layout" not in "".join(texts)


def test_a_myst_code_block_is_code_and_a_toctree_is_nothing() -> None:
    parsed = parse_markdown("# T\n\n```{code-block} shell\n:name: x\nmake\n```\n\n```{toctree}\na\nb\n```\n")
    assert [(block.kind, block.text) for block in parsed.blocks] == [("code", "```shell\nmake\n```")]


def test_placeholders_in_angle_brackets_survive_where_html_tags_do_not() -> None:
    assert (
        parse_markdown("| a | b |\n|---|---|\n| 1<br>2 | c |\n").blocks[0].text == "| a | b |\n|---|---|\n| 1 2 | c |"
    )
    assert parse_markdown("See {py:meth}`!Router.run`!\n").blocks[0].text == "See `Router.run`!"
    assert parse_markdown("Give <module> a <b>name</b> &amp; more.").blocks[0].text == "Give <module> a name & more."


def test_rst_gives_title_and_heading_paths() -> None:
    parsed = parse_rst(RST)
    assert parsed.title == "Warnings"
    option, sub = ("List", "CASEX, CASEZ"), ("List", "Sub")
    assert shape(parsed.blocks) == [
        ("prose", ()),
        ("prose", ()),
        ("prose", option),
        ("code", option),
        ("prose", sub),
        ("code", sub),
        ("prose", sub),
        ("prose", sub),
        ("table", sub),
        ("list", sub),
        ("code", sub),
    ]


def test_rst_text_reads_without_marks() -> None:
    texts = [block.text for block in parse_rst(RST).blocks]
    assert texts[0] == "Text with a link, `--trace`, `code`, site and `-L <f>`."
    assert texts[1] == "Note: Take care."
    assert texts[3] == "```sv\ncasex (a)\n```"
    assert texts[4:8] == ["Literal:", "```\nyosys -p\n```", "Title", "Body of it."]
    assert texts[8].splitlines() == ["| Cell | Does |", "| --- | --- |", "| `$add` | adds |", "| `$sub` | subtracts |"]
    assert not any("never shown" in text or "nor this" in text for text in texts)


def test_rst_options_without_a_body_are_still_found() -> None:
    assert parse_rst("Tee\n===\n\n.. option:: --alone\n").blocks[0].text == "`--alone`"


def test_rst_substitution_and_footnote() -> None:
    definitions = ".. |x| replace:: word,\n   phrase\n.. |logo| image:: a.png\n"
    text = f"Tee\n===\n\n{definitions}\n|logo|\n\n|x|\n   is |x|_, not |y|.\n\n.. [1] A source.\n"
    texts = [block.text for block in parse_rst(text).blocks]
    assert texts == ["word, phrase\n   is word, phrase, not |y|.", "1: A source."]


def test_rst_substitution_leaves_the_columns_of_drawn_tables() -> None:
    definitions = ".. |m| replace:: a much longer name\n.. |v| replace:: :code:`component`, :code:`entity`\n\n"
    grid = "+-------+-----+\n| Opt   | Val |\n+=======+=====+\n| |m|   | |v| |\n+-------+-----+\n"
    simple = "====  ===\nOpt   Val\n====  ===\n|m|   |v|\n====  ===\n"
    row = "| a much longer name | `component`, `entity` |"
    for table in (grid, simple):
        [block] = parse_rst(definitions + table).blocks
        assert block.text.splitlines() == ["| Opt | Val |", "| --- | --- |", row]


def test_rst_substitution_in_code_is_left_but_for_parsed_literals() -> None:
    text = ".. |x| replace:: 1.2\n\n.. code-block:: sh\n\n   a |x| b\n\n.. parsed-literal::\n\n   tool-|x|\n"
    assert [block.text for block in parse_rst(text).blocks] == ["```sh\na |x| b\n```", "```\ntool-1.2\n```"]


def test_rst_substitution_by_a_code_of_a_character() -> None:
    written_as = {"0xA9": "©", "U+000AE .. REGISTERED SIGN": "®", "181": "µ", "&#x2014;": "—", "0xD800": "0xD800"}
    for written, sign in written_as.items():
        text = f".. |sign| unicode:: {written}\n   :trim:\n\nIt is |sign| here.\n"
        assert [block.text for block in parse_rst(text).blocks] == [f"It is {sign} here."], written


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab `*_:.|=-+~#<>[](){}\\\n \t", max_size=200))
def test_no_text_breaks_a_parser(text: str) -> None:
    for name in ("x.md", "x.rst", "x.txt", "x.v"):
        parse(name, text)


@given(st.lists(st.from_regex(r"[a-z]{3,8}( [a-z]{3,8}){0,6}\.", fullmatch=True), min_size=1, max_size=8))
def test_plain_paragraphs_are_the_same_in_every_markup(paragraphs: list[str]) -> None:
    for name in ("x.md", "x.rst", "x.txt"):
        assert [block.text for block in parse(name, "\n\n".join(paragraphs)).blocks] == paragraphs


@for_each(
    ("path", "title"),
    [
        ("src/grt/README.md", "grt README"),
        ("notes/hold.md", "hold"),
        ("README.md", "README"),
        ("a/fifo.v", "fifo.v"),
        ("b/log.txt", "log.txt"),
    ],
)
def test_without_a_heading_the_title_comes_from_the_path(path: str, title: str) -> None:
    assert parse(path, "no heading").title == title


def test_code_files_are_one_code_block() -> None:
    parsed = parse("a.tcl", "global_route\nexit\n")
    assert [(block.kind, block.text) for block in parsed.blocks] == [("code", "```tcl\nglobal_route\nexit\n```")]


def test_a_fence_is_longer_than_the_runs_inside() -> None:
    assert fence_code(["```", "x"]) == "````\n```\nx\n````"


def test_table_padding_is_squeezed_but_single_spaces_stay() -> None:
    assert squeeze_table("| a    | b c |\n|------|:-------:|") == "| a | b c |\n|---|:---:|"


@for_each(
    ("source", "text"),
    [
        ("see [a (b)](x(y).md) and [c\nd](e.md#f)", "see a (b) and c\nd"),
        ("[![badge](b.svg)](https://example.org) rest", "badge rest"),
        ('a [link](x.md "a title") end', "a link end"),
        ("bus[3] and (x) stay", "bus[3] and (x) stay"),
        ("{term}`CTS` and {cite:p}`Smith`", "`CTS` and `Smith`"),
        ("(label)=\ntext", "text"),
        ("<!-- note\nover lines -->shown", "shown"),
    ],
)
def test_markdown_inline_marks(source: str, text: str) -> None:
    assert [block.text for block in parse_markdown(source).blocks] == [text]


def test_markdown_headings_of_both_styles_and_marks_in_them() -> None:
    parsed = parse_markdown("Big\n===\n\nA `b` **c**\n---\n\ntext\n\n#### [deep](x.md)\n\nmore\n")
    assert parsed.title == "Big"
    assert [block.heading_path for block in parsed.blocks] == [("A b c",), ("A b c", "deep")]


def test_colons_inside_code_are_code() -> None:
    block = parse_markdown("~~~\n:::{note}\nx\n:::\n~~~\n").blocks[0]
    assert (block.kind, block.text) == ("code", "```\n:::{note}\nx\n:::\n```")


def test_an_admonition_with_code_inside_keeps_both() -> None:
    parsed = parse_markdown("````{tip} Faster\nRun:\n```shell\nmake -j\n```\n````\n")
    assert [(block.kind, block.text) for block in parsed.blocks] == [
        ("prose", "Tip: Faster Run:"),
        ("code", "```shell\nmake -j\n```"),
    ]


def test_an_unclosed_fence_and_a_broken_table_stay_text() -> None:
    assert [block.kind for block in parse_markdown("```tcl\nglobal_route\n").blocks] == ["code"]
    assert parse_markdown("| a | b\nno table\n").blocks[0].text == "| a | b\nno table"


def test_rst_heading_levels_follow_their_first_appearance() -> None:
    text = "====\nTop\n====\n\nx\n\nOne\n~~~\n\nx\n\nTwo\n^^^\n\nx\n\nOther\n~~~~~\n\nx\n"
    parsed = parse_rst(text)
    assert parsed.title == "Top"
    assert [block.heading_path for block in parsed.blocks] == [(), ("One",), ("One", "Two"), ("Other",)]


def test_rst_grid_table_is_one_block() -> None:
    blocks = parse_rst("+---+---+\n| a | b |\n+===+===+\n| 1 | 2 |\n+---+---+\n\nafter\n").blocks
    assert [block.kind for block in blocks] == ["table", "prose"]
    assert "| 1 | 2 |" in blocks[0].text


def test_rst_nested_options_keep_their_parents_path() -> None:
    text = (
        "Tool\n====\n\n.. option:: --outer <x>\n\n   Outer text.\n\n   .. option:: inner\n\n      Inner "
        "text.\n\nAfter.\n"
    )
    blocks = parse_rst(text).blocks
    assert [(block.heading_path, block.text) for block in blocks] == [
        (("--outer <x>",), "Outer text."),
        (("--outer <x>", "inner"), "Inner text."),
        ((), "After."),
    ]


def test_rst_captions_and_options_may_go_on_in_the_next_line() -> None:
    text = (
        ".. code-block::\n   :caption: Miter circuit, with the upper\n        bits constrained\n   :name: fixed\n\n"
        "   yosys> sat\n\n.. list-table:: Limits of the pads\n   at 25 degrees\n   :header-rows: 1\n\n"
        "   * - Pad\n     - mA\n   * - IO8\n     - 8\n"
    )
    table = "| Pad | mA |\n| --- | --- |\n| IO8 | 8 |"
    captions = ["Miter circuit, with the upper bits constrained", "Limits of the pads at 25 degrees"]
    assert [block.text for block in parse_rst(text).blocks] == [
        captions[0],
        "```\nyosys> sat\n```",
        captions[1],
        table,
    ]


def test_rst_figure_gives_its_caption_and_table_directive_its_title() -> None:
    text = (
        ".. figure:: x.png\n   :name: y\n\n   The caption.\n\n.. table:: Rules for `$and`\n   :align: center\n\n   == "
        "==\n   a  b\n   == ==\n"
    )
    table = "|  |  |\n| --- | --- |\n| a | b |"
    assert [block.text for block in parse_rst(text).blocks] == ["The caption.", "Rules for `$and`", table]


def test_rst_definition_and_literal_after_a_bare_colon_pair() -> None:
    blocks = parse_rst("``A_WIDTH``\n   The width.\n\n::\n\n   raw  text\n\n-  item\n\n   more of it\n").blocks
    assert [(block.kind, block.text) for block in blocks] == [
        ("prose", "`A_WIDTH`\n   The width."),
        ("code", "```\nraw  text\n```"),
        ("list", "-  item"),
        ("prose", "more of it"),
    ]


@for_each(
    ("source", "text"),
    [
        (":cmd:ref:`synth_ice40` runs", "`synth_ice40` runs"),
        (":vlopt:`-W <-Werror-<message>>`", "`-W`"),
        (":doc:`the page </a/b>`", "the page"),
        (":cmd:title:`proc`.", "`proc`."),
        ("`Yosys manual <https://example.org/a>`__ here", "Yosys manual here"),
        ("see verilator_ and `two words`_.", "see verilator and two words."),
        ("set_wire_rc and $_DFF_P_ stay", "set_wire_rc and $_DFF_P_ stay"),
    ],
)
def test_rst_inline_marks(source: str, text: str) -> None:
    assert [block.text for block in parse_rst(source).blocks] == [text]


def test_rst_list_and_csv_tables_have_cells() -> None:
    text = (
        ".. list-table:: Types\n   :header-rows: 1\n\n   * - Name\n     - What\n   * - ``A``\n     - the first\n      "
        " of two\n   * - B\n     -\n"
    )
    assert [(block.kind, block.text) for block in parse_rst(text).blocks] == [
        ("prose", "Types"),
        ("table", "| Name | What |\n| --- | --- |\n| `A` | the first of two |\n| B |  |"),
    ]
    text = '.. csv-table::\n   :header: "a, b", c\n\n   name, what\n   x, "one, two"\n'
    assert parse_rst(text).blocks[0].text == "| a, b | c |\n| --- | --- |\n| name | what |\n| x | one, two |"
    text = ".. csv-table::\n   :header-rows: 1\n\n   name, what\n   x, y\n"
    assert parse_rst(text).blocks[0].text == "| name | what |\n| --- | --- |\n| x | y |"


def test_a_table_that_names_no_header_has_an_empty_one() -> None:
    text = ".. list-table::\n\n   - - *a*\\ .cpp\n     - Model - or not\n   - - b\n     - Header\n\n       - inner\n"
    rows = ["|  |  |", "| --- | --- |", "| *a*.cpp | Model - or not |", "| b | Header - inner |"]
    assert parse_rst(text).blocks[0].text == "\n".join(rows)


@for_each(
    ("path", "known"),
    [
        ("a/Manual.PDF", True),
        ("man3/SSL_read.3ssl", True),
        ("ls.1.gz", True),
        ("cells.lib.gz", True),
        ("expect.n", True),
        ("sub/Makefile", True),
        ("README", True),
        ("_sources/index.rst.txt", True),
        ("picture.png", False),
        ("archive.gz", False),
        ("core", False),
        ("data.7z", False),
    ],
)
def test_a_format_is_known_by_its_name(path: str, known: bool) -> None:
    assert (format_of(path) is not None) is known


def test_every_format_has_one_parser() -> None:
    for suffix, found in FORMATS.items():
        assert suffix == suffix.lower()
        assert (found.parse_text is None) is not (found.parse_bytes is None)
        assert not found.keeps_text or found.parse_text


def test_the_text_of_a_document_gives_its_blocks_again() -> None:
    for path, text in (("a.md", "# T\n\nText.\n"), ("a.tcl", "# Comment.\nexit\n"), ("a.csv", "a,b\n1,2\n")):
        parsed = parse(path, text)
        document = parse_document("docs", path, parsed.title, text, None, "ISC")
        assert document.blocks == parsed.blocks
        assert document.text in (text, write_parsed(parsed))
        assert (document.own_text is None) == (document.text != text)


@for_each("unit", ["![", "<a ", "<!--", "![a](", ":a", "a.", "`", "[a](", "a_", ".. include:: a  "])
def test_many_openings_that_nothing_closes_are_read_in_linear_time(unit: str) -> None:
    for name in ("x.md", "x.rst", "x.txt"):
        assert parse(name, f"Text.\n\n{unit * (400_000 // len(unit))}").blocks[0].text.startswith("Text.")


LONG = [f"lint_off [-rule <message>] [-file <file_{number}>] [-contents <wildcard>]" for number in range(3)]
TERMS = "".join(f"<dt>{name.replace('<', '&lt;')}</dt>" for name in LONG)


@for_each(
    ("path", "text"),
    [
        ("a.rst", "Control\n=======\n\n" + "".join(f".. option:: {name}\n\n" for name in LONG) + "   Off.\n\n   On.\n"),
        ("a.1", ".TH A 1\n.SH NAME\nControl\n" + "".join(f".TP\n{name}\n" for name in LONG) + "Off.\n.IP\nOn.\n"),
        ("a.1", ".TH A 1\n.SH NAME\nControl\n" + "".join(f'.IP "{name}"\n' for name in LONG) + "Off.\n.IP\nOn.\n"),
        ("a.html", f"<h1>Control</h1><dl>{TERMS}<dd><p>Off.<p>On.</dd></dl>"),
    ],
)
def test_a_definition_too_long_for_a_heading_stands_whole_below_it(path: str, text: str) -> None:
    blocks = read_file(path, text.encode())[1].blocks[-3:]
    assert {block.heading_path[-1] for block in blocks} == {"lint_off"}
    assert [block.text for block in blocks] == ["\n".join(f"`{name}`" for name in LONG), "Off.", "On."]


@for_each(
    ("path", "form"),
    [
        ("a.md", "# T\n\n## {}\n\nText.\n"),
        ("a.rst", "Tool\n====\n\n{}\n----\n\nText.\n"),
        ("a.html", "<h1>T</h1><h2>{}</h2><p>Text.</p>"),
    ],
)
def test_the_words_of_an_overlong_heading_are_not_lost(path: str, form: str) -> None:
    heading = " ".join(f"word{number}" for number in range(40))
    blocks = read_file(path, form.replace("{}", heading).encode())[1].blocks
    assert [block.text for block in blocks] == [heading, "Text."]
    assert heading.startswith(blocks[1].heading_path[-1].removesuffix(" …"))


def test_a_row_of_a_markdown_table_that_goes_on_in_the_next_line_is_one() -> None:
    table = parse_markdown("| a | b |\n| --- | --- |\n| `-x` | one,\n  two |\n| `-y` | three |\n").blocks[0].text
    assert table == "| a | b |\n| --- | --- |\n| `-x` | one, two |\n| `-y` | three |"
    bare = "a | b\n--- | ---\nx | one\ny | two"
    assert parse_markdown(bare).blocks[0].text == bare


def test_a_substitution_that_would_grow_without_end_is_left() -> None:
    text = ".. |x| replace:: " + "word " * 2000 + "\n\n" + "|x|\n" * 20_000
    assert len(parse_rst(text).blocks[0].text) < 2 * 2**20


def test_of_a_long_name_in_a_myst_role_the_last_part_is_shown() -> None:
    text = "# A\n\nSee {py:func}`~flow.steps.route` and {py:class}`flow.Step`, not `~a.b`.\n"
    assert parse_markdown(text).blocks[-1].text == "See `route` and `flow.Step`, not `~a.b`."


def test_a_table_of_the_linux_kernels_documents_is_a_table() -> None:
    text = ".. flat-table:: Registers\n   :header-rows: 1\n\n   * - H\n     - I\n   * - 1\n     - 2\n"
    assert [block.text for block in parse_rst(text).blocks] == ["Registers", "| H | I |\n| --- | --- |\n| 1 | 2 |"]


def test_a_list_of_libraries_is_text_though_it_is_called_as_liberty_is() -> None:
    assert format_of("pdk/cds.lib") is format_of("notes.txt") is not format_of("pdk/cells.lib")


@for_each(
    ("text", "shown"),
    [
        (
            ":::{list-table} Limits\n:header-rows: 1\n\n* - Layer\n  - Width\n* - M6\n  - 2.6\n:::\nAfter.",
            ["Limits", "| Layer | Width |\n| --- | --- |\n| M6 | 2.6 |", "After."],
        ),
        (":::{code-block} tcl\nset a 1\n:::", ["```tcl\nset a 1\n```"]),
        ("| a |\n|---|\n| 1 |\n\n:::{table} Widths\n| b |\n|---|\n| 2 |\n:::", ["a", "Widths", "b"]),
        (":::{note}\nOnly here.\n:::", ["Note:\nOnly here."]),
        (":::{csv-table} Open\n:header: a\n\n1", ["Open", "| a |\n| --- |\n| 1 |"]),
    ],
)
def test_directives_between_colons_are_read_as_those_in_fences(text: str, shown: list[str]) -> None:
    blocks = parse_markdown(text).blocks
    assert [block.text[2:3] if shown[0] == "a" and block.kind == "table" else block.text for block in blocks] == shown


@for_each("name", ["power.rpt", "run.log", "page.txt"])
def test_a_report_that_is_a_page_is_read_as_one(name: str) -> None:
    content = b"\n<!DOCTYPE html>\n<html><body><h1>Power</h1><p>12 mW of <b>VDD</b></p></body></html>"
    (block,) = read_file(name, content)[1].blocks
    assert block.text == "12 mW of VDD"


def test_attributes_of_kramdown_are_no_text() -> None:
    blocks = parse_markdown("| a |\n|---|\n| 1 |\n{: .wide}\n\n```\n{: kept}\n```\n").blocks
    assert [block.text for block in blocks] == ["| a |\n|---|\n| 1 |", "```\n{: kept}\n```"]


@for_each(
    ("text", "shown"),
    [
        (":::{admonition} Hot\n:class: tip\n\nDo not touch.\n:::", ["Admonition: Hot", "Do not touch."]),
        ("Text.\n\n% a remark\n\n+++\n\nMore.", ["Text.", "More."]),
        ("Of these 10\n% are slow.", ["Of these 10\n% are slow."]),
        ("````{note}\n:::{tip} Fast\nRun it.\n:::\n````", ["Note: Tip: Fast\nRun it."]),
    ],
)
def test_marks_of_myst_between_lines_are_no_text(text: str, shown: list[str]) -> None:
    assert [block.text for block in parse_markdown(text).blocks] == shown
