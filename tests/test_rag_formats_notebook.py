"""rag.formats.notebook: cells of any version, and files that are no notebooks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rag.errors import ParseFailed
from rag.formats.notebook import MAX_OUTPUT_LINES, parse_notebook
from tests.rows import for_each


def cell(source: Any, **more: Any) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, **more}


def test_a_long_output_is_cut_and_that_is_said() -> None:
    output = {"output_type": "stream", "text": [f"line {number}\n" for number in range(MAX_OUTPUT_LINES + 7)]}
    blocks = parse_notebook(json.dumps({"cells": [cell("run()", outputs=[output])]})).blocks
    assert blocks[1].text.endswith("line 39\n... (7 more lines)\n```")


def test_cells_of_an_old_notebook_are_found_in_its_worksheets() -> None:
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": ["x = 1"], "outputs": []}]}]}
    assert parse_notebook(json.dumps(old)).blocks[0].text == "```python\nx = 1\n```"


@for_each("text", ["{}", "[]", "no json", '{"cells": 3}', '{"cells": [1]}', "[" * 100_000])
def test_what_is_no_notebook_is_named(text: str) -> None:
    with pytest.raises(ParseFailed, match="no notebook: it has no cells"):
        parse_notebook(text)
