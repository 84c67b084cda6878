"""Conversations kept for a reload: found by who has the id, forgotten on request, when old or when too many."""

from __future__ import annotations

import threading
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.fake_gateway import HITS
from tests.rows import for_each
from ui.conversation import Conversation, Turn, add_question
from ui.events import read_source
from ui.page.store import ConversationStore, count_chars

ONE: Conversation = (Turn("What is hold slack?", "answered", "The margin of hold."),)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_conversation_is_found_by_its_id_alone() -> None:
    store = ConversationStore()
    conversation_id = store.keep("", ONE)
    assert store.find(conversation_id) == ONE
    assert store.find("") is None
    assert store.find(conversation_id[:-1]) is None
    assert store.find(conversation_id.swapcase()) is None


def test_ids_are_long_random_and_fit_an_address() -> None:
    store = ConversationStore()
    ids = {store.keep("", ONE) for _ in range(200)}
    assert len(ids) == 200
    # 256 bits
    assert all(
        len(conversation_id) == 43 and conversation_id.replace("-", "").replace("_", "").isalnum()
        for conversation_id in ids
    )


def test_a_conversation_goes_on_under_its_id() -> None:
    store = ConversationStore()
    conversation_id = store.keep("", ONE)
    longer = add_question(ONE, "and setup?")
    assert store.keep(conversation_id, longer) == conversation_id
    assert store.find(conversation_id) == longer


@for_each("chosen", ["", "guess", "conversation", "x" * 43])
def test_an_id_that_someone_chose_is_never_used(chosen: str) -> None:
    store = ConversationStore()
    assert store.keep(chosen, ONE) != chosen
    assert store.find(chosen) is None


def test_what_was_forgotten_stays_forgotten_though_another_tab_goes_on() -> None:
    store = ConversationStore()
    old = store.keep("", ONE)
    store.forget(old)
    store.forget(old)  # twice is once
    new = store.keep(old, ONE)
    assert new != old
    assert store.find(old) is None


def test_a_conversation_is_forgotten_when_it_is_old_and_each_change_makes_it_young() -> None:
    clock = Clock()
    store = ConversationStore(max_age_s=60, clock=clock)
    conversation_id = store.keep("", ONE)
    clock.now_s += 60
    assert store.find(conversation_id) == ONE
    store.keep(conversation_id, ONE)
    clock.now_s += 60
    assert store.find(conversation_id) == ONE  # looking alone does not make it young
    clock.now_s += 1
    assert store.find(conversation_id) is None


def test_the_one_that_was_not_changed_for_longest_makes_room() -> None:
    store = ConversationStore(max_conversations=2)
    first, second = store.keep("", ONE), store.keep("", ONE)
    store.keep(first, ONE)
    third = store.keep("", ONE)
    assert [store.find(each) is not None for each in (first, second, third)] == [True, False, True]


def test_the_size_of_all_is_bounded_and_the_newest_stays_however_long_it_is() -> None:
    store = ConversationStore(max_chars=100)
    small = store.keep("", (Turn("x" * 60),))
    other = store.keep("", (Turn("x" * 40),))
    assert store.find(small) is not None
    huge = store.keep(other, (Turn("x" * 1000),))
    assert huge == other
    assert store.find(small) is None
    assert store.find(huge) is not None
    shrunk = store.keep(huge, (Turn("x" * 10),))
    again = store.keep("", (Turn("x" * 90),))
    assert store.find(shrunk) is not None  # what had been taken was given back
    assert store.find(again) is not None


def test_passages_count_towards_the_size() -> None:
    source = read_source(HITS[0])
    turn = replace(ONE[0], sources=(source, source))
    assert count_chars(turn) == len(turn.question) + len(turn.answer) + 2 * len(source.text)


@given(st.lists(st.tuples(st.sampled_from("kfn"), st.integers(0, 5), st.integers(0, 50)), max_size=40))
def test_the_bounds_hold_whatever_is_done(steps: list[tuple[str, int, int]]) -> None:
    clock = Clock()
    store = ConversationStore(max_age_s=100, max_conversations=3, max_chars=60, clock=clock)
    ids = [""] * 6
    changed: dict[str, float] = {}
    for what, which, size in steps:
        clock.now_s += size
        if what == "f":
            store.forget(ids[which])
            changed.pop(ids[which], None)
        else:
            ids[which] = store.keep(ids[which] if what == "k" else "", (Turn("x" * size),))
            changed[ids[which]] = clock.now_s
            assert store.find(ids[which]) is not None
        alive = [turns for each in changed if (turns := store.find(each)) is not None]
        assert len(alive) <= 3
        assert len(alive) <= 1 or sum(count_chars(turn) for turns in alive for turn in turns) <= 60
        assert all(store.find(each) is None for each, changed_s in changed.items() if clock.now_s - changed_s > 100)


def test_many_readers_at_once_keep_their_own() -> None:
    store = ConversationStore()
    wrong: list[str] = []

    def read_and_write(number: int) -> None:
        mine = ""
        for step in range(200):
            turns = (Turn(f"{number}.{step}"),)
            mine = store.keep(mine, turns)
            if store.find(mine) != turns:
                wrong.append(f"{number}.{step}")

    threads = [threading.Thread(target=read_and_write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
