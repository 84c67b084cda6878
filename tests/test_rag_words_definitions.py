"""rag.words.definitions: which questions want something explained, and which sentences explain it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.words.definitions import Subject, find_subject
from tests.rows import for_each


@for_each(
    ("question", "name"),
    [
        ("what is skew", "skew"),
        ("What is a clock gate?", "clock gate"),
        ("whats IR drop??", "IR drop"),
        ("what's the antenna effect?", "antenna effect"),
        ("what does CRPR mean", "CRPR"),
        ("What does MISR stand for?", "MISR"),
        ("define setup time.", "setup time"),
        ("explain clock-domain crossing", "clock-domain crossing"),
        ("the meaning of slack", "slack"),
        ("what are tap cells", "tap cells"),
        ("pls explain slack to me", "slack"),
        ("Could you please define metastability?", "metastability"),
        ("what is PLACE_DENSITY", "PLACE_DENSITY"),
        ("PLACE_DENSITY?", "PLACE_DENSITY"),
        ("what does opt_clean do", "opt_clean"),
        ("whats CTS_CLUSTER_SIZE used for?", "CTS_CLUSTER_SIZE"),
        ("WIDTHTRUNC", "WIDTHTRUNC"),
        ("the repair_design command", "repair_design"),
        ("what does the opt_expr pass do?", "opt_expr"),
        ("GRT-0118 error", "GRT-0118"),
        ("help detailed_route", "detailed_route"),
    ],
)
def test_what_is_to_be_explained_is_found(question: str, name: str) -> None:
    assert find_subject(question) == Subject(name)


def test_a_command_that_tcl_does_not_know_is_to_be_explained() -> None:
    subject = find_subject('old script: % report_cell u12 invalid command name "report_cell" what now?')
    assert subject == Subject("report_cell", is_unknown=True)
    for text in (
        "The `report_cell` command has been removed; use `report_instance`.",
        "- `report_cell` is no longer supported.",
        "`report_cell` was renamed to `report_instance`.",
    ):
        assert subject.is_defined_in(text)
        assert not Subject("cell", is_unknown=True).is_defined_in(text)
    assert not subject.is_defined_in("`report_cell` shows a cell.")
    assert not Subject("report_cell").is_defined_in("The `report_cell` command has been removed.")


@for_each(
    "question",
    [
        "",
        "what is",
        "what is it",
        "what is the default of PLACE_DENSITY",
        "what is the best way",
        "what is wrong with my netlist",
        "what does report_checks show",
        "what does the placer do",
        "what is a margin for",
        "SDC",
        "--trace-fst",
        "which command repairs antennas",
        "what is the command that repairs antennas after detailed routing",
        "how is skew measured?",
        "what is skew? and how do I lower it?",
        "skew",
        "list all hold buffers",
    ],
)
def test_other_questions_want_nothing_explained(question: str) -> None:
    assert find_subject(question) is None


@for_each(
    ("name", "text"),
    [
        ("slack", "Slack is required minus arrival for setup."),
        ("slack", "From the SDC. The slack is the difference between two times."),
        ("clock gate", "Clock gates are latches with an AND."),
        ("lvs", "Layout versus schematic (LVS) extracts devices and nets."),
        ("CPPR", "| Name | Meaning |\n| --- | --- |\n| CPPR | Common path pessimism removal |"),
        ("IR drop", "**IR drop** (also: voltage drop) means that the supply is lower."),
        ("tap cell", "- `Tap cells` are cells that tie a well."),
    ],
)
def test_a_sentence_that_explains_it_is_known(name: str, text: str) -> None:
    assert Subject(name).is_defined_in(text)


@for_each(
    ("name", "text"),
    [
        ("slack", "A path with the worst slack is shown in red."),
        ("clock gate", "Clock gates are cloned near their registers."),
        ("coverage", "Branch coverage is 100 %; coverage is not required."),
        ("macro", "- Method 2: Macros\nDefine the rules for one or more macros."),
        ("skew", "With ideal clocks skew is zero."),
        ("clock gating", "Clock gating is currently not available."),
        ("CPPR", "| WNS | the worst slack, without CPPR |"),
        ("clock gating", "| Technique | Saves |\n| --- | --- |\n| Clock gating | dynamic power |"),
        ("a+b (", "a+b"),
    ],
)
def test_a_sentence_that_uses_it_is_not(name: str, text: str) -> None:
    assert not Subject(name).is_defined_in(text)


@for_each(
    ("heading", "share"),
    [("Clock gating", 1.0), ("The clock gate", 1.0), ("Clock gates and latches", 2 / 3), ("Clock", 0.0), ("", 0.0)],
)
def test_a_heading_is_its_own_in_parts(heading: str, share: float) -> None:
    assert Subject("clock gate").share_of(heading) == pytest.approx(share)


@given(st.text(max_size=80))
def test_any_text_is_read(text: str) -> None:
    subject = find_subject(f"what is {text}") or Subject(text)
    assert isinstance(subject.is_defined_in(text), bool)
    assert 0 <= subject.share_of(text) <= 1


def test_each_basic_term_of_the_handbook_is_explained_under_its_name() -> None:
    text = (Path(__file__).parent.parent / "data" / "handbook" / "basic-terms.md").read_text(encoding="utf-8")
    terms = re.findall(r"^### (.+)\n\n(.+)$", text, re.MULTILINE)
    assert len(terms) > 60
    assert [name for name, words in terms if not Subject(name.lower()).is_defined_in(words)] == []


@for_each(
    "text",
    [
        "HS-101 A clock.\n\nHS-102 The reset arrives late.",
        "**HS-102**: The reset arrives late.",
        "Codes:\n- `HS-102` the reset arrives late",
        "[HS-102]  The reset arrives late.",
        "## HS-102\n\nThe reset arrives late.",
        "| No | Message |\n| --- | --- |\n| HS-102 | The reset arrives late |",
    ],
)
def test_a_code_is_explained_by_the_line_or_row_that_begins_with_it(text: str) -> None:
    for question in ("What does HS-102 mean?", "what is error code HS-102", "meaning of HS-102"):
        subject = find_subject(question)
        assert subject is not None
        assert subject.is_defined_in(text)


@for_each("text", ["See HS-102 there.", "HS-1021 is another.", "A-HS-102 too.", "| x | HS-102 |", "HS-102"])
def test_what_only_names_a_code_does_not_explain_it(text: str) -> None:
    assert not Subject("HS-102").is_defined_in(text)


@for_each(
    ("question", "name"),
    [
        ("What does rule M1.W.1 mean?", "M1.W.1"),
        ("what is HD177?", "HD177"),
        ("what does exit code 3 mean?", "exit code 3"),
        ("what is clock skew", "clock skew"),
    ],
)
def test_a_code_is_asked_for_with_or_without_what_it_is(question: str, name: str) -> None:
    subject = find_subject(question)
    assert subject is not None
    assert subject.name == name


@for_each("name", ["skew", "met5", "M1"])
def test_a_word_is_not_explained_by_a_line_that_only_begins_with_it(name: str) -> None:
    assert not Subject(name).is_defined_in(f"{name} routes go here.\n\n| {name} | 0.3 |")
