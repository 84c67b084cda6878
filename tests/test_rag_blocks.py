"""rag.blocks: the heading stack and the text operations that both parsers share."""

from hypothesis import given
from hypothesis import strategies as st

from rag.blocks import MAX_HEADING_CHARACTERS, HeadingStack, dedent_lines, fence_code


def test_the_first_level_one_heading_is_the_title_and_stays_out_of_the_path() -> None:
    stack = HeadingStack()
    stack.enter(1, "Title")
    paths = [stack.path]
    for level, heading in [(2, "A"), (4, "A deep"), (2, "B"), (1, "Second title")]:
        stack.enter(level, heading)
        paths.append(stack.path)
    assert paths == [(), ("A",), ("A", "A deep"), ("B",), ("Second title",)]
    assert stack.title == "Title"


def test_a_deeper_first_heading_is_title_and_path() -> None:
    stack = HeadingStack()
    stack.enter(3, "Only a section")
    assert (stack.title, stack.path) == ("Only a section", ("Only a section",))


def test_empty_and_overlong_headings() -> None:
    stack = HeadingStack()
    stack.enter(2, "  ")
    assert (stack.title, stack.path) == (None, ())
    stack.enter(2, "word " * 100)
    assert len(stack.path[0]) <= MAX_HEADING_CHARACTERS


@given(st.lists(st.tuples(st.integers(1, 6), st.text("abc", min_size=1, max_size=4)), max_size=20))
def test_the_path_is_never_deeper_than_the_last_level(headings: list[tuple[int, str]]) -> None:
    stack = HeadingStack()
    for level, heading in headings:
        stack.enter(level, heading)
        assert len(stack.path) <= level


def test_dedent_takes_the_common_margin_and_the_blank_ends() -> None:
    assert dedent_lines(["", "    a  ", "", "      b", " "]) == ["a", "", "  b"]
    assert dedent_lines(["  ", ""]) == []


@given(st.lists(st.text("`a ", max_size=8), max_size=6))
def test_a_fence_is_never_closed_by_its_code(lines: list[str]) -> None:
    fenced = fence_code(lines).split("\n")
    assert fenced[0] == fenced[-1]
    assert not any(line.strip().startswith(fenced[0]) for line in fenced[1:-1])
