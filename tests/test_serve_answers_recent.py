"""serve.answers.recent: the newest answers are found, and memory is bounded whatever they are like."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from serve.answers.recent import LONGEST, RecentAnswers


def test_an_answer_is_found_by_its_id() -> None:
    recent = RecentAnswers()
    recent.note("chatcmpl-1", "Which option?", "Use `-hold`.")
    assert recent.find("chatcmpl-1") == ("Which option?", "Use `-hold`.")
    assert recent.find("chatcmpl-2") is None


def test_the_oldest_make_room_and_one_that_is_noted_again_is_new() -> None:
    recent = RecentAnswers(most=2)
    for answer_id in ("a", "b", "a", "c"):
        recent.note(answer_id, "q", answer_id)
    assert recent.find("a") == ("q", "a")
    assert recent.find("b") is None
    assert recent.find("c") == ("q", "c")


def test_what_is_too_long_is_cut_and_what_fits_nowhere_is_not_kept() -> None:
    recent = RecentAnswers()
    recent.note("a", "q" * (LONGEST + 1), "")
    assert recent.find("a") == ("q" * LONGEST, "")
    small = RecentAnswers(most_characters=10)
    small.note("a", "12345", "12345")
    small.note("b", "12345", "123456")
    assert small.find("a") is None
    assert small.find("b") is None
    small.note("c", "1", "2")  # it goes on with all its room
    assert small.find("c") == ("1", "2")


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.text(max_size=9), st.text(max_size=9)), max_size=40))
def test_the_newest_that_fit_are_kept(noted: list[tuple[str, str, str]]) -> None:
    recent = RecentAnswers(most=3, most_characters=20)
    for each in noted:
        recent.note(*each)
    newest: dict[str, tuple[str, str]] = {}
    for answer_id, question, answer in reversed(noted):
        newest.setdefault(answer_id, (question, answer))
    for answer_id, pair in newest.items():
        assert recent.find(answer_id) in (None, pair)
    kept = [answer_id for answer_id in newest if recent.find(answer_id)]
    assert kept == list(newest)[: len(kept)]  # none is kept in the place of a newer one
    assert len(kept) <= 3
    assert sum(len(one) + len(other) for one, other in map(newest.__getitem__, kept)) <= 20


def test_several_threads_lose_no_room() -> None:
    recent = RecentAnswers(most=50, most_characters=1000)
    with ThreadPoolExecutor(4) as workers:
        list(workers.map(lambda number: recent.note(f"{number % 60}", "12345", "12345"), range(2000)))
    for number in range(60, 110):
        recent.note(f"{number}", "12345", "12345")
    assert all(recent.find(f"{number}") for number in range(60, 110))
