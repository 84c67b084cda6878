"""rag.design.variables: what source code declares has an entry, with its old names."""

from __future__ import annotations

import ast

from rag.design.variables import find_declarations
from rag.formats.parser import parse
from tests.rows import for_each


@for_each(
    ("call", "text"),
    [
        (
            'Variable("A", float, "Sets a.", default=0.6, units="um", deprecated_names=["B", ("C", f)])',
            "`A` (float): Sets a.\nDefault: `0.6`. Units: um. Old names: `B`, `C`.",
        ),
        (
            'parser.add_argument("--top", "-t", help="The cell.", type=str, choices=["x"])',
            "`--top`, `-t` (str): The cell.\nChoices: ['x'].",
        ),
        ('ConfigVariable(name="A", description="Sets a.", old_names="B")', "`A`: Sets a.\nOld names: `B`."),
        ('Variable("A", float)', None),
        ('Variable("not a name", float, "Sets a.")', None),
        ('print("A", "Sets a.")', None),
    ],
)
def test_a_declaration_becomes_an_entry(call: str, text: str | None) -> None:
    found = find_declarations(ast.parse(call).body[0])
    assert [declared.text for declared in found] == ([] if text is None else [text])


def test_each_variable_of_a_list_has_a_heading_and_its_source() -> None:
    variables = "".join(f'        Variable("{name}", int, "Sets {name.lower()}."),\n' for name in "AB")
    source = f"class Step:\n    inputs = [\n{variables}    ]\n"
    blocks = parse("a.py", source).blocks
    assert [(block.heading_path, block.text) for block in blocks if block.kind == "prose"] == [
        (("class Step", "A"), "`A` (int): Sets a."),
        (("class Step", "B"), "`B` (int): Sets b."),
    ]
    code = "\n".join(block.text for block in blocks if block.kind == "code")
    assert all(line.strip() in code for line in source.splitlines() if line.strip() != "]")


def test_a_default_that_is_nested_too_deep_is_not_written() -> None:
    source = f'Variable("A", int, "Sets a.", default={"+".join(["a"] * 1000)})'
    assert "`...`" in find_declarations(ast.parse(source).body[0])[0].text
