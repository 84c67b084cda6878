"""rag.checking.facts: names, words in code, numbers and units, as they are held against each other."""

from __future__ import annotations

from rag.checking.facts import find_facts, words_of
from tests.rows import for_each


@for_each(
    ("text", "names", "numbers", "units"),
    [
        ("`-max_buffer_percent` is 20 % by default.", {"-max_buffer_percent"}, {"20"}, {"percent"}),
        ("Wait 4 microseconds, then two more.", set(), {"4", "2"}, {"us"}),
        ("10,000 banks in 5.038 at 600um", set(), {"10000", "5.038", "600"}, {"um"}),
        ("GRT-0243 in `5_route.odb` of sky130hd", {"GRT-0243", "5_route.odb"}, set(), set()),
        ("1. Run `pdngen` [1, 2].", set(), set(), set()),
        ("The second one takes a value (ps).", set(), set(), {"ps"}),
        ("Set `PLACE_DENSITY=0.5`.", {"PLACE_DENSITY"}, {"0.5"}, set()),
    ],
)
def test_facts_are_found(text: str, names: set[str], numbers: set[str], units: set[str]) -> None:
    found = find_facts(text)
    assert (set(found.names), set(found.numbers), set(found.units)) == (names, numbers, units)


def test_words_in_code_signs_are_facts_and_stand_in_a_passage_as_they_are() -> None:
    assert find_facts("Use `FULL` or `low`, not set_x.").literals == {"FULL", "low"}
    passage = words_of("| `-isolate` | `high`, `low` or `hold` |")
    assert {"high", "low", "hold"} <= passage
    assert "LOW" not in passage


@for_each(
    ("text", "count"), [("It does not.", 1), ("It can\u2019t, and never did.", 2), ("It does.", 0), ("unless none", 2)]
)
def test_denials_are_counted(text: str, count: int) -> None:
    assert find_facts(text).negations == count
