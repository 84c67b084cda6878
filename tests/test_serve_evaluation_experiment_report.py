"""The report from invented result files: golden figures, pairs, what is failed or open, and the Markdown that people
read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serve.evaluation.experiment.plan import (
    Cell,
    Plan,
    Row,
    answers_file,
    model_file,
    result_file,
    sweep_rows,
    table_rows,
)
from serve.evaluation.experiment.report import build_report, find_pairs, find_twins, render_markdown, title_of
from serve.evaluation.experiment.run import write_whole

MADE_BY = {
    "command": "chipalign eval table --out x",
    "date": "2026-11-24",
    "commit": "abc",
    "cpu": "x",
    "cores": 2,
    "python": "",
    "torch": "",
    "engine": "",
}
PARENTS = {"chip": {"model": "/m/chip", "adapter": "/a/eda"}, "chat": {"model": "org/chat"}}
QA = Cell("qa_golden", "qa", "/q", 4, "aa", searched="corpus", documents="/c", documents_sha256="bb")
IFEVAL = Cell("ifeval", "ifeval", "/p", 3, "cc")
MCQ = Cell("mcq", "mcq", "/m", 2, "dd")
ROUGE = {
    "chat": [0.2, 0.4, 0.6, 0.8],
    "chip": [0.1, 0.1, 0.1, 0.1],
    "linear": [0.3, 0.5, 0.7, 0.9],
    "geodesic": [0.4, 0.6, 0.8, 1.0],
}
FOLLOWED = {"chat": [1, 1, 1], "chip": [0, 0, 0], "linear": [1, 0, 0], "geodesic": [1, 1, 0]}


def qa_document(row: str) -> dict[str, Any]:
    kinds = ("flow", "flow", "name|d", "name|d")
    measures = [
        {"rouge_l": value, "right_command": None, "command_recall": None, "unknown_command": float(value > 0.5)}
        for value in ROUGE[row]
    ]
    return {
        "questions": [{"id": str(n), "question": "q", "kind": kinds[n], "measures": measures[n]} for n in range(4)],
        "wall_s": 1.0,
    }


def ifeval_document(row: str) -> dict[str, Any]:
    return {
        "values": [
            {"key": n, "strict": [bool(done)] * (n + 1), "loose": [True] * (n + 1)}
            for n, done in enumerate(FOLLOWED[row])
        ],
        "wall_s": 1.0,
    }


def make_plan(*methods: str, cells: tuple[Cell, ...] = (QA, IFEVAL)) -> Plan:
    return Plan("table", PARENTS, {}, table_rows(methods or tuple(ROUGE), 0.6), cells, left_out=("ties: no base",))


def write_results(folder: Path, plan: Plan) -> None:
    for row in plan.rows:
        for cell, make in ((QA, qa_document), (IFEVAL, ifeval_document)):
            write_whole(result_file(folder, row, cell), json.dumps(make(row.name)).encode())
        lines = [{"file": "qa answers"}, *({"number": n, "answer": f"{row.name if n == 2 else n}"} for n in range(4))]
        write_whole(answers_file(folder, row, QA), "".join(json.dumps(line) + "\n" for line in lines).encode())
        write_whole(
            model_file(folder, row),
            json.dumps({"merge": {"theta_degrees": {"median": 0.45, "max": 2.13}}, "ready_s": 1}).encode(),
        )


@pytest.fixture
def report(tmp_path: Path) -> dict[str, Any]:
    plan = make_plan()
    write_results(tmp_path, plan)
    return build_report(plan, tmp_path, {}, MADE_BY)


def find(items: list[dict[str, Any]], **wanted: str) -> dict[str, Any]:
    (found,) = [item for item in items if all(item[key] == value for key, value in wanted.items())]
    return found


def test_the_figures_are_the_means_of_the_files(report: dict[str, Any]) -> None:
    assert report["finished"]
    measures = report["rows"]["chat"]["qa_golden"]["measures"]
    assert measures["rouge_l"]["overall"]["mean"] == pytest.approx(0.5)
    assert measures["rouge_l"]["flow"]["mean"] == pytest.approx(0.3)
    assert measures["unknown_command"]["overall"]["mean"] == 0.5
    assert "right_command" not in measures  # which applied to no question
    strict = report["rows"]["geodesic"]["ifeval"]["measures"]
    assert strict["prompt_strict"]["overall"]["mean"] == pytest.approx(2 / 3)
    assert strict["instruction_strict"]["overall"]["mean"] == pytest.approx(3 / 6)  # prompts of 1, 2 and 3 instructions


def test_differences_are_of_each_merge_with_the_parents_and_geodesic_with_linear(report: dict[str, Any]) -> None:
    pairs = {(item["row"], item["against"]) for item in report["differences"]}
    assert pairs == {
        *(
            ("chip", "chat"),
            ("linear", "chat"),
            ("linear", "chip"),
            ("geodesic", "chat"),
            ("geodesic", "chip"),
            ("geodesic", "linear"),
        ),
    }
    found = find(report["differences"], row="geodesic", against="linear", cell="qa_golden", measure="rouge_l")
    assert (found["mean"], found["low"], found["high"]) == pytest.approx((0.1, 0.1, 0.1))  # every question by as much


def test_the_way_back_is_reported_for_the_merges_alone(report: dict[str, Any]) -> None:
    assert {item["row"] for item in report["way_back"]} == {"linear", "geodesic"}
    assert find(report["way_back"], row="linear", measure="prompt_strict")["mean"] == pytest.approx(1 / 3)
    assert find(report["way_back"], row="geodesic", measure="instruction_strict")["mean"] == pytest.approx(3 / 6)


def test_answers_of_twins_are_compared(report: dict[str, Any]) -> None:
    found = find(report["answers"], row="geodesic", cell="qa_golden")
    assert (found["against"], found["differ"], found["questions"]) == ("linear", 1, 4)


def test_the_markdown_has_each_figure_with_its_interval(report: dict[str, Any]) -> None:
    text = render_markdown(report)
    lines = text.splitlines()
    assert lines[0] == "# Table: chip + eda into chat"
    assert "0.45 degrees per tensor in the median, 2.13 at most" in text
    assert (
        "| model | lam | ROUGE-L, golden | right command, golden | unknown command, golden | IFEval, prompts | IFEval, "
        "instructions |" in lines
    )
    assert (
        "| chip | 1 | 0.100 [0.100, 0.100] | - | 0.000 [0.000, 0.000] | 0.000 [0.000, 0.000] | 0.000 [0.000, 0.000] |"
        in lines
    )
    assert r"| model | flow (2) | name\|d (2) |" in lines
    (difference,) = [line for line in lines if line.startswith("| geodesic - linear |")]
    assert "| +0.100 [+0.100, +0.100] * |" in difference
    assert "| +0.333 [+0.000, +1.000] |" in difference  # prompts: zero is no longer left out
    assert "| geodesic, linear | qa_golden | 1 of 4 |" in lines
    assert "- left out: ties: no base" in lines
    assert "`chipalign eval table --out x`; date 2026-11-24, commit abc, cpu x, cores 2" in lines


def test_what_is_failed_or_open_is_reported_and_does_not_stop_the_report(tmp_path: Path) -> None:
    plan = make_plan("chat", "geodesic")
    write_results(tmp_path, plan)
    result_file(tmp_path, plan.rows[1], QA).unlink()
    result_file(tmp_path, plan.rows[1], IFEVAL).unlink()
    report = build_report(plan, tmp_path, {("geodesic", "ifeval"): "the engine | ended"}, MADE_BY)
    assert not report["finished"]
    assert report["differences"] == report["answers"] == report["way_back"] == []
    text = render_markdown(report)
    assert "| geodesic | 0.6 | open | open | open | failed | failed |" in text
    assert "- geodesic, ifeval failed: the engine | ended" in text
    assert "Not finished: the same command goes on." in text


def test_before_anything_is_measured_there_is_a_report(tmp_path: Path) -> None:
    report = build_report(make_plan(cells=(MCQ,)), tmp_path, {}, MADE_BY)
    assert report["theta_degrees"] is None
    assert "| chat | 0 | open |" in render_markdown(report)


def test_without_a_clear_loss_the_way_back_is_not_reported(tmp_path: Path) -> None:
    plan = make_plan("chat", "chip", "geodesic", cells=(IFEVAL,))
    for row in plan.rows:
        write_whole(result_file(tmp_path, row, IFEVAL), json.dumps(ifeval_document("geodesic")).encode())
    assert "IFEval back: not reported" in render_markdown(build_report(plan, tmp_path, {}, MADE_BY))


def test_only_merges_at_the_same_lam_are_twins() -> None:
    rows = sweep_rows([0, 0.2, 0.6, 1])
    assert [(one.name, other.name) for one, other in find_twins(rows)] == [
        ("geodesic-0.2", "linear-0.2"),
        ("geodesic-0.6", "linear-0.6"),
    ]
    assert find_twins([Row("linear", "linear", 0.6), Row("soup", "soup", 0.5)]) == []
    assert find_pairs([Row("linear", "linear", 0.6)]) == []


def test_a_title_names_the_context_of_answers_alone() -> None:
    assert (title_of(QA, "rouge_l"), title_of(MCQ, "acc"), title_of(QA, "command_recall")) == (
        *("ROUGE-L, golden", "multiple choice", "command_recall, golden"),
    )
