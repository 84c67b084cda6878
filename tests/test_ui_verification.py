"""What the gateway found about an answer, read and said in lines; what it does not say is not shown."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some

from tests.rows import for_each
from ui.verification import describe_checks, read_verification

UNSUPPORTED = {"start": 0, "end": 1, "supported": False}


def lines(**found: Any) -> list[str]:
    return describe_checks(read_verification(found))


def code(verdict: str, *diagnostics: dict[str, Any], language: str = "systemverilog") -> dict[str, Any]:
    return {"start": 0, "end": 9, "language": language, "verdict": verdict, "diagnostics": list(diagnostics)}


def test_a_gateway_that_checks_nothing_says_nothing() -> None:
    assert read_verification(None) is None
    assert describe_checks(None) == lines() == lines(sentences=[], unknown_names=None, code=None) == []


def test_places_of_unsupported_sentences_are_kept() -> None:
    sentences = [
        {"start": 0, "end": 5, "supported": True, "score": 0.9, "quotes": [0]},
        {"start": 6, "end": 9, "supported": False},
    ]
    found = read_verification({"mode": "model", "sentences": sentences})
    assert found is not None
    assert (found.mode, found.unsupported) == ("model", ((6, 9),))


@for_each(
    ("found", "line"),
    [
        ({"looped": True}, "The model began to repeat itself: its answer was cut there."),
        ({"code": [code("ok", language="sv")]}, "Code: parsed as SystemVerilog without errors."),
        ({"dropped": 1}, "1 sentence was left out: the passages do not support it."),
        ({"dropped": 3}, "3 sentences were left out: the passages do not support them."),
        ({"sentences": [UNSUPPORTED] * 2}, "The passages do not support 2 sentences (marked)."),
        ({"unknown_names": ["a", {"text": "b"}]}, "In none of the passages: a, b."),
        ({"unknown_names": list("abcdefgh")}, "In none of the passages: a, b, c, d, e, 3 more."),
        ({"code": [code("ok")]}, "Code: parsed as SystemVerilog without errors."),
        (
            {"code": [code("faulty", {"line": 3, "message": "no"})]},
            "Code: parsed as SystemVerilog: 1 error, line 3: no",
        ),
        ({"code": [code("faulty", {"message": "x"}, {}, language="tcl")]}, "Code: parsed as Tcl: 2 errors, x; "),
        ({"code": [code("faulty", language="")]}, "Code: parsed as code: faulty"),
    ],
)
def test_each_finding_is_a_line(found: dict[str, Any], line: str) -> None:
    assert lines(**found) == [line]


def test_several_blocks_of_code_are_numbered_and_unchecked_ones_left_out() -> None:
    said = lines(code=[code("ok"), code("unchecked"), code("faulty", {"line": 2, "message": "x"}, language="tcl")])
    assert said == ["Code 1: parsed as SystemVerilog without errors.", "Code 2: parsed as Tcl: 1 error, line 2: x"]
    assert lines(code=[code("ok")] * 3) == ["Code: all 3 blocks parsed without errors."]


def test_no_message_of_a_parser_breaks_a_line_or_steers() -> None:
    assert lines(code=[code("faulty", {"line": 1, "message": "a\n\x1b[31mb"})]) == [
        "Code: parsed as SystemVerilog: 1 error, line 1: a [31mb"
    ]


PLACES = some.tuples(some.integers(0, 500), some.integers(0, 500), some.booleans())


@settings(max_examples=40)
@given(some.lists(PLACES, max_size=8))
def test_each_sentence_keeps_its_place_and_those_without_support_are_told(places: list[tuple[int, int, bool]]) -> None:
    sentences = [{"start": start, "end": end, "supported": supported} for start, end, supported in places]
    found = read_verification({"sentences": sentences})
    assert found
    assert [(each.start, each.end, each.is_supported) for each in found.sentences] == places
    assert list(found.unsupported) == [(start, end) for start, end, supported in places if not supported]
    assert bool(describe_checks(found)) == bool(found.unsupported)


def test_the_places_in_a_passage_are_those_of_its_number_in_the_order_of_the_answer() -> None:
    evidence = [{"number": 2, "start": 5, "end": 9}, {"number": 1, "start": 0, "end": 3}]
    found = read_verification(
        {
            "sentences": [
                {"start": 0, "end": 4, "evidence": evidence},
                {"start": 5, "end": 9, "supported": False, "evidence": [{"number": 2, "start": 0, "end": 2}]},
                {"start": 9, "end": 12, "evidence": None},
            ]
        }
    )
    assert found
    assert found.places_in(2) == [(5, 9), (0, 2)]
    assert found.places_in(1) == [(0, 3)]
    assert found.places_in(3) == []


def test_a_sentence_of_which_nothing_is_said_is_not_called_unsupported() -> None:
    found = read_verification({"sentences": [{"start": 0, "end": 4}]})
    assert found
    assert (found.unsupported, describe_checks(found)) == ((), [])


@for_each(
    ("count", "said"),
    [
        (1, "a."),
        (5, "a, a, a, a, a."),
        (6, "a, a, a, a, a, 1 more."),
        (100, "a, a, a, a, a, 95 more."),
    ],
)
def test_names_beyond_the_fifth_are_counted(count: int, said: str) -> None:
    assert lines(unknown_names=["a"] * count) == [f"In none of the passages: {said}"]


@for_each(
    ("language", "called"),
    [
        ("SV", "SystemVerilog"),
        ("svh", "SystemVerilog"),
        ("v", "Verilog"),
        ("OpenROAD", "Tcl"),
        ("xdc", "SDC"),
        ("ys", "a Yosys script"),
        ("vhdl", "vhdl"),
        (None, "code"),
    ],
)
def test_a_language_is_called_as_people_call_it(language: str, called: str) -> None:
    assert lines(code=[code("ok", language=language)]) == [f"Code: parsed as {called} without errors."]


def test_all_that_was_found_stands_in_one_order_whatever_the_gateways() -> None:
    said = lines(
        code=[code("faulty", {"line": 0, "message": "x"})],
        unknown_names=["-hodl"],
        sentences=[UNSUPPORTED],
        dropped=2,
        looped=True,
        mode="model",
    )
    assert [line.split(" ")[0] for line in said] == ["The", "2", "The", "In", "Code:"]
    assert said[-1] == "Code: parsed as SystemVerilog: 1 error, x"


def test_where_a_reader_finds_the_sentences_is_said_as_the_page_has_it() -> None:
    found = read_verification({"sentences": [UNSUPPORTED]})
    assert describe_checks(found, "underlined") == ["The passages do not support 1 sentence (underlined)."]


@for_each("verdict", ["unchecked", "", None, "fine", "OK"])
def test_code_of_which_nothing_is_known_is_not_spoken_of(verdict: str) -> None:
    assert lines(code=[code(verdict)] * 2) == []
