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
def test_what_is_not_a_notebook_is_named(text: str) -> None:
    with pytest.raises(ParseFailed, match="no notebook: it has no cells"):
        parse_notebook(text)


def book(*cells: dict[str, object], **more: object) -> str:
    return json.dumps({"cells": cells, **more})


@for_each(("level", "path"), [(1, ()), (2, ("Flow",)), (6, ("Flow",)), (0, ()), ("2", ()), (2.5, ()), (None, ())])
def test_a_heading_cell_of_an_old_notebook_is_a_heading(level: object, path: tuple[str, ...]) -> None:
    cells = [{"cell_type": "heading", "source": ["Flow\n"], "level": level}, {"cell_type": "code", "input": ["x = 1"]}]
    parsed = parse_notebook(json.dumps({"worksheets": [{"cells": cells}]}))
    assert parsed.title == "Flow"
    assert [(block.text, block.heading_path) for block in parsed.blocks] == [("```python\nx = 1\n```", path)]


@for_each(
    ("metadata", "language"),
    [
        ({"language_info": {"name": "tcl"}, "kernelspec": {"language": "ruby"}}, "tcl"),
        ({"kernelspec": {"language": "ruby"}}, "ruby"),
        ({"language_info": {"name": "a b"}}, "python"),
        ({"language_info": "tcl"}, "python"),
        ([], "python"),
        (None, "python"),
    ],
)
def test_code_has_the_language_that_the_notebook_names(metadata: object, language: str) -> None:
    [block] = parse_notebook(book(cell("x"), metadata=metadata)).blocks
    assert block.text == f"```{language}\nx\n```"


@for_each(
    ("output", "text"),
    [
        ({"output_type": "stream", "text": ["1\n", "2\n"]}, "1\n2"),
        ({"output_type": "execute_result", "data": {"text/plain": "42"}}, "42"),
        ({"output_type": "error", "ename": "ValueError", "evalue": "bad"}, "ValueError: bad"),
        ({"data": {"image/png": "aGk=", "text/plain": "<Figure>"}}, None),
        ({"text": " \n"}, None),
        ({"text": 5}, None),
        ("no output", None),
        (None, None),
    ],
)
def test_what_a_cell_printed_stands_below_it_and_pictures_do_not(output: object, text: str | None) -> None:
    _, *more = parse_notebook(book(cell("x", outputs=[output]))).blocks
    assert [block.text for block in more] == ([f"```\n{text}\n```"] if text else [])


def test_of_a_long_output_the_beginning_is_read_and_the_rest_counted() -> None:
    for lines, tail in ((MAX_OUTPUT_LINES, "9"), (MAX_OUTPUT_LINES + 3, "... (3 more lines)")):
        _, printed = parse_notebook(book(cell("x", outputs=[{"text": "9\n" * lines}]))).blocks
        assert printed.text.split("\n")[-2] == tail
        assert len(printed.text.split("\n")) == 2 + min(lines, MAX_OUTPUT_LINES + 1)


def test_a_fence_in_code_and_one_that_a_cell_leaves_open_end_with_their_cells() -> None:
    first, second, third = parse_notebook(
        book(cell("~~~\nopen", cell_type="markdown"), cell("a\n```\nb"), cell("Words.", cell_type="markdown"))
    ).blocks
    assert first.text == "```\nopen\n```"
    assert second.text == "````python\na\n```\nb\n````"
    assert (third.kind, third.text) == ("prose", "Words.")


def test_cells_without_text_and_of_unknown_kinds_make_no_code() -> None:
    cells = [
        cell(" \n"),
        cell(None, cell_type="markdown"),
        cell("as it is", cell_type="raw"),
        cell("x", outputs="none"),
    ]
    assert [block.text for block in parse_notebook(book(*cells)).blocks] == [
        "```\nas it is\n```",
        "```python\nx\n```",
    ]
