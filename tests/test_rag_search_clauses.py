"""rag.search.clauses: what is cut, and what is left whole. `test_rag_search_retriever` has the clauses in a search."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rag.index.bm25 import content_terms
from rag.search.clauses import LEAST_TERMS, MOST_CLAUSES, split_clauses
from tests.rows import for_each

WORDS = tuple("route place clock tree power grid the a how , . ; and then while 0.5 -hold".split())


@for_each(
    ("question", "clauses"),
    [
        (
            "Insert filler cells in every row, then report the skew of the clock",
            ["Insert filler cells in every row", "report the skew of the clock"],
        ),
        (
            "I placed all macros by hand. Why is routing congestion high?",
            ["I placed all macros by hand.", "Why is routing congestion high?"],
        ),
        (
            "analyze clock tree synthesis, remove the inserted buffers and then write a DEF file",
            ["analyze clock tree synthesis", "remove the inserted buffers", "write a DEF file"],
        ),
        (
            "read the UPF file of power domains; create a logic port there",
            ["read the UPF file of power domains;", "create a logic port there"],
        ),
        (
            "pad ring: which cell fills the last narrow gap, and what joins both corner supplies",
            ["pad ring: which cell fills the last narrow gap", "pad ring: what joins both corner supplies"],
        ),
        (
            "the pad ring of our chip has gaps: which cell fills the last, and what joins both corner supplies",
            ["the pad ring of our chip has gaps:", "which cell fills the last", "what joins both corner supplies"],
        ),
    ],
)
def test_a_question_of_several_things_is_cut_between_them(question: str, clauses: list[str]) -> None:
    assert split_clauses(question) == clauses


@for_each(
    "question",
    [
        "",
        "and then",
        "What is CPPR?",
        "How do I fix setup and hold violations?",
        "How do I fix setup violations? and for hold?",
        "global_route: how many iterations",
        "a, b, c, d",
    ],
)
def test_a_question_of_one_thing_is_left_whole(question: str) -> None:
    assert split_clauses(question) == []


def test_too_few_words_join_the_next_clause_and_at_the_end_the_one_before() -> None:
    question = "In OpenROAD, and for two macros, set the halo width, then place pins on metal layers, please"
    assert split_clauses(question) == [
        "In OpenROAD, and for two macros",
        "set the halo width",
        "place pins on metal layers, please",
    ]


def test_a_long_list_is_cut_into_few_clauses_and_a_log_that_repeats_itself_into_none() -> None:
    things = [f"place macro_{number} beside pad_{number} with halo_{number}" for number in range(300)]
    assert 2 <= len(split_clauses(", ".join(things))) <= MOST_CLAUSES
    assert split_clauses("error: net has violations, cell at row fails.\n" * 2000) == []


@given(st.lists(st.sampled_from(WORDS), max_size=80))
def test_clauses_stand_in_the_question_in_order_with_terms_enough(words: list[str]) -> None:
    question, place = " ".join(words), 0
    clauses = split_clauses(question)
    assert len(clauses) != 1
    assert len(clauses) <= MOST_CLAUSES
    for clause in clauses:
        place = question.index(clause, place) + len(clause)
        assert len(content_terms(clause)) >= LEAST_TERMS
