"""rag.formats.verilog: modules with comments and ports, files with errors, and files that try to read others."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.blocks import Block
from rag.formats.verilog import MAX_PORTS, parse_verilog
from tests.rows import for_each

SOURCE = """`timescale 1ns/1ps
// A first-in first-out memory.
// Depth is a power of two.

module fifo #(parameter W = 8) (
  input  wire clk, rst, // clock and reset
  input  wire [W-1:0] data, /* in */
  output reg  full
);
  // body
  assign full = 1'b0;
endmodule // fifo

/*
 * Types of the design.
 */
package types;
  typedef logic [7:0] byte_t;
endpackage

module old(a, b, y);
  input a, b;
  output [3:0] y;
  reg x;
endmodule
interface bus (input logic clk); endinterface
class driver; int count; endclass
assign stray = 1;
"""


def test_each_definition_stands_under_its_name_with_comment_ports_and_source() -> None:
    blocks = parse_verilog(SOURCE, "systemverilog").blocks
    assert [(block.kind, block.heading_path) for block in blocks] == [
        ("code", ()),
        ("prose", ("module fifo",)),
        ("list", ("module fifo",)),
        ("code", ("module fifo",)),
        ("prose", ("package types",)),
        ("code", ("package types",)),
        ("list", ("module old",)),
        ("code", ("module old",)),
        ("list", ("interface bus",)),
        ("code", ("interface bus",)),
        ("code", ("class driver",)),
        ("code", ()),
    ]
    assert blocks[1].text == "A first-in first-out memory.\nDepth is a power of two."
    ports = [
        "Ports of `fifo`:",
        "- `clk`: input wire",
        "- `rst`: input wire",
        "- `data`: input wire [W-1:0]",
        "- `full`: output reg",
    ]
    assert blocks[2].text.splitlines() == ports
    assert blocks[3].text.startswith("```systemverilog\nmodule fifo #(parameter W = 8) (\n")
    assert blocks[3].text.endswith("  assign full = 1'b0;\nendmodule\n```")
    assert blocks[4].text == "Types of the design."
    assert blocks[6].text.splitlines() == ["Ports of `old`:", "- `a`: input", "- `b`: input", "- `y`: output [3:0]"]
    assert blocks[-1].text == "```systemverilog\nassign stray = 1;\n```"


def test_a_module_that_is_cut_off_keeps_its_name_and_text() -> None:
    blocks = parse_verilog("module top(input clk,\n  output q);\n  foo bar (", "verilog").blocks
    assert blocks[-1].heading_path == ("module top",)
    assert "foo bar (" in "".join(block.text for block in blocks)


@for_each("text", ["module m; assign a = " + "(" * 20_000, "((((a", "not verilog at all\n", "always begin\n" * 3000])
def test_what_has_no_definition_or_nests_too_deep_is_plain_code(text: str) -> None:
    blocks = parse_verilog(text, "verilog").blocks
    assert {(block.kind, block.heading_path) for block in blocks} == {("code", ())}


def test_an_include_is_not_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret.vh"
    secret.write_text("module secret; endmodule\n")
    text = f'`include "{secret}"\nmodule top; endmodule\n`define INC `include "{secret}"\n`INC\n'
    blocks = parse_verilog(text, "verilog").blocks
    assert {block.heading_path for block in blocks} == {(), ("module top",)}
    assert blocks[0] == Block("code", f'```verilog\n`include "{secret}"\n```', ())


def test_what_a_macro_makes_stays_a_macro() -> None:
    text = "`define MAKE(n) module n; endmodule\n`MAKE(hidden)\nmodule shown; endmodule\n"
    blocks = parse_verilog(text, "verilog").blocks
    assert [block.heading_path for block in blocks] == [(), ("module shown",)]


def test_a_single_definition_is_found_too() -> None:
    (block,) = parse_verilog("module only; endmodule", "verilog").blocks
    assert block == Block("code", "```verilog\nmodule only; endmodule\n```", ("module only",))


def test_letters_of_several_bytes_move_no_cut() -> None:
    blocks = parse_verilog("// Zähler für µm\nmodule a; endmodule\n// größer\nmodule b; endmodule\n", "verilog").blocks
    assert [(block.text, block.heading_path) for block in blocks if block.kind == "prose"] == [
        ("Zähler für µm", ("module a",)),
        ("größer", ("module b",)),
    ]


def test_very_many_ports_are_counted_and_not_all_listed() -> None:
    ports = ", ".join(f"input p{number}" for number in range(MAX_PORTS + 20))
    listing = parse_verilog(f"module pads({ports}); endmodule", "verilog").blocks[0]
    assert listing.text.splitlines()[-1] == "- and 20 more"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_damage_breaks_the_parser(data: st.DataObject) -> None:
    start, end = data.draw(st.integers(0, len(SOURCE))), data.draw(st.integers(0, len(SOURCE)))
    junk = data.draw(st.text(alphabet="module endmodule()[]`\"';/*\n\0", max_size=40))
    text = SOURCE[:start] + junk + SOURCE[end:]
    if text.strip():
        parse_verilog(text, "verilog")


def test_a_primitive_stands_under_its_name_and_an_encrypted_part_describes_no_module() -> None:
    text = "primitive mux (q, a);\noutput q; input a;\ntable\n0 : 0;\nendtable\nendprimitive\n"
    blocks = parse_verilog(f"{text}`protected\nab\n`endprotected\nmodule after(input a); endmodule\n", "verilog").blocks
    assert [block.heading_path for block in blocks] == [("primitive mux",), (), ("module after",), ("module after",)]
    assert "encrypted" in blocks[1].text
