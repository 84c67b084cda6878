"""Answers as Markdown for the page, checked with an independent CommonMark parser where it can be; test_attack_page.py
attacks them.
"""

from __future__ import annotations

import html
import re

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.fake_gateway import HITS, quote
from tests.rows import for_each
from ui.events import read_source
from ui.page.rendering import answer_markdown, passage_blocks

SOURCES = tuple(read_source(hit) for hit in HITS)
GFM = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def as_html(text: str) -> str:
    """What the page makes of an answer."""
    return str(GFM.render(answer_markdown(text, SOURCES)))


def shown(text: str) -> str:
    """The letters that a reader of an answer sees."""
    return html.unescape(re.sub(r"<[^>]+>", "", as_html(text))).strip()


@for_each(
    "text",
    [
        "Set $a and $b, or $::env(X).",
        "data[7:0], mem[addr][3], a_b_c and *_reg",
        "bus :small[7:0] and q:red[x] and :a{b}",
        "<clk> of <script>x</script> &lt; 3",
        "q <= d; a -> b",
        "always @(posedge clk)",
        "see http://h.example/x, www.h.example or ann@h.example",
        ":smile: :material/home:",
        "[x] [^1] [a][b]",
    ],
)
def test_text_of_an_answer_reaches_the_reader_letter_by_letter(text: str) -> None:
    assert shown(text) == html.unescape(text)


@for_each(
    ("code", "content"),
    [
        ("`$::env(X)`", "$::env(X)"),
        ("``a ` $b``", "a ` $b"),
        ("```tcl\nputs $x ![a](b) [1]\n```", "puts $x ![a](b) [1]\n"),
        ("~~~\n$x\n~~~", "$x\n"),
        ("```tcl\nputs $still_streaming", "puts $still_streaming\n"),
        ("text\n\n    ```\n    [1] $x\n", "```\n[1] $x\n"),
        ("- a\n  ```\n  x\n    y\n\n  z\n  ```", "x\n  y\n\nz\n"),
    ],
)
def test_code_is_shown_as_it_was_written(code: str, content: str) -> None:
    tokens = GFM.parse(answer_markdown(code, SOURCES))
    found = [
        token
        for top in tokens
        for token in (top, *(top.children or ()))
        if token.type in ("fence", "code_block", "code_inline")
    ]
    assert [token.content for token in found] == [content]


@for_each(
    "text",
    [
        "- a\n- b\n  - c\n  - d\n- e",
        "1. a\n2. b\n\n   more of b\n3. c",
        "7) a\n8) b",
        "* a\n+ b\n- c",
        "> quoted\n> - a\n>\n> > deeper",
        "# One\n\ntext\n\n### Three *em*\n\n---",
        "Title\n=====\ntext\nover lines\\\nand a break",
        "| a | b |\n|:-|:-:|\n| 1 | `x` |\n| **y** | z |",
        "**bold *both*** and ~~gone~~ a*b*c",
        "- a\n\n  ```tcl\n  x\n  ```\n\n  text\n- b\n\n  | a |\n  |---|\n  | b |",
        "-\n- a\n  1. x\n  2. y",
        "",
    ],
)
def test_lists_tables_headings_and_emphasis_stay_what_they_are(text: str) -> None:
    assert re.sub(r">\s+", ">", as_html(text)) == re.sub(r">\s+", ">", GFM.render(text))


def test_tags_are_text_with_markdown_between_them() -> None:
    assert as_html("<b>$a</b>\n*b*") == "<p>&lt;b&gt;$a&lt;/b&gt;\n<em>b</em></p>\n"


def test_picture_is_its_description_or_its_address() -> None:
    assert shown("see ![a *tall* plot](http://h/x.png) and ![](http://h/y.png)") == "see a tall plot and http://h/y.png"
    assert "<img" not in as_html("![x](http://h/x.png)")


def test_reference_defines_nothing() -> None:
    assert "href" not in as_html("![y][k] and [z][k]\n\n[k]: http://h/y.png")
    assert shown("![y][k]\n\n[k]: http://h/y.png") == "![y][k]\n[k]: http://h/y.png"


def test_foreign_link_is_text_with_its_address_to_copy() -> None:
    assert (
        as_html("see [the *page*](http://evil.example/x)")
        == "<p>see the <em>page</em> (<code>http://evil.example/x</code>)</p>\n"
    )
    assert as_html("see <http://evil.example/x>.") == "<p>see <code>http://evil.example/x</code>.</p>\n"


def test_link_to_a_source_stays_a_link() -> None:
    assert as_html(f"[here]({HITS[0]['url']})") == f'<p><a href="{HITS[0]["url"]}">here</a></p>\n'


def test_citation_links_to_its_passage() -> None:
    assert answer_markdown("Do it [2].", SOURCES) == "Do it [\\[2\\]](http://127.0.0.1:8000/sources/c0ffee02)."


def test_citation_of_a_quote_leads_to_the_quote_on_the_gateways_page() -> None:
    source = read_source(HITS[1], [quote(HITS[1], "A violation is fixed")])
    page = f"{HITS[1]['url']}?quote=0-20#quote"
    assert answer_markdown("Do it [2].", [source]) == f"Do it [\\[2\\]]({page})."
    assert answer_markdown(f"[here]({HITS[1]['url']})", [source]) == f"[here]({HITS[1]['url']})"


def test_citation_behind_an_exclamation_mark_is_not_a_picture() -> None:
    assert as_html("Done![2]") == '<p>Done!<a href="http://127.0.0.1:8000/sources/c0ffee02">[2]</a></p>\n'


def test_citation_without_a_web_address_or_a_source_stays_text() -> None:
    assert as_html("This [3] and that [9].") == "<p>This [3] and that [9].</p>\n"


def test_link_of_the_model_is_not_taken_for_a_citation() -> None:
    assert as_html("[1](http://h)") == "<p>1 (<code>http://h</code>)</p>\n"


def test_citations_are_linked_before_a_colon_and_one_behind_the_other() -> None:
    first, second = (f'<a href="{source.link}">[{source.number}]</a>' for source in SOURCES[:2])
    assert as_html("Call `a` [1][2]:\n```tcl\na\n```").startswith(f"<p>Call <code>a</code> {first}{second}:</p>\n<pre>")


def test_emphasis_deeper_than_any_recursion_is_emphasis() -> None:
    assert as_html("*" * 2000 + "a" + "*" * 2000) == "<p><strong>a</strong></p>\n"
    assert shown("*a **b " * 500 + "c** d*" * 500).count("c") == 500


def test_drawing_orders_and_controls_of_terminals_do_not_reach_the_page() -> None:
    assert shown("a \u202eb\u202c \x1b[31mc &#x202e;d") == "a b [31mc d"


@for_each(
    ("text", "span", "written"),
    [
        ("Run it. Then check.", (0, 7), ":red-background[Run it.] Then check."),
        ("See: {a}", (0, 4), ":red-background[See\\:] {a}"),
        ("See{a}(b)", (0, 3), ":red-background[See]\\{a}(b)"),
        ("See(b)", (0, 3), ":red-background[See]\\(b)"),
        ("is: this", (4, 8), "is: :red-background[this]"),
        ("is:this", (3, 7), "is\\::red-background[this]"),
        ("of x[3:0] [1]", (0, 13), f":red-background[of x\\[3\\:0\\] [\\[1\\]]({HITS[0]['url']})]"),
        ("of `x[3:0]` x", (0, 13), ":red-background[of `x[3:0]` x]"),
        ("of `x]` or **b**", (0, 16), ":red-background[of] `x]` :red-background[or] :red-background[**b**]"),
        ("`x\\]` y", (0, 7), ":red-background[`x\\]` y]"),
        ("`x]`", (0, 4), "`x]`"),
        ("a  \nb", (0, 5), ":red-background[a\\\nb]"),
        ("`]`  \n`]`", (0, 9), "`]`\\\n`]`"),
    ],
)
def test_mark_is_a_directive_that_its_text_cannot_end(text: str, span: tuple[int, int], written: str) -> None:
    assert answer_markdown(text, SOURCES, [span]) == written


def test_a_mark_of_more_brackets_than_the_page_reads_is_left_out() -> None:
    for text in ("`" + "[" * 40 + "]" * 40 + "`", "[" * 1000):
        assert "background" not in answer_markdown(text, (), [(0, len(text))])


@given(st.text(alphabet="ab `[]\\*:{}()|\n", max_size=30), st.integers(0, 30), st.integers(0, 30))
def test_marks_leave_the_letters_of_an_answer_as_they_are(text: str, start: int, end: int) -> None:
    written = answer_markdown(text, (), [(start, end)])
    assert re.sub(r"[\s\\]", "", written.replace(":red-background[", "")).count("]") == (
        re.sub(r"[\s\\]", "", answer_markdown(text)).count("]") + written.count(":red-background[")
    )


def test_passage_is_drawn_block_by_block_and_its_headings_are_small() -> None:
    blocks = passage_blocks(
        "# T\n\nUse [1] of it.\n\n```tcl\nx\n```\n\n- a\n\n  ```\n  y\n  ```\n", [(5, 12), (23, 24)]
    )
    assert [(block.markdown, block.is_quoted_code) for block in blocks] == [
        ("##### T", False),
        (":yellow-background[Use \\[1\\]] of it.", False),
        ("```tcl\nx\n```", True),
        ("- a\n\n  ```\n  y\n  ```", False),
    ]


@given(st.text(max_size=60))
def test_code_of_an_answer_reaches_the_reader_letter_by_letter(code: str) -> None:
    body = "".join(character for character in code if character.isprintable() and character not in "`~")
    tokens = MarkdownIt("commonmark").parse(answer_markdown(f"Before $x\n\n```tcl\n{body}\n```\n\nafter [1]", SOURCES))
    assert [token.content for token in tokens if token.type == "fence"] == [f"{body}\n"]


@for_each("count", range(1, 48))
def test_an_answer_that_is_still_coming_is_never_drawn_with_a_picture_or_a_formula(count: int) -> None:
    answer = "Use `a $b` and ![x](http://127.0.0.1/x.png) $c$"
    drawn = answer_markdown(answer[:count])
    assert "![" not in drawn
    assert not re.search(r"(?<!\\)\$", re.sub(r"`[^`]*`?", "", drawn))
