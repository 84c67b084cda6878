"""Jupyter notebooks (.ipynb) to blocks: Markdown cells as Markdown, code cells as code, and what they printed.

Pictures and other outputs are left out. Nothing is run.

    parse_notebook('{"cells": [{"cell_type": "markdown", "source": ["# Flow"]}]}').title == "Flow"
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from rag.blocks import Parsed, fence_code
from rag.errors import ParseFailed
from rag.formats.markdown import parse_markdown

MAX_OUTPUT_LINES = 40  # of one cell; more is a log


def parse_notebook(text: str) -> Parsed:
    """The first heading as the title, and the cells' blocks under the headings above them.

    Raises ParseFailed: it is not a notebook.
    """
    try:
        book = json.loads(text)
        cells = book["cells"] if "cells" in book else [cell for sheet in book["worksheets"] for cell in sheet["cells"]]
        kinds = [(cell["cell_type"], cell) for cell in cells]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ParseFailed("no notebook: it has no cells") from error
    language = _find_language(book)

    # The Markdown of all cells is read as one text, so that a heading stands over the code cells below it.
    parts = [part for kind, cell in kinds for part in _read_cell(kind, cell, language)]
    return parse_markdown("\n\n".join(parts))


def _find_language(book: Any) -> str:
    metadata = book.get("metadata")
    for part in ("language_info", "kernelspec"):
        found = metadata.get(part) if isinstance(metadata, dict) else None
        name = found.get("name" if part == "language_info" else "language") if isinstance(found, dict) else None
        if isinstance(name, str) and name.isalnum():
            return name
    return "python"


def _read_cell(kind: Any, cell: Any, language: str) -> Iterator[str]:
    """A cell as Markdown."""
    source = _text(cell.get("source", cell.get("input")))
    if kind == "heading":  # of a notebook before 2014
        level = cell.get("level")
        yield f"{'#' * (level if isinstance(level, int) and 0 < level < 7 else 1)} {' '.join(source.split())}"
        return
    if kind == "markdown":
        yield _close_fence(source)
        return
    if source.strip():
        yield fence_code(source.splitlines(), language if kind == "code" else "")
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else []:
        lines = _read_output(output).splitlines()
        more = [f"... ({len(lines) - MAX_OUTPUT_LINES} more lines)"] if len(lines) > MAX_OUTPUT_LINES else []
        if any(line.strip() for line in lines):
            yield fence_code([*lines[:MAX_OUTPUT_LINES], *more])


def _close_fence(source: str) -> str:
    """The Markdown of a cell with the fence closed that it leaves open: the next cell is not its code."""
    fence = ""
    for line in source.splitlines():
        mark = re.match(r" {0,3}(`{3,}|~{3,})(?P<rest>.*)", line)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1][0] == fence[0] and len(mark[1]) >= len(fence) and not mark["rest"].strip():
            fence = ""
    return f"{source}\n{fence}" if fence else source


def _read_output(output: Any) -> str:
    """What an output shows as plain text: what was printed, or a value."""
    if not isinstance(output, dict):
        return ""
    if output.get("output_type") == "error":
        return f"{_text(output.get('ename'))}: {_text(output.get('evalue'))}"
    data = output.get("data")
    values = data if isinstance(data, dict) else {}
    is_picture = any(str(name).startswith("image/") for name in values)
    return _text(output.get("text")) or ("" if is_picture else _text(values.get("text/plain")))


def _text(value: Any) -> str:
    """A text that a notebook may hold as a list of lines."""
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""
