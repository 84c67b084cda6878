"""`chipalign merge`: the command line of this package. It parses, draws and prints; merge.merging.merger merges.

    merge(["data/recipes/demo.toml", "--out", "merged"])  # the exit code

numpy and the rest are imported when a merge starts, so that help and mistakes are answered at once; torch only for
--device cuda and GGUF.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merge.command_line import factor, say
from merge.errors import SHOWN, MergeError, RecipeError
from merge.recipe import BASE_METHODS, DECISIONS, DEFAULT_LAM, METHODS, Recipe, describe_lam
from merge.recipe_file import load_recipe, parse_recipe
from merge.settings import MergeSettings

if TYPE_CHECKING:
    from merge.merging.merger import Outcome

BASELESS = tuple(method for method in METHODS if method not in BASE_METHODS)  # those that two parents suffice for


def build_parser() -> argparse.ArgumentParser:
    """The options of `chipalign merge`."""
    parser = argparse.ArgumentParser(
        prog="chipalign merge",
        usage="chipalign merge RECIPE.toml --out DIR [options], or --chip REF --instruct REF in the recipe's place",
        description="Merge a chip model and a chat model of one architecture into one checkpoint (arXiv 2412.19819).",
        epilog=f'REF: a folder, a .gguf file, a hub id "org/name" or "org/name@revision", or "package:NAME". '
        f"Further: chipalign merge {' | '.join(SUBCOMMANDS)}, each with its own --help.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=22, width=118),
    )

    _add_parents(parser)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="the checkpoint folder to make; needed but for --dry-run"
    )
    parser.add_argument("--force", action="store_true", help="merge anew even if DIR holds this very merge")
    parser.add_argument(
        "--dry-run", action="store_true", help="show the plan and the bytes to read and write, and write nothing"
    )
    parser.add_argument(
        "--plots", action="store_true", help="put pictures of angles, norms and differences beside the card"
    )
    parser.add_argument("--shard-gb", type=factor, metavar="N", help="largest file of weights (default 5)")

    _add_threads(parser)
    parser.add_argument("--device", default="cpu", help="cpu, or cuda where torch has it (default cpu)")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    return parser


def build_inspect_parser() -> argparse.ArgumentParser:
    """The options of `chipalign merge inspect`."""
    parser = argparse.ArgumentParser(
        prog="chipalign merge inspect",
        description=(
            "Compare two parents before they are merged: angle and norms over depth, and how far a geodesic and a "
            "linear merge differ."
        ),
    )
    _add_parents(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="a folder for the pictures, PNG")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    return parser


def build_verify_parser() -> argparse.ArgumentParser:
    """The options of `chipalign merge verify`."""
    parser = argparse.ArgumentParser(
        prog="chipalign merge verify",
        description=(
            "Say whether a merged checkpoint is what its report claims: every byte by its hash, and some tensors "
            "computed anew."
        ),
    )

    parser.add_argument("folder", type=Path, metavar="DIR", help="the checkpoint folder")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument(
        "--sample", type=_count, metavar="N", help="compute N tensors anew, other ones each time (default 8)"
    )
    amount.add_argument("--all", action="store_true", help="compute all tensors anew")
    amount.add_argument("--no-parents", action="store_true", help="compute none anew: the parents are not needed")

    for side, what in (("chip", "chip model"), ("instruct", "chat model"), ("base", "base model")):
        parser.add_argument(f"--{side}", metavar="REF", help=f"where the {what} is now, if not where the report says")
    parser.add_argument(
        "--from",
        dest="origin",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where relative folders of the report start",
    )

    _add_threads(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    return parser


def build_sweep_parser() -> argparse.ArgumentParser:
    """The options of `chipalign merge sweep`."""
    parser = argparse.ArgumentParser(
        prog="chipalign merge sweep",
        description="Merge once per lam, in one pass over the parents: DIR/lam-0, DIR/lam-0.1, and so on.",
    )
    parser.add_argument("recipe", type=Path, metavar="RECIPE.toml", help="what to merge; its lam does not count")
    parser.add_argument(
        "--lam", required=True, metavar="A:B:STEP", help="from A to B in steps, or values with commas: 0,0.5,1"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder for the checkpoint folders")
    parser.add_argument("--force", action="store_true", help="merge anew even what DIR holds already")
    _add_threads(parser)
    parser.add_argument("--device", default="cpu", help="cpu, or cuda where torch has it (default cpu)")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    return parser


def build_bench_parser() -> argparse.ArgumentParser:
    """The options of `chipalign merge bench`."""
    parser = argparse.ArgumentParser(
        prog="chipalign merge bench",
        description=(
            "Measure a merge of 1.1 B parameters beside mergekit's slerp and beside plain copies of the same bytes, in "
            "turn: ten minutes."
        ),
    )
    parser.add_argument("--quick", action="store_true", help="100 M parameters, once, without mergekit: a minute")
    parser.add_argument("--large", action="store_true", help="one merge of 8 B parameters more: 50 GB")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is run; medians count (default 3)")
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help="where the parents are made, 26 GB (default: the folder for temporary files)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    return parser


def _add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads",
        type=_count,
        metavar="N",
        help="threads (default: one per core); the bytes are the same for any number",
    )


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError(text)  # argparse words it itself
    return count


def _add_parents(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recipe",
        nargs="?",
        type=Path,
        metavar="RECIPE.toml",
        help="what to merge; or say it with --chip and --instruct",
    )
    parser.add_argument("--chip", metavar="REF", help="the chip-domain model")
    parser.add_argument("--instruct", metavar="REF", help="the chat model")
    for side in ("chip", "chat"):
        what = f"a LoRA adapter to fold into the {side} model; several are folded in their order"
        parser.add_argument(f"--{side}-adapter", action="append", metavar="REF", help=what)
    parser.add_argument("--dtype", help="auto (as the parents, the default), bfloat16, float16 or float32")
    parser.add_argument("--lam", type=float, help=f"0 is the chat model, 1 the chip model (default {DEFAULT_LAM})")
    methods = f"{', '.join(BASELESS)} (default {BASELESS[0]}); others need a recipe's [base]"
    parser.add_argument("--method", choices=BASELESS, metavar="NAME", help=methods)
    for key, what in (("vocab", "whose tokens, where they differ"), ("config", "whose settings, where they differ")):
        choices = DECISIONS[key]
        parser.add_argument(
            f"--{key}", choices=choices, metavar="SIDE", help=f"{what}: {', '.join(choices)} (default {choices[0]})"
        )


def merge(argv: list[str]) -> int:
    """Run `chipalign merge` and return 0.

    Raises MergeError: the input is wrong; the `chipalign` command turns it into one line and exit 2.
    """
    if argv and argv[0] in SUBCOMMANDS:
        return SUBCOMMANDS[argv[0]](argv[1:])
    parser = build_parser()
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


def find_recipe(args: argparse.Namespace) -> Recipe:
    """The recipe from the file, or from --chip, --instruct and the options beside them.

    Raises RecipeError: it is wrong, or both or neither are given.
    """
    by_option = {
        "--chip": args.chip,
        "--instruct": args.instruct,
        "--chip-adapter": args.chip_adapter,
        "--chat-adapter": args.chat_adapter,
        "--lam": args.lam,
        "--method": args.method,
        "--vocab": args.vocab,
        "--config": args.config,
        "--dtype": args.dtype,
    }
    given = [option for option, value in by_option.items() if value is not None]

    if args.recipe is not None:
        if given:
            raise RecipeError(
                str(args.recipe), [f"{', '.join(given)} cannot go with a recipe file. Set it in the file"]
            )
        return load_recipe(args.recipe)

    if missing := [option for option in ("--chip", "--instruct") if by_option[option] is None]:
        raise RecipeError(
            "command line", [f"{', '.join(missing)} missing. Give a recipe file, or --chip REF --instruct REF"]
        )

    tables = {
        "merge": {
            "lam": args.lam,
            "method": args.method,
            "vocab": args.vocab,
            "config": args.config,
            "dtype": args.dtype,
        },
        "chip": {"model": args.chip, "adapter": args.chip_adapter},
        "chat": {"model": args.instruct, "adapter": args.chat_adapter},
    }
    given_tables = {name: {key: v for key, v in table.items() if v is not None} for name, table in tables.items()}
    return parse_recipe(given_tables, base=Path.cwd(), source="command line")


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
