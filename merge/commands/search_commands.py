"""`chipalign merge search`: the lam that suits two goals best, by questions, and whether it beats 0.6.

    search(["my-recipe.toml", "--eval", "questions.jsonl", "--out", "search/"])  # the exit code

The folder gets trials.jsonl (a search that was stopped is taken up from it), search.json, recipe.toml and a picture.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from merge.command_line import natural, positive, say
from merge.commands.merge_arguments import add_shared
from merge.errors import OutputRefused, RecipeError
from merge.recipe import DEFAULT_LAM, MORE_SIDES, Recipe
from merge.recipe_file import load_recipe
from merge.settings import MergeSettings

if TYPE_CHECKING:
    from merge.arithmetic.geodesic import Arithmetic
    from merge.merging.pairing import Pair
    from merge.models.parents import Parents
    from merge.tuning.questions import Question
    from merge.tuning.study import Found, Model, Plan
    from merge.tuning.trials import Lams

JOURNAL, RESULT, RECIPE = "trials.jsonl", "search.json", "recipe.toml"


@dataclass(frozen=True)
class Opened:
    """A recipe whose parents are found and opened: what a model of its merges is made from."""

    recipe: Recipe
    parents: Parents
    pair: Pair
    arithmetic: Arithmetic
    threads: int

    def write_merge(self, recipe: Recipe, folder: Path) -> None:
        """Write a merge of these parents as a checkpoint, whole or not at all; what is at `folder` is replaced.

        recipe: this one with another lam or schedule. Raises OutputFull, OutputRefused, OutputBusy.
        """
        from merge.merging.card import render_card
        from merge.merging.merger import Watcher, finish_output, merge_tensors, prepare_output

        with ExitStack() as stack:
            output = prepare_output(recipe, folder, self.parents, self.pair, None, stack)
            [tensors] = merge_tensors(self.pair, [output], Watcher(), self.threads, self.arithmetic)
            finish_output(output, self.parents, tensors, render_card)


def build_search_parser(command: str = "chipalign merge search", more: str = "") -> argparse.ArgumentParser:
    """The options of `chipalign merge search`, or of another command that searches; more: how it does."""
    parser = argparse.ArgumentParser(
        prog=command,
        description=(
            "Search the lam, or one for each group of layers, that suits two goals best: what the chip model knows and "
            f"what the chat model does. Half of the questions choose, the other half confirms.{more}"
        ),
    )
    parser.add_argument(
        "recipe", type=Path, metavar="RECIPE.toml", help="what to merge; its lam and schedule do not count"
    )
    parser.add_argument(
        "--eval",
        type=Path,
        action="append",
        required=True,
        metavar="QUESTIONS.jsonl",
        help="questions; may be repeated",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder for what is found")
    parser.add_argument("--groups", type=positive, default=1, metavar="N", help="groups of layers, 1 to 8 (default 1)")
    parser.add_argument("--trials", type=positive, default=40, metavar="N", help="merges to try (default 40)")
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="of the halves and the draws (default 0)")
    add_shared(parser, "--json")
    return parser


def search(argv: list[str]) -> int:
    """Run `chipalign merge search` and return 0.

    Raises:
        RecipeError, QuestionsUnusable, SearchImpossible
        OutputRefused: the folder holds another search, or cannot be made.
    """
    return run_search(build_search_parser().parse_args(argv), _make_scorer)


def _make_scorer(opened: Opened) -> Model:
    from merge.tuning.likelihood import Scorer

    return Scorer(opened.recipe, opened.pair, opened.arithmetic, opened.threads)


def run_search(args: argparse.Namespace, make_model: Callable[[Opened], Model], where: str = "") -> int:
    """Search with the options of build_search_parser and print what was found; returns 0.

    make_model: what is given each merge's weights and asked; where: in which surroundings, if not in this process, so
    that no search is taken up in others. Raises what `search` and the model raise.
    """
    recipe = _read_recipe(args.recipe)
    from merge.tuning.questions import read_questions, split_questions
    from merge.tuning.study import Plan
    from merge.tuning.trials import MOST_GROUPS

    if args.groups > MOST_GROUPS:
        raise RecipeError("--groups", [f"{args.groups} is more than {MOST_GROUPS} (allowed: 1 to {MOST_GROUPS})"])
    parts = split_questions(read_questions(args.eval), args.seed)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputRefused(f"{args.out} cannot be made: {error.strerror}. Choose another place") from error

    plan = Plan(args.groups, args.trials, args.seed)
    found, depth, guess = _run(recipe, parts, plan, args.out, make_model, where)
    from merge.tuning.trials import set_lams

    tables = spell_out(set_lams(recipe, found.best.lams, depth), args.out)
    from merge.commands.mergekit import write_toml
    from merge.commands.pareto import draw_pareto
    from merge.commands.style import save_themes

    (args.out / RECIPE).write_text(write_toml(tables, [summarise(found).splitlines()[-1]]), encoding="utf-8")
    pictures = save_themes({"pareto.png": lambda: draw_pareto(found, recipe.name)}, args.out)
    document = {
        **asdict(found),
        "better": found.is_better(),
        "guess": guess,
        "questions": [len(part) for part in parts],
        "recipe": str(args.out / RECIPE),
        "pictures": [str(path) for path in pictures],
    }
    (args.out / RESULT).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(document) + "\n" if args.json else summarise(found) + f"\n{args.out / RECIPE}\n")
    return 0


def _read_recipe(path: Path) -> Recipe:
    recipe = load_recipe(path)
    if recipe.method == "soup" or recipe.is_weighted:
        raise RecipeError(
            str(path), ["a soup and a recipe with weights have no lam to search. Use method linear and no weights"]
        )
    return replace(recipe, lam=DEFAULT_LAM, schedule=())


def _run(
    recipe: Recipe,
    parts: tuple[Sequence[Question], Sequence[Question]],
    plan: Plan,
    out: Path,
    make_model: Callable[[Opened], Model],
    where: str,
) -> tuple[Found, int, Lams]:
    """(what was found, the model's layers, the guess without questions)."""
    from merge.arithmetic.choice import find_arithmetic, warm_up
    from merge.merging.merger import open_parents
    from merge.merging.plan import make_plan
    from merge.models.layers import count_layers
    from merge.models.parents import Resolver, count_cores
    from merge.tuning.study import Study

    arithmetic, threads = find_arithmetic("cpu"), count_cores()
    warm_up(arithmetic)
    with Resolver(recipe.base, MergeSettings.from_env(), say, threads=threads) as resolver:
        parents = resolver.resolve_sides(recipe.parents())
    with ExitStack() as stack:
        pair = open_parents(parents, recipe, stack, arithmetic)
        depth = max(count_layers(plan.name for plan in make_plan(recipe, pair)).values(), default=0)
        if depth < plan.groups:
            raise RecipeError("--groups", [f"{plan.groups} is more than the model's {depth} layers"])
        guess = _guess(recipe, pair, arithmetic, depth, plan.groups)
        key = _find_key(recipe, parents, parts, plan, where)
        model = make_model(Opened(recipe, parents, pair, arithmetic, threads))
        found = Study(recipe, depth, model, parts, plan, out / JOURNAL, key, say).run(guess)
    return found, depth, guess


def _guess(recipe: Recipe, pair: Pair, arithmetic: Arithmetic, depth: int, groups: int) -> Lams:
    from merge.commands.survey import survey_pair
    from merge.merging.plan import make_plan
    from merge.models.parents import count_cores
    from merge.tuning.trials import group_layers, guess_lams

    profiles = survey_pair(make_plan(recipe, pair), pair, arithmetic, count_cores())
    angles = [
        [p.theta for p in profiles if p.theta is not None and p.layer is not None and first <= p.layer <= last]
        for first, last in group_layers(depth, groups)
    ]
    return guess_lams([mean(some) if some else 0.0 for some in angles])


def _find_key(recipe: Recipe, parents: Parents, parts: tuple[Sequence[Question], ...], plan: Plan, where: str) -> str:
    """One sha256 for all that decides what a trial gives, and which comes next."""
    from merge.merging.report import find_key

    asked = [[asdict(question) for question in part] for part in parts]
    decided = [find_key(recipe, parents, 0), asked, plan.groups, plan.seed, *([where] if where else [])]
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()


def spell_out(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """The tables of a recipe that lies in `folder` and means the same."""
    values = recipe.values()
    shares = {"weight": values.pop("weights", {}), "density": values.pop("densities", {})}
    lists = {key: values.pop(key) for key in ("parameters", "schedule", "slice", "dtypes") if key in values}
    tables: dict[str, Any] = {"merge": values}
    for ref, side in recipe.parents():
        given: dict[str, Any] = {"model": _move(ref.model, recipe.base, folder)}
        if adapters := [_move(adapter, recipe.base, folder) for adapter in ref.adapters]:
            given["adapter"] = adapters if len(adapters) > 1 else adapters[0]
        given |= {key: by_side[side] for key, by_side in shares.items() if side in by_side}
        if side in MORE_SIDES:
            tables.setdefault("more", []).append(given)
        else:
            tables[side] = given
    return tables | lists


def _move(ref: str, base: Path, folder: Path) -> str:
    place = base / Path(ref).expanduser()
    return os.path.relpath(place, folder) if not Path(ref).is_absolute() and place.exists() else ref


def summarise(found: Found) -> str:
    """The confirmed goals of each merge, and in the last line whether one lam of 0.6 is beaten."""
    from merge.tuning.study import Estimate, describe_lams

    def show(value: Estimate) -> str:
        """A mean with its interval."""
        return f"{value.mean:+.3f} [{value.low:+.3f}, {value.high:+.3f}]"

    lines = ["on the questions held out, and beside one lam of 0.6 (larger is better; 95 % intervals):"]
    for row in found.rows:
        goals = "; ".join(f"{goal} {row.goals[goal].mean:.3f}, {show(row.beside_default[goal])}" for goal in row.goals)
        lines.append(f"  {row.name:<8} lam {describe_lams(row.lams)}: {goals}")
    lines.append(f"{len(found.trials)} trials, {len(found.front)} on the front, {found.seconds:.0f} s")
    best = describe_lams(found.best.lams)
    lines.append(
        f"lam {best} beats 0.6 outside the interval"
        if found.is_better()
        else f"lam {best} suits both goals best; it beats 0.6 in none outside the interval, or loses the other"
    )
    return "\n".join(lines)
