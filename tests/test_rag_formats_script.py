"""rag.formats.script and rag.formats.python_code: procedures with their comments, the rest in pieces, nothing lost."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.blocks import Block
from rag.formats.python_code import parse_python
from rag.formats.script import PIECE_LINES, clean_comment, code_pieces, parse_script
from tests.rows import for_each

TCL = """#!/usr/bin/env tclsh
# Flow of one block.
source lib.tcl

# Routes the block.
# Guides are kept.
proc ::flow::route {args} {
  # "{}" and \\}
  if {$args ne ""} {
    global_route
  }
}

proc one {} {return 1}
namespace eval flow {
  proc
    # not a procedure
}
create_clock -period 10 [get_ports clk]
"""

SHELL = """# Helpers.
die() {
  echo "$1" >&2
}

# Runs the flow.
function run_flow {
  make "$@"
}
run_flow all
"""

PYTHON = '''"""Reports slack."""

import sys

LIMIT = 0.0


@cached
def worst(paths: list[float]) -> float:
    """The worst slack, in ns."""
    return min(paths)


class Report:
    """One report."""

    title = "x"

    def write(self) -> None:
        # writes
        print(self.title)


if __name__ == "__main__":
    sys.exit(0)
'''


def shape(blocks: tuple[Block, ...]) -> list[tuple[str, tuple[str, ...], str]]:
    return [(block.kind, block.heading_path, block.text) for block in blocks]


def test_tcl_procedures_stand_under_their_names_with_their_comments() -> None:
    assert shape(parse_script(TCL, "tcl").blocks) == [
        ("prose", (), "Flow of one block."),
        ("code", (), "```tcl\nsource lib.tcl\n```"),
        ("prose", ("proc ::flow::route",), "Routes the block.\nGuides are kept."),
        (
            "code",
            ("proc ::flow::route",),
            (
                '```tcl\nproc ::flow::route {args} {\n  # "{}" and \\}\n  if {$args ne ""} {\n    global_route\n '
                " }\n}\n```"
            ),
        ),
        ("code", ("proc one",), "```tcl\nproc one {} {return 1}\n```"),
        (
            "code",
            (),
            (
                "```tcl\nnamespace eval flow {\n  proc\n    # not a procedure\n}\ncreate_clock -period 10 [get_ports "
                "clk]\n```"
            ),
        ),
    ]


def test_shell_functions_of_both_forms() -> None:
    assert shape(parse_script(SHELL, "shell").blocks) == [
        ("prose", ("function die",), "Helpers."),
        ("code", ("function die",), '```shell\ndie() {\n  echo "$1" >&2\n}\n```'),
        ("prose", ("function run_flow",), "Runs the flow."),
        ("code", ("function run_flow",), '```shell\nfunction run_flow {\n  make "$@"\n}\n```'),
        ("code", (), "```shell\nrun_flow all\n```"),
    ]


def test_a_procedure_that_is_never_closed_is_plain_code() -> None:
    assert shape(parse_script("proc broken {} {\n  puts x\n", "tcl").blocks) == [
        ("code", (), "```tcl\nproc broken {} {\n  puts x\n```")
    ]


def test_a_body_on_the_next_line_and_arguments_alone_on_the_first() -> None:
    text = "proc a {x} \\\n{\n  puts $x\n}\nputs done\n"
    blocks = parse_script(text, "tcl").blocks
    assert [block.heading_path for block in blocks] == [("proc a",), ()]
    assert blocks[0].text == "```tcl\nproc a {x} \\\n{\n  puts $x\n}\n```"


@for_each(
    ("text", "language", "paths"),
    [
        (".subckt inv a z\nm1 a z\n.ends\nx1 a b inv\n", "spice", [("subckt inv",), ()]),
        (".SUBCKT inv a z\nm1 a z\n", "spice", [()]),  # never closed
        ("inline subckt d (a c)\nmodel m diode is=1 \\\n  n=2\nends d\nx (a) d\n", "spectre", [("subckt d",), ()]),
        ("model m diode is=1 \\\n  n=2\ntran tran\n", "spectre", [("model m",), ()]),
        ("model m bsim4 {\n1: l=1\n2: l=2\n}\ntran tran\n", "spectre", [("model m",), ()]),
        ("rule A.1 {\n  area\n}\n", "svrf", [("rule A.1",)]),
        ("DMACRO ENC lay1 val {\n  ENC lay1 < val\n}\n", "svrf", [("dmacro ENC",)]),
        (".model n nmos\n+ a=1\n+ b=2\n.end\n", "spice", [("model n",), ()]),
        ("procedure( f(x)\n  x)\ng(1)\n", "skill", [("procedure f",), ()]),
        ("(defun f (x)\n  (g x))\n", "skill", [("defun f",)]),
        ("(defun f (x)\n  (g x)\n", "skill", [()]),
        ("sub f {\n  1;\n}\nf();\n", "perl", [("sub f",), ()]),
        ("sub f\n{\n  1;\n}\n", "perl", [("sub f",)]),
        ("entity e is port (a : in bit); end entity;\nx\nend y;\n", "vhdl", [("entity e",), ()]),
    ],
)
def test_parts_of_other_languages_stand_under_their_names(
    text: str, language: str, paths: list[tuple[str, ...]]
) -> None:
    assert [block.heading_path for block in parse_script(text, language).blocks] == paths


def test_the_string_that_describes_a_function_of_skill_is_prose() -> None:
    blocks = parse_script('; Of us.\n(defun f (x @key (y "VSS"))\n  "Draws x.\nIn um."\n  (g x))\n', "skill").blocks
    assert [(block.kind, block.text.split("\n")[0]) for block in blocks] == [("prose", "Of us."), ("code", "```skill")]
    assert blocks[0].text == "Of us.\nDraws x. In um."
    assert parse_script('procedure( f(x)\n  printf("a")\n)\n', "skill").blocks[0].kind == "code"


def test_a_brace_alone_is_not_a_passage() -> None:
    text = "namespace eval ::flow {\n  variable a 1\n  proc b {} {\n    puts 1\n  }\n}\n"
    assert [block.text.split("\n")[-2].strip() for block in parse_script(text, "tcl").blocks] == ["variable a 1", "}"]


def test_long_code_is_cut_at_blank_lines_into_pieces() -> None:
    lines = [line for number in range(20) for line in (*(f"set v{number}_{i} {i}" for i in range(6)), "")]
    pieces = code_pieces(lines, "tcl")
    assert len(pieces) > 5
    assert all(block.text.count("\n") <= PIECE_LINES + 2 for block in pieces)
    assert [line for block in pieces for line in block.text.split("\n")[1:-1] if line] == [
        line for line in lines if line
    ]


@for_each(
    ("lines", "mark", "text"),
    [
        (["#!/bin/sh", "#########", "# Title", "#", "# Text", "#---"], "#", "Title\n\nText"),
        (["// one", "//   two", "//!< three"], "//", "one\n  two\nthree"),
        (["-- Counter", "--"], "--", "Counter"),
        (["#: Switches it on."], "#", "Switches it on."),
        (["//  Deck", "// ---- metal 1 -----", "//   -a  b"], "//", " Deck\nmetal 1\n  -a  b"),
    ],
)
def test_comments_lose_their_marks_and_rulers(lines: list[str], mark: str, text: str) -> None:
    assert clean_comment(lines, mark) == text


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet='proc {}\\\n"# a$;()', max_size=200), st.sampled_from(["tcl", "shell", "vhdl", "yosys"]))
def test_no_script_breaks_the_parser_and_no_word_is_lost(text: str, language: str) -> None:
    blocks = parse_script(text, language).blocks
    kept = re.findall(r"[a-z]", "".join(re.sub(rf"`{{3,}}(?:{language})?", "", block.text) for block in blocks))
    assert sorted(kept) == sorted(re.findall(r"[a-z]", text))


def test_python_functions_and_classes_with_their_docstrings() -> None:
    assert shape(parse_python(PYTHON).blocks) == [
        ("prose", (), "Reports slack."),
        ("code", (), "```python\nimport sys\n\nLIMIT = 0.0\n```"),
        ("prose", ("def worst",), "The worst slack, in ns."),
        (
            "code",
            ("def worst",),
            "```python\n@cached\ndef worst(paths: list[float]) -> float:\n    return min(paths)\n```",
        ),
        ("prose", ("class Report",), "One report."),
        ("code", ("class Report",), "```python\nclass Report:\n```"),
        ("code", ("class Report",), '```python\ntitle = "x"\n```'),
        (
            "code",
            ("class Report", "def write"),
            "```python\ndef write(self) -> None:\n    # writes\n    print(self.title)\n```",
        ),
        ("code", (), '```python\nif __name__ == "__main__":\n    sys.exit(0)\n```'),
    ]


@for_each(
    "text",
    [
        "def broken(:\n    pass\n",
        "x = " + "(" * 5000,
        "\tif x:\n  y\n",
        "a" + "\n".join(" " * n + "if x:" for n in range(200)),
    ],
)
def test_python_with_errors_is_plain_code(text: str) -> None:
    blocks = parse_python(text).blocks
    assert {block.kind for block in blocks} == {"code"}
    assert {block.heading_path for block in blocks} == {()}


def test_python_statements_that_share_a_line_are_read_once() -> None:
    blocks = parse_python("def a(): pass; b = 1\nclass C: x = 1\nc = 2\n").blocks
    assert "".join(block.text for block in blocks).count("b = 1") == 1
    assert [block.heading_path for block in blocks][-1] == ()


def test_python_code_is_cut_at_the_lines_that_python_counts() -> None:
    text = "A = 1\n\x0c\nTEXT = 'a\u2028b\x1cc'\r\n\r\ndef first():\n    return 1\n\n\ndef second():\n    return 2\n"
    found = {block.heading_path: block.text for block in parse_python(text).blocks if block.heading_path}
    assert found == {
        ("def first",): "```python\ndef first():\n    return 1\n```",
        ("def second",): "```python\ndef second():\n    return 2\n```",
    }


def test_a_python_signature_with_its_docstring_on_one_line_is_kept() -> None:
    blocks = parse_python(
        'def route(nets: list[str], layer: int = 3) -> None: "Routes nets."\n'
        "def \u00fcber(net,\n         layer=1): 'Above.'\n"
        "class Missing(Exception): 'It is missing.'\n"
    ).blocks
    assert shape(blocks) == [
        ("prose", ("def route",), "Routes nets."),
        ("code", ("def route",), "```python\ndef route(nets: list[str], layer: int = 3) -> None:\n```"),
        ("prose", ("def \u00fcber",), "Above."),
        ("code", ("def \u00fcber",), "```python\ndef \u00fcber(net,\n         layer=1):\n```"),
        ("prose", ("class Missing",), "It is missing."),
        ("code", ("class Missing",), "```python\nclass Missing(Exception):\n```"),
    ]
