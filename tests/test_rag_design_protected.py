"""rag.design.protected: ciphertext is in no block, and what stands around it is read."""

from __future__ import annotations

import time

from rag.design.protected import hide_armour, hide_encrypted
from rag.formats.parser import parse, read_file
from tests.rows import for_each

BODY = "AAECAwQFBgcICQoLendmodule((\n"
PRAGMA = f"`pragma protect begin_protected\n`pragma protect data_block\n{BODY}`pragma protect end_protected"
OLD = f"`protected\n{BODY}`endprotected"
VHDL = f"`protect begin_protected\n{BODY}`protect end_protected"
REMARK = "/* [encrypted: 1 block, 1 line] */"


@for_each(
    ("text", "shown"),
    [
        (f"a\n{PRAGMA}\nb", f"a\n{REMARK}\nb"),
        (f"a\n{PRAGMA.replace('`pragma', '//pragma')}\nb", f"a\n{REMARK}\nb"),
        (f"assign a = {OLD} ;", f"assign a = {REMARK} ;"),
        (OLD.replace("`endprotected", ""), REMARK),
        (f"// see `protected\n{OLD}", f"// see `protected\n{REMARK}"),
        ('assign x = "`protected";\nassign y = 1;', None),
        ("/* `protected */\nassign y = 1;", None),
        (f"/* a */ {OLD}", f"/* a */ {REMARK}"),
        (f"{OLD}\n{OLD}", f"{REMARK}\n{REMARK}"),
        ("`pragma protect begin\nassign b = a;\n`pragma protect end", None),
        ("`protect\nassign b = a;\n`endprotect", None),
    ],
)
def test_an_encrypted_part_becomes_a_remark(text: str, shown: str | None) -> None:
    assert hide_encrypted(text) == (text if shown is None else shown)


@for_each(
    ("path", "before", "opening", "closing", "after"),
    [
        ("a.sv", "`define A 1", "//pragma protect begin_protected", "//pragma protect end_protected", "`define B 2"),
        ("a.vhd", "use x;", "`protect begin_protected", "`protect end_protected", "use y;"),
        ("a.svrf", "M1.W { INT M1 < 1 }", "#DECRYPT 1", "#ENDCRYPT", "M1.S { EXT M1 < 1 }"),
        ("a.sp", ".subckt inv a y", ".prot freelib", ".unprot", ".ends"),
        ("a.scs", "subckt inv (a y)", "protect", "unprotect", "ends inv"),
        ("a.tcl", "package require tbcload", "tbcload::bceval {", "}", "puts done"),
        ("a.txt", "The key is:", "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", "Ask CAD."),
        ("a.md", "# Keys", "-----BEGIN PGP MESSAGE-----", "-----END PGP MESSAGE-----", "Ask CAD."),
    ],
)
def test_ciphertext_of_any_language_is_hidden(path: str, before: str, opening: str, closing: str, after: str) -> None:
    content = "\n".join([before, "", opening, *["AAECAwQFBgcICQoL"] * 3, closing, "", after, ""]).encode()
    text, parsed = read_file(path, content)
    shown = "\n".join([text or "", parsed.title, *(block.text for block in parsed.blocks)])

    assert "AAECAw" not in shown
    assert all(part in shown for part in ("3 lines", before.strip("# "), after))


@for_each(
    ("path", "opening", "closing"),
    [("a.sp", ".prot", ".unprot"), ("a.scs", "protect", "unprotect"), ("a.svrf", "#ENCRYPT", "#ENDCRYPT")],
)
def test_source_that_is_only_marked_stays(path: str, opening: str, closing: str) -> None:
    parsed = parse(path, f"{opening}\nm1 y a vss vss nch w=1u\nm2 y a vdd vdd pch w=2u\n{closing}\n")
    assert "m2 y a vdd vdd pch w=2u" in parsed.blocks[-1].text


@for_each("mark", ["-----BEGIN A-----\n", ".prot\nx y\n", "`protected\n", "-----BEGIN A-----\n-----END B-----\n"])
def test_marks_that_nothing_closes_cost_no_more_than_their_length(mark: str) -> None:
    begun = time.process_time()
    hide_encrypted(hide_armour(mark * 50_000), "spice")
    assert time.process_time() - begun < 2


def test_the_modules_around_ciphertext_are_found() -> None:
    text = f"module a (input x);\n{OLD}\nendmodule\nmodule b (input y);\n{PRAGMA}\nendmodule\nmodule c; endmodule\n"
    blocks = parse("a.v", text).blocks
    assert list(dict.fromkeys(block.heading_path for block in blocks)) == [("module a",), ("module b",), ("module c",)]
    assert not any("AAECAw" in block.text for block in blocks)


def test_vhdl_is_shown_without_its_ciphertext() -> None:
    [prose] = parse("a.vhd", VHDL).blocks
    assert prose.text == "[encrypted: 1 block, 1 line]"


@for_each("name", [r"\u_core/gen[14].f ", r"\54y ", r"\input ", r"\$paramod$8f1c\fifo "])
def test_an_escaped_name_is_a_name(name: str) -> None:
    blocks = parse("a.v", f"module {name}(input clk, input \\d[0] );\n wire \\w\n [1];\nendmodule\n").blocks
    assert blocks[0].heading_path == (f"module {name.strip().removeprefix(chr(92))}",)
    assert blocks[0].text.splitlines()[1:] == ["- `clk`: input", "- `d[0]`: input"]
