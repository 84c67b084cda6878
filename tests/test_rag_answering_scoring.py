"""rag.answering.scoring: each trait of a unit is what its definition says, and the odds are their weighted sum."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.answering.scoring import (
    COEFFICIENTS,
    FEW_WORDS,
    READ_COEFFICIENTS,
    Passage,
    Traits,
    add_reading,
    log_odds,
    observe,
)
from rag.answering.units import Unit, cut_units
from rag.documents import Chunk, Hit
from rag.embedding.embedder import Embedded
from rag.search.retriever import Comparison
from tests.given_reading import GivenReading
from tests.rows import for_each

TEXT = "Set the corner:\n\n- slow first\n- fast"
EAST, NORTH = np.array([1.0, 0.0], dtype=np.float32), np.array([0.0, 1.0], dtype=np.float32)
DIAGONAL = (EAST + NORTH) / np.float32(math.sqrt(2))


def hit(text: str = TEXT) -> Hit:
    chunk = Chunk("id", "notes", "a.md", "Corners", ("Corners",), text, None, "ISC", 0)
    return Hit(chunk, 2.5, 0.5, 3.0, None)


def question(*tokens: np.ndarray) -> Embedded:
    vectors = np.array(tokens or np.zeros((0, 2)), dtype=np.float32)
    return Embedded(0, EAST, np.arange(len(vectors)), vectors)


def passage(
    asked: Embedded, weights: list[float], tokens: list[tuple[int, int, np.ndarray]], text: str = TEXT, rank: int = 1
) -> Passage:
    """A passage whose tokens are given as (start, end, vector)."""
    places = np.array([place[:2] for place in tokens] or np.zeros((0, 2)), dtype=np.int64)
    vectors = np.array([place[2] for place in tokens] or np.zeros((0, 2)), dtype=np.float32)
    comparison = Comparison(asked, np.array(weights, dtype=np.float32), places, vectors)
    return Passage(hit(text), rank, comparison)


def span(words: str) -> tuple[int, int]:
    return TEXT.index(words), TEXT.index(words) + len(words)


def test_near_takes_the_nearest_token_of_the_unit_its_lead_or_its_headings() -> None:
    asked = question(EAST, NORTH)
    tokens = [(*span("corner"), DIAGONAL), (*span("slow"), EAST), (*span("fast"), NORTH)]
    lead, slow, fast = observe({}, passage(asked, [3, 1], tokens), cut_units(TEXT))
    diagonal = math.sqrt(0.5)
    assert lead.near == pytest.approx(diagonal)
    assert slow.near == pytest.approx((3 * 1 + 1 * diagonal) / 4)  # the lead is nearer to the second token
    assert fast.near == pytest.approx((3 * diagonal + 1 * 1) / 4)
    with_heading = [(-8, -1, EAST), (*span("fast"), NORTH)]
    assert observe({}, passage(asked, [3, 1], with_heading), cut_units(TEXT))[2].near == pytest.approx(1)


def test_whole_is_the_cosine_with_the_mean_of_the_units_own_tokens() -> None:
    tokens = [(*span("slow"), EAST), (*span("first"), NORTH), (*span("fast"), -EAST)]
    _, slow, fast = observe({}, passage(question(EAST), [1], tokens), cut_units(TEXT))
    assert slow.whole == pytest.approx(math.sqrt(0.5))
    assert fast.whole == pytest.approx(-1)


def test_terms_are_weighed_by_idf_and_may_stand_in_what_introduces_the_unit() -> None:
    idf = {"slow": 3.0, "corner": 1.0, "hold": 4.0}
    lead, slow, fast = observe(idf, passage(question(EAST), [1], []), cut_units(TEXT))
    assert (lead.terms, slow.terms, fast.terms) == (1 / 8, 4 / 8, 1 / 8)


def test_scores_rank_length_and_kind_are_taken_as_they_are() -> None:
    lead, slow, _ = observe({}, passage(question(EAST), [1], [], rank=4), cut_units(TEXT))
    assert (slow.passage, slow.dense, slow.late, slow.rank) == (2.5, 0.5, 0.0, math.log(4))
    assert (lead.item, slow.item, slow.row, slow.code) == (0.0, 1.0, 0.0, 0.0)
    assert slow.words == pytest.approx(math.log1p(3))  # the mark of the item is one
    row = "| a | b |\n|---|---|\n| 1 | 2 |"
    fence = "```tcl\npdngen\n```"
    [of_row], [of_code] = (
        observe({}, passage(question(EAST), [1], [], text), cut_units(text)) for text in (row, fence)
    )
    assert (of_row.row, of_code.code) == (1.0, 1.0)


@for_each(("words", "few"), [(FEW_WORDS - 1, 1.0), (FEW_WORDS, 0.0)])
def test_a_unit_of_a_few_words_is_marked(words: int, few: float) -> None:
    text = " ".join(["word"] * words)
    [traits] = observe({}, passage(question(EAST), [1], [], text), cut_units(text))
    assert traits.few == few


def test_without_tokens_terms_or_weights_the_similarities_are_zero_and_finite() -> None:
    for asked, weights in ((question(), []), (question(EAST), [0.0])):
        for traits in observe({}, passage(asked, weights, []), cut_units(TEXT)):
            assert (traits.near, traits.whole, traits.terms) == (0.0, 0.0, 0.0)
            assert math.isfinite(log_odds(traits))


def test_tokens_that_cancel_out_have_no_direction() -> None:
    tokens = [(*span("slow"), EAST), (*span("first"), -EAST)]
    assert observe({}, passage(question(EAST), [1], tokens), cut_units(TEXT))[1].whole == 0.0


def test_a_token_that_only_overlaps_the_unit_is_not_in_it() -> None:
    start, end = span("slow first")
    unit = Unit("item", start, end, 0)
    tokens = [(start - 2, start + 4, EAST), (start, end, NORTH), (end - 1, end + 1, EAST)]
    [traits] = observe({}, passage(question(EAST), [1], tokens), [unit])
    assert traits.whole == pytest.approx(0)


def test_the_odds_are_the_sum_of_the_coefficients_times_the_traits() -> None:
    assert len(COEFFICIENTS) == len(Traits._fields) + 1
    assert len(READ_COEFFICIENTS) == len(COEFFICIENTS) + 2
    zero = Traits(*[0.0] * len(Traits._fields))
    assert log_odds(zero) == COEFFICIENTS[0]
    for place, name in enumerate(Traits._fields, start=1):
        assert log_odds(zero._replace(**{name: 2.0})) == pytest.approx(COEFFICIENTS[0] + 2 * COEFFICIENTS[place])
    with pytest.raises(ValueError, match="zip"):
        log_odds(zero[:-1])


def test_a_reading_adds_the_odds_of_each_unit_and_of_its_passage() -> None:
    units = cut_units(TEXT)
    traits = observe({}, passage(question(EAST), [1], [(*span("slow"), EAST)]), units)
    read = add_reading([*traits], GivenReading(2.5, float), units)
    assert [one[:-2] for one in read] == traits
    assert [one[-2:] for one in read] == [(float(unit.start), 2.5) for unit in units]


@given(st.lists(st.floats(-1, 1), min_size=8, max_size=8), st.floats(0.01, 5), st.floats(0.01, 5))
def test_near_lies_between_the_worst_and_the_best_cosine(numbers: list[float], one: float, other: float) -> None:
    vectors = np.array(numbers, dtype=np.float32).reshape(4, 2)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = np.where(lengths > 0.1, vectors / np.maximum(lengths, 1e-9), EAST)
    asked = question(*vectors[:2])
    tokens = [(*span("slow"), vectors[2]), (*span("first"), vectors[3])]
    traits = observe({}, passage(asked, [one, other], tokens), cut_units(TEXT))[1]
    cosines = vectors[2:] @ vectors[:2].T
    assert min(0.0, float(cosines.min())) - 1e-5 <= traits.near <= max(0.0, float(cosines.max())) + 1e-5
