"""What is tried next, and what is best: against brute force, and on goals whose best place is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merge.merging.lams import find_lam
from merge.tuning.trials import (
    START,
    Lams,
    Trial,
    Values,
    choose,
    find_front,
    group_layers,
    guess_lams,
    propose,
    set_lams,
)
from tests.rows import for_each
from tests.tiny_models import make_recipe

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=25)


def goals(lams: Lams) -> Values:
    """Two goals: both want 0.9 of the first group; of the others one wants 1 and the other 0."""
    return -((lams[0] - 0.9) ** 2) - sum((x - 1) ** 2 for x in lams[1:]), -((lams[0] - 0.9) ** 2) - sum(
        x**2 for x in lams[1:]
    )


def search(groups: int, count: int, seed: int = 0) -> list[Trial]:
    trials: list[Trial] = []
    while len(trials) < count and (lams := propose(trials, groups, seed)):
        trials.append(Trial(lams, goals(lams)))
    return trials


@given(POINTS)
def test_the_front_is_what_nothing_dominates(points: list[tuple[int, int]]) -> None:
    front = [points[n] for n in find_front(points)]
    undominated = {p for p in points if not any(q[0] >= p[0] and q[1] >= p[1] and q != p for q in points)}
    assert set(front) == undominated
    assert front == sorted(undominated, reverse=True)


def test_the_choice_is_best_where_it_is_worst() -> None:
    assert choose([(0.0, 1.0), (1.0, 0.0), (0.6, 0.5), (0.3, 0.9)]) == 2
    assert choose([(1.0, 2.0)]) == 0
    assert choose([(1.0, 5.0), (1.0, 5.0)]) == 0


@for_each("groups", [1, 2, 4, 8])
def test_a_search_never_tries_twice_and_depends_on_the_seed_alone(groups: int) -> None:
    trials = search(groups, 40)
    assert [trial.lams for trial in trials[: len(START)]] == [(lam,) * groups for lam in START]
    assert len({trial.lams for trial in trials}) == len(trials) == 40
    assert all(0 <= lam <= 1 for trial in trials for lam in trial.lams)
    assert search(groups, 40) == trials
    assert propose(trials[:20], groups, 0) == trials[20].lams  # as a search that is taken up
    assert groups == 1 or search(groups, 40, seed=1) != trials


def test_one_lam_is_searched_ever_finer_until_nothing_is_left() -> None:
    trials = search(1, 500)
    assert len(trials) == 101
    assert sorted(lam for trial in trials[:11] for lam in trial.lams)[1:-1][0] == 0.1


def test_a_search_by_groups_finds_what_one_lam_cannot() -> None:
    trials = search(3, 60)
    best = trials[choose([trial.values for trial in trials])]
    one = max(min(goals((lam,) * 3)) for lam in START)
    assert best.lams[0] == pytest.approx(0.9, abs=0.15)
    assert min(best.values) > one


@for_each(
    ("depth", "groups", "expected"),
    [(6, 3, [(0, 1), (2, 3), (4, 5)]), (5, 2, [(0, 1), (2, 4)]), (30, 1, [(0, 29)]), (2, 2, [(0, 0), (1, 1)])],
)
def test_layers_are_grouped_without_gap(depth: int, groups: int, expected: list[tuple[int, int]]) -> None:
    assert group_layers(depth, groups) == expected


def test_a_recipe_gets_a_lam_for_each_group(tmp_path: Path) -> None:
    recipe = set_lams(make_recipe(tmp_path, tmp_path), (0.2, 0.5, 0.9), 6)
    depths = {"model.layers.": 6}
    found = [find_lam(recipe, f"model.layers.{n}.mlp.up_proj.weight", depths) for n in range(6)]
    assert found == [0.2, 0.2, 0.5, 0.5, 0.9, 0.9]
    ends = ("model.embed_tokens.weight", "model.norm.weight", "lm_head.weight")
    assert [find_lam(recipe, name, depths) for name in ends] == [0.2, 0.9, 0.9]
    one = set_lams(recipe, (0.3,), 6)
    assert (one.lam, one.schedule) == (0.3, ())


def test_the_guess_gives_more_chip_model_where_the_parents_are_farther_apart() -> None:
    assert guess_lams([0.1, 0.2, 0.3]) == (0.3, 0.6, 0.9)
    assert guess_lams([0.0, 0.0, 3.0]) == (0.0, 0.0, 1.0)
    assert guess_lams([0.0, 0.0]) == (0.6, 0.6)
