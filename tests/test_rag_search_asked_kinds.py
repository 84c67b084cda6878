"""rag.search.asked_kinds: what kind of thing a question asks for, and whether a text gives one."""

from __future__ import annotations

from rag.search.asked_kinds import KINDS, find_kind
from tests.rows import for_each


@for_each(
    ("question", "name", "gives", "lacks"),
    [
        ("since which release is there pll_calc", "a release", "New in 2.1: `pll_calc`.", "It shares 3 dividers."),
        ("latest version that pll_calc reads?", "a release", "Reads version 2 files.", "It reads files."),
        ("how many seconds does a lock take", "a time", "Locks within 30 us.", "It locks soon."),
        ("time limit for pll_calc?", "a time", "The timeout is set by -t.", "There is a limit of 5 loops."),
        ("how much memory does pll_calc need", "an amount of memory", "About 2 GB.", "It needs 2 files."),
        ("how big does the dump get", "an amount of memory", "Some 300 MiB a second.", "It gets big."),
        ("by how many percent is it slower", "a share", "It costs 5 % more.", "It is 5 times slower."),
        ("how much does a mask set cost", "a price", "Some $500,000.", "The cost function has 3 terms."),
        ("price of a seat for a year", "a price", "It is 100 euros.", "The price is low."),
        ("pll_calc -grid, in which unit?", "a unit", "A grid in microns.", "Sets the grid."),
        ("is -grid in dbu or um?", "a unit", "`-grid 0.2um`", "Sets the grid."),
    ],
)
def test_a_text_gives_the_kind_that_is_asked_for_or_not(question: str, name: str, gives: str, lacks: str) -> None:
    kind = find_kind(question)
    assert kind is not None
    assert (kind.name, kind.is_given_in(gives), kind.is_given_in(lacks)) == (name, True, False)


@for_each(
    "question",
    [
        "how do I sort a list",
        "in which order are clocks listed",
        "what does pll_calc return when it fails",
        "what is the default of -grid",
        "how many buffers does pll_calc insert?",
        "how long may a name be",
        "what does it cost me in area",
        "width or height first in the aspect ratio, h/w or w/h",
        "make: *** [all] Error 1, exit status 2 in 3 seconds, version 2.1",
        "order of the passes in synth",
        "",
    ],
)
def test_words_that_may_mean_something_else_ask_for_no_kind(question: str) -> None:
    assert find_kind(question) is None


def test_no_two_kinds_have_one_name() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)
