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


@for_each(
    ("call", "name"),
    [
        ('config.add_option("--jobs", "How many.", help="Jobs at once.")', "--jobs"),
        ('Setting(name="a.b", doc="Of a.")', "a.b"),
        ('Flag("wide", "Makes it wide now.")', "wide"),
        ('x = [Knob("k", help="Turns it.")]', "k"),
        ('Variable("A", "one word")', "A"),
        ('Variable(name, "Some words here.")', None),
        ('Variable("A", help="")', None),
        ('Variable("A", help=f"words of {x}")', None),
        ('Variable("--", "Some words here.")', None),
        ('variables("A", "Some words here.")', None),  # reads them
        ("Variable()", None),
        ("Variable(*names, **more)", None),
    ],
)
def test_a_call_declares_a_name_with_words_and_nothing_else(call: str, name: str | None) -> None:
    assert [declared.name for declared in find_declarations(ast.parse(call).body[0])] == ([name] if name else [])


def test_of_declarations_inside_each_other_and_on_one_line_the_outer_one_counts() -> None:
    text = 'Variable("A", int, "Sets a.", default=Variable("B", int, "Sets b."))'
    assert [declared.name for declared in find_declarations(ast.parse(text).body[0])] == ["A"]


def test_a_declaration_knows_its_lines() -> None:
    text = 'steps = [\n    Variable(\n        "A", int, "Sets a."\n    ),\n    Variable("B", int, "Sets b."),\n]\n'
    found = find_declarations(ast.parse(text).body[0])
    assert [(declared.name, declared.start, declared.end) for declared in found] == [("A", 1, 4), ("B", 4, 5)]


def test_a_long_default_is_cut_and_lines_of_a_text_are_kept() -> None:
    text = f'Variable("A", str, """Sets a.\n\n    More of it.\n    """, default="{"x" * 500}", units="um")'
    [declared] = find_declarations(ast.parse(text).body[0])
    head, blank, more, facts = declared.text.split("\n")
    assert (head, blank, more) == ("`A` (str): Sets a.", "", "More of it.")
    assert facts.endswith("x`. Units: um.")
    assert len(facts) < 250


def test_roles_in_a_description_are_no_text() -> None:
    text = 'Variable("UTIL", int, "Of {term}`cells`, see :py:class:`Step`; a:b stays.")\n'
    shown = [block.text for block in parse("a.py", text).blocks]
    assert shown[0] == "`UTIL` (int): Of `cells`, see `Step`; a:b stays."
