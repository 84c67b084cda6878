"""rag.search.pasted_log: of a pasted log what identifies the problem is searched for, and a question stays as it is."""

from __future__ import annotations

import re
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from rag.search.pasted_log import MOST_READ, condense_paste, cut_log, is_own_words
from tests.counting import count_calls
from tests.rows import for_each

CONGESTION = """want to see where. how?

[INFO GRT-0103] Extra Run for hard benchmark.
[INFO GRT-0111] Final number of vias: 210022
[ERROR GRT-0118] Routing congestion too high.
Error: global_route.tcl, 21 GRT-0118
make[1]: *** [Makefile:720: do-5_1_grt] Error 1"""


@for_each(
    ("turn", "condensed"),
    [
        (CONGESTION, "want to see where. how? [ERROR GRT-0118] Routing congestion too high."),
        (
            (
                "/home/me/rtl/fifo.sv:12:7: syntax error\n%Warning-WIDTHTRUNC: rtl/top.sv:31:5: Operator ASSIGN expects"
                " 8 bits"
            ),
            "fifo.sv: syntax error %Warning-WIDTHTRUNC: top.sv: Operator ASSIGN expects bits",
        ),
        ("% report_checks -to D\nNo paths found.\nnext steps?", "% report_checks -to D No paths found. next steps?"),
        (
            "help\nVivado% place_design\nERROR: [Place 30-574] Poor",
            "vivado ERROR: [Place 30-574] Poor",
        ),
        (
            "icc2_shell> route_auto\nError: no nets (ZRT-001)\nwhy?",
            "ic compiler icc2_shell> route_auto Error: no nets (ZRT-001) why?",
        ),
        (
            '% read_sdc top.sdc\n% report_flow_step\ninvalid command name "report_flow_step"\nworked before the update',
            '% report_flow_step invalid command name "report_flow_step" worked before the update',
        ),
        (
            '% link top\n% set_dont_touch\nwrong # args: should be "set_dont_touch objects"',
            '% set_dont_touch wrong # args: should be "set_dont_touch objects"',
        ),
        (
            "UVM_INFO @ 0: reporter [RNTST] Running test\nUVM_FATAL @ 0: env.drv [NOVIF] no interface\nrun ended.\n"
            "where do i set it",
            "UVM_FATAL @ : env.drv [NOVIF] no interface run ended. where do i set it",
        ),
        (
            "3_place.log\nplace.tcl: place_pins -hor_layers M3\nElapsed\t1:20\nwhy are they all on top",
            "place.tcl: place_pins -hor_layers M3 why are they all on top",
        ),
        ("make[2]: *** [Makefile:9: all] Error 2\nmake: leaving", "make[2]: [Makefile: all] Error"),
        (
            "why?\nxrun: 23.09-s001: (c) Copyright 1995-2023 A\nxmvlog: *E,EXPSMC (rtl/top.sv,12|4): expecting a "
            "semicolon.\n\terrors: 1, warnings: 0\nxrun: *E,VLGERR: An error occurred. Exiting with code 1.",
            "why? xmvlog: *E,EXPSMC (rtl/top.sv,12 4): expecting a semicolon.",
        ),
        (
            "xmelab: *W,CUVWSP (tb.sv,33|20): 1 output was not connected\nxmelab: *E,CUVMUR: 'u_dut' is unresolved.",
            "xmelab: *E,CUVMUR: 'u_dut' is unresolved.",
        ),
        (
            "Warning-[TFIPC] Too few port connections\nError-[URMI] Unresolved modules\nhow do i find it",
            "Error-[URMI] Unresolved modules how do i find it",
        ),
        (
            "# ** Note: (vsim-3812) Design is optimized\n# ** Error: (vsim-3033) tb.sv(40): 'dut' failed.\nany idea?",
            "# ** Note: (vsim-3812) Design is optimized # ** Error: (vsim-3033) tb.sv( ): 'dut' failed. any idea?",
        ),
        (
            "Info (12021): Found 1 design units\nError (10170): syntax error at top.v(12)\nhow to fix",
            "Error (10170): syntax error at top.v( ) how to fix",
        ),
        (
            "CRITICAL WARNING: [Timing 38-282] It failed.\nERROR: [DRC NSTD-1] Unspecified I/O Standard: 3 of 134",
            "ERROR: [DRC NSTD-1] Unspecified I/O Standard: of",
        ),
    ],
)
def test_the_persons_words_and_the_most_informative_lines_are_left(turn: str, condensed: str) -> None:
    assert condense_paste(turn) == condensed


@for_each(
    "turn",
    [
        "How do I repair antenna violations?",
        "",
        "[ERROR GRT-0118] Routing congestion too high.",
        "First I ran the placer.\nThen the router gave up.\nWhat should I look at?",
    ],
)
def test_a_question_in_words_and_a_single_line_stay_as_they_are(turn: str) -> None:
    assert condense_paste(turn) == turn


@for_each(
    ("line", "is_own"),
    [
        ("what does this warning mean", True),
        ("why?", True),
        ("drt sits at a dozen violations since iteration 5. keep it running to 64?", True),
        ("[INFO DRT-0199]   Number of violations = 12.", False),
        ("top.v:12: syntax error near the word module", False),
        ("Error: no such cell in the library", False),
        ("report_checks -to D", False),
        ('invalid command name "report_flow_step"', False),
        ("UVM_ERROR @ 0: env [NOCFG] no config here", False),
        ("Net              : VDD", False),
        ("see [Table 3-1] for the limits", True),
        ("I used the I/O standard of the board", True),
        ("Critical Warning (332012): file not found", False),
        ("   ... Location of async usage", False),
        ("", False),
    ],
)
def test_a_persons_line_is_distinguished_from_a_logs(line: str, is_own: bool) -> None:
    assert is_own_words(line) == is_own


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=400))
def test_any_text_gives_one_that_can_be_searched_if_it_could_before(text: str) -> None:
    condensed = condense_paste(text)
    assert any(map(str.isalnum, condensed)) == any(map(str.isalnum, text))
    assert len(condensed) <= len(text) + 1


def test_a_warning_yields_to_an_error_whatever_it_says() -> None:
    log = "".join(f"[WARNING STA-036{n}] port 'd[{n}]' not found.\n" for n in range(3))
    log += "[ERROR GPL-0302] Use a higher -density.\n[WARNING STA-0366] port 'q' not found."
    assert condense_paste(f"why?\n{log}") == "why? [ERROR GPL-0302] Use a higher -density."
    assert condense_paste(f"place_design\n{log}") == "place_design [ERROR GPL-0302] Use a higher -density."


@for_each("error_at", [0, 1, 5_000, 9_999, 19_998, 19_999])
def test_the_error_is_found_wherever_it_stands_in_a_long_log(error_at: int) -> None:
    lines = ["[INFO GRT-0001] Routed a net.", "[WARNING STA-0366] port 'q' not found."] * 10_000
    lines[error_at] = "[ERROR GRT-0118] Routing congestion too high."
    condensed = condense_paste("why does this stop?\n" + "\n".join(lines))
    assert condensed.startswith("why does this stop? [")
    assert "[ERROR GRT-0118] Routing congestion too high." in condensed


@for_each("text", ["x" * 100_000, "error " * 20_000, " error\n" * 20_000, "error: x\t" * 20_000, "\n" * 100_000])
def test_a_long_text_of_any_shape_is_taken(text: str) -> None:
    condensed = condense_paste(f"why?\n{text}\nand how?")
    assert condensed.startswith("why?")
    assert condensed.endswith("and how?")
    assert len(condensed) <= len(text) + len("why?  and how?")


LONG_LOG = "\n".join(
    [
        "why does this fail?",
        *(f"[INFO DRT-0194] Start with optimization iteration {number}." for number in range(3_000)),
        "[WARNING STA-0366] port 'data[3]' not found.",
        *(f"Iter {number} | WNS -0.022 | TNS -65.0" for number in range(3_000)),
        "[ERROR GPL-0302] Use a higher -density or re-floorplan with a larger core area.",
        *(f"    elapsed time = 00:00:{number}, memory = 3279 (MB)." for number in range(3_000)),
        "make[1]: *** [Makefile:9: do-3_3_place_gp] Error 1",
        "what density should I take?",
    ]
)


@for_each("most", [200, 1_000, 10_000, 100_000])
def test_a_log_is_cut_to_the_persons_words_its_problems_and_its_ends(most: int) -> None:
    cut = cut_log(LONG_LOG, most)
    assert cut
    assert cut.text.splitlines()[0] == "why does this fail?"
    assert cut.text.splitlines()[-1] == "what density should I take?"
    assert "[ERROR GPL-0302] Use a higher -density" in cut.text or most < 500
    assert len(cut.text) <= 1.2 * most + 100
    assert cut.lines == len(LONG_LOG.splitlines())

    left_out = [int(number.replace(",", "")) for number in re.findall(r"^\[\.\.\. ([\d,]+) lines", cut.text, re.M)]
    assert sum(left_out) == cut.lines - cut.kept
    assert len(cut.text.splitlines()) == cut.kept + len(left_out)
    assert condense_paste(cut.text) == condense_paste(LONG_LOG) or most < 500


def test_what_is_no_log_is_not_cut() -> None:
    assert cut_log("First I ran the placer.\nThen the router gave up.\n" * 1_000, 100) is None
    assert cut_log("x" * 100_000, 100) is None


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=400), st.integers(0, 500))
def test_any_text_is_cut_to_lines_of_its_own(text: str, most: int) -> None:
    cut = cut_log(text, most)
    if cut:
        own = set(text.splitlines())
        assert all(line in own or line.startswith("[... ") for line in cut.text.splitlines())
        assert cut.kept <= cut.lines


def test_of_a_long_log_the_beginning_and_the_end_are_read() -> None:
    noise = "[INFO GRT-0001] Routed a net.\n" * 20_000
    condensed = condense_paste(f"why does this stop?\n{noise}[ERROR GRT-0118] Routing congestion too high.\n")
    assert condensed == "why does this stop? [ERROR GRT-0118] Routing congestion too high."


def test_many_lines_take_no_more_than_a_look_at_each() -> None:
    lines = MOST_READ // 2
    assert count_calls(partial(condense_paste, "a\n" * lines), events=("call",)) < 10 * lines
