"""rag.checking.facts: names, words in code, numbers and units, as they are held against each other."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.checking.facts import UNITS, find_facts, words_of
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


@for_each(
    ("text", "numbers"),
    [
        ("0.5um", {"0.5"}),
        ("The core runs at 1.8V.", {"1.8"}),
        ("10.5ns, then 2", {"10.5", "2"}),
        ("1,000um and 12,500 cells", {"1000", "12500"}),
        ("3.3% of 0.14 um", {"3.3", "0.14"}),
        ("It ends with 2.5.", {"2.5"}),
        ("one of 12, or 13", {"12", "13"}),
        ("Release 1.2.3 of it", {"1.2.3"}),
        ("v1.2.3 and sky130hd", set()),
        ("Ten rows, seven columns, one die", {"10", "7"}),
        ("", set()),
    ],
)
def test_a_number_is_read_whole_whether_or_not_its_unit_touches_it(text: str, numbers: set[str]) -> None:
    assert find_facts(text).numbers == numbers


@settings(max_examples=50)
@given(
    st.integers(0, 99_999),
    st.integers(0, 9999),
    st.sampled_from(sorted(sign for signs, _ in UNITS.values() for sign in signs)),
)
def test_a_number_with_a_fraction_is_the_same_with_and_without_a_blank(whole: int, part: int, unit: str) -> None:
    near, apart = (find_facts(f"It takes {whole}.{part}{gap}{unit} here.") for gap in ("", " "))
    assert near == apart
    assert near.numbers == {f"{whole}.{part}"}
    assert len(near.units) == 1


def test_every_unit_has_one_name_for_its_sign_and_all_its_words() -> None:
    for unit, (signs, words) in UNITS.items():
        for sign in signs:
            assert find_facts(f"at most 3 {sign}").units == {unit}, sign
        for word in words:
            assert find_facts(f"measured in {word.capitalize()} there").units == {unit}, word


def test_a_unit_of_one_letter_needs_a_number_or_brackets_beside_it() -> None:
    assert find_facts("The s and the h of a V").units == set()
    assert find_facts("as a number (V) or [h]").units == {"V", "h"}


def test_anchors_are_all_that_must_stand_letter_by_letter() -> None:
    found = find_facts("Set `-hold` of `FULL` to 5 ns.")
    assert found.anchors == {"-hold", "FULL", "5"}
    assert found.units == {"ns"}


def test_a_word_in_code_signs_is_found_in_a_passage_that_ends_a_sentence_with_it() -> None:
    passage = words_of("Choose low, high. Or (full)? Then stop!")
    assert {"low", "high", "full", "stop"} <= passage
    assert find_facts("It is `high`.").literals <= passage
    assert not find_facts("It is `medium`.").literals <= passage
