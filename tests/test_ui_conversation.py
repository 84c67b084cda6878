"""A conversation grows, is trimmed, becomes messages and Markdown; nothing in it is changed in place."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fake_gateway import HITS, quote, supported
from tests.rows import for_each
from ui.conversation import (
    OWN_TEXT_WORD,
    Turn,
    add_question,
    begin,
    close_interrupted,
    describe_answer,
    fail,
    retry,
    take_event,
    to_messages,
    trim,
    with_last,
)
from ui.errors import EmptyQuestion
from ui.events import Citation, Finished, Shortened, SourcesFound, TextDelta, read_source
from ui.verification import read_verification

SOURCES = tuple(read_source(hit) for hit in HITS)
ANSWERED = Turn("What is hold slack?", "answered", "The margin of the early path.", SOURCES, "hold slack", (1,), "stop")

turns = st.lists(
    st.builds(Turn, question=st.text(min_size=1, max_size=40), answer=st.text(max_size=40)), min_size=1, max_size=8
).map(tuple)


def test_question_is_added_without_its_blanks() -> None:
    assert add_question((ANSWERED,), "  And setup?\n") == (ANSWERED, Turn("And setup?"))


@for_each("nothing", ["", "   ", "\n\t"])
def test_empty_question_is_refused(nothing: str) -> None:
    with pytest.raises(EmptyQuestion, match="empty"):
        add_question((), nothing)


def test_events_build_the_turn() -> None:
    turn = begin(Turn("q"))
    assert turn.state == "answering"
    for event in (
        SourcesFound(SOURCES, "the query"),
        TextDelta("Use "),
        TextDelta("this [2]."),
        Finished("stop", (Citation(2, "", "", 0, 1),), "m"),
    ):
        turn = take_event(turn, event)
    assert turn == Turn("q", "answered", "Use this [2].", SOURCES, "the query", (2,), "stop", model="m")


def test_what_supports_an_answer_is_marked_once_it_has_ended() -> None:
    quotes = (quote(HITS[0], "diode cells"), quote(HITS[1], "jumper"))
    turn = take_event(Turn("q"), SourcesFound(SOURCES, "q"))
    assert not any(source.quoted for source in turn.sources)
    turn = take_event(turn, Finished("stop", (), "m", read_verification(supported("It.", *quotes))))
    assert [source.text[slice(*span)] for source in turn.sources for span in source.quoted] == ["diode cells", "jumper"]
    assert turn.is_worded_by_model


def test_retrieval_that_finds_nothing_is_distinguished_from_none_at_all() -> None:
    assert Turn("q").query is None
    assert take_event(Turn("hello"), SourcesFound((), "")).query == ""
    assert take_event(Turn("q"), SourcesFound((), "q")).query == "q"


def test_an_answer_that_is_not_from_the_documents_says_so() -> None:
    answered = take_event(Turn("Translate: a"), SourcesFound((), "", is_own_text=True))
    assert describe_answer(answered) == [OWN_TEXT_WORD]
    assert describe_answer(take_event(Turn("hello"), SourcesFound((), ""))) == []


def test_an_answer_about_a_log_that_was_cut_says_so() -> None:
    answered = take_event(Turn("why?"), SourcesFound((), "why?", shortened=Shortened(9_023, 127)))
    [note] = describe_answer(answered)
    assert "127 of its 9,023 lines were kept" in note


def test_failed_turn_keeps_the_text_that_came() -> None:
    turn = fail(take_event(Turn("q"), TextDelta("half")), "It broke.")
    assert (turn.state, turn.answer, turn.problem) == ("failed", "half", "It broke.")


def test_turn_left_amid_its_answer_counts_as_stopped() -> None:
    assert close_interrupted((ANSWERED, begin(Turn("q"))))[-1].state == "stopped"


def test_finished_waiting_and_empty_conversations_are_left_alone_by_closing() -> None:
    for conversation in ((), (ANSWERED,), (Turn("q"),), (fail(Turn("q"), "p"),)):
        assert close_interrupted(conversation) == conversation


def test_retry_asks_the_last_question_afresh() -> None:
    assert retry((ANSWERED, fail(Turn("q", answer="half"), "p"))) == (ANSWERED, Turn("q"))
    assert retry(()) == ()


def test_retry_asks_as_the_first_time() -> None:
    assert retry((fail(Turn("q", answer_by="quote"), "p"),)) == (Turn("q", answer_by="quote"),)


@for_each(
    ("mode", "is_quoted", "worded"),
    [
        ("quote", False, False),
        ("model", True, True),
        ("auto", True, False),
        ("auto", False, True),
        (None, True, False),
        (None, False, True),
    ],
)
def test_answer_is_the_models_unless_the_gateway_quotes(mode: str | None, is_quoted: bool, worded: bool) -> None:
    source = replace(SOURCES[0], quoted=((0, 4),) if is_quoted else ())
    found = read_verification({"mode": mode} if mode else None)
    assert Turn("q", "answered", "It.", (source,), verification=found).is_worded_by_model is worded
    assert not Turn("q", "answered", "Nothing.", (), verification=found).is_worded_by_model


def test_last_turn_is_replaced() -> None:
    assert with_last((ANSWERED, Turn("q")), Turn("other")) == (ANSWERED, Turn("other"))


def test_messages_hold_the_history_and_end_with_the_question() -> None:
    assert to_messages((ANSWERED, Turn("And setup?"))) == [
        {"role": "user", "content": "What is hold slack?"},
        {"role": "assistant", "content": "The margin of the early path."},
        {"role": "user", "content": "And setup?"},
    ]


def test_turn_without_answer_is_not_history() -> None:
    assert to_messages((fail(Turn("lost"), "p"), Turn("q"))) == [{"role": "user", "content": "q"}]


def test_empty_conversation_has_no_messages() -> None:
    assert to_messages(()) == []


def test_oldest_turns_are_trimmed_first() -> None:
    conversation = tuple(Turn(f"q{number}", answer="a" * 10) for number in range(5))
    assert trim(conversation, max_chars=24) == conversation[-2:]


def test_last_turn_stays_however_long_it_is() -> None:
    assert trim((ANSWERED, Turn("x" * 100)), max_chars=10) == (Turn("x" * 100),)


@given(turns, st.integers(min_value=0, max_value=400))
def test_trimmed_conversation_is_an_end_of_it_that_fits_or_one_turn(
    conversation: tuple[Turn, ...], max_chars: int
) -> None:
    kept = trim(conversation, max_chars)
    assert kept == conversation[-len(kept) :]
    assert len(kept) == 1 or sum(len(turn.question) + len(turn.answer) for turn in kept) <= max_chars


@given(turns)
def test_messages_alternate_and_end_with_the_person(conversation: tuple[Turn, ...]) -> None:
    roles = [message["role"] for message in to_messages(conversation)]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]


@given(turns, st.integers(0, 400))
def test_the_last_question_is_always_asked_and_once(conversation: tuple[Turn, ...], max_chars: int) -> None:
    messages = to_messages(conversation, max_chars)
    assert messages[-1] == {"role": "user", "content": conversation[-1].question}
    assert len(messages) % 2 == 1
    assert sum(len(message["content"]) for message in messages[:-1]) <= max_chars
