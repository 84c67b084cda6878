"""rag.passages: blocks are cut where a reader sees them, and every character of them has its place."""

from __future__ import annotations

import re
from itertools import chain, pairwise

from hypothesis import given
from hypothesis import strategies as st

from rag.passages import FENCE, HEADING, ITEM, closes_fence, cut_blocks, split_lines, table_header
from tests.rows import for_each


def blocks(text: str) -> list[str]:
    return [text[start:end] for start, end in cut_blocks(text)]


@for_each(
    ("text", "expected"),
    [
        ("", []),
        ("\n \n\t\n", []),
        ("one\ntwo\n\nthree", ["one\ntwo", "three"]),
        ("# Heading\ntext", ["# Heading", "text"]),
        ("text\n## Heading", ["text", "## Heading"]),
        ("#no heading\nmore", ["#no heading\nmore"]),
        ("text\n- a\n- b", ["text", "- a\n- b"]),
        ("- a\n  more\nlazy", ["- a\n  more\nlazy"]),
        ("1. a\n2) b\n(3) c\n#. d", ["1. a\n2) b\n(3) c\n#. d"]),
        ("text\n| a | b |\n|---|---|\n| 1 | 2 |\ntext", ["text", "| a | b |\n|---|---|\n| 1 | 2 |", "text"]),
        ("```tcl\na\n\nb\n```\ntext", ["```tcl\na\n\nb\n```", "text"]),
        ("text\n```\na\n```", ["text", "```\na\n```"]),
        ("````\n```\na\n````", ["````\n```\na\n````"]),  # a shorter fence is content
        ("~~~\n```\n~~~", ["~~~\n```\n~~~"]),
        ("```\na\n\n# b", ["```\na\n\n# b"]),  # an open fence goes to the end
        ("```", ["```"]),
        ("term\n    what it means", ["term\n    what it means"]),
    ],
)
def test_a_text_is_cut_where_a_reader_sees_blocks(text: str, expected: list[str]) -> None:
    assert blocks(text) == expected


LINES = st.sampled_from(["text", "", "# H", "```", "~~~~", "| a |", "|---|", "- item", "  more", "1. x", "    code"])


@given(st.lists(LINES, max_size=14))
def test_blocks_lie_in_order_and_leave_out_blank_lines_alone(lines: list[str]) -> None:
    text = "\n".join(lines)
    spans = list(cut_blocks(text))
    assert all(start < end for start, end in spans)
    assert all(end < start for (_, end), (start, _) in pairwise(spans))
    places = [0, *chain.from_iterable(spans), len(text)]
    assert not "".join(text[end:start] for end, start in zip(places[::2], places[1::2], strict=True)).strip()
    assert all(text[start:end].strip() for start, end in spans)


@given(st.text("ab\n\r\u2028", max_size=30))
def test_lines_end_at_line_feeds_and_at_nothing_else(text: str) -> None:
    assert [text[start:end] for start, end in split_lines(text)] == text.split("\n")


@for_each(
    ("line", "fence", "closes"),
    [
        ("```", "```", True),
        ("  ```  ", "```", True),
        ("`````", "```", True),
        ("``", "```", False),
        ("~~~", "```", False),
        ("```tcl", "```", False),
        ("", "```", False),
    ],
)
def test_a_fence_is_closed_by_one_as_long_of_its_own_sign(line: str, fence: str, closes: bool) -> None:
    assert closes_fence(line, fence) is closes


@for_each(
    ("block", "header"),
    [
        ("| a | b |\n|---|:-:|\n| 1 | 2 |", "| a | b |\n|---|:-:|"),
        ("| a |\n|---|", "| a |\n|---|"),
        ("| a |\n| b |", None),
        ("| a |", None),
    ],
)
def test_a_header_is_two_lines_of_which_the_second_is_a_rule(block: str, header: str | None) -> None:
    found = table_header(block, 10)
    assert (block[found[0] - 10 : found[1] - 10] if found else None) == header


def test_a_text_of_many_lines_is_one_block_or_many() -> None:
    assert len(blocks("- item\n" * 20_000)) == 1
    assert len(blocks("text\n\n" * 20_000)) == 20_000


@for_each(
    ("pattern", "line", "fits"),
    [
        (FENCE, "   ```", True),
        (FENCE, "    ```", False),  # indented code
        (HEADING, "###### deep", True),
        (HEADING, "####### deeper", False),
        (HEADING, "#", False),
        (ITEM, "iv) roman", True),
        (ITEM, "12a. a step", True),
        (ITEM, "(b) a letter", True),
        (ITEM, "No. It ends with an error.", False),
        (ITEM, "run. The next one", False),
        (ITEM, "(gdb) list", False),
        (ITEM, "-", False),
        (ITEM, "-5 degrees", False),
    ],
)
def test_what_begins_a_block_is_known_by_its_first_signs(pattern: re.Pattern[str], line: str, fits: bool) -> None:
    assert bool(pattern.match(line)) is fits
