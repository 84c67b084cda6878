"""A picture of a search for lam: every trial by its two goals, the front, and what was chosen. It computes nothing.

merge.tuning.study found what it shows.

    draw_pareto(found, "demo").savefig("pareto.png")
"""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from merge.commands.style import ink, paper, plain
from merge.recipe import DEFAULT_LAM
from merge.tuning.study import Found, describe_lams
from merge.tuning.trials import Trial

SIZE_INCHES = (9.0, 6.0)
NAMED = {0.0: "chat model", 1.0: "chip model", DEFAULT_LAM: f"lam {DEFAULT_LAM:g}"}
ONE_LAM, FRONT, CHOSEN = "#2A8CCB", "#D55E00", "#009E73"  # Okabe and Ito's, as in the other pictures


def draw_pareto(found: Found, title: str) -> Figure:
    """Each trial at its values on the questions that chose; further right and further up is better."""
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    figure.suptitle(plain(title), fontsize=11)
    axes = figure.subplots()
    axes.set_title(f"{len(found.trials)} merges by two goals", loc="left", fontweight="bold")

    even = sorted((trial for trial in found.trials if len(set(trial.lams)) == 1), key=lambda trial: trial.lams)
    others = [trial for trial in found.trials if len(set(trial.lams)) > 1]
    if others:
        axes.plot(*_columns(others), "o", color="#8d949b", markersize=6, label="a lam for each group of layers")
    axes.plot(*_columns(even), "o-", color=ONE_LAM, markersize=6, linewidth=1.0, label="one lam for all")
    front = [found.trials[n] for n in found.front]
    axes.plot(
        *_columns(front), "-", color=FRONT, linewidth=2.0, label="front: better in one goal is worse in the other"
    )
    label = f"chosen: lam {describe_lams(found.best.lams)}"
    axes.plot(*_columns([found.best]), "*", color=CHOSEN, markersize=17, label=label)
    for trial in even:
        if trial.lams[0] in NAMED:
            name = axes.annotate(NAMED[trial.lams[0]], trial.values, xytext=(8, 8), textcoords="offset points")
            name.set(fontsize=10, color=ink(), zorder=5)
            name.set_path_effects([withStroke(linewidth=4, foreground=paper())])  # lines end around it

    axes.set_xlabel("chip goal: mean log-likelihood of the right answers (nats)")
    axes.set_ylabel("chat goal: mean log-likelihood of the right answers (nats)")
    axes.margins(0.12)
    axes.grid(linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(0.0, -0.12), frameon=False, ncols=2)
    return figure


def _columns(trials: list[Trial]) -> tuple[list[float], list[float]]:
    return [trial.values[0] for trial in trials], [trial.values[1] for trial in trials]
