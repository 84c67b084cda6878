"""A command while its document is read: synopses, tables, lists and headings add to it in any order.

It reads no text; `extraction` does, and `findings` makes a card of the draft at the document's end.

    draft = CommandDraft("repair_timing", place); draft.add(option); draft.options["-hold"].description
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from rag.reference.cards import Option, Place

MOST_OPTIONS = 1000  # of a command


@dataclass(slots=True)
class CommandDraft:
    """A command while its document is read."""

    name: str
    place: Place
    description: str = ""
    synopses: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)  # of the synopses' options and arguments, without dashes
    paths: set[tuple[str, ...]] = field(default_factory=set)  # the headings over its synopses
    has_strong: bool = False  # a synopsis that cannot be an example
    is_cut: bool = False  # one of its headings with options was cut off
    takes_any: bool = False  # a synopsis says only "[options]"
    options: dict[str, Option] = field(default_factory=dict)
    arguments: dict[str, Option] = field(default_factory=dict)

    def forget_examples(self) -> None:
        """Drop what was read from lines that may be examples, once the synopsis has come."""
        self.synopses, self.names = [], set()
        for group in (self.options, self.arguments):
            for name, option in list(group.items()):
                if option.synopsis_place is None:
                    continue
                group.pop(name)
                if option.is_described:
                    group[name] = replace(option, argument="", is_required=False, synopsis_place=None)

    def add(self, option: Option) -> None:
        """Add an option, or what more is known of it, to the others."""
        group = self.options if option.name.startswith(("-", "+")) else self.arguments
        known = group.get(option.name)
        if known is None:
            if len(group) < MOST_OPTIONS:
                group[option.name] = option
            return
        is_fuller = option.is_described and len(option.description) > len(known.description)
        best = option if is_fuller or (option.is_described and not known.is_described) else known
        group[option.name] = replace(
            best,
            argument=known.argument or option.argument,
            default=known.default or option.default,
            is_required=known.is_required or option.is_required,
            is_described=known.is_described or option.is_described,
            synopsis_place=known.synopsis_place or option.synopsis_place,
        )
