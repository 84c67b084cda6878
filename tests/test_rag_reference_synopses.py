"""rag.reference.synopses: how a command is called, with the place of each part, and what is no synopsis."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.reference.examples import read_calls
from rag.reference.synopses import (
    MOST_CALLS,
    is_example_language,
    read_cell_names,
    read_option_names,
    read_synopses,
    read_synopsis,
)
from tests.rows import for_each


@for_each(
    ("text", "parts", "is_strong"),
    [
        ("a_b", [], False),
        ("a_b ...", [], False),
        ("a_b <x>", [("x", "", True)], True),
        ("a_b [-x]", [("-x", "", False)], True),
        ("a_b -x y [-z]", [("-x", "y", True), ("-z", "", False)], True),
        ("a_b {-x | -y}", [("-x", "", False), ("-y", "", False)], True),
        ("a_b [-x {0|1}]", [("-x", "{0|1}", False)], True),
        ("usage: tool [options] file", [("file", "", True)], True),
        ("string report_it [-to list]", [("-to", "list", False)], True),
        ("a_b x \\\n  -y z", [("-y", "z", False), ("x", "", True)], False),
        ("a_b [-x] > file", [("-x", "", False)], True),
        ("a_b [-x]  # since 2.0", [("-x", "", False)], True),
        ("a_b [+x]", [("+x", "", False)], True),
        ("a_b [-x] (deprecated)", [("-x", "", False)], True),
    ],
)
def test_a_synopsis_has_its_options_then_its_arguments(
    text: str, parts: list[tuple[str, str, bool]], is_strong: bool
) -> None:
    found = read_synopsis(text.split("\n"))
    assert found is not None
    assert [(part.name, part.argument, part.is_required) for part in (*found.options, *found.arguments)] == parts
    assert found.is_strong is is_strong


@for_each(
    "text",
    [
        "",
        "# a remark",
        "set x 1",
        "if {$a} b",
        "a_b -x 5",
        "a_b [get_ports clk]",
        "a_b $net",
        'a_b "quoted value"',
        "a_b/c.tcl x",
        "a_b(x, y)",
        "Words that the reader is told.",
        "a_b the net of this",
    ],
)
def test_what_only_an_example_or_prose_has_is_not_a_synopsis(text: str) -> None:
    assert read_synopsis([text]) is None


def test_a_synopsis_ends_at_a_blank_line_or_at_the_margin() -> None:
    lines = ["  a_b [-x]", "      [-y]", "  c_d [-z]", "", "      [-w]"]
    first, second = read_synopsis(lines), read_synopsis(lines[2:])
    assert first is not None
    assert second is not None
    assert (first.lines, first.names) == (2, frozenset({"x", "y"}))
    assert (second.lines, second.names) == (1, frozenset({"z"}))


def test_a_cut_synopsis_leaves_out_what_stood_at_the_cut() -> None:
    whole = read_synopsis(["a_b [-x y] [-z w"], is_cut=True)
    assert whole is not None
    assert [option.name for option in whole.options] == ["-x"]


@for_each(
    ("text", "names"),
    [
        ("a_b [-x]\nc_d [-y]", ["a_b", "c_d"]),
        ("a_b [-x]\n\na_b [-y]", ["a_b", "a_b"]),
        ("a_b [-x]\nor\na_b [-y]", ["a_b", "a_b"]),
        ("a_b [-x]\n\nIt routes.", ["a_b"]),
        ("a_b [-x]\nIt routes.", []),
        ("a_b x\nc_d y", []),  # a script
        ("\n\na_b [-x]", ["a_b"]),
        ("", []),
        ("\n".join(f"a_{number} [-x]" for number in range(MOST_CALLS + 1)), []),
    ],
)
def test_synopses_stand_one_below_the_other_where_they_are_not_script(text: str, names: list[str]) -> None:
    assert [synopsis.name for _, synopsis in read_synopses(text.split("\n"))] == names


@for_each(
    ("text", "found"),
    [
        ("-t N, --threads N", [("-t", "N"), ("--threads", "N")]),
        ("-t, --threads N", [("-t", "N"), ("--threads", "N")]),
        ("-a | -b", [("-a", ""), ("-b", "")]),
        ("-a or -b", [("-a", ""), ("-b", "")]),
        ("[-layers list]", [("-layers", "list")]),
        ("-a <x>/<y>", [("-a", "<x>/<y>")]),
        ("--x=<n> (default)", [("--x", "<n>")]),
        ("-?", [("-?", "")]),
        ("-a the thing", []),
        ("-a and words that follow", []),
        ("a", []),
        ("", []),
        ("-a " + "x" * 61, []),
        ("-a, " * 100 + "-b", []),
    ],
)
def test_options_of_a_list_are_read_whole_or_not_at_all(text: str, found: list[tuple[str, str]]) -> None:
    assert read_option_names(text) == found


@for_each(
    ("cell", "names"),
    [("`a`, `b`", ["a", "b"]), ("[a]", ["a"]), ("`-a`, `-b`", ["-a", "-b"]), ("two words", []), ("", []), ("5 um", [])],
)
def test_a_cell_names_options_or_arguments_and_no_prose(cell: str, names: list[str]) -> None:
    assert [name for name, _ in read_cell_names(cell)] == names


@for_each(("language", "is_one"), [("python", True), ("c++", True), ("tcl", False), ("", False), ("json lines", True)])
def test_some_languages_show_no_command(language: str, is_one: bool) -> None:
    assert is_example_language(language) is is_one


NAME = st.from_regex(r"[a-z]{2,6}_[a-z]{2,6}", fullmatch=True)
FLAG = st.from_regex(r"-[a-z]{1,8}", fullmatch=True)
VALUE = st.sampled_from(["", "layer", "<n>", "list"])


@settings(max_examples=50)
@given(NAME, st.dictionaries(FLAG, VALUE, min_size=1, max_size=6), st.booleans())
def test_a_written_synopsis_is_read_and_each_part_stands_in_its_place(
    name: str, options: dict[str, str], is_broken: bool
) -> None:
    gap = "\n    " if is_broken else " "
    text = gap.join([name, *(f"[{flag} {value}]" if value else f"[{flag}]" for flag, value in options.items())])
    found = read_synopsis(lines := text.split("\n"))
    assert found is not None
    assert (found.name, found.lines) == (name, len(lines))
    assert {part.name: part.argument for part in found.options} == options
    for part in found.options:
        shown = lines[part.spot.line][part.spot.start : part.spot.end]
        assert shown == f"{part.name} {part.argument}".strip()


@settings(max_examples=50)
@given(NAME, st.lists(FLAG, max_size=4), st.integers(0, 3), st.booleans())
def test_a_call_is_counted_with_its_options_and_words(name: str, flags: list[str], words: int, goes_on: bool) -> None:
    parts = [*flags, *["{a b}", "$x", "[c d]"][:words]]
    line = f"{name} {' '.join(parts)}"
    lines = [f"{name} \\", f"  {' '.join(parts)}"] if goes_on and parts else [f"% {line} > out.rpt"]
    [call] = read_calls(lines)
    assert (call.name, call.options, call.words) == (name, tuple(flags), words)
