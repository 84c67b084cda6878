"""rag.checking.code_worker: what is wrong in a block of code, in this process and in one of its own with limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rag.checking.code_worker import LONGEST_MESSAGE, MOST_DIAGNOSTICS, parse, parse_tcl, parse_verilog
from rag.child import ChildEnded, ChildPool
from tests.rows import for_each

COMMANDS: dict[str, Any] = {
    "report_slack": {
        "positionals": [],
        "switches": {"-corner": {"required": False, "value": {"type": "any"}, "repeated": False, "metavar": None}},
    }
}


@for_each(
    "code",
    [
        "module m(input a, output b);\n  assign b = ~a;\nendmodule\n",
        "assign b = ~a;",  # what stands in a module
        "always_ff @(posedge clk) q <= d;",
        "q = d; r = q;",  # what stands in a procedure
        '`include "other.vh"\nassign b = a;',
        "`define WIDTH 8\nlogic [`WIDTH-1:0] a;",
        "assign b = `SOME_MACRO(a);",  # of another file: nothing is known
        "",
    ],
)
def test_sound_verilog_and_pieces_of_it_have_no_errors(code: str) -> None:
    assert parse_verilog(code) == []


def test_an_error_has_the_line_that_it_has_in_the_answer() -> None:
    [(line, message), *_] = parse_verilog("wire a;\nwire b;\nassign a = = b;\n")
    assert line == 3
    assert "expected" in message
    [(line, _), *_] = parse_verilog("module m;\n  assign = 1;\nendmodule\n")
    assert line == 2


def test_tcl_is_held_against_its_own_commands_and_those_of_the_documents() -> None:
    assert parse_tcl("set x 1\nputs $x\nforeach n {1 2} { incr x $n }\n", COMMANDS) == []
    assert parse_tcl("report_slack -corner slow\nno_such_command -x\n", COMMANDS) == []
    [(line, message)] = parse_tcl("set x 1\nreport_slack -colour red\n", COMMANDS)
    assert (line, message.startswith("unrecognized argument for report_slack")) == (2, True)
    [(line, _)] = parse_tcl("puts one\nincr\n", COMMANDS)  # of Tcl's own commands the number of arguments counts too
    assert line == 2


def test_an_open_brace_or_quote_is_one_error_and_no_crash() -> None:
    for code in ("proc f {} {\n  puts 1\n", 'puts "open\n', "set x [llength {1 2}\n"):
        [(line, message)] = parse_tcl(code, {})
        assert line >= 1
        assert message
        assert not message.endswith(":")


def test_a_request_is_answered_by_diagnostics_or_by_what_failed() -> None:
    assert parse({"language": "tcl", "code": "set x 1"}, {}) == {"diagnostics": []}
    assert parse({"language": "verilog"}, {}) == {"failed": "KeyError"}


def test_of_many_errors_the_first_are_kept_and_each_is_short() -> None:
    many = parse({"language": "tcl", "code": "incr\n" * 200}, {})["diagnostics"]
    assert [line for line, _ in many] == list(range(1, MOST_DIAGNOSTICS + 1))
    long = parse({"language": "tcl", "code": f"report_slack -{'x' * 5000} 1"}, COMMANDS)["diagnostics"]
    assert [len(message) <= LONGEST_MESSAGE for _, message in long] == [True]


def ask(pool: ChildPool, **request: Any) -> Any:
    return json.loads(pool.ask({}, json.dumps(request).encode())[1])


def test_the_process_keeps_the_commands_that_it_was_given() -> None:
    wrong = {"language": "tcl", "code": "report_slack -colour red"}
    with ChildPool("rag.checking.code_worker", 2**31, "20") as pool:
        assert ask(pool, **wrong) == {"diagnostics": []}
        assert ask(pool, commands=COMMANDS) == {}
        assert len(ask(pool, **wrong)["diagnostics"]) == 1


def test_a_block_that_takes_too_long_ends_the_process_and_the_next_gets_another() -> None:
    doubling = "`define M0 a+\n" + "".join(f"`define M{n} `M{n - 1} `M{n - 1}\n" for n in range(1, 22))
    with ChildPool("rag.checking.code_worker", 2**31, "0.3") as pool:
        with pytest.raises(ChildEnded):
            ask(pool, language="verilog", code=f"{doubling}module m; assign x = `M21 1; endmodule\n")
        with pytest.raises(ChildEnded):
            pool.ask({}, b"not JSON")
