"""The commands of a reference as a schema for tclint, a linter for Tcl (https://pypi.org/project/tclint/, 0.9.0).

It writes no file. Where documents leave open how often something may stand, the schema allows it: tclint complains only
of what no document has.

    as_tclint(reference.commands)["commands"]["repair_timing"]["switches"]["-hold"]
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from rag.reference.cards import Command, Option

NAME = "chipalign"
# Tcl's own commands, which tclint knows better (Tcl 8.6, https://www.tcl-lang.org/man/tcl8.6/TclCmd/contents.htm).
BUILTINS = frozenset(
    """
    after append apply array binary break catch cd chan clock close concat continue coroutine dict encoding eof error
    eval exec exit expr fblocked fconfigure fcopy file fileevent flush for foreach format gets glob global history if
    incr info interp join lappend lassign lindex linsert list llength lmap load lrange lrepeat lreplace lreverse
    lsearch lset lsort memory namespace open package pid proc puts pwd read regexp regsub rename return scan seek set
    socket source split string subst switch tailcall tell throw time timerate trace try unload unset update uplevel
    upvar variable vwait while yield yieldto zlib
    """.split()
)
_TCL_NAME = re.compile(r"[A-Za-z_]\w*(?:::\w+)*")
_GOES_ON = re.compile(r"\.\.\.|\b(?:options|args)\b", re.IGNORECASE)  # says that more may follow
_ANY = {"type": "any"}
_REDIRECTIONS = (">", ">>")  # Tcl shells of timers accept them after any report


def as_tclint(commands: Iterable[Command]) -> dict[str, Any]:
    """The schema.

    A command that several documents describe takes what any of them says; one that no document shows whole is left out.
    """
    cards: dict[str, list[Command]] = {}
    for command in commands:
        if command.name not in BUILTINS and _TCL_NAME.fullmatch(command.name) and (command.synopsis or command.options):
            cards.setdefault(command.name, []).append(command)
    whole = {name: found for name, found in cards.items() if not all(card.is_partial for card in found)}
    return {"name": NAME, "commands": {name: _describe(found) for name, found in sorted(whole.items())}}


def _describe(cards: Sequence[Command]) -> dict[str, Any]:
    options: dict[str, list[Option]] = {}
    for card in cards:
        for option in card.options:
            if option.name.startswith("-"):
                options.setdefault(option.name, []).append(option)
    switches = {name: _switch(found, is_everywhere=len(found) == len(cards)) for name, found in options.items()}
    if switches:
        switches |= {
            name: {"required": False, "repeated": False, "value": _ANY, "metavar": "file"} for name in _REDIRECTIONS
        }
    return {"positionals": _positionals(cards), "switches": switches}


def _switch(found: Sequence[Option], is_everywhere: bool) -> dict[str, Any]:
    argument = next((option.argument for option in found if option.argument), "")
    is_required = is_everywhere and all(option.is_required for option in found)
    switch: dict[str, Any] = {"required": is_required, "repeated": True, "value": _ANY if argument else None}
    return switch | ({"metavar": argument} if argument else {})


def _positionals(cards: Sequence[Command]) -> list[dict[str, Any]]:
    """The arguments of the synopsis.

    Any number where documents differ, where one goes on ("..."), or where an option may take a value, as may an option
    that no synopsis has.
    """
    shapes = {
        tuple((argument.name, argument.is_required) for argument in card.arguments if argument.synopsis_place)
        for card in cards
    }
    is_open = len(shapes) > 1 or any(
        not card.synopsis
        or _GOES_ON.search(card.synopsis)
        or any(option.synopsis_place is None and not option.argument for option in card.options)
        for card in cards
    )
    if is_open:
        return [{"name": "args", "required": False, "value": {"type": "variadic"}}]
    [shape] = shapes
    ordered = sorted(shape, key=lambda argument: not argument[1])  # tclint counts: the required ones first
    return [{"name": name, "required": required, "value": _ANY} for name, required in ordered]
