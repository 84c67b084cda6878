"""Messages fit a screen and steer no terminal, and many problems of one kind are counted and shown by example."""

from __future__ import annotations

import inspect

from hypothesis import given, settings
from hypothesis import strategies as st

from merge import errors
from merge.errors import (
    ALIKE,
    MISMATCHES_SHOWN,
    SCREEN,
    SHOWN,
    AdapterMismatch,
    AdapterUnsupported,
    CheckpointNotFound,
    MergeError,
    ParentsMismatch,
    RecipeError,
    join,
    over_layers,
    printable,
    shorten,
)
from tests.rows import for_each


@for_each(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("left\u202eright", "left\\u202eright"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("no\xa0break", "no\\xa0break"),
        ("\ud800", "\\ud800"),
        ("Ünïcode 時鐘樹 🙂", "Ünïcode 時鐘樹 🙂"),
        ("\U000e0041", "\\U000e0041"),
        ("", ""),
    ],
)
def test_what_would_steer_a_terminal_is_escaped_and_all_else_stays(text: str, shown: str) -> None:
    assert printable(text) == shown


@settings(max_examples=50)
@given(st.text(max_size=40))
def test_a_printable_text_is_printable_and_made_so_only_once(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)
    assert len(printable(text)) >= len(text)


@settings(max_examples=50)
@given(st.text(max_size=200), st.integers(40, 120))
def test_a_shortened_text_fits_and_keeps_both_its_ends(text: str, limit: int) -> None:
    found = shorten(text, limit)
    assert len(found) <= limit
    if len(text) <= limit:
        assert found == text
    else:
        head, _, tail = found.partition(" [...] ")
        assert text.startswith(head[: limit * 3 // 4])
        assert text.endswith(tail[-1:])
        assert len(found) >= limit - 1


def test_a_text_of_exactly_the_limit_is_not_cut_and_one_more_is() -> None:
    assert shorten("x" * SCREEN) == "x" * SCREEN
    cut = shorten("a" * SCREEN + "b")
    assert len(cut) == SCREEN
    assert " [...] " in cut
    assert cut.endswith("ab")


@for_each(
    ("count", "shown", "joined"),
    [
        (0, 3, ""),
        (1, 3, "p0"),
        (3, 3, "p0; p1; p2"),
        (4, 3, "p0; p1; p2; and 1 more"),
        (9, 2, "p0; p1; and 7 more"),
        (2, 0, "and 2 more"),
    ],
)
def test_problems_beyond_those_shown_are_counted(count: int, shown: int, joined: str) -> None:
    assert join([f"p{number}" for number in range(count)], shown) == joined


def test_texts_of_many_layers_are_one_line_with_their_count() -> None:
    texts = [f"tensor model.layers.{n}.mlp.up_proj.weight differs" for n in range(32)]
    assert over_layers(texts) == ["tensor model.layers.*.mlp.up_proj.weight differs (32 times)"]
    experts = [f"tensor layers.{n}.experts.{k}.w1 is missing" for n in range(2) for k in range(4)]
    assert over_layers(experts) == ["tensor layers.*.experts.*.w1 is missing (8 times)"]


def test_a_single_layer_keeps_its_number() -> None:
    assert over_layers(["tensor layers.7.norm differs"]) == ["tensor layers.7.norm differs"]
    assert over_layers([]) == []


def test_numbers_that_are_not_layer_do_not_join_texts() -> None:
    texts = ["tensor a has shape [4, 8]", "tensor a has shape [4, 9]", "tensor a.0 is odd", "tensor a.1 is odd"]
    assert over_layers(texts) == texts


@for_each(
    ("names", "line"),
    [
        ("abcd", "tensor a differs, and the same of 3 more names: b, c, d"),
        ("abcde", "tensor a differs, and the same of 4 more names: b, c, d, ..."),
    ],
)
def test_more_than_three_names_of_one_kind_are_summed_up_after_the_first(names: str, line: str) -> None:
    assert over_layers([f"tensor {name} differs" for name in names]) == [line]


def test_three_names_of_one_kind_are_shown_by_themselves() -> None:
    texts = [f"tensor {name} differs" for name in "abcdefgh"[:ALIKE]]
    assert over_layers(texts) == texts


def test_kinds_stay_apart_in_the_order_in_which_they_first_come() -> None:
    texts = ["config rope differs", *(f"tensor {name} differs" for name in "abcd"), "config act differs"]
    assert [line.partition(" differs")[0] for line in over_layers(texts)] == ["config rope", "tensor a", "config act"]


def test_names_of_many_layers_are_summed_up_with_their_counts() -> None:
    texts = [f"tensor layers.{n}.{name} differs" for name in "abcde" for n in range(3)]
    (line,) = over_layers(texts)
    assert line.startswith("tensor layers.*.a differs (3 times), and the same of 4 more names: layers.*.b, layers.*.c")


@settings(max_examples=50)
@given(st.lists(st.sampled_from(["tensor a.0.x", "tensor a.1.x", "tensor b.0.x", "other", "one.1.more"]), max_size=8))
def test_no_kind_of_text_is_lost_and_there_are_never_more_lines(texts: list[str]) -> None:
    lines = over_layers(texts)
    assert len(lines) <= len(texts)
    assert bool(lines) is bool(texts)
    for word in ("other", "one."):
        assert any(word in line for line in lines) is any(word in text for text in texts)


def test_a_message_is_one_printable_line_of_at_most_a_screen() -> None:
    error = CheckpointNotFound("chat\nparent \x1b[31m" + "x" * 3 * SCREEN + " Give a folder")
    assert str(error).isprintable()
    assert len(str(error)) == SCREEN
    assert str(error).endswith("Give a folder")
    assert str(error).startswith("chat\\nparent \\x1b[31m")


def test_every_error_is_the_users_to_mend_and_says_what_it_is() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, MergeError)]
    assert len(kinds) > 20
    assert {kind.exit_code for kind in kinds} == {2}
    assert all(kind.__doc__ for kind in kinds)


def test_a_recipe_error_lists_its_problems_and_names_the_file() -> None:
    error = RecipeError("r.toml", [f"key{n} is unknown" for n in range(SHOWN + 2)])
    assert str(error).startswith("r.toml: key0 is unknown; key1 is unknown; ")
    assert str(error).endswith("; and 2 more")
    assert len(error.problems) == SHOWN + 2


@for_each(("count", "said"), [(0, "0 mismatches"), (1, "1 mismatch:"), (2, "2 mismatches:")])
def test_mismatches_are_counted_in_words_that_fit_their_number(count: int, said: str) -> None:
    assert f"cannot be merged, {said}" in str(ParentsMismatch([f"config key{n} differs" for n in range(count)]))


def test_mismatches_are_counted_one_by_one_though_layers_are_shown_as_one() -> None:
    error = ParentsMismatch([f"tensor layers.{n}.w differs" for n in range(40)])
    assert len(error.mismatches) == 40
    assert str(error).endswith("40 mismatches: tensor layers.*.w differs (40 times)")


def test_kinds_of_mismatches_beyond_a_screen_are_counted() -> None:
    texts = [f"config setting_{'x' * n} is 1 and 2" for n in range(MISMATCHES_SHOWN + 5)]
    assert str(ParentsMismatch(texts)).endswith("and 5 more")


@for_each(
    ("kind", "end"),
    [
        (AdapterUnsupported, "cannot be folded: a; b. Fold it with peft and give the resulting folder"),
        (AdapterMismatch, "does not fit its model: a; b"),
    ],
)
def test_an_adapter_that_does_not_do_is_named_with_all_reasons(
    kind: type[AdapterUnsupported | AdapterMismatch], end: str
) -> None:
    error = kind("./lora", ["a", "b"])
    assert str(error) == f"adapter ./lora {end}"
    assert error.problems == ("a", "b")
