"""rag.blocks: the heading stack and the text operations that both parsers share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rag.blocks import (
    CUT,
    MAX_HEADING_CHARACTERS,
    Block,
    HeadingStack,
    Parsed,
    dedent_lines,
    fence_code,
    name_definition,
    pipe_table,
    read_parsed,
    write_parsed,
)


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


@given(
    st.text(),
    st.lists(
        st.builds(
            Block,
            st.sampled_from(["prose", "list", "table", "code"]),
            st.text(),
            st.lists(st.text(max_size=9), max_size=3).map(tuple),
            st.one_of(st.none(), st.integers(1, 10**6)),
        ),
        max_size=5,
    ),
)
def test_written_blocks_are_read_as_they_were(title: str, blocks: list[Block]) -> None:
    parsed = Parsed(title, tuple(blocks), "pages 3, 4 cannot be read")
    assert read_parsed(write_parsed(parsed)) == parsed


def test_a_page_number_changes_the_written_text() -> None:
    texts = {write_parsed(Parsed("T", (Block("prose", "text", (), page),))) for page in (None, 1, 2)}
    assert len(texts) == 3


def test_a_table_has_a_rule_fills_short_rows_and_leaves_out_empty_columns() -> None:
    rows = [["a", "", "b|c"], ["1\n2"], ["", " ", "x  y"]]
    assert pipe_table(rows) == "| a | b\\|c |\n| --- | --- |\n| 1 2 |  |\n|  | x y |"
    assert pipe_table([]) == pipe_table([[""], [" "]]) == ""


def test_names_that_fit_are_a_heading_and_longer_ones_stand_whole_below_it() -> None:
    assert name_definition(["-a  file", "", "-b"]) == ("-a file, -b", "")
    assert name_definition([]) == ("", "")
    long = [f"lint_off -rule {'x' * 90}", f"lint_off -file {'y' * 90}", "lint_on"]
    assert name_definition(long) == ("lint_off, lint_on", "\n".join(f"`{name}`" for name in long))


@given(st.lists(st.text("ab -,", max_size=90), max_size=30))
def test_every_name_is_whole_in_the_heading_or_below_it(names: list[str]) -> None:
    heading, whole = name_definition(names)
    assert len(heading) <= MAX_HEADING_CHARACTERS
    assert all(" ".join(name.split()) in (whole or heading) for name in names)
    assert bool(heading) == any(name.strip() for name in names)


@given(st.text("ab ", max_size=300))
def test_a_heading_that_is_cut_says_so_and_is_given_whole(text: str) -> None:
    stack = HeadingStack()
    whole = stack.enter(2, text)
    heading = "".join(stack.path)
    assert len(heading) <= MAX_HEADING_CHARACTERS
    if whole:
        assert heading.endswith(CUT)
        assert whole.startswith(heading.removesuffix(CUT))
        assert whole == " ".join(text.split())
    else:
        assert heading == " ".join(text.split())
