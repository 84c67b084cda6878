"""The command `chipalign adapt reader`: documents and questions in, a reader of passages out.

Each question says how the units that answer it begin. It trains nothing itself. Heavy libraries are imported inside the
functions, so that `--help` answers at once.

    chipalign adapt reader --docs manuals/ openroad --questions ours.jsonl --out adapters/our-reader
    CHIPALIGN_READER=adapters/our-reader chipalign up
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rag.command_line import add_docs, add_exclude, add_questions, add_seed, whole_number, write_json
from rag.commands.build_commands import read_sources, report_skipped
from rag.commands.index_commands import index_apart
from rag.errors import EmbedderUnavailable, OutputUnwritable, SourceUnusable
from rag.progress import show_progress
from rag.settings import RagSettings
from rag.training.held_out import is_drawn
from rag.training.loss_curve import draw_loss_curve

if TYPE_CHECKING:
    from rag.documents import Document, Skipped
    from rag.progress import Show
    from rag.training.examples import Example
    from rag.training.reader_training import Lesson, Report

HELD_OUT = 20  # one question in so many is not trained on
LEAST_LESSONS = 48
CARD = "README.md"
CURVE = "losses.png"


def reader(argv: list[str]) -> int:
    """`chipalign adapt reader --docs SOURCE... --questions FILE... --out DIR`.

    Raises RagError: the input is wrong.
    """
    args = _parse_arguments(argv)
    from rag.embedding.passage_reader import READER_CONFIG, find_reader

    if args.out.exists() and not (args.out / READER_CONFIG).is_file():
        raise OutputUnwritable(f"{args.out} is there and is not a reader, so it is not replaced: name another folder")
    if args.start:
        find_reader(args.start)  # before documents are read for minutes
    summary = _adapt(args, RagSettings.from_env(), shlex.join(["chipalign", "adapt", "reader", *argv]))
    if args.json:
        write_json(summary)
    else:
        sys.stdout.write(
            f"{args.out}: a reader that learnt {summary['lessons']} questions in {summary['seconds']} s; "
            f"loss over {summary['held_out']} others {summary['loss']:.3f}\nUse it with CHIPALIGN_READER={args.out}\n"
        )
    return 0


def _parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="chipalign adapt reader",
        description="Train the reader that says which passage, and what of it, answers a question.",
    )

    add = parser.add_argument
    add_docs(parser)
    add_questions(parser, required=True)

    add(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="the folder of the reader; training that was stopped is taken up",
    )
    add_exclude(parser, "what nearly asks them is dropped")

    add(
        "--start",
        metavar="READER",
        help="go on from this reader, such as adapter:minilm-l6-reader (default: begin with the embedder)",
    )
    add(
        "--epochs",
        type=whole_number(1, 100),
        default=3,
        metavar="N",
        help="how often the questions are read (default: %(default)s)",
    )
    add_seed(parser)

    add("--json", action="store_true", help="one JSON document on stdout")
    return parser.parse_args(argv)


def _adapt(args: argparse.Namespace, settings: RagSettings, command: str) -> dict[str, Any]:
    from rag.embedding.model_folder import find_base, find_model_folder
    from rag.training.exclusion import NearQuestions, read_measured

    base = find_base(settings.embedder)
    base_folder = find_model_folder(base)
    skipped: list[Skipped] = []
    documents = read_sources(args.docs, settings, skipped)
    report_skipped(skipped)

    from rag.training.examples import read_examples

    started = time.monotonic()
    nearly_asks = NearQuestions(read_measured(args.exclude).questions)
    examples = [example for path in args.questions for example in read_examples(path)]
    kept = [example for example in examples if not nearly_asks(example.question)]
    with show_progress() as progress:
        lessons = _make_lessons(documents, kept, base_folder, settings, progress)
        if len(lessons) < LEAST_LESSONS:
            raise SourceUnusable(
                f"the documents answer {len(lessons)} of {len(kept)} questions, and {LEAST_LESSONS} are needed: give "
                "more of either"
            )
        held_out = [lesson for lesson in lessons if _is_held_out(lesson)]
        trained = [lesson for lesson in lessons if not _is_held_out(lesson)]
        report = _train(args, settings, trained, held_out, progress)
    summary = {
        "reader": str(args.out),
        "command": command,
        "base": base,
        "documents": len(documents),
        "licences": sorted({document.licence for document in documents}),
        "questions": len(examples),
        "dropped": len(examples) - len(kept),
        "lessons": len(trained),
        "held_out": len(held_out),
        "epochs": args.epochs,
        "steps": len(report.losses),
        "loss": report.looks[-1][1],
        "seconds": round(time.monotonic() - started),
        "date": datetime.now(UTC).date().isoformat(),
    }
    _describe(args.out, summary, report)
    return summary


def _make_lessons(
    documents: Sequence[Document],
    examples: Sequence[Example],
    base_folder: Path,
    settings: RagSettings,
    progress: Show,
) -> list[Lesson]:
    """The questions with the passages of an index that is built for them alone."""
    from rag.embedding.passage_reader import Pairing
    from rag.training.lessons import LessonMaker

    with TemporaryDirectory() as folder:
        retriever, chunks = index_apart(documents, Path(folder) / "index", settings, progress)
        maker = LessonMaker(retriever, chunks, Pairing(base_folder))
        lessons = []
        for number, example in enumerate(examples, start=1):
            if lesson := maker.make(example):
                lessons.append(lesson)
            progress("find passages", number, len(examples))
        return lessons


def _train(
    args: argparse.Namespace,
    settings: RagSettings,
    lessons: Sequence[Lesson],
    held_out: Sequence[Lesson],
    progress: Show,
) -> Report:
    """Train, and write the reader whole or not at all."""
    from safetensors.torch import load_file, save_file

    from rag.embedding.bert_files import read_bert
    from rag.embedding.model_folder import find_adapter, find_base, find_model_folder
    from rag.embedding.passage_reader import READER_CONFIG, READER_WEIGHTS, find_reader
    from rag.training.reader_training import STATE, Options, train_reader

    base = find_base(settings.embedder)
    files = read_bert(find_model_folder(base), find_adapter(settings.embedder))
    if files is None:
        raise EmbedderUnavailable(
            f"a reader is made from a plain BERT, which {base} is not: set CHIPALIGN_EMBEDDER to another for this "
            "command"
        )
    state = args.out.with_name(args.out.name + STATE)
    start = load_file(find_reader(args.start) / READER_WEIGHTS) if args.start else None
    options = Options(epochs=args.epochs, seed=args.seed)
    tensors, report = train_reader(files, lessons, held_out, options, state, progress, start)

    new = args.out.with_name(args.out.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    save_file({name: tensor.half().contiguous() for name, tensor in tensors.items()}, new / READER_WEIGHTS)
    (new / READER_CONFIG).write_text(json.dumps({"base": base}, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(args.out, ignore_errors=True)
    new.rename(args.out)
    shutil.rmtree(state)
    return report


def _is_held_out(lesson: Lesson) -> bool:
    """Whether a question, by its words, is one of those that are not trained on."""
    return is_drawn(lesson.question, HELD_OUT)


def _describe(folder: Path, summary: dict[str, Any], report: Report) -> None:
    """Write the reader's card and, beside it, its loss curve."""
    draw_loss_curve(
        folder / CURVE,
        [units + passages for units, passages in report.losses],
        report.looks,
        held_out="held-out questions",
        ylabel="loss, of units and of passages",
        title=folder.name,
    )
    (folder / CARD).write_text(_render_card(folder.name, summary), encoding="utf-8")


def _render_card(name: str, summary: dict[str, Any]) -> str:
    return f"""---
base_model: {summary["base"]}
tags: [cross-encoder, question-answering, eda]
---

# {name}: a reader of passages

Made by `{summary["command"]}` on {summary["date"]}, in {summary["seconds"]} seconds.

| | |
|---|---|
| base | {summary["base"]} |
| documents | {summary["documents"]}, licences: {", ".join(summary["licences"])} |
| questions | {summary["lessons"]} learnt, {summary["held_out"]} only looked at; \
{summary["dropped"]} nearly asked what is measured with |
| training | {summary["epochs"]} epochs, {summary["steps"]} steps; all weights but the words' embeddings |
| loss of the held-out questions | {summary["loss"]:.3f} |

![losses]({CURVE})

Use it with `CHIPALIGN_READER={name}` (the path of this folder).
"""
