"""Fits the coefficients of rag.answering.scoring to questions with the words that answer them.

Questions are JSON lines with the beginnings of the answering units (data/training/evidence.jsonl) or the words that
prove the answer (data/eval/mcq.jsonl), or a table of questions and answers (EDA-Corpus). Each fifth is judged by
coefficients fitted to the others. A person puts the printed coefficients into scoring: with a reader (CHIPALIGN_READER)
also those of what it reads.

    python -m rag.training.scoring_fit indexes/starter data/training/evidence.jsonl data/eval/mcq.jsonl Q-A.csv \\
        --exclude dev.jsonl
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.answering.evidence import MOST_WORDS
from rag.answering.scoring import Passage, Traits, add_reading, observe
from rag.answering.units import cut_units
from rag.command_line import run_module
from rag.errors import EmptyQuery
from rag.index.bm25 import content_terms
from rag.search.judging import HITS_READ
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from rag.training.examples import Example, is_answer, read_examples
from rag.training.exclusion import NearQuestions, read_measured
from rag.training.relevance_fit import FOLDS, fit

READ = 2  # numbers that a reader adds to the traits: the odds of the unit and of its passage


@dataclass(frozen=True, slots=True)
class Judged:
    """A question's units: their traits, the words that each has, and whether it answers."""

    traits: list[tuple[float, ...]]  # those of Traits, and the odds of the unit and of its passage as they were read
    words: list[int]
    answers: list[bool]


def judge(example: Example, retriever: Retriever) -> Judged | None:
    """What is seen of the units of the question's hits; None where none of them answers it."""
    judged = Judged([], [], [])
    try:
        hits = list(islice(retriever.rank(example.question), HITS_READ))
        [compared] = retriever.compare([example.question], hits)
    except EmptyQuery:
        return None

    terms = content_terms(example.question)
    idf = retriever.idf(terms)
    readings = retriever.read(example.question, hits)
    for rank, (hit, comparison) in enumerate(zip(hits, compared, strict=True), start=1):
        units = cut_units(hit.chunk.text)
        traits: list[tuple[float, ...]] = [*observe(idf, Passage(hit, rank, comparison), units)]
        judged.traits.extend(add_reading(traits, readings[rank - 1], units) if readings else traits)
        judged.words.extend(len(hit.chunk.text[unit.start : unit.end].split()) for unit in units)
        judged.answers.extend(is_answer(example, terms, hit.chunk, unit) for unit in units)
    return judged if any(judged.answers) else None


def is_found(scores: Sequence[float], judged: Judged) -> bool:
    """Whether the best units, `MOST_WORDS` words of them, hold one that answers."""
    room = MOST_WORDS
    for row in sorted(range(len(scores)), key=lambda row: -scores[row]):
        if judged.answers[row]:
            return True
        room -= judged.words[row]
        if room <= 0:
            return False
    return False


def is_whole(scores: Sequence[float], judged: Judged) -> bool:
    """Whether the best units, `MOST_WORDS` words of them, hold every one that answers."""
    room = MOST_WORDS
    for row in sorted(range(len(scores)), key=lambda row: -scores[row]):
        if room <= 0 and judged.answers[row]:
            return False
        room -= judged.words[row]
    return True


def as_rows(judged: Sequence[Judged], is_read: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features with a leading 1, shape (units, features), and 1 where a unit answers. is_read: with what was read."""
    kept = len(Traits._fields) + (READ if is_read else 0)
    features = [(1.0, *traits[:kept]) for one in judged for traits in one.traits]
    return np.array(features), np.array([float(answers) for one in judged for answers in one.answers])


def cross_validate(judged: Sequence[Judged], is_read: bool, seed: int = 0) -> dict[str, float]:
    """The share of questions of which coefficients fitted to the others find a unit that answers, and all of them."""
    fold = np.random.default_rng(seed).permutation(len(judged)) % FOLDS
    found, whole = 0, 0
    for number in range(FOLDS):
        coefficients = fit(*as_rows([one for one, own in zip(judged, fold, strict=True) if own != number], is_read))
        for one, own in zip(judged, fold, strict=True):
            if own == number:
                scores = list(as_rows([one], is_read)[0] @ coefficients)
                found += is_found(scores, one)
                whole += is_whole(scores, one)
    return {"found": found / len(judged), "whole": whole / len(judged)}


def _name(names: Sequence[str], values: NDArray[np.float64]) -> dict[str, float]:
    return {name: round(float(value), 2) for name, value in zip(names, values, strict=True)}


def main(argv: list[str]) -> int:
    """Print the coefficients, and what was found with those that had not seen the question, as JSON."""
    parser = argparse.ArgumentParser(prog="python -m rag.training.scoring_fit", description="Fit the score of quotes.")
    parser.add_argument("index", type=Path, help="an index of the handbook and the pinned corpora")
    parser.add_argument(
        "examples", type=Path, nargs="+", help="JSON lines with evidence, or a CSV of questions and answers"
    )
    parser.add_argument("--exclude", type=Path, nargs="*", default=[], help="benchmarks whose questions are left out")
    options = parser.parse_args(argv)

    retriever = Retriever.open(options.index, RagSettings.from_env(), reads=True)
    nearly_asks = NearQuestions(read_measured(options.exclude).questions)
    report: dict[str, dict[str, Any]] = {}
    everything: list[Judged] = []
    for path in options.examples:
        judged = [
            judge(one, retriever) for one in read_examples(path) if one.is_answerable and not nearly_asks(one.question)
        ]
        usable = [one for one in judged if one]
        everything += usable
        report[path.name] = {
            "questions": len(judged),
            "answered by a hit": len(usable),
            "found by the nearest": (
                sum(is_found([traits[0] for traits in one.traits], one) for one in usable) / len(usable)
            ),
            "by what is seen": cross_validate(usable, is_read=False),
        }
        if retriever.reader:
            report[path.name] |= {"read as well": cross_validate(usable, is_read=True)}

    names = ["1", *Traits._fields]
    report["coefficients"] = _name(names, fit(*as_rows(everything, is_read=False)))
    if retriever.reader:
        report["read_coefficients"] = _name(
            [*names, "unit_odds", "passage_odds"], fit(*as_rows(everything, is_read=True))
        )
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    run_module(main)
