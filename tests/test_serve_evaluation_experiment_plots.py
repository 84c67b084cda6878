"""The pictures: one panel per measure that has figures, in both forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from serve.evaluation.experiment.plan import Plan, Row, sweep_rows, table_rows
from serve.evaluation.experiment.plots import draw_report
from serve.evaluation.experiment.report import build_report
from tests.test_serve_evaluation_experiment_report import IFEVAL, MADE_BY, MCQ, PARENTS, QA

Cells = dict[str, dict[str, Any]]


def make_report(folder: Path, experiment: str, rows: tuple[Row, ...], done: dict[str, float]) -> dict[str, Any]:
    """A report whose measures have the mean `done` says by row, each with an interval of 0.1 on either side."""
    report = build_report(Plan(experiment, PARENTS, {}, rows, (QA, IFEVAL, MCQ)), folder, {}, MADE_BY)
    for name, mean in done.items():
        figure = {"overall": {"questions": 9, "mean": mean, "low": mean - 0.1, "high": mean + 0.1}}
        report["rows"][name]["qa_golden"] = {"state": "done", "measures": {"rouge_l": figure}}
        report["rows"][name]["mcq"] = {"state": "done", "measures": {"acc": figure}}
    return report


def has_colour(path: Path, colour: str) -> bool:
    """Whether the picture has pixels of this very colour, given as #rrggbb."""
    wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    pixels = np.rint(imread(path)[:, :, :3] * 255).astype(int)
    return bool((pixels == wanted).all(axis=2).any())


def test_a_table_is_drawn_with_parents_and_merges_apart(tmp_path: Path) -> None:
    rows = table_rows(["chat", "geodesic"], 0.6)
    draw_report(make_report(tmp_path, "table", rows, {"chat": 0.4, "geodesic": 0.5}), tmp_path / "t.png")
    assert has_colour(tmp_path / "t.png", "#555555")
    assert has_colour(tmp_path / "t.png", "#0072B2")
    draw_report(make_report(tmp_path, "table", rows, {"chat": 0.4}), tmp_path / "t.png")
    assert not has_colour(tmp_path / "t.png", "#0072B2")


def test_a_sweep_has_both_lines(tmp_path: Path) -> None:
    rows = sweep_rows([0, 0.5, 1])
    draw_report(
        make_report(tmp_path, "sweep", rows, {row.name: 0.4 + 0.2 * (row.method == "linear") for row in rows}),
        tmp_path / "s.png",
    )
    assert has_colour(tmp_path / "s.png", "#0072B2")
    assert has_colour(tmp_path / "s.png", "#D55E00")


def test_a_method_of_which_no_merge_is_measured_has_no_line(tmp_path: Path) -> None:
    rows = sweep_rows([0, 0.5, 1])
    draw_report(
        make_report(tmp_path, "sweep", rows, {"chat": 0.4, "chip": 0.6, "geodesic-0.5": 0.7}), tmp_path / "s.png"
    )
    assert has_colour(tmp_path / "s.png", "#0072B2")
    assert not has_colour(tmp_path / "s.png", "#D55E00")


@pytest.mark.parametrize("experiment", ["table", "sweep"])
def test_without_figures_there_is_no_picture(tmp_path: Path, experiment: str) -> None:
    draw_report(make_report(tmp_path, experiment, table_rows(["chat"], 0.6), {}), tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
