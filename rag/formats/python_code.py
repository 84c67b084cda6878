"""Python files to blocks: each function and class under its name, its docstring as prose, its source as code.

The ast module reads them; a file with syntax errors is read as plain code. Nothing is imported or run.

    parse_python('def route():\n    "Routes."\n').blocks[0].text == "Routes."
"""

from __future__ import annotations

import ast
import inspect

from rag.blocks import Block, Parsed, fence_code
from rag.formats.script import code_pieces, parse_script

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def parse_python(text: str) -> Parsed:
    """Title "" and blocks in the order of the file. Never fails."""
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return parse_script(text, "python")
    lines = text.splitlines()
    docstring = ast.get_docstring(module)
    blocks = [Block("prose", docstring, ())] if docstring else []
    return Parsed(
        "", (*blocks, *_read_body(module, lines, 0 if not docstring else _end(module.body[0]), len(lines), ()))
    )


def _read_body(
    owner: ast.Module | ast.ClassDef, lines: list[str], start: int, end: int, path: tuple[str, ...]
) -> list[Block]:
    """The definitions between lines `start` and `end` (0-based, end excluded) and, in pieces, the code between them."""
    blocks: list[Block] = []
    for node in owner.body:
        if not isinstance(node, _Definition) or _start(node) < start:  # two statements on one line
            continue
        blocks += code_pieces(lines[start : _start(node)], "python", path)
        blocks += _read_definition(node, lines, path)
        start = _end(node)
    return blocks + code_pieces(lines[start:end], "python", path)


def _read_definition(node: _Definition, lines: list[str], path: tuple[str, ...]) -> list[Block]:
    path = (*path, f"{'class' if isinstance(node, ast.ClassDef) else 'def'} {node.name}")
    docstring = ast.get_docstring(node)
    prose = [Block("prose", docstring, path)] if docstring else []
    body_start = _end(node.body[0]) if docstring else _start_of(node.body[0])
    head = lines[_start(node) : _start_of(node.body[0])]
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
