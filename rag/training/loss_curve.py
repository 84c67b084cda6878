"""The picture of a training: the loss of each step and, at some steps, of what is held out.

It trains nothing, and keeps no state between pictures.

    draw_loss_curve(folder / "curve.png", report.losses, looks, held_out="held-out pairs", ylabel="loss", title="name")
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def draw_loss_curve(
    path: Path,
    losses: Sequence[float],
    looks: Sequence[tuple[int, float]],
    *,
    held_out: str,
    ylabel: str,
    title: str,
    best_step: int | None = None,
) -> None:
    """Write the picture as PNG. `looks` are steps, from 1, with their held-out loss; a line marks `best_step`."""
    from matplotlib.figure import Figure  # without pyplot, which keeps global state

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(range(1, len(losses) + 1), losses, color="0.75", label="each step")
    axes.plot([step for step, _ in looks], [loss for _, loss in looks], "o-", label=held_out)
    if best_step is not None:
        axes.axvline(best_step, linestyle=":", color="0.4")

    axes.set(xlabel="step", ylabel=ylabel, title=title)
    axes.legend()
    figure.savefig(path, dpi=120)
