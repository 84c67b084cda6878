"""Code of answers is parsed in a process with limits; what the documents leave open is not held against it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.checking.code_checks import LEAST_COMMANDS, LONGEST, MOST_BLOCKS, CodeChecker, check_blocks, check_yosys
from rag.checking.sentences import split_answer
from rag.reference.cards import Command, Option, Place, Reference
from tests.rows import for_each

ROOT = Path(__file__).parent.parent
PLACE = Place("id", "a.md", "A", (), 0, 1)


def command(name: str, *options: str, collection: str = "openroad") -> Command:
    described = tuple(Option(option, "value" if option.endswith("n") else "", "", "", PLACE) for option in options)
    return Command(name, collection, f"{name} [options]", "", described, PLACE)


REFERENCE = Reference(
    (command("repair_timing", "-hold", "-hold_margin"), command("opt", "-full", collection="yosys")), (), ()
)


@pytest.fixture(scope="module")
def checker() -> CodeChecker:
    return CodeChecker()


@for_each(
    ("language", "code", "ruling"),
    [
        ("tcl", "repair_timing -hold -hold_margin 0.05", "ok"),
        ("tcl", "repair_timing -setup_only", "faulty"),
        ("sdc", "create_clock -period 5 [get_ports clk", "faulty"),
        ("tcl", "puts a b c d e f", "faulty"),
        ("tcl", "unknown_command -whatever 3\nforeach x {1 2} { puts $x }", "ok"),
        ("tcl", "repair_timing\n    [-hold]\n    [-nothing]", "unchecked"),
        ("verilog", "module m(input clk, output reg q);\n  always @(posedge clk) q <= ~q;\nendmodule", "ok"),
        ("systemverilog", "always_ff @(posedge clk) q <= d;", "ok"),
        ("sv", "if (a) begin\n  q <= d;\nend", "ok"),
        ("verilog", "module m(input clk;\nendmodule", "faulty"),
        ("verilog", "assign x = `OTHER_FILES_MACRO(a);", "ok"),
        ("verilog", "module m;\n  ...\nendmodule", "unchecked"),
        ("sh", "make -j4 |", "unchecked"),
        ("make", "a: b", "unchecked"),
        ("", "puts {", "unchecked"),
        ("tcl", "", "unchecked"),
        ("yosys", "opt -nothing", "unchecked"),  # of a reference that knows one command of Yosys
    ],
)
def test_a_block_has_a_verdict(checker: CodeChecker, language: str, code: str, ruling: str) -> None:
    verdict = checker.check(code, language, REFERENCE)
    assert verdict.ruling == ruling, verdict
    assert bool(verdict.diagnostics) == (ruling == "faulty")


def test_a_fault_has_its_line(checker: CodeChecker) -> None:
    [(line, message)] = checker.check("set x 1\nrepair_timing -setup_only\n", "tcl", REFERENCE).diagnostics
    assert (line, "-setup_only" in message) == (2, True)
    [(line, _)] = checker.check("reg q;\nassign y = a & ;\n", "verilog").diagnostics
    assert line == 2


def test_an_option_that_a_passage_has_beside_its_command_is_not_a_fault(checker: CodeChecker) -> None:
    passages = ["Newer: `repair_timing -setup_only` does one half.\n\nOther commands take `-elsewhere`."]
    assert checker.check("repair_timing -setup_only", "tcl", REFERENCE, passages).ruling == "ok"
    assert checker.check("repair_timing -elsewhere", "tcl", REFERENCE, passages).ruling == "faulty"


def test_yosys_scripts_are_held_against_a_whole_reference_of_yosys() -> None:
    others = [command(f"pass_{number}", collection="yosys") for number in range(LEAST_COMMANDS)]
    reference = Reference((*REFERENCE.commands, *others), (), ())
    assert check_yosys("opt -full; pass_3 # -x\npass_4", "ys", reference).ruling == "ok"
    assert check_yosys("opt -fast\n\nsynthesize", "ys", reference).diagnostics == (
        (1, "no option -fast of opt in the documents"),
        (3, "no command synthesize in the documents"),
    )


@for_each("language", ["tcl", "verilog"])
@for_each(
    "code",
    [
        "{" * 40_000,
        "[" * 40_000,
        "(" * 40_000,
        "begin " * 8_000,
        "if {$a} {" * 5_000,
        '"' * 9_999,
        "\x00\ud800\uffff",
        "\\\n" * 20_000,
    ],
)
def test_a_hostile_block_costs_a_verdict_at_most(checker: CodeChecker, language: str, code: str) -> None:
    assert checker.check(code, language).ruling in ("faulty", "unchecked", "ok")
    assert checker.check("set x 1", "tcl").ruling == "ok"  # the next one is judged as ever


def test_what_is_too_long_is_not_parsed(checker: CodeChecker) -> None:
    assert checker.check("puts {" + " " * LONGEST, "tcl").ruling == "unchecked"
    answer = "```tcl\nputs {\n```\n" * (MOST_BLOCKS + 2)
    rulings = [verdict.ruling for _, verdict in check_blocks(answer, split_answer(answer), checker)]
    assert rulings == ["faulty"] * MOST_BLOCKS + ["unchecked"] * 2


def test_a_parser_that_died_is_started_again(checker: CodeChecker) -> None:
    checker.check("set x 1", "tcl")
    assert checker._worker is not None
    checker._worker.kill()
    checker._worker.wait()
    assert checker.check("puts {", "tcl").ruling == "unchecked"
    assert checker.check("puts {", "tcl").ruling == "faulty"


def test_included_files_are_not_opened(checker: CodeChecker, tmp_path: Path) -> None:
    (tmp_path / "a.vh").write_text("module broken(;\n")
    assert checker.check(f'`include "{tmp_path}/a.vh"\nmodule m; endmodule', "verilog").ruling == "ok"


def test_the_code_of_the_handbook_is_code(checker: CodeChecker) -> None:
    faulty = []
    for page in sorted((ROOT / "data/handbook").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        faulty += [
            (page.name, found)
            for _, found in check_blocks(text, split_answer(text), checker)
            if found.ruling == "faulty"
        ]
    assert faulty == []
