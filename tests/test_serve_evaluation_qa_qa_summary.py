"""serve.evaluation.qa.qa_summary on constructed answers whose means and differences are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from serve.evaluation.errors import AnswersUnusable
from serve.evaluation.qa.qa_answer import Answer
from serve.evaluation.qa.qa_measures import MEASURES, AnswerMeasures
from serve.evaluation.qa.qa_summary import compare, count, describe_load, score, summarize


def an_answer(
    number: int, text: str, kind: str = "a", reference: str = "run set_wire_rc now", **changes: object
) -> Answer:
    values = {"by_model": True, "left_out": 0, **changes}
    return Answer(number, f"q{number}", kind, f"question {number}", reference, text, "hash", (), **values)  # type: ignore[arg-type]


def rows(values: list[float], kind: str = "a", right: float | None = None) -> list[dict[str, object]]:
    return [
        {"id": str(number), "kind": kind, "question": "?", "measures": {"rouge_l": value, "right_command": right}}
        for number, value in enumerate(values)
    ]


def test_answers_are_scored_one_by_one() -> None:
    measures = AnswerMeasures(frozenset({"set_wire_rc"}))
    scored = score([an_answer(1, "run set_wire_rc now"), an_answer(2, "run fix_it_all")], measures)
    assert [row["id"] for row in scored] == ["q1", "q2"]
    assert scored[0]["measures"] == {
        "rouge_l": 1.0,
        "right_command": 1.0,
        "command_recall": 1.0,
        "unknown_command": 0.0,
    }
    assert scored[1]["measures"]["unknown_command"] == 1.0
    assert scored[1]["unknown_names"] == ["fix_it_all"]
    assert tuple(scored[0]["measures"]) == MEASURES
    (cut,) = score([an_answer(3, "run fix_it_a", finish_reason="length")], measures)
    assert (cut["measures"]["unknown_command"], cut["unknown_names"]) == (0.0, [])


def test_means_are_given_overall_and_for_each_kind() -> None:
    summary = summarize([*rows([0.2, 0.4]), *rows([0.9], kind="b")])
    assert list(summary) == ["overall", "a", "b"]
    assert summary["overall"]["questions"] == 3
    assert summary["overall"]["rouge_l"]["mean"] == pytest.approx(0.5)
    assert summary["a"]["rouge_l"]["mean"] == pytest.approx(0.3)
    assert summary["b"]["rouge_l"] == {"questions": 1, "mean": 0.9, "low": 0.9, "high": 0.9}


def test_a_measure_counts_only_the_questions_it_applies_to() -> None:
    summary = summarize([*rows([0.1, 0.1], right=1.0), *rows([0.1] * 3), *rows([0.1], kind="b")])
    assert summary["overall"]["right_command"] == {"questions": 2, "mean": 1.0, "low": 1.0, "high": 1.0}
    assert summary["b"]["right_command"] is None


def test_the_interval_is_the_percentile_bootstrap_of_the_mean() -> None:
    values = np.random.default_rng(3).beta(2, 5, size=40)
    estimate = summarize(rows(values.tolist()))["overall"]["rouge_l"]
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert estimate["low"] == pytest.approx(expected.low, abs=0.004)
    assert estimate["high"] == pytest.approx(expected.high, abs=0.004)


def test_a_small_steady_difference_shows_only_in_the_paired_interval() -> None:
    spread = np.linspace(0.0, 0.9, 40)
    better = summarize(rows((spread + 0.02).tolist()))["overall"]["rouge_l"]
    worse = summarize(rows(spread.tolist()))["overall"]["rouge_l"]
    assert better["low"] < worse["high"]  # side by side nothing is to be seen
    difference = compare(rows((spread + 0.02).tolist()), rows(spread.tolist()))["overall"]["rouge_l"]
    assert difference == pytest.approx({"questions": 40, "mean": 0.02, "low": 0.02, "high": 0.02})


def test_a_difference_that_is_chance_has_zero_in_its_interval() -> None:
    noise = np.tile([0.1, -0.1], 20)
    difference = compare(rows((0.5 + noise).tolist()), rows([0.5] * 40))["overall"]["rouge_l"]
    assert difference["mean"] == pytest.approx(0.0)
    # The mean of 40 differences of 0.1 either way has the standard deviation 0.1 / sqrt(40).
    assert (difference["low"], difference["high"]) == pytest.approx(
        (-1.96 * 0.1 / 40**0.5, 1.96 * 0.1 / 40**0.5), abs=0.003
    )


def test_only_questions_of_both_are_compared_whatever_their_order() -> None:
    difference = compare(rows([0.5, 0.6, 0.7]), rows([0.1, 0.1])[::-1])["overall"]
    assert difference["questions"] == 2
    assert difference["rouge_l"]["mean"] == pytest.approx(0.45)
    assert difference["right_command"] is None
    with pytest.raises(AnswersUnusable, match="other questions"):
        compare(rows([0.5]), [])


def test_what_became_of_the_questions_is_counted() -> None:
    answers = [
        an_answer(1, "x", finish_reason="length", left_out=2, prompt_tokens=10, completion_tokens=5, latency_ms=100.0),
        an_answer(2, " ", finish_reason="stop", prompt_tokens=20, completion_tokens=1, latency_ms=300.0),
        an_answer(3, "nothing found", by_model=False),
    ]
    assert count(answers) == {
        "questions": 3,
        "answered_by_model": 2,
        "answered_in_quotes": 0,
        "nothing_found": 1,
        "passages_left_out": 1,
        "cut_at_max_tokens": 1,
        "empty": 1,
    }
    load = describe_load(answers)
    assert load["tokens"] == {"prompt": 30, "completion": 6}
    assert load["latency_ms"] == {"p50": pytest.approx(200.0), "p95": pytest.approx(290.0)}
    assert describe_load(answers[2:])["latency_ms"] is None
