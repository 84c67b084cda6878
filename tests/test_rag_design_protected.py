"""rag.design.protected: ciphertext is in no block, and what stands around it is read."""

from __future__ import annotations

from rag.design.protected import hide_encrypted
from rag.formats.parser import parse
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
