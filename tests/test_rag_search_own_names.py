"""rag.search.own_names: what of a question is named by the asker alone."""

from __future__ import annotations

from rag.search.own_names import without_own_names
from tests.rows import for_each

HELD = {"met3_core", "place_pins", "buf_x2", "data_bus"}


@for_each(
    ("question", "left"),
    [
        ("Timescale missing in uart_phy.v:12", "Timescale missing in .v:12"),
        ("write_db 3_place.odb fails", "write_db .odb fails"),
        ("must stay wide, net ana_in", "must stay wide, net "),
        (
            "Module `\\dma_top' in cell `\\u0' is unknown",
            "Module `\\' in cell `\\u0' is unknown",
        ),
        ("$dumpvars(1, tb.u_dut) writes everything", "$dumpvars(1, tb.) writes everything"),
        ("keep cnt_q_reg and i_core_3 apart", "keep  and  apart"),
        ("96 delaybuf_* cells", "96 * cells"),
        ("`define HAS_FPU 0, then `ifdef (HAS_FPU)", "`define  0, then `ifdef ()"),
        ("skew from cfg_wdata[12] to d[3]", "skew from  to d"),
        ("slack at u_core/u_alu/q_reg[3]", "slack at "),
    ],
)
def test_names_of_files_nets_instances_and_macros_are_the_askers_own(question: str, left: str) -> None:
    assert without_own_names(question, HELD.__contains__) == left


@for_each(
    "question",
    [
        "does place_design touch the macro I fixed",  # a tool's command is not the asker's
        "set_ccopt_property target_skew per skew group",
        "leakage of the cell BUF_X2",  # a document has it
        "pins on net met3_core of place_pins",
        "-max_depth of report_edges",
        "GRT-0118 at the third iteration",
        "which module reads a port file",  # words, not names
        "inp/out of the wire",
    ],
)
def test_other_names_stay(question: str) -> None:
    assert without_own_names(question, HELD.__contains__) == question


def test_of_a_known_bus_only_the_bit_goes() -> None:
    assert without_own_names("skew at DATA_BUS[7:0]", HELD.__contains__) == "skew at DATA_BUS"
