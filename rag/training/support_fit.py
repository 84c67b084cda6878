"""Fits the coefficients of rag.checking.support to labelled sentences, and measures the check with them.

Each line of data/training/support.jsonl has passages, and sentences that they support and do not support. Each seventh
of the lines is judged by coefficients fitted to the others, five times over. A person puts the printed coefficients
into support.

    python -m rag.training.support_fit data/training/support.jsonl
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.checking.support import SUPPORTED, Traits, denies_context, observe, read_claims
from rag.checking.windows import Source, read_sources
from rag.command_line import run_module
from rag.documents import Hit
from rag.embedding.embedder import Embedder
from rag.errors import QuestionsUnusable, reason_of
from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.search.retriever import Retriever
from rag.settings import RagSettings

Rows = NDArray[np.float64]
FOLDS = 7
REPEATS = 5
ROUNDS = 10  # of choosing the window that supports a clause best, and fitting to what was chosen
RIDGE = 0.3  # in units of a feature's spread: the sentences are few
START = {
    "near": 1.0,
    "local": 0.6,
    "own": 0.5,
    "outside": -0.6,
    "opposite": -0.5,
}  # coefficients by which windows are chosen first


@dataclass(frozen=True, slots=True)
class Labelled:
    """A sentence with the passages beside it: whether they support it, else in which way it is wrong.

    `group` is its line.
    """

    group: int
    text: str
    kind: str
    is_right: bool
    sources: tuple[Source, ...]


def read_labelled(path: Path, home: Path, settings: RagSettings) -> tuple[list[Labelled], Retriever]:
    """The sentences of a file, over an index of their passages that is built in `home`.

    Raises QuestionsUnusable: the file cannot be read.
    """
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise QuestionsUnusable(
            f"{path} cannot be read ({reason_of(error)}): name a file of labelled sentences"
        ) from None
    documents = []
    for group, line in enumerate(lines):
        for number, passage in enumerate(line["passages"]):
            title, *headings = passage["place"].split(" > ")
            text = "\n\n".join([f"# {title}", *(f"## {heading}" for heading in headings), passage["text"]]) + "\n"
            documents.append(parse_document(f"group{group:03}", f"{number}.md", title, text, None, "Apache-2.0"))
    build_index(documents, home / "index", settings, Embedder.find(settings.embedder))
    retriever = Retriever.open(home / "index", settings)

    labelled: list[Labelled] = []
    for group, line in enumerate(lines):
        within = retriever.within([f"group{group:03}"])
        hits = sorted(within.rank(" ".join(passage["place"] for passage in line["passages"])), key=_place)
        sources = tuple(read_sources(hits, retriever))
        for side in ("right", "wrong"):
            labelled += [Labelled(group, one["text"], one["kind"], side == "right", sources) for one in line[side]]
    return labelled, retriever


def _place(hit: Hit) -> tuple[str, int]:
    return hit.chunk.path, hit.chunk.position


def read_features(labelled: Sequence[Labelled], retriever: Retriever) -> list[list[Rows]]:
    """For each sentence and each of its clauses the features of each window, a leading 1 first.

    A clause that nothing holds has none.
    """
    features: list[list[Rows]] = []
    for one in labelled:
        claims = [] if denies_context(one.text) else read_claims(one.text, retriever)
        seen = [[traits for _, each in observe(claim, one.sources) for traits in each] for claim in claims]
        features.append(
            [np.array([(1.0, *traits) for traits in each]).reshape(-1, len(Traits._fields) + 1) for each in seen]
        )
    return features


def judge(clauses: Sequence[Rows], coefficients: Rows) -> tuple[float, Rows] | None:
    """The odds of the weakest clause in its best window, and that window's features; None where a clause has none."""
    if not clauses or not all(len(windows) for windows in clauses):
        return None
    best = [windows[int((windows @ coefficients).argmax())] for windows in clauses]
    weakest = min(best, key=lambda window: float(window @ coefficients))
    return float(weakest @ coefficients), weakest


def fit(features: Sequence[Sequence[Rows]], is_right: Rows) -> Rows:
    """Coefficients of standardised features by logistic regression, shape (features,).

    Windows and coefficients are chosen in turns.
    """
    start = {name: START.get(name, 0.0) for name in Traits._fields}
    coefficients = np.array([0.0, *start.values()])
    for _ in range(ROUNDS):
        judged = [judge(clauses, coefficients) for clauses in features]
        rows = np.array([found[1] for found in judged if found])
        truth = np.array([right for found, right in zip(judged, is_right, strict=True) if found])
        coefficients = _regress(rows, truth)
    return coefficients


def _regress(rows: Rows, truth: Rows) -> Rows:
    """Logistic regression by Newton's method."""
    coefficients = np.zeros(rows.shape[1])
    ridge = RIDGE * np.eye(len(coefficients))
    for _ in range(50):
        predicted = 1 / (1 + np.exp(-np.clip(rows @ coefficients, -30, 30)))
        gradient = rows.T @ (truth - predicted) - ridge @ coefficients
        curvature = (rows * (predicted * (1 - predicted))[:, None]).T @ rows + ridge
        coefficients += np.linalg.solve(curvature, gradient)
    return coefficients


def standardise(features: Sequence[Sequence[Rows]]) -> tuple[list[list[Rows]], Rows, Rows]:
    """Features with mean 0 and spread 1, and both; the leading 1 stays."""
    everything = np.concatenate([windows for clauses in features for windows in clauses])
    mean, spread = everything.mean(axis=0), everything.std(axis=0)
    mean[0], spread[spread == 0] = 0.0, 1.0
    spread[0] = 1.0
    return [[(windows - mean) / spread for windows in clauses] for clauses in features], mean, spread


def cross_validate(features: Sequence[Sequence[Rows]], labelled: Sequence[Labelled], seed: int) -> Rows:
    """The probability of each sentence by coefficients that saw no sentence of its passages, shape (sentences,)."""
    is_right = np.array([float(one.is_right) for one in labelled])
    groups = np.array([one.group for one in labelled])
    fold = np.random.default_rng(seed).permutation(groups.max() + 1)[groups] % FOLDS
    probabilities = np.zeros(len(labelled))
    for number in range(FOLDS):
        seen = np.flatnonzero(fold != number)
        coefficients = fit([features[row] for row in seen], is_right[seen])
        for row in np.flatnonzero(fold == number):
            found = judge(features[row], coefficients)
            probabilities[row] = 1 / (1 + math.exp(-found[0])) if found else 0.0
    return probabilities


def describe(probabilities: Rows, labelled: Sequence[Labelled], threshold: float) -> dict[str, Any]:
    """Precision and recall of both verdicts at a threshold, with 95 % intervals over lines of the file."""
    groups = np.array([one.group for one in labelled])
    truth = np.array([one.is_right for one in labelled])
    says = probabilities >= threshold
    measures: dict[str, Callable[[NDArray[np.int64]], float]] = {
        "supported precision": lambda rows: float(truth[rows][says[rows]].mean()) if says[rows].any() else math.nan,
        "supported recall": lambda rows: float(says[rows][truth[rows]].mean()),
        "unsupported precision": lambda rows: (
            float((~truth[rows])[~says[rows]].mean()) if (~says[rows]).any() else math.nan
        ),
        "unsupported recall": lambda rows: float((~says[rows])[~truth[rows]].mean()),
    }
    own = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    dice = np.random.default_rng(0)
    draws = [np.concatenate([own[group] for group in dice.integers(len(own), size=len(own))]) for _ in range(1000)]
    report: dict[str, Any] = {"threshold": threshold}
    for name, measure in measures.items():
        low, high = np.nanpercentile([measure(rows) for rows in draws], [2.5, 97.5])
        report[name] = [round(measure(np.arange(len(truth))), 3), round(float(low), 3), round(float(high), 3)]
    return report


def main(argv: list[str]) -> int:
    """One JSON document: coefficients with and without token vectors, and what both are worth on unseen passages."""
    parser = argparse.ArgumentParser(
        prog="python -m rag.training.support_fit", description="Fit and measure the check of a model's sentences."
    )
    parser.add_argument(
        "labelled", type=Path, metavar="FILE", help="JSON lines as those of data/training/support.jsonl"
    )
    args = parser.parse_args(argv)

    with tempfile.TemporaryDirectory() as home:
        labelled, retriever = read_labelled(args.labelled, Path(home), RagSettings(home=Path(home)))
        features, mean, spread = standardise(read_features(labelled, retriever))
    is_right = np.array([float(one.is_right) for one in labelled])
    document: dict[str, Any] = {"sentences": len(labelled), "right": int(is_right.sum())}
    for name, hidden in (("COEFFICIENTS", ()), ("BY_WORDS", ("near", "worst", "local", "rival", "owned"))):
        shown = np.array([1.0, *(float(trait not in hidden) for trait in Traits._fields)])
        seen = [[windows * shown for windows in clauses] for clauses in features]
        probabilities = np.mean([cross_validate(seen, labelled, seed) for seed in range(REPEATS)], axis=0)
        scaled = fit(seen, is_right) / spread
        scaled[0] -= float(scaled[1:] @ mean[1:])
        document[name] = [round(float(value), 3) for value in scaled]
        document[f"{name} measured"] = [
            describe(probabilities, labelled, threshold) for threshold in (SUPPORTED, 0.6, 0.7, 0.8)
        ]
        document[f"{name} right by kind"] = _by_kind(probabilities, labelled)
    sys.stdout.write(json.dumps(document, indent=1) + "\n")
    return 0


def _by_kind(probabilities: Rows, labelled: Sequence[Labelled]) -> dict[str, str]:
    """How many sentences of each kind were judged rightly."""
    counts: dict[str, list[int]] = {}
    for probability, one in zip(probabilities, labelled, strict=True):
        counts.setdefault(f"{'right' if one.is_right else 'wrong'} {one.kind}", []).append(
            int((probability >= SUPPORTED) == one.is_right)
        )
    return {kind: f"{sum(found)} of {len(found)}" for kind, found in sorted(counts.items())}


if __name__ == "__main__":
    run_module(main)
