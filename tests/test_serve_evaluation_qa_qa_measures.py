"""serve.evaluation.qa.qa_measures beside an independent ROUGE-L (the longest common subsequence, computed here), and
names found by hand.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.evaluation.qa.qa_measures import MEASURES, AnswerMeasures, corpus_names, find_commands, find_names
from tests.rows import for_each

DOCUMENTS = [
    "# Antennas\n`repair_antennas` takes `[-iterations n]` and prints GRT\\_skew or GRT-0243.",
    "Run `check_antennas -report_file out` after `global_route`; see src/tap/my_tap.tcl. Set PLACE_DENSITY.",
]


@pytest.fixture(scope="module")
def measures() -> AnswerMeasures:
    return AnswerMeasures(corpus_names(DOCUMENTS))


def lcs_f1(reference: str, answer: str) -> float:
    """ROUGE-L by its definition: words are runs of letters and digits in lower case; recall and precision of their
    longest common subsequence.
    """
    left, right = (re.findall(r"[a-z0-9]+", text.lower()) for text in (reference, answer))
    lengths = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            lengths[i + 1][j + 1] = lengths[i][j] + 1 if a == b else max(lengths[i][j + 1], lengths[i + 1][j])
    common = lengths[-1][-1]
    return 2 * common / (len(left) + len(right)) if common else 0.0


@for_each(
    ("reference", "answer", "expected"),
    [
        ("the cat sat on the mat", "the cat on a mat", 8 / 11),  # the cat on mat: 4 of 6 and of 5 words
        ("Use repair_antennas.", "use `repair_antennas`", 1.0),  # case and signs do not count, and `_` parts words
        ("a b c d", "d c b a", 1 / 4),
        ("routing", "routes", 0.0),  # not stemmed
        ("one", "", 0.0),
        ("global routes", "routes global routes", 4 / 5),
    ],
)
def test_rouge_l_is_the_f1_of_the_longest_common_subsequence(
    measures: AnswerMeasures, reference: str, answer: str, expected: float
) -> None:
    assert measures.rouge_l(reference, answer) == pytest.approx(expected)
    assert lcs_f1(reference, answer) == pytest.approx(expected)


@given(*[st.lists(st.sampled_from(["net", "set_wire_rc", "-hold", "Ünit", "5", "\n", "routes"])).map(" ".join)] * 2)
def test_rouge_l_agrees_with_its_definition(reference: str, answer: str) -> None:
    assert AnswerMeasures(frozenset()).rouge_l(reference, answer) == pytest.approx(lcs_f1(reference, answer))


@for_each(
    ("text", "names"),
    [
        ("Run `set_wire_rc -layer M3` first.", {"set_wire_rc", "-layer"}),
        # A citation, a bus bit
        ("Use repair_antennas[1], then `clk[3]` and REPAIR_timing.", {"repair_antennas", "repair_timing"}),
        ("GRT-0243 is printed by the tapcell command", {"grt-0243"}),
        ("-Run the flow\n  -Then look", set()),  # bullets
        ("set my_margin 0.1\nrepair_timing -setup_margin $my_margin ${other_one}", {"repair_timing", "-setup_margin"}),
        ("source tests/gcd_nangate45.tcl and ../my_flow/run_all", set()),
        (
            "write_spef -net_id my_net -nets {net_1 net_2} -file [get_out x_yz]",
            {"write_spef", "-net_id", "-nets", "-file", "get_out", "x_yz"},
        ),
        ("set\\_wire\\_rc", {"set_wire_rc"}),  # Markdown's escape
        ("all `report_*` and -corner_* names", set()),  # many names at once
        ("cost-effective e_2 -v a-b", set()),  # hyphens within words; too short
    ],
)
def test_names_are_commands_options_and_message_numbers_but_not_what_users_name(text: str, names: set[str]) -> None:
    assert find_names(text) == names


def test_commands_are_the_names_that_are_not_options() -> None:
    assert find_commands("`check_antennas -report_file x` warns with GRT-0243") == {"check_antennas", "grt-0243"}


def test_the_corpus_knows_every_name_that_stands_anywhere_in_it() -> None:
    known = corpus_names(DOCUMENTS)
    assert {"repair_antennas", "-iterations", "grt_skew", "grt-0243", "my_tap", "place_density"} <= known
    assert corpus_names([]) == frozenset()


def test_right_commands_are_in_reference_and_documents_but_not_in_the_question(
    measures: AnswerMeasures,
) -> None:
    reference = "First `global_route`, then `check_antennas` and `repair_antennas`, as invented_by_hand says."
    measured = measures.measure(
        "What follows global_route?", reference, "Call repair_antennas -iterations 3 after global_route."
    )
    assert measured["right_command"] == 1.0
    assert measured["command_recall"] == 0.5  # one of check_antennas and repair_antennas
    assert measured["unknown_command"] == 0.0
    only_given = measures.measure(
        "What follows global_route?", reference, "Nothing follows global_route or invented_by_hand."
    )
    assert (only_given["right_command"], only_given["command_recall"], only_given["unknown_command"]) == (0.0, 0.0, 1.0)


def test_a_question_whose_reference_has_no_command_has_no_right_command(measures: AnswerMeasures) -> None:
    measured = measures.measure(
        "How does global_route work?", "It is `global_route` that places wires.", "global_route does."
    )
    assert tuple(measured) == MEASURES
    assert (measured["right_command"], measured["command_recall"]) == (None, None)


@for_each(
    "answer", ["Use `fix_antennas`.", "Use `repair_antennas -magic`.", "Set PLACE_MAGIC.", "It warns with GRT-9999."]
)
def test_a_name_of_no_document_is_unknown(measures: AnswerMeasures, answer: str) -> None:
    assert measures.measure("How?", "x", answer)["unknown_command"] == 1.0
    assert len(measures.unknown_names("How?", answer)) == 1
    assert measures.unknown_names(f"Is this right: {answer}", answer) == frozenset()  # the user's own


def test_half_a_name_at_the_end_of_an_answer_that_was_cut_is_not_a_name(measures: AnswerMeasures) -> None:
    reference, answer = "Use check_antennas.", "Use check_antennas and repair_ant"
    assert measures.measure("How?", reference, answer)["unknown_command"] == 1.0
    assert measures.measure("How?", reference, answer, is_cut=True)["unknown_command"] == 0.0
    assert measures.unknown_names("How?", answer, is_cut=True) == frozenset()
    assert measures.measure("How?", reference, "Use check_antennas", is_cut=True)["right_command"] == 0.0
    # Whole, as a space follows
    assert measures.measure("How?", reference, "Use check_antennas\n", is_cut=True)["right_command"] == 1.0
    assert measures.measure("How?", reference, "Use check_antennas", is_cut=True)["rouge_l"] == 1.0
