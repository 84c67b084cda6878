"""rag.checking.windows: what of a passage may support a sentence, in clauses with their facts, terms and tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.checking.facts import find_facts
from rag.checking.windows import PARAGRAPH, Source, Window, plain_words, read_sources, words_in
from rag.documents import Chunk, Hit
from rag.search.retriever import NO_TOKENS, Tokens
from tests.rows import for_each


def source(text: str, place: str = "Timing", tokens: Tokens | None = None) -> Source:
    return Source(
        1, text, place, tokens or Tokens(np.zeros((0, 2), dtype=np.int64), np.zeros((0, 4), dtype=np.float32))
    )


def texts(found: Source) -> list[str]:
    return [found.text[window.start : window.end] for window in found.windows]


def clauses(window: Window) -> list[frozenset[str]]:
    return [piece.words for piece in window.pieces]


def test_each_unit_is_a_window_with_what_introduces_it() -> None:
    found = source("## Repair\n\nOptions:\n\n- `-hold` repairs hold\n- `-setup` repairs setup")
    assert texts(found) == ["Options:", "- `-hold` repairs hold", "- `-setup` repairs setup"]
    _, hold, _ = found.windows
    assert {"repair", "options"} <= hold.context.words
    assert "timing" in hold.context.words  # the passage's place
    assert hold.pieces[0].facts.names == {"-hold"}


def test_sentences_that_follow_each_other_are_windows_together() -> None:
    assert texts(source("First it routes. Then it reports.")) == [
        "First it routes.",
        "Then it reports.",
        "First it routes. Then it reports.",
    ]
    three = source("First it routes. Then it reports. Last it writes.")
    assert texts(three)[3:] == [
        "First it routes. Then it reports.",
        "Then it reports. Last it writes.",
        three.text,
    ]
    assert texts(source("First it routes.\n\nThen it reports.")) == ["First it routes.", "Then it reports."]


def test_a_long_paragraph_is_not_a_window_as_a_whole() -> None:
    long = source(" ".join(f"Step number{number} runs." for number in range(PARAGRAPH + 1)))
    assert max(map(len, texts(long))) < len(long.text) / 2


@for_each(
    ("text", "pieces"),
    [
        ("It routes, and it reports; it writes.", 3),
        ("It routes and reports.", 2),
        ("It routes while it waits.", 2),
        ("It routes 1,000 nets.", 1),  # a comma within a number parts nothing
        ("- it routes, and it reports", 1),  # an item is whole but for its sentences
        ("- it routes. It reports", 2),
        ("| a, b | c and d |\n|---|---|\n| 1, 2 | 3 and 4 |", 1),
        ("```\na, b\nc\n```", 4),  # code by its lines
    ],
)
def test_a_window_is_parted_into_clauses_as_its_kind_is_read(text: str, pieces: int) -> None:
    assert len(source(text).windows[0].pieces) == pieces


def test_clauses_have_their_words_terms_and_facts() -> None:
    [window] = source("The margin is 0.5 ns, but never `FULL`.").windows
    first, second = window.pieces
    assert clauses(window) == [{"the", "margin", "is", "ns"}, {"but", "never", "full"}]
    assert first.facts.numbers | first.facts.units == {"0.5", "ns"}
    assert (first.facts.negations, second.facts.negations) == (0, 1)
    assert second.held(frozenset({"FULL", "0.5"})) == {"FULL"}
    assert first.held(frozenset({"FULL", "0.5"})) == {"0.5"}
    assert "margin" in first.terms


TEXT = "Use slow. Then fast."


def test_tokens_belong_to_the_clause_that_they_stand_in_and_headings_to_the_context() -> None:
    places = np.array([(-8, -2), (0, 3), (4, 8), (10, 14), (15, 19)], dtype=np.int64)
    found = source(TEXT, tokens=Tokens(places, np.eye(5, dtype=np.float32)))
    first, second, both = found.windows
    assert [piece.rows.tolist() for piece in first.pieces] == [[1, 2]]
    assert [piece.rows.tolist() for piece in second.pieces] == [[3, 4]]
    assert sorted(row for piece in both.pieces for row in piece.rows.tolist()) == [1, 2, 3, 4]
    assert first.context.rows.tolist() == [0]


def test_a_source_holds_a_sentence_only_with_all_its_names_numbers_and_units() -> None:
    found = source("Set `-margin` to 0.5 ns or `FULL`.", place="GRT-0118 in 7 steps")
    assert found.holds(find_facts("`-margin` is 0.5 ns."))
    assert found.holds(find_facts("GRT-0118 takes 7 steps."))  # its place counts too
    assert found.holds(find_facts("It is `FULL`."))
    assert not found.holds(find_facts("`-other` is 0.5 ns."))
    assert not found.holds(find_facts("`-margin` is 0.6 ns."))
    assert not found.holds(find_facts("`-margin` is 0.5 ps."))
    assert not found.holds(find_facts("It is `full`."))  # case counts in code


@for_each(
    ("text", "says"),
    [
        ("repairs hold", True),
        ("**Repairs** `hold`.", True),  # marks and case do not count
        ("-hold repairs", True),
        ("hold repairs", False),  # the order does
        ("pairs hold", False),  # whole words alone
        ("0.5 ns", True),
        ("0.5", True),
        ("5 ns", False),
    ],
)
def test_a_window_says_the_very_words_of_a_text(text: str, says: bool) -> None:
    [window] = source("`-hold` repairs hold by 0.5 ns").windows
    assert window.says(text) is says


@given(st.text("aB-_.:/`* 1%", max_size=30))
def test_plain_words_are_the_same_once_they_are_plain(text: str) -> None:
    plain = plain_words(text)
    assert plain.startswith(" ")
    assert plain.endswith(" ")
    assert plain_words(plain) == plain
    assert words_in(text) == words_in(text.upper())


@pytest.mark.parametrize("text", ["", "\n\n", "## Heading alone"])
def test_a_passage_without_units_has_no_windows(text: str) -> None:
    assert source(text).windows == ()


class Reader:
    """Gives each passage one token."""

    def tokens_of(self, chunk: Chunk) -> Tokens:
        return Tokens(np.array([(0, len(chunk.text))], dtype=np.int64), np.ones((1, 2), dtype=np.float32))

    def read_tokens(self, text: str) -> Tokens:
        return NO_TOKENS


def test_hits_are_sources_numbered_from_1_with_their_places() -> None:
    chunk = Chunk("1", "openroad", "a.md", "Repair", ("Repair", "Hold"), "Text.", None, "ISC", 0)
    found = read_sources([Hit(chunk, 1.0, 0.5, None)] * 2, Reader())
    assert [(one.number, one.place, one.text) for one in found] == [
        (1, "Repair > Hold", "Text."),
        (2, "Repair > Hold", "Text."),
    ]
    assert found[0].tokens.places.tolist() == [[0, 5]]
