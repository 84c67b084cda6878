"""The arguments of `chipalign merge` and its subcommands, and the recipe that they give.

It merges nothing.

    recipe = find_recipe(build_parser().parse_args(["data/recipes/demo.toml", "--out", "merged"]))
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from merge.command_line import factor, positive
from merge.errors import RecipeError
from merge.recipe import BASE_METHODS, DECISIONS, DEFAULT_LAM, METHODS, Recipe
from merge.recipe_file import load_recipe, parse_recipe

BASELESS = tuple(method for method in METHODS if method not in BASE_METHODS)  # those that two parents suffice for
SHARED: dict[str, dict[str, Any]] = {  # options of several of these commands
    "--threads": {
        "type": positive,
        "metavar": "N",
        "help": "threads (default: one per core); the bytes are the same for any number",
    },
    "--device": {"default": "cpu", "help": "cpu, or cuda where torch has it (default cpu)"},
    "--json": {"action": "store_true", "help": "print one JSON document on stdout"},
}


def build_parser(subcommands: Iterable[str] = ()) -> argparse.ArgumentParser:
    """The options of `chipalign merge`, with the names of its subcommands in the help."""
    parser = argparse.ArgumentParser(
        prog="chipalign merge",
        usage="chipalign merge RECIPE.toml --out DIR [options], or --chip REF --instruct REF in the recipe's place",
        description="Merge a chip model and a chat model of one architecture into one checkpoint (arXiv 2412.19819).",
        epilog=f'REF: a folder, a .gguf file, a hub id "org/name" or "org/name@revision", or "package:NAME". '
        f"Further: chipalign merge {' | '.join(subcommands)}, each with its own --help.",
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

    add_shared(parser, "--threads", "--device", "--json")
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
    add_shared(parser, "--json")
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
        "--sample", type=positive, metavar="N", help="compute N tensors anew, other ones each time (default 8)"
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

    add_shared(parser, "--threads", "--json")
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
    add_shared(parser, "--threads", "--device", "--json")
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
    add_shared(parser, "--json")
    return parser


def add_shared(parser: argparse.ArgumentParser, *names: str) -> None:
    """Give a parser those options of SHARED."""
    for name in names:
        parser.add_argument(name, **SHARED[name])


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
