"""Turns answers into figures: measures per kind and overall with bootstrap intervals, and paired differences.

It asks nothing and prints nothing.

    rows = score(answers, AnswerMeasures(known))
    summarize(rows)["overall"]["rouge_l"]  # {"questions": 40, "mean": ..., "low": ..., "high": ...}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np

from serve.evaluation.asking.intervals import Values, estimate_means
from serve.evaluation.errors import AnswersUnusable
from serve.evaluation.qa.qa_answer import QUOTED, Answer
from serve.evaluation.qa.qa_measures import AnswerMeasures
from serve.evaluation.retrieval.evaluation import group_by_kind

Measured = Mapping[str, float | None]


class Timed(Protocol):
    """The fields of an answer that a summary of the load needs."""

    @property
    def latency_ms(self) -> float | None:
        """For the whole answer; None if no model was asked."""

    @property
    def prompt_tokens(self) -> int | None:
        """Tokens read, by the server's count."""

    @property
    def completion_tokens(self) -> int | None:
        """Tokens written, by the server's count."""


def score(answers: Sequence[Answer], measures: AnswerMeasures) -> list[dict[str, Any]]:
    """Each answer with its measures and the names in it that no document holds, as plain values for JSON."""
    rows = []
    for answer in answers:
        is_cut = answer.finish_reason == "length"
        rows.append(
            {
                "id": answer.id,
                "kind": answer.kind,
                "question": answer.question,
                "measures": measures.measure(answer.question, answer.reference, answer.answer, is_cut),
                "unknown_names": sorted(measures.unknown_names(answer.question, answer.answer, is_cut)),
            }
        )
    return rows


def summarize(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means and 95 % bootstrap intervals of all measures, overall and, if there are several kinds, for each kind."""
    return _estimate_by_kind([(row["kind"], row["measures"]) for row in rows])


def compare(rows: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Differences, these answers minus the others, question by question, with paired bootstrap intervals.

    Only questions that both have count.

    Raises AnswersUnusable: they have no question in common.
    """
    before = {_key(row): row["measures"] for row in others}
    pairs = [(row["kind"], _subtract(row["measures"], before[_key(row)])) for row in rows if _key(row) in before]
    if not pairs:
        raise AnswersUnusable(
            "the answers to compare with are to other questions: name answers to these with --compare"
        )
    return _estimate_by_kind(pairs)


def count(answers: Sequence[Answer]) -> dict[str, int]:
    """The questions by outcome.

    `passages_left_out` and `cut_at_max_tokens` count questions whose context or answer is not whole.
    """
    return {
        "questions": len(answers),
        "answered_by_model": sum(answer.by_model for answer in answers),
        "answered_in_quotes": sum(answer.finish_reason == QUOTED for answer in answers),
        "nothing_found": sum(not answer.by_model and answer.finish_reason != QUOTED for answer in answers),
        "passages_left_out": sum(answer.left_out > 0 for answer in answers),
        "cut_at_max_tokens": sum(answer.finish_reason == "length" for answer in answers),
        "empty": sum(not answer.answer.strip() for answer in answers),
    }


def describe_load(answers: Sequence[Timed]) -> dict[str, Any]:
    """Latencies and the server's token counts.

    Latencies are of whole answers with all requests in flight; None if no model was asked.
    """
    latencies = [answer.latency_ms for answer in answers if answer.latency_ms is not None]
    quantiles = {f"p{percent}": float(np.percentile(latencies, percent)) for percent in (50, 95)} if latencies else None
    return {
        "latency_ms": quantiles,
        "tokens": {
            "prompt": sum(answer.prompt_tokens or 0 for answer in answers),
            "completion": sum(answer.completion_tokens or 0 for answer in answers),
        },
    }


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["id"], row["question"]


def _subtract(measured: Measured, other: Measured) -> dict[str, float | None]:
    """Measure by measure; None if either does not apply."""
    differences: dict[str, float | None] = {}
    for name, value in measured.items():
        before = other[name]
        differences[name] = None if value is None or before is None else value - before
    return differences


def _estimate_by_kind(measured: Sequence[tuple[str, Measured]]) -> dict[str, Any]:
    groups = group_by_kind(measured)
    return {name: {"questions": len(group), **_estimate(group)} for name, group in groups.items()}


def _estimate(group: Sequence[Measured]) -> dict[str, dict[str, float] | None]:
    """Each measure over the questions that it applies to, with their number; None if there are none."""
    estimates: dict[str, dict[str, float] | None] = {}
    for name in group[0]:
        column = [value for row in group if (value := row[name]) is not None]
        values: Values = np.array(column, dtype=np.float64)[:, np.newaxis]
        estimates[name] = {"questions": len(column), **asdict(estimate_means(values)[0])} if column else None
    return estimates
