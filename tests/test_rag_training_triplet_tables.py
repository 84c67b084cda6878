"""rag.training.triplet_tables on tables and synopses as EDA manuals write them: which rows are read, what of a cell is
the name, and which default is one.
"""

from __future__ import annotations

import random
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.blocks import Block, pipe_table
from rag.formats.parser import parse
from rag.training.triplet_tables import Pair, ask_synopsis, ask_table, ask_which, read_synopsis, read_usages, say_noun
from tests.rows import for_each

USAGES = {"route_all": frozenset({"-a", "-b", "-layers", "-halo_width", "-mode", "seed", "net"})}
SEEDS = 60  # enough for each phrase of a question to be drawn


def ask(text: str, owner: str | None = "route_all") -> list[Pair]:
    """All that is asked of a table, over many seeds."""
    return [
        pair
        for seed in range(SEEDS)
        for pair in ask_table(Block("table", text, ()), owner, USAGES, random.Random(seed))
    ]


def option_table(*rows: str, header: str = "| Switch Name | Description |") -> str:
    return "\n".join([header, "| --- " * (header.count("|") - 1) + "|", *rows])


def ask_option(description: str, name: str = "`-mode`") -> list[Pair]:
    return ask(option_table(f"| {name} | {description} |"))


def defaults_of(description: str) -> set[str]:
    """The answers to questions for the default."""
    return {answer for _, answer in ask_option(description) if answer.startswith("The default of")}


def default_in_column(cell: str, title: str = "Default") -> set[str]:
    pairs = ask(
        option_table(
            f"| CORE_UTILIZATION | Sets the share of the core that cells take. | {cell} |",
            header=f"| Variable | Description | {title} |",
        )
    )
    return {answer for _, answer in pairs if answer.startswith("The default of")}


# --- which rows and which names -------------------------------------------------------------------------------------


@for_each(
    "cell",
    [
        "`-layers`",
        "-layers",
        "`[-layers]`",
        "[`-layers`]",
        "`-layers list`",
        "-layers <list>",
        "**`-layers`**",
        "``-layers``",
        "`[-layers list]`",
    ],
)
def test_an_option_is_read_however_its_cell_is_marked_up(cell: str) -> None:
    questions = {question for question, _ in ask_option("Set the metals that clock nets are routed on.", cell)}
    assert "What does the `-layers` option of `route_all` do?" in questions
    assert "Which option of `route_all` sets the metals that clock nets are routed on?" in questions


@for_each(
    "cell",
    [
        "`-a`, `-b`",
        "`-a` or `-b`",
        "-a/-b",
        "-a, -b",
        r"-a \| -b",
        r"`-a` \| `-b`",
        r"`-a \| -b`",
        "`-a` `-b`",
        "`-a`/`-b`",
        "-a,-b",
    ],
)
def test_a_cell_with_several_switches_is_not_said_of_the_first_alone(cell: str) -> None:
    assert ask_option("Set one of the two modes of routing.", cell) == []


@for_each("cell", ["", "`-a`", "Set it", "two words", "—"])
def test_a_row_whose_description_says_nothing_is_left_out(cell: str) -> None:
    assert ask_option(cell, "`-a`") == []


def test_a_row_without_a_name_or_with_too_few_or_too_many_cells_is_left_out() -> None:
    rows = (
        "| | Set the mode of clock nets. |",
        "| `-a` |",
        "| `-b` | Set the mode of clock nets. | 3 |",
        "| `-mode` | Set `x|y` as the value of nets. |",
    )
    assert ask(option_table(*rows)) == []


def test_an_escaped_pipe_is_one_sign_of_its_cell() -> None:
    answers = {answer for _, answer in ask_option(r"Set the separator of names, for example `\|` or `/`.")}
    assert "`-mode` sets the separator of names, for example `|` or `/`." in answers


def test_a_table_without_a_header_loses_its_first_row_and_invents_no_role() -> None:
    assert ask("| `-a` | Set the mode of clock nets. |\n| --- | --- |\n| `-b` | Set the mode of data nets. |") == []
    assert ask("| | |\n| --- | --- |\n| `-a` | Set the mode of clock nets. |") == []


@for_each(
    "text",
    ["", "| Option | Description |\n| --- | --- |", "| Option |\n| --- |\n| `-a` |", "=== ===\nOption Text\n=== ==="],
)
def test_what_is_hardly_a_table_asks_nothing(text: str) -> None:
    assert ask(text) == []


def test_bars_at_the_ends_of_lines_may_be_missing() -> None:
    pairs = ask("Option | Description\n--- | ---\n`-a` | Set the mode of clock nets.")
    assert ("What does the `-a` option of `route_all` do?", "`-a` sets the mode of clock nets.") in pairs


def test_what_has_no_dash_in_a_table_of_switches_is_an_argument() -> None:
    questions = {question for question, _ in ask_option("Set the number that all draws begin with.", "`seed`")}
    assert "Explain the argument `seed` of `route_all`." in questions
    assert not any(" option " in question for question in questions)


def test_an_option_of_another_command_is_never_said_of_this_one() -> None:
    text = option_table("| `-a` | Set the mode of clock nets. |")
    assert ask(text, "place_all") == []
    assert ask(text, None) == []
    assert all("`route_all`" in answer or "`-a`" in answer for _, answer in ask(text))


def test_a_variable_needs_no_command() -> None:
    pairs = ask(option_table("| `DIE_AREA` | The corners of the die. |", header="| Variable | Description |"), None)
    assert ("What does `DIE_AREA` mean?", "`DIE_AREA` is the corners of the die.") in pairs
    assert not any("route_all" in question + answer for question, answer in pairs)


@for_each("header", ["| Colour | Description |", "| Option | Number |", "| Description | Option |"])
def test_columns_that_are_not_known_make_no_options(header: str) -> None:
    assert ask(option_table("| `-a` | Set the mode of clock nets. |", header=header)) == []


def test_a_name_that_the_description_repeats_is_not_asked_for() -> None:
    questions = {question for question, _ in ask_option("Set the mode of clock nets.")}
    assert any(question.startswith("What does") for question in questions)
    assert not any(question.startswith(("Which", "How", "What option")) for question in questions)


@for_each(
    "description",
    ["If set, all nets count.", "Float in microns, above zero.", "Same as the layers.", "See the manual of it."],
)
def test_a_description_that_names_no_thing_is_not_turned_round(description: str) -> None:
    assert not any(question.startswith("Which option") for question, _ in ask_option(description))


def test_a_thing_is_asked_for_as_one() -> None:
    pairs = ask_option("The distance between macros and cells.", "`-halo_width`")
    answer = "`-halo_width` of `route_all`: the distance between macros and cells."
    assert ("Which option of `route_all` gives the distance between macros and cells?", answer) in pairs
    assert say_noun("-x", "An open net") == "`-x` is an open net"
    assert say_noun("-x", "Nets in order") == "`-x`: Nets in order"


def test_a_label_before_a_description_is_left_out() -> None:
    assert "`-mode` skips nets of the clock." in {
        answer for _, answer in ask_option("Optional. Skip nets of the clock.")
    }
    assert "`-mode` skips nets of the clock." in {
        answer for _, answer in ask_option("(required): Skip nets of the clock.")
    }


# --- defaults and allowed values ------------------------------------------------------------------------------------


@for_each(
    ("description", "default"),
    [
        ("The default value is `None`.", "`None`"),
        ("Default: None", "`None`"),
        ("The default is `5`", "`5`"),
        ("The default is 5.5.", "`5.5`"),
        ("The default is -10%.", "`-10%`"),
        ("The default value is `0.7` (that is, 70%).", "`0.7`"),
        ("The default value is `0`, and the allowed values are integers `[0, MAX_INT]`.", "`0`"),
        ("The default value is False, allowed values are `[True, False]`.", "`False`"),
        ("Given in microns (default `2`).", "`2`"),
        ('The default is "fast".', "`fast`"),
        ("Defaults to `metal3`.", "`metal3`"),
        ("The default is 1.5e-9.", "`1.5e-9`"),
        ("The default value is `-1`, which means that all are taken.", "`-1`"),
    ],
)
def test_a_default_is_read_from_a_description(description: str, default: str) -> None:
    assert defaults_of(f"Set the width of all wires. {description}") == {f"The default of `-mode` is {default}."}


@for_each(
    ("description", "default"),
    [
        ("(default 10 um)", "`10` um"),
        ("The default value is `2.0` microns.", "`2.0` microns"),
        ("The default is 1.5e-9 s.", "`1.5e-9` s"),
        ("The default is 3 tracks.", "`3` tracks"),
        ("The default value is `200um`.", "`200um`"),
        ("The default is 0.05 pF, as measured.", "`0.05` pF"),
    ],
)
def test_a_default_keeps_its_unit(description: str, default: str) -> None:
    assert defaults_of(f"Set the width of all wires. {description}") == {f"The default of `-mode` is {default}."}


@for_each(
    "description",
    [
        "The default value is 6 times the minimum width.",
        "Default value is 2 * endcap_width or what a cell takes.",
        "Stops at a cap (default 30, or the largest fanout of a sink buffer).",
        "The default value is `2` times the pitch.",
        "The default is true, unless the flag `-b` is set.",
        "The default is `1` when nothing is routed.",
        "The default is `a` for data and `b` for clocks.",
        "The default is `1`, except for clock nets.",
        "The default is `1` and the default is `2`.",
        "For nets the default is `1`. For pins the default is `2`.",
        "The default is 6 times the pitch. With `-b` the default is `2`.",
        "Used as the default width of wires.",
        'The default is "".',
        "Defaults to a value that keeps the delay low.",
    ],
)
def test_a_default_with_a_condition_or_a_formula_is_not_given_as_a_value(description: str) -> None:
    assert defaults_of(f"Set the width of all wires. {description}") == set()


@for_each("cell", ["", "-", "--", "—", "`-`", "N/A", "n/a", "Required", "no default", "what the other five tables say"])
def test_a_column_that_has_no_default_gives_none(cell: str) -> None:
    assert default_in_column(cell) == set()


@for_each("cell", ["40", "`40`", "0.5 um", "None", "5 1", "-1", "nangate45", r"a\|b", "~/.cache"])
def test_a_default_in_a_column_is_given_whole(cell: str) -> None:
    whole = cell.replace("`", "").replace("\\", "")
    assert default_in_column(cell) == {f"The default of `CORE_UTILIZATION` is `{whole}`."}
    assert default_in_column(cell, "Default value") == default_in_column(cell)


@for_each(
    ("description", "values"),
    [
        ("The allowed values are `0`, `1` or `2`.", "`0`, `1` or `2`"),
        ("The allowed values are `pin`, and `net`.", "`pin`, and `net`"),
        ("Allowed values are integers `[0, MAX_INT]`.", "integers `[0, MAX_INT]`"),
        (
            "The default value is `0`, and the allowed values are floats above zero `(0, 1]`.",
            "floats above zero `(0, 1]`",
        ),
    ],
)
def test_allowed_values_are_given_as_they_stand(description: str, values: str) -> None:
    pairs = ask_option(f"Set how wires are drawn. {description}")
    assert (
        "What are the allowed values of `-mode` of `route_all`?",
        f"The allowed values of `-mode` are {values}.",
    ) in pairs
    assert ("Which values does `-mode` of `route_all` accept?", f"The allowed values of `-mode` are {values}.") in pairs


@for_each(
    "description",
    ["The allowed values are booleans.", "Allowed values are integers above zero.", "No values are allowed but `a`."],
)
def test_allowed_values_in_words_alone_are_not_asked_for(description: str) -> None:
    assert not any(
        answer.startswith("The allowed") for _, answer in ask_option(f"Set how wires are drawn. {description}")
    )


# --- abbreviations, symptoms, other cells ---------------------------------------------------------------------------


@for_each(
    ("header", "row"),
    [
        ("| Abbreviation | Expansion | Meaning |", "| WNS | Worst negative slack | |"),
        ("| Symptom | Cause | Fix |", "| Pins off the grid | wrong tracks | |"),
        ("| Symptom | Cause | Fix |", "| Pins off the grid | wrong tracks | - |"),
        ("| Method | Cost | Weakness |", "| Clock gating | area | |"),
        ("| Method | Cost | Weakness |", "| Clock gating | area | — |"),
    ],
)
def test_an_empty_cell_is_never_an_answer(header: str, row: str) -> None:
    pairs = ask(option_table(row, header=header))
    assert pairs
    assert not [answer for _, answer in pairs if re.search(r":\W*$", answer)]


def test_a_cell_is_asked_for_by_its_row_and_its_column() -> None:
    pairs = ask(
        option_table(
            "| Clock gating | One cell per group of flops | No |",
            "| 12 | One cell | No |",
            header="| Method | Cost | Known |",
        )
    )
    assert set(pairs) == {
        ("What is the cost of clock gating?", "The cost of clock gating: one cell per group of flops."),
        ("What is the cost for clock gating?", "The cost of clock gating: one cell per group of flops."),
    }


def test_an_expansion_with_proper_names_keeps_its_capitals() -> None:
    pairs = ask(
        option_table(
            "| RSMT | Rectilinear Steiner minimum tree | The shortest tree. |",
            header="| Abbreviation | Expansion | Meaning |",
        )
    )
    assert "RSMT stands for Rectilinear Steiner minimum tree." in {answer for _, answer in pairs}


# --- synopses -------------------------------------------------------------------------------------------------------


def synopsis_answers(text: str) -> set[str]:
    lines = read_synopsis(text)
    assert lines is not None
    return {
        answer
        for seed in range(SEEDS)
        for _, answer in ask_synopsis(lines[0].split()[0], lines, "", random.Random(seed))
    }


@for_each(
    ("code", "options"),
    [
        ("```tcl\ncut_rows [-halo x] [-width y]\n```", "`-halo` and `-width`"),
        (
            "```tcl\ncut_rows [-halo x]\n    [-width y]\n    [-on y] [-off z]\n```",
            "`-halo`, `-width`, `-on` and `-off`",
        ),
        ("```tcl\ncut_rows\n    -halo x\n    [-x x_value]\n    [-y y_value]\n```", "`-halo`, `-x` and `-y`"),
        ("```tcl\ncut_rows\n    [-hold | -setup]\n    [-halo x]\n    [-halo y]\n```", "`-hold`, `-setup` and `-halo`"),
        ("```tcl\ncut_rows\n    [-halo file-name]\n    [-width y] # like -wide\n```", "`-halo` and `-width`"),
    ],
)
def test_the_options_of_a_synopsis_are_given_whole(code: str, options: str) -> None:
    assert f"`cut_rows` takes the options {options}." in synopsis_answers(code)


def test_a_list_of_many_options_is_left_out_and_a_long_synopsis_not_repeated() -> None:
    many = "\n".join(f"    [-option_{letter} x]" for letter in "abcdefghi")
    assert not any("takes the options" in answer for answer in synopsis_answers(f"```tcl\ncut_rows\n{many}\n```"))
    long = "\n".join(f"    [-option_a{number} x]" for number in range(17))
    assert synopsis_answers(f"```tcl\ncut_rows\n{long}\n```") == set()


@for_each(
    "code", ["```tcl\ncut_rows -a 1 \\\n    -b 2\n```", "```tcl\nRun it\n    [-a]\n```", "```\n# cut_rows [-a]\n```"]
)
def test_a_call_over_continued_lines_or_words_is_not_a_synopsis(code: str) -> None:
    assert read_synopsis(code) is None


def test_comments_and_blank_lines_are_not_part_of_a_synopsis() -> None:
    assert read_synopsis("```tcl\n# first\ncut_rows\n\n    [-a x]  \n```") == ["cut_rows", "    [-a x]"]


def test_a_command_of_a_namespace_is_a_command() -> None:
    assert read_synopsis("```tcl\nsta::report_path [-a x]\n```") == ["sta::report_path [-a x]"]
    assert read_usages(["```\nsta::report_path [-a x]\n```"]) == {
        "sta::report_path": frozenset({"sta::report_path", "-a", "x"})
    }


def test_which_is_not_asked_where_the_question_gives_the_name() -> None:
    assert list(ask_which("pass", "flatten", "", "flattens the whole design", "x", random.Random(0))) == []
    assert list(ask_which("pass", "hierarchy", "", "checks it", "x", random.Random(0))) == []  # too little to ask for
    assert len(list(ask_which("pass", "opt_dff", "", "merges enables into flip-flops", "x", random.Random(0)))) == 1


def test_a_table_of_restructured_text_is_read_as_one_of_markdown() -> None:
    rst = (
        ".. list-table::\n   :header-rows: 1\n\n   * - Option\n     - Description\n   * - ``-a``\n     - Keep cells "
        "that are ``x|y`` in no path.\n"
    )
    [block] = parse("a.rst", rst).blocks
    assert ("What is `-a` of `route_all` for?", "`-a` keeps cells that are `x|y` in no path.") in ask(block.text)


# --- properties -----------------------------------------------------------------------------------------------------

CELLS = st.text("ab-_` []|.,1\\", max_size=12)


@given(
    st.lists(st.lists(CELLS, min_size=2, max_size=3), min_size=1, max_size=4),
    st.sampled_from(["Option", "Variable", "Symptom", "Abbreviation"]),
)
@settings(max_examples=150, deadline=None)
def test_any_table_is_read_and_every_answer_says_something(rows: list[list[str]], title: str) -> None:
    second = "Cause" if title == "Symptom" else "Description"
    text = pipe_table([[title, second, "Default"], *rows])
    for question, answer in ask_table(Block("table", text, ()), "route_all", USAGES, random.Random(0)):
        assert question.strip()
        assert re.search(r"\w", answer)


@given(st.permutations(["-a", "-b", "-layers", "-halo_width"]), st.integers(0, 50))
def test_what_is_said_of_a_row_stands_in_that_row(names: list[str], seed: int) -> None:
    descriptions = {
        name: f"Set the {word} part of clock nets."
        for name, word in zip(names, ("first", "second", "third", "fourth"), strict=True)
    }
    text = option_table(*(f"| `{name}` | {text} |" for name, text in descriptions.items()))
    for _, answer in ask_table(Block("table", text, ()), "route_all", USAGES, random.Random(seed)):
        for line in answer.split("\n"):
            [name] = re.findall(r"`(-\w+)`", line)
            assert descriptions[name].removeprefix("Set") in line.replace("sets", "", 1) or descriptions[name] in line
