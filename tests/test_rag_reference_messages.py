"""rag.reference.messages: which lines are a tool's messages, and what they say."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.reference.messages import LONGEST_LINE, LONGEST_TEXT, read_message
from tests.rows import for_each


@for_each(
    ("line", "number", "text"),
    [
        ("[ERROR GRT-0118] Too full.", "GRT-0118", "Too full."),
        ("[CRITICAL WARNING ABC-1] Mind (it).", "ABC-1", "Mind (it)."),
        ("`[INFO ODB-0222] Reading LEF`", "ODB-0222", "Reading LEF"),
        ("> - [WARNING STA-0001] Listed.", "STA-0001", "Listed."),
        ("**ERROR: (IMPSP-9022): Command failed.", "IMPSP-9022", "Command failed."),
        ("Warning (ABC_D-12): Text.", "ABC_D-12", "Text."),
        ("ERROR: [Synth 8-439] Module not found.", "Synth 8-439", "Module not found."),
        ("CRITICAL WARNING: [Vivado 12-1411] No clock.", "Vivado 12-1411", "No clock."),
        ("%Warning-WIDTHTRUNC: rtl/a.v:3:4: Bits are lost.", "WIDTHTRUNC", "Bits are lost."),
        ("%Warning-WIDTHTRUNC: C:\\a.v:3: Bits are lost.", "WIDTHTRUNC", "Bits are lost."),
        ("%Error-UNSUP: Not yet.", "UNSUP", "Not yet."),
        ("Error: Cannot link 'top' (UID-101).", "UID-101", "Cannot link 'top'"),
        ("  * Fatal: No licence (LIC-7)  ", "LIC-7", "No licence"),
    ],
)
def test_a_message_has_its_number_and_its_text(line: str, number: str, text: str) -> None:
    assert read_message(line) == (number, text)


@for_each(
    "line",
    [
        "",
        "   ",
        "SKY-130",
        "[SKY-130] is a process",
        "ISO-26262 (2018)",
        "[ERROR GRT-0118]",  # says nothing
        "Error: (UID-101)",
        "[error GRT-0118] of another form",
        "[ERROR grt-0118] of another form",
        "[ERROR GRT-1234567] longer than numbers are",
        "Warning: see (UID-101) for more",
        "%Warning: a plain warning",
        "Errors: many (UID-101)",
        "The tool says [ERROR GRT-0118] where it fails.",
    ],
)
def test_a_number_without_level_and_text_is_not_a_message(line: str) -> None:
    assert read_message(line) is None


def test_a_long_text_is_cut_and_a_very_long_line_is_data() -> None:
    found = read_message(f"[ERROR GRT-0118] {'x' * (LONGEST_TEXT + 50)}")
    assert found == ("GRT-0118", "x" * LONGEST_TEXT)
    head = "[ERROR GRT-0118] "
    assert read_message(head + "x" * (LONGEST_LINE - len(head))) is not None
    assert read_message(head + "x" * (LONGEST_LINE - len(head) + 1)) is None


@settings(max_examples=50)
@given(
    st.sampled_from(["[{level} {number}] {text}", "{level}: {text} ({number})", "*** {level} ({number}): {text}"]),
    st.sampled_from(["INFO", "WARNING", "ERROR", "Error", "Fatal"]),
    st.from_regex(r"[A-Z][A-Z0-9_]{1,6}-[0-9]{1,6}", fullmatch=True),
    st.lists(st.sampled_from(["net", "clk[3]", "of", "5%", "(top)", "µm"]), min_size=1, max_size=6).map(" ".join),
)
def test_each_form_gives_the_same_number_and_text(form: str, level: str, number: str, text: str) -> None:
    if level.istitle() and form.startswith("["):
        level = level.upper()
    assert read_message(form.format(level=level, number=number, text=text)) == (number, text)


@settings(max_examples=50)
@given(st.text(alphabet="[]()%:-* ERORWaningINFO0123456789", max_size=80))
def test_whatever_a_line_holds_what_is_read_is_a_part_of_it(line: str) -> None:
    if found := read_message(line):
        assert all(part and part in line for part in found)
