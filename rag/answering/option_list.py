"""All options of a command, quoted from where a document describes them.

A search finds some of their passages and a selection some of their rows: who asks for the options of a command, and for
nothing else, wants every one. It reads the index's reference (rag.reference) and asks no model.

    listed = list_options("which options does repair_design have?", retriever)
    [quote.text for quote in listed.quotes]  # its synopsis, and a row for each option
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rag.answering.quotes import Quote
from rag.answering.units import cut_units
from rag.answering.unknown_options import Describer, find_words, passages_at
from rag.documents import Hit
from rag.index.bm25 import content_terms, tokenize
from rag.reference.cards import Command, Place

MOST_WORDS = 1000  # of a list: Verilator's three hundred options are a manual, not an answer
_LISTED = frozenset("options arguments args flags switches parameters syntax usage synopsis".split())
_BESIDE = frozenset(
    """
    option argument arg flag switch parameter all list every each complete full entire available possible supported
    support take takes accept accepts have has command tool show give get print tell me its please pls kind
    """.split()
)
_TERMS = frozenset(tokenize(" ".join(_LISTED | _BESIDE)))


@dataclass(frozen=True, slots=True)
class OptionList:
    """The passages that describe a command and its options, and what is quoted of them."""

    hits: tuple[Hit, ...]
    quotes: tuple[Quote, ...]


def list_options(question: str, index: Describer) -> OptionList | None:
    """All options of the command that the question names.

    None where it asks for something else, or of several commands; where no document shows the command whole; and where
    the list is too long.
    """
    command = _find_command(question, index)
    if command is None or command.is_partial or not command.options:
        return None
    items = (*command.options, *command.arguments)
    places = [command.place, *(place for item in items for place in (item.synopsis_place, item.place) if place)]
    hits = passages_at(places, index)
    quotes = [quote for number, hit in enumerate(hits, start=1) for quote in _quotes(number, hit, places)]
    is_short = sum(len(quote.text.split()) for quote in quotes) <= MOST_WORDS
    return OptionList(hits, tuple(quotes)) if quotes and is_short else None


def _find_command(question: str, index: Describer) -> Command | None:
    """The one command whose options a question asks for, and nothing else."""
    words = find_words(question)
    if not any(word.lower() in _LISTED for word in words):
        return None
    cards = [index.reference.find(word) for word in words if word.lower() not in _LISTED | _BESIDE]
    commands = [card for card in cards if isinstance(card, Command)]
    if len(commands) != 1:
        return None
    [command] = commands
    about = tokenize(f"{command.name} {command.collection} {command.place.title}")
    return command if not content_terms(question).difference(_TERMS, about) else None


def _quotes(number: int, hit: Hit, places: list[Place]) -> Iterator[Quote]:
    """The units of a passage in which one of the places lies."""
    text = hit.chunk.text
    own = [place for place in places if place.chunk_id == hit.chunk.chunk_id]
    for unit in cut_units(text):
        if any(place.start < unit.end and unit.start < place.end for place in own):
            yield Quote(number, unit.kind, text[unit.start : unit.end], unit.start, unit.end, unit.context)
