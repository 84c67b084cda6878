"""rag.reference.descriptions: a card's words in one line that ends with a sentence, and the default in them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.reference.descriptions import (
    LONGEST_DESCRIPTION,
    find_default,
    read_first_item,
    read_first_paragraph,
    shorten,
)
from tests.rows import for_each


def test_a_short_text_is_one_line_as_it_is() -> None:
    assert shorten("Repairs hold\n violations.") == "Repairs hold violations."
    assert shorten("") == shorten(" \n ") == ""
    assert shorten("x" * LONGEST_DESCRIPTION) == "x" * LONGEST_DESCRIPTION


def test_a_long_text_ends_with_its_last_whole_sentence() -> None:
    text = "It repairs hold, e.g. late ones. " * 40
    found = shorten(text)
    assert len(found) <= LONGEST_DESCRIPTION
    assert found.endswith("late ones.")
    assert text.startswith(found)
    assert len(found) > LONGEST_DESCRIPTION - 40


def test_a_long_text_without_a_sentence_says_that_it_is_cut() -> None:
    for text in ("x" * 700, "e.g. this " * 100):
        found = shorten(text)
        assert found.endswith("\u2026")
        assert len(found) <= LONGEST_DESCRIPTION
        assert text.startswith(found[:-1])


@settings(max_examples=50)
@given(st.lists(st.sampled_from(["Routes nets.", "Why?", "It is so!", "i.e. now", "word", "`a`.", "\n"]), max_size=200))
def test_it_is_never_longer_and_shortening_again_changes_nothing(parts: list[str]) -> None:
    found = shorten(" ".join(parts))
    assert len(found) <= LONGEST_DESCRIPTION
    assert "\n" not in found
    assert shorten(found) == found


@for_each(
    ("lines", "paragraph"),
    [
        (["", "First", " second.", "", "Third."], "First second."),
        (["-a  Does a."], ""),
        (["+a"], ""),
        (["[-a]"], ""),
        (["<file>"], ""),
        (["", ""], ""),
        ([], ""),
    ],
)
def test_the_first_paragraph_below_a_synopsis_is_read_unless_it_is_an_option(lines: list[str], paragraph: str) -> None:
    assert read_first_paragraph(lines) == paragraph


@for_each(
    ("lines", "item"),
    [(["  - says this", "more"], "says this"), (["  1. says this"], "says this"), (["- of the list"], ""), ([], "")],
)
def test_only_an_item_inside_an_item_is_read(lines: list[str], item: str) -> None:
    assert read_first_item(lines) == item


@for_each(
    ("description", "column", "default"),
    [
        ("The default is 5 um.", "", "5 um"),
        ("The default is 5 um.", "`3`", "3"),
        ("Repairs hold.", "", ""),
        ("", "", ""),
        ("", "-", ""),
    ],
)
def test_the_column_says_the_default_before_the_description(description: str, column: str, default: str) -> None:
    assert find_default(description, column) == default
