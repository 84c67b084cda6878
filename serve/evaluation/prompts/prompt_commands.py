"""The command `chipalign eval prompts`: a file of labelled prompts in, a few lines or one JSON document out.

It measures nothing itself and asks no server.

    chipalign eval prompts
    chipalign eval prompts --prompts ours.jsonl --json > today.json
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rag.command_line import describe_file, write_result
from rag.data_folder import DATA


def prompts(argv: list[str]) -> int:
    """`chipalign eval prompts [--prompts P.jsonl] [--split open|closed|all] [--json]`.

    Raises QuestionsUnusable: the file is.
    """
    args = _parse_arguments(argv)
    from serve.evaluation.prompts.prompts import read_prompts, summarize

    labelled = [each for each in read_prompts(args.prompts).values() if args.split in ("all", each.split)]
    result = {
        "evaluation": "prompts",
        "asked": {**describe_file(args.prompts), "split": args.split},
        **summarize(labelled),
    }
    write_result(result, _draw, args.json)
    return 0


def _parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="chipalign eval prompts",
        description=(
            "Measure how often the gateway knows which prompts are questions for the documents, and which are tasks on "
            "text that they bring along."
        ),
    )
    parser.add_argument(
        "--prompts",
        type=Path,
        default=DATA / "eval" / "prompts.jsonl",
        metavar="P.jsonl",
        help="labelled prompts, one a line (default: ours)",
    )
    parser.add_argument(
        "--split",
        choices=("open", "closed", "all"),
        default="open",
        help="which half of them (default: open; closed is for the end of a piece of work)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser.parse_args(argv)


def _draw(result: dict[str, Any]) -> Iterator[str]:
    """The result as lines for people."""
    asked, counts = result["asked"], result["counts"]
    yield f"asked       {asked['path']}, split {asked['split']}, sha256 {asked['sha256'][:16]}"
    yield f"prompts     {counts['prompts']}: {counts['questions']} questions, {counts['tasks']} tasks"
    for name, share in result["measures"].items():
        shown = f"{share['mean']:.3f} [{share['low']:.3f}, {share['high']:.3f}]" if share else "of nothing"
        yield f"{name:<12}{shown}"
    for miss in (*result["missed"], *result["other_queries"]):
        yield f"  {miss['id']} ({miss['client']}): {miss['why']}; {miss['said']}"
