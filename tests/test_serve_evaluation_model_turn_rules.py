"""serve.evaluation.model.turn_rules: each rule with answers that meet it and answers that do not, and rules that are
none.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.evaluation.model.turn_rules import TYPES, contains, count_lines, count_sentences, parse_rule
from tests.rows import for_each

CODE = "```tcl\nset a 1\n```"
CASES: list[tuple[dict[str, Any], list[str], list[str]]] = [  # a rule, answers that meet it, answers that do not
    (
        {"type": "contains_any", "values": ["4 cycles", "four cycles"]},
        ["It takes 4 cycles.", "**Four** cycles", "FOUR  CYCLES", "`4` cycles", "a 4-cycles delay", "4\u00a0cycles"],
        ["It takes 14 cycles.", "0.4 cycles", "4 cyclesX", "four", "", "   "],
    ),
    (
        {"type": "contains_all", "values": ["PLACE_DENSITY", "FLOW_VARIANT"]},
        ["FLOW_VARIANT=x PLACE_DENSITY=0.5", "place_density and flow_variant"],
        ["PLACE_DENSITY=0.5", "PLACE_DENSITY_LB_ADDON FLOW_VARIANT", ""],
    ),
    (
        {"type": "contains_any", "values": ["FULL"], "case_sensitive": True},
        ["-source_type FULL"],
        ["-source_type full"],
    ),
    (
        {"type": "absent", "values": ["clean_all", "rm -rf"]},
        ["make clean_place", "make clean_all_of_it"],
        ["make clean_all", "rm  -rf results", ""],
    ),
    ({"type": "max_words", "value": 3}, ["one two three", "a\nb c"], ["one two three four", ""]),
    (
        {"type": "max_sentences", "value": 2},
        [
            "One. Two.",
            "One. Two",
            "It is 0.5 V at 1.8 V.",
            "Use e.g. met4. Done!",
            "One.\n```\na. b. c. d.\n```",
            "- First.\n- Second.",
        ],
        ["One. Two. Three.", "One.\n\nTwo\n\nThree", "- First.\n- Second.\n- Third.", ""],
    ),
    ({"type": "max_lines", "value": 1}, ["make x", "\nmake x\n", "```sh\nmake x\n```"], ["make x\nmake y", ""]),
    (
        {"type": "list_of", "value": 2},
        ["- a\n- b", "1. a\n2. b", "Two ways:\n\n* a\n  more\n* b\n", "1) a\n2) b"],
        ["- a", "- a\n- b\n- c", "a\nb", "-80 ps\n-90 ps", ""],
    ),
    (
        {"type": "code_block"},
        [CODE, f"So:\n\n{CODE}\n", "~~~\nx\n~~~", "  ```\n  x\n  ```"],
        ["set a 1", "`set a 1`", "```tcl\nset a 1", ""],
    ),
    ({"type": "code_block", "language": "Tcl"}, [CODE], ["```\nset a 1\n```", "```sh\nx\n```"]),
    ({"type": "regex", "pattern": r"-layers\s+\{met4 met5\}"}, ["-layers {met4 met5}"], ["-layers {met5 met4}", ""]),
]


@for_each(("row", "met", "missed"), CASES)
def test_a_rule_is_met_by_these_answers_and_not_by_those(
    row: dict[str, Any], met: list[str], missed: list[str]
) -> None:
    rule = parse_rule(row)
    assert [text for text in met if not rule.is_met(text)] == []
    assert [text for text in missed if rule.is_met(text)] == []


def test_every_type_has_a_case() -> None:
    assert {row["type"] for row, _, _ in CASES} == set(TYPES)


@for_each(
    ("row", "problem"),
    [
        ("contains_any", "a rule is not an object"),
        ({}, "there is no rule None"),
        ({"type": "contains"}, "there is no rule 'contains': the rules are contains_any, contains_all, absent, "),
        ({"type": ["regex"]}, "there is no rule"),
        ({"type": "absent"}, 'rule absent: "values" is missing'),
        ({"type": "absent", "values": []}, 'rule absent: "values" is not a list of texts'),
        ({"type": "absent", "values": [" "]}, 'rule absent: "values" is not a list of texts'),
        ({"type": "absent", "values": "x"}, 'rule absent: "values" is not a list'),
        ({"type": "absent", "values": ["x"], "value": 3}, "rule absent: it has no 'value'"),
        (
            {"type": "absent", "values": ["x"], "case_sensitive": 1},
            'rule absent: "case_sensitive" is not true or false',
        ),
        ({"type": "max_words", "value": 0}, 'rule max_words: "value" is 0, not a number from 1'),
        ({"type": "max_words", "value": True}, 'rule max_words: "value" is not a whole number'),
        ({"type": "max_words", "value": 9, "case_sensitive": True}, "rule max_words: it has no 'case_sensitive'"),
        ({"type": "regex", "pattern": "("}, 'rule regex: "pattern" is not a regular expression'),
        ({"type": "regex"}, 'rule regex: "pattern" is missing'),
        ({"type": "code_block", "language": 3}, 'rule code_block: "language" is not text'),
    ],
)
def test_a_wrong_rule_is_reported(row: Any, problem: str) -> None:
    with pytest.raises(ValueError, match="rule") as caught:
        parse_rule(row)
    assert str(caught.value).startswith(problem)


@for_each(
    ("text", "value", "expected"),
    [
        ("the depth is 64.", "64", True),
        ("4,096 bits", "096", False),
        ("4,096 bits", "4", False),
        ("bits 4, 5", "4", True),
        ("version 1.64", "64", False),
        ("repair_antennas", "repair", False),
        ("uses --timing here", "--timing", True),
        ("uses --timing-off", "--timing", True),  # a hyphen ends a word, so that "hold-time" holds "hold"
        ("a flipflop", "flip flop", True),
        ("a flip\u2011flop", "flip flop", True),
        ("it is \u221280 ps", "-80 ps", True),
        ("it is 80 ps", "-80 ps", False),
        ("a.b", "a+b", False),
    ],
)
def test_values_are_found_on_word_borders(text: str, value: str, *, expected: bool) -> None:
    assert contains(text, value) is expected


@given(
    st.text("ab1.,- _`*", max_size=20), st.text("ab1.,-_", min_size=1, max_size=5), st.text("ab1.,- _`*", max_size=20)
)
def test_a_value_between_blanks_is_always_found(before: str, value: str, after: str) -> None:
    assert contains(f"{before} {value} {after}", value)


def test_sentences_and_lines_are_those_one_counts_by_hand() -> None:
    assert count_sentences("") == count_lines("\n \n") == 0
    assert count_sentences("Yes. It fails, i.e. slack is -0.3 ns. Why? Because (see fig. 3).") == 4
    assert count_lines("a\n\n```sh\nb\n```\nc") == 3
