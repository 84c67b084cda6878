"""A search for lam: trials one after the other, kept as they come, then the best one confirmed on questions held out.

It merges nothing itself: a Model does.

    study = Study(recipe, depth, scorer, parts, Plan(groups=4, trials=40), folder / "trials.jsonl", key, say)
    found = study.run(guess)
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from merge.errors import OutputRefused
from merge.recipe import DEFAULT_LAM, Recipe
from merge.tuning.questions import GOALS, Question
from merge.tuning.trials import Lams, Trial, Values, choose, find_front, propose, set_lams

RESAMPLES = 10_000
LEVEL = 0.95


class Model(Protocol):
    """Something that can be given a merge's weights, and asked: merge.tuning.likelihood.Scorer."""

    def set_weights(self, recipe: Recipe) -> None:
        """Merge as the recipe says."""
        ...

    def score(self, questions: Sequence[Question]) -> list[float]:
        """The score of each question."""
        ...


@dataclass(frozen=True)
class Plan:
    """How far to search."""

    groups: int = 1
    trials: int = 40
    seed: int = 0


@dataclass(frozen=True)
class Estimate:
    """A mean, and its 95 % interval from a bootstrap over questions."""

    mean: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Row:
    """A merge on the questions held out: its goals, and how far it is from one lam of 0.6, question by question."""

    name: str
    lams: Lams
    goals: Mapping[str, Estimate]
    beside_default: Mapping[str, Estimate]


@dataclass(frozen=True)
class Found:
    """What came of a search; `front` are indices of trials."""

    trials: tuple[Trial, ...]
    front: tuple[int, ...]
    best: Trial
    rows: tuple[Row, ...]
    seconds: float

    def is_better(self) -> bool:
        """Whether the best beats 0.6 in one goal outside the interval, and loses in none."""
        [row] = [row for row in self.rows if row.name == "found"]
        clear = [each.mean > 0 for each in row.beside_default.values() if each.is_clear]
        return bool(clear) and all(clear)


class Study:
    """One search, whose trials stand in a file that a later run takes up."""

    def __init__(
        self,
        recipe: Recipe,
        depth: int,
        model: Model,
        parts: tuple[Sequence[Question], Sequence[Question]],
        plan: Plan,
        journal: Path,
        key: str,
        say: Callable[[str], None],
    ) -> None:
        """depth: layers of the model. parts: the questions that choose, and those held out.

        key: of all that decides the trials' values; the journal of another search is refused.
        """
        self._recipe, self._depth, self._model, self._parts = recipe, depth, model, parts
        self._plan, self._journal, self._key, self._say = plan, journal, key, say

    def run(self, guess: Lams) -> Found:
        """Try, choose and confirm. guess: lams to compare with, made without questions.

        Raises OutputRefused: the journal is another search's.
        """
        started = time.monotonic()
        trials = self._take_up()
        while len(trials) < self._plan.trials and (lams := propose(trials, self._plan.groups, self._plan.seed)):
            trials.append(Trial(lams, self._average(self._parts[0], self._try(lams, self._parts[0]))))
            with self._journal.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(trials[-1])) + "\n")
            self._say(f"trial {len(trials)} of {self._plan.trials}: {describe(trials[-1])}")

        values = [trial.values for trial in trials]
        best = trials[choose(values)]
        rows = self._confirm(
            {"chat": (0.0,), "chip": (1.0,), "default": (DEFAULT_LAM,), "guess": guess, "found": best.lams}
        )
        return Found(tuple(trials), tuple(find_front(values)), best, rows, time.monotonic() - started)

    def _take_up(self) -> list[Trial]:
        if not self._journal.is_file():
            self._journal.write_text(json.dumps({"key": self._key}) + "\n", encoding="utf-8")
            return []
        lines = self._journal.read_text(encoding="utf-8").split("\n")
        try:
            if json.loads(lines[0]) != {"key": self._key}:
                raise ValueError
            whole = [json.loads(line) for line in lines[1:-1]]  # the last may have been cut off
            trials = [Trial(tuple(row["lams"]), (row["values"][0], row["values"][1])) for row in whole]
        except (ValueError, KeyError, TypeError, IndexError):
            raise OutputRefused(
                f"{self._journal} is of another search: other parents, questions, groups or seed. Choose another --out"
            ) from None
        self._journal.write_text("\n".join([*lines[: len(trials) + 1], ""]), encoding="utf-8")
        if trials:
            self._say(f"taking up a search of {len(trials)} trials")
        return trials

    def _try(self, lams: Lams, questions: Sequence[Question]) -> list[float]:
        self._model.set_weights(set_lams(self._recipe, lams, self._depth))
        return self._model.score(questions)

    def _average(self, questions: Sequence[Question], scores: Sequence[float]) -> Values:
        chip, chat = (
            math.fsum(by_goal := [s for s, q in zip(scores, questions, strict=True) if q.goal == goal]) / len(by_goal)
            for goal in GOALS
        )
        return chip, chat

    def _confirm(self, merges: Mapping[str, Lams]) -> tuple[Row, ...]:
        """Each merge on the questions held out, and beside the default, paired by question."""
        held_out = self._parts[1]
        scores: dict[Lams, Any] = {}
        for name, lams in merges.items():
            if lams not in scores:
                self._say(f"confirming {name}: lam {describe_lams(lams)} on {len(held_out)} questions held out")
                scores[lams] = np.array(self._try(lams, held_out))
        of_goal = {goal: np.array([q.goal == goal for q in held_out]) for goal in GOALS}
        default = scores[merges["default"]]
        return tuple(
            Row(
                name,
                lams,
                {goal: estimate(scores[lams][mask]) for goal, mask in of_goal.items()},
                {goal: estimate((scores[lams] - default)[mask]) for goal, mask in of_goal.items()},
            )
            for name, lams in merges.items()
        )


def estimate(values: Any) -> Estimate:
    """The mean of some values with its percentile bootstrap interval (Efron & Tibshirani 1993, ch. 13)."""
    dice = np.random.default_rng(0)  # the same draws for all, so that they compare
    times = dice.multinomial(len(values), np.full(len(values), 1 / len(values)), size=RESAMPLES)
    low, high = np.quantile(times @ values / len(values), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(np.mean(values)), float(low), float(high))


def describe_lams(lams: Lams) -> str:
    """0.6, or 0.6/0.42/0.8 of the groups from the first layers to the last, where they differ."""
    return "/".join(f"{lam:g}" for lam in (lams if len(set(lams)) > 1 else lams[:1]))


def describe(trial: Trial) -> str:
    """A trial in a line."""
    goals = ", ".join(f"{goal} {value:.4f}" for goal, value in zip(GOALS, trial.values, strict=True))
    return f"lam {describe_lams(trial.lams)}: {goals}"
