"""rag.words.spelling: what is put right, and what stays, by the words of a few passages and of English."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.index.bm25 import Bm25Index
from rag.words.spelling import MOST_WORDS, Speller
from tests.rows import for_each

PASSAGES = [
    "The placer spreads the cells of the netlist until the overflow is small.",
    "repair_antennas inserts diodes; detailed routing comes before, congestion behind it.",
    "Which command checks antennas after routing is finished? The checker approves them all.",
    "It is better to read the form from a parasitics file.",
]


def speller_of(passages: list[str]) -> Speller:
    return Speller(Bm25Index.build(passages), passages.__getitem__)


@pytest.fixture(scope="module")
def speller() -> Speller:
    return speller_of(PASSAGES)


@for_each(
    ("typed", "meant"),
    [
        ("whcih comand checks antenas", "which command checks antennas"),  # swapped, left out
        ("detiiled rooting", "detailed rooting"),  # doubled; a word of English is right, wherever it leads
        ("nwtlist overfloe", "netlist overflow"),  # the letter beside it, in words that no dictionary has
        ("Plcaer, plaacer: placerr?", "placer, placer: placer?"),
        ("taht file fomr", "that file form"),  # short words, where letters changed places
        ("cels of the smal form", "cells of the small form"),  # or one is left out
        ("congstion", "congestion"),
        ("parasitcs", "parasitics"),  # a word by its stem
    ],
)
def test_a_slip_is_put_right(speller: Speller, typed: str, meant: str) -> None:
    assert speller.correct(typed) == meant


@for_each(
    "text",
    [
        "",
        "which command checks the netlist",
        "goulash soup barks",  # English, and no document's
        "doesnt isnt whats",  # apostrophes that nobody types
        "approx",  # "approv" is but the stem of what a passage holds
        "algo",  # short, and one letter beside "also"
        "approving",  # known by its stem
        "-netlits --overfloe repair_antenas NETLITS $netlits cfg/netlits.tcl a.netlits `netlits` x=netlits",
        "die Verdrahtung der Zellen",
        "xqxqxqx kqkqk",
        "元件 netlist",
    ],
)
def test_names_and_words_stay(speller: Speller, text: str) -> None:
    assert speller.correct(text) == text


def test_what_the_caller_names_stays(speller: Speller) -> None:
    assert speller.correct("Netlits in netlits", {"netlits"}) == "Netlits in netlits"


def test_the_word_of_most_passages_is_taken() -> None:
    passages = [["slack"] + ["stack"] * 3, ["slack"] * 3 + ["stack"]]
    assert [speller_of(texts).correct("sdack") for texts in passages] == ["stack", "slack"]


def test_a_pasted_text_is_not_read_word_by_word(speller: Speller) -> None:
    text = "netlits " * (MOST_WORDS + 1)
    assert speller.correct(text) == text


@given(st.lists(st.sampled_from("whcih netlits the -hold antenas soup , . placer_x".split()), max_size=12))
def test_what_is_right_stays_right(words: list[str]) -> None:
    speller = speller_of(PASSAGES)
    once = speller.correct(" ".join(words))
    assert speller.correct(once) == once
    assert len(once.split()) == len(words)
