"""Letters as Markdown: what a reader sees is what was written, in CommonMark, GFM and Streamlit's own dialect."""

from __future__ import annotations

import html
import re

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.rows import for_each
from ui.escaping import Code, Text, fenced, inline_code, link, literal, write


def shown(markdown: str) -> str:
    """The text a reader sees."""
    rendered = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).render(markdown)
    return html.unescape(re.sub(r"<[^>]+>", "", rendered)).strip()


@for_each(
    "text",
    [
        "set_input_delay *all_inputs*",
        "$::env(X) and $y$",
        "<b>bold</b>",
        "# no heading",
        "![x](http://h/x)",
        "a[3:0] :red[x]",
        "`tick`",
        "1. no list",
        "12) no list",
        "- no list",
        "~~~",
        "| a | b |",
        "see (https://h/x), <www.h.x> and ann@h.x.",
        ":smile: :material/home: lib:cell:pin at 10:30:00",
        "q <= d -> e -- f",
        "&amp; &#32;",
    ],
)
def test_literal_shows_exactly_what_was_written(text: str) -> None:
    assert shown(literal(text)) == text


@given(st.text(alphabet="ab \\`*_{}[]()#+-.!|<>~$:&^=;/1@w", min_size=1, max_size=30))
def test_literal_shows_any_line_as_it_is(text: str) -> None:
    assert shown(literal(text)).split() == text.split()


def test_literal_keeps_line_breaks_and_indentation() -> None:
    assert literal("one\ntwo") == "one  \ntwo"
    assert literal("if {\n\tx\n    y") == "if {  \n\u00a0\u00a0\u00a0\u00a0x  \n\u00a0\u00a0\u00a0\u00a0y"


@for_each(
    "address",
    [
        "http://h.example/x",
        "HTTPS://h.example",
        "www.h.example",
        "ann@h.example",
        "+a@h-x.example",
        ":smile:",
        ":streamlit:",
        ":material_home:",
        "->",
    ],
)
def test_what_is_found_behind_backslashes_stands_in_code(address: str) -> None:
    """The page links addresses and draws names and arrows in every text, however it was escaped; never in code."""
    assert literal(address) == f"`{address}`"
    assert write(["**", Text(address[:2]), Text(address[2:]), "**"]) == f"**`{address}`**"


def test_version_of_a_collection_is_no_address() -> None:
    assert literal("in a@2.1, a@2 and my-a@5c9e48a.") == "in a@2.1, a@2 and my-a@5c9e48a."
    assert literal("a@2.1-rc and a@b.c_1") == "`a@2.1-rc` and `a@b.c_1`"  # GFM takes these for addresses


def test_marks_around_an_address_are_not_part_of_it() -> None:
    assert literal('("http://h/x").') == '\\("`http://h/x`").'


def test_code_beside_code_is_one_code() -> None:
    assert write([Code("a"), Code("``b")]) == "```a``b```"
    assert write([Text("http://h/"), Code("`x")]) == "``http://h/`x``"


def test_code_in_a_cell_holds_no_bar() -> None:
    """How many backslashes a bar in code needs is another matter in each dialect."""
    written = write([Code("a|b\\|c")], in_table=True)
    assert written == "`a`&#124;`b\\`&#124;`c`"
    assert shown(f"| x |\n|---|\n| {written} |").endswith("a|b\\|c")


@given(st.text(alphabet="ab `|\\", min_size=1, max_size=20).filter(str.strip))
def test_inline_code_shows_its_letters(code: str) -> None:
    (paragraph,) = [
        token for token in MarkdownIt("commonmark").parse(f"x{inline_code(code)}") if token.type == "inline"
    ]
    assert [(child.type, child.content) for child in paragraph.children or ()] == [("text", "x"), ("code_inline", code)]


@for_each(
    ("language", "kept"),
    [("tcl", "tcl"), ("c++", "c++"), ("mermaid", ""), ("MERMAID-v2", ""), ("a`b", ""), ("<x>", ""), ("x" * 40, "")],
)
def test_language_of_a_fence_is_a_word_and_draws_no_diagram(language: str, kept: str) -> None:
    assert fenced("x\n", language) == f"```{kept}\nx\n```"


@given(st.text(alphabet="ab`~ \n", max_size=40))
def test_fence_holds_any_text(text: str) -> None:
    (token,) = MarkdownIt("commonmark").parse(fenced(text))
    assert (token.type, token.content) == ("fence", f"{text.removesuffix(chr(10))}\n")


@for_each(
    "url", ["http://h/a) <b> \\", "http://h/x> ![y](z)", "http://h/`|$a$*[b]", 'http://h/" "t', "http://h/?a=1&amp;b=2"]
)
def test_address_cannot_break_out_of_its_link(url: str) -> None:
    (paragraph,) = [token for token in MarkdownIt("commonmark").parse(link("a]b", url)) if token.type == "inline"]
    opening, label, closing = paragraph.children or []
    assert (opening.type, label.content, closing.type) == ("link_open", "a]b", "link_close")
    assert not set(str(opening.attrs["href"])) & set(" <>()\\`|$\"'")
