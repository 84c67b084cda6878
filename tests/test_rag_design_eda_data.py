"""rag.design.eda_data: headers and lists of LEF, Liberty, DEF and SPEF; other files of the same suffixes are named."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.design.eda_data import MAX_ROWS, MAX_RULE_LINES, parse_eda_data
from rag.errors import ParseFailed
from tests.rows import for_each

LEF = """# comment
VERSION 5.8 ;
BUSBITCHARS "[]" ;
UNITS
  DATABASE MICRONS 2000 ;
END UNITS
SITE core
  CLASS CORE ;
  SIZE 0.19 BY 1.4 ;
END core
LAYER metal1
  TYPE ROUTING ;
  DIRECTION HORIZONTAL ;
  PITCH 0.14 ;
  WIDTH 0.07 ;
END metal1
MACRO INV_X1
  CLASS CORE ;
  SIZE 0.38 BY 1.4 ;
  PIN A
    DIRECTION INPUT ;
    PORT
      LAYER metal1 ;
      RECT 0 0 1 1 ;
    END
  END A
  PIN ZN
  END ZN
END INV_X1
END LIBRARY
"""

LIBERTY = """/* A library. */
library (typical) {
  delay_model : table_lookup;
  time_unit : "1ns";
  capacitive_load_unit (1,pf);
  operating_conditions(slow) { process : 1; }
  lu_table_template(t1) {
    variable_1 : input_net_transition;
  }
  cell ("NAND2") {
    area : 1.5;
    cell_leakage_power : 20.1;
    pin(A) { direction : input; }
    pin(Y) {
      direction : output;
      timing() { related_pin : "A"; }
    }
  }
  cell (INV) { area : 0.8;
    pin(A) { }
  }
}
"""

DEF = """VERSION 5.8 ;
DESIGN gcd ;
UNITS DISTANCE MICRONS 2000 ;
DIEAREA ( 0 0 ) ( 1000 1000 ) ;
ROW ROW_0 core 0 0 N DO 10 BY 1 ;
COMPONENTS 2 ;
- u1 INV_X1 ;
- u2 NAND2_X1 ;
END COMPONENTS
NETS 1 ;
- n1 ( u1 A ) ;
END NETS
END DESIGN
"""

SPEF = """*SPEF "IEEE 1481-1998"
*DESIGN "gcd"
*T_UNIT 1 NS
*C_UNIT 1 FF

*NAME_MAP
*1 clk
*PORTS
*1 I
*D_NET *1 1.5
*CONN
*END
*D_NET *2 2.5
*END
"""


def texts(text: str, kind: str) -> list[str]:
    return [block.text for block in parse_eda_data(text, kind).blocks]


def test_lef_gives_header_layers_sites_and_macros() -> None:
    assert texts(LEF, "lef") == [
        'VERSION 5.8\nBUSBITCHARS "[]"\nUNITS DATABASE MICRONS 2000',
        "1 layer.",
        (
            "| layer | type | direction | pitch | width |\n| --- | --- | --- | --- | --- |\n| metal1 | ROUTING | "
            "HORIZONTAL | 0.14 | 0.07 |"
        ),
        "```\nTYPE ROUTING\nDIRECTION HORIZONTAL\nPITCH 0.14\nWIDTH 0.07\n```",
        "1 site.",
        "| site | class | size |\n| --- | --- | --- |\n| core | CORE | 0.19 BY 1.4 |",
        "1 macro.",
        "| macro | class | size | pins |\n| --- | --- | --- | --- |\n| INV_X1 | CORE | 0.38 BY 1.4 | A ZN |",
    ]


def test_liberty_gives_its_units_and_cells() -> None:
    parsed = parse_eda_data(LIBERTY, "liberty")
    assert parsed.title == "typical"
    assert [block.text for block in parsed.blocks] == [
        "Liberty library typical, 2 cells.",
        (
            "delay_model: table_lookup\ntime_unit: 1ns\ncapacitive_load_unit: 1,pf\n1 group lu_table_template\n1 "
            "group operating_conditions"
        ),
        "2 cells.",
        (
            "| cell | area | leakage | pins |\n| --- | --- | --- | --- |\n| NAND2 | 1.5 | 20.1 | A Y |\n| INV | 0.8 | "
            " | A |"
        ),
    ]


def test_def_gives_its_header_and_counts() -> None:
    parsed = parse_eda_data(DEF, "def")
    assert parsed.title == "gcd"
    assert [block.text for block in parsed.blocks] == [
        "VERSION 5.8\nDESIGN gcd\nUNITS DISTANCE MICRONS 2000\nDIEAREA ( 0 0 ) ( 1000 1000 )",
        "2 sections.",
        "| section | count |\n| --- | --- |\n| COMPONENTS | 2 |\n| NETS | 1 |",
    ]


def test_spef_gives_its_header_and_the_number_of_nets() -> None:
    assert texts(SPEF, "spef") == [
        "SPEF IEEE 1481-1998\nDESIGN gcd\nT_UNIT 1 NS\nC_UNIT 1 FF",
        "2 nets.",
    ]


@for_each(("kind", "name"), [("lef", "LEF"), ("liberty", "Liberty"), ("def", "DEF"), ("spef", "SPEF")])
def test_another_file_of_that_suffix_is_named(kind: str, name: str) -> None:
    with pytest.raises(ParseFailed, match=f"no {name} file: it has none of its statements"):
        parse_eda_data("EXPORTS\n  main\n  other = name\n", kind)


def test_more_cells_than_are_listed_are_counted() -> None:
    cells = "".join(f"cell (C{number}) {{ area : 1; }}\n" for number in range(MAX_ROWS + 3))
    blocks = parse_eda_data(f"library(big) {{\n{cells}}}\n", "liberty").blocks
    assert blocks[1].text == f"{MAX_ROWS + 3} cells, the first {MAX_ROWS} are listed."
    assert blocks[2].text.count("\n") == MAX_ROWS + 1


def test_a_file_that_is_cut_in_a_cell_is_read_to_there() -> None:
    assert "| INV_X1 | CORE |" in texts(LEF[: LEF.index("PIN ZN")], "lef")[-1]
    assert "| NAND2 | 1.5 |" in texts(LIBERTY[: LIBERTY.index("timing()")], "liberty")[-1]


NOT_FOLLOWED = {
    "cut": ("liberty", LIBERTY[: LIBERTY.index("cell (INV)")]),
    "a brace too many": ("liberty", LIBERTY + "}\n"),
    "a brace too few": ("liberty", LIBERTY.rstrip().removesuffix("}")),
    "a string that is never closed": ("liberty", LIBERTY.replace('"1ns";', '"1ns;')),
    "a comment that is never closed": ("liberty", LIBERTY.replace("cell (INV)", "/* cell (INV)")),
    "two libraries": ("liberty", LIBERTY + LIBERTY),
    "a group that is not understood": ("liberty", LIBERTY.replace("cell (INV)", "cell (INV) (X)")),
    "a macro that is never closed": ("lef", LEF.replace("END INV_X1\n", "")),
    "a quote that is never closed": ("lef", LEF.replace('"[]"', '"[]')),
    "cut in a section": ("def", DEF[: DEF.index("END NETS")]),
    "a net that is never closed": ("spef", SPEF.replace("*CONN\n*END\n", "*CONN\n")),
}


@for_each("case", NOT_FOLLOWED)
def test_no_number_is_stated_of_what_cannot_be_followed_to_its_end(case: str) -> None:
    kind, text = NOT_FOLLOWED[case]
    parsed = parse_eda_data(text, kind)
    said = " ".join(block.text for block in parsed.blocks if block.kind == "prose")
    assert "could not be followed" in parsed.note
    assert not re.search(r"\d (?:cells|macros|layers|sites|sections|groups|nets)", said)
    assert "| nets | 2 |" not in texts(text, kind)[-1]


@for_each(("kind", "text"), [("liberty", LIBERTY), ("lef", LEF), ("def", DEF), ("spef", SPEF)])
def test_no_number_is_stated_of_a_file_whose_end_is_missing(kind: str, text: str) -> None:
    parsed = parse_eda_data(text, kind, is_whole=False)
    assert "how many there are is not known" in " ".join(block.text for block in parsed.blocks)
    assert kind == "lef" or parsed.title == f"{parse_eda_data(text, kind).title} (in part)"  # LEF has its file's name
    assert not re.search(
        r"\d (?:cells|macros|layers|sites|sections|groups|nets)", " ".join(block.text for block in parsed.blocks)
    )


def test_a_brace_in_a_string_or_a_comment_moves_no_count() -> None:
    habits = (
        LIBERTY.replace(") {", ")\n{")
        .replace("/* A library. */", "// was library (old) {\n/* { */")
        .replace('"1ns"', '"in } and { ; too"')
    )
    assert texts(habits, "liberty")[2:] == texts(LIBERTY, "liberty")[2:]
    assert "time_unit: in } and {" in texts(habits, "liberty")[1]
    remarks = LEF.replace("# comment", "# MACRO x").replace('"[]"', '"[\nMACRO y\n]"')
    assert texts(remarks, "lef")[1:] == texts(LEF, "lef")[1:]


@given(
    st.text(alphabet='(){};:"*/ \\\nlibrarycelLAYERMACROEND#', max_size=200),
    st.sampled_from(["lef", "liberty", "def", "spef"]),
)
def test_no_text_breaks_a_parser(text: str, kind: str) -> None:
    with suppress(ParseFailed):
        assert parse_eda_data(text, kind).blocks


def test_the_rules_of_a_layer_stand_under_its_name() -> None:
    rule = 'PROPERTY LEF58_SPACING "SPACING 0.1 ENDOFLINE 0.1 ;\n  SPACING 0.2 ;" ;'
    text = f"VERSION 5.8 ;\nLAYER M1\n  TYPE ROUTING ;\n  AREA 0.006 ;\n  {rule}\nEND M1\n"
    text += "LAYER nwell TYPE MASTERSLICE ;\nEND nwell\n"
    text += "NONDEFAULTRULE wide\n  LAYER M1 WIDTH 0.2 ; SPACING 0.3 ; END M1\nEND wide\nEND LIBRARY\n"
    found = {block.heading_path: block.text for block in parse_eda_data(text, "lef").blocks if block.kind == "code"}
    assert list(found) == [("Layers", "layer M1"), ("Layers", "nondefaultrule wide")]
    assert 'AREA 0.006\nPROPERTY LEF58_SPACING "SPACING 0.1 ENDOFLINE 0.1 ;' in found["Layers", "layer M1"]
    assert "SPACING 0.2 ;" in found["Layers", "layer M1"]
    assert "LAYER M1 WIDTH 0.2\nSPACING 0.3" in found["Layers", "nondefaultrule wide"]


def test_of_very_many_rules_of_a_layer_the_rest_is_counted() -> None:
    rules = "\n".join(f"  SPACING 0.{number} ;" for number in range(MAX_RULE_LINES + 5))
    blocks = parse_eda_data(f"VERSION 5.8 ;\nLAYER M1\n{rules}\nEND M1\nEND LIBRARY\n", "lef").blocks
    assert blocks[-1].text.endswith("\n… and 5 more\n```")


def test_macros_pins_and_sites_that_share_a_line_are_read_one_by_one() -> None:
    text = (
        "VERSION 5.8 ; SITE core SIZE 0.2 BY 1.4 ; CLASS CORE ; END core\n"
        "MACRO BUF CLASS CORE ; SIZE 0.6 BY 1.4 ; PIN A USE SIGNAL ; END A PIN Z USE SIGNAL ; END Z END BUF MACRO B\n"
        "END B\nEND LIBRARY\n"
    )
    shown = texts(text, "lef")
    assert [part for part in shown if "macros" in part] == ["2 macros."]
    assert "| BUF | CORE | 0.6 BY 1.4 | A Z |" in shown[-1]
    assert "| core | CORE | 0.2 BY 1.4 |" in "\n".join(shown)


def test_a_count_that_the_list_of_a_section_does_not_have_is_said() -> None:
    text = (
        "VERSION 5.8 ;\nDESIGN top ;\nCOMPONENTS 3 ;\n- u1 INV ;\n- u2 INV\n + PLACED ( 0 0 ) N ;\nEND COMPONENTS\n"
        "PINS 1 ;\n- clk + NET clk ;\nEND PINS\nNETS 7 ;\nEND NETS\nEND DESIGN\n"
    )
    rows = ["| COMPONENTS | 3, but 2 are listed |", "| PINS | 1 |", "| NETS | 7 |"]
    assert texts(text, "def")[-1].splitlines()[2:] == rows
