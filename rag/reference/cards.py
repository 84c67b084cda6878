"""The nouns of the reference: what the documents say of a command, a variable or a message, and where.

It holds values and the look-up among them; it reads no document (`extraction` does) and no file (`storage` does). Two
documents that describe one name give a card each.

    reference.lookup("repair_timing")[0].options[0].name  # "-setup"
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

from rag.documents import describe_place

NEAR_NAMES = 5  # offered for an unknown one
LONGEST_NAME = 200  # of a name to look up; no name in a document is longer
_MARKS = re.compile(r"^[`\"'\[$({\s]+|[`\"'\])}:;,.?!\s]+$")
_LEVEL = re.compile(r"^(?:INFO|NOTE|DEBUG|WARN(?:ING)?|ERROR|CRITICAL|FATAL)\s+(?=\S)")


@dataclass(frozen=True, slots=True)
class Place:
    """Characters `start` to `end` of a passage's text.

    The place of what stands in a heading is the text below it.
    """

    chunk_id: str
    path: str
    title: str
    heading_path: tuple[str, ...]
    start: int
    end: int

    @property
    def line(self) -> str:
        """`path: title > heading`, as people read it."""
        return f"{self.path}: {describe_place(self.title, self.heading_path)}"


@dataclass(frozen=True, slots=True)
class Option:
    """An option (`-hold`), or an argument without a dash (`net`); `argument` is what it takes, "" for a flag.

    `place` is its description, else its mention in the synopsis; `synopsis_place` is None where no synopsis has it.
    """

    name: str
    argument: str
    default: str
    description: str
    place: Place
    is_required: bool = False
    is_described: bool = False
    synopsis_place: Place | None = None


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A name that one part of a document has and another lacks: `statement` says which, `places` are those of both."""

    name: str
    statement: str
    places: tuple[Place, Place]


@dataclass(frozen=True, slots=True)
class Command:
    """A command as one document describes it: its synopsis, what it does, its options and its arguments.

    `synopsis` is as written, "" for none. `is_partial`: the document shows only a part, as release notes do, a heading
    with options was cut off, or examples in the collection use more than it says.
    """

    name: str
    collection: str
    synopsis: str
    description: str
    options: tuple[Option, ...]
    place: Place
    arguments: tuple[Option, ...] = ()
    is_partial: bool = False

    @property
    def disagreements(self) -> tuple[Disagreement, ...]:
        """The names that the synopsis has and the descriptions lack, or the other way round.

        It is empty where the document lacks either.
        """
        items = (*self.options, *self.arguments)
        described = next((item.place for item in items if item.is_described), None)
        shown = next((item.synopsis_place for item in items if item.synopsis_place), None) or self.place
        if not self.synopsis or not described:
            return ()

        found = []
        for item in items:
            if item.synopsis_place is None:
                found.append(Disagreement(item.name, "is described, and the synopsis lacks it", (item.place, shown)))
            elif not item.is_described:
                statement = "stands in the synopsis, and nothing describes it"
                found.append(Disagreement(item.name, statement, (item.synopsis_place, described)))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a flow or of the environment.

    `stage` names the stages that read it, separated by commas; "" where no document says.
    """

    name: str
    default: str
    stage: str
    description: str
    collection: str
    place: Place


@dataclass(frozen=True, slots=True)
class Message:
    """A message by its number (`GRT-0118`) or name (`WIDTHTRUNC`), with its text or what documents say of it."""

    number: str
    text: str
    collection: str
    place: Place

    @property
    def name(self) -> str:
        """The number, under which it is looked up."""
        return self.number

    @property
    def description(self) -> str:
        """None: what is said of it is its text, at its place."""
        return ""


Card = Command | Variable | Message


@dataclass(frozen=True)
class Reference:
    """All cards of an index, in the order of their documents. It is never changed, so many threads may read it."""

    commands: tuple[Command, ...] = ()
    variables: tuple[Variable, ...] = ()
    messages: tuple[Message, ...] = ()

    @property
    def _cards(self) -> list[Card]:
        return [*self.commands, *self.variables, *self.messages]

    @cached_property
    def _by_name(self) -> dict[str, list[Card]]:
        """Cards by name, those that say most first."""
        cards: dict[str, list[Card]] = {}
        for card in sorted(self._cards, key=_says):
            cards.setdefault(card.name, []).append(card)
        return cards

    @cached_property
    def _by_letters(self) -> dict[str, list[Card]]:
        """The same by the name in lower case."""
        cards: dict[str, list[Card]] = {}
        for name, found in self._by_name.items():
            cards.setdefault(name.lower(), []).extend(found)
        return cards

    @cached_property
    def _owners(self) -> dict[str, list[Command]]:
        """The commands that have an option, by its name."""
        owners: dict[str, list[Command]] = {}
        for command in self.commands:
            for name in dict.fromkeys(option.name for option in command.options):
                owners.setdefault(name, []).append(command)
        return owners

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all cards, sorted."""
        return tuple(sorted({card.name for card in self._cards}))

    def lookup(self, name: str) -> list[Card]:
        """The cards of a name, those that say most first; for an option (`-hold`), the commands that have it.

        The list is empty for an unknown name. Case counts unless no name is spelled so. Marks around a name,
        `[ERROR GRT-0118]`, do not count.
        """
        if len(name) > LONGEST_NAME:
            return []
        bare = _LEVEL.sub("", _MARKS.sub("", name))
        known = self._by_name.get(bare) or self._by_letters.get(bare.lower())
        return list(known) if known else list(self._owners.get(bare, ()))

    def find(self, name: str) -> Card | None:
        """The first card of a name, or None."""
        return next(iter(self.lookup(name)), None)

    def describe(self, name: str) -> Card | None:
        """The card of this name; None also for a command of which documents show a part, such as one new option."""
        card = self.find(name)
        return None if isinstance(card, Command) and card.is_partial else card

    def options_of(self, command_name: str) -> frozenset[str]:
        """The options that any document gives a command.

        The set is empty where the command is unknown, or where no document shows it whole.
        """
        cards = [card for card in self._by_name.get(command_name, []) if isinstance(card, Command)]
        if all(card.is_partial for card in cards):
            return frozenset()
        return frozenset(option.name for card in cards for option in card.options)

    def near(self, name: str, least: float = 0.6) -> list[str]:
        """Known names that are spelled like this unknown one, in letters of any case, the nearest first.

        least: how much alike they are, from 0 to 1.
        """
        wanted = name[:LONGEST_NAME].lower()
        pool = self._owners if wanted.startswith(("-", "+")) else self.names
        spelled = {known.lower(): known for known in pool}
        return [spelled[near] for near in get_close_matches(wanted, spelled, NEAR_NAMES, least)]

    def list_names(self, prefix: str, most: int) -> list[str]:
        """The first `most` names that begin so, sorted."""
        return [name for name in self.names if name.startswith(prefix)][:most]

    def within(self, collections: Iterable[str]) -> Reference:
        """The reference of these collections alone."""
        wanted = frozenset(collections)
        return Reference(
            tuple(card for card in self.commands if card.collection in wanted),
            tuple(card for card in self.variables if card.collection in wanted),
            tuple(card for card in self.messages if card.collection in wanted),
        )

    def joined(self, other: Reference) -> Reference:
        """Both, in the order of their collections."""
        return Reference(
            tuple(sorted((*self.commands, *other.commands), key=_collection)),
            tuple(sorted((*self.variables, *other.variables), key=_collection)),
            tuple(sorted((*self.messages, *other.messages), key=_collection)),
        )


def _collection(card: Card) -> str:
    return card.collection


def _says(card: Card) -> int:
    """How much a card says, as a sort key: descriptions of options first, then a synopsis."""
    if isinstance(card, Command):
        described = sum(1 for option in (*card.options, *card.arguments) if option.is_described)
        return -4 * described - len(card.options) - 2 * bool(card.synopsis) - bool(card.description)
    return -len(card.description if isinstance(card, Variable) else card.text)
