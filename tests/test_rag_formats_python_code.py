"""rag.formats.python_code: what code defines stands under its name, and no line of a file is lost."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.blocks import Block
from rag.formats.python_code import parse_python
from tests.rows import for_each


def shown(text: str) -> list[tuple[str, tuple[str, ...], str]]:
    """The blocks of a file; of code the lines between the fences."""
    return [
        (
            block.kind,
            block.heading_path,
            "\n".join(block.text.split("\n")[1:-1]) if block.kind == "code" else block.text,
        )
        for block in parse_python(text).blocks
    ]


@for_each(
    ("text", "said"),
    [
        ("", ""),
        ("\n\n", ""),
        ("# Copyright of nobody.\n# Of free use.\n", "Copyright of nobody."),
        ("#!/usr/bin/env python3\n# Runs it.\n", "Runs it."),
    ],
)
def test_a_file_without_a_statement_is_read(text: str, said: str) -> None:
    words = "\n".join(block.text for block in parse_python(text).blocks)
    assert said in words
    assert bool(words) == bool(said)


@for_each(
    ("text", "blocks"),
    [
        ('def f(): "Routes."\n', [("prose", ("def f",), "Routes."), ("code", ("def f",), "def f():")]),
        (
            'async def f(x):\n    """Routes."""\n    return x\n',
            [("prose", ("def f",), "Routes."), ("code", ("def f",), "async def f(x):\n    return x")],
        ),
        ("@cache\n@wraps(g)\ndef f():\n    pass\n", [("code", ("def f",), "@cache\n@wraps(g)\ndef f():\n    pass")]),
        ('class A: "Holds."\n', [("prose", ("class A",), "Holds."), ("code", ("class A",), "class A:")]),
        (
            'def größe():\n    "µ"; x = "ü"\n    return x\n',
            [("prose", ("def größe",), "µ"), ("code", ("def größe",), "def größe():\n    return x")],
        ),
    ],
)
def test_a_definition_has_its_docstring_and_its_code(text: str, blocks: list[tuple[str, tuple[str, ...], str]]) -> None:
    assert shown(text) == blocks


def test_methods_stand_under_their_class_and_variables_under_both() -> None:
    head = 'class A:\n    """Holds."""\n\n'
    text = f'{head}    width: int = 1\n    """Of a wire."""\n\n    def m(self):\n        """Routes."""\n'
    assert shown(text) == [
        ("prose", ("class A",), "Holds."),
        ("code", ("class A",), "class A:"),
        ("prose", ("class A", "width"), "Of a wire."),
        ("code", ("class A", "width"), "width: int = 1"),
        ("prose", ("class A", "def m"), "Routes."),
        ("code", ("class A", "def m"), "def m(self):"),
    ]


@for_each("line", ["a = b = 1", "a[0] = 1", "a.b = 1", "a += 1", "a, b = 1, 2"])
def test_only_one_plain_name_has_a_docstring_of_its_own(line: str) -> None:
    assert shown(f'{line}\n"""Words."""\n') == [("code", (), f'{line}\n"""Words."""')]


def test_a_modules_docstring_comes_first_and_roles_become_words() -> None:
    text = '"""See :class:`~rag.blocks.Block` and :ref:`the guide <g>`."""\nX = 1\n"""Of it."""\n'
    assert shown(text)[0] == ("prose", (), "See `Block` and the guide.")
    assert shown(text)[1] == ("prose", ("X",), "Of it.")


def test_code_between_definitions_stays_in_its_place() -> None:
    text = "import os\nx = 1\n\ndef f():\n    return 1\n\ny = f()\n\nclass A:\n    pass\nz = 2\n"
    assert [(path, lines) for _, path, lines in shown(text)] == [
        ((), "import os\nx = 1"),
        (("def f",), "def f():\n    return 1"),
        ((), "y = f()"),
        (("class A",), "class A:"),
        (("class A",), "pass"),
        ((), "z = 2"),
    ]


def test_an_option_that_a_call_declares_has_an_entry_and_the_code_around_it_stays() -> None:
    text = 'parser = ArgumentParser()\nparser.add_argument("--top", help="The cell on top.")\nrun(parser)\n'
    assert shown(text) == [
        ("code", (), "parser = ArgumentParser()"),
        ("prose", ("--top",), "`--top`: The cell on top."),
        ("code", ("--top",), 'parser.add_argument("--top", help="The cell on top.")'),
        ("code", (), "run(parser)"),
    ]


@for_each("end", ["\n", "\r\n", "\r"])
def test_any_end_of_a_line_is_one(end: str) -> None:
    text = 'x = 1\ndef f():\n    """Routes.\n\n    All."""\n    return 1\n'
    assert shown(text.replace("\n", end)) == shown(text)


def test_a_form_feed_and_signs_that_end_lines_elsewhere_shift_nothing() -> None:
    text = 'a = "x\u2028y"\n\x0c\ndef f():\n    """Routes."""\n    return 1\n'
    assert ("code", ("def f",), "def f():\n    return 1") in shown(text)


@for_each("text", ["def f(:\n", "print 'old'\n", "x = (\n", "a = 0777\n"])
def test_a_file_that_is_not_python_of_today_is_code(text: str) -> None:
    assert parse_python(text).blocks == (Block("code", f"```python\n{text.rstrip()}\n```", ()),)


PART = st.sampled_from(
    [
        'def f{n}():\n    """Doc{n}."""\n    return {n}\n',
        "value{n} = {n}\n",
        'value{n} = {n}\n"""Doc{n}."""\n',
        "@deco{n}\nclass C{n}:\n    attr{n} = 1\n",
        '"""Loose{n}."""\n',
        "# remark{n}\n",
        'Variable("NAME{n}", int, "Sets it {n}.")\n',
        "if value{n}:\n    def inner{n}():\n        pass\n",
        "a{n} = 1; b{n} = 2\n",
    ]
)


@settings(max_examples=50)
@given(st.lists(PART, max_size=6))
def test_no_word_below_the_first_statement_is_lost(parts: list[str]) -> None:
    text = "first = 0\n" + "".join(part.format(n=number) for number, part in enumerate(parts))
    words = " ".join(f"{block.text} {' '.join(block.heading_path)}" for block in parse_python(text).blocks)
    names = {word for word in text.replace('"', " ").replace("(", " ").split() if any(map(str.isdigit, word))}
    assert all(word.strip(":;,.)") in words for word in names)


def test_remarks_above_the_docstring_of_a_module_are_kept() -> None:
    text = (
        '#!/usr/bin/env python3\n# -*- coding: utf-8 -*-\n# Ask the CAD team first.\n"""Routes."""\n# In ps.\nA = 1\n'
    )
    assert [words for _, _, words in shown(text)] == [
        "Ask the CAD team first.",
        "Routes.",
        "In ps.",
        "A = 1",
    ]
