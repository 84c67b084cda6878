"""What is found so far in one document: commands, variables and messages, and whose options a table or a list has.

It reads no blocks; `extraction` does, and stores here what it reads.

    found = Findings("openroad", "Timing", named=frozenset()); found.draft("repair_timing", place).add(option)
    found.owner(("Commands", "Repair"), ["-hold"], place); list(found.commands(is_partial=False))
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from rag.reference.cards import Command, Message, Option, Place, Variable
from rag.reference.drafts import CommandDraft
from rag.reference.sections import SectionBlock
from rag.reference.synopses import Synopsis

MOST_CANDIDATES = 20  # commands of one section that may own its options
MOST_SYNOPSES = 20  # of a command
MAN_TITLE = re.compile(r"(?P<name>[a-z][\w.+-]*)(?:\(\w{1,4}\))? (?:-{1,2}|\u2013|\u2014) (?P<purpose>\S.*)")
_OPTIONS_HEADING = re.compile(
    r"[`\"]?(?P<name>[a-z][\w.+-]*)[`\"]? "
    r"(?:command[- ]line )?(?:arguments|options|switches|flags|usage|synopsis|command)",
    re.IGNORECASE,
)
_CALLED_HEADING = re.compile(r"(?P<name>[a-z][a-z0-9]*_[a-z0-9_]+)")


class Findings:
    """What one document says of commands, variables and messages.

    `named`: what it puts in quotes or backticks, or begins a line of code with.
    """

    def __init__(self, collection: str, title: str, named: frozenset[str]) -> None:
        self.variables: dict[str, Variable] = {}
        self.messages: dict[str, Message] = {}
        self.purposes: dict[str, str] = {}  # what its NAME section says of a command
        self._collection = collection
        self._title = title
        self._named = named
        self._commands: dict[str, CommandDraft] = {}
        self._last: CommandDraft | None = None  # the one whose synopsis was read last
        self._of_section: dict[tuple[str, ...], dict[str, CommandDraft]] = {}  # with synopses under a path, in order

    def draft(self, name: str, place: Place) -> CommandDraft:
        """The command of this name; a new one stands at `place`."""
        return self._commands.setdefault(name, CommandDraft(name, place))

    def of_section(self, path: tuple[str, ...]) -> Mapping[str, CommandDraft]:
        """The commands with synopses under a path, in their order."""
        return self._of_section.get(path, {})

    def add_synopsis(
        self, draft: CommandDraft, synopsis: Synopsis, text: str, place: Place, block: SectionBlock, first: int | None
    ) -> None:
        """Add a synopsis to its command; `first` is the number of its line in the block, None where it is a heading."""
        if synopsis.is_strong and not draft.has_strong:
            draft.forget_examples()
            draft.has_strong = True
        if not draft.synopses:
            draft.place = place
        if text not in draft.synopses and len(draft.synopses) < MOST_SYNOPSES:
            draft.synopses.append(text)
        for part in (*synopsis.options, *synopsis.arguments):
            at = place if first is None else block.span(first + part.spot.line, part.spot.start, part.spot.end)
            draft.add(Option(part.name, part.argument, "", "", at, part.is_required, synopsis_place=at))
        draft.names |= synopsis.names
        draft.paths.add(block.path)
        self._of_section.setdefault(block.path, {})[draft.name] = draft
        self._last = draft
        draft.takes_any |= not synopsis.names or "options]" in text.lower() or "option]" in text.lower()

    def add_variable(self, name: str, default: str, stage: str, description: str, place: Place) -> None:
        """Note a variable; a known one without a description gets it."""
        variable = Variable(name, default, stage, description, self._collection, place)
        known = self.variables.setdefault(name, variable)
        if known is not variable and not known.description and description:
            self.variables[name] = replace(variable, stage=known.stage or stage)

    def add_stage(self, name: str, stage: str) -> None:
        """Note that a variable, where it is known, belongs to this stage."""
        known = self.variables.get(name)
        if known and stage not in known.stage.split(", "):
            self.variables[name] = replace(known, stage=", ".join(filter(None, (known.stage, stage))))

    def add_message(self, number: str, text: str, place: Place) -> None:
        """Note a message; a known one without a text gets it."""
        known = self.messages.get(number)
        if known is None or not known.text:
            self.messages[number] = Message(number, text, self._collection, place)

    def commands(self, is_partial: bool) -> Iterator[Command]:
        """The document's commands; `is_partial`: the document shows only what is new in them."""
        for draft in self._commands.values():
            title = MAN_TITLE.fullmatch(self._title)
            if title and title["name"] == draft.name:
                draft.description = draft.description or title["purpose"]
            draft.description = self.purposes.get(draft.name, draft.description)

            synopsis = "\n".join(draft.synopses)
            options, arguments = list(draft.options.values()), list(draft.arguments.values())
            if len(draft.synopses) > 1:  # what one form of the call requires, another may leave out
                options, arguments = (
                    [replace(one, is_required=False) for one in group] for group in (options, arguments)
                )

            yield Command(
                draft.name,
                self._collection,
                synopsis,
                draft.description,
                tuple(options),
                draft.place,
                tuple(arguments),
                is_partial or draft.is_cut,
            )

    def owner(
        self, path: tuple[str, ...], names: Sequence[str], place: Place, explicit: str = "", is_stated: bool = False
    ) -> CommandDraft | None:
        """The command whose options these are: of those above, the one whose synopsis has most of them.

        `explicit` is the command that a line above names, which may be wrong, or that the table's own header states.
        Without any common name, the options belong to a command that says nothing of its own, or to the only one of the
        section.
        """
        if is_stated:
            return self.draft(explicit, place)
        bare = {name.lstrip("-") for name in names}
        candidates = self._candidates(path, explicit)
        if (
            self._last
            and 2 * len(bare & self._last.names) > len(bare)
            and path[:-1] in {own[:-1] for own in self._last.paths}
        ):
            candidates.append(self._last)  # of the neighbouring section
        if not candidates:
            return self._program(path, place)

        best = max(candidates, key=lambda draft: len(bare & draft.names))  # the first of equals
        if bare & best.names:
            return best
        if not any(name.startswith(("-", "+")) for name in names):
            return None  # a table of something else: keys, values
        if open_ones := [draft for draft in candidates if draft.takes_any or not draft.names]:
            return open_ones[0]
        near = {draft.name: draft for draft in candidates if not draft.paths.isdisjoint((path, path[:-1]))}
        return next(iter(near.values())) if len(near) == 1 else None

    def _candidates(self, path: tuple[str, ...], explicit: str) -> list[CommandDraft]:
        """The commands that stand above, the nearest first.

        They are named in a line or in a heading, or have a synopsis under the same headings.
        """
        found: dict[str, CommandDraft] = {}
        for name in (explicit, *(heading.strip("`") for heading in reversed(path)), self._title):
            if name in self._commands:
                found.setdefault(name, self._commands[name])
        for depth in range(len(path), -1, -1):
            for draft in islice(reversed(self._of_section.get(path[:depth], {}).values()), MOST_CANDIDATES):
                found.setdefault(draft.name, draft)
        return list(found.values())

    def _program(self, path: tuple[str, ...], place: Place) -> CommandDraft | None:
        """The program that the headings or the title name, or None.

        They name it so: "verilator Arguments", "ls - list directory contents".
        """
        for heading in (*reversed(path), self._title):
            found = (
                _OPTIONS_HEADING.fullmatch(heading)
                or MAN_TITLE.fullmatch(heading)
                or _CALLED_HEADING.fullmatch(heading)
            )
            if found and found["name"] == found["name"].lower() and found["name"] in self._named:
                draft = self.draft(found["name"], place)
                draft.takes_any = True
                return draft
        return None
