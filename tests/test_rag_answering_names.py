"""What looks like a name, decided case by case."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rag.answering.names import allowed_names, find_names, unknown_names
from serve.evaluation.answers.answer_scores import unknown_names as counted_names
from tests.rows import for_each


@for_each(
    ("text", "names"),
    [
        ("Run `repair_antennas -iterations 5`[1].", {"repair_antennas": "command", "-iterations": "option"}),
        (
            "Set PLACE_DENSITY, $env(CORE_AREA) or ${my_var}.",
            {"PLACE_DENSITY": "variable", "CORE_AREA": "variable", "my_var": "variable"},
        ),
        ("GRT-0243: see UTF-8", {"GRT-0243": "message", "UTF-8": "message"}),
        (
            "flow/scripts/cts.tcl, ./build.sh and config.mk.",
            dict.fromkeys(("flow/scripts/cts.tcl", "./build.sh", "config.mk"), "path"),
        ),
        ("/etc/openroad/rules and ~/x/y", dict.fromkeys(("/etc/openroad/rules", "~/x/y"), "path")),
        ("(https://a.example/c_d/x.html).", {"https://a.example/c_d/x.html": "path"}),
        ("setOptMode, placeDesign", {"setOptMode": "command", "placeDesign": "command"}),
        (
            "Vtb +verilator+seed+17 --lint-only -Wno-fatal",
            dict.fromkeys(("+verilator+seed+17", "--lint-only", "-Wno-fatal"), "option"),
        ),
        ("[-hold|-setup]", {"-hold": "option", "-setup": "option"}),
        ("u_top/u_core/reg_0", dict.fromkeys(("u_top", "u_core", "reg_0"), "command")),
        ("repair_antennas를 실행", {"repair_antennas": "command"}),
        ("größe_max", {"größe_max": "command"}),
        ("read_me and x_i", {"read_me": "command", "x_i": "command"}),
        ("$_DFF_P_ a$b", {"_DFF_P_": "variable", "a$b": "command"}),
    ],
)
def test_what_is_a_name(text: str, names: dict[str, str]) -> None:
    assert {name.text: name.kind for name in find_names(text)} == names


@for_each(
    "text",
    [
        "e.g. and/or i.e. input/output, src/tap/test, pkt.data, v1.2",
        "well-known, x--y, -5, 3-4, --, ---, `repair`-based, (a)-b",
        "-Run the flow\n  -Then stop",
        "OpenROAD, SystemVerilog, macOS, finFET, kHz, dB, nMOS, C++11, 1.8V",
        "$5, $x$, ____, a_, \\_",
        "",
    ],
)
def test_what_is_not_a_name(text: str) -> None:
    assert not unknown_names(text, frozenset())


def test_a_name_with_escaped_underscores_is_the_name_at_its_place() -> None:
    (name,) = find_names("Use repair\\_antennas now")
    assert (name.text, name.start, name.end) == ("repair_antennas", 4, 20)


def test_of_a_path_its_ends_and_the_names_within_it_are_allowed_too() -> None:
    allowed = allowed_names(["see flow/scripts/global_route.tcl"])
    assert allowed == {"flow/scripts/global_route.tcl", "scripts/global_route.tcl", "global_route.tcl", "global_route"}


def test_unknown_are_the_names_that_are_not_copied_letter_by_letter() -> None:
    allowed = allowed_names(["repair_timing -hold, GRT-0243", "set_wire_rc"])
    answer = "`repair_timing -hold` or Repair_timing --hold, -HOLD, GRT-0244, report_*, _so_"
    assert [name.text for name in unknown_names(answer, allowed)] == ["Repair_timing", "--hold", "-HOLD", "GRT-0244"]


@given(st.text(st.sampled_from("aB_1$-./~+ \\`\n[:é한")))
def test_a_text_has_no_unknown_names_beside_itself_and_places_are_exact(text: str) -> None:
    assert not unknown_names(text, allowed_names([text]))
    for name in find_names(text):
        assert text[name.start : name.end].replace("\\_", "_") == name.text


@given(st.text(st.sampled_from("aB_1-.~ \n[(:")), st.text(st.sampled_from("aB_1-./ ")))
def test_what_the_evaluation_counts_as_a_name_from_nowhere_is_a_name_here(answer: str, evidence: str) -> None:
    if counted_names(answer, [evidence]):
        assert unknown_names(answer, allowed_names([evidence]))


@for_each("piece", ["a", "-", "/a", "A", "aA", ".v", "a.", "+a", "A-", "h://", "-A", "\\_", "a_", "$a"])
def test_a_text_of_one_piece_over_and_over_is_read_to_its_end(piece: str) -> None:
    for name in find_names(piece * 200_000):
        assert name.end <= 200_000 * len(piece)


def test_of_a_path_longer_than_any_tree_has_only_the_whole_is_kept() -> None:
    endless = "a/" * 20_000 + "x.tcl"
    assert sum(map(len, allowed_names([endless]))) < 2 * len(endless)
    assert not unknown_names(endless, allowed_names([endless]))
    assert {"scripts/cts.tcl", "cts.tcl"} <= allowed_names(["flow/scripts/cts.tcl"])
