"""Cards for people to read in a terminal: what documents say of a name, whose options it has, and where each stands.

It looks nothing up. Characters that would steer a terminal are escaped; lines are wrapped to the width.

    for line in draw_card(card): print(line)
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from rag.printable import printable
from rag.reference.cards import Card, Command, Option, Place, Variable

WIDTH = 100  # columns
_KINDS = {"Command": "command", "Variable": "variable", "Message": "message"}


def kind_of(card: Card) -> str:
    """`command`, `variable` or `message`."""
    return _KINDS[type(card).__name__]


def card_object(card: Card) -> dict[str, Any]:
    """A card as JSON: its kind, its fields, and for a command the contradictions in its document."""
    fields = {"object": kind_of(card), "name": card.name, **asdict(card)}
    if isinstance(card, Command):
        # `told` is the statement under the key that it had first: clients may read it
        fields["disagreements"] = [{**asdict(one), "told": one.statement} for one in card.disagreements]
    return fields


def draw_card(card: Card, asked: str = "") -> Iterator[str]:
    """The card's lines; for a command with the option `asked`, the lines of that option alone."""
    yield printable(f"{card.name}  ({kind_of(card)})")
    yield printable(f"    {card.collection}/{card.place.line} [{_write_span(card.place)}]")
    if isinstance(card, Command) and (options := [option for option in card.options if option.name == asked]):
        yield from _draw_options("option", options, card.place)
    elif isinstance(card, Command):
        yield from _draw_command(card)
    elif isinstance(card, Variable):
        yield from _wrap(card.description, "    ")
        for label, value in (("default", card.default), ("stages", card.stage)):
            yield from _wrap(f"{label}: {value}", "    ") if value else ()
    else:
        yield from _wrap(card.text, "    ")


def _draw_command(card: Command) -> Iterator[str]:
    yield from _wrap(card.description, "    ")
    if card.synopsis:
        yield ""
        yield from (f"    {printable(line.expandtabs(4))}" for line in textwrap.dedent(card.synopsis).split("\n"))
    if card.is_partial:
        yield ""
        yield "    The document shows a part of it: there may be other options and arguments."
    yield from _draw_options("options", card.options, card.place)
    yield from _draw_options("arguments", card.arguments, card.place)
    if card.disagreements:
        yield ""
        yield "    The document disagrees with itself:"
        for one in card.disagreements:
            first, second = (_write_span(place) for place in one.places)
            yield from _wrap(f"{one.name} {one.statement} [{first} and {second}]", "      ", "        ")


def _draw_options(label: str, options: Iterable[Option], beside: Place) -> Iterator[str]:
    """The options with what they take, what they do and their default.

    An option that is described elsewhere than the command also shows its place.
    """
    for number, option in enumerate(options):
        if number == 0:
            yield ""
            yield f"    {label}:"
        signs = " ".join(filter(None, (option.name, option.argument)))
        text = option.description or ("required" if option.is_required else "")
        if option.default and option.default not in text:
            text = f"{text} (default {option.default})".strip()
        if (option.place.path, option.place.heading_path) != (beside.path, beside.heading_path):
            text = f"{text} [{_write_span(option.place)}]".strip()
        yield from _wrap(f"{signs}  {text}".rstrip(), "      ", "          ")


def _write_span(place: Place) -> str:
    """Where something stands: the passage and its characters, `1a2b3c4d5e6f7a8b:3-40`."""
    return f"{place.chunk_id}:{place.start}-{place.end}"


def _wrap(text: str, margin: str, rest: str = "") -> Iterator[str]:
    yield from textwrap.wrap(
        printable(text),
        WIDTH,
        initial_indent=margin,
        subsequent_indent=rest or margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
