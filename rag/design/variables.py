"""Variables and options that a flow declares in its source code, each to a readable entry with its old names.

It looks at calls such as `Variable("NAME", type, "text", default=...)` and `add_argument("--name", help="text")`: a
call whose function is called after what it declares, with a name first and a text somewhere. Nothing is run.

    node = ast.parse('Variable("DENSITY", float, "Target density.", default=0.6)').body[0]
    find_declarations(node)[0].text == "`DENSITY` (float): Target density.\\nDefault: `0.6`."
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass

_DECLARES = re.compile(r"(?:variable|option|setting|parameter|param|argument|flag|knob)$", re.IGNORECASE)
_NAME = re.compile(r"-{0,2}[A-Za-z][\w.:-]*")
_ROLE = re.compile(r"\{[a-z:_-]+\}(?=`)|(?<!\w):[a-z:_-]+:(?=`)")  # of MyST and reStructuredText
_TEXT_KEYS = ("description", "help", "doc", "text")
_OLD_KEYS = ("deprecated_names", "old_names", "aliases", "deprecated_name", "old_name")
_LONGEST_VALUE = 200  # characters of a default that are shown


@dataclass(frozen=True, slots=True)
class Declaration:
    """A declared name with its entry, and the lines of its call, from `start` to `end` (0-based, end excluded)."""

    name: str
    text: str
    start: int
    end: int


def find_declarations(node: ast.stmt) -> list[Declaration]:
    """The declarations in a statement, in its order; none that share a line with another."""
    found: list[Declaration] = []
    for call in sorted(_calls(node), key=lambda call: (call.lineno, call.col_offset)):
        declaration = _read_call(call)
        if declaration and (not found or declaration.start >= found[-1].end):
            found.append(declaration)
    return found


def _calls(node: ast.stmt) -> Iterator[ast.Call]:
    for item in ast.walk(node):
        if isinstance(item, ast.Call):
            name = item.func.attr if isinstance(item.func, ast.Attribute) else getattr(item.func, "id", "")
            if _DECLARES.search(name):
                yield item


def _read_call(call: ast.Call) -> Declaration | None:
    """What a call declares; None where it has no name or no text."""
    strings = [text for item in call.args if (text := _string(item))]
    keywords = {item.arg: item.value for item in call.keywords if item.arg}
    first = _string(call.args[0]) if call.args else _string(keywords.get("name"))
    if not first or not _NAME.fullmatch(first):
        return None

    words = next((text for key in _TEXT_KEYS if (text := _string(keywords.get(key)))), "")
    words = words or next((text for text in strings if " " in text), "")
    if not words:
        return None
    old = [name for key in _OLD_KEYS for name in _names(keywords.get(key))]
    others = [text for text in strings if text != first and _NAME.fullmatch(text) and text != words]
    kind = next((_source(item) for item in call.args[1:2] if not _string(item)), "")
    kind = kind or (_source(keywords["type"]) if "type" in keywords else "")
    text = _write_entry([first, *others], kind, words, old, keywords)
    return Declaration(first, text, call.lineno - 1, call.end_lineno or call.lineno)


def _write_entry(names: list[str], kind: str, words: str, old: list[str], keywords: dict[str, ast.expr]) -> str:
    about = _ROLE.sub("", inspect.cleandoc(words))
    head = f"{', '.join(f'`{name}`' for name in names)}{f' ({kind})' if kind else ''}: {about}"
    facts = []
    if "default" in keywords:
        facts.append(f"Default: `{_source(keywords['default'])}`.")
    facts += [f"{key.capitalize()}: {text}." for key in ("unit", "units") if (text := _string(keywords.get(key)))]
    if "choices" in keywords:
        facts.append(f"Choices: {_source(keywords['choices'])}.")
    if old:
        facts.append(f"Old names: {', '.join(f'`{name}`' for name in old)}.")
    return "\n".join([head, " ".join(facts)]).strip()


def _source(node: ast.expr) -> str:
    """The source of an expression, cut; "..." for one that is nested too deep to be written."""
    try:
        return ast.unparse(node)[:_LONGEST_VALUE]
    except RecursionError:
        return "..."


def _string(node: ast.expr | None) -> str:
    """The text of a constant string, "" for all others."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _names(node: ast.expr | None) -> Iterator[str]:
    """The names in a string, or in a list of strings and of pairs that begin with one."""
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        for item in node.elts:
            yield from _names(item.elts[0] if isinstance(item, ast.Tuple | ast.List) and item.elts else item)
    elif name := _string(node):
        yield name
