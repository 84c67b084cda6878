"""Python files to blocks: each function and class under its name, its docstring as prose, its source as code.

Variables with a docstring below them, and variables and options that a call declares, have headings of their own. The
ast module reads them; a file with syntax errors is read as plain code. Nothing is imported or run.

    parse_python('def route():\n    "Routes."\n').blocks[0].text == "Routes."
"""

from __future__ import annotations

import ast
import inspect
import re
from itertools import zip_longest

from rag.blocks import Block, Parsed, fence_code
from rag.design.variables import Declaration, find_declarations
from rag.formats.rst import clean_roles
from rag.formats.script import code_pieces, parse_script

_ENCODING = re.compile(r"#.{0,50}coding[:=]\s*[-\w.]+")  # what an editor or Python itself reads
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def parse_python(text: str) -> Parsed:
    """Title "" and blocks in the order of the file. Never fails."""
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return parse_script(text, "python")
    # As ast counts them: a form feed, for one, ends no line
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
    docstring = _read_docstring(module)
    blocks: list[Block] = []
    if docstring:
        above = [line for line in lines[: module.body[0].lineno - 1] if not _ENCODING.match(line)]
        blocks = [*code_pieces(above, "python"), Block("prose", docstring, ())]
    return Parsed("", (*blocks, *_read_body(module, lines, _end(module.body[0]) if docstring else 0, len(lines), ())))


def _read_body(
    owner: ast.Module | ast.ClassDef, lines: list[str], start: int, end: int, path: tuple[str, ...]
) -> list[Block]:
    """The definitions between lines `start` and `end` (0-based, end excluded) and, in pieces, the code between them."""
    blocks: list[Block] = []
    for node, after in zip_longest(owner.body, owner.body[1:]):
        if _start_of(node) < start:  # two statements on one line
            continue
        name = _assigned_name(node)
        if isinstance(node, _Definition):
            found = _read_definition(node, lines, path)
        elif name and after and (words := _string_of(after)):  # a variable with a docstring of its own below it
            code = lines[_start_of(node) : max(_end(node), _start_of(after))]  # with remarks between both
            found = [Block("prose", words, (*path, name)), *_code(code, (*path, name))]
        elif declarations := find_declarations(node):
            blocks += code_pieces(lines[start : _start_of(node)], "python", path)
            blocks += _read_declarations(declarations, lines, _start_of(node), _end(node), path)
            start = _end(node)
            continue
        else:
            continue
        blocks += code_pieces(lines[start : _start_of(node)], "python", path)
        blocks += found
        start = _end(node if isinstance(node, _Definition) or after is None else after)
    return blocks + code_pieces(lines[start:end], "python", path)


def _read_declarations(
    declarations: list[Declaration], lines: list[str], start: int, end: int, path: tuple[str, ...]
) -> list[Block]:
    """A statement that declares variables: an entry and the source of each, and the code between them."""
    blocks: list[Block] = []
    for declared in declarations:
        own = (*path, declared.name)
        blocks += _code_between(lines[start : declared.start], path)
        blocks += [Block("prose", declared.text, own), *_code(lines[declared.start : declared.end], own)]
        start = declared.end
    return blocks + _code_between(lines[start:end], path)


def _code_between(lines: list[str], path: tuple[str, ...]) -> list[Block]:
    """Code between declarations; brackets and commas alone say nothing."""
    return code_pieces(lines, "python", path) if re.search(r"\w", "\n".join(lines)) else []


def _assigned_name(node: ast.stmt) -> str:
    """The one name that a statement gives a value or a type; "" for all others."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return targets[0].id if len(targets) == 1 and isinstance(targets[0], ast.Name) else ""


def _string_of(node: ast.stmt | None) -> str:
    """The text of a statement that is a string alone, as a docstring; "" for all others."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
        return ""
    return clean_roles(inspect.cleandoc(node.value.value)) if isinstance(node.value.value, str) else ""


def _read_docstring(node: ast.Module | _Definition) -> str:
    """The docstring without the marks of reStructuredText's roles; "" where there is none."""
    return clean_roles(ast.get_docstring(node) or "")


def _read_definition(node: _Definition, lines: list[str], path: tuple[str, ...]) -> list[Block]:
    path = (*path, f"{'class' if isinstance(node, ast.ClassDef) else 'def'} {node.name}")
    docstring = _read_docstring(node)
    prose = [Block("prose", docstring, path)] if docstring else []
    body_start = _end(node.body[0]) if docstring else _start_of(node.body[0])
    head = lines[_start(node) : _start_of(node.body[0])]
    before = lines[node.body[0].lineno - 1].encode()[: node.body[0].col_offset].decode() if docstring else ""
    head += [before.rstrip()] if before.strip() else []  # `def route(nets): "Routes."` stands on one line
    if isinstance(node, ast.ClassDef):
        return [*prose, *_code(head, path), *_read_body(node, lines, body_start, _end(node), path)]
    return [*prose, *_code([*head, *lines[body_start : _end(node)]], path)]


def _code(lines: list[str], path: tuple[str, ...]) -> list[Block]:
    text = inspect.cleandoc("\n".join(["", *lines])).rstrip()
    return [Block("code", fence_code(text.split("\n"), "python"), path)] if text else []


def _start(node: _Definition) -> int:
    """The 0-based line on which a definition begins, its decorators included."""
    return min([node.lineno, *(item.lineno for item in node.decorator_list)]) - 1


def _start_of(node: ast.stmt) -> int:
    return _start(node) if isinstance(node, _Definition) else node.lineno - 1


def _end(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno
