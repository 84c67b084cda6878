"""The command `chipalign adapt retriever`: documents in, an adapter of the embedder with its card and loss curve out.

It trains nothing itself. Heavy libraries are imported inside the functions, so that `--help` answers at once.

    chipalign adapt retriever --docs manuals/ openroad --out adapters/ours
    CHIPALIGN_EMBEDDER=adapters/ours chipalign index build --out my-index/ manuals/
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.command_line import add_docs, add_exclude, add_questions, add_seed, whole_number, write_json
from rag.commands.build_commands import read_sources, report_skipped
from rag.errors import OutputUnwritable, SourceUnusable
from rag.progress import show_progress
from rag.settings import RagSettings
from rag.training.held_out import is_drawn
from rag.training.loss_curve import draw_loss_curve

if TYPE_CHECKING:
    from rag.documents import Chunk, Document, Skipped
    from rag.training.contrastive import Report
    from rag.training.training_pairs import Pair

HELD_OUT = 10  # one document in so many is not trained on
LEAST_PAIRS = 26  # those of one step; with fewer, the wrong passages would always be the same few
CARD = "README.md"
CURVE = "losses.png"


def retriever(argv: list[str]) -> int:
    """`chipalign adapt retriever --docs SOURCE... --out DIR`.

    Raises RagError: the input is wrong.
    """
    args = _parse_arguments(argv)
    settings = RagSettings.from_env()
    if args.out.exists() and not (args.out / "adapter_config.json").is_file():
        raise OutputUnwritable(f"{args.out} is there and is not an adapter, so it is not replaced: name another folder")
    summary = _adapt(args, settings, shlex.join(["chipalign", "adapt", "retriever", *argv]))
    if args.json:
        write_json(summary)
    else:
        sys.stdout.write(
            f"{args.out}: of {summary['pairs']} pairs from {summary['documents']} documents, step "
            f"{summary['best_step']} of {summary['steps']}; held-out passages found first: "
            f"{summary['found_first_before']:.2f} before, {summary['found_first']:.2f} now\nUse it with "
            f"CHIPALIGN_EMBEDDER={args.out} when you build an index and when you search it.\n"
        )
    return 0


def _parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="chipalign adapt retriever",
        description="Adapt the embedder to documents: an adapter of 5 MB, trained on pairs made from them.",
    )

    add = parser.add_argument
    add_docs(parser)
    add(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="the folder of the adapter; training that was stopped is taken up",
    )

    add(
        "--answers",
        nargs="+",
        type=Path,
        default=[],
        metavar="PATH",
        help="questions with answers that the documents hold: .csv, .jsonl, or folders",
    )
    add_questions(parser)
    add_exclude(parser, "pairs that nearly ask them are dropped")

    add(
        "--steps",
        type=whole_number(1, 1_000_000),
        default=400,
        metavar="N",
        help="steps of 26 pairs (default: %(default)s)",
    )
    add_seed(parser)

    add("--json", action="store_true", help="one JSON document on stdout")
    return parser.parse_args(argv)


def _adapt(args: argparse.Namespace, settings: RagSettings, command: str) -> dict[str, Any]:
    from rag.documents import searchable_text
    from rag.embedding.embedder import Embedder
    from rag.embedding.model_folder import find_base, find_model_folder

    skipped: list[Skipped] = []
    documents = read_sources(args.docs, settings, skipped)
    report_skipped(skipped)
    base_name = find_base(settings.embedder)  # an adapter is never put upon another
    base, embedder = find_model_folder(base_name), Embedder.find(base_name)
    chunks, pairs, dropped = _make_pairs(documents, args, settings, embedder)
    held_out = [pair for pair in pairs if _is_held_out(pair)]
    trained = [pair for pair in pairs if not _is_held_out(pair)]
    if min(len(trained), len(held_out)) < LEAST_PAIRS:
        raise SourceUnusable(
            f"the documents give {len(trained)} pairs to train with and {len(held_out)} to look at, and {LEAST_PAIRS} "
            "of each are needed: give more documents"
        )
    # Takes seconds, which a wrong path need not wait for
    from rag.training.contrastive import Lessons, Options, find_weights, train_adapter
    from rag.training.training_pairs import find_near_misses

    options = Options(steps=args.steps, seed=args.seed)
    lessons = Lessons(trained, find_near_misses(trained, chunks))
    weights = find_weights(base, [searchable_text(chunk) for chunk in chunks], embedder.is_word)
    started = time.monotonic()
    with show_progress() as progress:
        report = train_adapter(base, base_name, lessons, held_out, weights, options, args.out, progress)
    best_step, loss, share = report.best
    summary = {
        "adapter": str(args.out),
        "command": command,
        "base": base_name,
        "documents": len(documents),
        "chunks": len(chunks),
        "licences": sorted({document.licence for document in documents}),
        "pairs": len(trained),
        "held_out": len(held_out),
        "kinds": dict(Counter(pair.kind for pair in trained)),
        "dropped": dropped,
        "steps": args.steps,
        "best_step": best_step,
        "loss_before": report.looks[0][1],
        "loss": loss,
        "found_first_before": report.looks[0][2],
        "found_first": share,
        "seconds": round(time.monotonic() - started),
        "date": datetime.now(UTC).date().isoformat(),
    }
    _describe(args.out, summary, report)
    return summary


def _make_pairs(
    documents: Sequence[Document], args: argparse.Namespace, settings: RagSettings, embedder: Any
) -> tuple[list[Chunk], list[Pair], int]:
    """All chunks, the pairs made from them and from the answers, and how many pairs were dropped.

    Those that are used to measure are dropped.
    """
    from rag.index.chunker import chunk_document
    from rag.training.examples import read_examples
    from rag.training.exclusion import read_measured
    from rag.training.training_pairs import (
        drop_known,
        pairs_of_answers,
        pairs_of_documents,
        pairs_of_questions,
        read_answers,
    )

    chunks = [
        chunk
        for document in documents
        for chunk in chunk_document(document, embedder.count_tokens, settings.chunk_tokens, settings.overlap_tokens)
    ]
    answers = list(chain.from_iterable(map(read_answers, args.answers)))
    questions = [example for path in args.questions for example in read_examples(path)]
    pairs = [
        *pairs_of_documents(chunks, args.seed),
        *pairs_of_answers(answers, chunks),
        *pairs_of_questions(questions, chunks),
    ]
    kept = drop_known(pairs, read_measured(args.exclude).questions)
    return chunks, kept, len(pairs) - len(kept)


def _is_held_out(pair: Pair) -> bool:
    """Whether a pair's document, by its name, is one of those that are not trained on."""
    return is_drawn(f"{pair.chunk.collection}/{pair.chunk.path}", HELD_OUT)


def _describe(folder: Path, summary: dict[str, Any], report: Report) -> None:
    """Write the adapter's card and, beside it, its loss curve."""
    draw_loss_curve(
        folder / CURVE,
        report.losses,
        [(step, loss) for step, _, loss in report.looks],
        held_out="held-out pairs",
        ylabel="loss, dense and token by token",
        title=f"{folder.name}: the adapter is that of step {summary['best_step']}",
        best_step=summary["best_step"],
    )
    (folder / CARD).write_text(_render_card(folder.name, summary), encoding="utf-8")


def _render_card(name: str, summary: dict[str, Any]) -> str:
    before, now = (f"{summary[key]:.3f}" for key in ("found_first_before", "found_first"))
    kinds = ", ".join(f"{count} {kind}s" for kind, count in summary["kinds"].items())
    return f"""---
library_name: peft
base_model: {summary["base"]}
tags: [lora, sentence-similarity, eda]
---

# {name}: an adapter of the embedder for these documents

Made by `{summary["command"]}` on {summary["date"]}, in {summary["seconds"]} seconds.

| | |
|---|---|
| base | {summary["base"]} |
| documents | {summary["documents"]}, {summary["chunks"]} chunks, licences: {", ".join(summary["licences"])} |
| pairs | {summary["pairs"]} ({kinds}); {summary["held_out"]} more, of every tenth document, only looked at |
| dropped | {summary["dropped"]} that nearly ask a question that is measured with |
| training | contrastive, of whole texts and token by token; \
that of step {summary["best_step"]} of {summary["steps"]}, at half strength |
| held-out pairs | loss {summary["loss_before"]:.3f} before, {summary["loss"]:.3f} now; \
own passage first of its batch: {before} before, {now} now |

![losses]({CURVE})

Use it as an embedder: `CHIPALIGN_EMBEDDER={name}` (the path of this folder), \
for building an index and for searching it.
"""
