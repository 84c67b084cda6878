"""What of a passage can be quoted: kinds, exact places, what introduces them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rag.answering.units import Unit, cut_units
from tests.rows import for_each

OPTIONS = """For `repair_timing`:

| Switch Name | Description |
| --- | --- |
| `-setup` | Repairs setup violations. |
| `-hold` | Repairs hold violations. The default margin is `0`. |"""


def said(text: str) -> list[tuple[str, str]]:
    return [(unit.kind, text[unit.start : unit.end]) for unit in cut_units(text)]


def introduced(text: str, unit: Unit) -> list[str]:
    return [text[start:end] for start, end in unit.context]


def test_a_paragraph_is_cut_into_its_sentences() -> None:
    assert said("Run it twice. `read_lef` comes first! Then\nread the design.") == [
        ("sentence", "Run it twice."),
        ("sentence", "`read_lef` comes first!"),
        ("sentence", "Then\nread the design."),
    ]


@for_each(
    "text",
    ["Use a buffer, e.g. BUF_X1 of the library.", "See Fig. 3 and sec. 2 for it.", "Set it to 0.5 or config.mk."],
)
def test_abbreviations_and_numbers_end_no_sentence(text: str) -> None:
    assert said(text) == [("sentence", text)]


def test_a_row_knows_its_header_and_its_lead_in() -> None:
    setup, hold = cut_units(OPTIONS)[1:]
    assert OPTIONS[hold.start : hold.end] == "| `-hold` | Repairs hold violations. The default margin is `0`. |"
    assert introduced(OPTIONS, hold) == ["For `repair_timing`:", "| Switch Name | Description |\n| --- | --- |"]
    assert setup.block == hold.block


def test_code_is_one_unit_with_the_paragraph_that_introduces_it() -> None:
    text = "Place the pins:\n\n```tcl\n# not a heading\nplace_pins\n\n| no table |\n```\n\nThen go on."
    kinds = [kind for kind, _ in said(text)]
    assert kinds == ["sentence", "code", "sentence"]
    code = cut_units(text)[1]
    assert text[code.start : code.end] == "```tcl\n# not a heading\nplace_pins\n\n| no table |\n```"
    assert introduced(text, code) == ["Place the pins:"]


def test_a_fence_that_is_cut_off_goes_to_the_end() -> None:
    assert said("```tcl\nplace_pins\nroute") == [("code", "```tcl\nplace_pins\nroute")]


def test_a_shorter_fence_inside_ends_no_code() -> None:
    text = "````md\n```\ncode\n```\n````"
    assert said(text) == [("code", text)]


def test_items_keep_what_stands_below_them() -> None:
    text = "Do this:\n\n- first\n  goes on\n  - inner\n- second"
    assert said(text)[1:] == [("item", "- first\n  goes on\n  - inner"), ("item", "- second")]
    assert introduced(text, cut_units(text)[1]) == ["Do this:"]


def test_a_heading_is_not_a_unit_but_introduces_what_follows() -> None:
    text = "Before.\n\n## --trace-fst\n\nWrites FST."
    before, after = cut_units(text)
    assert introduced(text, before) == []
    assert introduced(text, after) == ["## --trace-fst"]


def test_a_term_and_its_meaning_are_one_unit() -> None:
    text = "`A_WIDTH`\n   The width of the input port `A`."
    assert said(text) == [("definition", text)]


def test_an_empty_passage_has_no_units() -> None:
    assert cut_units("") == cut_units("\n \n") == []


FRAGMENTS = [
    "- item",
    "1. step",
    "| a | b |",
    "| --- | --- |",
    "```",
    "````tcl",
    "~~~",
    "## Head",
    "word",
    "Word.",
    "a: ",
    "   indented",
    "",
    "$x",
    "+---+",
    "e.g. X",
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("\n".join))
def test_units_stand_in_order_and_hold_every_word_that_is_not_a_heading(text: str) -> None:
    units = cut_units(text)
    assert all(unit.start < unit.end for unit in units)
    assert all(one.end <= other.start for one, other in pairwise(units))

    spans = [(unit.start, unit.end) for unit in units] + [
        span for unit in units for span in (unit.header, unit.heading) if span
    ]
    covered = {place for start, end in spans for place in range(start, end)}
    rest = "".join(sign for place, sign in enumerate(text) if place not in covered)
    assert not any(sign.isalnum() for sign in rest.replace("Head", "").replace("a", "").replace("b", ""))
