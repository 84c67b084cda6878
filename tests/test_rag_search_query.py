"""rag.search.query: which turns lean on earlier ones, and which need no retrieval at all."""

from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from rag.search.query import (
    asks_for_another_form,
    fallback_query,
    find_subjects,
    has_content,
    leans_on_earlier,
    own_words,
    retrieval_query,
    strip_small_talk,
)
from tests.counting import count_calls
from tests.rows import for_each

SETUP = "How do I fix setup violations after clock tree synthesis?"


@for_each(
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
        "hold?",
        "hold too?",
        "Now the same for hold",
        "options?",
        "-hold?",
        "In OpenROAD?",
        "which command?",
        "show me the tcl",
        "list the options",
        "What is the default value of the halo there?",
        "only the fast cells pls",
        "what would you recommend instead of the minimum",
        "and a worst corner instead, only for the scan mode of the chip?",
        "safe for signoff? and how many corners does the tool look at",
        "are the clock nets left alone then?",
        "thats in the shell, the flow scripts do it with which variable",
    ],
)
def test_a_follow_up_is_joined_with_what_it_leans_on(turn: str) -> None:
    assert retrieval_query([SETUP, turn]) == f"{SETUP} {turn}"


@for_each(
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
        "What is WNS?",
        "no clock reaches the registers of my block",
        "what do I use instead of set_wire_rc",
        "Is there a flow for latches instead of flip-flops in scan chains?",
        "create_ndr -via, does it want a list?",
        "PLACE_DENSITY: can it be above one",
    ],
)
def test_a_question_that_stands_by_itself_is_left_alone(turn: str) -> None:
    assert retrieval_query([SETUP, turn]) == turn


@for_each(
    "turn",
    [
        "continue",
        "go on",
        "summarize",
        "shorter please",
        "translate to German",
        "I don't understand",
        "Can you be more specific?",
        "ok, shorter!",
    ],
)
def test_a_turn_that_asks_for_another_form_is_searched_as_the_turn_before(turn: str) -> None:
    assert asks_for_another_form(turn)
    assert retrieval_query([SETUP, turn]) == SETUP
    assert retrieval_query([SETUP, turn, "and for hold?"]) == f"{SETUP} and for hold?"
    assert fallback_query([SETUP, turn]) == ""


@for_each(
    ("turn", "rest"),
    [
        ("hi how do i fix hold", "how do i fix hold"),
        ("Good morning everyone, what is CTS?", "what is CTS?"),
        ("thanks! and hold?", "and hold?"),
        ("ok and hold", "and hold"),
        ("great, what is WNS?", "what is WNS?"),
        ("no paths found", "no paths found"),
        ("hello world example", "hello world example"),
        ("hi-speed links", "hi-speed links"),
        ("thanks", "thanks"),
    ],
)
def test_small_talk_at_the_start_is_left_out(turn: str, rest: str) -> None:
    assert strip_small_talk(turn) == rest


def test_small_talk_before_a_follow_up_is_not_part_of_the_query() -> None:
    assert retrieval_query([SETUP, "thanks! and hold?"]) == f"{SETUP} and hold?"


def test_the_fallback_is_the_last_turn_behind_the_one_before() -> None:
    assert fallback_query([SETUP, "thanks", "What does the eco step do?"]) == f"{SETUP} What does the eco step do?"
    assert fallback_query([SETUP, "and for hold?", "What is WNS?"]) == f"{SETUP} and for hold? What is WNS?"


@for_each("turns", [[], ["What is WNS?"], ["hi", "What is WNS?"], [SETUP, "hold?"], [SETUP, "thanks"]])
def test_there_is_no_fallback_where_nothing_new_would_be_searched(turns: list[str]) -> None:
    assert fallback_query(turns) == ""


def test_the_own_words_of_a_turn_name_its_subject() -> None:
    assert own_words("thanks! What does the -hold option of repair_timing do?") == ["hold", "repair_timing"]
    assert own_words("and the default value?") == []
    assert own_words("clock " * 500) == ["clock"] * 200


@for_each("words", ["that x ", "that cell ", "it this ", "is it possible that x "])
def test_a_long_turn_takes_no_more_work_than_its_first_words(words: str) -> None:
    few, many = (count_calls(partial(leans_on_earlier, words * times)) for times in (200, 3500))
    assert few == many
    assert few < 5000


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


SMALL_TALK = [
    "hi",
    "Hello!",
    "thank you!",
    "ok great",
    "Thanks a lot, that's helpful",
    "good morning",
    "yes",
    "...",
    "",
    "ok, thanks :)",
]
QUESTIONS = [
    "why?",
    "hi, what is CTS?",
    "set_wire_rc",
    "and for hold?",
    "is it?",
    "what is good placement density",
    "ok and then",
]


@for_each("turn", SMALL_TALK)
def test_small_talk_has_no_content(turn: str) -> None:
    assert not has_content(turn)


@for_each("turn", QUESTIONS)
def test_a_question_has_content(turn: str) -> None:
    assert has_content(turn)


@given(st.lists(st.text(max_size=40), max_size=6))
def test_the_last_turn_is_always_in_the_query(turns: list[str]) -> None:
    query = retrieval_query(turns)
    assert not turns or asks_for_another_form(turns[-1]) or query.endswith(strip_small_talk(turns[-1]))


def test_leaning_is_decided_by_the_turn_alone() -> None:
    assert leans_on_earlier("How do I leave my register file out of it?")
    assert leans_on_earlier("can I take the clock nets from them")
    assert not leans_on_earlier("How do I write the parasitics of a block to a file and read it?")
    assert leans_on_earlier("and for hold?")
    assert not leans_on_earlier("What is hold time?")


def test_the_subjects_of_an_answer_are_its_most_frequent_known_names() -> None:
    answer = "With `place_pins` or `-exclude`: `-exclude top:*`, never `magic_pins`. See `set_io_pin` and `place_pin`."
    assert find_subjects(answer, lambda name: name != "magic_pins") == ["-exclude", "place_pins", "set_io_pin"]
    assert find_subjects("Two stages are usual.", lambda name: True) == []


def test_a_turn_that_names_a_tool_asks_it_of_that_one_alone() -> None:
    first = "How do I reroute only changed nets in OpenROAD"
    assert retrieval_query([first, "and in Innovus?"]) == "How do I reroute only changed nets in  and in Innovus?"
    assert retrieval_query([first, "and with one option?"]) == f"{first} and with one option?"
    assert retrieval_query(["Which Innovus command does it", first]) == first

    assert fallback_query([first, "and in Innovus?"]) == ""  # it is what was searched already
    alone = "Which option of ICC2 keeps the nets of all macros as they are"
    assert fallback_query([first, alone]) == f"How do I reroute only changed nets in  {alone}"
