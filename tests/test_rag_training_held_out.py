"""What is held out of training is decided by its name alone, for all files and runs alike."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.training.held_out import is_drawn
from tests.rows import for_each


@for_each("one_in", [2, 7, 10])
def test_about_one_in_so_many_is_drawn(one_in: int) -> None:
    names = [f"documents/{number}.md" for number in range(4000)]
    share = sum(is_drawn(name, one_in) for name in names) / len(names)
    assert abs(share - 1 / one_in) < 0.02


def test_the_names_that_are_drawn_stay_those_that_models_were_not_trained_on() -> None:
    assert [number for number in range(40) if is_drawn(f"documents/{number}.md", 10)] == [9, 23, 28]


@settings(max_examples=50)
@given(st.text(max_size=20), st.integers(1, 30), st.integers(1, 5))
def test_what_is_one_of_many_is_one_of_each_divisor_too(name: str, one_in: int, times: int) -> None:
    assert is_drawn(name, 1)
    if is_drawn(name, one_in * times):
        assert is_drawn(name, one_in)
