"""What the gateway found about an answer, read and said in lines; what it does not say is not shown."""

from __future__ import annotations

from typing import Any

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
