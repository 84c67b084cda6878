"""Spans of a text marked in its tokens: marks stand where the span is, and all else is read as without them."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it.token import Token

from tests.attack import Attack
from tests.rows import for_each
from tests.test_attack_page import random_answer
from ui.markdown_parser import MARKED, parse
from ui.plain_text import Span, move_span, plain

MARKS = ("mark_open", "mark_close")


def marked(text: str, *spans: Span) -> str:
    """The letters of all paragraphs, what is marked between «»."""
    signs = {"mark_open": "«", "mark_close": "»", "softbreak": " "}
    return "|".join(
        "".join(signs.get(child.type, child.content) for child in token.children)
        for token in parse(text, spans)
        if token.children is not None
    )


def without_marks(tokens: list[Token]) -> list[Any]:
    """All that the tokens say, but for the marks; texts that a mark parted are joined again."""
    said: list[Any] = []
    for token in tokens:
        kind: Any = (token.type, token.info if token.type == "fence" else "", token.map, str(token.attrs))
        if token.children is not None:
            said.append((kind, without_marks([child for child in token.children if child.type not in MARKS])))
        elif token.type == "text" and said and said[-1][0] == kind:
            said[-1] = (kind, said[-1][1] + token.content)
        elif token.type != "text" or token.content:
            said.append((kind, token.content))
    return said


@for_each(
    ("text", "span", "shown"),
    [
        ("Run it. Then check.", (0, 7), "«Run it.» Then check."),
        ("Run it. Then check.", (7, 19), "Run it. «Then check.»"),
        ("Run **all of** it.", (4, 14), "Run «all of» it."),
        ("Run **all of** it.", (8, 16), "Run «all of i»t."),
        ("Run `all of` it.", (7, 9), "Run «all of» it."),
        ("see [a b](http://h) c", (7, 8), "see «a b» c"),
        ("one\ntwo\nthree", (4, 9), "one «two t»hree"),
        ("> - one two\n>   three", (8, 20), "one «two thre»e"),
        ("## A title ##", (5, 10), "A «title»"),
        ("| a | b |\n|---|---|\n| c | d e |", (20, 31), "a|b|«c»|«d e»"),
        ("| a | b |\n|---|---|\n| c | x \\| y |", (26, 28), "a|b|«c»|«x | y»"),
        ("a \x1b[31mred\r\nb c", (8, 13), "a [31mr«ed b» c"),
        ("one. two.", (0, 4), "«one.» two."),
    ],
)
def test_a_mark_stands_where_its_span_is(text: str, span: Span, shown: str) -> None:
    assert marked(text, span) == shown


@for_each(
    ("text", "breaks"),
    [
        ("openroad [-help]\n       cmd_file", ["hardbreak"]),
        ("C++14\n   Needs more.\n   And more.", ["hardbreak", "hardbreak"]),
        ("one\ntwo  \nthree", ["softbreak", "hardbreak"]),
        ("- one\n  two", ["softbreak"]),
    ],
)
def test_an_indented_line_stays_a_line_of_its_own(text: str, breaks: list[str]) -> None:
    children = [child for token in parse(text) for child in token.children or ()]
    assert [child.type for child in children if child.type.endswith("break")] == breaks


def test_spans_side_by_side_and_over_each_other_are_marked_once() -> None:
    assert marked("one two three", (0, 3), (4, 7)) == "«one» «two» three"
    assert marked("one two three", (0, 5), (2, 9)) == "«one two t»hree"


@for_each("span", [(-1, 3), (0, 0), (3, 2), (0, 99), (99, 100), (3, 4)])
def test_a_span_out_of_range_or_of_blanks_marks_nothing(span: Span) -> None:
    assert marked("one two", span) == "one two"


@for_each(("span", "is_marked"), [((0, 5), False), ((4, 9), True), ((9, 12), True), ((14, 18), False)])
def test_code_that_a_span_reaches_into_says_so(span: Span, is_marked: bool) -> None:
    (fence,) = [token for token in parse("Say:\n```\nx\n```\nEnd.", [span]) if token.type == "fence"]
    assert fence.meta[MARKED] is is_marked


@pytest.mark.attack
def test_marks_change_nothing_of_what_a_text_says(attack: Attack) -> None:
    chance = random.Random(17)
    failures, tries = [], attack.times(300, full=30_000)
    for _ in range(tries):
        text = random_answer(chance)
        starts = [chance.randint(-2, len(text) + 2) for _ in range(3)]
        spans = [(start, start + chance.randint(-2, 40)) for start in starts]
        if without_marks(parse(text)) != without_marks(parse(text, spans)):
            failures.append(f"{text!r} {spans}")
    attack.report("texts whose marks change what they say", tries, failures)


@given(st.lists(st.sampled_from(["one", "two", "three", ".\n\x1bfour", ".\r\n\r\nfive"]), max_size=20), st.data())
def test_words_of_a_span_are_marked_and_no_others(words: list[str], data: st.DataObject) -> None:
    text = " ".join(words)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    shown = marked(text, (start, end)).replace("|", " ")
    inside = "".join(part.split("»")[0] for part in shown.split("«")[1:])
    assert "".join(inside.split()) == "".join(plain(text[start:end]).split())


@given(st.text(alphabet="ab \n\r\x1b\u202e", max_size=30), st.integers(-2, 32), st.integers(-2, 32))
def test_a_span_keeps_its_words_where_characters_are_taken_out(text: str, start: int, end: int) -> None:
    moved = move_span(text, (start, end))
    if 0 <= start < end <= len(text) and plain(text[start:end]).strip():
        assert moved is not None
        assert plain(text)[slice(*moved)] == plain(text[start:end]).strip()
    else:
        assert moved is None
