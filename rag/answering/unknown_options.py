"""Denies an option that no document gives to the command named in a question, and lists the options they do give.

The search would find passages about the command, and a reader, or a model, would take one of them for the answer. It
reads the index's reference (rag.reference) and asks no model. An option that stands in one passage with the command is
not denied, whatever the reference holds.

    unknown = find_unknown_option("repair_timing -useful_skew: which unit?", retriever)
    answer = deny(unknown)   # answer.text: "The indexed documents give `repair_timing` no option `-useful_skew`. ..."
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import Protocol

from rag.answering.citations import Citation
from rag.answering.names import find_names
from rag.answering.wording import QuotedAnswer, name_place
from rag.documents import Chunk, Hit
from rag.index.bm25 import tokenize
from rag.reference.cards import Command, Place, Reference

DENIAL = "The indexed documents give "  # the beginning of every denial
PASSAGES_SHOWN = 4  # of a command; the tables of options of a long manual are cut into several
OPTIONS_SHOWN = 40  # of a command; Verilator has two hundred
_COMMAND = re.compile(r"(?<![\w-])[A-Za-z]\w*(?:::\w+)*")  # any word that may be one


class Describer(Protocol):
    """What the denial needs of a `rag.search.retriever.Retriever`."""

    @property
    def reference(self) -> Reference:
        """What the documents say of commands."""

    def chunk(self, chunk_id: str) -> Chunk | None:
        """The chunk with this id."""

    def holds_together(self, terms: Iterable[str]) -> bool:
        """Whether one passage holds all the terms."""


@dataclass(frozen=True, slots=True)
class UnknownOption:
    """An option that no document gives a command; `hits` are the passages that describe the command and its options."""

    option: str
    command: Command
    hits: tuple[Hit, ...]


def find_unknown_option(question: str, index: Describer) -> UnknownOption | None:
    """The first option of the question that none of its commands has.

    None where there is none, or where the question names no known command.
    """
    names = find_words(question)
    found = (name.text for name in find_names(question) if name.kind == "option" and name.text.startswith("-"))
    options = list(dict.fromkeys(found))
    commands = {name: known for name in names if (known := index.reference.options_of(name))} if options else {}
    known_options = frozenset().union(*commands.values())

    for option in options:
        if not commands or option in known_options:
            continue
        if any(index.holds_together([tokenize(option)[0], name.lower()]) for name in commands):
            continue
        card = index.reference.find(next(iter(commands)))
        if isinstance(card, Command):
            places = (card.place, *(option.place for option in card.options))
            if hits := passages_at(places, index, PASSAGES_SHOWN):
                return UnknownOption(option, card, hits)
    return None


def find_words(question: str) -> tuple[str, ...]:
    """The words of a question that may be commands, each once."""
    return tuple(dict.fromkeys(_COMMAND.findall(question)))


def passages_at(places: Iterable[Place], index: Describer, most: int | None = None) -> tuple[Hit, ...]:
    """The passages in which these places stand, each once, the first `most` of them; None: all."""
    ids = dict.fromkeys(place.chunk_id for place in places)
    chunks = (index.chunk(chunk_id) for chunk_id in islice(ids, most))
    return tuple(Hit.named(chunk) for chunk in chunks if chunk)


def deny(unknown: UnknownOption) -> QuotedAnswer:
    """The sentence, the options that the documents do give the command, and the place of the passage."""
    shown = {hit.chunk.chunk_id for hit in unknown.hits}
    options = [f"`{option.name}`" for option in unknown.command.options if option.place.chunk_id in shown]
    listed = ", ".join(options[:OPTIONS_SHOWN])
    if more := len(unknown.command.options) - len(options[:OPTIONS_SHOWN]):
        listed += f" and {more} more"
    near = get_close_matches(unknown.option, [option.name for option in unknown.command.options], 1)
    nearest = f"; the nearest is `{near[0]}`" if near else ""
    said = f"{DENIAL}`{unknown.command.name}` no option `{unknown.option}`{nearest}. "
    said += f"The options that they give it: {listed}."
    numbers = range(1, len(unknown.hits) + 1)
    text = f"{said}\n\n**{name_place(unknown.hits[0].chunk)}** {' '.join(f'[{number}]' for number in numbers)}"
    return QuotedAnswer(text, tuple(Citation(number, 0, len(text)) for number in numbers))
