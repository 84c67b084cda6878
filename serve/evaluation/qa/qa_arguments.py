"""The arguments of `chipalign eval qa`.

It reads no file.

    args = parse_arguments(["--corpus", "chunks.json", "--questions", "q.jsonl", "--context", "golden", "--url", URL])
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rag.command_line import positive, whole_number

GOLDEN, RETRIEVED = "golden", "retrieved"
MODEL, QUOTE = "model", "quote"
CONTEXT_TOKENS = 900  # of retrieved passages: the gateway's default
MAX_TOKENS = 400  # of an answer: the gateway's default
CONCURRENCY = 16  # an engine answers several at once in little more time than one
TOKENS = whole_number(1, 1_000_000)


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    """The arguments of `chipalign eval qa`; ends the process where they are wrong."""
    parser = argparse.ArgumentParser(
        prog="chipalign eval qa",
        description=(
            "Ask a model questions about documents, with the gateway's own prompt, and measure its answers beside "
            "reference answers."
        ),
    )
    _add_inputs(parser)
    _add_answering(parser)
    _add_running(parser)
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout, with every question's values")
    args = parser.parse_args(argv)
    if not args.url and args.answer == MODEL:
        parser.error("the model needs a server: name it with --url, or let the documents answer with --answer quote")
    return args


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    documents = parser.add_mutually_exclusive_group(required=True)
    documents.add_argument(
        "--corpus", type=Path, metavar="CHUNKS.json", help="the documents as ready-made chunks in ORD-QA's form"
    )
    documents.add_argument("--index", type=Path, metavar="DIR", help="the documents as an index directory")
    add(
        "--questions",
        type=Path,
        required=True,
        metavar="Q.jsonl",
        help="questions with their answers and the passages that answer them, one a line",
    )
    add(
        "--context",
        choices=(GOLDEN, RETRIEVED),
        required=True,
        help="the passages that a question refers to, or those that the search finds",
    )


def _add_answering(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--url",
        help="an OpenAI-compatible server: the engine, or the gateway, whose own retrieval is then switched off",
    )
    add(
        "--answer",
        choices=(MODEL, QUOTE),
        default=MODEL,
        help=(
            "who answers: the model at --url, or the documents in quotes, which needs no server (default: %(default)s)"
        ),
    )

    add("--model", metavar="ID", help="name of the model there (default: the only one)")
    add("--top-k", type=positive, default=5, metavar="K", help="passages that the search finds (default: %(default)s)")
    add(
        "--context-tokens",
        type=TOKENS,
        metavar="N",
        help=f"most tokens of passages (default: {CONTEXT_TOKENS} retrieved; golden: what the window holds)",
    )
    add("--max-tokens", type=TOKENS, default=MAX_TOKENS, metavar="N", help="longest answer (default: %(default)s)")

    add(
        "--tokenizer",
        type=Path,
        metavar="DIR",
        help="checkpoint whose tokenizer counts (default: the one the server names, else the embedder's)",
    )

    add("--limit", type=positive, metavar="N", help="only the first N questions")
    add(
        "--grammar",
        action="store_true",
        help="of a gateway: let it hold the answers to the names in the prompt, by a grammar",
    )


def _add_running(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--concurrency",
        type=positive,
        default=CONCURRENCY,
        metavar="N",
        help="requests in flight (default: %(default)s)",
    )

    add(
        "--answers",
        type=Path,
        metavar="FILE",
        help="keep the answers there, one JSON line each; a run that was stopped goes on from it",
    )
    add(
        "--compare",
        type=Path,
        metavar="OTHER_ANSWERS",
        help="another run's --answers file: show the differences, question by question paired",
    )
