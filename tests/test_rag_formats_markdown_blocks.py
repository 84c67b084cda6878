"""rag.formats.markdown_blocks: the same outermost blocks as markdown-it's own, for any text."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from rag.formats.markdown_blocks import outer_tokens

Shown = list[tuple[str, str, list[int] | None, str]]


def show(tokens: list[Token]) -> Shown:
    """What a reader of blocks looks at."""
    return [
        (token.type, token.tag, token.map, token.content if token.type in ("fence", "code_block") else "")
        for token in tokens
        if token.level == 0
    ]


def headings(tokens: list[Token]) -> list[str]:
    return [
        tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open" and not token.level
    ]


def compare(text: str) -> None:
    """Ask both."""
    expected_links: dict[str, Any] = {}
    links: dict[str, Any] = {}
    parser = MarkdownIt("commonmark").enable("table").disable(["inline", "text_join"])
    expected = parser.parse(text, expected_links)
    found = outer_tokens(text, links)
    assert show(found) == show(expected)
    assert headings(found) == headings(expected)
    assert links == expected_links


PIECES = [
    "- a", "- b c", "* a", "+ `x`", "- ```", "1. a", "2. b", "10) c", "3) 4. d", "-   wide", "-     code", "- - a",
    "- > q", "- # h", "- [x]: y", "- <b>", "- **", "- ---", "-", "  - a", "  - b", "    - a", "      text", "   a",
    "text", "", " ", "| a | b |", "|-|-|", "| - | :-: |", "a | b", "|c|", "|", "||", "| a \\| b |", "    | x |",
    "> | q |", "***", "---", "===", "# H", "## H ##", "```", "~~~", "<div>", "</div>", "<!-- c", "-->", "> q",
    "[a]: b", "[r]: <c> 'd'", "\t- tab", "-\ta", "- \u00e9", "- 2024 x", "- 2024. x", "\u00a0", "|\u00a0|",
    "1. [x]: y", "- a  ", "-- a", "_ _ _", "- **b**", "- [a](b)", "- [a]: b", "1. [a] [b]",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("\n".join))
@example("- a\n- b\n- c")
@example("- a\n- b\n\n- c\n\ntext")
@example("- a\n- b\nlazy\n- c\n  more\n\n      code\n- d")
@example("1. a\n2. b\n3. c\n- d\n- e\n4. f")
@example("|a|b|\n|-|-|\n|c|d|\n|e|\n# H")
@example("|a|b|\n|-|-|\n|c|d|\n|e|\nf | g\n- h\n- i")
@example("> |a|\n> |-|\n> |b|\n> |c|\nd")
@example("- |a|\n  |-|\n  |b|\n  |c|\n- d\n- e")
def test_blocks_are_those_of_markdown_it(text: str) -> None:
    compare(text)


def test_a_wide_head_over_rows_of_one_cell_ends_where_markdown_it_ends_it() -> None:
    compare("|" + "a|" * 300 + "\n|" + "-|" * 300 + "\n" + "|b|\n" * 400 + "\n- a\n- b\n")


def test_only_outermost_tokens_are_kept() -> None:
    tokens = outer_tokens("# A\n\n" + "- b\n" * 1000 + "\n|a|\n|-|\n" + "|c|\n" * 1000, {})
    assert [token.type for token in tokens] == [
        "heading_open",
        "inline",
        "heading_close",
        "bullet_list_open",
        "bullet_list_close",
        "table_open",
        "table_close",
    ]
