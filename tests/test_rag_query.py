"""rag.query: which turns lean on earlier ones, and which need no retrieval at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.query import has_content, leans_on_earlier, retrieval_query

SETUP = "How do I fix setup violations after clock tree synthesis?"


@pytest.mark.parametrize(
    "turn",
    [
        "and for hold?",
        "why?",
        "How?",
        "how do I fix them?",
        "What about hold?",
        "How do I fix that?",
        "Can you give an example?",
        "which option does that?",
        "but in OpenSTA?",
        "Is it possible to avoid this?",
        "what do these mean?",
        "its default?",
        "explain more",
    ],
)
def test_a_follow_up_is_joined_with_what_it_leans_on(turn: str) -> None:
    assert retrieval_query([SETUP, turn]) == f"{SETUP} {turn}"


@pytest.mark.parametrize(
    "turn",
    [
        "What does the -hold option of repair_timing do?",
        "Which command reads a Liberty file?",
        "Is it possible to run two clocks in OpenSTA?",
        "Which options of global_route are there that set the layers?",
        "My scan chain has a hold violation, how do I fix it?",
        "And which command of OpenROAD writes the SPEF file after extraction?",
        "set_wire_rc",
        "What is a lockup latch?",
        "How long does it take to route a large design?",
    ],
)
def test_a_question_that_stands_by_itself_is_left_alone(turn: str) -> None:
    assert retrieval_query([SETUP, turn]) == turn


def test_a_chain_of_follow_ups_goes_back_to_its_question() -> None:
    turns = ["What is IR drop?", SETUP, "and for hold?", "why?"]
    assert retrieval_query(turns) == f"{SETUP} and for hold? why?"


def test_thanks_between_the_turns_are_passed_over() -> None:
    assert retrieval_query([SETUP, "Thank you!", "and for hold?"]) == f"{SETUP} and for hold?"


def test_at_most_three_turns_are_joined_before_the_last() -> None:
    assert retrieval_query([SETUP, "why?", "how?", "when?", "where?", "which?"]) == "how? when? where? which?"


def test_one_turn_and_no_turn() -> None:
    assert retrieval_query(["why?"]) == "why?"
    assert retrieval_query([]) == ""


SMALL_TALK = ["hi", "Hello!", "thank you!", "ok great", "Thanks a lot, that's helpful", "good morning", "yes", "...", "", "ok, thanks :)"]
QUESTIONS = ["why?", "hi, what is CTS?", "set_wire_rc", "and for hold?", "is it?", "what is good placement density", "ok and then"]


@pytest.mark.parametrize("turn", SMALL_TALK)
def test_small_talk_has_no_content(turn: str) -> None:
    assert not has_content(turn)


@pytest.mark.parametrize("turn", QUESTIONS)
def test_a_question_has_content(turn: str) -> None:
    assert has_content(turn)


@given(st.lists(st.text(max_size=40), max_size=6))
def test_the_last_turn_is_always_in_the_query(turns: list[str]) -> None:
    query = retrieval_query(turns)
    assert query.endswith(turns[-1].strip() if turns else "")


def test_leaning_is_decided_by_the_turn_alone() -> None:
    assert leans_on_earlier("and for hold?")
    assert not leans_on_earlier("What is hold time?")
