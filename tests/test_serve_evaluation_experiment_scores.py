"""Figures from the evaluations' documents: values per question, intervals, and differences paired by question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.command_line import write_jsonl
from serve.evaluation.experiment.scores import (
    Value,
    Values,
    count_differing,
    estimate,
    estimate_difference,
    estimate_groups,
    estimate_way_back,
    read_answers,
    read_values,
)

QA = {
    "questions": [
        {"id": "1", "kind": "flow", "question": "a?", "measures": {"rouge_l": 0.25, "right_command": None}},
        {"id": "2", "kind": "name", "question": "b?", "measures": {"rouge_l": 0.75, "right_command": 1.0}},
    ]
}
IFEVAL = {
    "values": [
        {"key": 7, "strict": [True, False, True], "loose": [True, True, True]},
        {"key": 8, "strict": [False], "loose": [True]},
        {"key": 9, "strict": [True, True], "loose": [True, True]},
    ]
}
MCQ = {
    "values": [
        {"key": "m1", "domain": "flow", "acc": 1, "acc_norm": 0},
        {"key": "m2", "domain": "bugs", "acc": 0, "acc_norm": 0},
    ]
}


def as_values(numbers: dict[str, float]) -> Values:
    return {key: Value(number, 1) for key, number in numbers.items()}


def test_a_measure_holds_the_questions_that_it_applies_to() -> None:
    values = read_values("qa", QA)
    assert values["rouge_l"] == {"1 a?": Value(0.25, 1, "flow"), "2 b?": Value(0.75, 1, "name")}
    assert list(values["right_command"]) == ["2 b?"]


def test_a_prompt_is_followed_if_all_instructions_are_and_each_counts_by_itself() -> None:
    values = read_values("ifeval", IFEVAL)
    assert [value.total for value in values["prompt_strict"].values()] == [0, 0, 1]
    assert estimate(values["prompt_strict"])["mean"] == pytest.approx(1 / 3)
    assert estimate(values["instruction_strict"])["mean"] == pytest.approx(4 / 6)
    assert estimate(values["prompt_loose"]) == {"questions": 3, "mean": 1.0, "low": 1.0, "high": 1.0}


def test_kinds_are_estimated_by_themselves_where_there_are_several() -> None:
    groups = estimate_groups(read_values("mcq", MCQ)["acc"])
    assert {name: found["mean"] for name, found in groups.items()} == {"overall": 0.5, "bugs": 0.0, "flow": 1.0}
    assert list(estimate_groups(read_values("ifeval", IFEVAL)["prompt_strict"])) == ["overall"]


def test_differences_are_paired_by_question_whatever_the_order() -> None:
    ours = as_values({"a": 0.9, "b": 0.1, "c": 0.5, "only ours": 1.0})
    theirs = as_values({"c": 0.4, "only theirs": 0.0, "a": 0.8, "b": 0.0})
    found = estimate_difference(ours, theirs)
    assert found is not None
    assert found["questions"] == 3
    # Each by the same: no width, where unpaired has much
    assert (found["mean"], found["low"], found["high"]) == pytest.approx((0.1, 0.1, 0.1))


def test_nothing_in_common_has_no_difference() -> None:
    assert estimate_difference(as_values({"a": 1}), as_values({"b": 1})) is None


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1))
def test_a_difference_the_other_way_round_has_the_other_sign(pairs: dict[str, tuple[float, float]]) -> None:
    ours, theirs = (as_values({key: pair[side] for key, pair in pairs.items()}) for side in (0, 1))
    there, back = estimate_difference(ours, theirs), estimate_difference(theirs, ours)
    assert there is not None
    assert back is not None
    assert (there["mean"], there["low"], there["high"]) == pytest.approx(
        (-back["mean"], -back["high"], -back["low"]), abs=1e-9
    )


def test_the_way_back_is_the_share_of_what_was_lost() -> None:
    chat, chip = (
        as_values(dict.fromkeys("abcdefgh", 1.0)),
        as_values({**dict.fromkeys("abcdef", 0.0), "g": 1.0, "h": 1.0}),
    )
    merged = as_values({**dict.fromkeys("abc", 1.0), **dict.fromkeys("def", 0.0), "g": 1.0, "h": 1.0})
    found = estimate_way_back(merged, chip, chat)
    assert found is not None
    assert found["mean"] == 0.5  # three of six
    assert 0 <= found["low"] < 0.5 < found["high"] <= 1


def test_where_nothing_was_clearly_lost_there_is_no_way_back() -> None:
    chat, chip = as_values({"a": 1.0, "b": 0.0, "c": 1.0}), as_values({"a": 0.0, "b": 1.0, "c": 0.0})
    assert estimate_way_back(chat, chip, chat) is None
    assert estimate_way_back(chat, as_values({"z": 1.0}), chat) is None


def test_answers_are_read_from_what_the_evaluations_keep(tmp_path: Path) -> None:
    rows: dict[str, list[dict[str, Any]]] = {
        "qa": [{"number": 1, "id": "x", "answer": "Run\u2028it."}, {"number": 2, "id": "x", "answer": "No."}],
        "ifeval": [{"key": 7, "response": "Yes."}],
        "mcq": [{"key": "m1", "loglikelihoods": [-3.0, -1.0, -2.0]}, {"key": "m2", "loglikelihoods": [-1.0, -1.0]}],
    }
    for evaluation, answers in rows.items():
        lines = [{"file": "settings"}, *answers]
        write_jsonl(tmp_path / evaluation, lines)
    read = {evaluation: read_answers(evaluation, tmp_path / evaluation) for evaluation in rows}
    assert read == {"qa": {"1": "Run\u2028it.", "2": "No."}, "ifeval": {"7": "Yes."}, "mcq": {"m1": "1", "m2": "0"}}
    assert read_answers("qa", tmp_path / "none") == {}


def test_answers_that_differ_are_counted_among_shared_questions() -> None:
    assert count_differing({"a": "x", "b": "y", "c": "z"}, {"b": "Y", "a": "x", "d": "z"}) == {
        "questions": 2,
        "differ": 1,
    }
