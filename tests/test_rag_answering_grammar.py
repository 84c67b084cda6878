"""The grammar of allowed names, held against xgrammar's own matcher, the one that vLLM asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import xgrammar
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rag.answering.grammar import MOST_NAMES, build_grammar
from rag.answering.names import allowed_names, unknown_names
from serve.evaluation.answers.answer_scores import unknown_names as counted_names
from tests.rows import for_each

EVIDENCE = (
    "`repair_timing -hold -setup -slack_margin 0.2`, repair_antennas -iterations N, [GRT-0243], flow/scripts/cts.tcl, "
    "setOptMode, 5_route_drc.rpt, $PLATFORM_DIR/config.mk, UTF-8, größe_max, https://a.example/c_d/x.html, "
    "design.evalTclString, Vtb +verilator+seed+17"
)
FOREIGN = tuple(
    "read_foo x_i PLACE_DENSITY -verbose --lint-only +define+X GRT-0244 a/b.tcl /etc/openroad/x ~/x/y readFile".split()
)
WORDS = tuple("the To clock-tree and/or e.g. i.e. C++ 5.0 -5 1e-9 x86-64 OpenROAD kHz 클럭 — [1] **b** U.S. --".split())

Accepts = Callable[[str], bool]


def matcher(allowed: frozenset[str], options_of: Mapping[str, frozenset[str]] | None = None) -> Accepts:
    """Whether a text is accepted as a whole."""
    compiler = xgrammar.GrammarCompiler(xgrammar.TokenizerInfo(["a", "</s>"], stop_token_ids=[1]))
    compiled = compiler.compile_grammar(xgrammar.Grammar.from_ebnf(build_grammar(allowed, options_of)))

    def accepts(text: str) -> bool:
        """One text, from the beginning."""
        one = xgrammar.GrammarMatcher(compiled, terminate_without_stop_token=True)
        return bool(not text or (one.accept_string(text) and one.is_completed()))

    return accepts


@pytest.fixture(scope="module")
def accepts() -> Accepts:
    return matcher(allowed_names([EVIDENCE]))


@for_each(
    "text",
    [
        "",
        "Use `repair_timing -hold` (see e.g. 5_route_drc.rpt).",
        "repair_timing: -hold/-setup. **repair_antennas**, repair_timing-based, $PLATFORM_DIR/config.mk",
        (
            "1. GRT-0243 is UTF-8; x86-64, M1-2, Wi-Fi, AB-C, v1.2.3, and/or, I/O, 24/7, 10:30, 1e-9, -5, +3\n- item\n|"
            " a | b |\n|---|:-:|"
        ),
        "```tcl\nrepair_timing -slack_margin 0.2\nforeach net $nets { puts $net }\n```\n",
        "module m(input a); assign y = a & ~b; // and\n.clk(clk)",
        "repair_antennas를 -iterations 5로 실행하세요.",
        "größe_max, setOptMode, OpenROAD, macOS, kHz, dB, nMOS, C++ – 5–10 nm — so",
        "scripts/cts.tcl, (https://a.example/c_d/x.html), design.evalTclString, +verilator+seed+17",
    ],
)
def test_prose_code_and_allowed_names_are_accepted(accepts: Accepts, text: str) -> None:
    assert accepts(text)


@for_each(
    "text",
    [
        *FOREIGN,
        *(
            "Repair_timing",
            "REPAIR_TIMING",
            "repair_timin",
            "repair_timings",
            "repair_timing_",
            "_repair_timing",
            "repair\\_timing",
            "xrepair_timing",
        ),
        *(
            "--hold",
            "-Hold",
            "-hold-setup",
            "-hol",
            "–hold",
            "—hold",
            "\u2212hold",
            "-\u200bhold",
            "repair_\u00adtiming",
            "`repair_antennas`-hol",
        ),
        *(
            "x/cts.tcl",
            "flow/cts.tcl",
            "cts.tcl/x",
            "cts.tcl-x",
            "größe_mix",
            "https://a.example/c",
            "setOptModes",
            "a$b",
            "design.evalTcl",
            "x.v",
        ),
    ],
)
def test_what_is_not_copied_letter_by_letter_is_refused(accepts: Accepts, text: str) -> None:
    assert not accepts(f"Use {text}, please.")


def test_dashes_and_a_word_behind_them_make_no_option(accepts: Accepts) -> None:
    assert accepts("-- verbose")
    assert accepts("`--` verbose")
    assert not accepts("--verbose")
    assert not accepts("(--verbose")


def test_without_names_there_is_prose_alone() -> None:
    accepts = matcher(frozenset())
    assert accepts("No name here, -5 at most.")
    assert not accepts("Use `repair_timing`.")


def test_options_stand_only_beside_a_command_that_has_them() -> None:
    options_of = {"repair_timing": frozenset({"-hold", "-setup"}), "set_load": frozenset({"-min"})}
    accepts = matcher(allowed_names([EVIDENCE, "set_load report_x"]), options_of)
    assert accepts("repair_timing -hold -setup")
    assert accepts("Use `repair_timing` with -iterations.")
    assert not accepts("repair_timing -iterations")
    assert not accepts("repair_timing  -hold -iterations")
    assert accepts("report_x -iterations"), "the reference does not know it"
    assert not accepts("set_load -hold"), "none of its options is allowed"


def test_hundreds_of_names_and_names_of_any_signs_can_be_said() -> None:
    odd = frozenset({'a"b_c', "x\\y_z", "p]q_[r", "n{1}_m", "한_글", "𝛼_1", "two words_x", "(=)_|*"})
    many = frozenset(f"command_{number}" for number in range(500))
    accepts = matcher(odd | many)
    assert all(accepts(f"say {name} now") for name in odd)
    assert accepts("command_499")
    assert not accepts("command_500")


def test_names_with_control_characters_are_left_out_and_too_many_are_an_error() -> None:
    assert not matcher(frozenset({"a_\nb", "\ud800_x"}))("a_\nb")
    with pytest.raises(ValueError, match="more than"):
        build_grammar(frozenset(f"a_{number}" for number in range(MOST_NAMES + 1)))


@given(
    st.lists(
        st.sampled_from([*WORDS, *(name for name in sorted(allowed_names([EVIDENCE])) if not name.startswith("/"))]),
        max_size=12,
    ),
    st.sampled_from(" \n"),
)
def test_any_text_of_prose_and_allowed_names_is_accepted(accepts: Accepts, words: list[str], blank: str) -> None:
    assert accepts(blank.join(words))


@given(
    st.lists(st.sampled_from(WORDS), max_size=5),
    st.sampled_from(FOREIGN),
    st.lists(st.sampled_from(WORDS), max_size=5),
    st.sampled_from(["{}", "`{}`", "({})", '"{}",', "{}."]),
)
def test_any_text_with_a_foreign_name_is_refused(
    accepts: Accepts, before: list[str], name: str, after: list[str], form: str
) -> None:
    assert not accepts(" ".join([*before, form.format(name), *after]))


@settings(max_examples=300)
@given(st.text(st.sampled_from("aaB_1$-./~+ \\`\n[:v"), max_size=12))
@example("GRT-02")
@example("setOpt")
def test_an_accepted_text_has_no_unknown_name_by_any_measure(accepts: Accepts, text: str) -> None:
    if accepts(text):
        assert not unknown_names(text, allowed_names([EVIDENCE]))
        assert not [name for name in counted_names(text, [EVIDENCE]) if any(map(str.isalpha, name))]
