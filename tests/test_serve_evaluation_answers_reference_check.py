"""serve.evaluation.answers.reference_check: what a reference holds, counted, and what it states with its places."""

from __future__ import annotations

from collections.abc import Iterator

from rag.documents import Chunk
from rag.formats.parser import parse_document
from rag.index.chunker import chunk_document
from rag.reference.cards import Command, Message, Option, Place, Reference, Variable
from serve.evaluation.answers.reference_check import called_commands, count_cards, facts_of
from tests.rows import for_each


def place(start: int = 0) -> Place:
    return Place("c1", "cts.md", "CTS", ("Commands",), start, start + 5)


def option(name: str, start: int, described: bool = True, shown: bool = True) -> Option:
    return Option(name, "x", "1", "says", place(start), False, described, place(start) if shown else None)


def command(name: str, collection: str = "tools", **fields: object) -> Command:
    whole = {"synopsis": f"{name} [-a]", "description": "Does it.", "options": (), "place": place(), **fields}
    return Command(name, collection, **whole)  # type: ignore[arg-type]


def test_an_empty_reference_counts_nothing_and_states_nothing() -> None:
    assert count_cards(Reference()) == {}
    assert [*facts_of(Reference())] == []
    assert called_commands([]) == {}


def test_cards_are_counted_by_the_collection_that_they_are_of() -> None:
    options = (option("-a", 1), option("-b", 2, described=False), option("-c", 3, shown=False))
    reference = Reference(
        (
            command("place", options=options, arguments=(option("net", 4),)),
            command("route", is_partial=True),
            command("place", "other"),
        ),
        (Variable("DENSITY", "0.6", "place", "How full.", "flow", place()),),
        (Message("GRT-0118", "Too full.", "tools", place()), Message("GRT-0119", "", "flow", place())),
    )
    assert {name: dict(counts) for name, counts in count_cards(reference).items()} == {
        "tools": {
            "commands": 2,
            "options": 3,
            "described": 2,
            "arguments": 1,
            "disagreements": 2,  # -b is not described, and the synopsis lacks -c
            "shown in part": 1,
            "messages": 1,
        },
        "other": {
            "commands": 1,
            "options": 0,
            "described": 0,
            "arguments": 0,
            "disagreements": 0,
            "shown in part": 0,
        },
        "flow": {"variables": 1, "messages": 1},
    }


def test_every_statement_comes_with_its_own_place() -> None:
    reference = Reference(
        (command("place", options=(option("-a", 1),), arguments=(option("net", 4),)),),
        (Variable("DENSITY", "0.6", "place", "How full.", "flow", place(7)),),
        (Message("GRT-0118", "Too full.", "tools", place(9)),),
    )
    assert [(statement, at.start) for statement, at in facts_of(reference)] == [
        ("command place: Does it. | place [-a]", 0),
        ("place -a takes 'x', default '1', required False: says", 1),
        ("place net takes 'x', default '1', required False: says", 4),
        ("variable DENSITY, default '0.6', stages 'place': How full.", 7),
        ("message GRT-0118: Too full.", 9),
    ]


def chunks_of(text: str, path: str = "guide.md") -> Iterator[Chunk]:
    document = parse_document("tools", path, "Guide", f"# Guide\n\n{text}\n", None, "ISC")
    yield from chunk_document(document, lambda part: len(part.split()), 200)


@for_each(
    ("text", "names"),
    [
        ("The `repair_design` command inserts buffers.", {"repair_design"}),
        ("Use the command `place_pins` first.", {"place_pins"}),
        ("The `a_b` commands and the command `sta::find_x`.", {"a_b", "sta::find_x"}),
        ("The `repair_design` commander, and commands `a_b`.", set()),
        ("The `repair` command has one word; `Repair_Design` command has capitals.", set()),
        ("Set `a_b` before.", set()),
        ("The `a_b` command, the `a_b` command.", {"a_b"}),
    ],
)
def test_a_name_that_prose_calls_a_command_is_found(text: str, names: set[str]) -> None:
    assert called_commands(chunks_of(text)).get("tools", set()) == names
