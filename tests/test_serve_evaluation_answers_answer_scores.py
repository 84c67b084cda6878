"""serve.evaluation.answers.answer_scores: golden verdicts on answers that are right, wrong, refused, round in circles
or full of invented names.
"""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from rag.answering.names import FILE_SUFFIXES
from rag.answering.refusal import refuse
from serve.evaluation.answers.answer_questions import AnswerQuestion
from serve.evaluation.answers.answer_scores import find_paths, has_loop, is_refusal, measure, unknown_names
from tests.rows import for_each

PASSAGE = (
    "Repair Antennas\nsrc/grt/README.md > Global Routing\nrepair_antennas [-iterations n] inserts diodes; see "
    "flow/scripts/global_route.tcl."
)
QUESTION = AnswerQuestion(
    id="a-1",
    text="which command fixes antennas after GRT-0012?",
    kind="look-up",
    split="open",
    answerable=True,
    earlier=(),
    facts=(
        (re.compile("repair_antennas", re.IGNORECASE),),
        (re.compile(r"\b5\b"), re.compile(r"\bfive\b", re.IGNORECASE)),
    ),
    forbidden=(re.compile(r"repair_design", re.IGNORECASE),),
)
TABLE = "".join(f"| -{name} | the allowed values are integers from 0 |\n" for name in ("top", "left", "right"))
UNANSWERABLE = AnswerQuestion("none-1", "in Innovus?", "unanswerable", "open", False, (), (), ())


def test_a_complete_answer_gets_full_marks_in_any_words() -> None:
    verdict = measure(QUESTION, "Run REPAIR_ANTENNAS; Five rounds [1].", [PASSAGE], "stop")
    assert verdict["measures"] == {
        "complete": 1.0,
        "facts": 1.0,
        "forbidden": 0.0,
        "rightly_refused": None,
        "wrongly_refused": 0.0,
        "loops": 0.0,
        "unknown_names": 0.0,
    }


def test_a_fact_is_found_over_the_lines_of_a_quote() -> None:
    question = replace(QUESTION, facts=((re.compile("five rounds"),),))
    answer = "**manual** [1]\n\n> `repair_antennas` needs five\n> rounds."
    assert measure(question, answer, [PASSAGE], "stop")["missing_facts"] == []
    assert measure(question, answer.replace("five", "six"), [PASSAGE], "stop")["missing_facts"] == [["five rounds"]]


def test_half_an_answer_with_a_wrong_command_gets_half_the_facts() -> None:
    verdict = measure(QUESTION, "Either repair_antennas or repair_design.", [PASSAGE], "stop")
    assert (verdict["measures"]["complete"], verdict["measures"]["facts"], verdict["measures"]["forbidden"]) == (
        0.0,
        0.5,
        1.0,
    )
    assert verdict["missing_facts"] == [[r"\b5\b", r"\bfive\b"]]
    assert verdict["forbidden_claims"] == ["repair_design"]
    assert verdict["unknown_names"] == ["repair_design"]


def test_a_refusal_is_right_or_wrong_by_the_question() -> None:
    said = refuse(["handbook"]).answer.text
    assert measure(QUESTION, said, [], "stop")["measures"]["wrongly_refused"] == 1.0
    right = measure(UNANSWERABLE, said, [], "stop")["measures"]
    assert (
        right["rightly_refused"],
        right["wrongly_refused"],
        right["complete"],
        right["facts"],
        right["forbidden"],
    ) == (
        1.0,
        None,
        None,
        None,
        None,
    )
    assert measure(UNANSWERABLE, "Use ecoRoute.", [], "stop")["measures"]["rightly_refused"] == 0.0


@for_each(
    ("answer", "refused"),
    [
        ("The context does not mention Innovus.", True),
        ("The provided documents don’t say which option that is. You may try -x.", True),
        ("This is not specified in the context.", True),
        ("Use `repair_antennas` [1]. The context does not say how long it takes.", False),
        ("The command does not mention nets.", False),
        ("I found nothing wrong with it.", False),
        ("", False),
    ],
)
def test_a_model_refuses_in_its_first_sentence_or_not(answer: str, refused: bool) -> None:
    assert is_refusal(answer) is refused


@for_each(
    ("answer", "passages", "finish_reason", "loops"),
    [
        ("the tool runs the tool again " * 3, [], "stop", True),
        ("Set it. Then route the design once more. Then route the design once more.", [], "stop", False),
        ("one two three four five six seven", [], "repetition", True),
        ("go on until it is done: go on until it is done", [], "length", True),
        ("a plain answer that was simply cut at its end", [], "length", False),
        (TABLE, [TABLE + "and so on"], "stop", False),
        (TABLE + TABLE, [TABLE], "stop", True),
        ("short", [], "length", False),
    ],
)
def test_loops_are_distinguished_from_tables_that_repeat_themselves(
    answer: str, passages: list[str], finish_reason: str, loops: bool
) -> None:
    assert has_loop(answer, passages, finish_reason) is loops


@for_each(
    ("answer", "names"),
    [
        ("Run `repair_antennas -iterations 5`[1] in flow/scripts/global_route.tcl, GRT-0012.", []),
        ("repair\\_antennas is *the* command, and/or global routing.", []),
        ("- repair_antennas\n-Run it twice", []),
        ("repair_antennas -iteration 5", ["-iteration"]),
        (
            "Set MAX_ANTENNAS in flow/scripts/antenna.tcl, see GRT-0013.",
            ["flow/scripts/antenna.tcl", "grt-0013", "max_antennas"],
        ),
        ("Look into /etc/openroad/rules", ["/etc/openroad/rules"]),
        ("report_* commands", []),
    ],
)
def test_names_from_nowhere_are_those_that_nobody_gave(answer: str, names: list[str]) -> None:
    assert unknown_names(answer, [PASSAGE, QUESTION.asked]) == names


def test_half_a_name_at_the_end_of_a_cut_answer_is_not_held_against_it() -> None:
    assert unknown_names("Run repair_ante", [PASSAGE], is_cut=True) == []
    assert unknown_names("Run repair_ante", [PASSAGE]) == ["repair_ante"]


SIGNS = [*"a/.~+-é_1v \n*", ".v", ".TCL", "../", "/b", "x.lib"]
LENGTH = 100_000  # of a hostile text
ENDLESS = ["a", "a/", "/a", "a.", "./", "-/a~", "~a.v", "x.v/", "a.v.", "/~", "a.tc", "-.", "..a", "+/b/", "~.a", "a/."]


def find_paths_slowly(text: str) -> list[str]:
    """What a path is, said plainly, in time that grows with the square of a text's length or worse."""
    names = "|".join(FILE_SUFFIXES)
    file = re.compile(rf"[\w+-][\w.+-]*\.({names})\b", re.IGNORECASE)
    absolute = re.compile(r"(~|\.\.?)?(/[\w.+-]+){2,}")
    found: list[str] = []
    start = 0
    while start < len(text):
        end = start
        while end < len(text) and re.match(r"[\w.~+/-]", text[end]):
            end += 1
        places = [at + 1 for at in range(start, end) if text[at] == "/"]
        match = next(filter(None, (file.match(text, at) for at in [*reversed(places), start])), None)
        if match is None and not (start and re.match(r"[\w./]", text[start - 1])):
            match = absolute.match(text, start)
        found += [text[start : match.end()]] if match else []
        start = match.end() if match else start + 1
    return found


@given(st.lists(st.sampled_from(SIGNS), max_size=14).map("".join))
def test_paths_are_found_as_a_plain_reading_finds_them(text: str) -> None:
    assert find_paths(text) == find_paths_slowly(text)


@for_each("end", ["", "!", ".v"])
@for_each("piece", ENDLESS)
def test_a_text_without_end_has_the_paths_of_a_short_one(piece: str, end: str) -> None:
    short, count = find_paths_slowly(piece * 8 + end), LENGTH // len(piece)
    expected = [path.replace(piece * 6, piece * (count - 2)) for path in short]
    if len(short) == 8:  # a path in each piece
        expected = [short[0]] * (count - 1) + short[-1:]
    assert find_paths(piece * count + end) == expected
