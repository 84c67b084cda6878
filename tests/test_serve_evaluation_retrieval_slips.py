"""serve.evaluation.retrieval.slips: how much is misspelled, and that it is the same each time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve.evaluation.retrieval.slips import misspell
from tests.rows import for_each

QUESTION = "which command of OpenROAD repairs antennas with repair_antennas -iterations after the detailed routing?"
PLAIN = ("which", "command", "repairs", "antennas", "with", "after", "detailed", "routing?")


def changed(text: str) -> list[str]:
    return [before for before, after in zip(QUESTION.split(), misspell_words(text), strict=True) if before != after]


def misspell_words(text: str) -> list[str]:
    return text.split()


@for_each(("share", "words"), [(0.0, 0), (0.01, 1), (0.25, 2), (1.0, 8)])
def test_so_many_words_have_a_slip(share: float, words: int) -> None:
    spoiled = misspell(QUESTION, share)
    assert len(changed(spoiled)) <= words
    assert bool(changed(spoiled)) == bool(words)
    assert set(changed(spoiled)) <= set(PLAIN)
    assert misspell(QUESTION, share) == spoiled


@for_each("text", ["", "CTS -hold?", "a_b c/d `code` 12.5", "如何布线"])
def test_what_has_no_plain_word_stays(text: str) -> None:
    assert misspell(text, 1.0) == text


@given(st.text(alphabet="abc xyz", max_size=60))
def test_each_word_keeps_its_first_letter_and_about_its_length(text: str) -> None:
    for before, after in zip(text.split(), misspell(text, 1.0).split(), strict=True):
        assert before[0] == after[0]
        assert abs(len(before) - len(after)) <= 1
