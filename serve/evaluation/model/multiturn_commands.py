"""The command `chipalign eval multiturn`: a file of conversations and a URL in, a table or one JSON document out.

It measures nothing itself. It imports libraries when the evaluation starts, so that `--help` answers at once.

    chipalign eval multiturn --conversations data/eval/multiturn.jsonl --url http://127.0.0.1:8001 \\
        --judge-url http://gpu:8000 --json > today.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serve.evaluation.errors import ResultUnusable
from serve.evaluation.model.model_commands import (
    NUMBER,
    add_server,
    cell,
    describe,
    make_job,
    take_first,
    write_document,
)
from serve.settings import ServeSettings, read_api_key

if TYPE_CHECKING:
    from serve.evaluation.model.judging import Judge

FIELDS = ("answers",)
MAX_TOKENS = 512  # the longest reference has a hundred words; engineers do not read longer answers than this


def multiturn(argv: list[str]) -> int:
    """`chipalign eval multiturn --conversations C.jsonl --url URL [--judge-url URL] [--json]`.

    Raises ServeError: the input is wrong.
    """
    args = _parse(argv)
    settings = ServeSettings.from_env()
    from rag.answering.prompt import SYSTEM
    from serve.evaluation.asking.collect import collect
    from serve.evaluation.model.multiturn import (
        ask_conversation,
        compare,
        make_cases,
        mark,
        read_conversations,
        summarize,
    )

    conversations = take_first(read_conversations(args.conversations), args.limit)
    other = _read_result(args.compare) if args.compare else None
    judge = _find_judge(args)
    parameters = {"temperature": 0, "max_tokens": args.max_tokens, "system": SYSTEM}
    job = make_job("multiturn", args.conversations, args, parameters, FIELDS)
    if other is not None:
        _check_comparable(args.compare, other, job.questions, judge)
    collected = collect(
        job,
        conversations,
        lambda endpoint, model, item: ask_conversation(endpoint, model, item, args.max_tokens),
        settings.home,
    )
    verdicts: dict[int | str, list[dict[str, Any]]] = {}
    if judge:
        from serve.evaluation.model.judging import judge_all

        answers = {key: [answer["response"] for answer in row["answers"]] for key, row in collected.rows.items()}
        cases = {key: make_cases(conversation, answers[key]) for key, conversation in conversations.items()}
        verdicts = judge_all(judge, collected, cases, FIELDS)
    values = mark(conversations, collected.rows, verdicts)
    document = {
        **describe(job, collected, ("httpx", "numpy")),
        "judge": _describe_judge(judge, values),
        "counts": _count(values, [answer for row in collected.rows.values() for answer in row["answers"]]),
        "measures": summarize(values),
        **(
            {"differences": {"from": str(args.compare), "measures": compare(values, other["values"])}}
            if other is not None
            else {}
        ),
        "values": values,
    }
    write_document(document, _draw, as_json=args.json)
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="chipalign eval multiturn",
        description=(
            "Measure a model's answers in conversations of two turns: rules that a program checks, and a judge's scores"
            " from 0 to 100."
        ),
    )

    parser.add_argument(
        "--conversations",
        type=Path,
        required=True,
        metavar="C.jsonl",
        help="conversations with references and rules, one a line",
    )
    add_server(parser)

    parser.add_argument(
        "--max-tokens", type=NUMBER, default=MAX_TOKENS, metavar="N", help=f"longest answer (default {MAX_TOKENS})"
    )

    parser.add_argument(
        "--judge-url",
        metavar="URL",
        help="any OpenAI-compatible server whose model scores the answers; without it only the rules count",
    )
    parser.add_argument("--judge-model", metavar="ID", help="the judge's name there (default: the first that it lists)")
    parser.add_argument(
        "--judge-api-key-env", metavar="NAME", help="the environment variable that holds the judge's API key"
    )

    parser.add_argument(
        "--compare",
        type=Path,
        metavar="OTHER.json",
        help="what --json wrote before: show the differences, paired by conversation",
    )

    args = parser.parse_args(argv)
    if not args.judge_url and (args.judge_model or args.judge_api_key_env):
        parser.error("--judge-model and --judge-api-key-env need --judge-url")
    return args


def _find_judge(args: argparse.Namespace) -> Judge | None:
    if not args.judge_url:
        return None
    from serve.evaluation.model.judging import JudgeJob, find_judge

    key = read_api_key(args.judge_api_key_env, option="--judge-api-key-env")
    return find_judge(JudgeJob(args.judge_url, args.judge_model, key, args.concurrency))


def _read_result(path: Path) -> dict[str, Any]:
    """A former result. Raises ResultUnusable: the file is not a result of this evaluation."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        if result["evaluation"] == "multiturn" and isinstance(result["values"], list) and result["asked"]["sha256"]:
            return dict(result)
    except OSError as error:
        raise ResultUnusable(
            f"{path} cannot be read ({error.strerror or error}): name what `eval multiturn --json` wrote"
        ) from None
    except (ValueError, KeyError, TypeError):
        pass
    raise ResultUnusable(f"{path} is not a result of this evaluation: name what `eval multiturn --json` wrote")


def _check_comparable(path: Path, other: Mapping[str, Any], conversations: Path, judge: Judge | None) -> None:
    """Compare the settings of two results before anything is asked.

    Raises ResultUnusable: the two results would differ in more than their answers.
    """
    import hashlib

    if other["asked"]["sha256"] != hashlib.sha256(conversations.read_bytes()).hexdigest():
        raise ResultUnusable(
            f"{path} is a result of other conversations, or of another version of these: name one of {conversations} "
            "with --compare"
        )
    judged_by = (other.get("judge") or {}).get("name")
    if judge and judged_by and judged_by != judge.name:
        raise ResultUnusable(
            f"{path} was scored by another judge ({judged_by}, now {judge.name}): score those answers with this one "
            "first"
        )


def _describe_judge(judge: Judge | None, values: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    if judge is None:
        return None
    scores = [turn["score"] for value in values for turn in value["turns"]]
    judged = sum(score is not None for score in scores)
    return {
        "name": judge.name,
        "model_id": judge.model.model_id,
        "url": judge.job.url,
        "judged": judged,
        "not_judged": len(scores) - judged,
    }


def _count(values: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {
        "conversations": len(values),
        "answers": len(answers),
        "rules": sum(len(turn["rules"]) for value in values for turn in value["turns"]),
        # At max_tokens, or at the window's end
        "cut_off": sum(answer["finish_reason"] == "length" for answer in answers),
        "empty": sum(not answer["response"].strip() for answer in answers),
    }


def _draw(document: dict[str, Any]) -> list[str]:
    counts, judge = document["counts"], document["judge"]
    lines = [
        f"{counts['conversations']} conversations, {counts['answers']} answers, {counts['rules']} rules; "
        f"{counts['cut_off']} answers cut off, {counts['empty']} empty"
    ]
    if judge:
        lines.append(
            f"judge {judge['model_id']} at {judge['url']}: {judge['judged']} answers scored, {judge['not_judged']} "
            "could not be judged"
        )
    lines += ["", *_draw_measures(document["measures"])]
    if differences := document.get("differences"):
        lines += ["", f"difference from {differences['from']}, paired", *_draw_measures(differences["measures"])]
    return lines


def _draw_measures(measures: Mapping[str, Any]) -> list[str]:
    lines = [f"{'domain':<13} {'turn':<6}  {'rules met':<20}  {'all rules met':<20}  judge's score"]
    for domain, row in measures.items():
        for part in ("turn_1", "turn_2", "both"):
            score = row[part].get("score")
            shown = f"{score['mean']:.1f} [{score['low']:.1f}, {score['high']:.1f}]" if score else "-"
            name = part.removeprefix("turn_")
            lines.append(
                f"{domain:<13} {name:<6}  {cell(row[part]['rules_met']):<20}  {cell(row[part]['all_rules_met']):<20} "
                f" {shown}"
            )
    return lines
