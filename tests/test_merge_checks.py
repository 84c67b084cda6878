"""merge.checks and the words of merge.errors: what may have been meant, and messages that fit a screen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merge.checks import MEANT, find_unknown, guess, is_number, is_text
from merge.errors import SCREEN, SHOWN, MergeError, ParentsMismatch, RecipeError, join, over_layers, printable, shorten
from merge.recipe import DECISIONS, DTYPES, METHODS, PARAMETERS
from merge.recipe_file import MERGE_KEYS, TABLES
from tests.rows import for_each


@for_each(
    ("value", "allowed", "end"),
    [
        ("bf16", DTYPES, ". Did you mean bfloat16?"),
        ("BF16", DTYPES, ". Did you mean bfloat16?"),
        ("nuslerp", METHODS, ". Did you mean geodesic?"),
        ("dare_ties", METHODS, ". Did you mean dare with [parameters] elect = true?"),
        ("gheodesic", METHODS, ". Did you mean geodesic?"),
        ("alpha", MERGE_KEYS, ". Did you mean lam?"),
        ("alpha", DTYPES, ""),  # what it is elsewhere is not allowed here
        ("entirely else", METHODS, ""),
        ("", METHODS, ""),
        (3, METHODS, ""),
        (None, METHODS, ""),
        (["linear"], METHODS, ""),
    ],
)
def test_what_may_have_been_meant_ends_the_message(value: object, allowed: tuple[str, ...], end: str) -> None:
    assert guess(value, allowed) == end


def test_every_word_of_other_tools_leads_to_one_of_ours() -> None:
    ours = {*METHODS, *DTYPES, *MERGE_KEYS, *TABLES, *PARAMETERS, *DECISIONS}
    assert {meant.partition(" ")[0] for meant in MEANT.values()} <= ours
    assert MEANT.keys() & ours == set()  # a word of ours means itself


@for_each(
    ("value", "is_one"),
    [
        (0, True),
        (1, True),
        (0.5, True),
        (-0.01, False),
        (1.01, False),
        (True, False),  # TOML's true is not the number 1
        ("0.5", False),
        (None, False),
        (float("nan"), False),
        (float("inf"), False),
        (10**400, False),
    ],
)
def test_a_number_lies_in_its_range(value: object, is_one: bool) -> None:
    assert is_number(value, 0, 1) is is_one


def test_a_text_says_something() -> None:
    assert is_text("a")
    assert not any(map(is_text, ("", " \n", None, 3, ["a"])))


def test_unknown_keys_are_all_named_with_what_is_allowed() -> None:
    found = find_unknown("merge.", {"lam": 1, "lamb": 2, "x": 3}, ("lam", "dtype"))
    assert found == [
        "unknown key merge.lamb (allowed: lam, dtype). Did you mean lam?",
        "unknown key merge.x (allowed: lam, dtype)",
    ]
    assert find_unknown("", {"a b": 1}, ("lam",)) == ["unknown key 'a b' (allowed: lam)"]
    assert find_unknown("", {}, ("lam",)) == []


@for_each(
    ("text", "shown"),
    [
        ("plain \u00e4\u65e5", "plain \u00e4\u65e5"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\ud800", "\\ud800"),
    ],
)
def test_nothing_in_a_message_steers_a_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert str(MergeError(text)) == shown


@given(st.text(max_size=300), st.integers(28, 200))
def test_a_shortened_text_keeps_its_ends_and_is_never_too_long(text: str, limit: int) -> None:
    short = shorten(text, limit)
    assert len(short) <= limit
    if len(text) <= limit:
        assert short == text
    else:
        before, _, after = short.partition(" [...] ")
        assert text.startswith(before)
        assert text.endswith(after)


def test_a_message_is_at_most_a_screen_and_says_at_its_end_what_to_do() -> None:
    message = str(MergeError(f"{'x' * 10_000}. Copy the file anew"))
    assert len(message) <= SCREEN
    assert message.endswith(". Copy the file anew")


def test_many_problems_are_counted_behind_the_first() -> None:
    assert join(["a", "b"], 2) == "a; b"
    assert join(["a", "b", "c"], 2) == "a; b; and 1 more"
    assert join([]) == ""
    many = RecipeError("r.toml", [f"problem {number}" for number in range(SHOWN + 5)])
    assert str(many).startswith("r.toml: problem 0; ")
    assert str(many).endswith("; and 5 more")
    assert len(many.problems) == SHOWN + 5


def test_problems_that_differ_in_a_layer_alone_are_one() -> None:
    layers = [f"tensor model.layers.{number}.mlp.weight is missing" for number in range(12)]
    assert over_layers(layers) == ["tensor model.layers.*.mlp.weight is missing (12 times)"]
    assert over_layers(layers[:1]) == layers[:1]
    assert over_layers([]) == []
    assert over_layers(["a.1.b differs", "a.2.c differs"]) == ["a.1.b differs", "a.2.c differs"]


def test_problems_of_more_than_three_tensors_are_shown_by_the_first() -> None:
    [line] = over_layers([f"tensor {name} is missing" for name in "abcde"])
    assert line == "tensor a is missing, and the same of 4 more names: b, c, d, ..."
    assert len(over_layers([f"tensor {name} is missing" for name in "abc"])) == 3


@pytest.mark.parametrize(("count", "said"), [(1, "1 mismatch: "), (2, "2 mismatches: ")])
def test_mismatches_are_counted_as_in_english(count: int, said: str) -> None:
    assert f"the parents cannot be merged, {said}" in str(ParentsMismatch([f"{number}" for number in range(count)]))
