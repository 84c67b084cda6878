"""The commands `chipalign eval ifeval` and `chipalign eval mcq`: files and a URL in, a table or one JSON document out.

They measure nothing themselves. They import libraries when an evaluation starts, so that `--help` answers at once.

    chipalign eval ifeval --prompts dev.jsonl --url http://127.0.0.1:8001 --json > today.json
    chipalign eval mcq --questions data/eval/mcq.jsonl --url http://127.0.0.1:8001
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from chipalign_settings import redact
from rag.command_line import whole_number
from serve.settings import ServeSettings, read_api_key

if TYPE_CHECKING:
    from serve.evaluation.asking.collect import Collected, Job

Item = TypeVar("Item")
NUMBER = whole_number(1, 1_000_000)
CONCURRENCY = 16  # in flight: enough to fill a batch of vLLM on a CPU; a GPU handles hundreds


def ifeval(argv: list[str]) -> int:
    """`chipalign eval ifeval --prompts P.jsonl --url URL [--json]`. Raises ServeError: the input is wrong."""
    args = _parse_ifeval(argv)
    settings = ServeSettings.from_env()
    from serve.evaluation.asking.collect import collect
    from serve.evaluation.model.ifeval import ask_prompt, read_prompts, summarize, try_checks
    from serve.evaluation.model.ifeval_checker import load_checker

    prompts = take_first(read_prompts(args.prompts), args.limit)
    check = load_checker()
    try_checks(prompts, check, str(args.prompts))
    job = make_job(
        "ifeval", args.prompts, args, {"temperature": 0, "max_tokens": args.max_tokens}, ("response", "finish_reason")
    )
    collected = collect(
        job,
        prompts,
        lambda endpoint, model, prompt: ask_prompt(endpoint, model, prompt, args.max_tokens),
        settings.home,
    )
    rows = collected.rows
    counts = {
        "prompts": len(prompts),
        "instructions": sum(len(prompt.instruction_id_list) for prompt in prompts.values()),
        # At max_tokens, or at the window's end
        "cut_off": sum(row["finish_reason"] == "length" for row in rows.values()),
        "empty": sum(not row["response"].strip() for row in rows.values()),
    }
    summary = summarize(prompts, {key: row["response"] for key, row in rows.items()}, check)
    document = {
        **describe(job, collected, ("httpx", "langdetect", "lm-eval", "nltk", "numpy")),
        "counts": counts,
        **summary,
    }
    write_document(document, _draw_ifeval, as_json=args.json)
    return 0


def mcq(argv: list[str]) -> int:
    """`chipalign eval mcq --questions Q.jsonl --url URL [--json]`. Raises ServeError: the input is wrong."""
    args = _parse_mcq(argv)
    settings = ServeSettings.from_env()
    from serve.evaluation.asking.collect import collect
    from serve.evaluation.model.mcq import ask_question, read_questions, summarize

    questions = take_first(read_questions(args.questions), args.limit)
    job = make_job(
        "mcq", args.questions, args, {"prompt": "Question: {question}\nAnswer: {choice}"}, ("loglikelihoods",)
    )
    collected = collect(job, questions, ask_question, settings.home)
    counts = {"questions": len(questions), "choices": sum(len(question.choices) for question in questions.values())}
    summary = summarize(questions, {key: row["loglikelihoods"] for key, row in collected.rows.items()})
    document = {**describe(job, collected, ("httpx", "numpy")), "counts": counts, **summary}
    write_document(document, _draw_mcq, as_json=args.json)
    return 0


def _parse_ifeval(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="chipalign eval ifeval",
        description=(
            "Measure how well a model follows instructions: IFEval's prompts, checked by lm-eval's checks, strict and "
            "loose."
        ),
    )
    parser.add_argument(
        "--prompts", type=Path, required=True, metavar="P.jsonl", help="prompts in IFEval's format, one a line"
    )
    add_server(parser)
    parser.add_argument(
        "--max-tokens", type=NUMBER, default=1280, metavar="N", help="longest answer (default 1280, lm-eval's)"
    )
    return parser.parse_args(argv)


def _parse_mcq(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="chipalign eval mcq",
        description=(
            "Measure what a model knows: multiple-choice questions, answered by the likelihood of each choice as "
            "lm-eval does for ARC."
        ),
    )
    parser.add_argument(
        "--questions", type=Path, required=True, metavar="Q.jsonl", help="questions with choices, one a line"
    )
    add_server(parser)
    return parser.parse_args(argv)


def add_server(parser: argparse.ArgumentParser) -> None:
    """The options that all these evaluations share: server, model, concurrency, answers file, output format."""
    parser.add_argument("--url", required=True, help="a vLLM server; the gateway would add passages to the prompts")
    parser.add_argument("--model", metavar="ID", help="the model's name there (default: the first that it lists)")
    parser.add_argument(
        "--api-key-env", metavar="NAME", help="the environment variable that holds the server's API key"
    )

    parser.add_argument(
        "--limit", type=NUMBER, metavar="N", help="only the first N of the file; more can be asked later"
    )
    parser.add_argument(
        "--concurrency",
        type=NUMBER,
        default=CONCURRENCY,
        metavar="N",
        help=f"requests in flight (default {CONCURRENCY})",
    )

    parser.add_argument(
        "--answers",
        type=Path,
        metavar="FILE",
        help="keep the answers there and go on from it (default: HOME/evaluations/...)",
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON document on stdout, with every question's results"
    )


def take_first(items: Mapping[int | str, Item], limit: int | None) -> dict[int | str, Item]:
    """The first `limit` items; all without a limit."""
    return dict(itertools.islice(items.items(), limit))


def make_job(
    evaluation: str, questions: Path, args: argparse.Namespace, parameters: dict[str, Any], fields: tuple[str, ...]
) -> Job:
    """The job that the arguments describe. parameters, fields: as in `Job`.

    Raises SettingsError: the key's variable is not set.
    """
    from serve.evaluation.asking.collect import Job

    return Job(
        evaluation,
        questions,
        args.url,
        args.model,
        read_api_key(args.api_key_env),
        args.concurrency,
        args.answers,
        parameters,
        fields,
    )


def describe(job: Job, collected: Collected, libraries: tuple[str, ...]) -> dict[str, Any]:
    """The fields of the document that precede the figures.

    Latencies are of all answers, also those of former runs, under the load of this evaluation.
    """
    import numpy as np

    latencies = np.array([row["ms"] for row in collected.rows.values()])
    return {
        "evaluation": job.evaluation,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "url": redact(job.url),
        "model": collected.model.describe(),
        "asked": {"path": str(job.questions), "sha256": collected.settings["questions_sha256"]},
        "settings": {**job.parameters, "concurrency": job.concurrency},
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in libraries}},
        "answers": {
            "path": str(collected.answers),
            "resumed": collected.resumed,
            "asked_now": len(collected.rows) - collected.resumed,
        },
        "seconds": round(collected.seconds, 3),
        "latency_ms": {f"p{q}": round(float(np.percentile(latencies, q)), 1) for q in (50, 95, 99)},
    }


def write_document(document: dict[str, Any], draw: Any, *, as_json: bool) -> None:
    """Write a result to stdout: as JSON, or as a table; `draw` gives its lines below the head."""
    text = (
        json.dumps(document, ensure_ascii=False, indent=2)
        if as_json
        else "\n".join([*_draw_head(document), *draw(document)])
    )
    sys.stdout.write(text + "\n")


def _draw_head(document: dict[str, Any]) -> list[str]:
    model, latency, answers = document["model"], document["latency_ms"], document["answers"]
    return [
        f"model    {model['model_id']}" + (f", {model['root']}" if model["root"] else "") + f" at {document['url']}",
        f"asked    {document['asked']['path']}, sha256 {document['asked']['sha256'][:16]}",
        (
            f"answers  {answers['path']}: {answers['resumed']} there already, {answers['asked_now']} asked now in "
            f"{document['seconds']:.1f} s"
        ),
        f"latency  p50 {latency['p50']:.0f} ms, p95 {latency['p95']:.0f} ms, p99 {latency['p99']:.0f} ms",
        "",
    ]


def _draw_ifeval(document: dict[str, Any]) -> list[str]:
    counts = document["counts"]
    lines = [
        (
            f"{counts['prompts']} prompts, {counts['instructions']} instructions; {counts['cut_off']} answers cut off, "
            f"{counts['empty']} empty"
        ),
        "",
    ]
    lines += [f"{name:<24} {cell(value)}" for name, value in document["measures"].items()]
    lines += ["", f"{'kind of instruction':<24} {'number':>6}  strict  loose"]
    for kind, row in document["kinds"].items():
        count = row["instructions"]
        lines.append(f"{kind:<24} {count:>6}  {row['strict'] / count:>6.3f}  {row['loose'] / count:>5.3f}")
    return lines


def _draw_mcq(document: dict[str, Any]) -> list[str]:
    lines = [f"{'domain':<12} {'questions':>9}  {'acc':<20}  {'acc_norm':<20}  guessing"]
    for domain, row in document["measures"].items():
        lines.append(
            f"{domain:<12} {row['questions']:>9}  {cell(row['acc'])}  {cell(row['acc_norm'])}  {row['guessing']:.3f}"
        )
    return lines


def cell(value: Mapping[str, float]) -> str:
    """A mean with its interval, 20 characters wide."""
    return f"{value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
