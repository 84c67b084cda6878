"""`chipalign merge`: the command line of this package. It draws and prints; merge.merging.merger merges.

    merge(["data/recipes/demo.toml", "--out", "merged"])  # the exit code

numpy and the rest are imported when a merge starts, so that help and mistakes are answered at once; torch only for
--device cuda and GGUF.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merge.command_line import say
from merge.commands.merge_arguments import (
    build_bench_parser,
    build_inspect_parser,
    build_parser,
    build_sweep_parser,
    build_verify_parser,
    find_recipe,
)
from merge.errors import SHOWN, MergeError
from merge.recipe import Recipe, describe_lam
from merge.recipe_file import load_recipe
from merge.settings import MergeSettings

if TYPE_CHECKING:
    from merge.merging.merger import Outcome


def merge(argv: list[str]) -> int:
    """Run `chipalign merge` and return 0.

    Raises MergeError: the input is wrong; the `chipalign` command turns it into one line and exit 2.
    """
    if argv and argv[0] in SUBCOMMANDS:
        return SUBCOMMANDS[argv[0]](argv[1:])
    parser = build_parser(SUBCOMMANDS)
    args = parser.parse_args(argv)
    if args.out is None and not args.dry_run:
        parser.error("--out DIR is missing")
    recipe = find_recipe(args)
    if args.dry_run:
        return show_plan(recipe, as_json=args.json)
    options = {"force": args.force, "plots": args.plots, "threads": args.threads, "device": args.device}
    options["shard_bytes"] = None if args.shard_gb is None else round(args.shard_gb * 1e9)
    outcome, seconds = run_merge(recipe, args.out, MergeSettings.from_env(), **options)
    place = {"checkpoint_dir": str(outcome.checkpoint_dir), "reused": outcome.reused}
    document = {**place, **recipe.values(), **outcome.totals, "seconds": round(seconds, 3)}
    sys.stdout.write(json.dumps(document) + "\n" if args.json else summarise(document))
    return 0


def show_plan(recipe: Recipe, *, as_json: bool) -> int:
    """Print what a merge would do.

    Per kind of tensors: count, lam, method, dtype and bytes; then the bytes to read and write.
    """
    from rich.console import Console

    from merge.commands.plots import draw_plan
    from merge.commands.preview import preview_merge

    document = preview_merge(recipe, MergeSettings.from_env(), say=say)
    if as_json:
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        Console(file=sys.stdout).print(draw_plan(document))
    return 0


def inspect(argv: list[str]) -> int:
    """Run `chipalign merge inspect`: angles, norms and differences of two parents.

    They are shown in the terminal and, with --out, as PNG.
    """
    args = build_inspect_parser().parse_args(argv)
    recipe = find_recipe(args)
    from rich.console import Console

    from merge.arithmetic.choice import find_arithmetic
    from merge.commands.plots import draw_all, draw_terminal
    from merge.commands.preview import open_pair
    from merge.commands.progress import make_watcher
    from merge.commands.survey import describe_survey, find_rounding, survey_pair
    from merge.merging.doubts import doubt_recipe, doubt_rounding, doubt_tensors
    from merge.merging.plan import FLOAT_NAMES, find_dtypes, make_plan
    from merge.models.parents import count_cores

    arithmetic = find_arithmetic("cpu")
    with (
        make_watcher(sys.stderr, "measuring") as watcher,
        open_pair(recipe, MergeSettings.from_env(), watcher.say, fetch=True, arithmetic=arithmetic) as pair,
    ):
        watcher.say("measuring both parents")
        profiles = survey_pair(make_plan(recipe, pair), pair, arithmetic, count_cores(), watcher.move)
        doubts = [
            *doubt_recipe(recipe, pair),
            *doubt_tensors((profile.name, profile.numel, profile.theta) for profile in profiles),
            *doubt_rounding(find_rounding(profiles), FLOAT_NAMES[find_dtypes(recipe, pair).output]),
        ]
    for doubt in doubts:
        say(f"warning: {doubt}")
    title = (
        f"{recipe.name}: {recipe.chip.describe()} against {recipe.chat.describe()}, lam = {describe_lam(recipe.lam)}"
    )
    pictures = [] if args.out is None else [str(path) for path in draw_all(profiles, args.out, title)]
    if args.json:
        sys.stdout.write(json.dumps({**recipe.values(), "pictures": pictures, **describe_survey(profiles)}) + "\n")
    else:
        Console(file=sys.stdout).print(draw_terminal(profiles, title), *pictures, sep="\n")
    return 0


def verify(argv: list[str]) -> int:
    """Run `chipalign merge verify`: 0 if the checkpoint is what its report claims, 2 if not.

    The first differences are lines on stderr.
    """
    from merge.merging.verify import SAMPLE, VerifyOptions, verify_checkpoint

    args = build_verify_parser().parse_args(argv)
    sample = None if args.all else 0 if args.no_parents else args.sample or SAMPLE
    refs = {
        side: ref
        for side, ref in (("chip", args.chip), ("chat", args.instruct), ("base", args.base))
        if ref is not None
    }
    options = VerifyOptions(sample, refs, args.origin, threads=args.threads)
    found = verify_checkpoint(args.folder, options, MergeSettings.from_env(), say)
    for problem in found.problems[:SHOWN]:
        say(f"chipalign merge verify: {problem}")
    if len(found.problems) > SHOWN:
        say(f"chipalign merge verify: and {len(found.problems) - SHOWN} more")
    if args.json:
        document = {"checkpoint_dir": str(args.folder), "ok": not found.problems, **asdict(found)}
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        verdict = (
            f"differs from its report in {len(found.problems)} points"
            if found.problems
            else "is what its report claims"
        )
        counts = f"{found.files} files, {found.hashed} tensors hashed, {len(found.recomputed)} computed anew"
        sys.stdout.write(f"{args.folder} {verdict}: {counts}\n")
    return MergeError.exit_code if found.problems else 0


def sweep(argv: list[str]) -> int:
    """Run `chipalign merge sweep` and return 0."""
    args = build_sweep_parser().parse_args(argv)
    from merge.merging.sweep import parse_lams, plan_sweep

    jobs = plan_sweep(load_recipe(args.recipe), parse_lams(args.lam), args.out)
    from merge.commands.progress import make_watcher
    from merge.merging.card import render_card
    from merge.merging.merger import merge_sweep

    started = time.monotonic()
    with make_watcher(sys.stderr) as watcher:
        outcomes = merge_sweep(
            jobs,
            MergeSettings.from_env(),
            render_card,
            force=args.force,
            watcher=watcher,
            threads=args.threads,
            device=args.device,
            try_loading=True,
        )
    seconds = round(time.monotonic() - started, 3)
    rows = [
        {"lam": recipe.lam, "checkpoint_dir": str(out), "reused": outcome.reused}
        for (recipe, out), outcome in zip(jobs, outcomes, strict=True)
    ]
    if args.json:
        sys.stdout.write(json.dumps({"checkpoints": rows, "seconds": seconds}) + "\n")
    else:
        sys.stdout.write(
            "".join(f"{row['checkpoint_dir']}{' (was there already)' if row['reused'] else ''}\n" for row in rows)
        )
        sys.stdout.write(f"{len(rows)} checkpoints, {seconds:.1f} s\n")
    return 0


def bench(argv: list[str]) -> int:
    """Run `chipalign merge bench`: the last line of stdout is one JSON document."""
    import tempfile

    from merge.commands.bench import BenchOptions, run_bench
    from merge.commands.bench_summary import summarise_bench

    args = build_bench_parser().parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="chipalign-bench-", dir=args.folder) as folder:
        options = BenchOptions(
            Path(folder),
            MergeSettings.from_env().home / "bench",
            rounds=args.rounds,
            quick=args.quick,
            large=args.large,
        )
        document = run_bench(options, say)
    if not args.json:
        sys.stdout.write(summarise_bench(document))
    sys.stdout.write(json.dumps(document) + "\n")
    return 0


def convert(argv: list[str]) -> int:
    """Run `chipalign merge convert`: a configuration of mergekit's as a recipe."""
    from merge.commands.convert_commands import convert as run

    return run(argv)


def search(argv: list[str]) -> int:
    """Run `chipalign merge search`: the lam that suits two goals best."""
    from merge.commands.search_commands import search as run

    return run(argv)


# Subcommands in the place of a recipe: `chipalign merge NAME ...`. A recipe file of such a name is given as ./NAME.
SUBCOMMANDS = {
    "inspect": inspect,
    "verify": verify,
    "sweep": sweep,
    "search": search,
    "convert": convert,
    "bench": bench,
}


def run_merge(
    recipe: Recipe, out: Path, settings: MergeSettings, *, plots: bool = False, **options: Any
) -> tuple[Outcome, float]:
    """Merge with progress on stderr: (outcome, seconds).

    The seconds leave out only the start of python.
    """
    from functools import partial

    started = time.monotonic()
    from merge.models.parents import Resolver, count_cores

    with Resolver(recipe.base, settings, say, threads=options.get("threads") or count_cores()) as resolver:
        resolver.begin(recipe.parents())  # beside the imports, which take half a second
        from merge.commands.progress import make_watcher
        from merge.merging.card import render_card
        from merge.merging.merger import merge_parents

        with make_watcher(sys.stderr) as watcher:
            outcome = merge_parents(
                recipe,
                out,
                settings,
                partial(render_card, with_plots=plots),
                watcher=watcher,
                resolver=resolver,
                try_loading=True,
                **options,
            )
            if plots:
                from merge.commands.plots import draw_report

                draw_report(out)
        return outcome, time.monotonic() - started


def summarise(document: dict[str, Any]) -> str:
    """The few lines to show at the end."""
    from merge.merging.report import describe_combined, describe_dtypes

    verb = "already merged" if document["reused"] else "merged"
    theta = document["theta_degrees"]
    angles = f", theta {theta['median']:.2f} degrees in the median, {theta['max']:.2f} at most" if theta else ""
    combined = describe_combined(document)
    return (
        f"{verb}: {document['name']}, lam = {describe_lam(document['lam'])}, {describe_dtypes(document)}\n"
        f"{document['tensors']}"
        f" tensors, {document['parameters'] / 1e6:.1f} M parameters{angles}, {document['seconds']:.1f} "
        f"s\n{combined + chr(10) if combined else ''}{document['checkpoint_dir']}\n"
    )
