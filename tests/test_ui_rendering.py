"""Markdown for Streamlit, checked with an independent CommonMark parser where it can be."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.fake_gateway import HITS
from ui.events import read_source
from ui.rendering import answer_markdown, literal

SOURCES = tuple(read_source(hit) for hit in HITS)


def shown(markdown: str) -> str:
    """The text a reader sees, HTML taken for text as Streamlit does."""
    rendered = MarkdownIt("commonmark", {"html": False}).render(markdown)
    return html.unescape(re.sub(r"<[^>]+>", "", rendered)).strip()


@pytest.mark.parametrize(
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
        "- no list",
    ],
)
def test_literal_shows_exactly_what_was_written(text: str) -> None:
    assert shown(literal(text)) == text


@given(st.text(alphabet="ab \\`*_{}[]()#+-.!|<>~$:&^=;/1", min_size=1, max_size=30))
def test_literal_shows_any_line_as_it_is(text: str) -> None:
    assert shown(literal(text)).split() == text.split()


def test_literal_keeps_line_breaks() -> None:
    assert literal("one\ntwo") == "one  \ntwo"


def test_dollars_in_prose_are_no_mathematics() -> None:
    assert answer_markdown("Set $a and $b.") == "Set \\$a and \\$b."
    assert answer_markdown("Set \\$a.") == "Set \\$a."


@pytest.mark.parametrize(
    "code",
    [
        "`$::env(X)` ",
        "``a ` $b``",
        "```tcl\nputs $x ![a](b) [1]\n```",
        "~~~\n$x\n~~~",
        "```tcl\nputs $still_streaming",
        "   ```\n   $x\n   ```",
    ],
)
def test_code_is_left_as_written(code: str) -> None:
    assert answer_markdown(code, SOURCES) == code


def test_prose_around_code_is_still_disarmed() -> None:
    assert answer_markdown("$a `$b` $c\n\n```\n$d\n```\n$e") == "\\$a `$b` \\$c\n\n```\n$d\n```\n\\$e"


def test_tags_are_text_and_web_addresses_in_angle_brackets_links() -> None:
    assert shown(answer_markdown("<script>$a</script>\n*b*")) == "<script>$a</script>\nb"
    assert answer_markdown("see <https://h/x>, a < b") == "see <https://h/x>, a < b"


def test_picture_is_not_fetched() -> None:
    assert "<img" not in MarkdownIt("commonmark").render(answer_markdown("see ![x](http://h/x.png) and ![y][1]\n\n[1]: http://h/y.png"))


def test_directives_of_streamlit_are_shown_as_text() -> None:
    assert answer_markdown("bus :small[7:0] and q:red[x]") == "bus \\:small[7:0] and q\\:red[x]"


def test_citation_links_to_its_passage() -> None:
    assert answer_markdown("Do it [2].", SOURCES) == "Do it [\\[2\\]](http://127.0.0.1:8000/sources/c0ffee02)."


def test_citation_without_a_web_address_or_a_source_stays_text() -> None:
    assert answer_markdown("This [3] and that [9].", SOURCES) == "This [3] and that [9]."


def test_link_of_the_model_is_not_taken_for_a_citation() -> None:
    text = "[1](http://h) and [this][1]\n\n[2]: http://h"
    assert answer_markdown(text, SOURCES).startswith("[1](http://h) and [this][")
    assert answer_markdown(text, SOURCES).endswith("\n\n[2]: http://h")


def test_citations_are_linked_before_a_colon_and_one_behind_the_other() -> None:
    first, second = (f"[\\[{source.number}\\]]({source.link})" for source in SOURCES[:2])
    assert answer_markdown("Call `a` [1][2]:\n```tcl\na\n```", SOURCES) == f"Call `a` {first}{second}:\n```tcl\na\n```"
    assert shown(answer_markdown("Call it [1][2]: so", SOURCES)) == "Call it [1][2]: so"


def test_address_cannot_break_out_of_its_link() -> None:
    source = read_source({**HITS[0], "url": "http://h/a) <b> \\"})
    assert answer_markdown("[1]", [source]) == "[\\[1\\]](http://h/a%29%20%3Cb%3E%20%5C)"


@given(st.text(alphabet="ab`~\n$[]1! ", max_size=40))
def test_any_text_can_be_rendered_and_loses_no_letter(text: str) -> None:
    assert answer_markdown(text).replace("\\", "") == text


MARKUP = st.text(alphabet="ab1 \n`~*_[](){}<>!$#|:\\\\/.-=&;\"'", max_size=120)


@given(MARKUP)
def test_no_answer_shows_a_picture_or_runs_a_tag_whatever_its_markup(text: str) -> None:
    """Read with HTML allowed, as the worst page would: what is left of a tag must stand inside a word that is not one."""
    tokens = MarkdownIt("commonmark", {"html": False}).enable("table").parse(answer_markdown(text, SOURCES))
    inline = [child for token in tokens for child in token.children or ()]
    assert not [child for child in inline if child.type == "image"]
    links = {child.attrs["href"] for child in inline if child.type == "link_open"}
    assert not [link for link in links if str(link).lower().startswith(("javascript:", "data:text"))]


@given(st.text(max_size=60))
def test_code_of_an_answer_reaches_the_reader_letter_by_letter(code: str) -> None:
    body = "".join(character for character in code if character.isprintable() and character not in "`~")
    tokens = MarkdownIt("commonmark").parse(answer_markdown(f"Before $x\n\n```tcl\n{body}\n```\n\nafter [1]", SOURCES))
    assert [token.content for token in tokens if token.type == "fence"] == [f"{body}\n"]


@pytest.mark.parametrize("count", range(1, 40))
def test_an_answer_that_is_still_coming_is_never_drawn_with_a_picture_or_a_formula(count: int) -> None:
    answer = "Use `a $b` and ![x](http://127.0.0.1/x.png) $c$"
    drawn = answer_markdown(answer[:count])
    assert "![" not in drawn.replace("!\\[", "")
    assert not re.search(r"(?<!\\)\$", re.sub(r"`[^`]*`?", "", drawn))
