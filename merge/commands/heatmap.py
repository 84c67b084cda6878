"""A picture of the angle between two parents, by layer and projection: what a median of a layer hides.

Each stack of layers, such as a vision tower, has its own panel; what stands outside the layers has one, too. It draws
what merge.commands.survey measured.

    draw_heatmap(profiles, "demo: chip model against chat model").savefig("theta_by_projection.png")
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from statistics import median

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from merge.commands.style import faint, plain
from merge.commands.survey import Profile
from merge.models.layers import LAYER

MOST_ROWS = 40  # of one stack; more are too thin to read
CAPPED = 0.98  # the colours end at this quantile, so that one tensor does not make all others dark
WIDTH_INCHES = 11.0
ROW_INCHES = 0.27
HEAD_INCHES, TITLE_INCHES = 0.9, 0.25  # of a panel: title and axis, title alone
Cells = dict[str, dict[int, list[float]]]  # projection: layer: degrees


def draw_heatmap(profiles: Sequence[Profile], title: str) -> Figure:
    """Theta in degrees, a row for each projection and a column for each layer."""
    stacks, outside = gather_cells(profiles)
    panels = [*stacks.items(), *([("outside the layers", outside)] if outside else [])] or [("no tensors", {})]
    heights = [
        ROW_INCHES * max(len(cells), 1) + (HEAD_INCHES if name in stacks else TITLE_INCHES) for name, cells in panels
    ]
    figure = Figure(figsize=(WIDTH_INCHES, sum(heights) + 0.6), layout="constrained")
    figure.suptitle(plain(title), fontsize=11)
    panes = figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0]

    known = [degrees for _, cells in panels for row in cells.values() for some in row.values() for degrees in some]
    largest = float(np.quantile(known, CAPPED)) if known else 0.0
    colours, norm = colormaps["viridis"].with_extremes(bad=faint()), Normalize(0.0, largest or 1.0)
    images = [
        _draw_panel(axes, name, cells, colours, norm, is_stack=name in stacks)
        for axes, (name, cells) in zip(panes, panels, strict=True)
    ]
    extend = "max" if known and max(known) > largest else "neither"
    figure.colorbar(images[0], ax=list(panes), label="angle between the parents, theta (degrees)", extend=extend)
    return figure


def gather_cells(profiles: Sequence[Profile]) -> tuple[dict[str, Cells], Cells]:
    """(by stack: the angles of each projection and layer, the angles of what is outside), in degrees.

    Tensors that differ in an expert's number alone share a cell.
    """
    stacks: dict[str, Cells] = {}
    outside: Cells = {}
    for profile in profiles:
        match = LAYER.match(profile.name)
        if profile.theta is None:
            continue
        cells = outside if match is None else stacks.setdefault(match["stack"].rstrip("."), {})
        rest = profile.name if match is None else profile.name[match.end() + 1 :]
        row = re.sub(r"\.\d+(?=\.)", ".*", rest).removesuffix(".weight")
        cells.setdefault(row, {}).setdefault(int(match["number"]) if match else 0, []).append(
            math.degrees(profile.theta)
        )
    return stacks, outside


def _draw_panel(
    axes: Axes, name: str, cells: Cells, colours: Colormap, norm: Normalize, *, is_stack: bool
) -> AxesImage:
    rows = list(cells)[:MOST_ROWS]
    depth = max((layer + 1 for row in cells.values() for layer in row), default=1)
    table = np.full((max(len(rows), 1), depth), np.nan)
    for number, row in enumerate(rows):
        for layer, degrees in cells[row].items():
            table[number, layer] = median(degrees)

    image = axes.imshow(table, cmap=colours, norm=norm, aspect="auto", interpolation="nearest")
    more = f", the first {MOST_ROWS} of {len(cells)} projections" if len(cells) > MOST_ROWS else ""
    axes.set_title(plain(name + more), loc="left", fontweight="bold")
    axes.set_yticks(range(len(rows)), [plain(row) for row in rows], fontsize=10)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if is_stack:
        axes.set_xlabel("layer")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=16))
    else:
        axes.set_xticks([])
        for number in range(len(rows)):
            axes.text(
                0,
                number,
                f"{table[number, 0]:.2f}°",
                ha="center",
                va="center",
                fontsize=10,
                color="#ffffff",
                bbox={"boxstyle": "round", "facecolor": "#00000088", "edgecolor": "none", "pad": 0.15},
            )
    return image
