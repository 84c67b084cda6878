"""rag.answering.citations: markers first, else shared words; spans always lie in the answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.answering.citations import Citation, cite
from rag.documents import Chunk, Hit


def hit(title: str, text: str) -> Hit:
    return Hit(Chunk(title, "docs", "a.md", title, (), text, None, "ISC", 0), 1.0, 1.0, 1.0)


HITS = [
    hit("Antenna", "The command repair_antennas inserts diodes near the gates of violating nets."),
    hit("Wires", "set_wire_rc sets resistance and capacitance of a layer for estimation."),
    hit("Hold", "Delay buffers repair hold violations."),
]


def quote(answer: str) -> list[tuple[int, str]]:
    return [(citation.number, answer[citation.start : citation.end]) for citation in cite(answer, HITS)]


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("Use diodes [1].", [(1, "[1]")]),
        ("Both [2][3].", [(2, "[2]"), (3, "[3]")]),
        ("Both [1, 3] and [ 2 ].", [(1, "[1, 3]"), (3, "[1, 3]"), (2, "[ 2 ]")]),
        ("Known [1], unknown [7].", [(1, "[1]")]),
        ("Twice [1, 1].", [(1, "[1, 1]")]),
        ("[2] comes first.", [(2, "[2]")]),
        ("Bit clk[3] drives it [1].", [(1, "[1]")]),
        ("Code `a [2]` and text [3].", [(3, "[3]")]),
        ("```\nx [1]\n```\nText [2].", [(2, "[2]")]),
    ],
)
def test_markers_are_read(answer: str, found: list[tuple[int, str]]) -> None:
    assert quote(answer) == found


def test_without_markers_each_sentence_is_credited_to_the_passage_it_shares_most_with() -> None:
    answer = "Diodes are inserted near the gates of nets. The weather is fine today. Use delay buffers against hold violations."
    assert quote(answer) == [(1, "Diodes are inserted near the gates of nets."), (3, "Use delay buffers against hold violations.")]


def test_an_exact_name_outweighs_common_words() -> None:
    assert quote("Please run set_wire_rc somewhere early.") == [(2, "Please run set_wire_rc somewhere early.")]


def test_an_answer_that_shares_nothing_cites_nothing() -> None:
    assert cite("I do not know.", HITS) == []
    assert cite("Anything at all [1].", []) == []
    assert cite("", HITS) == []


PIECES = ["[1]", "[2][3]", "[1, 9]", "clk[3]", "set_wire_rc", "diodes", "hold", ".", "\n", "`", "```", "buffers", "!"]
ANSWERS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)), max_size=25).map(" ".join)


@given(ANSWERS, st.integers(0, 3))
def test_spans_lie_in_the_answer_in_order_and_numbers_are_valid(answer: str, passages: int) -> None:
    citations = cite(answer, HITS[:passages])
    assert all(0 <= citation.start < citation.end <= len(answer) for citation in citations)
    assert all(1 <= citation.number <= passages for citation in citations)
    assert [citation.start for citation in citations] == sorted(citation.start for citation in citations)
    assert len(set(citations)) == len(citations)


def test_citation_is_a_value() -> None:
    assert Citation(1, 2, 5) == Citation(1, 2, 5)


def test_without_passages_nothing_is_cited() -> None:
    assert cite("Use repair_antennas to insert diodes near the gates [1].", []) == []


def test_markers_in_code_that_is_never_closed_are_no_citations() -> None:
    assert quote("Run\n```tcl\nset x [1]\n") == []


@pytest.mark.parametrize("marker", ["[0]", "[4]", "[01000]", "[1-2]", "[a]", "[]", "[1,]", "(1)", "[1.0]"])
def test_what_is_no_number_of_a_passage_is_no_marker(marker: str) -> None:
    assert [found for found in quote(f"See {marker}") if found[1].startswith("[")] == []


@given(st.lists(st.integers(1, 3), min_size=1, max_size=6))
def test_every_marker_of_a_passage_is_found_where_it_stands(numbers: list[int]) -> None:
    answer = " ".join(f"word [{number}]" for number in numbers)
    assert quote(answer) == [(number, f"[{number}]") for number in numbers]
