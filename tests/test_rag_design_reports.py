"""rag.design.reports: tables and paths of reports stay whole, whatever tool wrote them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rag.blocks import MAX_HEADING_CHARACTERS
from rag.design.reports import PIECE_LINES, parse_report
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
    blocks = parse_report(f"word\n{text}\nend").blocks
    shown = "".join(f"{' '.join(block.heading_path)} {block.text}" for block in blocks)
    assert set("ab1") & set(text) <= set(shown)


def test_colours_of_a_terminal_are_not_text() -> None:
    (block,) = parse_report("\x1b[31mERROR\x1b[0m: overlap\x1b[K\nof \x1b[1;32mu1\x1b[m\n").blocks
    assert block.text == "ERROR: overlap\nof u1"


@for_each(
    ("text", "blocks"),
    [
        ("", []),
        ("\n \n", []),
        ("=====\nOnly\n=====\n", [("prose", "Only", ())]),
        ("=== Res ===\n\nx\n", [("prose", "x", ("Res",))]),
        ("****\nA\nB c\n****\nx\n", [("prose", "A\nB c", ("A",)), ("prose", "x", ("A",))]),
        ("a\fb\n", [("prose", "a\nb", ())]),
        ("x\r\ny\r\n", [("prose", "x\ny", ())]),
        ("| a |\n", [("prose", "| a |", ())]),
        ("| a | b |\n| 1 | 2 |\n", [("table", "| a | b |\n| --- | --- |\n| 1 | 2 |", ())]),
        ("| a | b |\nwords\n| c | d |\n", [("prose", "| a | b |\nwords\n| c | d |", ())]),
        ("a   b\n1   2\n", [("code", "```\na   b\n1   2\n```", ())]),
        ("  a\tb\n", [("code", "```\na     b\n```", ())]),
    ],
)
def test_each_part_of_a_report_has_its_kind(text: str, blocks: list[tuple[str, str, tuple[str, ...]]]) -> None:
    assert [(block.kind, block.text, block.heading_path) for block in parse_report(text).blocks] == blocks


def test_a_path_without_slack_ends_where_the_next_begins_or_at_a_blank_line() -> None:
    first, second = parse_report(f"Startpoint: x\n\nwords\n{PATH}").blocks
    assert (first.heading_path, second.heading_path) == (("Path x",), ("Path a/b to c/d",))
    path, after = parse_report("Startpoint: x\nEndpoint: y\n\nwords\n").blocks
    assert (path.heading_path, after.text) == (("Path x to y",), "words")


def test_a_path_stands_below_the_title_of_its_part() -> None:
    blocks = parse_report(f"=====\nSetup\n=====\n\n{PATH}\n=====\nHold\n=====\n\n{PATH}").blocks
    assert [block.heading_path for block in blocks] == [("Setup", "Path a/b to c/d"), ("Hold", "Path a/b to c/d")]


def test_running_output_is_cut_into_pieces_and_a_table_is_not() -> None:
    lines = [f"Warning {number}" for number in range(2 * PIECE_LINES + 1)]
    pieces = parse_report("\n".join(lines)).blocks
    assert [block.text.count("\n") - 1 for block in pieces] == [PIECE_LINES, PIECE_LINES, 1]
    assert [line for block in pieces for line in block.text.split("\n")[1:-1]] == lines
    [table] = parse_report("\n".join(["name   count", "-----------", *(f"{line}   1" for line in lines)])).blocks
    assert table.text.count("\n") == len(lines) + 3


def test_a_very_long_name_of_a_path_fits_a_heading() -> None:
    [block] = parse_report(PATH.replace("a/b", "a/" * 200)).blocks
    assert len(block.heading_path[0]) <= MAX_HEADING_CHARACTERS
    assert "a/" * 200 in block.text


def test_parts_without_a_blank_line_between_them_stand_under_their_titles() -> None:
    text = "----------\n--- CHECKS\n---\nRULE M1 = 2\n----------\n--- SUMMARY\n---\nTotal = 2\n"
    blocks = parse_report(text).blocks
    assert [(block.heading_path, block.text) for block in blocks] == [
        (("CHECKS",), "RULE M1 = 2"),
        (("SUMMARY",), "Total = 2"),
    ]


def test_a_path_with_a_number_stands_under_its_first_line_and_a_box_above_it_is_prose() -> None:
    box = "#########\n#  Generated by:   pnr 1\n#  Design:   top\n#########\n"
    blocks = parse_report(f"{box}Path 1: MET Setup Check\nSlack 0.1\nPath 2: VIOLATED Hold Check\nSlack -0.1\n").blocks
    assert [(block.heading_path, block.text) for block in blocks] == [
        ((), "Generated by: pnr 1\nDesign: top"),
        (("Path 1: MET Setup Check",), "Slack 0.1"),
        (("Path 2: VIOLATED Hold Check",), "Slack -0.1"),
    ]
    assert [block.text for block in parse_report("Path 1: /usr/lib\n").blocks] == ["Path 1: /usr/lib"]


def test_a_title_in_letters_with_blanks_in_a_box_is_words() -> None:
    (block,) = parse_report("  ######\n  ##  ##\n  ##  L V S   R E P O R T  ##\n  ######\n").blocks
    assert block.text == "LVS REPORT"
    (block,) = parse_report("*********\n      CELL  SUMMARY\n*********\n\nx\n").blocks
    assert block.heading_path == ("CELL SUMMARY",)


def test_a_header_of_two_rows_is_one_and_remarks_below_a_table_stay_apart() -> None:
    text = "+---+---+\n| a | b |\n|   | c |\n+---+---+\n| 1 | 2 |\n+---+---+\n* guessed\n"
    assert [(block.kind, block.text) for block in parse_report(text).blocks] == [
        ("table", "| a | b c |\n| --- | --- |\n| 1 | 2 |"),
        ("prose", "* guessed"),
    ]


def test_blank_lines_between_rows_under_a_ruler_of_columns_do_not_part_them() -> None:
    table = "Layout  Source  Type\n------  ------  ----\nPorts:  42  42\n\nNets:  3  4\n"
    first, second = parse_report(f"{table}\nA  B  C\n--  --  --\n1  2  3\n\nDone.\n").blocks[:2]
    assert "Nets" in first.text
    assert "1  2  3" in second.text


def test_of_a_bar_of_progress_the_last_state_stays() -> None:
    (block,) = parse_report("place: 10%|=   | 1/10\nplace: 50%|==  | 5/10\nplace: 100%|====| 10/10\nDone.\n").blocks
    assert block.text == "place: 100%|====| 10/10\nDone."


def test_what_a_command_of_tcl_returns_at_the_end_of_a_report_is_left_out() -> None:
    assert [block.text for block in parse_report("Total power 3 W\n\n1\n\n").blocks] == ["Total power 3 W"]
    assert [block.text for block in parse_report("Total\n1\n").blocks] == ["Total\n1"]


QUARTUS = """; Fitter report ;

+------------------------------+
; Resource Usage               ;
+------------------+-----------+
; Resource         ; Usage     ;
+------------------+-----------+
; Logic cells      ; 120       ;
;     -- registers ; 60 ; 70 ; ;
+------------------+-----------+

Info (332146): slack is 1.2; see the path;
"""


def test_a_table_between_semicolons_is_a_table_under_its_title() -> None:
    shown = [(block.kind, block.text) for block in parse_report(QUARTUS).blocks]
    assert shown[1] == ("prose", "Resource Usage")
    assert shown[2][1].splitlines()[:3] == [
        "| Resource | Usage |  |",
        "| --- | --- | --- |",
        "| Logic cells | 120 |  |",
    ]
    assert [text for _, text in (shown[0], shown[-1])] == [
        "; Fitter report ;",
        "Info (332146): slack is 1.2; see the path;",
    ]


def test_a_title_within_a_table_is_no_name_of_a_column() -> None:
    text = "+---------+\n| Summary |\n+----+----+\n| a  | 2  |\n| b  | 4  |\n+----+----+\n"
    assert [block.text for block in parse_report(text).blocks] == [
        "Summary",
        "|  |  |\n| --- | --- |\n| a | 2 |\n| b | 4 |",
    ]


VIVADO = """------------------------
| Design Timing Summary
| ---------------------
------------------------

    WNS(ns)   TNS(ns)   Endpoints
    -------   -------   ---------
      0.252     0.000        3512

Slack (MET) :             0.252ns  (required - arrival)
  Source:                 a_reg[0]/C
                            (rising edge-triggered cell)
  Destination:            b_reg[3]/D

    Location     Delay type   Incr(ns)
  ------------------------------------
    SLICE_X0Y1   FDRE            0.456
                 slack           0.252

Slack (VIOLATED) :        -0.1ns  (required - arrival)
  Source:                 c_reg/C
  Destination:            d_reg/D
                 slack          -0.100

"""


def test_paths_that_begin_with_their_slack_stand_under_their_ends() -> None:
    blocks = parse_report(VIVADO).blocks
    assert [block.heading_path[1:] for block in blocks] == [
        (),
        ("Path a_reg[0]/C to b_reg[3]/D",),
        ("Path c_reg/C to d_reg/D",),
    ]
    assert blocks[0].heading_path == ("Design Timing Summary",)
    assert "slack           0.252" in blocks[1].text
