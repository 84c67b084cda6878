"""Fits the coefficients of rag.answering.scoring to questions with the words that answer them: python -m rag.answering.scoring_fit.

Questions are JSON lines with how the units begin that answer (data/training/evidence.jsonl) or with the words that prove the answer
(data/eval/mcq.jsonl), or a table of questions and answers (EDA-Corpus). Each fifth is judged by coefficients that were fitted to the others.
What is printed is put into scoring by hand.

    python -m rag.answering.scoring_fit indexes/starter data/training/evidence.jsonl data/eval/mcq.jsonl Q-A.csv --exclude dev.jsonl
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag.answering.evidence import HITS_READ, MOST_WORDS
from rag.answering.scoring import Passage, Traits, observe
from rag.answering.units import Unit, cut_units
from rag.bm25 import content_terms, tokenize
from rag.documents import Chunk
from rag.errors import EmptyQuery
from rag.exclusion import NearQuestions, read_measured
from rag.pasted_log import condense_paste
from rag.relevance_fit import FOLDS, fit
from rag.retriever import Retriever
from rag.settings import RagSettings

EVIDENCE_SHARE = 0.7  # of the terms of the evidence, which a unit holds that is a part of it
ANSWER_SHARE = 0.6  # of a unit's terms, which an answer has that says the same in other words
ANSWER_TERMS = 4  # of these, the fewest that the question does not have


@dataclass(frozen=True, slots=True)
class Example:
    """A question, and the words that answer it: literally from a document, or in somebody's own words. `begins`, where it is known, says how
    the units begin that do, by collection and path.
    """

    question: str
    words: str
    is_literal: bool
    begins: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judged:
    """A question's units: their traits, the words that each has, and whether it answers."""

    traits: list[Traits]
    words: list[int]
    answers: list[bool]


def read_examples(path: Path) -> Iterator[Example]:
    """The questions of one file."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="", errors="replace") as handle:
            rows = [row for row in csv.reader(handle) if len(row) == 2][1:]
        yield from (Example(question.strip(), answer, False) for question, answer in dict(rows).items())
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if "source" in row:
            yield Example(row["question"], row["source"]["evidence"], True)
        elif row["references"]:
            begins: dict[tuple[str, str], tuple[str, ...]] = {}
            for place in row["references"]:
                key = (place["collection"], place["path"])
                begins[key] = (*begins.get(key, ()), *place["begins"])
            yield Example(condense_paste(row["question"]), "", True, begins)


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
    for rank, (hit, comparison) in enumerate(zip(hits, compared, strict=True), start=1):
        units = cut_units(hit.chunk.text)
        judged.traits.extend(observe(idf, Passage(hit, rank, comparison), units))
        judged.words.extend(len(hit.chunk.text[unit.start : unit.end].split()) for unit in units)
        judged.answers.extend(is_answer(example, terms, hit.chunk, unit) for unit in units)
    return judged if any(judged.answers) else None


def is_answer(example: Example, asked: frozenset[str], chunk: Chunk, unit: Unit) -> bool:
    """Whether a unit says what answers the question."""
    text = chunk.text
    if example.begins:
        quoted = " ".join(text[unit.start : unit.end].split())
        return quoted.startswith(example.begins.get((chunk.collection, chunk.path), ()))
    said, wanted = set(tokenize(text[unit.start : unit.end])), set(tokenize(example.words))
    if not example.is_literal:
        return len(said & wanted) >= ANSWER_SHARE * len(said) and len(said & wanted - asked) >= ANSWER_TERMS
    evidence = " ".join(example.words.split())
    if evidence not in " ".join(text.split()):
        return False
    quoted = " ".join(text[unit.start : unit.end].split())
    return evidence in quoted or len(said & wanted) >= EVIDENCE_SHARE * len(wanted)


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


def as_rows(judged: Sequence[Judged]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features with a leading 1, shape (units, features), and 1 where a unit answers."""
    features = [(1.0, *traits) for one in judged for traits in one.traits]
    return np.array(features), np.array([float(answers) for one in judged for answers in one.answers])


def cross_validate(judged: Sequence[Judged], seed: int = 0) -> float:
    """The share of questions that coefficients fitted to the others find."""
    fold = np.random.default_rng(seed).permutation(len(judged)) % FOLDS
    found = 0
    for number in range(FOLDS):
        coefficients = fit(*as_rows([one for one, own in zip(judged, fold, strict=True) if own != number]))
        for one, own in zip(judged, fold, strict=True):
            if own == number:
                found += is_found(list(as_rows([one])[0] @ coefficients), one)
    return found / len(judged)


def main(argv: Sequence[str]) -> int:
    """Print the coefficients, and what was found with those that had not seen the question, as JSON."""
    parser = argparse.ArgumentParser(prog="python -m rag.answering.scoring_fit", description="Fit the score of quotes.")
    parser.add_argument("index", type=Path, help="an index of the handbook and the pinned corpora")
    parser.add_argument(
        "examples", type=Path, nargs="+", help="JSON lines with evidence, or a CSV of questions and answers"
    )
    parser.add_argument("--exclude", type=Path, nargs="*", default=[], help="benchmarks whose questions are left out")
    options = parser.parse_args(argv)

    retriever = Retriever.open(options.index, RagSettings.from_env())
    nearly_asks = NearQuestions(read_measured(options.exclude).questions)
    report: dict[str, object] = {}
    everything: list[Judged] = []
    for path in options.examples:
        judged = [judge(example, retriever) for example in read_examples(path) if not nearly_asks(example.question)]
        usable = [one for one in judged if one]
        everything += usable
        report[path.name] = {
            "questions": len(judged),
            "answered by a hit": len(usable),
            "found by the nearest": sum(is_found([traits.near for traits in one.traits], one) for one in usable)
            / len(usable),
            "found": cross_validate(usable),
        }

    names = ["1", *Traits._fields]
    coefficients = fit(*as_rows(everything))
    report["coefficients"] = {name: round(float(value), 2) for name, value in zip(names, coefficients, strict=True)}
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
