"""rag.words.phrases: words of a text, and when two phrases are one."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.words.phrases import MAX_WORDS, is_abbreviation, phrase_key, split_words
from tests.rows import for_each


@for_each(
    ("plural", "singular"),
    [
        ("dies", "die"),
        ("ties", "tie"),
        ("buses", "bus"),
        ("libraries", "library"),
        ("boxes", "box"),
        ("classes", "class"),
        ("switches", "switch"),
        ("vias", "via"),
        ("pins", "pin"),
        ("nets'", "net"),
        ("Wires", "wire"),
    ],
)
def test_a_plural_is_the_same_phrase_as_its_singular(plural: str, singular: str) -> None:
    assert phrase_key(plural) == phrase_key(singular) == (singular,)


@for_each("word", ["glass", "status", "analysis", "gas", "bus", "is"])
def test_a_word_that_only_looks_like_a_plural_stays(word: str) -> None:
    assert phrase_key(word) == (word,)


@for_each(
    ("one", "other", "is_same"),
    [
        ("hard blocks", "a hard block", True),
        ("clock-tree", "clock tree", True),
        ("the clock's tree", "clock trees", True),
        ("routing", "route", False),  # of one word the stem would join too much
        ("routing layers", "route layer", True),
        ("HOLD", "hold", False),  # an abbreviation is compared with its case
        ("Hold", "hold", True),
        ("block hard", "hard block", False),
        ("report_checks", "report checks", False),
        ("-max_fanout", "max fanout", False),
    ],
)
def test_phrases_are_compared_by_their_words(one: str, other: str, is_same: bool) -> None:
    assert (phrase_key(one) == phrase_key(other)) is is_same


@for_each("name", ["report_checks", "-hold", "a/b.v", "GRT-0118", "data[3]", "`clock`", "$PDK", "x.lib and y"])
def test_an_exact_name_is_its_own_key(name: str) -> None:
    assert phrase_key(name) == (name,)


@for_each("phrase", ["", "the", "a an the", "...", "-"])
def test_a_phrase_without_words_is_its_own_key(phrase: str) -> None:
    assert phrase_key(phrase) == (phrase,)


def test_names_and_marks_part_words_and_articles_do_not_count() -> None:
    words = split_words("Fix the hold of my `clk_gate` cells, then route.")
    assert [word.text if word else None for word in words] == [
        *("Fix", "hold", "of"),
        *(None, "cells", None, "then", "route"),
        None,
    ]


def test_a_word_knows_where_it_stands() -> None:
    text = "Größe of the Zellen’s µ-pins"
    for word in split_words(text):
        assert word is None or text[word.start : word.end] == word.text


def test_of_a_long_text_the_first_words_are_read() -> None:
    assert len(split_words("cell " * (MAX_WORDS + 50))) == MAX_WORDS
    assert len(split_words("the " * (MAX_WORDS + 50) + "cell")) == 1


@for_each(
    ("phrase", "is_one"),
    [("DRC", True), ("SRAM2", True), ("A", False), ("", False), ("Drc", False), ("D R", False), ("X-Y", False)],
)
def test_an_abbreviation_is_one_word_in_capitals(phrase: str, is_one: bool) -> None:
    assert is_abbreviation(phrase) is is_one


@settings(max_examples=50)
@given(st.lists(st.sampled_from("the clock trees a of hard macro nets my vias".split()), min_size=2, max_size=6))
def test_articles_and_case_and_blanks_never_part_phrases(words: list[str]) -> None:
    shown = "  ".join(word.capitalize() for word in words)
    kept = " ".join(word for word in words if word not in ("the", "a", "my"))
    if kept:
        assert phrase_key(shown) == phrase_key(kept)


@settings(max_examples=50)
@given(st.text(max_size=80))
def test_whatever_is_typed_every_word_is_a_part_of_it(text: str) -> None:
    places = [(word.start, word.end) for word in split_words(text) if word]
    assert all(text[start:end].strip() for start, end in places)
    assert places == sorted(places)
