"""The command `chipalign eval answers`: questions and a running gateway in, a table or one JSON document out.

It scores nothing itself. It asks the gateway as users do, with retrieval on. Functions import heavy libraries, so that
`--help` answers at once.

    chipalign eval answers --questions data/eval/answers.jsonl --url http://127.0.0.1:8000 --json > today.json
    chipalign eval answers --questions data/eval/answers.jsonl --url http://127.0.0.1:8000 --answer quote \\
        --compare today.json
    chipalign eval answers --calibrate --url http://127.0.0.1:8000 --index my-index/ --checkpoint merged/
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.command_line import describe_file, positive, write_result
from rag.data_folder import DATA
from rag.errors import QuestionsUnusable
from rag.progress import show_progress
from rag.settings import RagSettings
from serve.evaluation.answers.answer_questions import ALL, OPEN, SPLITS
from serve.evaluation.errors import EndpointRefused, ResultUnusable

if TYPE_CHECKING:
    from rag.progress import Show
    from serve.evaluation.answers.answer_questions import AnswerQuestion
    from serve.evaluation.asking.client import Reply, Server

QUESTIONS = DATA / "eval" / "answers.jsonl"
CONCURRENCY = 16  # an engine answers several at once in little more time than one
_COLUMNS = 4  # kinds side by side: a table of seven would be two hundred characters wide


def answers(argv: list[str]) -> int:
    """`chipalign eval answers --questions Q.jsonl --url URL ... [--json]`.

    Raises RagError, ServeError: the input is wrong.
    """
    args = _parse_arguments(argv)
    settings = RagSettings.from_env()
    if args.calibrate:
        write_result(_calibrate(args, settings), _draw_calibration, args.json)
    else:
        write_result(_measure(args, settings), _draw, args.json)
    return 0


def _parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = _build_parser()
    args = parser.parse_args(argv)
    if args.calibrate and not (args.index and args.checkpoint):
        parser.error(
            "--calibrate needs --index and --checkpoint: the index that is searched, and the checkpoint that is served"
        )
    return args


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chipalign eval answers",
        description=(
            "Ask a running gateway, search included, and count key facts, wrong claims, refusals, loops and invented "
            "names in its answers."
        ),
    )

    add = parser.add_argument
    add(
        "--questions",
        type=Path,
        default=QUESTIONS,
        metavar="Q.jsonl",
        help="questions with facts and forbidden claims, one a line (default: ours)",
    )
    add("--url", required=True, help="the gateway")
    add("--model", metavar="ID", help="name of the model there (default: the only one)")
    add(
        "--split",
        choices=(*SPLITS, ALL),
        default=OPEN,
        help="which questions; the closed ones are for the end of a piece of work (default: open)",
    )

    add("--every", type=positive, default=1, metavar="N", help="only every Nth question of them (default: %(default)s)")
    add("--answer", metavar="MODE", help="how the gateway answers: its `retrieval.answer` (default: the gateway's own)")
    add(
        "--concurrency",
        type=positive,
        default=CONCURRENCY,
        metavar="N",
        help="requests in flight (default: %(default)s; 1 to measure latency)",
    )

    add(
        "--compare",
        type=Path,
        metavar="OTHER.json",
        help="what --json wrote before: show the differences, question by question paired",
    )

    add("--json", action="store_true", help="one JSON document on stdout, with every question's answer and verdicts")
    _add_calibration(parser)
    return parser


def _add_calibration(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--calibrate",
        action="store_true",
        help="measure whether quotes or the model answer better, and keep it beside the checkpoint, for `auto`",
    )
    add("--index", type=Path, metavar="DIR", help="with --calibrate: the index that the gateway searches")
    add(
        "--checkpoint",
        type=Path,
        metavar="DIR",
        help="with --calibrate: the checkpoint that is served, beside which the result is kept",
    )


def _measure(args: argparse.Namespace, settings: RagSettings) -> dict[str, Any]:
    from serve.evaluation.answers.answer_questions import read_answer_questions, select_questions
    from serve.evaluation.qa.qa_summary import compare, describe_load, summarize

    questions = select_questions(read_answer_questions(args.questions), args.split, args.every)
    other = _read_other(args.compare) if args.compare else None
    server = _find_gateway(args, settings)
    started = time.perf_counter()
    with show_progress() as progress:
        replies = _ask(questions, server, args.answer, args.concurrency, progress)
    seconds = time.perf_counter() - started
    rows = [_judge(question, reply) for question, reply in zip(questions, replies, strict=True)]
    result = {
        "evaluation": "answers",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "url": server.url,
        "settings": {
            "model": server.model.model_id,
            "answer": args.answer,
            "split": args.split,
            "every": args.every,
            "concurrency": args.concurrency,
            "temperature": 0,
        },
        "asked": {
            **describe_file(args.questions),
            "questions": len(questions),
            "answerable": sum(question.answerable for question in questions),
        },
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "counts": _count(rows),
        "measures": summarize(rows),
        "seconds": seconds,
        **describe_load(replies),
        "questions": rows,
    }
    if other is not None:
        result["differences"] = {"from": describe_file(args.compare), "measures": compare(rows, other)}
    return result


def _read_other(path: Path) -> Sequence[Mapping[str, Any]]:
    """The rows of a former result. Raises ResultUnusable: it is of another evaluation or of other measures."""
    from serve.evaluation.answers.answer_scores import MEASURES
    from serve.evaluation.retrieval.retrieval_commands import read_result

    result = read_result(path, "eval answers")
    try:
        rows: Sequence[Mapping[str, Any]] = result["questions"]
        usable = result["evaluation"] == "answers" and all(
            {"id", "question"} <= row.keys() and set(row["measures"]) == set(MEASURES) for row in rows
        )
    except (TypeError, KeyError, AttributeError):
        usable = False
    if not usable:
        raise ResultUnusable(
            f"{path} is not what this `eval answers --json` writes: measure again, or name another file with --compare"
        )
    return rows


def _find_gateway(args: argparse.Namespace, settings: RagSettings) -> Server:
    """The gateway at the URL.

    Raises:
        EndpointUnreachable
        EndpointRefused: another server answers.
    """
    from serve.evaluation.asking.client import find_server

    server = find_server(args.url, args.model, settings.api_key)
    if not server.model.is_gateway:
        raise EndpointRefused(
            f"{server.url} is not a ChipAlign gateway: only that searches and answers; name its URL with --url"
        )
    return server


def _calibrate(args: argparse.Namespace, settings: RagSettings) -> dict[str, Any]:
    """Ask the same questions for quotes and for the model's words, and record which gives more.

    Raises RagError, ServeError: the index or the server cannot be used.
    """
    from importlib import metadata

    from rag.index.opening import open_index
    from rag.index.selection import is_uploaded
    from rag.index.vector_store import choose_store
    from serve.evaluation.answers.calibration import Calibration, choose_questions, identify_checkpoint, identify_index

    server = _find_gateway(args, settings)
    index = open_index(args.index, store=choose_store(settings))
    shared = [chunk for chunk in index.chunks if not is_uploaded(chunk.collection)]
    questions, source = choose_questions(shared, args.questions)
    if not questions:
        raise QuestionsUnusable(
            f"nothing can be asked about {args.index}: its documents answer none of {args.questions} and name nothing"
        )
    rows: dict[str, list[dict[str, Any]]] = {}
    with show_progress() as progress:
        for answer in ("quote", "model"):
            replies = _ask(questions, server, answer, args.concurrency, progress)
            rows[answer] = [_judge(question, reply) for question, reply in zip(questions, replies, strict=True)]
    try:
        identities = identify_checkpoint(args.checkpoint), identify_index(args.index)
        versions = {"chipalign": metadata.version("chipalign")}
        calibration = Calibration.of(rows["quote"], rows["model"], source, *identities, versions)
        path = calibration.save(args.checkpoint)
    except OSError as error:
        where, reason = error.filename or args.checkpoint, error.strerror or error
        raise ResultUnusable(
            f"the calibration of {args.index} cannot be kept in {args.checkpoint} ({where}: {reason}): name an index "
            "and a folder that can be written"
        ) from None
    return {
        "evaluation": "calibration",
        "path": str(path),
        "mode": calibration.mode,
        "line": calibration.line,
        **asdict(calibration),
    }


def _draw_calibration(result: dict[str, Any]) -> list[str]:
    return [result["line"], f"kept in {result['path']}"]


def _ask(
    questions: Sequence[AnswerQuestion], server: Server, answer: str | None, concurrency: int, progress: Show
) -> list[Reply]:
    from serve.evaluation.asking.client import ask_chats

    replies: dict[int, Reply] = {}

    def keep(number: int, reply: Reply) -> None:
        """Keep an answer and show the progress."""
        replies[number] = reply
        progress("ask", len(replies), len(questions))

    asked = {number: question.messages for number, question in enumerate(questions)}
    ask_chats(server, asked, None, concurrency, keep, {"answer": answer} if answer else None)
    return [replies[number] for number in sorted(replies)]


def _judge(question: AnswerQuestion, reply: Reply) -> dict[str, Any]:
    """An answer with its verdicts and the places of the passages that could support it."""
    from serve.evaluation.answers.answer_scores import measure

    hits = (reply.retrieval or {}).get("hits") or []
    places = [" > ".join([hit["path"], *hit["heading_path"]]) for hit in hits]
    passages = [f"{_name(hit)}\n{place}\n{hit['text']}" for hit, place in zip(hits, places, strict=True)]
    return {
        "id": question.id,
        "kind": question.kind,
        "question": question.text,
        "answer": reply.text,
        "finish_reason": reply.finish_reason,
        "latency_ms": reply.latency_ms,
        "passages": places,
        **measure(question, reply.text, passages, reply.finish_reason),
    }


def _name(hit: Mapping[str, Any]) -> str:
    """A passage's place as quotes name it: collection, title, headings."""
    return " ".join([hit.get("collection", ""), hit["title"], *hit["heading_path"]])


def _count(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {
        "questions": len(rows),
        "refused": sum(row["refused"] for row in rows),
        "without_passages": sum(not row["passages"] for row in rows),
        "cut": sum(row["finish_reason"] == "length" for row in rows),
        "empty": sum(not row["answer"].strip() for row in rows),
    }


def _draw(result: dict[str, Any]) -> list[str]:
    """The result as lines for people."""
    settings, asked, counts, latency = (result[part] for part in ("settings", "asked", "counts", "latency_ms"))
    lines = [
        f"model     {settings['model']} at {result['url']}, answers: {settings['answer'] or 'as the gateway chooses'}",
        (
            f"asked     {asked['questions']} questions of {asked['path']}, split {settings['split']}; "
            f"{asked['answerable']} of them answerable"
        ),
        f"answers   {counts['refused']} refused, {counts['cut']} cut at the longest answer, {counts['empty']} empty",
        (
            f"latency   p50 {latency['p50'] / 1000:.2f} s, p95 {latency['p95'] / 1000:.2f} s, up to "
            f"{settings['concurrency']} requests in flight; {result['seconds']:.0f} s in all"
        ),
        *_draw_groups(result["measures"], signed=False),
    ]

    if "differences" in result:
        differences = result["differences"]
        lines += [
            "",
            f"difference from {differences['from']['path']}, paired",
            *_draw_groups(differences["measures"], signed=True),
        ]
    return lines


def _draw_groups(measures: Mapping[str, Any], signed: bool) -> list[str]:
    """A table for every few kinds of questions."""
    from serve.evaluation.qa.qa_commands import draw_measures

    kinds = list(measures.items())
    groups = [dict(kinds[start : start + _COLUMNS]) for start in range(0, len(kinds), _COLUMNS)]
    return [line for group in groups for line in ("", *draw_measures(group, signed))]
