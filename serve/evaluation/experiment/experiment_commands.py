"""The commands `chipalign eval table` and `chipalign eval sweep`: parents and questions in, figures and tables out.

They write a folder with a JSON document, Markdown tables and a picture. They parse and hand on: `plan` says what is
compared, `inputs` what is asked, and `run` does the work.

    chipalign eval table --chip models/chip --instruct models/chat --out first --ifeval dev.jsonl
    chipalign eval sweep data/recipes/demo.toml --out curve --lams 0,0.2,0.4,0.6,0.8,1 --limit 50
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.command_line import whole_number
from rag.data_folder import DATA
from rag.index.manifest import MANIFEST
from serve.errors import ExperimentIncomplete, ExperimentUnusable
from serve.evaluation.experiment.inputs import find_parents, join_lines, questions_from_choices, read_lines, sample
from serve.evaluation.experiment.plan import (
    CURVES,
    METHODS,
    Cell,
    Plan,
    Row,
    parse_lams,
    parse_methods,
    sweep_rows,
    table_rows,
)
from serve.evaluation.experiment.run import Failures, RunOptions, hold_folder, keep_plan, run_experiment, write_whole
from serve.running.commands import until_signal
from serve.settings import ServeSettings, parse_url

CELLS = ("qa_golden", "qa_retrieved", "ifeval", "mcq")  # columns of a table
MCQ = DATA / "eval" / "mcq.jsonl"
_COUNT = whole_number(1, 1_000_000)
DEFAULT_LAM = 0.6  # `chipalign merge`'s own
LAMS = "0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1"
QUICK_METHODS = "chat,chip,linear,geodesic"
QA_TOKENS, IFEVAL_TOKENS = 400, 1280  # the evaluations' own limits: the gateway's, and lm-eval's
CONCURRENCY = 32  # at which vLLM on two cores writes 100 tokens/s of a 135 M model; one request alone gets 28


@dataclass(frozen=True)
class Amount:
    """How much to ask: questions per evaluation (None: all), and the maximum length of answers in tokens."""

    limits: dict[str, int | None]
    qa_tokens: int = QA_TOKENS
    ifeval_tokens: int = IFEVAL_TOKENS
    golden_tokens: int | None = None  # for golden passages; None: what the window holds


# Four rows within a quarter of an hour on two cores, with 330 tokens/s read and 60 written by a few requests at once.
# Per row: 60 s of merge and engine; 6 questions of 900 tokens read and 128 written, twice, 60 s; 10 prompts of 256
# tokens written, 45 s; 30 questions of 5 x 45 tokens, 20 s.
QUICK = Amount({"qa": 6, "ifeval": 10, "mcq": 30}, qa_tokens=128, ifeval_tokens=256, golden_tokens=900)


def table(argv: list[str]) -> int:
    """`chipalign eval table`: parents and merges by every method.

    Raises ServeError: the input is wrong, or cells could not be measured.
    """
    parser = _build_parser(
        "table",
        "Compare a chip model, a chat model and their merges by every method: one row each, one column per measure.",
    )
    parser.add_argument(
        "--lam", type=_lam, default=DEFAULT_LAM, help="0 is the chat model, 1 the chip model (default %(default)s)"
    )
    parser.add_argument("--methods", metavar="A,B", help=f"the rows (default {','.join(METHODS)}; also dare)")
    parser.add_argument(
        "--base",
        metavar="REF",
        help="the model that both parents were trained from, for task_arithmetic, ties, dare and della",
    )
    args = parser.parse_args(argv)
    methods, left_out = parse_methods(
        args.methods or (QUICK_METHODS if args.quick else None), bool(args.base) or _has_base(args.recipe)
    )
    return _measure("table", args, table_rows(methods, args.lam), left_out, argv)


def sweep(argv: list[str]) -> int:
    """`chipalign eval sweep`: geodesic and linear merges along lam. Raises what `table` raises."""
    parser = _build_parser(
        "sweep", "Measure geodesic and linear merges along lam, from the chat model to the chip model."
    )
    parser.add_argument(
        "--lams", default=LAMS, metavar="A,B", help="where to measure; the ends are the parents (default %(default)s)"
    )
    curves = (*CURVES, ",".join(CURVES))
    parser.add_argument(
        "--methods", choices=curves, default=curves[-1], metavar="A,B", help="the curves (default %(default)s)"
    )
    args = parser.parse_args(argv)
    args.base = None
    return _measure("sweep", args, sweep_rows(parse_lams(args.lams), args.methods.split(",")), (), argv)


def _build_parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"chipalign eval {name}", description=description)
    _add_parents(parser)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the experiment's folder; the same command goes on in it"
    )
    _add_questions(parser)
    _add_run(parser)
    parser.add_argument("--json", action="store_true", help="the report as one JSON document on stdout")
    return parser


def _add_parents(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "recipe",
        nargs="?",
        type=Path,
        metavar="RECIPE.toml",
        help="the parents, and what decides where they differ; its method and lam do not count",
    )

    add("--chip", metavar="REF", help="the chip-domain model")
    add("--chip-adapter", metavar="REF", help="a LoRA adapter to fold into it")
    add("--instruct", metavar="REF", help="the chat model")


def _add_questions(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--qa-questions",
        type=Path,
        metavar="Q.jsonl",
        help="questions with answers, for ROUGE-L; for an index ours are the default",
    )
    documents = parser.add_mutually_exclusive_group()
    documents.add_argument(
        "--qa-corpus", type=Path, metavar="CHUNKS.json", help="the documents as ready-made chunks in ORD-QA's form"
    )
    documents.add_argument("--index", type=Path, metavar="DIR", help="the documents as an index directory")

    add("--ifeval", type=Path, metavar="P.jsonl", help="prompts in IFEval's format")
    add(
        "--mcq",
        type=Path,
        default=MCQ,
        metavar="Q.jsonl",
        help="multiple-choice questions (default: data/eval/mcq.jsonl)",
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    """What of it is measured, how, and where the models are served."""
    add = parser.add_argument
    add(
        "--cells",
        metavar="A,B",
        help=f"measure only these of {', '.join(CELLS)} (default: all that there are files for)",
    )
    add("--limit", type=_COUNT, metavar="N", help="at most N questions of each file: a sample, the same for every row")
    add(
        "--quick",
        action="store_true",
        help="few questions, short answers, four rows: under 15 minutes on two cores with the demo pair",
    )
    add(
        "--concurrency", type=_COUNT, default=CONCURRENCY, metavar="N", help="questions in flight (default %(default)s)"
    )
    add(
        "--keep-models", action="store_true", help="keep each merged model; else it is removed when its row is finished"
    )

    add(
        "--engine-url",
        type=_url,
        metavar="URL",
        help="a server that has every row under its name: nothing is merged or started",
    )


def _lam(text: str) -> float:
    try:
        (lam,) = parse_lams(text)
    except (ExperimentUnusable, ValueError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number from 0, the chat model, to 1, the chip model"
        ) from None
    return lam


def _url(text: str) -> str:
    try:
        return parse_url("--engine-url", text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _has_base(recipe: Path | None) -> bool:
    """Whether a recipe names the base model of both parents."""
    return recipe is not None and "base" in find_parents(recipe, {}, Path.cwd())[0]


def _measure(
    experiment: str, args: argparse.Namespace, rows: tuple[Row, ...], left_out: tuple[str, ...], argv: list[str]
) -> int:
    """Plan, run and report."""
    settings = ServeSettings.from_env()
    given = {
        "chip": {"model": args.chip, "adapter": args.chip_adapter},
        "chat": {"model": args.instruct},
        "base": {"model": args.base},
    }
    refs = {side: {key: ref for key, ref in parent.items() if ref is not None} for side, parent in given.items()}
    parents, decisions = find_parents(args.recipe, refs, Path.cwd())
    amount = QUICK if args.quick else Amount({})
    if args.limit:
        amount = Amount(
            dict.fromkeys(("qa", "ifeval", "mcq"), args.limit),
            amount.qa_tokens,
            amount.ifeval_tokens,
            amount.golden_tokens,
        )
    cells, questions, unmeasured = plan_cells(args, amount)
    plan = Plan(experiment, parents, decisions, rows, cells, (*left_out, *unmeasured))
    folder = args.out.absolute()
    command = shlex.join(["chipalign", "eval", experiment, *argv])
    with hold_folder(folder):
        keep_plan(plan, folder, questions)
        for reason in plan.left_out:
            _say(f"left out: {reason}")
        report: dict[str, Any] = {}

        def after_row(failures: Failures) -> None:
            """Write the reports anew."""
            report.update(write_reports(plan, folder, failures, command))

        options = RunOptions(args.concurrency, args.keep_models, args.engine_url or "")
        if not asyncio.run(until_signal(_run(plan, folder, options, settings, after_row))):
            _say(f"stopped; the same command goes on in {folder}")
            return 130
    _print(report, folder, experiment, as_json=args.json)
    return 0


async def _run(plan: Plan, folder: Path, options: RunOptions, settings: ServeSettings, after_row: Any) -> None:
    await run_experiment(plan, folder, options, settings, _say, after_row)


def plan_cells(args: argparse.Namespace, amount: Amount) -> tuple[tuple[Cell, ...], dict[str, bytes], tuple[str, ...]]:
    """The evaluations that have files, the questions of each as a file's content, and a sentence for each one left out.

    Raises ExperimentUnusable: a file cannot be used, questions have no documents, or nothing is left to measure.
    """
    wanted = CELLS if args.cells is None else tuple(name.strip() for name in args.cells.split(","))
    if unknown := [name for name in wanted if name not in CELLS]:
        raise ExperimentUnusable(f"--cells names {', '.join(unknown) or 'nothing'}: the columns are {', '.join(CELLS)}")
    cells: list[Cell] = []
    questions: dict[str, bytes] = {}
    left_out: list[str] = []

    def add(
        evaluation: str,
        source: Path,
        lines: list[str],
        contexts: tuple[tuple[str, tuple[str, ...]], ...],
        **documents: str,
    ) -> None:
        """Add the cells of one evaluation, which share their questions; contexts: name and options of each."""
        asked = sample(lines, amount.limits.get(evaluation))
        questions[evaluation] = join_lines(asked)
        sha256 = hashlib.sha256(questions[evaluation]).hexdigest()
        cells.extend(
            Cell(name, evaluation, str(source.absolute()), len(asked), sha256, options, **documents)
            for name, options in contexts
        )

    documents = _find_documents(args)
    if documents:
        source, lines = _find_qa_questions(args)
        tokens = ("--max-tokens", str(amount.qa_tokens))
        golden = ("--context-tokens", str(amount.golden_tokens)) if amount.golden_tokens else ()
        contexts = (
            ("qa_golden", ("--context", "golden", *tokens, *golden)),
            ("qa_retrieved", ("--context", "retrieved", *tokens)),
        )
        add("qa", source, lines, contexts, **documents)
    else:
        left_out.append("qa: give --qa-corpus with --qa-questions, or --index")
    if args.ifeval:
        add("ifeval", args.ifeval, read_lines(args.ifeval), (("ifeval", ("--max-tokens", str(amount.ifeval_tokens))),))
    else:
        left_out.append("ifeval: give its prompts with --ifeval")
    add("mcq", args.mcq, read_lines(args.mcq), (("mcq", ()),))
    left_out += [f"{cell.name}: it is none of --cells" for cell in cells if cell.name not in wanted]
    measured = tuple(cell for cell in cells if cell.name in wanted)
    if not measured:
        raise ExperimentUnusable(f"--cells {args.cells} leaves nothing to measure ({'; '.join(left_out)})")
    return measured, questions, tuple(left_out)


def _find_documents(args: argparse.Namespace) -> dict[str, str]:
    """The documents to search: kind, path and hash, as a cell has them; empty if none are given."""
    given = args.qa_corpus or args.index
    if given is None:
        if args.qa_questions:
            raise ExperimentUnusable(
                f"{args.qa_questions} has questions about documents: give these with --qa-corpus or --index"
            )
        return {}
    path = args.qa_corpus or args.index / MANIFEST
    if not path.is_file():
        raise ExperimentUnusable(f"{path} is not a file: name documents that are there")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {
        "searched": "corpus" if args.qa_corpus else "index",
        "documents": str(given.absolute()),
        "documents_sha256": sha256,
    }


def _find_qa_questions(args: argparse.Namespace) -> tuple[Path, list[str]]:
    """The questions about the documents: the user's or, for an index, ours about the collections that it has."""
    if args.qa_questions:
        return args.qa_questions, read_lines(args.qa_questions)
    if args.qa_corpus:
        raise ExperimentUnusable(f"{args.qa_corpus} has documents only: give questions about them with --qa-questions")
    collections = {
        name.partition("@")[0]
        for name in json.loads((args.index / MANIFEST).read_text(encoding="utf-8"))["collections"]
    }
    lines = questions_from_choices(read_lines(MCQ), collections.__contains__)
    if not lines:
        raise ExperimentUnusable(
            f"{args.index} has no collection that our questions are about: give yours with --qa-questions"
        )
    return MCQ, lines


def write_reports(plan: Plan, folder: Path, failures: Failures, command: str) -> dict[str, Any]:
    """Write NAME.json, NAME.md and NAME.png of the cells measured so far; NAME is the experiment's.

    Returns the document.
    """
    from serve.evaluation.experiment.plots import draw_report
    from serve.evaluation.experiment.report import build_report, render_markdown
    from serve.running.machine import machine

    report = build_report(plan, folder, failures, {"command": command, **machine()})
    write_whole(
        folder / f"{plan.experiment}.json", json.dumps(report, ensure_ascii=False, indent=1).encode("utf-8") + b"\n"
    )
    write_whole(folder / f"{plan.experiment}.md", render_markdown(report).encode("utf-8"))
    draw_report(report, folder / f"{plan.experiment}.png")
    return report


def _print(report: dict[str, Any], folder: Path, experiment: str, *, as_json: bool) -> None:
    """Print the report to stdout. Raises ExperimentIncomplete: cells failed; everything is printed before."""
    sys.stdout.write(
        json.dumps(report, ensure_ascii=False) + "\n"
        if as_json
        else (folder / f"{experiment}.md").read_text(encoding="utf-8")
    )
    sys.stdout.flush()
    _say(f"{experiment}.md, {experiment}.json and {experiment}.png are in {folder}")
    failed = [
        f"{row} {name}: {cell['reason']}"
        for row, cells in report["rows"].items()
        for name, cell in cells.items()
        if cell["state"] == "failed"
    ]
    if failed:
        raise ExperimentIncomplete(
            f"{len(failed)} cells could not be measured ({'; '.join(failed)}): the same command tries them again"
        )


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
