"""rag.answering.citations: what the check of sentences credits, at the marker that agrees or the sentence; spans always
lie in the answer.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rag.answering.citations import Citation, cite, cite_markers, keep_markers
from rag.checking.support import Sentence
from tests.rows import for_each


def markers(answer: str) -> list[tuple[int, str]]:
    return [(citation.number, answer[citation.start : citation.end]) for citation in cite_markers(answer, 3)]


@for_each(
    ("answer", "found"),
    [
        ("Use diodes [1].", [(1, "[1]")]),
        ("Both [2][3].", [(2, "[2]"), (3, "[3]")]),
        ("Both [1, 3] and [ 2 ].", [(1, "[1, 3]"), (3, "[1, 3]"), (2, "[ 2 ]")]),
        ("Known [1], unknown [7].", [(1, "[1]")]),
        ("Twice [1, 1].", [(1, "[1, 1]")]),
        ("Bit clk[3] drives it [1].", [(1, "[1]")]),
        ("Code `a [2]` and text [3].", [(3, "[3]")]),
        ("```\nx [1]\n```\nText [2].", [(2, "[2]")]),
        ("Run\n```tcl\nset x [1]\n", []),
    ],
)
def test_markers_are_read(answer: str, found: list[tuple[int, str]]) -> None:
    assert markers(answer) == found


@for_each("marker", ["[0]", "[4]", "[01000]", "[1-2]", "[a]", "[]", "[1,]", "(1)", "[1.0]"])
def test_what_is_not_a_number_of_a_passage_is_not_a_marker(marker: str) -> None:
    assert markers(f"See {marker}") == []


def test_a_sentence_is_cited_at_the_marker_that_agrees_else_as_a_whole() -> None:
    answer = "Use diodes [1]. Buffers repair hold [2]."
    sentences = [Sentence(0, 15, 0.9, (1,)), Sentence(16, 40, 0.9, (3,))]
    assert cite(answer, sentences) == [Citation(1, 11, 14), Citation(3, 16, 40)]


def test_a_sentence_that_nothing_supports_cites_nothing_whatever_its_markers_say() -> None:
    assert cite("Use magic [1][2].", [Sentence(0, 17, 0.1)]) == []
    assert cite("Use magic [1][2].", []) == []


def test_a_sentence_on_two_passages_cites_both() -> None:
    assert cite("Both [2].", [Sentence(0, 9, 0.9, (1, 2))]) == [Citation(1, 0, 9), Citation(2, 5, 8)]


@for_each(
    ("sentence", "kept"),
    [
        ("Use diodes [1].", "Use diodes [1]."),
        ("Use diodes [2].", "Use diodes."),
        ("Use diodes [1, 2][3].", "Use diodes [1]."),
        ("Bit clk[3] in `a [2]` [2].", "Bit clk[3] in `a [2]`."),
    ],
)
def test_only_markers_stay_that_the_check_agrees_with(sentence: str, kept: str) -> None:
    assert keep_markers(sentence, (1,)) == kept


PIECES = ["[1]", "[2][3]", "[1, 9]", "clk[3]", "set_wire_rc", "diodes", "hold", ".", "\n", "`", "```", "buffers", "!"]
ANSWERS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)), max_size=25).map(" ".join)


@given(ANSWERS, st.sets(st.integers(1, 4)))
def test_spans_lie_in_the_sentence_and_numbers_are_those_credited(answer: str, passages: set[int]) -> None:
    sentence = Sentence(0, len(answer), 0.9, tuple(sorted(passages)))
    citations = cite(answer, [sentence])
    assert all(0 <= citation.start <= citation.end <= len(answer) for citation in citations)
    assert {citation.number for citation in citations} == passages
