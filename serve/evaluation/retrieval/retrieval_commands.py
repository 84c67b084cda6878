"""The command `chipalign eval retrieval`: files in, a table or one JSON document out. It measures nothing itself.

Functions import heavy libraries, so that `--help` answers at once.

    chipalign eval retrieval --corpus openroad_documentation.json --questions dev.jsonl --json > today.json
    chipalign eval retrieval --index indexes/starter --questions data/eval/starter.jsonl --compare before.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, fields
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.command_line import describe_file, positive, write_result
from rag.index.manifest import MANIFEST
from rag.progress import show_progress
from rag.search.metrics import CUTOFFS
from rag.settings import RagSettings
from serve.evaluation.errors import ResultUnusable

if TYPE_CHECKING:
    from rag.embedding.embedder import TextEmbedder
    from rag.index.generation import Index
    from rag.progress import Show
    from rag.sources.questions import Question
    from serve.evaluation.retrieval.evaluation import Outcome

_LIBRARIES = ("faiss-cpu", "numpy", "PyStemmer", "sentence-transformers", "tokenizers", "torch", "transformers")
# Settings of this machine, or secret: those that do not show themselves.
_UNREPORTED = {"home", "mirror", *(item.name for item in fields(RagSettings) if not item.repr)}
_COLUMN = 20  # "0.725 [0.601, 0.838]"


def retrieval(argv: list[str]) -> int:
    """`chipalign eval retrieval (--corpus CHUNKS.json | --index DIR) --questions Q.jsonl [--json]`.

    Raises RagError, ServeError: the input is wrong.
    """
    args = _parse_arguments(argv)
    settings = RagSettings.from_env()
    write_result(measure(args, settings), draw, args.json)
    return 0


def _parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="chipalign eval retrieval",
        description="Measure the search: recall, MRR, nDCG, latency, and the decision not to answer.",
    )

    searched = parser.add_mutually_exclusive_group(required=True)
    searched.add_argument(
        "--corpus",
        type=Path,
        metavar="CHUNKS.json",
        help="ready-made chunks in ORD-QA's form; each counts once, at its best piece",
    )
    searched.add_argument("--index", type=Path, metavar="DIR", help="an index directory")

    add_measuring(parser)
    return parser.parse_args(argv)


def add_measuring(parser: argparse.ArgumentParser, questions: Path | None = None) -> None:
    """The arguments that say what is asked and shown. Without `questions`, a file of them must be named."""
    parser.add_argument(
        "--questions",
        type=Path,
        required=questions is None,
        default=questions,
        metavar="Q.jsonl",
        help="questions with the passages that answer them, one a line"
        + (" (default: those of this checkout)" if questions else ""),
    )

    parser.add_argument(
        "--top-k",
        type=positive,
        nargs="+",
        default=list(CUTOFFS),
        metavar="K",
        help=f"the k of recall@k (default: {_join(CUTOFFS)})",
    )
    parser.add_argument(
        "--slips",
        type=_share,
        default=0.0,
        metavar="SHARE",
        help="misspell such a share of each question's words, 0.2 for one in five, the same each time (default: 0)",
    )
    parser.add_argument(
        "--answers", type=Path, metavar="FILE", help="write each question's hits there, one JSON line a question"
    )

    parser.add_argument(
        "--compare",
        type=Path,
        metavar="OTHER.json",
        help="what --json wrote before: show the differences, question by question paired",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout, with every question's values")


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share: give a number from 0 to 1")
    return share


def _join(numbers: Iterable[int]) -> str:
    return " ".join(map(str, numbers))


def measure(args: argparse.Namespace, settings: RagSettings) -> dict[str, Any]:
    """The result of searching `args.corpus`, or else `args.index`; the other arguments are those of `add_measuring`."""
    from rag.index.manifest import spec_of
    from rag.sources.questions import read_questions
    from serve.evaluation.retrieval.evaluation import ask_all, compare, summarize

    questions = read_questions(args.questions)
    other = read_result(args.compare, "eval retrieval") if args.compare else None
    cutoffs = sorted(set(args.top_k))
    with show_progress() as progress:
        index, embedder = open_searched(args.corpus, args.index, questions, settings, progress)
        outcomes = ask_all(questions, index, embedder, settings, max(cutoffs), progress, args.slips)
    if args.answers:
        _write_answers(args.answers, outcomes)
    result = {
        "evaluation": "retrieval",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "searched": {
            **describe_file(args.corpus or args.index / MANIFEST),
            "chunks": len(index.chunks),
            "collections": index.collections,
        },
        "asked": {
            **describe_file(args.questions),
            "questions": len(questions),
            "answerable": sum(question.answerable for question in questions),
            "slips": args.slips,
        },
        "settings": {name: value for name, value in asdict(settings).items() if name not in _UNREPORTED},
        "spec": asdict(spec_of(settings, embedder)),
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in _LIBRARIES}},
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        **summarize(outcomes, cutoffs),
    }
    if other is not None:
        result["differences"] = {"from": describe_file(args.compare), **compare(result, other)}
    return result


def open_searched(
    corpus: Path | None, index_dir: Path, questions: list[Question], settings: RagSettings, progress: Show
) -> tuple[Index, TextEmbedder]:
    """The chunks to search, from a file of ready-made chunks or else an index, and the embedder.

    Raises ReferenceUnknown: questions do not fit the ready-made chunks; found before these are embedded.
    """
    from rag.documents import make_chunk
    from rag.embedding.embedder_choice import open_embedder
    from rag.index.manifest import spec_of
    from rag.index.opening import open_index
    from rag.index.vector_store import choose_store
    from rag.search.retriever import QUERY_THREADS
    from rag.sources.questions import find_wanted, read_chunks
    from serve.evaluation.retrieval.evaluation import index_ready_made

    documents = read_chunks(corpus) if corpus else []
    if documents:
        find_wanted(questions, [make_chunk(document, (), document.text, 0) for document in documents])
    embedder = open_embedder(settings, QUERY_THREADS)
    if not documents:
        return open_index(index_dir, spec_of(settings, embedder), choose_store(settings)), embedder
    return index_ready_made(documents, settings, embedder, progress), embedder


def read_result(path: Path, command: str) -> Any:
    """The earlier --json output of `command`. Raises ResultUnusable: the file is not one."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultUnusable(
            f"{path} cannot be read ({error.strerror or error}): name what `{command} --json` wrote"
        ) from None
    except ValueError as error:
        raise ResultUnusable(f"{path} is not JSON ({error}): name what `{command} --json` wrote") from None


def _write_answers(path: Path, outcomes: list[Outcome]) -> None:
    """Each question's hits, best first, as JSON lines. Raises ResultUnusable: the file cannot be written."""
    lines = []
    for outcome in outcomes:
        hits = [
            {
                "chunk_id": hit.chunk.chunk_id,
                "collection": hit.chunk.collection,
                "path": hit.chunk.path,
                "headings": hit.chunk.heading_path,
                "score": hit.score,
                "dense_score": hit.dense_score,
                "bm25_score": hit.bm25_score,
                "late_score": hit.late_score,
            }
            for hit in outcome.hits
        ]

        row = {
            "id": outcome.question.question_id,
            "question": outcome.question.text,
            "ranks": outcome.ranks,
            "answered": outcome.answered,
            "hits": hits,
        }
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")

    try:
        path.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise ResultUnusable(f"{path} cannot be written ({error.strerror or error}): name another file") from None


def draw(result: dict[str, Any]) -> list[str]:
    """The result as lines for people."""
    searched, asked, spec, latency = (result[part] for part in ("searched", "asked", "spec", "search_ms"))
    files = [f"{part['path']}, {part['bytes']} bytes, sha256 {part['sha256'][:16]}" for part in (searched, asked)]
    lines = [
        f"searched  {searched['chunks']} chunks: {files[0]}",
        f"asked     {asked['questions']} questions, {asked['answerable']} of them answerable: {files[1]}",
        f"embedder  {spec['embedder']} {spec['embedder_fingerprint']}",
        "settings  " + ", ".join(f"{name} {value}" for name, value in result["settings"].items() if name != "embedder"),
        "versions  " + ", ".join(f"{name} {version}" for name, version in result["versions"].items()),
        (
            f"search    p50 {latency['p50']:.1f} ms, p95 {latency['p95']:.1f} ms, p99 {latency['p99']:.1f} ms over "
            f"{latency['searches']} searches"
        ),
    ]

    lines += ["", *_draw_measures(result["measures"], signed=False)]
    if "differences" in result:
        lines += [
            "",
            f"difference from {result['differences']['from']['path']}, paired",
            *_draw_measures(result["differences"]["measures"], signed=True),
            *_draw_measures(result["differences"]["refused"], signed=True),
        ]
    if len(result["collections"]) > 1:
        lines += ["", *_draw_collections(result["collections"])]
    return [*lines, "", *_draw_decision(result["decision"])]


def _draw_measures(measures: dict[str, Any], signed: bool) -> list[str]:
    """One line per measure, one column per kind of question; each value with its 95 % interval."""
    if not measures:
        return ["no question is answerable: there is no ranking to measure"]
    names = [name for name in next(iter(measures.values())) if name != "questions"]
    titles = [f"{kind} ({group['questions']})" for kind, group in measures.items()]
    form = "+.3f" if signed else ".3f"
    widths = [max(_COLUMN + 3 * signed, len(title)) for title in titles]  # three signs more
    lines = [f"{'':<10}  " + "  ".join(f"{title:<{width}}" for title, width in zip(titles, widths, strict=True))]
    for name in names:
        cells = [
            f"{group[name]['mean']:{form}} [{group[name]['low']:{form}}, {group[name]['high']:{form}}]"
            for group in measures.values()
        ]
        lines.append(f"{name:<10}  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)))
    return [line.rstrip() for line in lines]


def _draw_collections(collections: dict[str, Any]) -> list[str]:
    """One line per collection with the questions that it answers, one column per measure; means alone."""
    names = [name for name in next(iter(collections.values())) if name != "questions"]
    lines = [f"{'':<20}  questions  " + "  ".join(f"{name:>9}" for name in names)]
    for collection, group in collections.items():
        cells = "  ".join(f"{group[name]['mean']:>9.3f}" for name in names)
        lines.append(f"{collection:<20}  {group['questions']:>9}  {cells}")
    return lines


def _draw_decision(decision: dict[str, Any]) -> list[str]:
    said, missed = decision["said_rightly"] + decision["said_wrongly"], decision["missed"]
    lines = [
        f'"not in these documents" was said of {said} questions, wrongly of {decision["said_wrongly"]}, and missed'
        f" {missed} times"
    ]
    for name in ("precision", "recall", "wrongly_refused"):
        lines.append(f"{name.replace('_', ' '):<15}  {_draw_share(decision[name])}")
    lines += ["", f"{'said of':<15}  questions  share"]
    for kind, row in decision["kinds"].items():
        lines.append(f"{kind:<15}  {row['questions']:>9}  {_draw_share(row['refused'])}")
    lines += ["", f"{'relevance  ':<15}  questions  answerable  answered"]
    for row in decision["reliability"]:
        span = f"{row['low']:.3f} to {row['high']:.3f}"
        lines.append(f"{span:<15}  {row['questions']:>9}  {row['answerable']:>10.2f}  {row['answered']:>8.2f}")
    return lines


def _draw_share(share: dict[str, float] | None) -> str:
    return f"{share['mean']:.3f} [{share['low']:.3f}, {share['high']:.3f}]" if share else "none to judge by"
