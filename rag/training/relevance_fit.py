"""Fits the coefficients of rag.search.relevance to questions that an index answers or not, and measures them.

Each fifth of the questions is judged by coefficients fitted to the others, so the printed precision and recall are
those of unseen questions. The printed coefficients are fitted to all; a person puts them into rag.search.relevance.

    python -m rag.training.relevance_fit indexes/eval data/eval/handbook.jsonl data/eval/unanswerable.jsonl
    ... --also leftout/indexes/9ecd9e2ba488 data/eval/leftout/questions.jsonl
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.command_line import run_module
from rag.search.metrics import judge_decision
from rag.search.relevance import Evidence
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from rag.sources.questions import Question, read_questions

Rows = NDArray[np.float64]
QuestionSet = tuple[Path, Sequence[Path]]  # an index directory, and files of questions
FOLDS = 5
RIDGE = 0.01  # keeps coefficients finite where questions can be separated without error
ITERATIONS = 50


def fit(features: Rows, answerable: Rows, weights: Rows | None = None) -> Rows:
    """Logistic regression by Newton's method, shape (features,).

    features has shape (questions, features), answerable is 0 or 1; weights say how much each question counts, by
    default 1.
    """
    coefficients = np.zeros(features.shape[1])
    weights = np.ones(len(features)) if weights is None else weights
    for _ in range(ITERATIONS):
        probability = predict(features, coefficients)
        gradient = features.T @ (weights * (answerable - probability)) - RIDGE * coefficients
        slopes = weights * probability * (1 - probability)
        curvature = (features * slopes[:, None]).T @ features + RIDGE * np.eye(len(coefficients))
        coefficients += np.linalg.solve(curvature, gradient)
    return coefficients


def predict(features: Rows, coefficients: Rows) -> Rows:
    """The probability of each question, shape (questions,)."""
    probabilities: Rows = 1 / (1 + np.exp(-np.clip(features @ coefficients, -30, 30)))
    return probabilities


def cross_validate(features: Rows, answerable: Rows, seed: int = 0, weights: Rows | None = None) -> Rows:
    """The probability of each question by coefficients that did not see it, shape (questions,)."""
    fold = np.random.default_rng(seed).permutation(len(features)) % FOLDS
    weights = np.ones(len(features)) if weights is None else weights
    probabilities = np.zeros(len(features))
    for number in range(FOLDS):
        others = fold != number
        coefficients = fit(features[others], answerable[others], weights[others])
        probabilities[~others] = predict(features[~others], coefficients)
    return probabilities


def describe(evidence: Sequence[Evidence], answerable: Sequence[bool], threshold: float) -> dict[str, Any]:
    """Coefficients, and the decision at a threshold over questions that were not seen."""
    features = np.array([each.features() for each in evidence])
    truth = np.array(answerable, dtype=np.float64)
    unseen = cross_validate(features, truth)
    return {
        "coefficients": [round(float(value), 3) for value in fit(features, truth)],
        "decision": asdict(judge_decision(answerable, [bool(value >= threshold) for value in unseen])),
        "log_loss": -float(
            np.mean(
                [
                    math.log(p if known else 1 - p)
                    for p, known in zip(np.clip(unseen, 1e-9, 1 - 1e-9), answerable, strict=True)
                ]
            )
        ),
    }


def parse_sets(argv: list[str], name: str, description: str) -> list[QuestionSet]:
    """An index with files of questions, and more of such, as the command line of the module `name` gives them."""
    parser = argparse.ArgumentParser(prog=f"python -m rag.training.{name}", description=description)
    parser.add_argument("index", type=Path, metavar="DIR", help="the index directory")
    parser.add_argument(
        "questions", type=Path, nargs="+", metavar="Q.jsonl", help="questions, some of which the index does not answer"
    )
    parser.add_argument(
        "--also",
        type=Path,
        nargs="+",
        action="append",
        default=[],
        metavar="PATH",
        help="another index directory, and questions about it",
    )
    args = parser.parse_args(argv)
    return [(args.index, args.questions), *((index, questions) for index, *questions in args.also)]


def open_sets(sets: Sequence[QuestionSet], settings: RagSettings) -> list[tuple[Retriever, list[Question]]]:
    """The indexes, which read, with their questions."""
    return [
        (Retriever.open(index, settings, reads=True), [each for path in paths for each in read_questions(path)])
        for index, paths in sets
    ]


def main(argv: list[str]) -> int:
    """One JSON document: for each kind of similarity the coefficients and what they are worth."""
    description = "Fit when the documents answer a question, and measure it on questions that were left out."
    sets = parse_sets(argv, "relevance_fit", description)
    settings = RagSettings.from_env()
    opened = open_sets(sets, settings)
    answerable = [question.answerable for _, questions in opened for question in questions]
    has_reader = opened[0][0].reader is not None
    document = {
        f"{'read_' if is_read else ''}by_{'token' if by_token else 'cosine'}": describe(
            [
                retriever.evidence(question.text, by_token=by_token, is_read=is_read)
                for retriever, questions in opened
                for question in questions
            ],
            answerable,
            settings.min_relevance,
        )
        for is_read, by_token in product((False, True) if has_reader else (False,), (True, False))
    }
    sys.stdout.write(json.dumps({"questions": len(answerable), "answerable": sum(answerable), **document}) + "\n")
    return 0


if __name__ == "__main__":
    run_module(main)
