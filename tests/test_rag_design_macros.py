"""rag.design.macros: never less than what macros make, in linear time, and names where they make too much."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from rag.design.macros import MAX_MADE, count_made, hide_uses
from rag.formats.verilog import parse_verilog
from tests.rows import for_each

DOUBLING = "`define A0 x\n" + "".join(f"`define A{number} `A{number - 1} `A{number - 1}\n" for number in range(1, 60))
MODULE = "module good(input [7:0] a);\nendmodule\n"


@for_each(
    ("text", "least", "most"),
    [
        (MODULE, 0, 0),
        ("`ifdef A\n`endif\n`timescale 1ns/1ps\n", 0, 0),
        ("`define W 7:0\nwire [`W] a;\n", 3, 12),
        (f"{DOUBLING}`A59\n", 2**59, 2**62),
        (DOUBLING + "`A4\n", 16, MAX_MADE * 2**59),  # a file that only defines them may count too
        ("`define D(x) x x\n" + "`D(" * 40 + "y" + ")" * 40, 2**40, 2**62),
        ("`define D(x) x x\n`D (ab) q(`D(`D(c)))", 8, 20),
        ("`define D(a, b) a b a b\n`D((x, y), z)", 8, 30),
        ("`define LONG a \\\n  b \\\n  c\n`LONG", 3, 20),
        ("`define A `A `A\n`A `A", 2, 20),  # a parser refuses what uses itself
        ("`define A `B\n`define B `A\n`B", 1, 20),
        ("`define D(x) x x\n" + "`D(" * 1000, 2**62, 2**62),  # nothing closes them
        ("`define D(x) x x\n" + "`D " * 1000, 0, 3000),
    ],
)
def test_what_macros_make_is_counted_without_making_it(text: str, least: int, most: int) -> None:
    assert least <= count_made(text) <= most


NAMES = ["A", "B", "C", "D"]
BODY = st.lists(st.sampled_from(["x", "`A", "`B", "`C", "`D", "yy"]), max_size=4).map(" ".join)


@given(st.lists(BODY, min_size=4, max_size=4), BODY)
def test_it_is_never_less_than_what_they_make(bodies: list[str], use: str) -> None:
    """Each macro uses only those before it, since Verilog refuses the others."""
    made: dict[str, str] = {}
    for name, body in zip(NAMES, bodies, strict=True):
        made[name] = re.sub(r"`(\w)", lambda found: made.get(found[1], ""), body)
    defines = "".join(f"`define {name} {body}\n" for name, body in zip(NAMES, bodies, strict=True))
    expanded = "".join(made[name] for name in re.findall(r"`(\w)", use))
    assert count_made(f"{defines}{use}\n") >= len("".join(expanded.split()))


def test_a_file_whose_macros_double_is_read_with_plain_names_and_says_so() -> None:
    parsed = parse_verilog(f"{DOUBLING}{MODULE}wire a = `A59;\n", "verilog")
    assert parsed.note == f"its macros make more than {MAX_MADE} characters and are not expanded"
    assert ("module good",) in {block.heading_path for block in parsed.blocks}
    assert any("`A59" in block.text for block in parsed.blocks)


def test_small_macros_are_expanded_as_before() -> None:
    parsed = parse_verilog("`define WIDTH [7:0]\nmodule wide(input wire `WIDTH a, output b);\nendmodule\n", "verilog")
    assert parsed.note == ""
    assert parsed.blocks[1].text.startswith("Ports of `wide`:\n- `a`: input wire")
    assert "- `b`: output" in parsed.blocks[1].text


def test_hidden_uses_keep_every_place() -> None:
    text = "`define A x\n`ifdef A\nassign y = `A;\n`endif\n"
    assert hide_uses(text) == text.replace("= `A", "=  A")


@for_each(
    ("text", "hidden"),
    [
        ("`define A x\n`A", "`define A x\n A"),
        ('`include "a.v"\n`timescale 1ns/1ps\n', '`include "a.v"\n`timescale 1ns/1ps\n'),
        ("`define A x\n`B `A`A `AB", "`define A x\n`B  A A `AB"),
        ("", ""),
        ("`", "`"),
    ],
)
def test_only_uses_of_a_files_own_macros_are_hidden(text: str, hidden: str) -> None:
    assert hide_uses(text) == hidden
    assert count_made(hidden) <= count_made(text)


@for_each(
    ("body", "most"),
    [("", 10), ("x", 10), ("\u00e4\u00f6", 10), ("y" * 5000, 10_100), ("a \\\r\n b", 10)],
)
def test_a_macro_makes_its_body_for_each_use(body: str, most: int) -> None:
    text = f"`define A {body}\n`A"
    assert len("".join(body.replace("\\", "").split())) <= count_made(text) <= most
    assert count_made(f"{text} `A") <= 3 * most


def test_of_a_macro_that_is_defined_again_the_largest_body_counts() -> None:
    bodies = ("x", "y" * 100_000, "z")
    text = "".join(f"`define A {body}\n" for body in bodies)
    assert count_made(f"{text}`A `A `A") >= 300_000
