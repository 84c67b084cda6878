"""Turns documents of evaluations into values per question, means, and differences between models with 95 % intervals.

Differences are paired: a question counts if both models answered it, and both see the same draws. It reads no plan and
draws nothing.

    values = read_values("ifeval", document)["prompt_strict"]
    estimate_difference(values, read_values("ifeval", other)["prompt_strict"])
    # {"questions": 277, "mean": ..., "low": ..., "high": ...}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve.evaluation.asking.answers import read_rows
from serve.evaluation.asking.intervals import estimate_ratio

Numbers = NDArray[np.float64]
Estimate = dict[str, float]  # questions, mean, low, high
ALL = "overall"


@dataclass(frozen=True)
class Value:
    """What one question adds to a measure.

    `total` over `count` things (one answer, or the instructions of one prompt), in its kind's group.
    """

    total: float
    count: float
    group: str = ""


Values = dict[str, Value]  # by what identifies the question


def read_values(evaluation: str, document: Mapping[str, Any]) -> dict[str, Values]:
    """Per measure the value of each question that it applies to.

    document: the JSON output of `chipalign eval qa`, `ifeval` or `mcq`.
    """
    return READERS[evaluation](document)


def _read_qa(document: Mapping[str, Any]) -> dict[str, Values]:
    values: dict[str, Values] = {}
    for row in document["questions"]:
        for measure, value in row["measures"].items():
            if value is not None:
                values.setdefault(measure, {})[f"{row['id']} {row['question']}"] = Value(value, 1, row["kind"])
    return values


def _read_ifeval(document: Mapping[str, Any]) -> dict[str, Values]:
    values: dict[str, Values] = {}
    for row in document["values"]:
        for level in ("strict", "loose"):
            followed = row[level]
            values.setdefault(f"prompt_{level}", {})[str(row["key"])] = Value(float(all(followed)), 1)
            values.setdefault(f"instruction_{level}", {})[str(row["key"])] = Value(float(sum(followed)), len(followed))
    return values


def _read_mcq(document: Mapping[str, Any]) -> dict[str, Values]:
    rows = document["values"]
    return {
        measure: {str(row["key"]): Value(row[measure], 1, row["domain"]) for row in rows}
        for measure in ("acc", "acc_norm")
    }


READERS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Values]]] = {
    "qa": _read_qa,
    "ifeval": _read_ifeval,
    "mcq": _read_mcq,
}


def estimate_groups(values: Values) -> dict[str, Estimate]:
    """The mean over all questions and, if there are several kinds, of each."""
    groups = sorted({value.group for value in values.values()})
    estimates = {ALL: estimate(values)}
    if len(groups) > 1:
        estimates |= {
            group: estimate({key: value for key, value in values.items() if value.group == group}) for group in groups
        }
    return estimates


def estimate(values: Values) -> Estimate:
    """The mean (for instructions, over all instructions) with its interval over the questions."""
    rows = list(values.values())
    return _describe(np.array([row.total for row in rows]), np.array([row.count for row in rows]))


def estimate_difference(values: Values, others: Values) -> Estimate | None:
    """These minus the others, question by question; None if they have no question in common."""
    shared = [key for key in values if key in others]
    if not shared:
        return None
    return _describe(
        np.array([values[key].total - others[key].total for key in shared]),
        np.array([values[key].count for key in shared]),
    )


def estimate_way_back(merged: Values, chip: Values, chat: Values) -> Estimate | None:
    """How much of the chip model's loss against the chat model the merge recovers.

    (merged - chip) / (chat - chip); 1 is all of it.

    None unless the chat model is clearly better (its paired interval is above zero): else there is no loss to recover.
    """
    lost = estimate_difference(chat, chip)
    if lost is None or lost["low"] <= 0:
        return None
    shared = [key for key in merged if key in chip and key in chat]
    if not shared:
        return None
    regained = np.array([merged[key].total - chip[key].total for key in shared])
    return _describe(regained, np.array([chat[key].total - chip[key].total for key in shared]))


def _describe(totals: Numbers, counts: Numbers) -> Estimate:
    return {"questions": len(totals), **asdict(estimate_ratio(totals, counts))}


def read_answers(evaluation: str, path: Path) -> dict[str, str]:
    """The model's answers, by question: the text, or for multiple choice the number of the likeliest choice.

    Empty if there is no file.
    """
    if not path.is_file():
        return {}
    key, answer = ANSWERS[evaluation]
    return {str(row[key]): answer(row) for row in read_rows(path)}


def _find_choice(row: Mapping[str, Any]) -> str:
    scores = row["loglikelihoods"]
    return str(scores.index(max(scores)))


ANSWERS: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "qa": ("number", lambda row: str(row["answer"])),
    "ifeval": ("key", lambda row: str(row["response"])),
    "mcq": ("key", _find_choice),
}


def count_differing(answers: Mapping[str, str], others: Mapping[str, str]) -> dict[str, int]:
    """How many answers to the same questions differ."""
    shared = answers.keys() & others.keys()
    return {"questions": len(shared), "differ": sum(answers[key] != others[key] for key in shared)}
