"""rag.search.pasted_log: of a pasted log what identifies the problem is searched for, and a question stays as it is."""

from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from rag.search.pasted_log import MOST_READ, condense_paste, is_own_words
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
        ("make[2]: *** [Makefile:9: all] Error 2\nmake: leaving", "make[2]: [Makefile: all] Error"),
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
        ("Net              : VDD", False),
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
    assert "[ERROR GPL-0302] Use a higher -density." in condense_paste(f"why?\n{log}")


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


def test_of_a_long_log_the_beginning_and_the_end_are_read() -> None:
    noise = "[INFO GRT-0001] Routed a net.\n" * 20_000
    condensed = condense_paste(f"why does this stop?\n{noise}[ERROR GRT-0118] Routing congestion too high.\n")
    assert condensed == "why does this stop? [ERROR GRT-0118] Routing congestion too high."


def test_many_lines_take_no_more_than_a_look_at_each() -> None:
    lines = MOST_READ // 2
    assert count_calls(partial(condense_paste, "a\n" * lines), events=("call",)) < 10 * lines
