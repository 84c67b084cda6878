"""`chipalign merge`: the command line of this package. It parses, draws and prints; the work is merge.merger's.

    merge(["data/recipes/demo.toml", "--out", "merged"])  # the exit code

torch and the rest are imported when a merge starts, so that help and mistakes are answered at once.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merge.errors import RecipeError
from merge.recipe import DEFAULT_LAM, Recipe, load_recipe, parse_recipe
from merge.settings import MergeSettings

if TYPE_CHECKING:
    from merge.merger import Outcome


def build_parser() -> argparse.ArgumentParser:
    """The options of `chipalign merge`."""
    parser = argparse.ArgumentParser(
        prog="chipalign merge",
        description="Merge a chip-domain model and a chat model of one architecture into one checkpoint (ChipAlign, arXiv 2412.19819).",
        epilog='REF: a folder, a .gguf file, a hub id "org/name" or "org/name@revision", or "package:NAME".',
    )
    parser.add_argument("recipe", nargs="?", type=Path, metavar="RECIPE.toml", help="what to merge; or say it with --chip and --instruct")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the checkpoint folder to make")
    parser.add_argument("--chip", metavar="REF", help="the chip-domain model")
    parser.add_argument("--instruct", metavar="REF", help="the chat model")
    parser.add_argument("--chip-adapter", metavar="REF", help="a LoRA adapter to fold into the chip model")
    parser.add_argument("--lam", type=float, help=f"0 is the chat model, 1 the chip model (default {DEFAULT_LAM})")
    parser.add_argument("--force", action="store_true", help="merge anew even if DIR holds this very merge")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    return parser


def merge(argv: list[str]) -> int:
    """Run `chipalign merge` and return 0. Raises MergeError for wrong input, which the `chipalign` command turns into one line and exit 2."""
    args = build_parser().parse_args(argv)
    recipe = find_recipe(args)
    outcome, seconds = run_merge(recipe, args.out, MergeSettings.from_env(), force=args.force)
    place = {"checkpoint_dir": str(outcome.checkpoint_dir), "reused": outcome.reused}
    document = {**place, **recipe.values(), **outcome.totals, "seconds": round(seconds, 3)}
    sys.stdout.write(json.dumps(document) + "\n" if args.json else summarise(document))
    return 0


def find_recipe(args: argparse.Namespace) -> Recipe:
    """The recipe from the file, or from --chip, --instruct and --lam. Raises RecipeError, also for both or neither."""
    by_option = {"--chip": args.chip, "--instruct": args.instruct, "--chip-adapter": args.chip_adapter, "--lam": args.lam}
    given = [option for option, value in by_option.items() if value is not None]
    if args.recipe is not None:
        if given:
            raise RecipeError(str(args.recipe), [f"{', '.join(given)} cannot go with a recipe file. Set it in the file"])
        return load_recipe(args.recipe)
    if missing := [option for option in ("--chip", "--instruct") if by_option[option] is None]:
        raise RecipeError("command line", [f"{', '.join(missing)} missing. Give a recipe file, or --chip REF --instruct REF"])
    chip = {"model": args.chip} if args.chip_adapter is None else {"model": args.chip, "adapter": args.chip_adapter}
    table = {} if args.lam is None else {"lam": args.lam}
    return parse_recipe({"merge": table, "chip": chip, "chat": {"model": args.instruct}}, base=Path.cwd(), source="command line")


def run_merge(recipe: Recipe, out: Path, settings: MergeSettings, *, force: bool) -> tuple[Outcome, float]:
    """Merge with progress on stderr: (outcome, seconds). The seconds leave out the start of python and torch."""
    from merge.card import render_card
    from merge.merger import merge_parents
    from merge.progress import make_watcher

    started = time.monotonic()
    with make_watcher(sys.stderr) as watcher:
        outcome = merge_parents(recipe, out, settings, render_card, force=force, watcher=watcher)
    return outcome, time.monotonic() - started


def summarise(document: dict[str, Any]) -> str:
    """The few lines that a person wants to see at the end."""
    verb = "already merged" if document["reused"] else "merged"
    theta = document["theta_degrees"]
    angles = f", theta {theta['median']:.2f} degrees in the median, {theta['max']:.2f} at most" if theta else ""
    return (
        f"{verb}: {document['name']}, lam = {document['lam']:g}, {document['dtype']}\n"
        f"{document['tensors']} tensors, {document['parameters'] / 1e6:.1f} M parameters{angles}, {document['seconds']:.1f} s\n"
        f"{document['checkpoint_dir']}\n"
    )
