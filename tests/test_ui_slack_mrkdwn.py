"""Markdown as Slack shows it; whatever a model or a document writes, it mentions nobody and links nowhere."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tests.rows import for_each
from ui.slack.mrkdwn import LINK_CHARS, SECTION_CHARS, UNSUPPORTED_SIGN, escape, from_mrkdwn, link, to_sections

DOCS = "https://docs.local/grt.html#repair"
LINKS = {1: DOCS, 2: "javascript:alert(1)", 3: "https://h/a|b>c d&e"}
# What Slack and Markdown read as markup, and words of mentions and links, so that random text hits them.
HOSTILE_PIECES = (
    *(
        "<",
        ">",
        "&",
        "!",
        "@",
        "#",
        "|",
        "*",
        "_",
        "~",
        "`",
        "```",
        "\n",
        "\n\n",
        "[",
        "]",
        "(",
        ")",
        "[1]",
        "[2]",
        "- ",
        "1. ",
        "> ",
        "# ",
        " ",
    ),
    *(
        "\\",
        "    ",
        "<!channel>",
        "<@U123>",
        "&lt;!here&gt;",
        "&#60;@U1&#62;",
        "<https://evil.local|x>",
        DOCS,
        "https://evil.local",
        "a",
        "| a | b |",
    ),
    *(
        "\n|---|---|\n",
        "[x](https://evil.local)",
        "![x](https://evil.local/p.png)",
        "~~~\n",
        "<b>",
        "`` ` <@U1> ``",
        "![<!here>](x)",
        "\u200b",
        "é",
        "[1]: https://evil.local",
    ),
)
HOSTILE = st.lists(st.sampled_from(HOSTILE_PIECES), max_size=30).map("".join)


def mrkdwn(markdown: str) -> str:
    """The one section of a short text."""
    (section,) = to_sections(markdown, LINKS)
    return section


@for_each(
    ("markdown", "expected"),
    [
        ("**bold** and __bold__", "*bold* and *bold*"),
        ("*italic* and _italic_", "_italic_ and _italic_"),
        ("~~gone~~", "~gone~"),
        ("***both***", "_*both*_"),
        ("# Title", "*Title*"),
        ("### A **bold** `title`", "*A bold `title`*"),
        ("run `a < b`", "run `a &lt; b`"),
        ("use `` `define X `` there", "use `define X there"),
        ("one\ntwo", "one\ntwo"),
        ("one\n\n\n\ntwo", "one\n\ntwo"),
        ("- a\n- b\n  - c\n- d", "• a\n• b\n    • c\n• d"),
        ("3. a\n4. b", "3. a\n4. b"),
        ("- a\n\n- b", "• a\n• b"),
        ("- a\n  more", "• a\n   more"),
        ("> said\n> twice", "> said\n> twice"),
        ("---", "———"),
        ("```tcl\nputs $x\n```", "```\nputs $x\n```"),
        ("    indented", "```\nindented\n```"),
        ("```tcl\nputs still_streaming", "```\nputs still_streaming\n```"),
        ("~~~\na ``` b\n~~~", "```\na `\u200b`` b\n```"),
        ("text\n```\ncode\n```\ntext", "text\n```\ncode\n```\ntext"),
        ("- a\n  ```\n  code\n  ```\n- b", "• a\n```\ncode\n```\n• b"),
        ("a & b < c > d", "a &amp; b &lt; c &gt; d"),
        ("<b>bold</b>", "&lt;b&gt;bold&lt;/b&gt;"),
        ("![alt](https://h/p.png)", "alt"),
        ("set_input_delay", "set_input_delay"),
        ("a ``` b ````", "a `\u200b`` b `\u200b`\u200b``"),
        ("2 \\* 3", "2 * 3"),
    ],
)
def test_markdown_becomes_mrkdwn(markdown: str, expected: str) -> None:
    assert mrkdwn(markdown) == expected


def test_table_becomes_a_code_block_with_columns() -> None:
    table = "| option | what |\n|---|---|\n| `-ratio_margin` | margin in % |\n| -x | a < b |"
    assert (
        mrkdwn(table)
        == "```\noption        | what\n--------------+------------\n-ratio_margin | margin in %\n-x            | a &lt;"
        " b\n```"
    )


def test_wide_table_becomes_a_list_of_its_rows() -> None:
    table = (
        f"| option | what | default | note |\n|---|---|---|---|\n| `-x` | a < b {'w' * 90} | 1 | |\n| | c | | d [1] "
        "|\n| e | | | |"
    )
    assert mrkdwn(table).split("\n") == [
        f"• *`-x`*: a &lt; b {'w' * 90}; default: 1",
        f"• c; note: d <{DOCS}|[1]>",
        "• *e*: ",
    ]
    assert mrkdwn(f"| {'w' * 100} | b |\n|---|---|") == f"{'w' * 100} | b"


def test_sentence_without_support_has_a_sign_before_it() -> None:
    (section,) = to_sections("Run it. **It** fixes `all`. Then\nstop.", unsupported=[(8, 27)])
    assert section == f"Run it. {UNSUPPORTED_SIGN} *It* fixes `all`. Then\nstop."


@for_each(
    ("markdown", "expected"),
    [
        ("see [1].", f"see <{DOCS}|[1]>."),
        ("see [1][1]", f"see <{DOCS}|[1]><{DOCS}|[1]>"),
        ("see [2] and [9]", "see [2] and [9]"),
        ("see [3]", "see <https://h/a%7Cb%3Ec%20d&amp;e|[3]>"),
        (f"see [the docs]({DOCS})", f"see <{DOCS}|the docs>"),
        ("see [the docs](https://evil.local)", "see the docs (https://evil.local)"),
        ("see <https://evil.local>", "see https://evil.local"),
        ("ask <ann@h.local>", "ask ann@h.local"),
        ("[click](javascript:alert(1))", "[click](javascript:alert(1))"),
        ("`[1]`", "`[1]`"),
        ("x[7]", "x[7]"),
    ],
)
def test_only_citations_are_links(markdown: str, expected: str) -> None:
    assert mrkdwn(markdown) == expected


@for_each(
    "text",
    [
        "<!channel>",
        "<!here|here>",
        "<@U123>",
        "<#C123|x>",
        "<!subteam^S1>",
        "&lt;!channel&gt;",
        "&#60;!everyone>",
        "`<@U1>`",
    ],
)
def test_text_mentions_nobody(text: str) -> None:
    quoted = [
        text,
        f"**{text}**",
        f"# {text}",
        f"- {text}",
        f"> {text}",
        f"| {text} |\n|---|\n| {text} |",
        f"[{text}]({DOCS})",
        f"![{text}](x.png)",
    ]
    coded = [f"```\n{text}\n```", f"~~~{text}\n~~~", f"    {text}", f"``` ` {text} ```", f"`{text}`"]
    for shown in (*map(mrkdwn, [*quoted, *coded]), escape(text), link(DOCS, text)):
        assert not re.search(r"<[!@#]", shown)


@given(HOSTILE)
def test_nothing_but_a_link_to_a_passage_stands_in_angle_brackets(text: str) -> None:
    for section in to_sections(text, {1: DOCS, 2: LINKS[2]}):
        assert "<!" not in section
        assert "<@" not in section
        assert section.count("<") == section.count(f"<{DOCS}|")
        assert not re.search(r"&(?!amp;|lt;|gt;)", section)


@given(HOSTILE, st.integers(20, 60))
def test_sections_are_never_longer_than_their_limit_and_never_empty(text: str, limit: int) -> None:
    for section in to_sections(text, limit=limit):
        assert 0 < len(section) <= limit
        assert section.count("```") % 2 == 0


@given(st.lists(st.text(alphabet="abc<&", min_size=1, max_size=30), min_size=1, max_size=30), st.integers(30, 80))
def test_code_that_is_cut_loses_nothing_and_each_part_is_closed(lines: list[str], limit: int) -> None:
    sections = to_sections("```\n" + "\n".join(lines) + "\n```", limit=limit)
    assert all(section.startswith("```\n") and section.endswith("\n```") for section in sections)
    inside = "".join(section[4:-4] for section in sections)
    assert inside.replace("\n", "") == escape("".join(lines))


@given(st.lists(st.text(alphabet="abc<&", min_size=1, max_size=9), min_size=1, max_size=60))
def test_prose_that_is_cut_loses_no_word(words: list[str]) -> None:
    sections = to_sections(" ".join(words), limit=40)
    assert "".join(sections).replace(" ", "").replace("\n", "") == escape("".join(words))


def test_a_cut_prefers_the_end_of_a_line_then_of_a_word() -> None:
    assert to_sections("aaaa aaaa\nbbbb bbbb\ncccc", limit=20) == ["aaaa aaaa\nbbbb bbbb\n", "cccc"]
    assert to_sections("aaaa bbbb cccc dddd eeee", limit=20) == ["aaaa bbbb cccc dddd ", "eeee"]
    assert to_sections("a" * 50, limit=20) == ["a" * 20, "a" * 20, "a" * 10]


def test_a_cut_divides_no_entity_and_no_link() -> None:
    assert to_sections("<" * 12, limit=22) == ["&lt;" * 5, "&lt;" * 5, "&lt;" * 2]
    whole = f"<{DOCS}|[1]>"
    assert to_sections("[1]" * 3, LINKS, limit=len(whole) + 5) == [whole] * 3


def test_paragraphs_share_a_section_as_long_as_they_fit() -> None:
    paragraphs = ["x" * 1000] * 7
    assert [len(section) for section in to_sections("\n\n".join(paragraphs))] == [2002, 2002, 2002, 1000]
    assert SECTION_CHARS == 3000


def test_deeply_nested_lists_lose_no_line() -> None:
    nested = "\n".join("  " * depth + f"- level{depth}" for depth in range(25))
    assert re.findall(r"level(\d+)", mrkdwn(nested)) == [str(depth) for depth in range(25)]


def test_blank_text_has_no_section() -> None:
    assert to_sections("") == to_sections(" \n\n") == to_sections("# ") == []


@for_each("url", ["javascript:alert(1)", "", "ftp://h", "//h", "https://h/" + "x" * LINK_CHARS])
def test_link_to_anything_else_is_its_label(url: str) -> None:
    assert link(url, "a <b>") == "a &lt;b&gt;"


def test_link_cannot_be_ended_by_its_address_or_label() -> None:
    assert link("https://h/>\n<!channel>|", "x\n>|y") == "<https://h/%3E%0A%3C!channel%3E%7C|x &gt;|y>"


@for_each(
    ("text", "plain"),
    [
        ("<@U0BOT> what is slack?", "what is slack?"),
        ("hey <@U0BOT>, what?", "hey , what?"),
        ("<@U0BOT|chip> what?", "what?"),
        ("<@U9> said &lt;b&gt; &amp;amp; left", "said <b> &amp; left"),
        ("see <https://h/x|the page> and <https://h/y>", "see the page and https://h/y"),
        ("in <#C1|general> and <#C2>", "in #general and"),
        ("<!here> <!subteam^S1|@team>", "@team"),
        ("a &lt;@U0BOT&gt; b", "a <@U0BOT> b"),
    ],
)
def test_text_of_slack_becomes_plain(text: str, plain: str) -> None:
    assert from_mrkdwn(text, "U0BOT") == plain


@given(st.text(alphabet="ab<>&;lt!@|", max_size=30))
def test_plain_text_comes_back_from_its_mrkdwn(text: str) -> None:
    assert from_mrkdwn(escape(text)) == text.strip()
