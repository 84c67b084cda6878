"""rag.reference.findings: what one document says adds up, and whose options a table or a list has."""

from __future__ import annotations

from rag.documents import Chunk
from rag.reference.cards import Option, Place
from rag.reference.findings import MOST_SYNOPSES, Findings
from rag.reference.sections import Line, SectionBlock
from rag.reference.synopses import read_synopsis
from tests.rows import for_each

PLACE = Place("1a2b", "a.md", "Manual", (), 0, 9)
LATER = Place("1a2b", "a.md", "Manual", (), 20, 29)
CHUNK = Chunk("1a2b", "manual", "a.md", "Manual", (), "", None, "ISC", 0)


def findings(title: str = "Manual", *named: str) -> Findings:
    return Findings("manual", title, frozenset(named))


def call(found: Findings, text: str, path: tuple[str, ...] = ("Commands",), place: Place = PLACE) -> None:
    """Read a synopsis that stands under a path."""
    lines = text.split("\n")
    synopsis = read_synopsis(lines)
    assert synopsis is not None
    block = SectionBlock("code", tuple(Line(line, 10, 10 + len(line), CHUNK) for line in lines), path)
    found.add_synopsis(found.draft(synopsis.name, place), synopsis, text, place, block, 0)


def test_a_variable_keeps_its_first_default_and_gets_the_description_that_it_lacks() -> None:
    found = findings()
    found.add_variable("DIE", "5", "", "", PLACE)
    found.add_variable("DIE", "7", "floorplan", "Of the chip.", LATER)
    found.add_variable("DIE", "9", "route", "Another.", LATER)
    variable = found.variables["DIE"]
    assert (variable.description, variable.stage) == ("Of the chip.", "floorplan")
    assert variable.default == "7"
    assert variable.place == LATER


def test_a_stage_is_added_once_and_only_to_a_variable_that_is_known() -> None:
    found = findings()
    found.add_stage("DIE", "floorplan")
    assert found.variables == {}
    found.add_variable("DIE", "", "", "Of the chip.", PLACE)
    for stage in ("floorplan", "route", "floorplan"):
        found.add_stage("DIE", stage)
    assert found.variables["DIE"].stage == "floorplan, route"


def test_a_message_keeps_the_first_text_that_it_has() -> None:
    found = findings()
    for text in ("", "Too full.", "Said twice."):
        found.add_message("GRT-0118", text, PLACE)
    assert found.messages["GRT-0118"].text == "Too full."


def test_a_draft_is_made_once_and_stands_where_it_was_first() -> None:
    found = findings()
    first = found.draft("cut_die", PLACE)
    assert found.draft("cut_die", LATER) is first
    assert first.place == PLACE


def test_of_several_ways_to_call_a_command_nothing_is_required() -> None:
    found = findings()
    call(found, "cut_die <net>")
    [one] = found.commands(is_partial=False)
    call(found, "cut_die -width <w>")
    [several] = found.commands(is_partial=True)
    assert [item.is_required for item in one.arguments] == [True]
    assert [item.is_required for item in (*several.options, *several.arguments)] == [False, False]
    assert several.synopsis == "cut_die <net>\ncut_die -width <w>"
    assert (one.is_partial, several.is_partial) == (False, True)


def test_an_example_gives_way_to_the_synopsis_that_comes_later() -> None:
    found = findings()
    call(found, "cut_die -width w net")
    call(found, "cut_die <net>", place=LATER)
    [command] = found.commands(is_partial=False)
    assert command.synopsis == "cut_die <net>"
    assert (command.options, [item.name for item in command.arguments]) == ((), ["net"])
    assert command.place == LATER


def test_equal_synopses_are_kept_once_and_only_so_many() -> None:
    found = findings()
    for number in range(MOST_SYNOPSES + 5):
        for _ in range(2):
            call(found, f"cut_die <a{number}>")
    [command] = found.commands(is_partial=False)
    assert len(command.synopsis.split("\n")) == MOST_SYNOPSES
    assert len(command.arguments) == MOST_SYNOPSES + 5


@for_each(
    ("title", "description"),
    [
        ("cut_die - cuts dies", "cuts dies"),
        ("cut_die(1) -- cuts dies", "cuts dies"),
        ("cut_die \u2014 cuts dies", "cuts dies"),
        ("saw_die - saws", ""),
        ("cut_die", ""),
    ],
)
def test_the_title_of_a_manual_page_describes_its_command(title: str, description: str) -> None:
    found = findings(title)
    found.draft("cut_die", PLACE)
    [command] = found.commands(is_partial=False)
    assert command.description == description


def test_a_name_section_says_the_purpose_before_all_else() -> None:
    found = findings("cut_die - cuts dies")
    found.draft("cut_die", PLACE).description = "Old words."
    found.purposes["cut_die"] = "Cuts with water."
    assert [one.description for one in found.commands(is_partial=False)] == ["Cuts with water."]


def test_options_belong_to_the_synopsis_that_has_most_of_them() -> None:
    found = findings()
    call(found, "cut_die [-width w] [-wet]")
    call(found, "saw_die [-width w] [-speed s]")
    path = ("Commands",)
    assert (owner := found.owner(path, ["-width", "-speed"], PLACE)) is not None
    assert owner.name == "saw_die"
    assert (owner := found.owner(path, ["-wet"], PLACE)) is not None
    assert owner.name == "cut_die"
    assert found.owner(path, ["-deep"], PLACE) is None  # either may own it
    assert found.owner(path, ["colour"], PLACE) is None
    assert (owner := found.owner(path, ["-width"], PLACE, explicit="cut_die")) is not None
    assert owner.name == "cut_die"


def test_a_header_that_states_the_command_is_believed_even_where_it_is_new() -> None:
    found = findings()
    call(found, "cut_die [-width w]")
    owner = found.owner(("Commands",), ["-width"], LATER, explicit="saw_die", is_stated=True)
    assert owner is not None
    assert (owner.name, owner.place) == ("saw_die", LATER)


def test_unknown_options_belong_to_the_command_that_takes_any() -> None:
    found = findings()
    call(found, "cut_die [-width w]")
    call(found, "saw_die [options]")
    owner = found.owner(("Commands",), ["-deep"], PLACE)
    assert owner is not None
    assert owner.name == "saw_die"


@for_each(
    ("heading", "named", "owner"),
    [
        ("verilator Arguments", "verilator", "verilator"),
        ("`sta` command line options", "sta", "sta"),
        ("ls - list a folder", "ls", "ls"),
        ("cut_all", "cut_all", "cut_all"),
        ("verilator Arguments", "other", None),  # no code or quote names it
        ("General options", "general", None),  # a word of prose
        ("Colours", "colours", None),
    ],
)
def test_a_heading_names_the_program_whose_options_stand_below(heading: str, named: str, owner: str | None) -> None:
    found = findings("Manual", named)
    draft = found.owner((heading,), ["-a"], PLACE)
    assert (draft.name if draft else None) == owner


def test_the_commands_of_a_section_stay_in_their_order() -> None:
    found = findings()
    for name in ("saw_die", "cut_die", "saw_die"):
        call(found, f"{name} [-a]", ("Commands", "Dies"))
    assert list(found.of_section(("Commands", "Dies"))) == ["saw_die", "cut_die"]
    assert found.of_section(("Commands",)) == {}


def test_an_option_of_a_synopsis_stands_where_it_is_written() -> None:
    found = findings()
    call(found, "cut_die\n    [-width w]")
    [command] = found.commands(is_partial=False)
    [option] = command.options
    assert isinstance(option, Option)
    assert (option.place.start, option.place.end) == (10 + 5, 10 + 13)
    assert option.synopsis_place == option.place
