"""Compares calls of commands in examples with what the documents say: a card that lacks what a call uses is partial.

It judges no script: an example that does not fit shows that a description is incomplete.

    [call] = list(read_calls(["report_paths -from $pin > out.rpt"])); is_covered(call, reference.lookup("report_paths"))
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from rag.reference.cards import Command, Option
from rag.reference.synopses import OPTION

_NAME = re.compile(r"(?:[%>$]\s+)?(?P<name>[a-z][\w:]{1,60})(?=\s|$)")
_WORD = re.compile(r"\{[^{}]*\}|\[[^\[\]]*\]|\"[^\"]*\"|[^\s\"]+|\"")
_GOES_ON = re.compile(r"\.\.\.|\b(?:options|args|arguments)\]", re.IGNORECASE)  # a synopsis that takes any number
_REST = re.compile(r"\s(?:>>?|;|\||#)")  # after a command: where its output goes, another command, a remark
_ANYWHERE = frozenset({"-h", "-help", "--help", "-version", "--version"})  # every program has these, documented or not
LONGEST_LINE = 600


@dataclass(frozen=True, slots=True)
class Call:
    """A command's name, its options, and how many other words follow it."""

    name: str
    options: tuple[str, ...]
    words: int


def read_calls(lines: Iterable[str]) -> Iterator[Call]:
    """The calls in lines of a script; a line that ends with a backslash continues in the next."""
    before = ""
    for line in lines:
        whole = f"{before} {line.strip()}"
        if whole.endswith("\\") and len(whole) < LONGEST_LINE:
            before = whole[:-1]
            continue
        before = ""
        found = _NAME.match(whole.strip()) if len(whole) < LONGEST_LINE else None
        if found:
            rest = _REST.split(whole.strip()[found.end() :], maxsplit=1)[0]
            words = [word for word in _WORD.findall(rest) if word != "..."]
            options = tuple(word for word in words if OPTION.fullmatch(word))
            yield Call(found["name"], options, len(words) - len(options))


def is_covered(call: Call, cards: Sequence[Command]) -> bool:
    """Whether these cards of the command have all options of the call, whole or begun, and room for its other words."""
    if not any(card.synopsis or card.options for card in cards) or any(
        _GOES_ON.search(card.synopsis) for card in cards
    ):
        return True  # nothing is said, or anything may stand there
    known = {option.name: option for card in cards for option in card.options}
    meant = [known.get(name) or _find_begun(name, known) for name in call.options if name not in _ANYWHERE]
    if None in meant:
        return False
    taken = sum(1 for option in meant if option and (option.argument or option.synopsis_place is None))
    has_room = call.words - taken <= max(len(card.arguments) for card in cards)
    return has_room or not any(card.synopsis for card in cards)


def _find_begun(name: str, known: Mapping[str, Option]) -> Option | None:
    """The option that a name begins (`-max` of `-max_fanout`), or that its value follows directly (`-Isrc` of `-I`)."""
    begun = (option for other, option in known.items() if other.startswith(name))
    glued = (option for other, option in known.items() if option.argument and name.startswith(other))
    return next(chain(begun, glued), None)
