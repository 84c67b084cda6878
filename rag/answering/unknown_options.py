"""A question about an option that no document gives the command it names: said so, with the options that they do give it.

Passages about the command would be found, and a reader, or a model, would take one of them for the answer. It reads the index's reference
(rag.reference) and asks no model. An option that stands in one passage with the command is not denied, whatever the reference holds.

    unknown = find_unknown_option("repair_timing -useful_skew: which unit?", retriever)
    answer = deny(unknown)   # answer.text: "The indexed documents give `repair_timing` no option `-useful_skew`. ..."
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from rag.answering.citations import Citation
from rag.answering.wording import QuotedAnswer, name_place
from rag.bm25 import tokenize
from rag.documents import Chunk, Hit
from rag.reference.cards import Command, Reference

DENIAL = "The indexed documents give "  # how the sentence begins
OPTIONS_SHOWN = 40  # of a command; Verilator has two hundred
_OPTION = re.compile(r"(?<![\w-])-{1,2}[A-Za-z][\w-]*")
_COMMAND = re.compile(r"(?<![\w-])[A-Za-z]\w*(?:::\w+)*")


class Describer(Protocol):
    """What is needed of a `rag.retriever.Retriever`."""

    @property
    def reference(self) -> Reference:
        """What the documents say of commands."""

    def chunk(self, chunk_id: str) -> Chunk | None:
        """The chunk with this id."""

    def holds_together(self, terms: Iterable[str]) -> bool:
        """Whether one passage holds all the terms."""


@dataclass(frozen=True, slots=True)
class UnknownOption:
    """An option that no document gives a command; `hit` is the passage that describes the command."""

    option: str
    command: Command
    hit: Hit


def find_unknown_option(question: str, index: Describer) -> UnknownOption | None:
    """The first option of the question that none of the commands it names has; None where there is none, or it names no known command."""
    names = dict.fromkeys(_COMMAND.findall(question))
    options = [option for option in dict.fromkeys(_OPTION.findall(question)) if tokenize(option)]
    commands = {name: known for name in names if (known := index.reference.options_of(name))} if options else {}
    known_options = frozenset().union(*commands.values())

    for option in options:
        if not commands or option in known_options:
            continue
        if any(index.holds_together([tokenize(option)[0], name.lower()]) for name in commands):
            continue
        card = index.reference.find(next(iter(commands)))
        chunk = index.chunk(card.place.chunk_id) if isinstance(card, Command) else None
        if isinstance(card, Command) and chunk:
            return UnknownOption(option, card, Hit(chunk, 1.0, 0.0, None))
    return None


def deny(unknown: UnknownOption) -> QuotedAnswer:
    """The sentence, the options that the documents do give the command, and the place of the passage."""
    options = [f"`{option.name}`" for option in unknown.command.options]
    more = len(options) - OPTIONS_SHOWN
    listed = ", ".join(options[:OPTIONS_SHOWN]) + (f" and {more} more" if more > 0 else "")
    said = f"{DENIAL}`{unknown.command.name}` no option `{unknown.option}`. The options that they give it: {listed}."
    place = f"**{name_place(unknown.hit.chunk)}** [1]"
    text = f"{said}\n\n{place}"
    return QuotedAnswer(text, (Citation(1, 0, len(text)),))
