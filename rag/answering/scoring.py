"""How likely a unit of a passage answers a question: traits of the two, and the odds from them. Pure mathematics.

It searches nothing and chooses nothing. rag.training.scoring_fit fits its coefficients and measures their worth.

    traits = observe(idf_of_the_questions_terms, passage, units)
    odds = log_odds(traits[0])
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rag.answering.units import Unit
from rag.documents import Hit
from rag.embedding.passage_reader import Reading
from rag.index.bm25 import tokenize
from rag.index.dense import Vectors
from rag.search.retriever import Comparison

FEW_WORDS = 5  # a unit with fewer ("See below.") says little, however near it is to the question


class Traits(NamedTuple):
    """What is seen of a unit beside a question.

    near: the weighted mean, over the question's tokens, of the cosine with the nearest token of the unit or of what
    introduces it. whole: the cosine of the question with the mean of the unit's tokens. terms: the share of the
    question's terms, weighted by idf, that the unit or what introduces it holds. passage, dense, late: the scores of
    its passage; rank: the logarithm of its place among the hits, counted from 1. words: the logarithm of 1 + its words;
    few: 1 where it has fewer than `FEW_WORDS`. row, item, code: 1 for a unit of that kind.
    """

    near: float
    whole: float
    terms: float
    passage: float
    dense: float
    late: float
    rank: float
    words: float
    few: float
    row: float
    item: float
    code: float


@dataclass(frozen=True, slots=True)
class Passage:
    """A hit at its rank, counted from 1, and how its tokens compare with the question's."""

    hit: Hit
    rank: int
    comparison: Comparison


# Logistic regression; coefficients of 1, then of the fields of Traits.
COEFFICIENTS = (-3.69, 9.47, 4.95, 1.17, 0.36, -2.35, -9.31, -1.50, 0.17, -0.94, 0.21, 0.39, 0.77)
# The same where the passages were read with the question; then of the log odds, by reading, that the unit answers and
# that its passage does. Fitted on 2026-12-01 to data/training/evidence.jsonl and data/eval/unseen.jsonl.
READ_COEFFICIENTS = (-3.44, 5.45, 2.73, -0.38, 0.44, -0.14, -5.72, -1.24, 0.35, -0.16, 0.26, 0.07, 0.72, 0.56, -0.19)


def log_odds(traits: Sequence[float], coefficients: Sequence[float] = COEFFICIENTS) -> float:
    """The log odds of a unit with these traits: here, that it answers the question.

    `coefficients`: of 1, then of each trait.
    """
    return sum(map(math.prod, zip(coefficients, (1.0, *traits), strict=True)))


def observe(idf: Mapping[str, float], passage: Passage, units: Sequence[Unit]) -> list[Traits]:
    """The traits of each unit of a passage; `idf` has the question's terms."""
    compared = passage.comparison
    cosines = compared.vectors @ compared.question.token_vectors.T  # shape (passage's tokens, question's tokens)
    weights = compared.weights / (compared.weights.sum() or 1.0)
    place = _best(cosines, compared.places[:, 0] < 0)
    return [_observe_unit(idf, passage, unit, cosines, weights, place) for unit in units]


def add_reading(
    traits: Sequence[tuple[float, ...]], reading: Reading, units: Sequence[Unit]
) -> list[tuple[float, ...]]:
    """The traits of a passage's units and the log odds, by reading, that the unit answers and that its passage does."""
    pieces = reading.pieces([(unit.start, unit.end) for unit in units])
    return [(*seen, piece, reading.passage) for seen, piece in zip(traits, pieces, strict=True)]


def _observe_unit(
    idf: Mapping[str, float], passage: Passage, unit: Unit, cosines: Vectors, weights: Vectors, place: Vectors
) -> Traits:
    hit, compared = passage.hit, passage.comparison
    text = hit.chunk.text[unit.start : unit.end]
    introduction = " ".join(hit.chunk.text[start:end] for start, end in unit.context)

    inside = _within(compared.places, unit.start, unit.end)
    around = np.zeros(len(compared.places), dtype=np.bool_)
    for start, end in unit.context:
        around |= _within(compared.places, start, end)
    near = np.maximum(np.maximum(_best(cosines, inside), _best(cosines, around)), place)

    held = set(tokenize(f"{introduction} {text}"))
    words = len(text.split())
    return Traits(
        near=float(weights @ near),
        whole=_cosine(compared.question.vector, compared.vectors[inside]),
        terms=sum(weight for term, weight in idf.items() if term in held) / (sum(idf.values()) or 1.0),
        passage=hit.score,
        dense=hit.dense_score,
        late=hit.late_score or 0.0,
        rank=math.log(passage.rank),
        words=math.log1p(words),
        few=float(words < FEW_WORDS),
        row=float(unit.kind == "row"),
        item=float(unit.kind == "item"),
        code=float(unit.kind == "code"),
    )


def _within(places: NDArray[np.int64], start: int, end: int) -> NDArray[np.bool_]:
    """Which tokens stand between two characters."""
    return (places[:, 0] >= start) & (places[:, 1] <= end)


def _best(cosines: Vectors, chosen: NDArray[np.bool_]) -> Vectors:
    """For each token of the question the cosine with the nearest chosen token; 0 where none is chosen."""
    return cosines[chosen].max(axis=0) if chosen.any() else np.zeros(cosines.shape[1], dtype=np.float32)


def _cosine(question: Vectors, tokens: Vectors) -> float:
    """The cosine of the question's vector with the mean of some tokens'."""
    mean = tokens.mean(axis=0) if len(tokens) else np.zeros_like(question)
    length = float(np.linalg.norm(mean))
    return float(question @ mean) / length if length else 0.0
