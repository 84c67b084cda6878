"""rag.checking.sentences: parts with exact places, the same however the answer arrives, with little held back."""

from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from rag.checking.sentences import LONGEST, LONGEST_CODE, Part, Splitter, split_answer
from tests.counting import count_calls
from tests.rows import for_each

PIECES = [
    "Run `pdngen`.",
    " Then",
    " [1]",
    "[2]. ",
    "\n",
    "\n\n",
    "- one",
    "1. ",
    "2) Two.",
    "| a | b |\n",
    "|---|---|\n",
    "```",
    "```tcl\n",
    "~~~",
    "set x 1\n",
    "# Head\n",
    "**Bold**\n",
    "e.g. ",
    "U.S. Army",
    " 5.038 ",
    "What? ",
    "(See there.)",
    '"Quoted." ',
    "   ",
    "x",
    "*",
    "`",
    "[",
    "1] ",
    "T",
    "**Note. Use",
    "__",
    ":",
    "!",
    ". A",
    "#",
]
ANSWERS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=30).map("".join)


def said(answer: str) -> list[tuple[str, str]]:
    return [(part.kind, answer[part.start : part.end]) for part in split_answer(answer)]


@for_each(
    ("answer", "parts"),
    [
        ("Use it. Then stop.", [("sentence", "Use it."), ("sentence", "Then stop.")]),
        (
            "Use it [1]. Then [2] stop. [3] Good.",
            [("sentence", "Use it [1]."), ("sentence", "Then [2] stop. [3]"), ("sentence", "Good.")],
        ),
        ("- One. Two.\n- Three", [("item", "- One."), ("sentence", "Two."), ("item", "- Three")]),
        ("1. Run it.\n2. Stop it.", [("item", "1. Run it."), ("item", "2. Stop it.")]),
        ("Since 5.038, e.g. Verilator.", [("sentence", "Since 5.038, e.g. Verilator.")]),
        ("## Fix\nDo it.", [("heading", "## Fix"), ("sentence", "Do it.")]),
        ("**Fix:**\nDo it.", [("heading", "**Fix:**"), ("sentence", "Do it.")]),
        ("| a | b |\n|---|---|\n| 1 | 2 |", [("row", "| a | b |"), ("row", "|---|---|"), ("row", "| 1 | 2 |")]),
        (
            "So:\n```tcl\na. B\n\n# c\n```\nDone.",
            [("sentence", "So:"), ("code", "```tcl\na. B\n\n# c\n```"), ("sentence", "Done.")],
        ),
        ("````\n```\nx\n````", [("code", "````\n```\nx\n````")]),
        ("```\nnever closed. It\n", [("code", "```\nnever closed. It")]),
        ("", []),
        (" \n ", []),
    ],
)
def test_an_answer_is_cut_where_a_reader_would(answer: str, parts: list[tuple[str, str]]) -> None:
    assert said(answer) == parts


@given(ANSWERS, st.lists(st.integers(1, 7), min_size=1, max_size=5))
def test_the_cuts_are_the_same_however_the_answer_arrives(answer: str, sizes: list[int]) -> None:
    splitter, parts, at, turn = Splitter(), list[Part](), 0, 0
    while at < len(answer):
        size = sizes[turn % len(sizes)]
        parts += splitter.feed(answer[at : at + size])
        at, turn = at + size, turn + 1
    assert [*parts, *splitter.close()] == split_answer(answer)


@given(ANSWERS)
def test_between_the_parts_is_only_white_space(answer: str) -> None:
    at = 0
    for part in split_answer(answer):
        assert not answer[at : part.start].strip()
        assert part.start < part.end
        at = part.end
    assert not answer[at:].strip()


def test_what_never_ends_is_cut() -> None:
    assert [part.end - part.start for part in split_answer("x" * (2 * LONGEST + 5))] == [LONGEST, LONGEST, 5]
    code = split_answer("```\n" + "x" * LONGEST_CODE + "\n```\nDone.")
    assert [part.kind for part in code] == ["code", "code", "sentence"]


def test_a_sentence_is_given_as_soon_as_the_next_one_begins() -> None:
    splitter = Splitter()
    assert splitter.feed("Use it. T") == []
    assert splitter.feed("h") == [Part("sentence", 0, 7)]


def cut_by_letters(answer: str) -> None:
    """Cut an answer that arrives letter by letter."""
    splitter = Splitter()
    for letter in answer:
        splitter.feed(letter)


@for_each("letters", [". A", "a.a.", "![", "e.g. B ", "**A. B"])
def test_the_work_of_an_open_line_grows_with_its_letters_alone(letters: str) -> None:
    few, many = (count_calls(partial(cut_by_letters, letters * (size // len(letters)))) for size in (300, 3000))
    assert many < 11 * few


@for_each("letters", [". A", "a.a.", "![", "e.g. B ", "a. [1](b) "])
def test_of_an_open_line_only_its_last_letters_are_searched_again(letters: str) -> None:
    splitter = Splitter()
    for letter in letters * 200:
        splitter.feed(letter)
        assert len(splitter._text) - splitter._looked <= 8


@for_each(
    "answer", ["**Note. Use it**\n", "**Note. Use it:**\nThen.", "__A. Be__: \nC", "**No. Yes** it. Is", "`" * 9000]
)
def test_an_answer_letter_by_letter_is_cut_as_the_whole_one(answer: str) -> None:
    splitter = Splitter()
    parts = [part for letter in answer for part in splitter.feed(letter)]
    assert [*parts, *splitter.close()] == split_answer(answer)
