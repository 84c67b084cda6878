"""serve.answers.verification: what is said of a model's answer where little or nothing was found."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some

from rag.checking.code_checks import CodeChecker
from rag.search.live import NoIndex
from serve.answers.chat import Grounded
from serve.answers.verification import MOST_CHARACTERS, Examiner
from tests.rows import for_each

FAULTY = "```verilog\nmodule a; endmodul\n```\n"
SOUND = "```verilog\nmodule a; endmodule\n```\n"
CHECKER = CodeChecker()
PIECES = some.sampled_from(["Hold is repaired. ", "Use `repair_timing`.\n", "\n", "- one\n", "12 ps ", "\U0001f600"])


def examine(query: str | None = "hold", *texts: str) -> Examiner:
    """An examiner of answers to a question for which no passage was found."""
    return Examiner(Grounded({}, query, (), 0), NoIndex(), CHECKER, texts)


def verify(answer: str, query: str | None = "hold", *texts: str) -> dict[str, Any]:
    found, citations = examine(query, *texts).verify(answer, mode="model")
    assert citations == []  # there is no passage to cite
    return found


@for_each("answer", ["", " \n", "<think>Hold is fixed with buffers.", "<think>a</think>"])
def test_an_answer_without_words_has_nothing_to_check(answer: str) -> None:
    assert verify(answer) == {
        "mode": "model",
        "sentences": [],
        "unknown_names": [],
        "code": [],
        "looped": False,
        "stopped": False,
        "dropped": 0,
    }


def test_where_nothing_was_searched_words_are_not_judged_and_code_is() -> None:
    found = verify(f"Use `repair_timing -hodl`. It repairs hold violations.\n\n{FAULTY}", None)
    assert (found["sentences"], found["unknown_names"]) == ([], [])
    assert [block["verdict"] for block in found["code"]] == ["faulty"]


def test_without_passages_no_claim_is_supported_and_each_name_is_unknown_once() -> None:
    answer = "Use `repair_timing` for hold. Then `repair_timing` inserts delay buffers into the paths."
    found = verify(answer)
    assert found["sentences"]
    assert not any(one["supported"] or one["passages"] or one["evidence"] for one in found["sentences"])
    assert found["unknown_names"] == ["repair_timing"]


def test_a_name_that_the_person_said_may_be_said_again() -> None:
    assert verify("Use `repair_timing` for hold.", "hold", "How does `repair_timing` work?")["unknown_names"] == []


def test_thoughts_are_not_checked_and_places_are_of_the_whole_answer() -> None:
    thoughts = f"<think>Maybe `wrong_name`?\n{FAULTY}</think>"
    claim = "Hold violations are repaired with delay buffers."
    found = verify(f"{thoughts}{claim}\n\n{SOUND}")
    assert found["unknown_names"] == []
    assert [block["verdict"] for block in found["code"]] == ["ok"]
    [one] = found["sentences"]
    assert f"{thoughts}{claim}"[one["start"] : one["end"]] == claim


def test_blocks_of_code_keep_their_places_and_their_faults_their_lines() -> None:
    answer = f"First:\n\n{SOUND}\nThen:\n\n{FAULTY}\nAnd:\n\n```python\nprint(\n```\n"
    blocks = verify(answer)["code"]
    assert [block["verdict"] for block in blocks][:2] == ["ok", "faulty"]
    assert answer[blocks[1]["start"] : blocks[1]["end"]].strip() == FAULTY.strip()
    assert all(one["line"] >= 0 and one["message"] for one in blocks[1]["diagnostics"])
    assert [block["verdict"] for block in blocks[2:]] in ([], ["unchecked"])


def test_what_stands_beyond_the_longest_answer_is_not_checked() -> None:
    filler = "\n" * MOST_CHARACTERS
    assert verify(f"{filler}Use `repair_timing` for hold.\n\n{FAULTY}") == verify(filler)
    assert verify(f"Use `repair_timing`.{filler}")["unknown_names"] == ["repair_timing"]


def test_what_the_caller_knows_of_the_answer_is_said_with_it() -> None:
    looped, _ = examine().verify("Hold. " * 3, mode="model", looped=True)
    assert looped["looped"] is True
    quoted = examine().verify_quotes("Hold is fixed.", "quote", [], dropped=3, stopped=True)
    assert (quoted["mode"], quoted["sentences"], quoted["dropped"], quoted["stopped"]) == ("quote", [], 3, True)


@settings(max_examples=30)
@given(some.lists(PIECES, max_size=8).map("".join))
def test_sentences_of_any_answer_stand_in_order_within_it(answer: str) -> None:
    found = verify(answer)
    places = [(one["start"], one["end"]) for one in found["sentences"]]
    assert all(0 <= start < end <= len(answer) for start, end in places)
    assert all(first[1] <= second[0] for first, second in pairwise(places))
    assert len(found["unknown_names"]) == len(set(found["unknown_names"]))
