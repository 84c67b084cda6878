"""Pictures of two parents: angle over depth and by projection, norms, and where geodesic and linear merges differ.

They are PNG files and terminal text. This file draws what merge.commands.survey measured and computes nothing. It uses
matplotlib without pyplot, which would keep global state.

    draw_all(profiles, Path("pictures"), "demo: chip model against chat model")
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from merge.arithmetic.geodesic import TensorResult
from merge.commands.heatmap import draw_heatmap
from merge.commands.style import faint, ink, plain, save_themes
from merge.commands.survey import (
    BFLOAT16_ROUNDING,
    Profile,
    describe_pair,
    find_rounding,
    median_by_layer,
    profile_results,
    summarise_kinds,
)
from merge.errors import printable
from merge.merging.report import read_report
from merge.models.layers import KINDS, LAYER, Kind, count_layers
from merge.recipe import describe_lam

# After Okabe and Ito, for colour-blind people, on white and on black; and a mark each for print.
COLOURS: dict[Kind, str] = {
    "attention": "#2A8CCB",
    "MLP": "#D55E00",
    "embeddings": "#009E73",
    "norms": "#CC79A7",
    "other": "#888888",
}
# Filled ones alone: a mark is drawn without an edge
MARKS: dict[Kind, str] = {"attention": "o", "MLP": "s", "embeddings": "D", "norms": "^", "other": "P"}
TEXT_WIDTH = 78  # of sentences below a table
PICTURES = ("theta_over_depth.png", "norms_over_depth.png", "geodesic_against_linear.png", "theta_by_projection.png")
FOLDER = "pictures"  # within a merged checkpoint
SIZE_INCHES = (9.0, 5.0)
STACK_GAP = 1  # places that stay empty between two stacks of layers
BLOCKS = "▁▂▃▄▅▆▇█"
SPARK_WIDTH = 40
Value = Callable[[Profile], float | None]


def draw_all(profiles: Sequence[Profile], folder: Path, title: str) -> list[Path]:
    """Write the pictures, light and dark, into a folder, made if need be; returns their paths."""
    draws = (draw_theta, draw_norms, draw_drift, draw_heatmap)
    return save_themes(
        {name: partial(draw, profiles, title) for name, draw in zip(PICTURES, draws, strict=True)}, folder
    )


def draw_report(checkpoint_dir: Path) -> list[Path]:
    """The pictures of a finished merge, from its report, into its folder `pictures`.

    The report does not cover them.
    """
    document = read_report(checkpoint_dir) or {"tensors": [], "recipe": {"name": checkpoint_dir.name, "lam": 0.0}}
    results = [TensorResult(**{**tensor, "shape": tuple(tensor["shape"])}) for tensor in document["tensors"]]
    name, lam = document["recipe"]["name"], describe_lam(document["recipe"]["lam"])
    return draw_all(profile_results(results), checkpoint_dir / FOLDER, f"{name}: chip against chat parent, lam = {lam}")


def draw_theta(profiles: Sequence[Profile], title: str) -> Figure:
    """Angle between the parents, in degrees, over depth."""
    profiles = part_stacks(profiles)
    figure, axes = _start(title, "Angle between the parents over depth")
    _scatter(axes, profiles, lambda p: None if p.theta is None else math.degrees(p.theta))
    axes.set_ylabel("theta (degrees)")
    axes.set_ylim(bottom=-0.03 * axes.get_ylim()[1])  # a mark at zero is seen whole
    _finish(axes, profiles)
    return figure


def draw_norms(profiles: Sequence[Profile], title: str) -> Figure:
    """Both parents' norms per element; below, by how much they differ."""
    profiles = part_stacks(profiles)
    figure = Figure(figsize=(SIZE_INCHES[0], 6.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    figure.suptitle(plain(title), fontsize=11)
    upper.set_title("Norms of both parents over depth", loc="left", fontweight="bold")

    for kind in _kinds(profiles):
        for style, value in (("-", _chip_size), ("--", _chat_size)):
            line = median_by_layer(profiles, kind, value)
            upper.plot(*_columns(_break_line(line, profiles)), style, color=COLOURS[kind], linewidth=1.5)
            ends = [
                (_place(p, profiles), size)
                for p in profiles
                if p.kind == kind and p.layer is None and (size := value(p)) is not None
            ]
            upper.plot(
                *_columns(ends),
                MARKS[kind],
                color=COLOURS[kind],
                fillstyle="full" if style == "-" else "none",
                markersize=6,
            )

    upper.set_yscale("log")
    upper.yaxis.set_major_formatter(FuncFormatter(_plain_number))
    upper.set_ylabel("root mean square of the elements")

    _scatter(lower, profiles, lambda p: None if p.norm_ratio is None else 100 * (p.norm_ratio - 1))
    lower.axhline(0.0, color=faint(), linewidth=1.2, zorder=0)
    lower.set_ylabel("chip norm above chat norm (%)")
    _finish(lower, profiles)
    _dress(upper)

    parents = [
        Line2D([], [], color=ink(), linestyle="-", label="chip"),
        Line2D([], [], color=ink(), linestyle="--", label="chat"),
    ]
    upper.legend(handles=[*_handles(profiles), *parents], loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    lower.get_legend().remove()
    return figure


def draw_drift(profiles: Sequence[Profile], title: str) -> Figure:
    """How far the geodesic merge is from the linear one at the same lam, in percent, on a logarithmic scale."""
    profiles = part_stacks(profiles)
    figure, axes = _start(title, "Geodesic against linear merge at the same lam")
    _scatter(axes, profiles, lambda p: 100 * p.drift if p.drift else None)
    axes.set_ylabel("|geodesic - linear| / |linear| (%)")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(_plain_number))
    axes.axhline(100 * BFLOAT16_ROUNDING, color=ink(), linewidth=1.0, linestyle=":")
    rounding = Line2D(
        [], [], color=ink(), linewidth=1.0, linestyle=":", label="rounding of bfloat16:\nbelow it both are alike"
    )
    _finish(axes, profiles, rounding)
    legend, differing = axes.get_legend(), {p.kind for p in profiles if p.drift}
    for text in legend.get_texts() if legend else ():
        if text.get_text() in set(KINDS) - differing:
            text.set_text(f"{text.get_text()}: no difference")  # a logarithmic axis has no zero
    return figure


def _start(title: str, headline: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    figure.suptitle(plain(title), fontsize=11)
    axes = figure.subplots()
    axes.set_title(headline, loc="left", fontweight="bold")
    return figure, axes


def _chip_size(profile: Profile) -> float | None:
    return profile.chip_norm / math.sqrt(profile.numel or 1) or None


def _chat_size(profile: Profile) -> float | None:
    return profile.chat_norm / math.sqrt(profile.numel or 1) or None


def part_stacks(profiles: Sequence[Profile]) -> list[Profile]:
    """Profiles in which each stack of layers, such as a vision tower, has places of its own behind the one before."""
    first = 0
    starts = {}
    for stack, depth in count_layers(profile.name for profile in profiles if profile.layer is not None).items():
        starts[stack] = first
        first += depth + STACK_GAP
    moved = []
    for profile in profiles:
        match = LAYER.match(profile.name)
        if match is not None and profile.layer is not None:
            profile = replace(profile, layer=profile.layer + starts[match["stack"]])
        moved.append(profile)
    return moved


def _find_stacks(profiles: Sequence[Profile]) -> dict[str, tuple[int, int]]:
    """Of each stack its first place and its last, as part_stacks gives them."""
    stacks: dict[str, tuple[int, int]] = {}
    for profile in profiles:
        if profile.layer is not None and (match := LAYER.match(profile.name)):
            first, last = stacks.get(match["stack"], (profile.layer, profile.layer))
            stacks[match["stack"]] = min(first, profile.layer), max(last, profile.layer)
    return stacks


def _break_line(line: Sequence[tuple[int, float]], profiles: Sequence[Profile]) -> list[tuple[float, float]]:
    """The points of a line, which ends with each stack."""
    ends = {last for _, last in _find_stacks(profiles).values()}
    return [
        point
        for place, value in line
        for point in ((place, value), *([(place + 0.5, math.nan)] if place in ends else []))
    ]


def _kinds(profiles: Sequence[Profile]) -> list[Kind]:
    present = {profile.kind for profile in profiles}
    return [kind for kind in KINDS if kind in present]


def _depth(profiles: Sequence[Profile]) -> int:
    return max((p.layer + 1 for p in profiles if p.layer is not None), default=0)


def _place(profile: Profile, profiles: Sequence[Profile]) -> float:
    """A place on the axis: a layer; the embedding before the first; the last norm, then the head, after the last."""
    if profile.layer is not None:
        return float(profile.layer)
    start, norm, head = _ends(_depth(profiles))
    if profile.kind == "embeddings":
        return head if "head" in profile.name else start
    return norm if profile.kind == "norms" else head


def _ends(depth: int) -> tuple[float, float, float]:
    """Places of the embedding, the last norm, and the head.

    They are a little apart from the layers, for any number of layers.
    """
    gap = max(1.0, depth / 12)
    return -gap, depth - 1 + gap, depth - 1 + 2.2 * gap


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _scatter(axes: Axes, profiles: Sequence[Profile], value: Value) -> None:
    """A mark per tensor, and per kind a line through the layers' medians."""
    for kind in _kinds(profiles):
        known = [
            (p, number)
            for p in profiles
            if p.kind == kind and (number := value(p)) is not None and math.isfinite(number)
        ]
        for inside, size, alpha in ((True, 4, 0.6), (False, 7, 0.9)):
            points = [(_place(p, profiles), number) for p, number in known if (p.layer is not None) == inside]
            axes.plot(
                *_columns(points), MARKS[kind], color=COLOURS[kind], markersize=size, alpha=alpha, markeredgewidth=0
            )
        line = _break_line(median_by_layer(profiles, kind, value), profiles)
        axes.plot(*_columns(line), color=COLOURS[kind], linewidth=1.8)


def _handles(profiles: Sequence[Profile]) -> list[Line2D]:
    layered = {profile.kind for profile in profiles if profile.layer is not None}
    widths = {kind: 1.8 if kind in layered else 0.0 for kind in KINDS}
    return [
        Line2D([], [], color=COLOURS[kind], marker=MARKS[kind], markersize=5, linewidth=widths[kind], label=kind)
        for kind in _kinds(profiles)
    ]


def _dress(axes: Axes) -> None:
    axes.grid(axis="y", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _finish(axes: Axes, profiles: Sequence[Profile], *more: Line2D) -> None:
    depth = _depth(profiles)
    start, norm, head = _ends(depth)
    stacks = _find_stacks(profiles)
    layers: dict[float, str] = {}
    for stack, (first, last) in (stacks or {"": (0, depth - 1)}).items():
        ticks = MaxNLocator(integer=True, nbins=max(10 // max(len(stacks), 1), 2)).tick_values(0, max(last - first, 1))
        layers |= {first + tick: f"{tick:g}" for tick in ticks if 0 <= tick <= last - first}
        if len(stacks) > 1:
            name = plain(stack.rstrip("."))
            axes.annotate(name, (first, 1.0), xycoords=("data", "axes fraction"), fontsize=8, va="bottom", color=ink())
    places = {_place(profile, profiles) for profile in profiles}
    names = {start: "embed", **layers}
    names |= {place: name for place, name in ((norm, "norm"), (head, "head")) if place in places}
    axes.set_xticks(list(names), list(names.values()))
    axes.set_xlim(start - 0.4 * -start, head + 0.4 * -start)
    axes.set_xlabel("layer (mark: one tensor; line: median of the layer)")
    _dress(axes)
    axes.legend(handles=[*_handles(profiles), *more], loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)


def _plain_number(value: float, _: int) -> str:
    """1, 0.01, 0.00001: without an exponent, as people write percent."""
    return f"{value:.9f}".rstrip("0").rstrip(".")


def draw_terminal(profiles: Sequence[Profile], title: str) -> RenderableType:
    """A table of the kinds, and theta over depth as a line of blocks per kind."""
    table = Table(title=Text(printable(title)), title_justify="left")
    for column in ("kind", "tensors", "theta median", "theta max", "norm ratio", "drift max"):
        table.add_column(column, justify="left" if column == "kind" else "right")
    for kind in summarise_kinds(profiles):
        ratio = f"{kind.norm_ratio_min:.3f}..{kind.norm_ratio_max:.3f}" if kind.norm_ratio_min is not None else "-"
        table.add_row(
            kind.kind,
            str(kind.tensors),
            _degrees(kind.theta_median),
            _degrees(kind.theta_max),
            ratio,
            _percent(kind.drift_max),
        )
    lines = [_spark_line(profiles, kind) for kind in _kinds(profiles)]
    rounding = find_rounding(profiles)
    said = describe_pair(profiles)
    if rounding is not None:
        said += f" Rounding loses {rounding:.2%} of what the merge changes."
    legend = Text(
        "norm ratio: |chip| / |chat|; drift: |geodesic - linear| / |linear|\n"
        f"{textwrap.fill(said, TEXT_WIDTH, break_long_words=False, break_on_hyphens=False)}\n"
        "theta over depth, medians, first to last layer:"
    )
    return Group(table, legend, *(line for line in lines if line is not None))


def draw_plan(document: Mapping[str, Any]) -> RenderableType:
    """merge.commands.preview.describe_plan's document as a table, with the totals below it."""
    table = Table(title=f"{document['name']}: what would be merged", title_justify="left")
    for column in ("kind", "method", "tensors", "parameters", "lam", "dtype", "MB"):
        table.add_column(column, justify="left" if column in ("kind", "method", "dtype") else "right")

    for row in document["plan"]:
        low, high = row["lam"]
        lam = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
        table.add_row(
            row["kind"],
            row["method"],
            str(row["tensors"]),
            f"{row['parameters']:,}",
            lam,
            row["dtype"],
            f"{row['bytes'] / 1e6:,.1f}",
        )

    lines = [
        f"to read: {document['read_bytes'] / 1e6:,.1f} MB per pass; to write: {document['write_bytes'] / 1e6:,.1f} MB"
    ]
    if rows := document["vocabulary"]:
        counts = (rows["rows"], rows["merged"], rows["chip_only"], rows["chat_only"])
        lines.append(
            "vocabulary: {} rows, {} merged, {} the chip parent's alone, {} the chat parent's alone".format(*counts)
        )

    return Group(table, *map(Text, [*lines, "nothing was written"]))


def _spark_line(profiles: Sequence[Profile], kind: Kind) -> Text | None:
    points = median_by_layer(profiles, kind, lambda p: None if p.theta is None else math.degrees(p.theta))
    if len(points) < 2:
        return None
    values = [value for _, value in points]
    return Text(f"{kind:<10} {spark(values)} {min(values):.2f}° to {max(values):.2f}°")


def spark(values: Sequence[float]) -> str:
    """Numbers as blocks from zero to the largest; more than SPARK_WIDTH are thinned out evenly."""
    step = max(len(values) / SPARK_WIDTH, 1.0)
    chosen = [values[int(index * step)] for index in range(min(len(values), SPARK_WIDTH))]
    top = max(values, default=0.0) or 1.0
    return "".join(BLOCKS[min(int(value / top * len(BLOCKS)), len(BLOCKS) - 1)] for value in chosen)


def _degrees(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}°"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{_plain_number(float(f'{100 * value:.3g}'), 0)} %"
