"""rag.checking.opposites: the table holds in both directions, and its words are such as a sentence is split into."""

from __future__ import annotations

from rag.checking.opposites import OPPOSITE
from rag.checking.windows import words_in


def test_each_word_is_an_opposite_of_its_opposites_and_none_of_itself() -> None:
    for word, others in OPPOSITE.items():
        assert others, word
        assert word not in others
        assert all(word in OPPOSITE[other] for other in others), word


def test_the_words_are_those_that_sentences_are_compared_by() -> None:
    for word in OPPOSITE:
        assert words_in(word) == {word}


def test_a_word_may_have_several_opposites() -> None:
    assert OPPOSITE["setup"] == {"hold"}
    assert OPPOSITE["lower"] == {"raise", "higher", "upper"}
    assert OPPOSITE["less"] == {"more"}
    assert OPPOSITE["more"] == {"fewer", "less"}


def test_no_word_is_written_in_another_form_than_sentences_are_compared_in() -> None:
    for word in OPPOSITE:
        assert word == word.lower().strip()
        assert word.isalpha(), word


def test_words_of_timing_power_and_order_are_there() -> None:
    for one, other in (("before", "after"), ("minimum", "maximum"), ("enable", "disable"), ("rise", "fall")):
        assert other in OPPOSITE.get(one, ()), one


def test_what_means_the_same_is_not_an_opposite() -> None:
    """Opposites of opposites are of one side: none of them turns the other around."""
    for word, others in OPPOSITE.items():
        for same in {found for other in others for found in OPPOSITE[other]} - {word}:
            assert same not in others, (word, same)
