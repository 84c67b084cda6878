"""Pictures of an experiment, PNG: a table's rows as points with intervals, a sweep's measures along lam.

It draws what `report` put together and computes nothing. It uses matplotlib without pyplot, which would keep global
state.

    draw_report(report, Path("experiment/table.png"))
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from serve.evaluation.experiment.plan import CHAT, CHIP, GEODESIC, LINEAR, PARENTS
from serve.evaluation.experiment.report import describe_pair, shown_columns
from serve.evaluation.experiment.scores import ALL

COLUMNS = 3  # panels side by side
PANEL_INCHES = (4.2, 3.0)
ROW_INCHES = 0.28  # more height for each row of a table
DPI = 130
# Okabe and Ito's palette, which colour-blind people can distinguish, and a marker each for print.
STYLES = {GEODESIC: ("#0072B2", "o", "-"), LINEAR: ("#D55E00", "s", "--")}
PARENT_COLOUR, MERGE_COLOUR = "#555555", "#0072B2"
Point = tuple[float, Mapping[str, float]]  # lam, estimate


def draw_report(report: Mapping[str, Any], path: Path) -> None:
    """Write the picture of a table or a sweep.

    A measure without figures has no panel; without any panel there is no picture.
    """
    panels = [
        (cell, measure, title) for cell, measure, title in shown_columns(report) if _estimates(report, cell, measure)
    ]
    if not panels:
        return

    is_sweep = report["plan"]["experiment"] == "sweep"
    across = min(COLUMNS, len(panels))
    down = math.ceil(len(panels) / across)
    height = PANEL_INCHES[1] if is_sweep else 1.0 + ROW_INCHES * len(report["rows"])

    figure = Figure(figsize=(PANEL_INCHES[0] * across, height * down + 0.4), layout="constrained")
    figure.suptitle(
        f"{describe_pair(report)}, {report['date']}, {report['commit']}: means, 95 % intervals",
        fontsize=9,
        color="#444444",
    )

    places: Sequence[Axes] = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for axes, (cell, measure, title) in zip(places, panels, strict=False):
        axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
        axes.grid(color="#DDDDDD", linewidth=0.6)
        (_draw_curves if is_sweep else _draw_rows)(axes, report, _estimates(report, cell, measure))

    for axes in places[len(panels) :]:
        axes.set_axis_off()
    figure.savefig(path, dpi=DPI, metadata={"Software": None})


def _estimates(report: Mapping[str, Any], cell: str, measure: str) -> dict[str, Mapping[str, float]]:
    """The figures over all questions by row, for the rows that have one."""
    cells = {row: cells[cell] for row, cells in report["rows"].items()}
    return {
        row: found["measures"][measure][ALL]
        for row, found in cells.items()
        if found["state"] == "done" and measure in found["measures"]
    }


def _draw_rows(axes: Axes, report: Mapping[str, Any], estimates: Mapping[str, Mapping[str, float]]) -> None:
    """One line per row, the first on top: a point and its interval."""
    names = list(report["rows"])
    for place, name in enumerate(names):
        if name in estimates:
            found = estimates[name]
            colour = PARENT_COLOUR if name in PARENTS else MERGE_COLOUR
            axes.plot([found["low"], found["high"]], [place, place], color=colour, linewidth=1.6)
            axes.plot([found["mean"]], [place], marker="D" if name in PARENTS else "o", color=colour, markersize=5)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="x", labelsize=8)


def _draw_curves(axes: Axes, report: Mapping[str, Any], estimates: Mapping[str, Mapping[str, float]]) -> None:
    """Each measured method along lam, with its intervals as a band, from parent to parent."""
    rows = report["plan"]["rows"]
    measured = {rows[name]["method"] for name in estimates if name not in PARENTS}
    for method, (colour, mark, line) in STYLES.items():
        if measured and method not in measured:
            continue

        points = _curve(rows, method, estimates)
        lams = [lam for lam, _ in points]
        axes.plot(
            lams,
            [found["mean"] for _, found in points],
            line,
            marker=mark,
            color=colour,
            label=method,
            markersize=4,
            linewidth=1.4,
        )
        axes.fill_between(
            lams,
            [found["low"] for _, found in points],
            [found["high"] for _, found in points],
            color=colour,
            alpha=0.13,
            linewidth=0,
        )

    axes.set_xlabel(f"lam (0: {CHAT} model, 1: {CHIP} model)", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8, frameon=False)


def _curve(
    rows: Mapping[str, Mapping[str, Any]], method: str, estimates: Mapping[str, Mapping[str, float]]
) -> list[Point]:
    """The points of one method by lam, with the parents."""
    found = [
        (row["lam"], estimates[name])
        for name, row in rows.items()
        if name in estimates and (name in PARENTS or row["method"] == method)
    ]
    return sorted(found, key=lambda point: point[0])
