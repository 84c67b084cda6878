"""rag.reference.tables, examples and tclint_schema: rows, defaults and calls, as manuals write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.reference.cards import Command, Option, Place
from rag.reference.examples import LONGEST_LINE, Call, is_covered, read_calls
from rag.reference.tables import DEFAULTS, DESCRIPTIONS, clean, read_default, read_table, says_something, split_row
from rag.reference.tclint_schema import as_tclint
from tests.rows import for_each

PLACE = Place("id", "a.md", "A", (), 0, 1)
TABLE = """\
| Switch Name | Description | Default |
|-------------|-------------|:-------:|
| `-hold`     | Repairs **hold** [slack](x.md).<br>Twice. | `0.1` |
| -           | nothing is named here | |
| `-a\\|b`     | One of two. | - |
| `-short`    |
"""


def test_a_table_has_a_role_columns_and_the_rows_that_say_something() -> None:
    table = read_table(TABLE)
    assert (table.role, table.owner, table.header) == ("option", "", ("switch name", "description", "default"))
    assert (table.column(DESCRIPTIONS), table.column(DEFAULTS), table.column(("stage",))) == (1, 2, -1)
    assert [(row.line, row.cells[0]) for row in table.rows] == [(2, "`-hold`"), (4, "`-a|b`")]
    assert table.rows[0].cells[1].startswith("Repairs hold ")


@for_each(
    ("header", "more_roles", "role", "owner"),
    [
        ("| Option of `repair_timing` | Meaning |", False, "option", "repair_timing"),
        ("| Arguments of `f` | Meaning |", False, "argument", "f"),
        ("| Variable | Meaning |", False, "variable", ""),
        ("| Key | Meaning |", False, None, ""),
        ("| Key | Meaning |", True, "option", ""),
        ("| Message | Cause |", False, "symptom", ""),
        ("| Message | Cause |", True, "message", ""),
        ("| Symptom | Likely cause |", True, "symptom", ""),
        ("| Colour | Meaning |", True, None, ""),
    ],
)
def test_the_header_says_what_the_first_column_holds(
    header: str, more_roles: bool, role: str | None, owner: str
) -> None:
    table = read_table(f"{header}\n|---|---|\n| a | b |", more_roles=more_roles)
    assert (table.role, table.owner) == (role, owner)


@for_each("text", ["", "| a | b |", "| a | b |\n|---|---|", "| a |\n|---|\n| b |", "prose\nand\nmore"])
def test_what_is_not_a_table_of_two_columns_has_no_rows(text: str) -> None:
    assert read_table(text).rows == ()


@for_each(
    ("text", "cleaned"),
    [
        ("a <b>bold</b> word", "a bold word"),
        ("`<b>` stays code", "`<b>` stays code"),
        ("`-o <file>` or <file>", "`-o <file>` or <file>"),  # not HTML's: what a manual calls a value
        ("one<br/>two<br>three", "one two three"),
        ("``double`` and \\| and \\_", "`double` and | and _"),
        ("&lt;file&gt; &amp; more", "<file> & more"),
        ("  two\n lines\t", "two lines"),
    ],
)
def test_a_cell_is_running_text(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@given(st.lists(st.text("abc `-<>*\\_.", max_size=8), min_size=1, max_size=5))
def test_a_row_has_as_many_cells_as_bars_part_it_and_cleaning_twice_changes_nothing(cells: list[str]) -> None:
    cells = [cell.rstrip("\\") for cell in cells]
    found = split_row(f"| {' | '.join(cells)} |")
    assert len(found) == len(cells)
    for cell in found:
        assert "\n" not in cell
        assert cell == cell.strip()


@for_each(("cell", "is_one"), [("a", True), ("_", True), ("-", False), ("\u2014", False), ("", False), ("...", False)])
def test_a_dash_says_nothing(cell: str, is_one: bool) -> None:
    assert says_something(cell) is is_one


@for_each(
    ("description", "column", "default"),
    [
        ("", "`0.1`", ("0.1", "")),
        ("The default is 5.", "7", ("7", "")),  # its own column is right
        ("", "n/a", ("", "")),
        ("", "-", ("", "")),
        ("The default is `20` microns.", "", ("20", " microns")),
        ("Defaults to 0.5.", "", ("0.5", "")),
        ('Default: "auto".', "", ("auto", "")),
        ("The default value is -1e-3, in any case.", "", ("-1e-3", "")),
        ("The default is true.", "", ("true", "")),
        ("The default is none.", "", ("none", "")),
        ("The default is 2 * pitch.", "", ("", "")),  # a part of it
        ("The default is 5, or the fanout.", "", ("", "")),
        ("The default is `a` if set.", "", ("", "")),
        ("The default is 5. Otherwise the default is 6.", "", ("", "")),  # which of the two?
        ("The default is 5. In short, default: 5.", "", ("5", "")),
        ("The default layer is used.", "", ("", "")),
    ],
)
def test_a_default_is_whole_or_none(description: str, column: str, default: tuple[str, str]) -> None:
    assert read_default(description, column) == default


@for_each(
    ("lines", "calls"),
    [
        (["report_paths -from $pin > out.rpt"], [Call("report_paths", ("-from",), 1)]),
        (["% report_paths"], [Call("report_paths", (), 0)]),
        (["a_b -x \\", "  -y 5 \\", "  z", "other 1"], [Call("a_b", ("-x", "-y"), 2), Call("other", (), 1)]),
        (['set x {a b c} [f 1 2] "one two"'], [Call("set", (), 4)]),
        (["place_cell a b ; other c"], [Call("place_cell", (), 2)]),
        (["place_cell a b # why"], [Call("place_cell", (), 2)]),
        (["fn a ..."], [Call("fn", (), 1)]),
        (["# a remark", "Route everything", "X=5", ""], []),
        (["f " + "x" * LONGEST_LINE], []),
    ],
)
def test_calls_are_read_from_lines_of_a_script(lines: list[str], calls: list[Call]) -> None:
    assert list(read_calls(lines)) == calls


def option(name: str, argument: str = "", *, shown: bool = True, is_required: bool = False) -> Option:
    return Option(name, argument, "", "", PLACE, is_required, synopsis_place=PLACE if shown else None)


def command(name: str, *options: Option, arguments: tuple[Option, ...] = (), **more: Any) -> Command:
    more = {"synopsis": f"{name} a", **more}
    return Command(name, "c", description="", options=options, place=PLACE, arguments=arguments, **more)


ROUTE = command("route", option("-layer", "name"), option("-full"), option("-I", "dir"), arguments=(option("net"),))


@for_each(
    ("call", "fits"),
    [
        ("route -layer met1 clk", True),
        ("route -full clk", True),
        ("route -lay met1", True),  # begun
        ("route -Isrc", True),  # its value follows directly
        ("route -help", True),
        ("route -other", False),
        ("route clk rst", False),  # one word more than it takes
        ("route -layer met1 clk rst", False),
    ],
)
def test_a_call_is_covered_where_the_card_has_its_options_and_room(call: str, fits: bool) -> None:
    assert is_covered(next(read_calls([call])), [ROUTE]) is fits


def test_a_card_that_says_nothing_or_goes_on_covers_every_call() -> None:
    call = next(read_calls(["route -other a b c"]))
    assert is_covered(call, [command("route", synopsis="")])
    assert is_covered(call, [command("route", synopsis="route net ...")])
    assert not is_covered(call, [command("route", option("-a"), synopsis="route [-a]")])


def schema(*commands: Command) -> dict[str, Any]:
    found: dict[str, Any] = as_tclint(commands)["commands"]
    return found


def test_the_schema_has_what_any_document_says_of_a_command() -> None:
    made = schema(ROUTE, command("route", option("-extra"), arguments=(option("net"),)))["route"]
    assert made["switches"].keys() == {"-layer", "-full", "-I", "-extra", ">", ">>"}
    assert made["switches"]["-layer"] == {
        "required": False,
        "repeated": True,
        "value": {"type": "any"},
        "metavar": "name",
    }
    assert made["switches"]["-full"]["value"] is None
    assert [each["name"] for each in made["positionals"]] == ["net"]


@pytest.mark.parametrize(
    ("found", "is_open"),
    [
        ((ROUTE,), False),
        ((ROUTE, command("route", arguments=(option("a"), option("b")))), True),  # documents differ
        ((command("route", synopsis="route net ..."),), True),
        ((command("route", synopsis=""),), None),  # nothing is known of it
        ((command("route", option("-a", shown=False)),), True),  # it may take a value
        ((command("route", option("-a", "n", shown=False)),), False),
    ],
)
def test_what_documents_leave_open_is_not_complained_of(found: tuple[Command, ...], is_open: bool | None) -> None:
    made = schema(*found)
    anything = [{"name": "args", "required": False, "value": {"type": "variadic"}}]
    assert [each["positionals"] == anything for each in made.values()] == ([] if is_open is None else [is_open])


def test_tcls_own_commands_names_that_are_none_and_parts_are_left_out() -> None:
    part = command("half", option("-a"), is_partial=True)
    assert schema(command("foreach", option("-a")), command("a b", option("-a")), part) == {}
    assert schema(part, command("half", option("-b"))).keys() == {"half"}


def test_an_option_is_required_where_every_document_says_so() -> None:
    required = option("-net", "n", is_required=True)
    assert schema(command("f", required))["f"]["switches"]["-net"]["required"] is True
    for other in (command("f", option("-net", "n")), command("f")):
        assert schema(command("f", required), other)["f"]["switches"]["-net"]["required"] is False


def test_required_arguments_come_first_as_tclint_counts_them() -> None:
    arguments = (option("more"), option("net", is_required=True))
    assert schema(command("f", arguments=arguments))["f"]["positionals"] == [
        {"name": "net", "required": True, "value": {"type": "any"}},
        {"name": "more", "required": False, "value": {"type": "any"}},
    ]
