"""`chipalign eval search`: what `chipalign merge search` does, with merges that an engine serves.

It parses and hands on: merge.commands.search_commands searches, `served_merge` serves.

    chipalign eval search my-pair.toml --eval questions.jsonl --groups 4 --out search/
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from rag.command_line import whole_number
from serve.errors import ExperimentUnusable
from serve.evaluation.experiment.run import hold_folder
from serve.evaluation.experiment.served_merge import CHECKPOINT, PLACE, ServedMerge, given_engine, own_engine
from serve.settings import ServeSettings

if TYPE_CHECKING:
    from merge.commands.search_commands import Opened

CONCURRENCY = 8  # vLLM holds a number for each token of the vocabulary, of each token that it is asked about
SERVING = "serving"  # in the folder of the search: the checkpoint of a trial, and the engine's log


def search(argv: list[str]) -> int:
    """`chipalign eval search`: returns 0.

    Raises:
        ServeError: the engine cannot be started, ended, or gives no likelihoods.
        MergeError: the recipe, its parents or the questions cannot be used.
    """
    from merge.commands.search_commands import build_search_parser, run_search

    parser = build_search_parser(
        "chipalign eval search",
        " Each merge is written to a scratch folder and served while it is asked, for models that `chipalign merge "
        "search` cannot hold in memory.",
    )
    parser.add_argument(
        "--engine",
        metavar="COMMAND",
        help=f"starts a vLLM server of the folder {PLACE} and runs until it is ended (default: our own vLLM)",
    )
    parser.add_argument("--url", metavar="URL", help="where --engine's server answers")
    parser.add_argument(
        "--concurrency",
        type=whole_number(1, 1000),
        default=CONCURRENCY,
        metavar="N",
        help="answers in flight (default %(default)s)",
    )
    args = parser.parse_args(argv)
    if bool(args.engine) != bool(args.url):
        raise ExperimentUnusable("--engine and --url belong together: how the engine is started, and where it answers")
    settings = ServeSettings.from_env()
    engine_for = given_engine(args.engine, args.url, settings) if args.engine else own_engine(settings)

    def make_model(opened: Opened) -> ServedMerge:
        """Of the parents that the search opens."""
        return ServedMerge(opened, args.out / SERVING, engine_for, args.concurrency, settings)

    with hold_folder(args.out):
        try:
            return run_search(args, make_model, where="served")
        finally:
            shutil.rmtree(args.out / SERVING / CHECKPOINT, ignore_errors=True)
