"""How many characters the macros of a Verilog file make, found before a parser expands them, and a way to stop that.

A few lines of macros that use each other twice make more text than any memory holds. It expands nothing: each macro has
a size of its own and a factor for its arguments, and sizes add up.

    count_made("`define A xyz\\n`define B `A `A\\n`B\\n") == 6
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

MAX_MADE = 2**18  # characters that all macros of a file may make: a parser keeps up to a kilobyte for each
_MOST = 2**62  # where counting ends
_MAX_DEPTH = 100  # of macros in macros; people stop at ten
_DEFINE = re.compile(
    r"`define[ \t]+(?P<name>[A-Za-z_]\w*)(?:\((?P<parameters>[^()\n]*)\))?(?P<body>(?:\\\r?\n|[^\n])*)"
)
_USE = re.compile(r"`([A-Za-z_]\w*)")
_TOKEN = re.compile(r"`(?P<use>[A-Za-z_]\w*)|(?P<word>\w+)|(?P<sign>[^\w\s])")
_SIGN = re.compile(r"\S")


@dataclass(slots=True)
class _Size:
    """How many characters a text makes: `own`, and `factor` times those of the arguments that it is given."""

    own: int = 0
    factor: int = 0


_SAME = _Size(0, 1)  # of parentheses that call nothing


@dataclass(slots=True)
class _Macro:
    """The bodies that a name is defined with, and the names of all its parameters; `size` once it is known."""

    bodies: list[str] = field(default_factory=list)
    parameters: set[str] = field(default_factory=set)
    size: _Size | None = None


def count_made(text: str) -> int:
    """How many characters the uses of a file's own macros make at most.

    Of a macro that is defined again the largest body counts, and one that uses itself makes a character.
    """
    macros = _read_macros(text)
    sizes = [_size_of(name, macros, 0) for name in macros]
    made = text.count("`") * max((size.own for size in sizes), default=0)
    if made <= MAX_MADE and all(size.factor <= 1 for size in sizes):
        return made

    rest = _DEFINE.sub(" ", text)
    made, position = 0, 0
    while use := _USE.search(rest, position):
        position = use.end()
        if use[1] in macros:
            position = _end_of_call(rest, position) if macros[use[1]].parameters else position
            made += _measure(rest[use.start() : position], macros, frozenset(), 0).own
    return min(made, _MOST)


def hide_uses(text: str) -> str:
    """The text, as long as before, with its own macros as plain names where they are used."""
    names = _read_macros(text).keys()
    return _USE.sub(lambda use: f" {use[1]}" if use[1] in names else use[0], text)


def _read_macros(text: str) -> dict[str, _Macro]:
    macros: dict[str, _Macro] = {}
    for found in _DEFINE.finditer(text):
        macro = macros.setdefault(found["name"], _Macro())
        macro.bodies.append(found["body"])
        macro.parameters |= set(re.findall(r"\w+", found["parameters"] or ""))
    return macros


def _size_of(name: str, macros: dict[str, _Macro], depth: int) -> _Size:
    macro = macros[name]
    if macro.size is None:
        macro.size = _Size(1)  # where it uses itself
        sizes = [_measure(body, macros, frozenset(macro.parameters), depth + 1) for body in macro.bodies]
        macro.size = _Size(max(1, *(size.own for size in sizes)), max(size.factor for size in sizes))
    return macro.size


def _end_of_call(text: str, position: int) -> int:
    """Where the arguments end that begin here, if they do."""
    depth = 0
    for sign in _SIGN.finditer(text, position):
        depth += {"(": 1, ")": -1}.get(sign[0], 0)
        if depth <= 0:
            return sign.end() if sign[0] == ")" else position
    return len(text)


def _measure(text: str, macros: dict[str, _Macro], parameters: frozenset[str], depth: int) -> _Size:
    """The size of a text with these parameters."""
    if depth > _MAX_DEPTH:
        return _Size(_MOST, _MOST)
    outer: list[tuple[_Size, _Size]] = []  # for each open parenthesis what is called with it, and what stands before it
    here, called = _Size(), _SAME
    for token in _TOKEN.finditer(text):
        name, sign = token["use"], token["sign"]
        if sign == "(":
            outer.append((called, here))
            here = _Size()
        elif sign == ")" and outer:
            here = _close(here, *outer.pop())
        elif name in macros:
            called = _size_of(name, macros, depth)
            if macros[name].parameters:
                continue
            here = _close(_Size(), called, here)
        elif token["word"] in parameters:
            here.factor += 1
        else:
            here.own += len(token[0])
        called = _SAME
    while outer:
        here = _close(here, *outer.pop())
    return here


def _close(arguments: _Size, called: _Size, before: _Size) -> _Size:
    """What stands before a call, and the call."""
    return _Size(
        min(before.own + called.own + called.factor * arguments.own, _MOST),
        min(before.factor + called.factor * arguments.factor, _MOST),
    )
