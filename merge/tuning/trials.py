"""What to try next, and what is best so far: numbers in, numbers out. It merges nothing and asks no model.

A trial is a lam for each group of layers and what came of it: a value for each of two goals, larger being better. What
is tried next depends on the trials so far, their number and the seed alone, so a search that is taken up goes on as if
it had never stopped.

    lams = propose(trials, groups=4, seed=0)  # (0.6, 0.42, 0.8, 0.55)
    front = find_front([trial.values for trial in trials]); best = choose([trial.values for trial in trials])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from merge.recipe import DEFAULT_LAM, Lam, Recipe, Rule

START = (DEFAULT_LAM, 0.0, 1.0, 0.4, 0.8, 0.2)  # one lam for all, before groups differ
STEP = 0.15  # standard deviation by which a group's lam moves from its parents'
MOST_GROUPS = 8
TRIES = 1000  # to draw what was not tried yet
DIGITS = 2  # of a lam: more cannot be told apart

Lams = tuple[float, ...]
Values = tuple[float, float]  # of the goals chip and chat


@dataclass(frozen=True)
class Trial:
    """A lam for each group, and the goals' values."""

    lams: Lams
    values: Values


def group_layers(depth: int, groups: int) -> list[tuple[int, int]]:
    """The first and last layer of each group: all alike but for one layer."""
    bounds = [round(depth * n / groups) for n in range(groups + 1)]
    return [(first, last - 1) for first, last in pairwise(bounds)]


def set_lams(recipe: Recipe, lams: Lams, depth: int) -> Recipe:
    """The recipe with a lam for each group of layers. The embedding has the first, the last norm and head the last."""
    if len(lams) == 1:
        return replace(recipe, lam=lams[0], schedule=())
    rules = tuple(Rule(lam, layers) for lam, layers in zip(lams, group_layers(depth, len(lams)), strict=True))
    ends: Lam = lams[0] if lams[0] == lams[-1] else (lams[0], lams[-1])
    return replace(recipe, lam=ends, schedule=rules)


def propose(trials: Sequence[Trial], groups: int, seed: int) -> Lams | None:
    """What to try next; None where nothing is left.

    At first one lam for all. Then with one group the middle of the widest gap; with more by turns a place drawn at
    random, and one near the front: each group's lam from either of two trials of the front, moved a little (as in
    NSGA-II, Deb et al. 2002, with the whole history in the place of a population).
    """
    tried = {trial.lams for trial in trials}
    for lam in START:
        if (lam,) * groups not in tried:
            return (lam,) * groups
    if groups == 1:
        return _halve_gap(sorted(lam for (lam,) in tried))

    dice = np.random.default_rng([seed, len(trials)])
    front = [trials[n] for n in find_front([trial.values for trial in trials])]
    for _ in range(TRIES):
        if len(trials) % 2:
            one, other = (front[n].lams for n in dice.integers(len(front), size=2))
            mixed = np.where(dice.random(groups) < 0.5, one, other) + STEP * dice.standard_normal(groups)
        else:
            mixed = dice.random(groups)
        lams = tuple(round(float(lam), DIGITS) for lam in np.clip(mixed, 0.0, 1.0))
        if lams not in tried:
            return lams
    return None


def _halve_gap(lams: Sequence[float]) -> Lams | None:
    gaps = [(round(high - low, DIGITS), -low) for low, high in pairwise(lams)]
    width, low = max(gaps)
    return (round(-low + width / 2, DIGITS),) if width > 10**-DIGITS else None


def find_front(values: Sequence[Values]) -> list[int]:
    """The trials than which none is better in one goal and at least as good in the other, by the first goal's value."""
    order = sorted(range(len(values)), key=lambda n: (-values[n][0], -values[n][1], n))
    front: list[int] = []
    for n in order:
        if not front or values[n][1] > values[front[-1]][1]:
            front.append(n)
    return front


def choose(values: Sequence[Values]) -> int:
    """The trial of the front that is best where it is worst.

    Each goal is scaled from 0, the worst trial's value, to 1, the best one's; the smaller of both counts, then the sum.
    """
    table = np.asarray(values, np.float64)
    spread = np.ptp(table, axis=0)
    scaled = (table - table.min(axis=0)) / np.where(spread > 0, spread, 1.0)
    return max(find_front(values), key=lambda n: (float(scaled[n].min()), float(scaled[n].sum()), -n))


def guess_lams(angles: Sequence[float]) -> Lams:
    """A guess without questions: groups in which the parents are farther apart take more of the chip model.

    angles: the mean theta of each group. The mean of the lams is the paper's, as far as none leaves 0 to 1.
    """
    mean = sum(angles) / len(angles)
    return tuple(round(min(DEFAULT_LAM * angle / mean, 1.0), DIGITS) if mean else DEFAULT_LAM for angle in angles)
