"""Rows of tables, read by themselves: whose options they are, which cells are names, and where each is said."""

from __future__ import annotations

from rag.documents import Chunk
from rag.formats.parser import parse_document
from rag.index.chunker import chunk_document
from rag.reference.cards import Command, Place
from rag.reference.findings import Findings
from rag.reference.rows import read_rows
from rag.reference.sections import SectionBlock, read_blocks


def read(
    table: str, lead: str = "", heading: str = "Rows", title: str = "Manual", known: tuple[str, ...] = ()
) -> tuple[Findings, Chunk]:
    """What a table under a heading says, with the passage; `lead` is a paragraph above it, `known` are commands."""
    text = f"# Page\n\n## {heading}\n\n{lead}\n\n{table}"
    [chunk] = chunk_document(
        parse_document("manual", "page.md", title, text, None, "ISC"), lambda piece: len(piece.split()), 400
    )
    found = Findings("manual", title, frozenset())
    for name in known:
        found.draft(name, Place(chunk.chunk_id, chunk.path, chunk.title, (), 0, 1))

    before: SectionBlock | None = None
    for block in read_blocks([chunk]):
        if block.kind == "table":
            read_rows(found, block, before, title)
        before = block
    return found, chunk


def table(first: str, second: str, *rows: tuple[str, ...]) -> str:
    """A table in Markdown; further columns are called Default and Stage."""
    header = (first, second, "Default", "Stage")[: len(rows[0])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ("---",) * len(header), *rows)) + "\n"


def command(found: Findings) -> Command:
    [only] = found.commands(is_partial=False)
    return only


def test_options_have_description_default_and_the_place_of_their_row() -> None:
    rows = table("Option of `cut_die`", "Meaning", ("`-width`", "Of the blade.", "`3`"), ("`-wet`", "With water.", "-"))
    found, chunk = read(rows)
    width, wet = command(found).options
    assert (width.name, width.default, width.description) == ("-width", "3", "Of the blade.")
    assert (wet.name, wet.default) == ("-wet", "")
    assert width.place is not None
    assert chunk.text[width.place.start : width.place.end] == "| `-width` | Of the blade. | `3` |"


def test_a_sentence_above_names_the_command_whose_options_a_table_has() -> None:
    rows = table("Option", "Meaning", ("`-width`", "Of the blade."))
    for lead in ("Options for `cut_die`:", "For the `cut_die` command:"):
        found, _ = read(rows, lead, known=("saw_all", "cut_die"))
        owners = {one.name: [option.name for option in one.options] for one in found.commands(is_partial=False)}
        assert owners == {"saw_all": [], "cut_die": ["-width"]}, lead
    found, _ = read(rows, "Saw with `cut_die` and cool it.", known=("saw_all", "cut_die"))
    assert not any(one.options for one in found.commands(is_partial=False))


def test_a_table_of_options_under_no_command_gives_none() -> None:
    found, _ = read(table("Option", "Meaning", ("`-width`", "Of the blade.")), heading="The colours of wires")
    assert list(found.commands(is_partial=False)) == []


def test_a_word_without_a_mark_is_not_an_option_unless_the_command_has_it() -> None:
    rows = (("-width", "Of the blade."), ("speed", "Of the feed."), ("`nets`", "To cut."))
    found, _ = read(table("Option of `cut_die`", "Meaning", *rows))
    assert [option.name for option in command(found).options] == ["-width"]
    assert [argument.name for argument in command(found).arguments] == ["nets"]


def test_a_table_that_describes_nothing_is_not_read() -> None:
    found, _ = read(table("Option of `cut_die`", "Since", ("`-width`", "2.1")))
    assert list(found.commands(is_partial=False)) == []


def test_a_cell_may_name_several_variables_and_remarks_are_not_part_of_a_name() -> None:
    rows = (
        ("`DIE_AREA`, `CORE_AREA`", "Of the chip.", "`10`", "floorplan"),
        ("OLD_AREA (deprecated)", "Of the chip. The default is 5.", "", ""),
        ("$PDK", "Where the cells are.", "", ""),
        ("area", "A word of prose.", "", ""),
        ("two words", "Prose.", "", ""),
    )
    found, _ = read(table("Variable", "Description", *rows))
    seen = {name: (variable.default, variable.stage) for name, variable in found.variables.items()}
    assert seen == {
        "DIE_AREA": ("10", "floorplan"),
        "CORE_AREA": ("10", "floorplan"),
        "OLD_AREA": ("5", ""),
        "PDK": ("", ""),
    }


def test_commands_of_a_list_are_names_in_their_form_or_alone_in_backticks() -> None:
    rows = (("`place_cells`", "Places."), ("`opt`", "Improves."), ("Run it", "Prose."), ("`opt` twice", "Prose."))
    found, _ = read(table("Command", "Description", *rows))
    described = {one.name: one.description for one in found.commands(is_partial=False)}
    assert described == {"place_cells": "Places.", "opt": "Improves."}


def test_a_list_of_commands_replaces_no_description_that_is_there() -> None:
    rows = table("Command", "Description", ("`place_cells`", "Places."), ("`place_cells`", "Said twice."))
    assert command(read(rows)[0]).description == "Places."


def test_messages_have_numbers_and_words_only_where_the_page_is_about_messages() -> None:
    rows = table("Id", "Meaning", ("`GRT-0118`", "Routing is congested."), ("WIDTHTRUNC", "A value loses bits."))
    assert set(read(rows)[0].messages) == {"GRT-0118"}
    for heading, title in (("Warnings", "Manual"), ("Rows", "Error messages")):
        messages = read(rows, heading=heading, title=title)[0].messages
        assert {number: message.text for number, message in messages.items()} == {
            "GRT-0118": "Routing is congested.",
            "WIDTHTRUNC": "A value loses bits.",
        }


def test_a_description_is_cut_and_a_default_comes_from_the_words_where_no_column_has_it() -> None:
    text = "Of the blade. " * 100
    rows = ("`-width`", f"{text}The default is 5.", "-"), ("`-wet`", "With water, by default 7.", "")
    found, _ = read(table("Option of `cut_die`", "Meaning", *rows))
    width, wet = command(found).options
    assert len(width.description) <= 600
    assert text.startswith(width.description.rstrip("\u2026")[:100])
    assert (wet.description, wet.default) == ("With water, by default 7.", "7")


def test_a_cell_of_several_options_gives_each_the_description() -> None:
    found, _ = read(table("Option of `cut_die`", "Meaning", ("`-t`, `--top <cell>`", "The cell.")))
    assert [(one.name, one.argument, one.description) for one in command(found).options] == [
        ("-t", "<cell>", "The cell."),
        ("--top", "<cell>", "The cell."),
    ]


def test_a_table_without_a_header_and_one_of_something_else_say_nothing() -> None:
    for text in (
        "| `-a` | Does a. |\n",
        table("Colour", "Meaning", ("`-a`", "Does a.")),
        "| Option |\n| --- |\n| -a |\n",
    ):
        found, _ = read(text, known=("cut_die",))
        assert not any(one.options or one.arguments for one in found.commands(is_partial=False)), text
        assert (found.variables, found.messages) == ({}, {})


def test_a_variable_needs_the_form_of_one() -> None:
    names = {"DIE_AREA": True, "die_area": True, "PDK": True, "A": False, "area": False, "2X": False, "a-b": False}
    found, _ = read(table("Variable", "Description", *((name, "Of the chip.") for name in names)))
    assert set(found.variables) == {name for name, is_one in names.items() if is_one}
