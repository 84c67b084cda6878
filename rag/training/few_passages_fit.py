"""Fits the coefficients by which an index of few passages is judged, with small parts of larger indexes.

A part holds the documents that a question asks for, and others of their collections. Of each part one more question is
asked that is of another collection. Half of what is not answered counts for each of these two kinds, however many
questions they have. A person puts the printed coefficients into rag.search.relevance.

    python -m rag.training.few_passages_fit indexes/eval data/eval/opensta.jsonl data/training/evidence.jsonl
    ... --also leftout/indexes/9ecd9e2ba488 data/eval/leftout/questions.jsonl
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rag.command_line import run_module
from rag.index.document_list import DocumentRecord
from rag.search.relevance import FEW_PASSAGES, Evidence
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from rag.sources.questions import Question
from rag.training.relevance_fit import Rows, cross_validate, fit, open_sets, parse_sets

SIZES = (15, 50, 95)  # passages of a part, at most; a document that is longer is whole
UNANSWERED_SHARE = 0.7  # what all questions that nothing answers count, beside those that are answered
SEED = 0


@dataclass(frozen=True, slots=True)
class Judged:
    """A question of a part, what speaks for and against an answer, and whether it is of another collection."""

    evidence: Evidence
    is_answered: bool
    is_foreign: bool


class Parts:
    """Small parts of one index, drawn at random."""

    def __init__(self, retriever: Retriever, dice: random.Random) -> None:
        self._retriever = retriever
        self._dice = dice
        self._sizes = {(record.collection, record.path): len(rows) for record, rows in retriever.index.documents()}

    def draw(self, question: Question, most: int) -> tuple[Retriever, set[str]] | None:
        """A part with the documents of the question, and its collections: one by chance where nothing answers it.

        None where these are no part of the index, or too long.
        """
        wanted = {(place.collection, place.path) for group in question.wanted for place in group}
        own = wanted & self._sizes.keys()
        if own != wanted:
            return None
        collections = {collection for collection, _ in own} or {self._dice.choice(list(self._sizes))[0]}
        others = [key for key in self._sizes if key[0] in collections and key not in own]
        passages = sum(self._sizes[key] for key in own)
        for key in self._dice.sample(others, len(others)):
            if passages + self._sizes[key] <= most:
                own.add(key)
                passages += self._sizes[key]

        def is_own(record: DocumentRecord) -> bool:
            """Whether a document is in the part."""
            return (record.collection, record.path) in own

        if not 2 <= passages < FEW_PASSAGES:
            return None
        return self._retriever.over(self._retriever.index.only(is_own)), collections


def judge_parts(retriever: Retriever, questions: Sequence[Question]) -> Iterator[Judged]:
    """The questions, each asked of parts of all sizes, and beside each one of another collection."""
    dice = random.Random(SEED)
    parts = Parts(retriever, dice)
    for question in questions:
        for most in SIZES:
            drawn = parts.draw(question, most)
            if drawn is None:
                continue
            part, collections = drawn
            yield Judged(_weigh(part, question), question.answerable, is_foreign=False)
            other = dice.choice(questions)
            if other.wanted and collections.isdisjoint(_collections_of(other)):
                yield Judged(_weigh(part, other), is_answered=False, is_foreign=True)


def _collections_of(question: Question) -> set[str]:
    return {place.collection for group in question.wanted for place in group}


def _weigh(part: Retriever, question: Question) -> Evidence:
    return part.evidence(question.text, by_token=False, is_read=True)


def weigh_rows(judged: Sequence[Judged]) -> Rows:
    """How much each question counts, shape (questions,)."""
    answered = np.array([each.is_answered for each in judged])
    foreign = np.array([each.is_foreign for each in judged])
    weights = np.ones(len(judged))
    for kind in (~answered & foreign, ~answered & ~foreign):
        weights[kind] = UNANSWERED_SHARE / 2 * answered.sum() / max(kind.sum(), 1)
    return weights


def describe_fit(judged: Sequence[Judged], threshold: float) -> dict[str, Any]:
    """Coefficients, and the shares refused at a threshold by coefficients that did not see a question."""
    features = np.array([each.evidence.features() for each in judged])
    truth = np.array([each.is_answered for each in judged], dtype=np.float64)
    foreign = np.array([each.is_foreign for each in judged])
    weights = weigh_rows(judged)
    refused = cross_validate(features, truth, weights=weights) < threshold
    kinds = {"wrongly": truth == 1, "own": (truth == 0) & ~foreign, "foreign": (truth == 0) & foreign}
    return {
        "coefficients": [round(float(value), 3) for value in fit(features, truth, weights)],
        "refused": {
            name: {"questions": int(kind.sum()), "share": round(float(refused[kind].mean()), 3)}
            for name, kind in kinds.items()
            if kind.any()
        },
    }


def main(argv: list[str]) -> int:
    """One JSON document: the coefficients, and what they are worth."""
    sets = parse_sets(argv, "few_passages_fit", "Fit when few passages answer a question.")
    settings = RagSettings.from_env()
    judged = [each for retriever, questions in open_sets(sets, settings) for each in judge_parts(retriever, questions)]
    sys.stdout.write(json.dumps(describe_fit(judged, settings.min_relevance)) + "\n")
    return 0


if __name__ == "__main__":
    run_module(main)
