"""rag.design.reports: tables and paths of reports stay whole, whatever tool wrote them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rag.design.reports import parse_report
from tests.rows import for_each

PATH = "Startpoint: a/b (clk)\nEndpoint: c/d (clk)\n\n  0.1   u1\n\n  0.4   slack (VIOLATED)   -0.1\n"


def test_a_timing_path_is_one_block_under_its_ends() -> None:
    blocks = parse_report(f"{PATH}\n{PATH.replace('a/b', 'e')}\nDone.\n").blocks
    assert [block.heading_path for block in blocks] == [("Path a/b to c/d",), ("Path e to c/d",), ()]
    assert blocks[0].text == f"```\n{PATH.rstrip()}\n```"


@for_each(
    ("text", "heading"),
    [
        ("=====\nPower\n=====\n\nx\n", ("Power",)),
        ("#######\n# Power\n#######\nx\n", ("Power",)),
        ("2. Power use\n------------\n\nx\n", ("2. Power use",)),
        ("a   b\n-----\n1   2\n", ()),
        ("-----\n1   2\n-----\n", ()),
    ],
)
def test_a_title_between_or_over_rulers_is_a_heading(text: str, heading: tuple[str, ...]) -> None:
    assert parse_report(text).blocks[-1].heading_path == heading


def test_a_table_with_bars_has_its_header_and_no_rulers() -> None:
    text = "Used parts\n+----+---+\n| a  | b |\n+----+---+\n| 1  |   |\n| x  | y |\n+----+---+\n"
    assert [(block.kind, block.text) for block in parse_report(text).blocks] == [
        ("prose", "Used parts"),
        ("table", "| a | b |\n| --- | --- |\n| 1 |  |\n| x | y |"),
    ]


def test_a_blank_line_under_a_header_does_not_part_a_table() -> None:
    [block] = parse_report("Rule     Count\n-----------\n\nmet1      3\nmet2      0\n").blocks
    assert block.text.count("\n") == 6


@given(st.text(alphabet="ab1 \n-=|+*:\t", max_size=300))
def test_no_line_of_a_report_is_lost(text: str) -> None:
    blocks = parse_report(f"word\n{text}").blocks
    shown = "".join(f"{' '.join(block.heading_path)} {block.text}" for block in blocks)
    assert set("ab1") & set(text) <= set(shown)


def test_colours_of_a_terminal_are_no_text() -> None:
    (block,) = parse_report("\x1b[31mERROR\x1b[0m: overlap\x1b[K\nof \x1b[1;32mu1\x1b[m\n").blocks
    assert block.text == "ERROR: overlap\nof u1"
